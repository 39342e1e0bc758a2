"""Prices of many starts at once: the same as asked one by one, on every clock; and how full a day is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.domain.busy import Busy, BusyKind
from app.domain.instants import at_minute, minute_floor
from app.domain.masks import bits, ones
from app.domain.money import MAXIMUM_MINOR
from app.domain.occupancy import day_occupancy_bps, occupancy_bps, places_occupancy_bps
from app.domain.plan import ProviderPlan
from app.domain.price_book import PriceBook
from app.domain.price_quote import QuoteTerms
from app.domain.price_rule import Between, PricedItem, PriceRule, Season, matches
from app.domain.schedule import DayException, ExceptionKind, ScheduleVersion, weekly_hours
from app.domain.start_prices import next_price_change, price_at
from app.domain.tariff import Tariff
from app.domain.wall_clock import wall_stretches
from tests.domain.worlds import CHANGES, provider_id

MINUTE = timedelta(minutes=1)
TERMS = QuoteTerms("ARS")
NOW = datetime(2026, 5, 4, 6, 0, 30, tzinfo=UTC)


def rule(number: int = 1, rate_bps: int = 1_000, **conditions: Any) -> PriceRule:
    return PriceRule(id=UUID(int=number), label="Rule", rate_bps=rate_bps, **conditions)


@pytest.mark.parametrize(("name", "day"), CHANGES)
def test_a_wall_is_its_stretches(name: str, day: date) -> None:
    tz = ZoneInfo(name)
    first = minute_floor(datetime(day.year, day.month, day.day, tzinfo=UTC)) - 2_000
    seen: list[int] = []
    for stretch in wall_stretches(tz, first, first + 5_000):
        seen += range(stretch.low, stretch.high)
        midnights = dict(stretch.days(before=1))
        for minute in range(stretch.low, stretch.high, 7):
            wall = at_minute(minute).astimezone(tz)
            assert minute - midnights[wall.date()] == wall.hour * 60 + wall.minute
            assert wall.date() - timedelta(days=1) in midnights
    assert seen == list(range(first, first + 5_000))


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_rules_match_as_each_for_itself(seed: int) -> None:
    rng = Random(seed)
    name, day = rng.choice(CHANGES)
    tz, first = ZoneInfo(name), minute_floor(datetime(day.year, day.month, day.day, tzinfo=UTC)) - 1_440
    now = at_minute(first) + timedelta(seconds=rng.randint(0, 90_000))
    rules = []
    for number in range(100):
        seasons = tuple(
            Season(day + timedelta(days=n), day + timedelta(days=n), n > 0) for n in rng.sample((-1, 0, 1), 2)
        )
        lead = rng.randint(0, 3_000)
        conditions: dict[str, Any] = {
            "weekdays": frozenset(rng.sample(range(7), 4)) if rng.random() < 0.5 else frozenset(),
            "hours": (rng.randint(0, 1_440), rng.randint(0, 1_440)) if rng.random() < 0.5 else None,
            "seasons": seasons if rng.random() < 0.3 else (),
            "lead_minutes": Between(lead, lead + 900) if rng.random() < 0.1 else None,
            "occupancy_bps": Between(5_000) if rng.random() < 0.1 else None,
        }
        rules.append(rule(number + 1, **conditions))
    axis = first, first + 3 * 1_440
    full = first + 700, first + 1_500
    cells = Tariff(tuple(rules), TERMS).cells(tz, axis, now, [(full, 6_000)], ones(axis[1] - first))
    assert sum(cell.starts for cell in cells) == ones(axis[1] - first)  # each start in one of them
    matching = {bit: cell.matching for cell in cells for bit in bits(cell.starts)}
    for bit in range(0, axis[1] - first, 41):
        fullness = 6_000 if full[0] <= first + bit < full[1] else 0
        start = at_minute(first + bit)
        item = PricedItem(UUID(int=1), "Service", 1_000, start, tz, occupancy_bps=fullness)
        assert matching[bit] == sum(1 << place for place, one in enumerate(rules) if matches(one, item, now))


def test_one_start_and_more_than_can_be_charged() -> None:
    tariff = Tariff((rule(rate_bps=5_000, occupancy_bps=Between(8_000)),), QuoteTerms("ARS", 2_100, False))
    utc, start = ZoneInfo("UTC"), datetime(2026, 5, 6, 9, tzinfo=UTC)
    assert [
        price_at(tariff, 1_000, start, utc, now=NOW, occupancy_bps=fullness) for fullness in (7_999, 8_000, 10_000)
    ] == [1_210, 1_815, 1_815]
    assert price_at(tariff, MAXIMUM_MINOR, start, utc, now=NOW, occupancy_bps=0) is None
    assert tariff.total_minor(None) is None


def test_a_book_has_one_tariff_for_the_same_rules_and_none_where_nothing_changes() -> None:
    service, other, one, two = (UUID(int=n) for n in range(10, 14))
    book = PriceBook(rules=(rule(1), rule(2, subjects=frozenset({service, two}))))
    assert book.tariff_of("ARS", service, one) is book.tariff_of("ARS", other, two)
    only_first = book.tariff_of("ARS", other, one)
    assert only_first is not None
    assert [each.id.int for each in only_first.rules] == [1]
    elsewhere = PriceBook(rules=(rule(2, subjects=frozenset({service})),))
    assert elsewhere.tariff_of("ARS", other, one) is None
    assert elsewhere.tariff_of("KWD", other, one) is not None  # rounds
    assert PriceBook(tax_rate_bps=2_100).tariff_of("ARS", other, one) is None
    assert PriceBook(tax_rate_bps=2_100, tax_is_included=False).tariff_of("ARS", other, one) is not None


def plan_of(*exceptions: DayException, tariff: Tariff | None = None) -> ProviderPlan:
    """9:00 to 17:00 with a break of an hour: 420 minutes."""
    week = tuple(weekly_hours(day, [(540, 1_020)], [(720, 780)]) for day in range(7))
    version = ScheduleVersion(UUID(int=1), date(2026, 1, 1), None, 60, week)
    return ProviderPlan(
        provider_id(1), ZoneInfo("UTC"), (version,), 60, price_minor=1_000, exceptions=exceptions, tariff=tariff
    )


def test_how_full_a_day_is() -> None:
    day = datetime(2026, 5, 6, tzinfo=UTC)

    def claim(hour: int, minutes: int, kind: BusyKind = BusyKind.BOOKED, expires_at: datetime | None = None) -> Busy:
        start = day + timedelta(hours=hour)
        end = start + minutes * MINUTE
        return Busy(start - 30 * MINUTE, end + 30 * MINUTE, kind, start, end, expires_at)

    def fullness(*claims: Busy) -> int:
        return occupancy_bps(plan_of(), day, claims, NOW)

    assert fullness() == 0
    assert fullness(claim(9, 42)) == 1_000  # without its buffers
    assert fullness(claim(9, 42), claim(10, 42, BusyKind.HELD, NOW + MINUTE)) == 2_000
    assert fullness(claim(9, 42), claim(10, 42, BusyKind.HELD, NOW)) == 1_000  # lapsed
    assert fullness(claim(9, 60, BusyKind.TIME_OFF), claim(10, 60, BusyKind.EXTERNAL)) == 0
    assert fullness(claim(33, 60), claim(-1, 120)) == 0  # of the days beside it, by their starts
    assert fullness(claim(1, 419)) == 9_976
    assert fullness(claim(1, 500)) == 10_000
    closed = plan_of(DayException(day.date(), day.date(), ExceptionKind.CLOSED))
    assert day_occupancy_bps(closed, day.date(), {day.date(): 1}) == 10_000
    assert day_occupancy_bps(closed, day.date(), {}) == 0
    assert [places_occupancy_bps(*numbers) for numbers in ((8, 0), (8, 2), (8, 8), (0, 0), (3, 5), (8, -1))] == [
        0,
        2_500,
        10_000,
        10_000,
        10_000,
        0,
    ]


def test_the_next_instant_at_which_time_changes_a_price() -> None:
    tariff = Tariff((rule(lead_minutes=Between(30, 90)),), TERMS)
    plan, first = plan_of(tariff=tariff), minute_floor(NOW)
    starts = 1 << 20 | 1 << 60 | 1 << 95  # 6:20, 7:00 and 7:35
    assert next_price_change(plan, first, NOW, starts) == NOW.replace(minute=5, second=0, microsecond=1)
    later = NOW.replace(minute=5, second=0, microsecond=1)
    assert next_price_change(plan, first, later, starts) == NOW.replace(minute=30, second=0, microsecond=1)
    assert next_price_change(plan, first, NOW + timedelta(hours=3), starts) is None
    assert next_price_change(plan_of(), first, NOW, starts) is None
