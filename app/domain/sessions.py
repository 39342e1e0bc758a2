"""Sessions of an activity: which ones its schedule gives, how many places are left, and when they are made."""

from __future__ import annotations

from collections.abc import Sequence
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


def sessions_between(
    tz: ZoneInfo,
    versions: Sequence[ScheduleVersion],
    exceptions: Sequence[DayException],
    *,
    duration_minutes: int,
    from_at: datetime,
    to_at: datetime,
) -> list[SessionTime]:
    """The sessions with `from_at` <= start < `to_at`, by start.

    Starts lie on the grid of the slot interval from each opening; the whole session lies inside open hours, which may
    touch one another, and outside breaks. Each start occurs once, however many openings it is on the grid of.
    """
    lasting = timedelta(minutes=duration_minutes)
    first, past = minute_ceil(from_at), minute_ceil(to_at)
    found: list[SessionTime] = []
    for low in range(first, past, STRETCH_MINUTES):
        starts = _starts_in(tz, versions, exceptions, duration_minutes, low, min(past, low + STRETCH_MINUTES))
        found += [SessionTime(at_minute(start), at_minute(start) + lasting, starts[start]) for start in sorted(starts)]
    return found


def _starts_in(  # noqa: PLR0917
    tz: ZoneInfo,
    versions: Sequence[ScheduleVersion],
    exceptions: Sequence[DayException],
    duration_minutes: int,
    first: int,
    past: int,
) -> dict[int, UUID | None]:
    """Starts between two minutes, and the version that has each."""
    length = past - first + duration_minutes
    hours = hours_between(tz, versions, exceptions, first, first + length)
    opened = span_mask(((o.start - first, o.end - first) for o in hours.openings), length)
    closed = span_mask(((low - first, high - first) for low, high in hours.breaks), length)
    fitting = erode(opened & ~closed, duration_minutes) & ones(past - first)
    found: dict[int, UUID | None] = {}
    for opening in hours.openings:
        offset = opening.start - first
        grid = comb(opening.step, -(-(opening.end - opening.start) // opening.step))
        own = (grid << offset if offset >= 0 else grid >> -offset) & fitting
        if own:
            version = version_on(versions, local_date(at_minute(opening.start), tz))
            for bit in bits(own):
                found.setdefault(first + bit, None if version is None else version.id)
    return found


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
