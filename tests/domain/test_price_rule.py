"""Which rules count, in which order, and how far they may go."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from app.domain.price_rule import (
    Between,
    PriceCaps,
    PricedItem,
    PriceRule,
    Season,
    matches,
    matching_rules,
    price_after_rules,
)
from tests.domain.prices import BUENOS_AIRES, NOW, PROVIDERS, SERVICES, random_item, random_rules, seeded

THURSDAY_EVENING = datetime(2026, 3, 5, 21, 30, tzinfo=UTC)  # 18:30 in Buenos Aires


def item(**changes: Any) -> PricedItem:
    facts: dict[str, Any] = {
        "subject_id": SERVICES[0],
        "label": "Corte",
        "base_minor": 10_000,
        "starts_at": THURSDAY_EVENING,
        "time_zone": BUENOS_AIRES,
    }
    return PricedItem(**(facts | changes))


def rule(number: int = 1, **changes: Any) -> PriceRule:
    facts: dict[str, Any] = {"id": UUID(int=number), "label": f"Regla {number}"}
    if "amount_minor" not in changes:
        facts["rate_bps"] = 1_000
    return PriceRule(**(facts | changes))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({}, True),
        ({"weekdays": frozenset({3})}, True),
        ({"weekdays": frozenset({4, 5})}, False),
        ({"hours": (18 * 60, 21 * 60)}, True),
        ({"hours": (18 * 60 + 31, 21 * 60)}, False),
        ({"hours": (17 * 60, 18 * 60 + 30)}, False),
        ({"lead_minutes": Between(0, 5 * 1_440)}, True),
        ({"lead_minutes": Between(5 * 1_440, None)}, False),
        ({"occupancy_bps": Between(None, None)}, False),  # nobody knows how full it is
        ({"seasons": (Season(date(2026, 3, 1), date(2026, 3, 5)),)}, True),
        ({"seasons": (Season(date(2026, 3, 6), date(2026, 3, 9)), Season(date(2025, 3, 1), date(2025, 3, 9)))}, False),
        ({"seasons": (Season(date(2001, 12, 1), date(2002, 3, 5), every_year=True),)}, True),
        ({"seasons": (Season(date(2001, 3, 6), date(2001, 12, 1), every_year=True),)}, False),
        ({"subjects": frozenset({SERVICES[0]})}, True),
        ({"subjects": frozenset({PROVIDERS[0]})}, False),
        ({"weekdays": frozenset({3}), "hours": (0, 60)}, False),
    ],
)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    assert matches(rule(**condition), item(), NOW) is holds


def test_conditions_of_the_item() -> None:
    full = item(occupancy_bps=8_000, provider_id=PROVIDERS[0])
    assert matches(rule(occupancy_bps=Between(8_000, None)), full, NOW)
    assert not matches(rule(occupancy_bps=Between(None, 8_000)), full, NOW)
    assert matches(rule(subjects=frozenset({PROVIDERS[0]})), full, NOW)
    assert not matches(rule(), item(offer_id=UUID(int=9)), NOW)


def test_hours_over_midnight_belong_to_the_day_that_they_begin_on() -> None:
    friday_night = rule(weekdays=frozenset({4}), hours=(22 * 60, 2 * 60))
    one_past_midnight = datetime(2026, 3, 7, 4, 0, tzinfo=UTC)  # Saturday 01:00
    assert matches(friday_night, item(starts_at=one_past_midnight), NOW)
    assert not matches(friday_night, item(starts_at=one_past_midnight - timedelta(days=1)), NOW)
    assert not matches(friday_night, item(starts_at=one_past_midnight + timedelta(hours=1)), NOW)
    assert matches(friday_night, item(starts_at=one_past_midnight - timedelta(hours=2)), NOW)
    all_day = rule(weekdays=frozenset({4}), hours=(0, 0))
    assert matches(all_day, item(starts_at=datetime(2026, 3, 6, 15, 0, tzinfo=UTC)), NOW)


def test_priority_and_exclusive_rules() -> None:
    first, second = rule(1, priority=5), rule(2)
    alone = rule(3, priority=1, is_exclusive=True)
    assert matching_rules(item(), [second, first], NOW) == (first, second)
    assert matching_rules(item(), [second, alone], NOW) == (alone,)
    assert matching_rules(item(), [second, alone, first], NOW) == (first, second)
    assert matching_rules(item(), [rule(5), rule(4)], NOW) == (rule(4), rule(5))


def test_changes_are_of_the_base_price_and_for_each_place() -> None:
    rules = [rule(1, rate_bps=2_000), rule(2, rate_bps=-500), rule(3, amount_minor=-100), rule(4, at_most_minor=30)]
    price = price_after_rules(item(quantity=3), rules, NOW)
    assert price.base_minor == 30_000
    assert [change.amount_minor for change in price.changes] == [6_000, -1_500, -300, 90]
    assert price.total_minor == 34_290


def test_caps_bound_rules_and_never_the_base_price() -> None:
    dear, cheap = rule(1, rate_bps=9_000), rule(2, rate_bps=-9_000)
    capped = item(caps=PriceCaps(floor_bps=8_000, ceiling_minor=12_500))
    assert price_after_rules(capped, [dear], NOW).total_minor == 12_500
    assert price_after_rules(capped, [cheap], NOW).total_minor == 8_000
    assert [one.amount_minor for one in price_after_rules(capped, [cheap], NOW).changes] == [-9_000, 7_000]
    outside = item(base_minor=20_000, caps=PriceCaps(ceiling_minor=12_500))
    assert price_after_rules(outside, [], NOW).total_minor == 20_000
    assert price_after_rules(outside, [dear], NOW).total_minor == 20_000
    assert price_after_rules(item(base_minor=500, caps=PriceCaps(floor_minor=700)), [cheap], NOW).total_minor == 500


@given(seeded(lambda rng: (random_item(rng), random_rules(rng), rng)))
def test_the_order_of_rules_does_not_matter_and_caps_hold(world: tuple[PricedItem, list[PriceRule], Random]) -> None:
    one, rules, rng = world
    price = price_after_rules(one, rules, NOW)
    rng.shuffle(rules)
    assert price_after_rules(one, rules, NOW) == price
    low, high = one.caps.bounds(price.base_minor, one.quantity)
    assert 0 <= low <= price.total_minor
    assert high is None or price.total_minor <= high
    counted = [change.rule for change in price.changes if change.rule]
    assert len(counted) == 1 or not any(each.is_exclusive for each in counted)
    assert all(
        abs(change.amount_minor) <= change.rule.at_most_minor * one.quantity
        for change in price.changes
        if change.rule and change.rule.at_most_minor is not None
    )


def test_absurd_rules_and_items_are_refused() -> None:
    wrong_rules: tuple[dict[str, Any], ...] = (
        {"rate_bps": 0},
        {"rate_bps": 1, "amount_minor": 1},
        {"rate_bps": -10_001},
        {"rate_bps": 100_001},
        {"amount_minor": 2**53},
        {"at_most_minor": -1},
        {"weekdays": frozenset({7})},
        {"hours": (0, 1_441)},
        {"hours": (-1, 60)},
    )
    for facts in wrong_rules:
        with pytest.raises(ValueError, match=r"\w"):
            rule(**facts)
    naive = THURSDAY_EVENING.replace(tzinfo=None)
    wrong_items: tuple[dict[str, Any], ...] = ({"base_minor": -1}, {"quantity": 0}, {"starts_at": naive})
    for facts in wrong_items:
        with pytest.raises(ValueError, match=r"\w"):
            item(**facts)
