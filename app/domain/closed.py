"""What hours, breaks and the grid of starts say against one start, told to a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.domain.instants import MAXIMUM_DATE, MINIMUM_DATE, at_minute, day_bounds, local_date, minute_ceil, minute_floor
from app.domain.masks import Span
from app.domain.openings import Hours, Opening, exception_on, hours_between
from app.domain.plan import ProviderPlan, UnavailableReason
from app.domain.schedule import DAY_MINUTES, DayException, ExceptionKind

_LOOK_FURTHER_MINUTES = 7 * DAY_MINUTES
_LOOK_FURTHER_TIMES = 8
_DAY = timedelta(days=1)
LOOKED_THROUGH = timedelta(minutes=_LOOK_FURTHER_TIMES * _LOOK_FURTHER_MINUTES)
"""How far before and behind a start its interval may reach: hours must be known as far."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a start cannot be had, and `from_utc` <= t < `to_utc` where that is so (None: open ended).

    `message` is for anyone; `detail` and `booking_id` are for staff.
    """

    reason: UnavailableReason
    from_utc: datetime | None
    to_utc: datetime | None
    message: str
    detail: str | None = None
    booking_id: UUID | None = None


def service_span(plan: ProviderPlan, starts_at: datetime) -> Span:
    """The service in whole minutes since 1970, outward."""
    return minute_floor(starts_at), minute_ceil(starts_at + timedelta(minutes=plan.duration_minutes))


def clock(plan: ProviderPlan, minute: int) -> str:
    """`09:30` in the provider's zone."""
    return f"{at_minute(minute).astimezone(plan.time_zone):%H:%M}"


def day_clock(plan: ProviderPlan, instant: datetime) -> str:
    """`2026-05-04 09:30 (America/Argentina/Buenos_Aires)`."""
    return f"{instant.astimezone(plan.time_zone):%Y-%m-%d %H:%M} ({plan.time_zone.key})"


def closed_reasons(plan: ProviderPlan, starts_at: datetime) -> Iterator[Reason]:
    """HOLIDAY or CLOSED for each gap in the service, BREAK for each break in it, CLOSED for a start off the grid."""
    span = service_span(plan, starts_at)
    hours = _hours_around(plan, span)
    yield from _outside(plan, hours, span, starts_at)
    for low, high in hours.breaks:
        if low < span[1] and span[0] < high:
            message = f"There is a break from {clock(plan, low)} to {clock(plan, high)}."
            yield Reason(UnavailableReason.BREAK, at_minute(low), at_minute(high), message)
    yield from _off_grid(plan, hours, starts_at)


def outside_hours(plan: ProviderPlan, span: Span) -> UnavailableReason | None:
    """HOLIDAY, CLOSED or BREAK when these minutes are not open from end to end, else None. No grid is asked for."""
    hours = _hours_around(plan, span)
    gap = next(_gaps(hours.stretches(), span), None)
    if gap is not None:
        ruling = _ruling_exception(plan, max(gap[0], span[0]))
        is_holiday = ruling is not None and ruling.kind is ExceptionKind.HOLIDAY
        return UnavailableReason.HOLIDAY if is_holiday else UnavailableReason.CLOSED
    if any(low < span[1] and span[0] < high for low, high in hours.breaks):
        return UnavailableReason.BREAK
    return None


def _hours_around(plan: ProviderPlan, span: Span) -> Hours:
    """A day more on both sides, so that openings which touch one another are seen together."""
    low, high = span[0] - DAY_MINUTES, span[1] + DAY_MINUTES
    return hours_between(plan.time_zone, plan.versions, plan.exceptions, low, high)


def _gaps(stretches: list[Span], span: Span) -> Iterator[Span]:
    """The parts of a span that are not open."""
    at = span[0]
    for low, high in stretches:
        if high <= at:
            continue
        if low >= span[1]:
            break
        if at < low:
            yield at, low
        at = high
    if at < span[1]:
        yield at, span[1]


# ── outside of the hours ──────────────────────────────────────────────────────────────────────────────


def _outside(plan: ProviderPlan, hours: Hours, span: Span, starts_at: datetime) -> Iterator[Reason]:
    stretches = hours.stretches()
    told: set[DayException] = set()
    for gap in _gaps(stretches, span):
        ruling = _ruling_exception(plan, gap[0])
        if ruling is not None and ruling.kind is not ExceptionKind.SPECIAL_HOURS:
            if ruling not in told:
                told.add(ruling)
                yield _exceptional(plan, ruling)
            continue
        low, high = _closed_around(plan, stretches, gap)
        touched = next(((a, b) for a, b in stretches if a < span[1] and span[0] < b), None)
        message = f"Closed at {day_clock(plan, starts_at)}."
        if touched is not None:
            when = f"open from {clock(plan, touched[0])} to {clock(plan, touched[1])}"
            message = f"The {plan.duration_minutes} minutes do not fit: {when} ({plan.time_zone.key})."
        elif ruling is not None:
            message = f"Closed at {day_clock(plan, starts_at)}: this day has special hours."
        detail = None if ruling is None else ruling.reason
        yield Reason(UnavailableReason.CLOSED, _instant(low), _instant(high), message, detail)


