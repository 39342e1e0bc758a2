"""How somebody comes to a live source that runs: with a snapshot, or with what was missed since a cursor.

Where the source remembers what it told after that cursor, that is given. Else the events since are undone on the
source's own view, and played forward again: from what it remembers, or with what the database adds. It has to end
with what the source shows; if ever it does not, all is told anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from app.domain.errors import BadInput
from app.domain.live_codec import Cursor
from app.ports import StreamUnavailable
from app.queries.availability_search import FEW_PEOPLE, aside
from app.queries.event import Event, LogState
from app.resolvers.live_channel import Listener
from app.resolvers.live_lane import Lane
from app.resolvers.live_place import Place
from app.resolvers.live_run import Apart, Run

if TYPE_CHECKING:
    from app.resolvers.live_source import LiveSource

V = TypeVar("V")
U = TypeVar("U")

REPLAY_LIMIT = 2_000
"""Who missed more takes a new snapshot: that is less to send."""
EVENTS_AT_ONCE = 100
"""So many are played in a few milliseconds; more of them in a thread, like what is of many people."""
CLOCK_SKEW = timedelta(seconds=10)
"""A cursor may come from another process, whose clock is ahead of ours by so much."""
FEED_WAIT_S = 0.25
"""The feed is behind the database by less, when all is well."""
NUMBER_WAIT_S = 0.5
"""What is committed has a number by then, when all is well."""
CATCH_UP_WAIT_S = 5.0
STRANGERS_KEPT = 5_000
TRIES = 5


def read_cursor(after: str | None) -> Cursor | None:
    """Raises BadInput."""
    if after is None:
        return None
    try:
        return Cursor.decode(after)
    except ValueError as wrong:
        raise BadInput.at("after", str(wrong)) from None


def can_resume(log: LogState, resume: Cursor, now: datetime) -> bool:
    """Is every event after this cursor still there? No for one of another database, or of a clock that went back."""
    return log.purged_position <= resume.position <= log.last_position and resume.at <= now + CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class Replay(Generic[V, U]):
    """What somebody missed, and the view and the place that it leads to."""

    updates: list[U]
    view: V
    place: Place


class _Anew(Exception):
    """The cursor cannot be served: it gets everything."""


class Entrance(Generic[V, U]):
    """One listener's coming in. What it returns is as of the very moment at which the listener joins."""

    def __init__(self, source: LiveSource[V, U], lane: Lane[U], listener: Listener[U]) -> None:
        self._source = source
        self._kind = source.kind
        self._lane = lane
        self._listener = listener

    async def open(self, after: str | None) -> Sequence[U]:
        """Raises BadInput, NotFound, StreamUnavailable and what reading raises."""
        cursor = read_cursor(after)
        run = await self._source.started()
        if run.refusal is not None:
            raise run.refusal.with_traceback(None)
        if cursor is None or after is None:
            return await self._begin(is_resync=False)
        try:
            return await self._resume(after, cursor)
        except _Anew:
            return await self._begin(is_resync=True)

    async def _begin(self, *, is_resync: bool) -> Sequence[U]:
        while True:
            run = self._source.run
            await self._source.pass_time(run)
            whole, number = await self._source.snapshot(run)
            later = run.history.since(number) if run is self._source.run else None
            if later is not None:
                if is_resync:
                    whole = self._source.resync_of(run) if whole is run.snapshot else self._kind.as_resync(whole)
                self._source.admit(self._lane, self._listener)
                return [whole, *later]

    # ── coming back ──────────────────────────────────────────────────────────────────────────────────

    async def _resume(self, after: str, cursor: Cursor) -> Sequence[U]:
        """Raises _Anew."""
        if cursor.at > self._source.now() + CLOCK_SKEW:
            raise _Anew
        for _ in range(TRIES):
            run = self._source.run
            await self._source.pass_time(run)
            missed: Sequence[U] | None = run.history.missed(after) if run is self._source.run else None
            if missed is None:
                await self._catch_up(cursor)
                missed = await self._replayed(after, cursor)
            if missed is not None:
                self._source.admit(self._lane, self._listener)
                return missed
            if (apart := await self._set_apart(cursor)) is not None:
                return apart
        raise _Anew  # all changes faster than it can be read

    async def _catch_up(self, cursor: Cursor) -> None:
        """Until the source has come as far as the client. Raises _Anew, StreamUnavailable."""
        source = self._source
        if cursor.position > source.reached(source.run):
            try:
                await source.feed.wait_for(cursor.position, FEED_WAIT_S)
            except StreamUnavailable:
                if not await self._is_in_log(cursor):
                    raise _Anew from None
                await source.feed.wait_for(cursor.position)
            if not await self._until(lambda: source.reached(source.run) >= cursor.position, CATCH_UP_WAIT_S):
                raise StreamUnavailable("the live source does not get on")
        ahead_s = (cursor.at - source.now()).total_seconds()
        if ahead_s > 0 and source.run.due is not None and source.run.due <= cursor.at:
            await asyncio.sleep(ahead_s)  # a clock ahead of ours has told what ours has not come to yet
        if cursor.position < source.run.history.floor:
            await self._remember(cursor)
        if not self._has_the_same(cursor):
            await self._tell_strangers(cursor)
            await self._until(lambda: self._has_the_same(cursor), NUMBER_WAIT_S)
        await source.pass_time(source.run)

    async def _is_in_log(self, cursor: Cursor) -> bool:
        """Is it of something that we have not heard of? One asks for all who know of no more."""
        async with self._source.reading:
            run, now = self._source.run, self._source.now()
            if run.log is None or not can_resume(run.log, cursor, now):
                run.log = await self._kind.log_state()
            return can_resume(run.log, cursor, now)

    async def _until(self, is_true: Callable[[], bool], wait_s: float) -> bool:
        """Raises StreamUnavailable when the source ends meanwhile."""
        try:
            async with asyncio.timeout(wait_s):
                while not is_true():
                    await self._source.pulse.wait()
        except TimeoutError:
            return False
        return True

    async def _remember(self, cursor: Cursor) -> None:
        """Make the history reach back to this place. Raises _Anew."""
        async with self._source.reading:
            run = self._source.run
            if cursor.position >= run.history.floor:
                return
            if cursor.position <= run.lost:
                raise _Anew
            log, events = await self._kind.missed(run.subjects, cursor.position, REPLAY_LIMIT + 1)
            if not can_resume(log, cursor, self._source.now()) or len(events) > REPLAY_LIMIT:
                run.lost = cursor.position  # for who stands before it, it is no less
                raise _Anew
            run.history.extend(cursor.position, events)

    async def _tell_strangers(self, cursor: Cursor) -> None:
        """Which ids of the cursor are of no concern here."""
        async with self._source.reading:
            run = self._source.run
            if cursor.position >= run.history.floor and (unknown := self._unnumbered(run, cursor) - run.place.seen):
                if len(run.strangers) > STRANGERS_KEPT:
                    run.strangers.clear()
                run.strangers |= await self._kind.strangers(run.subjects, unknown)

    def _has_the_same(self, cursor: Cursor) -> bool:
        """Are there no events without a number that only one of the two has?"""
        run = self._source.run
        if cursor.position < run.history.floor:
            return True  # another question
        return self._unnumbered(run, cursor) == run.place.seen

    @staticmethod
    def _unnumbered(run: Run[V, U], cursor: Cursor) -> frozenset[int]:
        return cursor.seen - run.strangers - {event.id for event in run.history.after(cursor.position)}

    async def _replayed(self, after: str, cursor: Cursor) -> Sequence[U] | None:
        """What came after the cursor, as of now. None: it cannot be told so. Raises _Anew."""
        source, run = self._source, self._source.run
        history = run.history
        known = history.missed(after)  # another one with this cursor was quicker
        if known is not None or cursor.position < history.floor or not self._has_the_same(cursor):
            return known
        events = history.after(cursor.position)
        missed = [event for event in events if event.id not in cursor.seen]
        if len(missed) > REPLAY_LIMIT or any(map(self._kind.is_configuration, missed)):
            raise _Anew
        if not missed and run.since <= cursor.at and (run.due is None or cursor.at < run.due):
            return []
        place = Place(cursor.position, {event.id for event in events if event.id in cursor.seen} | run.place.seen)
        number, view = history.number, run.view
        people = self._kind.people(view, is_whole=True)
        work = people if len(missed) <= EVENTS_AT_ONCE else people + FEW_PEOPLE
        replay = await aside(work, self._replay, view, _Past(cursor.at, place, missed, events), source.now())
        if not self._kind.looks_alike(view, replay.view):
            raise _Anew
        later = history.since(number) if run is source.run else None
        if later is None:
            return None
        history.opened(after, replay.updates, number)
        return [*replay.updates, *later]

    def _replay(self, view: V, past: _Past, now: datetime) -> Replay[V, U]:
        """Each change for itself, at the instant when it happened; then what time has changed since."""
        kind, place = self._kind, past.place
        then = kind.rewound(view, past.undone, past.redone, past.at)
        updates: list[U] = []
        for event in past.events:
            if place.is_new(event):
                then, change = kind.fold(then, event, max(kind.instant(then), event.occurred_at))
                if change is not None:
                    updates.append(kind.change(then, change, place.cursor(kind.instant(then))))
        then, change = kind.tick(then, now)
        if change is not None:
            updates.append(kind.change(then, change, place.cursor(kind.instant(then))))
        return Replay(updates, then, place)

    # ── told apart ───────────────────────────────────────────────────────────────────────────────────

    async def _set_apart(self, cursor: Cursor) -> Sequence[U] | None:
        """For one who has events that the source has not, or the other way round, and none of them has a number.

        None: everything is different by now; try again. Raises _Anew.
        """
        source, run = self._source, self._source.run
        log, found = await self._kind.missed(run.subjects, cursor.position, REPLAY_LIMIT + 1)
        if not can_resume(log, cursor, source.now()) or len(found) > REPLAY_LIMIT:
            raise _Anew
        run = source.run
        reached = source.reached(run)
        if reached < max(cursor.position, run.history.floor) or cursor.position < run.history.floor:
            return None
        numbered = run.history.after(cursor.position)
        events = _in_order({event.id: event for event in (*found, *numbered)}.values())
        past = _Past.between(events, cursor, run.place, reached)
        if any(map(self._kind.is_configuration, (*past.undone, *past.redone))):
            raise _Anew
        replay = self._replay(run.view, past, source.now())
        if replay.place.seen == run.place.seen:
            if not self._kind.looks_alike(run.view, replay.view):
                raise _Anew
            source.admit(self._lane, self._listener)
        else:
            place = Place(reached, replay.place.seen)
            source.set_apart(self._listener, Apart(self._lane, replay.view, place))
        return replay.updates


@dataclass(frozen=True, slots=True)
class _Past:
    """A client's place, and how it differs from the source's: which events to undo, which to do besides, and which to
    play then."""

    at: datetime
    place: Place
    undone: Sequence[Event]
    events: Sequence[Event]
    redone: Sequence[Event] = ()

    @classmethod
    def between(cls, events: Sequence[Event], cursor: Cursor, place: Place, reached: int) -> _Past:
        """`events`: all that are not before the cursor, in order; `place` and `reached` are the source's."""

        def is_numbered(event: Event) -> bool:
            return event.position is not None and event.position <= reached

        has = {event.id for event in events if is_numbered(event) or event.id in place.seen}
        return cls(
            at=cursor.at,
            # Ids that are of no event of ours here are forgotten.
            place=Place(cursor.position, {event.id for event in events if event.id in cursor.seen}),
            undone=[event for event in events if event.id in has and event.id not in cursor.seen],
            events=[event for event in events if is_numbered(event)],
            redone=[event for event in events if event.id not in has and event.id in cursor.seen],
        )


def _in_order(events: Iterable[Event]) -> list[Event]:
    """As they are numbered, or will be."""
    return sorted(events, key=lambda event: (event.position is None, event.position or 0, event.id))
