"""The rules of availability, each by an example that a person can check."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from app.domain.busy import Busy, BusyKind
from app.domain.free_times import FreeTimes, GroupedSlots, dates_between, for_nothing
from app.domain.instants import day_bounds, zone
from app.domain.refusals import why_not, within_hours
from app.domain.schedule import ScheduleVersion, WeeklyHours, parse_local_time, weekly_hours
from app.domain.slots import (
    ProviderPlan,
    Slot,
    SlotRules,
    UnavailableReason,
    Window,
    first_slot,
    free_masks,
    nearest,
    nearest_slots,
    next_boundary,
    slots,
)
from tests.domain.worlds import free_starts

BAIRES = zone("America/Argentina/Buenos_Aires")
MONDAY = date(2026, 5, 4)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ANYTIME = SlotRules(LONG_AGO, 0, 365)
R = UnavailableReason


def pairs(texts: tuple[str, ...]) -> list[tuple[int, int]]:
    split = [text.split("-") for text in texts]
    return [(parse_local_time(start), parse_local_time(end)) for start, end in split]


def hours(weekday: int, *opened: str, breaks: tuple[str, ...] = ()) -> WeeklyHours:
    return weekly_hours(weekday, pairs(opened), pairs(breaks))


def plan_of(
    *week: WeeklyHours,
    zone_name: str = BAIRES.key,
    step: int = 30,
    duration: int = 60,
    before: int = 0,
    after: int = 0,
    number: int = 1,
    price: int | None = None,
) -> ProviderPlan:
    version = ScheduleVersion(UUID(int=number), date(2000, 1, 1), None, step, week)
    return ProviderPlan(UUID(int=number), zone(zone_name), (version,), duration, before, after, price)


def days(first: date, count: int = 1, zone_name: str = BAIRES.key) -> Window:
    tz = zone(zone_name)
    return Window(day_bounds(first, tz)[0], day_bounds(first + timedelta(days=count - 1), tz)[1])


def local(day: date, text: str, zone_name: str = BAIRES.key) -> datetime:
    return datetime.fromisoformat(f"{day} {text}").replace(tzinfo=zone(zone_name)).astimezone(UTC)


def clocks(found: list[datetime], zone_name: str = BAIRES.key) -> list[str]:
    return [f"{start.astimezone(zone(zone_name)):%H:%M}" for start in found]


def starts(plan: ProviderPlan, *busy: Busy, window: Window | None = None, rules: SlotRules = ANYTIME) -> list[str]:
    return clocks(free_starts(plan, {plan.provider_id: busy}, window or days(MONDAY), rules), plan.time_zone.key)


# ── hours ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_service_fits_into_open_hours_and_between_breaks() -> None:
    plan = plan_of(hours(0, "09:00-13:00", breaks=("10:45-11:00",)))
    assert starts(plan) == ["09:00", "09:30", "11:00", "11:30", "12:00"]


def test_the_grid_counts_from_each_opening_and_breaks_do_not_restart_it() -> None:
    plan = plan_of(hours(0, "09:00-11:00", "14:10-16:00", breaks=("09:30-09:40",)), duration=30)
    assert starts(plan) == ["09:00", "10:00", "10:30", "14:10", "14:40", "15:10"]


def test_openings_that_touch_are_one_stretch_even_over_midnight() -> None:
    plan = plan_of(hours(0, "09:00-10:00", "10:00-11:00"), duration=90)
    assert starts(plan) == ["09:00", "09:30"]
    night = plan_of(hours(0, "22:00-24:00"), hours(1, "00:00-02:00"), duration=180, step=60)
    assert starts(night) == ["22:00", "23:00"]


def test_a_night_belongs_to_the_weekday_it_begins_on() -> None:
    plan = plan_of(hours(0, "22:00-02:00"), step=60)
    assert starts(plan, window=days(MONDAY)) == ["22:00", "23:00"]
    assert starts(plan, window=days(MONDAY + timedelta(days=1))) == ["00:00", "01:00"]
    assert starts(plan, window=days(MONDAY - timedelta(days=1))) == []


def test_a_new_version_leaves_the_night_before_it_whole() -> None:
    tuesday = MONDAY + timedelta(days=1)
    old = ScheduleVersion(
        UUID(int=1), date(2000, 1, 1), tuesday, 60, (hours(0, "22:00-02:00"), hours(1, "10:00-12:00"))
    )
    new = ScheduleVersion(UUID(int=2), tuesday, None, 60, (hours(1, "01:30-04:00"),))
    plan = ProviderPlan(UUID(int=1), BAIRES, (old, new), 60)
    # The old night to 02:00 and the new morning from 01:30 are one stretch, each with its own grid.
    assert starts(plan, window=days(tuesday)) == ["00:00", "01:00", "01:30", "02:30"]


def test_an_hour_that_is_skipped_or_repeated() -> None:
    plan = plan_of(hours(6, "00:00-06:00"), zone_name="America/New_York", step=60)
    spring = days(date(2026, 3, 8), zone_name="America/New_York")
    autumn = days(date(2026, 11, 1), zone_name="America/New_York")
    assert starts(plan, window=spring) == ["00:00", "01:00", "03:00", "04:00", "05:00"]
    assert starts(plan, window=autumn) == ["00:00", "01:00", "01:00", "02:00", "03:00", "04:00", "05:00"]


def test_an_opening_in_a_gap_begins_at_its_end() -> None:
    plan = plan_of(hours(6, "02:30-04:00"), zone_name="America/New_York", step=30, duration=30)
    assert starts(plan, window=days(date(2026, 3, 8), zone_name="America/New_York")) == ["03:00", "03:30"]


def test_a_skipped_day_has_no_hours() -> None:
    plan = plan_of(*(hours(day, "09:00-12:00") for day in range(7)), zone_name="Pacific/Apia", step=60)
    found = free_starts(
        plan, {}, days(date(2011, 12, 29), 3, "Pacific/Apia"), SlotRules(datetime(2011, 12, 1, tzinfo=UTC))
    )
    assert [start.astimezone(zone("Pacific/Apia")).day for start in found] == [29, 29, 29, 31, 31, 31]


# ── claims ────────────────────────────────────────────────────────────────────────────────────────────


def test_buffers_of_neighbours_add() -> None:
    plan = plan_of(hours(0, "09:00-13:00"), step=15, duration=30, before=10, after=5)
    # A service 10:00-10:30 of the same kind: its claim is 09:50-10:35.
    claim = Busy(local(MONDAY, "09:50"), local(MONDAY, "10:35"))
    assert starts(plan, claim)[:4] == ["09:00", "09:15", "10:45", "11:00"]


def test_buffers_run_past_opening_hours_and_into_breaks() -> None:
    plan = plan_of(hours(0, "09:00-11:00", breaks=("10:00-10:15",)), step=15, duration=60, before=30, after=30)
    assert starts(plan) == ["09:00"]


def test_claims_of_odd_seconds_count_outward() -> None:
    plan = plan_of(hours(0, "09:00-10:00"), step=1, duration=58)
    claim = Busy(local(MONDAY, "08:00"), local(MONDAY, "09:00:01"))
    assert starts(plan, claim) == ["09:01", "09:02"]


def test_a_lapsed_hold_is_free_at_that_very_instant() -> None:
    plan = plan_of(hours(0, "09:00-10:00"))
    now = local(MONDAY, "08:00")
    hold = Busy(local(MONDAY, "09:00"), local(MONDAY, "10:00"), BusyKind.HELD, expires_at=now)
    assert starts(plan, hold, rules=SlotRules(now - timedelta(microseconds=1))) == []
    assert starts(plan, hold, rules=SlotRules(now)) == ["09:00"]


# ── now ───────────────────────────────────────────────────────────────────────────────────────────────


def test_notice_counts_to_the_instant() -> None:
    plan = plan_of(hours(0, "09:00-12:00"))
    assert starts(plan, rules=SlotRules(local(MONDAY, "08:00"), 60)) == ["09:00", "09:30", "10:00", "10:30", "11:00"]
    late = local(MONDAY, "08:00") + timedelta(microseconds=1)
    assert starts(plan, rules=SlotRules(late, 60)) == ["09:30", "10:00", "10:30", "11:00"]


def test_the_furthest_day_is_open_to_its_end_in_the_providers_zone() -> None:
    plan = plan_of(*(hours(day, "22:00-02:00") for day in range(7)), step=60)
    rules = SlotRules(local(MONDAY, "23:59"), 0, 1)
    assert starts(plan, window=days(MONDAY, 4), rules=rules) == ["00:00", "01:00", "22:00", "23:00"]
    today_only = SlotRules(local(MONDAY, "20:00"), 0, 0)
    assert starts(plan, window=days(MONDAY, 4), rules=today_only) == ["22:00", "23:00"]


# ── anyone ────────────────────────────────────────────────────────────────────────────────────────────


def test_one_slot_for_each_start_end_and_price() -> None:
    week = hours(0, "09:00-10:00")
    plans = [
        plan_of(week, number=3, price=1_000),
        plan_of(week, number=1, price=1_000),
        plan_of(week, number=2, price=900),
        plan_of(week, number=4, duration=30, price=None),
        plan_of(week, number=5, price=None),
    ]
    nine, half, ten = (local(MONDAY, clock) for clock in ("09:00", "09:30", "10:00"))
    ids = [UUID(int=n) for n in range(6)]
    assert slots(plans, {}, days(MONDAY), ANYTIME) == [
        Slot(nine, half, (ids[4],), 1, None),
        Slot(nine, ten, (ids[2],), 1, 900),
        Slot(nine, ten, (ids[1], ids[3]), 2, 1_000),
        Slot(nine, ten, (ids[5],), 1, None),
        Slot(half, ten, (ids[4],), 1, None),
    ]
    busy = {ids[1]: [Busy(nine, half)]}
    assert slots(plans, busy, days(MONDAY), ANYTIME)[2] == Slot(nine, ten, (ids[3],), 1, 1_000)


def test_the_first_slot_is_found_far_ahead() -> None:
    winter = ScheduleVersion(UUID(int=1), date(2026, 12, 1), None, 60, (hours(3, "09:00-10:00"),))
    plan = ProviderPlan(UUID(int=1), BAIRES, (winter,), 60)
    found = first_slot([plan], {}, days(MONDAY, 365), ANYTIME)
    assert found is not None
    assert found.starts_at == local(date(2026, 12, 3), "09:00")
    assert first_slot([plan], {}, days(MONDAY, 100), ANYTIME) is None


def test_a_window_is_bounded_and_may_be_empty() -> None:
    plan = plan_of(hours(0, "09:00-10:00"))
    day = days(MONDAY)
    assert free_starts(plan, {}, Window(day.to_utc, day.from_utc), ANYTIME) == []
    with pytest.raises(ValueError, match="1100 days"):
        free_starts(plan, {}, days(MONDAY, 1_200), ANYTIME)
    for odd in ((0,), (5, -1), (5, 0, -1)):
        with pytest.raises(ValueError, match="at least a minute"):
            ProviderPlan(UUID(int=1), BAIRES, (), *odd)


def test_slots_are_told_by_the_customers_dates() -> None:
    plan, window = plan_of(hours(0, "20:00-23:00"), step=60), days(MONDAY, 3)
    masks = free_masks([plan], {}, window, ANYTIME)
    spent: list[int] = []
    times = FreeTimes(GroupedSlots(masks, window, window.from_utc), window, zone("Asia/Jerusalem"), spent.append)
    dates = dates_between(date(2026, 5, 3), date(2026, 5, 6))
    assert [times.has_slots(day) for day in dates] == [False, False, True, False]
    assert spent == []
    assert [len(times.slots(day)) for day in dates] == [0, 0, 3, 0]
    assert [slot.starts_at for slot in times.slots(dates[2])] == times.starts(dates[2])
    assert spent == [3]  # for all days, once
    first = times.first()
    assert first is not None
    assert first.starts_at == times.starts(dates[2])[0]


def test_a_day_that_a_zone_skipped_has_none() -> None:
    window = Window(datetime(2011, 12, 28, tzinfo=UTC), datetime(2012, 1, 2, tzinfo=UTC))
    plan = plan_of(*(hours(day, "00:00-24:00") for day in range(7)), step=60)
    found = GroupedSlots(free_masks([plan], {}, window, SlotRules(window.from_utc)), window, window.from_utc)
    times = FreeTimes(found, window, zone("Pacific/Apia"), for_nothing)
    of_days = [len(times.slots(day)) for day in dates_between(date(2011, 12, 29), date(2011, 12, 31))]
    assert of_days == [24, 0, 24]


def test_the_nearest_come_first_and_of_two_the_earlier() -> None:
    found = slots([plan_of(hours(0, "09:00-18:00"), step=60)], {}, days(MONDAY), ANYTIME)
    near = nearest(found, local(MONDAY, "12:00"))
    assert clocks([slot.starts_at for slot in near]) == ["12:00", "11:00", "13:00", "10:00", "14:00", "09:00"]
    assert nearest(found, local(MONDAY, "12:00"), 1)[0].starts_at == local(MONDAY, "12:00")


def test_one_slot_the_cheapest_of_each_of_the_nearest_starts() -> None:
    plans = [
        plan_of(hours(0, "09:00-18:00"), step=60, duration=minutes, price=price, number=number)
        for number, (minutes, price) in enumerate(((60, 300), (60, None), (30, 200), (90, 200), (60, 500)), 1)
    ]
    near = nearest_slots(plans, {}, days(MONDAY), ANYTIME, instant=local(MONDAY, "12:00"))
    assert clocks([slot.starts_at for slot in near]) == ["12:00", "11:00", "13:00", "10:00", "14:00", "09:00"]
    assert {(slot.price_minor, slot.provider_ids) for slot in near} == {(200, (UUID(int=3),))}


# ── why not ───────────────────────────────────────────────────────────────────────────────────────────


def test_reasons() -> None:
    plan = plan_of(hours(0, "09:00-18:00", breaks=("13:00-14:00",)), before=10, after=10)
    now = local(MONDAY, "06:00")
    rules = SlotRules(now, 240, 30)
    booked = Busy(
        local(MONDAY, "14:50"), local(MONDAY, "16:10"), BusyKind.BOOKED, local(MONDAY, "15:00"), local(MONDAY, "16:00")
    )
    held = Busy(local(MONDAY, "11:00"), local(MONDAY, "11:30"), BusyKind.HELD, expires_at=now + timedelta(minutes=5))

    def reason(clock: str, day: date = MONDAY) -> UnavailableReason | None:
        refusal = why_not(plan, local(day, clock), rules, {plan.provider_id: [booked, held]})
        return refusal.reason if refusal else None

    assert reason("08:00") is R.CLOSED
    assert reason("17:30") is R.CLOSED
    assert reason("12:30") is R.BREAK
    assert reason("10:10") is R.CLOSED  # off the grid
    assert reason("09:30") is R.NOTICE
    assert reason("09:30", MONDAY - timedelta(days=7)) is R.NOTICE
    assert reason("10:00", MONDAY + timedelta(days=35)) is R.HORIZON
    assert reason("15:30") is R.BOOKED
    assert reason("10:30") is R.HELD
    assert reason("16:00") is R.BUFFER
    assert reason("11:30") is R.BUFFER
    assert reason("12:00") is None
    assert why_not(plan, local(MONDAY, "15:30"), rules) is None  # claims are the database's matter


def test_refusals_say_what_would_do() -> None:
    plan = plan_of(hours(0, "09:00-18:00", breaks=("13:00-14:00",)))
    rules = SlotRules(local(MONDAY, "06:00"), 1_440, 30)

    def told(clock: str, day: date = MONDAY) -> str:
        refusal = why_not(plan, local(day, clock), rules)
        assert refusal is not None
        return refusal.message

    assert "open from 09:00 to 18:00" in told("17:30")
    assert told("20:00") == "Closed at 2026-05-04 20:00 (America/Argentina/Buenos_Aires)."
    assert told("12:30") == "There is a break from 13:00 to 14:00."
    assert "every 30 minutes from 09:00, the nearest 10:00 and 10:30" in told("10:10")
    assert "24 hours before; the earliest start now is 2026-05-05 06:00" in told("10:00")
    assert "until 2026-06-03" in told("10:00", MONDAY + timedelta(days=35))
    assert told("10:00", MONDAY - timedelta(days=7)) == "This time has passed."


def test_within_hours_asks_neither_grid_nor_time() -> None:
    plan = plan_of(hours(0, "09:00-18:00", breaks=("13:00-14:00",)))
    assert within_hours(plan, local(MONDAY, "09:07"), local(MONDAY, "10:52")) is None
    assert within_hours(plan, local(MONDAY, "08:59"), local(MONDAY, "10:00")) is R.CLOSED
    assert within_hours(plan, local(MONDAY, "12:00"), local(MONDAY, "13:01")) is R.BREAK
    assert within_hours(plan, local(MONDAY, "17:30"), local(MONDAY, "18:01")) is R.CLOSED


# ── the passing of time ───────────────────────────────────────────────────────────────────────────────


def test_the_next_boundary_is_the_earliest_of_notice_lapse_and_midnight() -> None:
    plan = plan_of(hours(0, "09:00-18:00"))
    now = local(MONDAY, "06:00")
    rules = SlotRules(now, 60, 30)
    earliest = local(MONDAY, "09:00")
    near, far = days(MONDAY, 7), days(MONDAY, 40)
    lapsing = Busy(earliest, earliest + timedelta(hours=1), BusyKind.HELD, expires_at=now + timedelta(minutes=3))
    lapsed = Busy(earliest, earliest + timedelta(hours=1), BusyKind.HELD, expires_at=now)
    busy = {plan.provider_id: [lapsed]}
    assert next_boundary([plan], {}, near, rules, None) is None
    assert next_boundary([plan], busy, far, rules, None) == local(MONDAY + timedelta(days=1), "00:00")
    assert next_boundary([plan], busy, far, rules, earliest) == local(MONDAY, "08:00") + timedelta(microseconds=1)
    assert next_boundary([plan], {plan.provider_id: [lapsing]}, far, rules, earliest) == now + timedelta(minutes=3)