def _exceptional(plan: ProviderPlan, ruling: DayException) -> Reason:
    """A whole day, or several, without hours."""
    from_utc = day_bounds(max(ruling.from_date, MINIMUM_DATE), plan.time_zone)[0]
    to_utc = day_bounds(min(ruling.to_date, MAXIMUM_DATE - _DAY), plan.time_zone)[1]
    one_day = ruling.from_date == ruling.to_date
    dates = f"on {ruling.from_date}" if one_day else f"from {ruling.from_date} to {ruling.to_date}"
    if ruling.kind is ExceptionKind.HOLIDAY:
        name = "a public holiday" if ruling.reason is None else f"a public holiday, {ruling.reason}"
        return Reason(UnavailableReason.HOLIDAY, from_utc, to_utc, f"Closed {dates}: {name}.")
    return Reason(UnavailableReason.CLOSED, from_utc, to_utc, f"Closed {dates}.", ruling.reason)


def _ruling_exception(plan: ProviderPlan, minute: int) -> DayException | None:
    """The exception for which a minute is closed: that of its own day, or that of the night before it."""
    if not plan.exceptions:
        return None
    day = local_date(at_minute(minute), plan.time_zone)
    own = exception_on(plan.exceptions, day)
    if own is not None:
        return own
    night = day - _DAY
    if len(set(day_bounds(night, plan.time_zone))) == 1:  # a date that was skipped
        night -= _DAY
    before = exception_on(plan.exceptions, night)
    if before is None:
        return None
    ordinary = hours_between(plan.time_zone, plan.versions, (), minute, minute + 1)
    return before if ordinary.openings else None  # nothing but that exception took these small hours away


def _closed_around(plan: ProviderPlan, stretches: list[Span], gap: Span) -> tuple[int | None, int | None]:
    """From the end of the opening before a gap to the beginning of the next; None where none is near."""
    low = next((high for _, high in reversed(stretches) if high <= gap[0]), None)
    high = next((low for low, _ in stretches if low >= gap[1]), None)
    for step in range(_LOOK_FURTHER_TIMES):
        if low is not None:
            break
        past = gap[0] - step * _LOOK_FURTHER_MINUTES
        low = max((o.end for o in _openings(plan, past - _LOOK_FURTHER_MINUTES, past) if o.end <= gap[0]), default=None)
    for step in range(_LOOK_FURTHER_TIMES):
        if high is not None:
            break
        first = gap[1] + step * _LOOK_FURTHER_MINUTES
        later = _openings(plan, first, first + _LOOK_FURTHER_MINUTES)
        high = min((o.start for o in later if o.start >= gap[1]), default=None)
    return low, high


def _openings(plan: ProviderPlan, low: int, high: int) -> tuple[Opening, ...]:
    low, high = max(low, 0), min(high, minute_floor(day_bounds(MAXIMUM_DATE - _DAY, plan.time_zone)[1]))
    return hours_between(plan.time_zone, plan.versions, plan.exceptions, low, high).openings if low < high else ()


def _instant(minute: int | None) -> datetime | None:
    return None if minute is None else at_minute(minute)


# ── off the grid ──────────────────────────────────────────────────────────────────────────────────────


def _off_grid(plan: ProviderPlan, hours: Hours, starts_at: datetime) -> Iterator[Reason]:
    minute = minute_floor(starts_at)
    around = [opening for opening in hours.openings if opening.start <= minute < opening.end]
    whole = minute == minute_ceil(starts_at)
    if not around or (whole and any((minute - opening.start) % opening.step == 0 for opening in around)):
        return
    steps = "; ".join(_steps(plan, opening, minute) for opening in around)
    message = f"No service starts at {day_clock(plan, starts_at)}: {steps}."
    # Openings may overlap where one version follows another: one that is over, or begins soon, has starts near by, too.
    low = max(_last_start(opening, minute) for opening in hours.openings if opening.start <= minute)
    high = min(
        opening.start if opening.start > minute else _beside(opening, minute)[1]
        for opening in hours.openings
        if opening.end > minute
    )
    yield Reason(UnavailableReason.CLOSED, at_minute(low), at_minute(high), message)


def _last_start(opening: Opening, minute: int) -> int:
    """Of an opening that began by then, the last one not after that minute."""
    return _beside(opening, min(minute, opening.end - 1))[0]


def _beside(opening: Opening, minute: int) -> Span:
    """The starts before and after a minute; behind the last one the opening ends."""
    before = minute - (minute - opening.start) % opening.step
    return before, min(before + opening.step, opening.end)


def _steps(plan: ProviderPlan, opening: Opening, minute: int) -> str:
    before, after = _beside(opening, minute)
    near = clock(plan, before) + (f" and {clock(plan, after)}" if after < opening.end else "")
    return f"starts are every {opening.step} minutes from {clock(plan, opening.start)}, the nearest {near}"
