"""Schedules laid on the axis of time: which minutes a provider is open, and where starts may lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.instants import (
    EPOCH,
    MAXIMUM_DATE,
    MINIMUM_DATE,
    at_minute,
    local_date,
    minute_ceil,
    minute_floor,
    resolve_local,
)
from app.domain.masks import Span, comb, merge, placed_mask, span_mask
from app.domain.schedule import DAY_MINUTES, DayException, DayHours, ExceptionKind, Interval, ScheduleVersion

_DAY = timedelta(days=1)
_EPOCH_WALL = EPOCH.replace(tzinfo=None)
_LOOK_BACK_DAYS = 2
"""An opening begins on its day and may last 24 hours; a skipped or repeated hour can add to that."""
DEFAULT_SLOT_INTERVAL_MINUTES = 15
"""Of special hours on a day that no version rules."""


class Opening(NamedTuple):
    """One opening in minutes since 1970, and the distance of its starts, counted from its beginning."""

    start: int
    end: int
    step: int


@dataclass(frozen=True, slots=True)
class Hours:
    """Openings and breaks that touch a range, sorted. They may overlap where one schedule version follows another."""

    openings: tuple[Opening, ...]
    breaks: tuple[Span, ...]

    def stretches(self) -> list[Span]:
        """Continuous open time, breaks not taken out."""
        return merge((o.start, o.end) for o in self.openings)


class HoursMask(NamedTuple):
    """Bit i is minute `from_minute + i`: `open` without the breaks, `grid` where a start may lie."""

    open: int
    grid: int


def version_on(versions: Sequence[ScheduleVersion], day: date) -> ScheduleVersion | None:
    """The version that rules openings which begin on a local date; the latest, should two claim it."""
    found = None
    for version in versions:
        if version.effective_from <= day and (version.effective_to is None or day < version.effective_to):  # noqa: SIM102
            if found is None or version.effective_from >= found.effective_from:
                found = version
    return found


def _dates(tz: ZoneInfo, from_minute: int, to_minute: int) -> Iterator[date]:
    """Every local date whose openings may touch the range, skipped dates included."""
    day = max(local_date(at_minute(from_minute), tz) - _LOOK_BACK_DAYS * _DAY, MINIMUM_DATE)
    last = min(local_date(at_minute(to_minute), tz) + _DAY, MAXIMUM_DATE)
    while day <= last:
        yield day
        day += _DAY


@lru_cache(maxsize=8_192)  # the same days are asked about for everybody
def _steady_midnight(day: date, tz: ZoneInfo) -> int | None:
    """A local midnight, in minutes since 1970, if the zone's offset stays the same for the 48 hours from it on.

    Comparing both ends is enough: no zone has changed twice within three days since 1970 (tests/domain checks it).
    The far end is read as a second occurrence, so that a gap or a repeat right there is seen as well.
    """
    wall = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall clock has no zone
    first = tz.utcoffset(wall)
    last = tz.utcoffset((wall + 2 * _DAY).replace(fold=1))
    assert first is not None
    if first != last or first.seconds % 60:
        return None
    return (wall - _EPOCH_WALL).days * DAY_MINUTES - first // timedelta(minutes=1)


def _place(day: date, interval: Interval, midnight: int | None, tz: ZoneInfo) -> Span:
    """An interval of a local day in minutes since 1970; empty where the clocks jumped over all of it."""
    if midnight is not None:
        return midnight + interval.start_minute, midnight + interval.end_minute
    start = resolve_local(day, interval.start_minute, tz)
    end = resolve_local(day, interval.end_minute, tz)
    return minute_ceil(start), minute_floor(end)


def exception_on(exceptions: Sequence[DayException], day: date) -> DayException | None:
    """The first that has the day: exceptions come in order of precedence (provider's, venue's, holidays)."""
    return next((one for one in exceptions if one.from_date <= day <= one.to_date), None)


def hours_on(versions: Sequence[ScheduleVersion], exceptions: Sequence[DayException], day: date) -> DayHours | None:
    """What rules the openings that begin on a local date. None: nothing opens, and no exception says so."""
    version = version_on(versions, day)
    exception = exception_on(exceptions, day) if exceptions else None
    if exception is not None:
        step = exception.slot_interval_minutes
        if step is None:
            step = DEFAULT_SLOT_INTERVAL_MINUTES if version is None else version.slot_interval_minutes
        special = exception.kind is ExceptionKind.SPECIAL_HOURS
        return DayHours(exception.open if special else (), exception.breaks if special else (), step, exception)
    if version is None:
        return None
    weekday = day.weekday()
    for hours in version.weekly:
        if hours.weekday == weekday:
            return DayHours(hours.open, hours.breaks, version.slot_interval_minutes, None)
    return None


def hours_between(
    tz: ZoneInfo,
    versions: Sequence[ScheduleVersion],
    exceptions: Sequence[DayException],
    from_minute: int,
    to_minute: int,
) -> Hours:
    """The openings and breaks that touch `from_minute` <= m < `to_minute` (minutes since 1970), whole, not cut."""
    openings: list[Opening] = []
    breaks: list[Span] = []
    for day in _dates(tz, from_minute, to_minute):
        hours = hours_on(versions, exceptions, day)
        if hours is None:
            continue
        midnight = _steady_midnight(day, tz)
        for interval in hours.open:
            start, end = _place(day, interval, midnight, tz)
            if start < end and start < to_minute and end > from_minute:
                openings.append(Opening(start, end, hours.slot_interval_minutes))
        for interval in hours.breaks:
            start, end = _place(day, interval, midnight, tz)
            if start < end and start < to_minute and end > from_minute:
                breaks.append((start, end))
    return Hours(tuple(sorted(openings)), tuple(sorted(breaks)))


@lru_cache(maxsize=256)  # at most about 23 kB each for a window of 62 days
def hours_mask(
    tz: ZoneInfo,
    versions: tuple[ScheduleVersion, ...],
    exceptions: tuple[DayException, ...],
    from_minute: int,
    length: int,
) -> HoursMask:
    """The same as masks of `length` minutes. A pure function of its arguments, so that remembering is safe."""
    hours = hours_between(tz, versions, exceptions, from_minute, from_minute + length)
    grid = placed_mask(
        ((o.start - from_minute, comb(o.step, -(-(o.end - o.start) // o.step))) for o in hours.openings), length
    )
    opened = span_mask(((o.start - from_minute, o.end - from_minute) for o in hours.openings), length)
    closed = span_mask(((start - from_minute, end - from_minute) for start, end in hours.breaks), length)
    return HoursMask(opened & ~closed, grid)
