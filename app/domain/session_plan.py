"""What becomes of an activity's sessions when its hours are applied: which end, and which are to be made.

Starts are bits of a mask until they are chosen, so that hours with a million of them cost milliseconds. Nothing here
depends on the order in which the parts of a generation are done: each part leaves out what is there already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.busy import BusyBySubject
from app.domain.instants import at_minute, minute_ceil, minute_floor
from app.domain.masks import bits, ones, span_mask
from app.domain.needs import blocked_on_axis, served
from app.domain.plan import Need, ProviderPlan
from app.domain.sessions import COMING_MAXIMUM, SessionHours, SessionStarts, SessionStatus, SessionTime, stretches

CONFLICTS_NAMED = 1_000
_MINUTE = timedelta(minutes=1)


class FutureSession(NamedTuple):
    """A session that is there and has not begun."""

    id: UUID
    starts_at: datetime
    status: str
    is_legacy: bool
    cancelled_reason: str | None
    is_empty_legacy: bool
    """The last of those for whom it was kept has left."""

    @property
    def is_cancelled(self) -> bool:
        return self.status == SessionStatus.CANCELLED

    @property
    def is_dropped(self) -> bool:
        """Cancelled for its hours. One that a person called off has a reason, and no schedule brings it back."""
        return self.is_cancelled and self.cancelled_reason is None


class _Wanted(NamedTuple):
    """Of one stretch: starts that have no session, and those whose session is legacy though the hours have it."""

    starts: SessionStarts
    missing: int
    legacy: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The sessions that are there, and the hours. `room`: how many more an activity may have."""

    lasting: timedelta
    doomed: tuple[UUID, ...]
    """Those that the hours do not have, the soonest first. Legacy sessions with guests stay."""
    wanted: tuple[_Wanted, ...]
    room: int

    @property
    def axis(self) -> tuple[int, int] | None:
        """From the first to past the last minute since 1970 in which anything may be missing."""
        found = [one.starts for one in self.wanted if one.missing]
        return (found[0].first, found[-1].past) if found else None


def compare(
    hours: SessionHours, there: Sequence[FutureSession], *, now: datetime, end: datetime, makes_new: bool
) -> Comparison:
    """`there`: all from now on, by start. Missing are starts before `end`, and dropped sessions anywhere.

    Without `makes_new` nothing is missing.
    """
    past = minute_ceil(end)
    last = max(past, minute_ceil(there[-1].starts_at) + 1) if there else past
    doomed: list[UUID] = []
    wanted: list[_Wanted] = []
    live, place = 0, 0
    for low, high in stretches(minute_floor(now) + 1, last):
        known: list[int] = []
        dropped: list[int] = []
        legacy: list[int] = []
        begin = place
        while place < len(there) and there[place].starts_at < at_minute(high):
            place += 1
        if begin == place and low >= past:
            continue
        starts = hours.starts(low, high)
        mask = starts.mask
        for row in there[begin:place]:
            bit = minute_ceil(row.starts_at) - low
            is_had = mask >> bit & 1 and at_minute(low + bit) == row.starts_at
            if is_had:
                (dropped if row.is_dropped else known).append(bit)
            if not row.is_cancelled:
                live += is_had
                if is_had and row.is_legacy:
                    legacy.append(bit)
                elif not is_had and (row.is_empty_legacy or not row.is_legacy):
                    doomed.append(row.id)
        if makes_new:
            due = mask & ones(past - low) & ~_mask(known, high - low)
            wanted.append(_Wanted(starts, due | _mask(dropped, high - low), _mask(legacy, high - low)))
    return Comparison(hours.lasting, tuple(doomed), tuple(wanted), max(0, COMING_MAXIMUM - live))


def _mask(places: Sequence[int], length: int) -> int:
    return span_mask(((place, place + 1) for place in places), length)


@dataclass(frozen=True, slots=True)
class Takers:
    """Whose time a session takes: all who lead it, and so many units of each need.

    `is_able` false: one of them is switched off, so that no session can take place.
    """

    leaders: tuple[UUID, ...] = ()
    needs: tuple[Need, ...] = ()
    is_able: bool = True

    def __bool__(self) -> bool:
        return bool(self.leaders or self.needs)

    def subjects(self) -> set[UUID]:
        return {*self.leaders, *(unit for need in self.needs for unit in need.units)}

    def hopeless(self, axis: tuple[int, int], minutes: int, busy: BusyBySubject, tz: ZoneInfo, now: datetime) -> int:
        """Starts of an axis at which somebody is taken."""
        first, past = axis
        everything = ones(past - first)
        if not self.is_able:
            return everything
        plan = ProviderPlan(UUID(int=0), tz, (), minutes, needs=self.needs)
        masks = (blocked_on_axis(plan, busy.get(leader, ()), first, past, now) for leader in self.leaders)
        levels = served(plan, busy, axis, now)
        return reduce(or_, masks, everything & ~(levels[0] if levels else 0))


@dataclass(frozen=True, slots=True)
class Choice:
    """What one part of a generation makes, by start.

    `conflicts`: the first starts, of `conflict_count`, at which somebody is taken. `is_whole`: nothing is left for
    another part. `is_cut`: an activity may not have so many.
    """

    times: tuple[SessionTime, ...] = ()
    conflicts: tuple[datetime, ...] = ()
    conflict_count: int = 0
    is_whole: bool = True
    is_cut: bool = False


def choose(compared: Comparison, hopeless: int, *, after: datetime | None, most: int) -> Choice:
    """The soonest `most` that are missing or legacy and start after an instant.

    `hopeless`: starts of `compared.axis` at which somebody is taken. A legacy session has its people's time already.
    """
    first = compared.axis[0] if compared.axis else 0
    passed = minute_floor(after) + 1 if after is not None else 0
    times: list[SessionTime] = []
    conflicts: list[datetime] = []
    count, room = 0, compared.room
    for starts, all_missing, legacy in compared.wanted:
        ahead = -1 << max(0, passed - starts.first)
        missing, again = all_missing & ahead, legacy & ahead
        taken = missing & (hopeless >> (starts.first - first)) if hopeless and missing else 0
        count += taken.bit_count()
        conflicts += [at_minute(starts.first + bit) for bit in bits(taken)[: CONFLICTS_NAMED - len(conflicts)]]
        for time in starts.times(missing ^ taken | again, compared.lasting):
            is_new = not again >> (minute_ceil(time.starts_at) - starts.first) & 1
            if is_new and room <= 0:
                return Choice(tuple(times), tuple(conflicts), count, is_cut=True)
            if len(times) == most:
                return Choice(tuple(times), tuple(conflicts), count, is_whole=False)
            room -= is_new
            times.append(time)
    return Choice(tuple(times), tuple(conflicts), count)
