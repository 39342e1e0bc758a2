"""Which sessions end and which are made; hours with a million starts cost no more than the starts that are wanted."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count, islice
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.domain.busy import Busy
from app.domain.instants import zone
from app.domain.plan import Need
from app.domain.schedule import ScheduleVersion, weekly_hours
from app.domain.session_plan import CONFLICTS_NAMED, Comparison, FutureSession, Takers, choose, compare
from app.domain.sessions import COMING_MAXIMUM, SessionHours, SessionTime

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TZ = zone("America/Argentina/Buenos_Aires")
_ids = count(1)


def hours_of(opened: Sequence[tuple[int, int]], *, step: int = 60, minutes: int = 60) -> SessionHours:
    weekly = tuple(weekly_hours(day, list(opened)) for day in range(7))
    return SessionHours(TZ, (ScheduleVersion(UUID(int=1), date(2026, 1, 1), None, step, weekly),), (), minutes)


EVERY_MINUTE = hours_of([(0, 1_440)], step=1, minutes=1)
EVERY_HOUR = hours_of([(0, 1_440)])


def row(start: datetime, status: str = "open", *, legacy: bool = False, reason: str | None = None) -> FutureSession:
    return FutureSession(UUID(int=next(_ids)), start, status, legacy, reason, False)


def compared(
    hours: SessionHours, there: Sequence[FutureSession] = (), days: int = 7, *, makes_new: bool = True
) -> Comparison:
    return compare(
        hours, sorted(there, key=lambda one: one.starts_at), now=NOW, end=NOW + days * DAY, makes_new=makes_new
    )


def test_three_years_of_minutes_are_not_held_at_once() -> None:
    tracemalloc.start()
    try:
        found = compared(EVERY_MINUTE, days=1_095)
        choice = choose(found, 0, after=None, most=100_000)
        assert (len(choice.times), choice.is_cut) == (COMING_MAXIMUM, True)
        assert len(list(islice(EVERY_MINUTE.between(NOW, NOW + 1_095 * DAY), 5))) == 5
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_what_ends_and_what_comes_back() -> None:
    kept, gone = row(NOW + HOUR), row(NOW + HOUR + MINUTE)
    dropped, far = row(NOW + 2 * HOUR, "cancelled"), row(NOW + 30 * DAY, "cancelled")
    called_off = row(NOW + 3 * HOUR, "cancelled", reason="Ill")
    legacy, stays, left = (
        row(NOW + 4 * HOUR, legacy=True),
        row(NOW + 5 * HOUR + MINUTE, legacy=True),
        row(NOW + 90 * DAY),
    )
    emptied = row(NOW + 6 * HOUR + MINUTE, legacy=True)._replace(is_empty_legacy=True)
    there = [kept, gone, dropped, far, called_off, legacy, stays, emptied, left, row(NOW + 91 * DAY + MINUTE, "closed")]
    found = compared(EVERY_HOUR, there, days=1)
    assert found.doomed == (gone.id, emptied.id, there[-1].id)
    made = [time.starts_at for time in choose(found, 0, after=None, most=1_000).times]
    here = {NOW + number * HOUR for number in range(1, 24)} - {kept.starts_at, called_off.starts_at}
    assert made == sorted({*here, far.starts_at})
    assert found.room == COMING_MAXIMUM - 3
    off = compared(EVERY_HOUR, there, days=1, makes_new=False)
    assert (off.doomed, choose(off, 0, after=None, most=9).times) == (found.doomed, ())


def test_parts_go_on_behind_one_another() -> None:
    found = compared(EVERY_HOUR, days=40)
    whole = choose(found, 0, after=None, most=10_000).times
    parts: list[SessionTime] = []
    after = None
    while True:
        part = choose(found, 0, after=after, most=100)
        parts += part.times
        if part.is_whole:
            break
        after = part.times[-1].starts_at
    assert tuple(parts) == whole
    assert len(whole) == 40 * 24 - 1


def test_nobody_is_looked_for_when_they_are_taken() -> None:
    """Away for three weeks: that costs no part of what one transaction makes."""
    ana, bob, hall, annex = (UUID(int=number) for number in range(101, 105))
    takers = Takers((ana, bob), (Need(1, (hall, annex)),))
    found = compared(EVERY_HOUR, days=40)
    busy = {
        ana: [Busy(NOW, NOW + 21 * DAY)],
        bob: [Busy(NOW + 21 * DAY + HOUR, NOW + 21 * DAY + 2 * HOUR)],
        hall: [Busy(NOW + 22 * DAY, NOW + 23 * DAY)],
        annex: [Busy(NOW + 22 * DAY + 12 * HOUR, NOW + 24 * DAY), Busy(NOW, NOW + DAY, expires_at=NOW)],
    }
    assert found.axis is not None
    choice = choose(found, takers.hopeless(found.axis, 60, busy, TZ, NOW), after=None, most=3)
    assert [time.starts_at for time in choice.times] == [NOW + 21 * DAY + step * HOUR for step in (0, 2, 3)]
    assert (choice.conflict_count, choice.is_whole) == (21 * 24 - 1 + 1 + 12, False)
    off = Takers((ana,), is_able=False)
    none = choose(found, off.hopeless(found.axis, 60, {}, TZ, NOW), after=None, most=3)
    assert (none.times, none.conflict_count, none.is_whole) == ((), 40 * 24 - 1, True)
    few = choose(compared(EVERY_MINUTE, days=9), -1, after=None, most=3)
    assert (len(few.conflicts), few.conflict_count) == (CONFLICTS_NAMED, 9 * 1_440 - 1)


def test_a_legacy_session_has_its_peoples_time() -> None:
    mine = row(NOW + HOUR, legacy=True)
    found = compared(EVERY_HOUR, [mine], days=1)
    assert [time.starts_at for time in choose(found, -1, after=None, most=9).times] == [mine.starts_at]


@given(st.integers(0, 2**32))
def test_starts_that_the_hours_have(seed: int) -> None:
    rng = Random(seed)
    low = rng.randrange(0, 1_380)
    hours = hours_of([(low, rng.randrange(low + 1, 1_441))], step=rng.choice((7, 30, 60)), minutes=rng.choice((5, 60)))
    had = set(hours.between(NOW, NOW + 32 * DAY))
    starts = {time.starts_at for time in had}
    asked = {NOW + rng.randrange(32 * 1_440) * MINUTE for _ in range(50)} | set(
        rng.sample(sorted(starts), len(starts) // 3)
    )
    asked |= {start + timedelta(seconds=1) for start in list(asked)[:10]}
    assert hours.having(asked) == asked & starts
