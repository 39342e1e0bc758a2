"""Every reason, with its interval; and what is not for everybody's eyes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

from app.domain.busy import Busy, BusyKind
from app.domain.closed import Reason
from app.domain.explain import explain
from app.domain.schedule import DayException, ExceptionKind, Interval, ScheduleVersion
from app.domain.slots import BookingLimits, Need, ProviderPlan, SlotRules, UnavailableReason
from tests.domain.test_slots import ANYTIME, MONDAY, hours, local, plan_of

R = UnavailableReason
TUESDAY = MONDAY + timedelta(days=1)
PLAN = plan_of(hours(0, "09:00-18:00", breaks=("13:00-14:00",)), before=10, after=10)
ROOM = UUID(int=77)


def told(
    plan: ProviderPlan, clock: str, *busy: Busy, rules: SlotRules = ANYTIME, units: tuple[Busy, ...] = ()
) -> list[Reason]:
    names = {ROOM: "Massage room"}
    return explain(plan, local(MONDAY, clock), rules, {plan.provider_id: busy, ROOM: units}, resource_names=names)


def span(reason: Reason) -> tuple[datetime | None, datetime | None]:
    return reason.from_utc, reason.to_utc


def between(start: str, end: str) -> tuple[datetime, datetime]:
    return local(MONDAY, start), local(MONDAY, end)


def taken(start: str, end: str, kind: BusyKind = BusyKind.BOOKED) -> Busy:
    return Busy(*between(start, end), kind)


def test_a_free_slot_has_no_reason() -> None:
    assert told(PLAN, "09:00") == []


def test_closed_until_the_next_opening() -> None:
    [reason] = told(PLAN, "20:00")
    assert reason.reason is R.CLOSED
    assert span(reason) == (local(MONDAY, "18:00"), local(MONDAY + timedelta(days=7), "09:00"))
    [early] = told(PLAN, "06:00")
    assert span(early) == (local(MONDAY - timedelta(days=7), "18:00"), local(MONDAY, "09:00"))


def test_never_open_has_no_ends() -> None:
    [reason] = told(replace(PLAN, versions=()), "20:00")
    assert span(reason) == (None, None)


def test_what_sticks_out_is_closed() -> None:
    [reason] = told(PLAN, "17:30")
    assert reason.from_utc == local(MONDAY, "18:00")
    assert "open from 09:00 to 18:00" in reason.message


def test_a_break_and_an_odd_minute_at_once() -> None:
    found = told(PLAN, "12:15")
    assert [(one.reason, *span(one)) for one in found] == [
        (R.BREAK, *between("13:00", "14:00")),
        (R.CLOSED, *between("12:00", "12:30")),
    ]


def test_nearest_starts_of_openings_that_overlap() -> None:
    """A night under the old hours, into a morning under the new ones, which have other starts."""
    old = ScheduleVersion(UUID(int=1), date(2000, 1, 1), TUESDAY, 60, (hours(0, "20:00-04:00"),))
    new = ScheduleVersion(UUID(int=2), TUESDAY, None, 25, (hours(1, "02:20-03:10"),))
    plan = replace(PLAN, versions=(old, new), duration_minutes=15, buffer_before=0, buffer_after=0)
    for clock, low, high in (("02:10", "02:00", "02:20"), ("02:30", "02:20", "02:45"), ("03:30", "03:00", "04:00")):
        [reason] = explain(plan, local(TUESDAY, clock), ANYTIME, {})
        assert (reason.reason, *span(reason)) == (R.CLOSED, local(TUESDAY, low), local(TUESDAY, high))
    assert explain(plan, local(TUESDAY, "02:45"), ANYTIME, {}) == []


def test_holidays_are_named_and_closed_days_are_not() -> None:
    holiday = DayException(MONDAY, MONDAY, ExceptionKind.HOLIDAY, reason="Labour Day")
    [reason] = told(replace(PLAN, exceptions=(holiday,)), "10:00")
    assert reason.reason is R.HOLIDAY
    assert "Labour Day" in reason.message
    assert span(reason) == (local(MONDAY, "00:00"), local(TUESDAY, "00:00"))
    closed = DayException(MONDAY, TUESDAY, ExceptionKind.CLOSED, reason="surgery")
    [reason] = told(replace(PLAN, exceptions=(closed,)), "10:00")
    assert (reason.reason, reason.detail) == (R.CLOSED, "surgery")
    assert "surgery" not in reason.message
    assert span(reason) == (local(MONDAY, "00:00"), local(TUESDAY + timedelta(days=1), "00:00"))


def test_special_hours_are_said_to_be_special() -> None:
    special = DayException(MONDAY, MONDAY, ExceptionKind.SPECIAL_HOURS, (Interval(600, 720),), reason="inventory")
    [reason] = told(replace(PLAN, exceptions=(special,)), "16:00")
    assert "special hours" in reason.message
    assert (reason.from_utc, reason.detail) == (local(MONDAY, "12:00"), "inventory")


def test_all_that_is_in_the_way_gravest_first() -> None:
    booking = UUID(int=9)
    busy = (
        taken("09:30", "09:55"),
        replace(taken("10:10", "10:40", BusyKind.HELD), expires_at=local(TUESDAY, "00:00")),
        replace(taken("10:40", "11:00"), booking_id=booking),
        taken("10:00", "10:10", BusyKind.EXTERNAL),
        replace(taken("08:00", "10:05", BusyKind.TIME_OFF), note="at the dentist's"),
    )
    found = told(PLAN, "10:00", *busy)
    assert [one.reason for one in found] == [R.TIME_OFF, R.EXTERNAL_BUSY, R.BOOKED, R.HELD, R.BUFFER]
    assert [one.booking_id for one in found] == [None, None, booking, None, None]
    assert span(found[0]) == between("08:00", "10:05")
    assert not any("dentist" in one.message for one in found)
    assert "dentist" in (found[0].detail or "")
    assert "another calendar" in (found[1].detail or "")
    assert "lapses" in (found[3].detail or "")


def test_notice_and_horizon() -> None:
    soon = SlotRules(local(MONDAY, "08:30"), 60, 30)
    [reason] = told(PLAN, "09:00", rules=soon)
    assert (reason.reason, *span(reason)) == (R.NOTICE, *between("08:30", "09:30"))
    [past] = told(PLAN, "09:00", rules=SlotRules(local(MONDAY, "12:00")))
    assert (past.reason, past.message) == (R.NOTICE, "This time has passed.")
    early = SlotRules(local(MONDAY - timedelta(days=10), "12:00"), 0, 5)
    [far] = told(PLAN, "09:00", rules=early)
    assert (far.reason, *span(far)) == (R.HORIZON, local(MONDAY - timedelta(days=4), "00:00"), None)


def test_limits_say_which_day_or_week() -> None:
    plan = replace(PLAN, limits=BookingLimits(per_day=1, per_week=1))
    day, week = told(plan, "09:00", taken("15:00", "16:00"))
    assert (day.reason, *span(day)) == (R.LIMIT, local(MONDAY, "00:00"), local(TUESDAY, "00:00"))
    assert span(week) == (local(MONDAY, "00:00"), local(MONDAY + timedelta(days=7), "00:00"))
    assert "at most 1 a day" in (day.detail or "")
    assert "1" not in day.message


def test_a_resource_is_told_with_the_time_that_it_is_taken() -> None:
    plan = replace(PLAN, needs=(Need(1, (ROOM,)),))
    [reason] = told(plan, "10:00", units=(taken("09:00", "10:30"), taken("10:30", "12:00")))
    assert (reason.reason, *span(reason)) == (R.RESOURCE, *between("09:00", "12:00"))
    assert reason.message == "Massage room: not free at this time."
    other = UUID(int=78)
    either = replace(PLAN, needs=(Need(1, (ROOM, other)),))
    busy = {ROOM: [taken("10:00", "10:20")], other: [taken("10:40", "11:00")]}
    [reason] = explain(either, local(MONDAY, "10:00"), ANYTIME, busy)
    assert span(reason) == between("09:50", "11:10")  # never both at once: all the time that was asked for
    [reason] = explain(replace(PLAN, needs=(Need(2, (ROOM,)),)), local(MONDAY, "10:00"), ANYTIME, {})
    assert reason.reason is R.RESOURCE
