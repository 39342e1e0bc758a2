"""What all share who look at the same slot: one fold, whose updates each tell all there is to see.

Since no update builds on the one before, two in succession are merged by leaving out the first, and a joiner that comes
back with a cursor is led over from its own replay to what the others hear by comparing what is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.live import AvailabilityCause
from app.domain.live_codec import Cursor
from app.domain.presence import Look
from app.domain.slot_watch import SlotLook
from app.queries.availability_search import aside
from app.queries.event import Event
from app.resolvers.event_feed import EventFeed, FeedOverflow, Subscription
from app.resolvers.live_availability import LONGEST_WAIT_S, EventKind, read_cursor
from app.resolvers.live_channel import Listener
from app.resolvers.live_place import Place
from app.resolvers.presence import Presence


@dataclass(frozen=True, slots=True)
class SlotUpdate:
    """All there is to see. `cause` none: of a SNAPSHOT or RESYNC."""

    kind: EventKind
    cursor: str
    look: SlotLook
    currency: str
    cause: AvailabilityCause | None = None


class Reconfigured(Exception):
    """Hours, prices, lengths, people or blocked times are others now: all is read once more. `cause`: where it says."""

    def __init__(self, cause: AvailabilityCause | None) -> None:
        super().__init__(cause)
        self.cause = cause


class SlotFold(Protocol):
    """The state as of a place in the event log. Its steps are pure, and may take a while where `people` are many."""

    place: Place
    currency: str

    @property
    def now(self) -> datetime: ...

    @property
    def people(self) -> int: ...

    def look(self) -> SlotLook: ...

    def looked_at(self) -> Look | None:
        """What presence counts those who watch it for."""

    def take(self, event: Event) -> AvailabilityCause | None:
        """The state after an event, at the state's own instant, and what to call a change. Raises Reconfigured."""

    def pass_time(self, now: datetime) -> AvailabilityCause: ...

    def next_tick(self) -> datetime | None:
        """When time alone may change what is seen."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One snapshot. `fold` is of now, or (with `missed`) of the cursor that was asked for.

    `missed` none: nobody resumes there. `position`: where the log stood; what the fold saw of it is in its place.
    `subjects`: whose events change it.
    """

    fold: SlotFold
    subjects: frozenset[UUID]
    position: int
    unnumbered: frozenset[int]
    missed: Sequence[Event] | None = None


class SlotSource(Protocol):
    """Where a slot is read from."""

    async def read(self, resume: Cursor | None) -> Reading:
        """Raises NotFound, BadInput."""

    async def complete(self, look: SlotLook) -> SlotLook:
        """With what the fold does not know, before it is told."""

    def reason(self, before: SlotFold, after: SlotFold) -> AvailabilityCause:
        """Why what was read once more is different."""


@dataclass(frozen=True, slots=True)
class _Behind:
    """A joiner that has seen more of the log than the channel: it is told nothing until the channel is there, too."""

    position: int
    look: SlotLook


@dataclass(frozen=True, slots=True)
class _Told:
    position: int
    look: SlotLook
    update: SlotUpdate


