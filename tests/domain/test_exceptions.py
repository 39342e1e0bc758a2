"""Closed days, holidays, special hours, time off, limits and resources: each rule by an example."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from app.domain.busy import Busy, BusyKind
from app.domain.instants import zone
from app.domain.limits import claims_window, day_of
from app.domain.refusals import within_hours
from app.domain.schedule import DayException, ExceptionKind, Interval
from app.domain.slots import BookingLimits, Need, ProviderPlan, Slot, SlotRules, UnavailableReason, slots
from tests.domain.test_slots import ANYTIME, BAIRES, MONDAY, days, hours, local, plan_of, starts

TUESDAY = MONDAY + timedelta(days=1)
HOLIDAY = DayException(MONDAY, MONDAY, ExceptionKind.HOLIDAY, reason="Labour Day")
CLOSED = DayException(MONDAY, TUESDAY, ExceptionKind.CLOSED, reason="painters")
SPECIAL = DayException(MONDAY, MONDAY, ExceptionKind.SPECIAL_HOURS, (Interval(600, 780),), (Interval(660, 690),))


def every_day(*exceptions: DayException, opened: str = "09:00-12:00") -> ProviderPlan:
    return replace(plan_of(*(hours(day, opened) for day in range(7)), step=60), exceptions=exceptions)


# ── days ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_holiday_and_a_closed_day_have_no_openings() -> None:
    assert starts(every_day(HOLIDAY)) == []
    assert starts(every_day(CLOSED), window=days(MONDAY, 3)) == ["09:00", "10:00", "11:00"]


def test_special_hours_replace_the_week_and_keep_its_interval() -> None:
    assert starts(every_day(SPECIAL)) == ["10:00", "12:00"]
    quarter = replace(SPECIAL, slot_interval_minutes=30)
    assert starts(every_day(quarter)) == ["10:00", "11:30", "12:00"]


def test_special_hours_open_a_day_that_no_schedule_rules() -> None:
    plan = replace(every_day(SPECIAL), versions=(), duration_minutes=30)
    assert starts(plan) == ["10:00", "10:15", "10:30", "11:30", "11:45", "12:00", "12:15", "12:30"]


def test_the_first_exception_that_has_a_day_rules_it() -> None:
    assert starts(every_day(SPECIAL, HOLIDAY)) == ["10:00", "12:00"]
    assert starts(every_day(HOLIDAY, SPECIAL)) == []


def test_an_exception_rules_the_openings_that_begin_on_its_day() -> None:
    nights = every_day(HOLIDAY, opened="22:00-02:00")
    assert starts(nights, window=days(MONDAY)) == ["00:00", "01:00"]  # of Sunday
    assert starts(nights, window=days(TUESDAY)) == ["22:00", "23:00"]  # Monday's small hours went with Monday


def test_outside_hours_a_holiday_is_told_from_a_closed_day() -> None:
    def of(plan: ProviderPlan, day: date = MONDAY, clock: str = "09:00") -> UnavailableReason | None:
        return within_hours(plan, local(day, clock), local(day, clock) + timedelta(hours=1))

    assert of(every_day(HOLIDAY)) is UnavailableReason.HOLIDAY
    assert of(every_day(CLOSED)) is UnavailableReason.CLOSED
    assert of(every_day(SPECIAL)) is UnavailableReason.CLOSED
    assert of(every_day(HOLIDAY), TUESDAY) is None
    assert of(every_day(HOLIDAY), TUESDAY, "20:00") is UnavailableReason.CLOSED
    nights = every_day(HOLIDAY, opened="22:00-02:00")
    assert of(nights, TUESDAY, "00:00") is UnavailableReason.HOLIDAY


# ── time off and other calendars ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [BusyKind.TIME_OFF, BusyKind.EXTERNAL])
def test_time_off_meets_the_buffers_of_what_is_asked_for(kind: BusyKind) -> None:
    plan = replace(
        every_day(), buffer_after=10, duration_minutes=30, versions=plan_of(hours(0, "09:00-12:00")).versions
    )
    away = Busy(local(MONDAY, "10:00"), local(MONDAY, "11:00"), kind)
    assert starts(plan, away) == ["09:00", "11:00", "11:30"]


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────


def claim(day: date, clock: str, kind: BusyKind = BusyKind.BOOKED, expires_at: datetime | None = None) -> Busy:
    return Busy(local(day, clock), local(day, clock) + timedelta(minutes=30), kind, expires_at=expires_at)


def test_a_day_at_its_limit_has_no_starts() -> None:
    plan = replace(every_day(), limits=BookingLimits(per_day=2))
    two = [claim(MONDAY, "09:00"), claim(MONDAY, "10:00", BusyKind.HELD)]
    assert starts(plan, two[0]) == ["10:00", "11:00"]
    assert starts(plan, *two) == []
    assert starts(plan, *two, window=days(TUESDAY)) == ["09:00", "10:00", "11:00"]


def test_only_live_holds_and_bookings_count() -> None:
    plan = replace(every_day(), limits=BookingLimits(per_day=1))
    now = local(MONDAY, "08:00")
    lapsed = claim(MONDAY, "09:00", BusyKind.HELD, now)
    assert starts(plan, lapsed, rules=SlotRules(now)) == ["09:00", "10:00", "11:00"]
    assert starts(plan, claim(MONDAY, "09:00", BusyKind.TIME_OFF)) == ["10:00", "11:00"]


def test_a_week_runs_from_monday_to_sunday() -> None:
    plan = replace(every_day(), limits=BookingLimits(per_week=1))
    sunday = MONDAY + timedelta(days=6)
    assert starts(plan, claim(sunday, "20:00"), window=days(MONDAY, 7)) == []
    assert len(starts(plan, claim(sunday, "20:00"), window=days(MONDAY - timedelta(days=1), 9))) == 3 + 3


def test_limits_count_by_the_providers_own_day() -> None:
    late = local(MONDAY, "23:30")
    assert late.date() == TUESDAY  # in UTC
    assert day_of(late, BAIRES) == MONDAY
    assert day_of(local(TUESDAY, "00:00") - timedelta(microseconds=1), BAIRES) == MONDAY
    assert day_of(local(TUESDAY, "00:00"), BAIRES) == TUESDAY
    newfoundland = zone("America/St_Johns")
    repeated = datetime(2009, 11, 1, 2, 45, tzinfo=UTC)  # once more 23:15 of the old day, which had ended
    assert repeated.astimezone(newfoundland).day == 31
    assert day_of(repeated, newfoundland) == date(2009, 11, 1)


def test_the_claims_of_whole_weeks_have_to_be_known() -> None:
    window = days(MONDAY)
    assert claims_window([every_day()], window) == window
    weekly = claims_window([replace(every_day(), limits=BookingLimits(per_week=3))], window)
    assert weekly.from_utc <= window.from_utc - timedelta(days=7)
    assert weekly.to_utc >= window.to_utc + timedelta(days=7)


@pytest.mark.parametrize("limits", [(0, None), (None, -1)])
def test_a_limit_below_one_is_refused(limits: tuple[int | None, int | None]) -> None:
    with pytest.raises(ValueError, match="at least one booking"):
        BookingLimits(*limits)


# ── resources ─────────────────────────────────────────────────────────────────────────────────────────

ROOMS = tuple(UUID(int=100 + n) for n in range(3))


def taken(clock: str, minutes: int = 60) -> Busy:
    return Busy(local(MONDAY, clock), local(MONDAY, clock) + timedelta(minutes=minutes))


def test_one_unit_has_to_be_free_all_the_time() -> None:
    plan = replace(every_day(), needs=(Need(1, ROOMS[:2]),))
    halves = {ROOMS[0]: [taken("10:00", 30)], ROOMS[1]: [taken("10:30", 30)]}
    found = slots([plan], halves, days(MONDAY), ANYTIME)
    assert [slot.starts_at for slot in found] == [local(MONDAY, "09:00"), local(MONDAY, "11:00")]


def test_any_two_of_three() -> None:
    plan = replace(every_day(), needs=(Need(2, ROOMS),))
    assert len(slots([plan], {ROOMS[0]: [taken("09:00")]}, days(MONDAY), ANYTIME)) == 3
    both = {ROOMS[0]: [taken("09:00")], ROOMS[2]: [taken("09:30")]}
    assert [slot.starts_at for slot in slots([plan], both, days(MONDAY), ANYTIME)] == [
        local(MONDAY, "10:00"),
        local(MONDAY, "11:00"),
    ]


def test_more_than_there_are_is_never_free() -> None:
    plan = replace(every_day(), needs=(Need(4, ROOMS),))
    assert slots([plan], {}, days(MONDAY), ANYTIME) == []
    with pytest.raises(ValueError, match="at least one unit"):
        Need(0, ROOMS)


def test_remaining_is_what_people_and_rooms_allow() -> None:
    people = [replace(every_day(), provider_id=UUID(int=n), needs=(Need(1, ROOMS[:2]),)) for n in (1, 2, 3)]
    elsewhere = replace(every_day(), provider_id=UUID(int=4))  # needs no room
    ids = tuple(UUID(int=n) for n in (1, 2, 3, 4))
    found = slots([*people, elsewhere], {ROOMS[0]: [taken("10:00")]}, days(MONDAY), ANYTIME)
    nine, ten, eleven = (local(MONDAY, clock) for clock in ("09:00", "10:00", "11:00"))
    hour = timedelta(hours=1)
    assert found == [
        Slot(nine, nine + hour, ids, 3, None),
        Slot(ten, ten + hour, ids, 2, None),
        Slot(eleven, eleven + hour, ids, 3, None),
    ]


def test_a_units_claim_meets_the_buffers_too() -> None:
    plan = replace(every_day(), needs=(Need(1, ROOMS[:1]),), buffer_before=10)
    found = slots([plan], {ROOMS[0]: [taken("09:55", 10)]}, days(MONDAY), ANYTIME)
    assert [slot.starts_at for slot in found] == [local(MONDAY, "11:00")]


def test_instants_of_windows_stay_in_reach() -> None:
    far = datetime(2199, 12, 31, tzinfo=UTC)
    weekly = replace(every_day(), limits=BookingLimits(per_week=3))
    around = claims_window([weekly], replace(days(MONDAY), from_utc=datetime(1970, 1, 1, tzinfo=UTC), to_utc=far))
    assert around.from_utc.year == 1970
    assert around.to_utc.year == 2200
