"""What all share who look at the same slot: one fold, whose updates each tell all there is to see.

Since no update builds on the one before, two in succession are merged by leaving out the first. How somebody comes back
with a cursor is in `slot_entrance`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from app.domain.live import AvailabilityCause
from app.domain.slot_watch import SlotLook
from app.ports import StreamUnavailable
from app.queries.availability_search import aside
from app.resolvers.event_feed import EventFeed, FeedOverflow, Subscription
from app.resolvers.live_availability import LONGEST_WAIT_S, EventKind, read_cursor
from app.resolvers.live_channel import Listener
from app.resolvers.live_entrance import CATCH_UP_WAIT_S
from app.resolvers.live_history import History
from app.resolvers.live_place import Place
from app.resolvers.presence import Presence
from app.resolvers.slot_entrance import missed_since
from app.resolvers.slot_fold import PATIENCE, Reconfigured, SlotFold, SlotSource, SlotUpdate, Told, is_due


@dataclass(slots=True, eq=False)
class SlotRun:
    """A channel while somebody listens. `told`, `place`, `at` and `history` change together; `fold` is ahead of them in
    the midst of a step."""

    fold: SlotFold
    subscription: Subscription
    told: Told
    place: Place
    at: datetime
    history: History[Told] = field(default_factory=lambda: History(0))
    whole: dict[EventKind, SlotUpdate] = field(default_factory=dict)
    is_busy: bool = True
    """Events that were taken from the subscription are not folded yet."""
    patience: int = PATIENCE
    """How often it is still worth while to wait for numbers: as before with each event that has one."""


class SlotChannel:
    """A Channel of SlotUpdate. Runs while somebody listens."""

    def __init__(self, source: SlotSource, feed: EventFeed, clock: Callable[[], datetime], presence: Presence) -> None:
        self.source = source
        self.clock = clock
        self._feed = feed
        self._presence = presence
        self._listeners: dict[Listener[SlotUpdate], Callable[[], None]] = {}
        """With what to call when they look away."""
        self._joining = 0
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._run: SlotRun | None = None
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._pulse = asyncio.Event()
        """Set, and replaced by another, after each step."""

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
            if resume is None or after is None:
                opening = [self.whole(EventKind.SNAPSHOT)]
            else:
                opening = await missed_since(self, after, resume)
            self._listeners[listener] = self._presence.enter(self.run.fold.looked_at())
            return opening
        finally:
            self._joining -= 1
            self._stop_if_unused()

    def leave(self, listener: Listener[SlotUpdate]) -> None:
        look_away = self._listeners.pop(listener, None)
        if look_away is not None:
            look_away()
        self._stop_if_unused()

    def merge(self, earlier: SlotUpdate, later: SlotUpdate) -> SlotUpdate:
        return later if earlier.kind is EventKind.CHANGE else replace(later, kind=earlier.kind)

    def resync(self) -> SlotUpdate:
        return self.whole(EventKind.RESYNC)

    # ── for who comes in ──────────────────────────────────────────────────────────────────────────────

    @property
    def run(self) -> SlotRun:
        """Raises StreamUnavailable when it ended meanwhile."""
        if self._run is None:
            raise StreamUnavailable("the channel has ended")
        return self._run

    def whole(self, kind: EventKind) -> SlotUpdate:
        """The same object for all who join until something happens."""
        run = self.run
        if kind not in run.whole:
            run.whole[kind] = replace(run.told.update, kind=kind, cause=None, cursor=self.cursor())
            run.history.stands(run.whole[kind].cursor)
        return run.whole[kind]

    def cursor(self) -> str:
        """Of what was told last, as far as the log was followed since."""
        run = self.run
        return Place(self.reached(), set(run.place.seen)).cursor(run.at)

    def reached(self) -> int:
        """Every event up to here is in what was told."""
        run = self.run
        if run.is_busy or run.subscription.has_news:
            return run.place.position
        return max(run.place.position, self._feed.position)

    async def until_reached(self, position: int) -> None:
        """Raises StreamUnavailable when that takes long, or the channel ends."""
        await self._feed.wait_for(position)
        try:
            async with asyncio.timeout(CATCH_UP_WAIT_S):
                while self.reached() < position:
                    await self._pulse.wait()
        except TimeoutError:
            raise StreamUnavailable("the channel does not get on") from None

    async def once(self, key: str, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Do it; those who want the same meanwhile wait for it, too. Raises what it raises."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(work(), name="slot replay")
            task.add_done_callback(partial(self._done, key))
        await asyncio.shield(task)

    def _done(self, key: str, task: asyncio.Task[None]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever waits raises it

    async def update(self, fold: SlotFold, look: SlotLook, cause: AvailabilityCause | None) -> SlotUpdate:
        """What is told of this look, as of the fold's place."""
        cursor = fold.place.cursor(fold.now)
        return SlotUpdate(EventKind.CHANGE, cursor, await self.source.complete(look), fold.currency, cause)

    # ── running ───────────────────────────────────────────────────────────────────────────────────────

    async def _running(self) -> None:
        """Until the first reading is there. Raises what it raised."""
        if self._task is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._ready.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever waits raises it
            self._task = asyncio.create_task(self._live(self._ready), name="slot channel")
        assert self._ready is not None
        await asyncio.shield(self._ready)

    def _stop_if_unused(self) -> None:
        if not self._listeners and not self._joining and self._task is not None:
            for task in (self._task, *self._under_way.values()):
                task.cancel()
            self._forget()

    def _forget(self) -> None:
        self._task = self._ready = self._run = None
        self._stir()

    async def _live(self, ready: asyncio.Future[None]) -> None:
        try:
            await self._follow_for_ever(ready)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if self._ready is ready:  # else nobody waits for this one any more
                self._end(ready, error)

    def _end(self, ready: asyncio.Future[None], error: Exception) -> None:
        self._forget()
        if not ready.done():
            ready.set_exception(error)
        listeners, self._listeners = self._listeners, {}
        for listener, look_away in listeners.items():
            look_away()
            listener.ended(error)

    async def _follow_for_ever(self, ready: asyncio.Future[None]) -> None:
        subjects = (await self.source.read(None)).subjects
        has_lost_events, cause = False, None
        while True:
            async with self._feed.subscribe(subjects) as subscription:
                # First we listen, then we read: what falls between the two comes twice, and positions tell.
                reading = await self.source.read(None)
                if reading.subjects != subjects:
                    subjects = reading.subjects  # somebody began or ceased to do it: listen to those, then read again
                    continue
                await self._adopt(reading.fold, subscription, cause, has_lost_events=has_lost_events)
                if not ready.done():
                    ready.set_result(None)
                has_lost_events, cause = False, None
                try:
                    await self._follow(self.run)
                except Reconfigured as change:
                    cause = change.cause
                except FeedOverflow:
                    has_lost_events = True
                self.run.is_busy = True

    async def _adopt(
        self, fold: SlotFold, subscription: Subscription, cause: AvailabilityCause | None, *, has_lost_events: bool
    ) -> None:
        """Go on from a new reading: what is different is told as one change, or a RESYNC where events were lost."""
        run, look = self._run, await aside(fold.people, fold.look)
        if run is None:
            told = Told(fold.place.position, look, await self.update(fold, look, None))
            run = self._run = SlotRun(fold, subscription, told, fold.place, fold.now)
        else:
            before, run.fold, run.subscription = run.fold, fold, subscription
            if has_lost_events:
                await self._tell(run, look, None, EventKind.RESYNC)
            elif look != run.told.look:
                await self._tell(run, look, cause or self.source.reason(before, fold))
        self._arrive(run)
        run.is_busy = False
        self._stir()

    async def _follow(self, run: SlotRun) -> None:
        """Events as they come, and the passing of time between them."""
        fold = run.fold
        while True:
            due, now = fold.next_tick(), self.clock()
            wait_s = LONGEST_WAIT_S if due is None else min(LONGEST_WAIT_S, max(0.0, (due - now).total_seconds()))
            batch = await run.subscription.next(wait_s)
            run.is_busy = True
            if is_due(fold, self.clock()):
                await self._step(run, fold.pass_time, self.clock())
            if batch:
                run.patience = PATIENCE
            for event in batch:
                if fold.place.is_new(event):
                    await self._step(run, fold.take, event)
                    await asyncio.sleep(0)  # there may be a thousand
            self._arrive(run)
            run.is_busy = False
            self._stir()

    async def _step(self, run: SlotRun, step: Callable[..., AvailabilityCause | None], given: object) -> None:
        cause = await aside(run.fold.people, step, given)
        look = await aside(run.fold.people, run.fold.look)
        if look != run.told.look:
            await self._tell(run, look, cause)
        self._arrive(run)

    async def _tell(
        self, run: SlotRun, look: SlotLook, cause: AvailabilityCause | None, kind: EventKind = EventKind.CHANGE
    ) -> None:
        update = replace(await self.update(run.fold, look, cause), kind=kind)
        run.told = Told(run.fold.place.position, look, update)
        run.history.told(update.cursor, run.told)
        for listener in list(self._listeners):
            listener.told(update)

    @staticmethod
    def _arrive(run: SlotRun) -> None:
        """What was told is what the log says up to here."""
        place = run.fold.place
        run.place, run.at = Place(place.position, set(place.seen)), run.fold.now
        run.whole.clear()

    def _stir(self) -> None:
        pulse, self._pulse = self._pulse, asyncio.Event()
        pulse.set()
