"""One fold of events for all who look at the same thing, told to all of them.

Whatever is shown is told in order, each change once, with a cursor. How somebody comes in, and comes back, is in
`live_entrance`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from app.ports import ShiftedClock, StreamUnavailable
from app.queries.availability_search import aside
from app.queries.event import Event
from app.resolvers.event_feed import EventFeed, FeedOverflow, Subscription
from app.resolvers.live_channel import Listener
from app.resolvers.live_entrance import Entrance
from app.resolvers.live_history import History
from app.resolvers.live_kind import Kind
from app.resolvers.live_lane import Lane
from app.resolvers.live_place import Place
from app.resolvers.live_run import Apart, Keeper, Run

V = TypeVar("V")
U = TypeVar("U")

LONGEST_WAIT_S = 3_600.0
LINGER_S = 10.0
"""A source goes on for so long after its last listener left: who was cut finds it again."""


class LiveSource(Generic[V, U]):
    """Channels are its lanes. It runs while there are listeners, and a little longer; then it can begin again."""

    def __init__(self, kind: Kind[Any, V, Any, U], feed: EventFeed, clock: ShiftedClock, keeper: Keeper) -> None:
        self.kind = kind
        self.feed = feed
        self._clock = clock
        self._keeper = keeper
        self._lanes: WeakValueDictionary[int, Lane[U]] = WeakValueDictionary()
        self._active: dict[Lane[U], None] = {}
        self._apart: dict[Listener[U], Apart[V, U]] = {}
        self._joining = 0
        self._task: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._run: Run[V, U] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._stepping = asyncio.Lock()
        self._drawing = asyncio.Lock()
        self.reading = asyncio.Lock()
        self.pulse = asyncio.Event()
        """Set, and replaced by another, after each step."""

    # ── for lanes ────────────────────────────────────────────────────────────────────────────────────

    def lane(self, pace_ms: int = 0) -> Lane[U]:
        """The channel of those who hear at this pace."""
        lane = self._lanes.get(pace_ms)
        if lane is None:
            lane = self._lanes[pace_ms] = Lane(self, pace_ms / 1_000)
        return lane

    @property
    def is_public(self) -> bool:
        return self.kind.is_public

    def merge(self, earlier: U, later: U) -> U:
        return self.kind.merge(earlier, later)

    def is_empty(self, update: U) -> bool:
        return self.kind.is_empty(update)

    async def enter(self, lane: Lane[U], listener: Listener[U], after: str | None) -> Sequence[U]:
        """Raises BadInput, NotFound, StreamUnavailable and what reading raises."""
        self._joining += 1
        try:
            opening = await Entrance(self, lane, listener).open(after)
            self._keeper.gains()
            return opening
        finally:
            self._joining -= 1
            self._rest_if_alone()

    def leave(self, lane: Lane[U], listener: Listener[U]) -> None:
        self._apart.pop(listener, None)
        lane.dismiss(listener)
        if not len(lane):
            self._active.pop(lane, None)
        self._rest_if_alone()

    def resync(self) -> U:
        """All as it is now. Who is told apart joins the others: nobody can say whose resync this is."""
        run = self.run
        whole = self.resync_of(run)
        for listener, apart in self._let_in():
            listener.told(whole)
            self.admit(apart.lane, listener)
        return whole

    # ── for who comes in ─────────────────────────────────────────────────────────────────────────────

    @property
    def run(self) -> Run[V, U]:
        """Raises StreamUnavailable when it ended meanwhile."""
        if self._run is None:
            raise StreamUnavailable("the source has ended")
        return self._run

    @property
    def has_view(self) -> bool:
        return self._run is not None

    def now(self) -> datetime:
        return self._clock.now()

    def listener_count(self) -> int:
        return sum(map(len, self._active)) + len(self._apart)

    async def started(self) -> Run[V, U]:
        """Begin, unless it runs. Raises what reading raises."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
            self._keeper.wakes(self)
        if self._started is None:
            self._keeper.begins(self)
            self._started = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._live(self._started), name="live source")
        await asyncio.shield(self._started)
        return self.run

    def reached(self, run: Run[V, U]) -> int:
        """Every event up to here is in the view."""
        if run.is_busy or run.subscription.has_news:
            return run.place.position
        return max(run.place.position, self.feed.position)

    async def pass_time(self, run: Run[V, U]) -> None:
        """What time alone has changed is told before anybody comes in."""
        if self._is_due(run):
            async with self._stepping:
                if self._is_due(run):
                    await self._tick(run)

    def _is_due(self, run: Run[V, U]) -> bool:
        return run is self._run and run.due is not None and run.due <= self.now()

    async def snapshot(self, run: Run[V, U]) -> tuple[U, int]:
        """One object for all who come in while nothing changes, and after how many updates it is.

        Raises BadInput when it is too large.
        """
        async with self._drawing:
            if run.snapshot is None:
                view, cursor, number = run.view, self._cursor(run), run.history.number
                made: U = await aside(self.kind.people(view, is_whole=True), self.kind.snapshot, view, cursor)
                if number != run.history.number:
                    return made, number  # what has changed meanwhile follows it
                run.snapshot = made
                run.history.stands(cursor)
            return run.snapshot, run.history.number

    def resync_of(self, run: Run[V, U]) -> U:
        """The same for those who have something that is of no use any more."""
        if run.resync is None:
            if run.snapshot is None:
                cursor = self._cursor(run)
                run.snapshot = self.kind.snapshot(run.view, cursor)
                run.history.stands(cursor)
            run.resync = self.kind.as_resync(run.snapshot)
        return run.resync

    def admit(self, lane: Lane[U], listener: Listener[U]) -> None:
        """One who has everything as of now."""
        self._active[lane] = None
        lane.admit(listener)

    def set_apart(self, listener: Listener[U], apart: Apart[V, U]) -> None:
        self._apart[listener] = apart
        run, before = self.run, self.run.due
        self._plan(run)
        if run.due is not None and (before is None or run.due < before):
            run.subscription.nudge()  # it waits for something later

    def _cursor(self, run: Run[V, U]) -> str:
        return Place(self.reached(run), set(run.place.seen)).cursor(self.kind.instant(run.view))

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────

    def _rest_if_alone(self) -> None:
        if self._started is not None and not self._joining and not self.listener_count() and self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(LINGER_S, self.stop)
            self._keeper.rests(self)

    def stop(self) -> None:
        """Whoever still listens is told that it ended."""
        task = self._task
        self._end(StreamUnavailable("the stream was ended"))
        if task is not None:
            task.cancel()

    def _end(self, error: Exception) -> None:
        started, self._started, self._task, self._run = self._started, None, None, None
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._keeper.ended(self)
        if started is not None and not started.done():
            started.set_exception(error)
            started.exception()  # nobody may be waiting
        active, self._active = self._active, {}
        for lane in active:
            lane.end(error)
        for listener, _ in self._let_in():
            listener.ended(error)
        self._stir()

    async def _live(self, started: asyncio.Future[None]) -> None:
        try:
            await self._follow_all(started)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if self._started is started:
                self._end(error)

    async def _follow_all(self, started: asyncio.Future[None]) -> None:
        subjects = await self.kind.subjects()
        types: list[str] = []
        while True:
            async with self.feed.subscribe(subjects, self.kind.told()) as subscription:
                # First we listen, then we read: what falls between the two comes twice, and positions tell.
                reading = await self.kind.read()
                if reading.subjects != subjects:
                    subjects = reading.subjects  # somebody began or ceased to offer it: listen to those, read again
                    continue
                await self._take_in(reading, subscription, types)
                if not started.done():
                    started.set_result(None)
                try:
                    await self._follow(self.run)
                except _ConfigurationChanged as changed:
                    types = changed.types
                except FeedOverflow:
                    types = []
                self.run.is_busy = True

    async def _take_in(self, reading: Any, subscription: Subscription, types: Sequence[str]) -> None:
        """What was read: the beginning, or the difference to what was known. No types: nobody knows, all is new."""
        kind, crowd = self.kind, self.kind.crowd(reading)
        change = None
        async with self._stepping:
            old, now = self._run, self.now()
            view: V
            if old is None or not types:
                view = await aside(crowd, kind.begin, reading, now)
            else:
                view, change = await aside(crowd, kind.reload, old.view, reading, now, types)
            place = Place(reading.position, set(reading.seen))
            run = self._run = Run(
                view=view,
                place=place,
                history=History(place.position),
                subscription=subscription,
                subjects=reading.subjects,
                refusal=reading.refusal,
                since=kind.instant(view),
            )
            self._plan(run)
            if change is not None:
                self._tell(run, change)
            elif old is not None and not types:
                self._tell_all(self.resync_of(run))
            for listener, apart in self._let_in():
                listener.told(self.resync_of(run))
                self.admit(apart.lane, listener)
        self._stir()

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────

    async def _follow(self, run: Run[V, U]) -> None:
        """Events as they come, and the passing of time between them. Ends by an exception."""
        while True:
            batch = await run.subscription.next(_seconds_until(run.due, self.now()))
            run.is_busy = True
            async with self._stepping:
                if not batch:
                    await self._tick(run)
                for event in batch:
                    await self._take(run, event)
                    await asyncio.sleep(0)  # there may be a thousand, and thousands who are told of each
            run.is_busy = False
            self._stir()

    async def _tick(self, run: Run[V, U]) -> None:
        now = self.now()
        view, change = await self._aside(self.kind.tick, run.view, now)
        self._step(run, view, run.place, change)
        for listener, apart in tuple(self._apart.items()):
            apart.view, change = self.kind.tick(apart.view, now)
            self._tell_apart(listener, apart, change)
        self._plan(run)

    async def _take(self, run: Run[V, U], event: Event) -> None:
        now, place = self.now(), Place(run.place.position, set(run.place.seen))
        if event.position is None or event.position <= run.place.position:
            return
        if not self.kind.is_public:
            await self.kind.check()
        view, change = run.view, None
        if place.is_new(event):
            if self.kind.is_configuration(event):
                raise _ConfigurationChanged([event.type])
            view, change = await self._aside(self.kind.fold, run.view, event, now)
        run.history.happened(event)
        self._step(run, view, place, change)
        for listener, apart in tuple(self._apart.items()):
            if apart.place.is_new(event):
                apart.view, change = self.kind.fold(apart.view, event, now)
                self._tell_apart(listener, apart, change)
        self._unite(run)
        self._plan(run)

    async def _aside(self, work: Any, view: V, *more: Any) -> Any:
        return await aside(self.kind.people(view), work, view, *more)

    def _step(self, run: Run[V, U], view: V, place: Place, change: Any) -> None:
        moved = place.position != run.place.position
        run.view, run.place = view, place
        if moved or change is not None:
            run.since = self.kind.instant(view)
        if change is not None:
            self._tell(run, change)
        elif moved:
            run.snapshot = run.resync = None  # so that its cursor does not grow old

    def _plan(self, run: Run[V, U]) -> None:
        views = [run.view, *(apart.view for apart in self._apart.values())]
        due = [instant for view in views if (instant := self.kind.next_tick(view)) is not None]
        run.due = min(due, default=None)

    def _tell(self, run: Run[V, U], change: Any) -> None:
        cursor = run.place.cursor(self.kind.instant(run.view))
        update = self.kind.change(run.view, change, cursor)
        run.history.told(cursor, update)
        run.snapshot = run.resync = None
        self._tell_all(update)

    def _tell_all(self, update: U) -> None:
        for lane in tuple(self._active):
            lane.tell(update)

    # ── those who are told apart ─────────────────────────────────────────────────────────────────────

    def _tell_apart(self, listener: Listener[U], apart: Apart[V, U], change: Any) -> None:
        if change is not None:
            cursor = apart.place.cursor(self.kind.instant(apart.view))
            listener.told(self.kind.change(apart.view, change, cursor))

    def _unite(self, run: Run[V, U]) -> None:
        """Who has by now just what the others have joins them."""
        for listener, apart in tuple(self._apart.items()):
            if apart.place.seen != run.place.seen or listener not in self._apart:
                continue
            now = self.now()
            view, change = self.kind.tick(run.view, now)
            self._step(run, view, run.place, change)
            apart.view, change = self.kind.tick(apart.view, now)
            self._tell_apart(listener, apart, change)
            if self._apart.pop(listener, None) is not None:
                if not self.kind.looks_alike(run.view, apart.view):
                    listener.told(self.resync_of(run))
                self.admit(apart.lane, listener)

    def _let_in(self) -> list[tuple[Listener[U], Apart[V, U]]]:
        apart, self._apart = self._apart, {}
        return list(apart.items())

    def _stir(self) -> None:
        pulse, self.pulse = self.pulse, asyncio.Event()
        pulse.set()


class _ConfigurationChanged(Exception):
    """What cannot be folded: all has to be read once more."""

    def __init__(self, types: list[str]) -> None:
        super().__init__(types)
        self.types = types


def _seconds_until(instant: datetime | None, now: datetime) -> float:
    if instant is None:
        return LONGEST_WAIT_S
    return min(LONGEST_WAIT_S, max(0.0, (instant - now).total_seconds()))
