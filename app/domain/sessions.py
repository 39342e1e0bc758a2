"""Sessions of an activity: which ones its schedule gives, how many places are left, and when they are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.instants import MAXIMUM_DATE, at_minute, day_bounds, local_date, minute_ceil, resolve_local
from app.domain.masks import bits, comb, erode, ones, span_mask
from app.domain.openings import hours_between, version_on
from app.domain.schedule import DayException, ScheduleVersion

GENERATION_MINUTE = 2 * 60
"""Sessions are made at 2:00 of the venue's clocks."""
STRETCH_MINUTES = 28 * 1_440
"""Looked at at once: masks of a whole year would be walked through for each of its days."""
COMING_MAXIMUM = 10_000
"""Most sessions ahead of one activity, so that new hours can always be applied to all of them at once."""
_DAY = timedelta(days=1)


class SessionStatus(StrEnum):
    """Values are those of the database. CLOSED: by a person, bookings stand. CANCELLED: it does not take place."""

    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class SessionTime(NamedTuple):
    """A session that a schedule gives, and the version of the schedule that does."""

    starts_at: datetime
    ends_at: datetime
    version_id: UUID | None


class SessionStarts(NamedTuple):
    """Starts in a stretch of time: bit i of a mask is minute `first` + i since 1970. No two versions share one."""

    first: int
    past: int
    by_version: tuple[tuple[UUID | None, int], ...]

    @property
    def mask(self) -> int:
        return sum(mask for _, mask in self.by_version)

    def times(self, wanted: int, lasting: timedelta) -> Iterator[SessionTime]:
        """Those of a mask, by start. Nothing is made that is not asked for."""
        for bit in bits(wanted & self.mask):
            version_id = next(version_id for version_id, mask in self.by_version if mask >> bit & 1)
            start = at_minute(self.first + bit)
            yield SessionTime(start, start + lasting, version_id)


@dataclass(frozen=True, slots=True)
class SessionHours:
    """What says when an activity has sessions.

    Starts lie on the grid of the slot interval from each opening; the whole session lies inside open hours, which may
    touch one another, and outside breaks. Each start occurs once, however many openings it is on the grid of.
    """

    tz: ZoneInfo
    versions: Sequence[ScheduleVersion]
    exceptions: Sequence[DayException]
    duration_minutes: int

    @property
    def lasting(self) -> timedelta:
        return timedelta(minutes=self.duration_minutes)

    def between(self, from_at: datetime, to_at: datetime) -> Iterator[SessionTime]:
        """The sessions with `from_at` <= start < `to_at`, by start.

        As they are asked for: three years of minutes are a million and a half, which nobody may hold at once.
        """
        for low, high in stretches(minute_ceil(from_at), minute_ceil(to_at)):
            found = self.starts(low, high)
            yield from found.times(found.mask, self.lasting)

    def having(self, starts: Iterable[datetime]) -> set[datetime]:
        """Those of these starts that the hours have."""
        wanted = {minute: start for start in starts if at_minute(minute := minute_ceil(start)) == start}
        found: set[datetime] = set()
        left = sorted(wanted, reverse=True)
        while left:
            low, past = left[-1], min(left[0] + 1, left[-1] + STRETCH_MINUTES)
            mask = self.starts(low, past).mask
            while left and left[-1] < past:
                minute = left.pop()
                if mask >> (minute - low) & 1:
                    found.add(wanted[minute])
        return found

    def starts(self, first: int, past: int) -> SessionStarts:
        """Of at most STRETCH_MINUTES, between two minutes since 1970."""
        length = past - first + self.duration_minutes
        hours = hours_between(self.tz, self.versions, self.exceptions, first, first + length)
        opened = span_mask(((o.start - first, o.end - first) for o in hours.openings), length)
        closed = span_mask(((low - first, high - first) for low, high in hours.breaks), length)
        left = erode(opened & ~closed, self.duration_minutes) & ones(past - first)
        found: dict[UUID | None, int] = {}
        for opening in hours.openings:
            offset = opening.start - first
            grid = comb(opening.step, -(-(opening.end - opening.start) // opening.step))
            own = (grid << offset if offset >= 0 else grid >> -offset) & left
            if own:
                version = version_on(self.versions, local_date(at_minute(opening.start), self.tz))
                version_id = None if version is None else version.id
                found[version_id] = found.get(version_id, 0) | own
                left ^= own
        return SessionStarts(first, past, tuple(found.items()))


def stretches(first: int, past: int) -> Iterator[tuple[int, int]]:
    """A range of minutes in parts of STRETCH_MINUTES."""
    for low in range(first, past, STRETCH_MINUTES):
        yield low, min(past, low + STRETCH_MINUTES)


def horizon(now: datetime, days: int, tz: ZoneInfo) -> datetime:
    """The end of the local day that lies so many days ahead."""
    today = local_date(now, tz)
    return day_bounds(min(today + days * _DAY, MAXIMUM_DATE - _DAY), tz)[1]


def generation_day(now: datetime, tz: ZoneInfo) -> date:
    """The local date whose generation is the latest due: today from 2:00 on, yesterday before.

    On a day without a 2:00 it is due when clocks have gone over it; on one with two of them, at the first.
    """
    today = local_date(now, tz)
    return today if now >= resolve_local(today, GENERATION_MINUTE, tz) else today - _DAY


def places_left(capacity: int, taken: int, lapsed: int, status: SessionStatus, *, is_legacy: bool) -> int:
    """Places that can still be had; `lapsed` are those of holds that ran out. (As the SQL function of this name.)"""
    if status is not SessionStatus.OPEN or is_legacy:
        return 0
    return max(0, capacity - taken + lapsed)
