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
from app.domain.masks import Span, comb, merge, ones, span_mask
from app.domain.schedule import Interval, ScheduleVersion, WeeklyHours

_DAY = timedelta(days=1)
_EPOCH_WALL = EPOCH.replace(tzinfo=None)
_LOOK_BACK_DAYS = 2
"""An opening begins on its day and may last 24 hours; a skipped or repeated hour can add to that."""


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


def _steady_offset(day: date, tz: ZoneInfo) -> int | None:
    """The zone's offset in minutes if it stays the same for the 48 hours from a local midnight on, else None.

    Comparing both ends is enough: no zone has changed twice within three days since 1970 (tests/domain checks it).
    The far end is read as a second occurrence, so that a gap or a repeat right there is seen as well.
    """
    wall = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall clock has no zone
    first = tz.utcoffset(wall)
    last = tz.utcoffset((wall + 2 * _DAY).replace(fold=1))
    assert first is not None
    if first != last or first.seconds % 60:
        return None
    return first // timedelta(minutes=1)


def _place(day: date, interval: Interval, steady: int | None, tz: ZoneInfo) -> Span:
    """An interval of a local day in minutes since 1970; empty where the clocks jumped over all of it."""
    if steady is not None:
        midnight = (datetime(day.year, day.month, day.day) - _EPOCH_WALL).days * 1_440 - steady  # noqa: DTZ001
        return midnight + interval.start_minute, midnight + interval.end_minute
    start = resolve_local(day, interval.start_minute, tz)
    end = resolve_local(day, interval.end_minute, tz)
    return minute_ceil(start), minute_floor(end)


def _hours_on(version: ScheduleVersion, weekday: int) -> WeeklyHours | None:
    return next((hours for hours in version.weekly if hours.weekday == weekday), None)


def hours_between(tz: ZoneInfo, versions: Sequence[ScheduleVersion], from_minute: int, to_minute: int) -> Hours:
    """The openings and breaks that touch `from_minute` <= m < `to_minute` (minutes since 1970), whole, not cut."""
    openings: list[Opening] = []
    breaks: list[Span] = []
    for day in _dates(tz, from_minute, to_minute):
        version = version_on(versions, day)
        hours = _hours_on(version, day.weekday()) if version else None
        if version is None or hours is None:
            continue
        steady = _steady_offset(day, tz)
        for interval in hours.open:
            start, end = _place(day, interval, steady, tz)
            if start < end and start < to_minute and end > from_minute:
                openings.append(Opening(start, end, version.slot_interval_minutes))
        for interval in hours.breaks:
            start, end = _place(day, interval, steady, tz)
            if start < end and start < to_minute and end > from_minute:
                breaks.append((start, end))
    return Hours(tuple(sorted(openings)), tuple(sorted(breaks)))


@lru_cache(maxsize=256)  # at most about 23 kB each for a window of 62 days
def hours_mask(tz: ZoneInfo, versions: tuple[ScheduleVersion, ...], from_minute: int, length: int) -> HoursMask:
    """The same as masks of `length` minutes. A pure function of its arguments, so that remembering is safe."""
    hours = hours_between(tz, versions, from_minute, from_minute + length)
    grid = 0
    for start, end, step in hours.openings:
        starts = comb(step, -(-(end - start) // step))
        offset = start - from_minute
        grid |= starts << offset if offset >= 0 else starts >> -offset
    opened = span_mask(((o.start - from_minute, o.end - from_minute) for o in hours.openings), length)
    closed = span_mask(((start - from_minute, end - from_minute) for start, end in hours.breaks), length)
    return HoursMask(opened & ~closed, grid & ones(length))