class SlotChannel:
    """A Channel of SlotUpdate. Runs while somebody listens."""

    def __init__(self, source: SlotSource, feed: EventFeed, clock: Callable[[], datetime], presence: Presence) -> None:
        self._source = source
        self._feed = feed
        self._clock = clock
        self._presence = presence
        self._looking: dict[Listener[SlotUpdate], Callable[[], None]] = {}
        self._listeners: dict[Listener[SlotUpdate], _Behind | None] = {}
        self._joining = 0
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._fold: SlotFold | None = None
        self._told: _Told | None = None
        self._reached = 0
        self._whole_by_kind: dict[EventKind, SlotUpdate] = {}
        self._taps: list[list[_Told]] = []

    # ── listeners ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_public(self) -> bool:
        """It is read as by a guest; whoever has holds of their own there has a channel apart."""
        return True

    async def join(self, listener: Listener[SlotUpdate], after: str | None) -> Sequence[SlotUpdate]:
        resume = read_cursor(after)
        self._joining += 1
        try:
            await self._running()
            if resume is None:
                self._add(listener, None)
                return [self._whole(EventKind.SNAPSHOT)]
            opening, behind = await self._missed(resume)
            await self._running()
            self._add(listener, behind)
            return opening
        finally:
            self._joining -= 1
            self._stop_if_unused()

    def _add(self, listener: Listener[SlotUpdate], behind: _Behind | None) -> None:
        assert self._fold is not None
        self._listeners[listener] = behind
        self._looking[listener] = self._presence.enter(self._fold.looked_at())

    def leave(self, listener: Listener[SlotUpdate]) -> None:
        if listener in self._listeners:
            del self._listeners[listener]
            self._looking.pop(listener)()
        self._stop_if_unused()

    def merge(self, earlier: SlotUpdate, later: SlotUpdate) -> SlotUpdate:
        return later if earlier.kind is EventKind.CHANGE else replace(later, kind=earlier.kind)

    def resync(self) -> SlotUpdate:
        return self._whole(EventKind.RESYNC)

    def _whole(self, kind: EventKind) -> SlotUpdate:
        """The same object for all who join until something changes."""
        assert self._told is not None
        if kind not in self._whole_by_kind:
            self._whole_by_kind[kind] = replace(self._told.update, kind=kind, cause=None)
        return self._whole_by_kind[kind]

    def _stop_if_unused(self) -> None:
        if not self._listeners and not self._joining and self._task is not None:
            self._task.cancel()
            self._task = self._ready = None

    # ── coming back ───────────────────────────────────────────────────────────────────────────────────

    async def _missed(self, resume: Cursor) -> tuple[list[SlotUpdate], _Behind | None]:
        """What came since a cursor, each change for itself, up to where the others are or beyond."""
        tap: list[_Told] = []
        self._taps.append(tap)
        try:
            reading = await self._source.read(resume)
            if reading.missed is None:
                return [self._whole(EventKind.RESYNC)], None
            opening, seen = await self._replay(reading, reading.missed)
        finally:
            self._taps.remove(tap)
        reached = max((event.position or 0 for event in reading.missed), default=0)
        for told in tap:
            if told.position > reading.position and told.look != seen:
                opening.append(told.update)
                seen = told.look
        assert self._told is not None
        if self._reached < reached:
            return opening, _Behind(reached, seen)
        if self._told.look != seen:
            opening.append(self._told.update)
        return opening, None

    async def _replay(self, reading: Reading, missed: Sequence[Event]) -> tuple[list[SlotUpdate], SlotLook]:
        fold, now = reading.fold, self._clock()
        seen = await aside(fold.people, fold.look)
        opening: list[SlotUpdate] = []

        async def note(cause: AvailabilityCause | None) -> None:
            nonlocal seen
            current = await aside(fold.people, fold.look)
            if current != seen:
                seen = current
                opening.append(await self._update(fold, current, cause))

        for event in missed:
            if fold.place.is_new(event):
                if _is_due(fold, event.occurred_at):
                    await note(await aside(fold.people, fold.pass_time, event.occurred_at))
                await note(await aside(fold.people, fold.take, event))
        fold.place.position = max(fold.place.position, reading.position)
        fold.place.seen &= reading.unnumbered  # the others have got their numbers, and those are behind us
        if _is_due(fold, now):
            await note(await aside(fold.people, fold.pass_time, now))
        return opening, seen

    async def _update(self, fold: SlotFold, look: SlotLook, cause: AvailabilityCause | None) -> SlotUpdate:
        shown = await self._source.complete(look)
        return SlotUpdate(EventKind.CHANGE, fold.place.cursor(fold.now), shown, fold.currency, cause)

    # ── running ───────────────────────────────────────────────────────────────────────────────────────

    async def _running(self) -> None:
        """Until the first reading is there. Raises what it raised."""
        if self._task is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._ready.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever waits raises it
            self._task = asyncio.create_task(self._run(self._ready), name="slot channel")
        assert self._ready is not None
        await asyncio.shield(self._ready)

    async def _run(self, ready: asyncio.Future[None]) -> None:
        try:
            await self._follow_for_ever(ready)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._task = self._ready = None
            if not ready.done():
                ready.set_exception(error)
            for listener in list(self._listeners):
                del self._listeners[listener]
                self._looking.pop(listener)()
                listener.ended(error)

    async def _follow_for_ever(self, ready: asyncio.Future[None]) -> None:
        subjects = (await self._source.read(None)).subjects
        has_lost_events, cause = False, None
        while True:
            async with self._feed.subscribe(subjects) as subscription:
                # First we listen, then we read: what falls between the two comes twice, and positions tell.
                reading = await self._source.read(None)
                if reading.subjects != subjects:
                    subjects = reading.subjects  # somebody began or ceased to do it: listen to those, then read again
                    continue
                await self._adopt(reading.fold, cause, has_lost_events=has_lost_events)
                if not ready.done():
                    ready.set_result(None)
                has_lost_events, cause = False, None
                try:
                    await self._follow(reading.fold, subscription)
                except Reconfigured as change:
                    cause = change.cause
                except FeedOverflow:
                    has_lost_events = True

    async def _adopt(self, fold: SlotFold, cause: AvailabilityCause | None, *, has_lost_events: bool) -> None:
        """Go on from a new reading: what is different is told as one change, or a RESYNC where events were lost."""
        before, self._fold = self._fold, fold
        look = await aside(fold.people, fold.look)
        if self._told is None or before is None:
            self._told = _Told(fold.place.position, look, await self._update(fold, look, None))
        elif has_lost_events:
            await self._tell(fold, look, None, EventKind.RESYNC)
        elif look != self._told.look:
            await self._tell(fold, look, cause or self._source.reason(before, fold))
        self._lead_over(fold)

    async def _follow(self, fold: SlotFold, subscription: Subscription) -> None:
        """Events as they come, and the passing of time between them."""
        while True:
            due, now = fold.next_tick(), self._clock()
            wait_s = LONGEST_WAIT_S if due is None else min(LONGEST_WAIT_S, max(0.0, (due - now).total_seconds()))
            batch = await subscription.next(wait_s)
            if _is_due(fold, self._clock()):
                await self._step(fold, fold.pass_time, self._clock())
            for event in batch:
                if fold.place.is_new(event):
                    await self._step(fold, fold.take, event)

    async def _step(self, fold: SlotFold, step: Callable[..., AvailabilityCause | None], given: object) -> None:
        cause = await aside(fold.people, step, given)
        look = await aside(fold.people, fold.look)
        assert self._told is not None
        if look != self._told.look:
            await self._tell(fold, look, cause)
        self._lead_over(fold)

    async def _tell(
        self, fold: SlotFold, look: SlotLook, cause: AvailabilityCause | None, kind: EventKind = EventKind.CHANGE
    ) -> None:
        update = replace(await self._update(fold, look, cause), kind=kind)
        self._told = _Told(fold.place.position, look, update)
        self._whole_by_kind.clear()
        for tap in self._taps:
            tap.append(self._told)
        for listener, behind in list(self._listeners.items()):
            if behind is None:
                listener.told(update)

    def _lead_over(self, fold: SlotFold) -> None:
        """What is told is what the log says up to here: those who were ahead go on with the others."""
        told, self._reached = self._told, fold.place.position
        assert told is not None
        for listener, behind in list(self._listeners.items()):
            if behind is not None and self._reached >= behind.position:
                self._listeners[listener] = None
                if behind.look != told.look:
                    listener.told(told.update)


def _is_due(fold: SlotFold, now: datetime) -> bool:
    due = fold.next_tick()
    return due is not None and due <= now
