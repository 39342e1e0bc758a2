"""Why one start cannot be had, told to a person. Agrees with `app.domain.slots`: no refusal means it is offered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.domain.busy import Busy, BusyKind
from app.domain.instants import at_minute, minute_ceil, minute_floor
from app.domain.masks import Span
from app.domain.openings import Hours, Opening, hours_between
from app.domain.schedule import DAY_MINUTES, ScheduleVersion
from app.domain.slots import ProviderPlan, Refusal, SlotRules, UnavailableReason, horizon_end


def why_not(
    plan: ProviderPlan, starts_at: datetime, rules: SlotRules, busy: Iterable[Busy] | None = None
) -> Refusal | None:
    """The first thing against a start: hours, breaks, grid, notice, horizon, then claims. None: it is free.

    Without `busy` claims are not asked about: when a slot is taken, the database decides.
    """
    return (
        _why_not_open(plan, starts_at)
        or _why_not_on_grid(plan, starts_at)
        or _why_not_now(plan, starts_at, rules)
        or (None if busy is None else _why_not_free(plan, starts_at, rules.now, busy))
    )


def within_hours(plan: ProviderPlan, starts_at: datetime, ends_at: datetime) -> UnavailableReason | None:
    """CLOSED or BREAK when a service at this time falls outside the plan's hours, else None. No grid is asked for."""
    span = (minute_floor(starts_at), minute_ceil(ends_at))
    return _outside(_hours_around(plan.time_zone, plan.versions, span), span)


def _hours_around(tz: ZoneInfo, versions: Sequence[ScheduleVersion], span: Span) -> Hours:
    """A day more on both sides, so that openings which touch one another are seen together."""
    return hours_between(tz, versions, span[0] - DAY_MINUTES, span[1] + DAY_MINUTES)


def _outside(hours: Hours, span: Span) -> UnavailableReason | None:
    low, high = span
    if not any(start <= low and high <= end for start, end in hours.stretches()):
        return UnavailableReason.CLOSED
    if any(start < high and low < end for start, end in hours.breaks):
        return UnavailableReason.BREAK
    return None


def _service_span(plan: ProviderPlan, starts_at: datetime) -> Span:
    return minute_floor(starts_at), minute_ceil(starts_at + timedelta(minutes=plan.duration_minutes))


def _why_not_open(plan: ProviderPlan, starts_at: datetime) -> Refusal | None:
    span = _service_span(plan, starts_at)
    hours = _hours_around(plan.time_zone, plan.versions, span)
    reason = _outside(hours, span)
    if reason is UnavailableReason.BREAK:
        low, high = next((low, high) for low, high in hours.breaks if low < span[1] and span[0] < high)
        return Refusal(reason, f"There is a break from {_clock(plan, low)} to {_clock(plan, high)}.")
    if reason is UnavailableReason.CLOSED:
        length = plan.duration_minutes
        touched = [stretch for stretch in hours.stretches() if stretch[0] < span[1] and span[0] < stretch[1]]
        if touched:
            low, high = touched[0]
            when = f"open from {_clock(plan, low)} to {_clock(plan, high)}"
            return Refusal(reason, f"The {length} minutes do not fit: {when} ({plan.time_zone.key}).")
        return Refusal(reason, f"Closed at {_day_clock(plan, starts_at)}.")
    return None


def _why_not_on_grid(plan: ProviderPlan, starts_at: datetime) -> Refusal | None:
    minute = minute_floor(starts_at)
    hours = _hours_around(plan.time_zone, plan.versions, (minute, minute + 1))
    around = [opening for opening in hours.openings if opening.start <= minute < opening.end]
    whole = minute == minute_ceil(starts_at)
    if whole and any((minute - opening.start) % opening.step == 0 for opening in around):
        return None
    steps = "; ".join(_steps(plan, opening, minute) for opening in around)
    return Refusal(UnavailableReason.CLOSED, f"No service starts at {_day_clock(plan, starts_at)}: {steps}.")


def _steps(plan: ProviderPlan, opening: Opening, minute: int) -> str:
    before = minute - (minute - opening.start) % opening.step
    after = before + opening.step
    near = _clock(plan, before) + (f" and {_clock(plan, after)}" if after < opening.end else "")
    return f"starts are every {opening.step} minutes from {_clock(plan, opening.start)}, the nearest {near}"


def _why_not_now(plan: ProviderPlan, starts_at: datetime, rules: SlotRules) -> Refusal | None:
    if starts_at < rules.now:
        return Refusal(UnavailableReason.NOTICE, "This time has passed.")
    earliest = rules.now + timedelta(minutes=rules.notice_minutes)
    if starts_at < earliest:
        notice = _amount_of_time(rules.notice_minutes)
        message = f"This has to be booked {notice} before; the earliest start now is {_day_clock(plan, earliest)}."
        return Refusal(UnavailableReason.NOTICE, message)
    if starts_at >= horizon_end(rules, plan.time_zone):
        last = (horizon_end(rules, plan.time_zone) - timedelta(microseconds=1)).astimezone(plan.time_zone).date()
        message = (
            f"This can be booked at most {rules.maximum_advance_days} days ahead, that is until {last.isoformat()}."
        )
        return Refusal(UnavailableReason.HORIZON, message)
    return None


def _why_not_free(plan: ProviderPlan, starts_at: datetime, now: datetime, busy: Iterable[Busy]) -> Refusal | None:
    """The gravest claim in the way: booked, then held, then what only meets a buffer."""
    service = _service_span(plan, starts_at)
    low, high = service[0] - plan.buffer_before, service[1] + plan.buffer_after
    reasons: set[UnavailableReason] = set()
    for claim in busy:
        taken = (minute_floor(claim.busy_from), minute_ceil(claim.busy_to))
        if not (claim.busy_from < claim.busy_to and claim.is_live(now) and taken[0] < high and low < taken[1]):
            continue
        own = claim.service_range()
        if minute_floor(own[0]) < service[1] and service[0] < minute_ceil(own[1]):
            held = claim.kind is BusyKind.HELD
            reasons.add(UnavailableReason.HELD if held else UnavailableReason.BOOKED)
        else:
            reasons.add(UnavailableReason.BUFFER)
    for reason, message in _TAKEN.items():
        if reason in reasons:
            return Refusal(reason, message)
    return None


_TAKEN = {
    UnavailableReason.BOOKED: "This time is booked.",
    UnavailableReason.HELD: "Someone else is booking this time at the moment.",
    UnavailableReason.BUFFER: "There would not be enough time between this and the booking beside it.",
}


def _clock(plan: ProviderPlan, minute: int) -> str:
    return f"{at_minute(minute).astimezone(plan.time_zone):%H:%M}"


def _day_clock(plan: ProviderPlan, instant: datetime) -> str:
    return f"{instant.astimezone(plan.time_zone):%Y-%m-%d %H:%M} ({plan.time_zone.key})"


def _amount_of_time(minutes: int) -> str:
    """`1440` → `24 hours`; `90` → `90 minutes`."""
    if minutes % 60:
        return f"{minutes} minutes"
    return "1 hour" if minutes == 60 else f"{minutes // 60} hours"
