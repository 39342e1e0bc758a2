"""What happens, as it happens: one ordered, gapless reading of the event log for all subscribers of a process."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

import msgspec
import structlog

from app.core.database import Database
from app.core.outages import Outage
from app.ports import EventStream, StreamUnavailable
from app.queries.event import Event, decode_event, events_after, log_state

log = structlog.get_logger(__name__)

QUEUE_LIMIT = 1_000
"""Events a subscriber may be behind."""
PAGE = 1_000
POLL_S = 1.0
"""Between looks into PostgreSQL while the stream is away."""
SILENCE_S = 5.0
"""A stream that says nothing for so long is not believed without a look."""
START_TIMEOUT_S = 5.0


class FeedOverflow(Exception):
    """Events of this subscription were dropped, since its reader was too slow or the log was cut off.

    Raised once; read the state anew (it is at least at `Subscription.position_at_start`) and go on listening.
    """


class Subscription:
    """Events of some subjects, and those that some are told, in order, each once: all those after
    `position_at_start`."""

    def __init__(self, subject_ids: Collection[UUID], position: int, told: Collection[UUID] = ()) -> None:
        self.subject_ids = frozenset(subject_ids)
        self.told = frozenset(told)
        self.position_at_start = position
        self._waiting: list[Event] = []
        self._has_news = asyncio.Event()
        self._overflowed = False

    @property
    def has_news(self) -> bool:
        """Does something wait to be taken?"""
        return self._has_news.is_set()

    async def next(self, timeout_s: float | None = None) -> list[Event]:
        """What has come since the last call; waits for the first. Empty after `timeout_s`. Raises FeedOverflow."""
        if not self._has_news.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._has_news.wait()
            except TimeoutError:
                return []
        self._has_news.clear()
        if self._overflowed:
            self._overflowed = False
            raise FeedOverflow
        batch, self._waiting = self._waiting, []
        return batch

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> list[Event]:
        return await self.next()

    def nudge(self) -> None:
        """End the wait for what comes, with nothing, so that the reader looks when it has to wait until."""
        self._has_news.set()

    def deliver(self, events: Sequence[Event], position: int) -> None:
        """For the feed. `position`: where it stands with these events."""
        if self._overflowed or len(self._waiting) + len(events) > QUEUE_LIMIT:
            self.cut_off(position)
            return
        self._waiting.extend(events)
        self._has_news.set()

    def cut_off(self, position: int) -> None:
        """For the feed: drop what waits, and say so."""
        self._waiting.clear()
        self._overflowed = True
        self.position_at_start = position
        self._has_news.set()


class EventFeed:
    """One for each process. `database` acts as turnero_system, since events of all organizations pass here."""

    def __init__(
        self, database: Database, stream: EventStream, *, poll_s: float = POLL_S, silence_s: float = SILENCE_S
    ) -> None:
        self._database = database
        self._stream = stream
        self._poll_s = poll_s
        self._silence_s = silence_s
        self._position: int | None = None
        self._looked_at = 0.0
        self._histories = 0
        self._subscriptions: dict[UUID, set[Subscription]] = defaultdict(set)
        self._told: dict[UUID, set[Subscription]] = defaultdict(set)
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._database_outage = Outage("feed.database")
        self._stream_outage = Outage("feed.stream")

    @property
    def position(self) -> int:
        """Of the last event that was delivered. Raises StreamUnavailable before the log could be read at all."""
        if self._position is None:
            raise StreamUnavailable("the event log has not been read yet")
        return self._position

    async def start(self) -> None:
        """Begin in the background, at the newest event. A database that does not answer yet is waited for there."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="event feed")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    @asynccontextmanager
    async def subscribe(
        self, subject_ids: Collection[UUID], told: Collection[UUID] = ()
    ) -> AsyncGenerator[Subscription, None]:
        """Listen inside the block to these subjects, and to whatever has one of `told` in its audience.

        Raises StreamUnavailable when the log cannot be read for 5 s.
        """
        if self._position is None:
            await self._wait_until(0, START_TIMEOUT_S)
        subscription = Subscription(subject_ids, self.position, told)
        ways = ((self._subscriptions, subscription.subject_ids), (self._told, subscription.told))
        for listeners, keys in ways:
            for key in keys:
                listeners[key].add(subscription)
        try:
            yield subscription
        finally:
            for listeners, keys in ways:
                for key in keys:
                    listeners[key].discard(subscription)
                    if not listeners[key]:
                        del listeners[key]

    async def wait_for(self, position: int, timeout_s: float = START_TIMEOUT_S) -> None:
        """Until everything up to `position` was delivered. Raises StreamUnavailable after `timeout_s`."""
        await self._wait_until(position, timeout_s)

    async def _wait_until(self, position: int, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(lambda: self._position is not None and self._position >= position)
        except TimeoutError:
            raise StreamUnavailable("the event log does not get on") from None

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        while True:
            try:
                await self._catch_up()
                self._database_outage.ok()
                await self._check_stream()
                await self._follow()
            except StreamUnavailable as error:
                self._stream_outage.failed(error)
                await asyncio.sleep(self._poll_s)
            except Exception as error:
                await asyncio.sleep(self._database_outage.failed(error))

    async def _check_stream(self) -> None:
        """Raises StreamUnavailable for a stream that is ahead of the database: it tells of an undone history."""
        streamed = await self._stream.last_position()
        await self._catch_up()
        if streamed > self.position:
            raise StreamUnavailable("the stream is ahead of the database; the relay will begin it anew")

    async def _follow(self) -> None:
        """Along the stream; back to PostgreSQL at every gap, and now and then in silence. Ends when history changed."""
        history = self._histories
        async with aclosing(self._stream.follow(self.position)) as batches:
            async for batch in batches:
                self._stream_outage.ok()
                if batch:
                    await self._take(batch)
                elif time.monotonic() - self._looked_at >= self._silence_s:
                    await self._catch_up()
                if self._histories != history:
                    return

    async def _take(self, batch: Sequence[tuple[int, bytes]]) -> None:
        fresh: list[Event] = []
        position = self.position
        for at, body in batch:
            if at <= position:
                continue
            event = _decode(at, body) if at == position + 1 else None
            if event is None:
                await self._deliver(fresh)
                fresh = []
                await self._catch_up()
                position = self.position
            else:
                fresh.append(event)
                position = at
        await self._deliver(fresh)

    async def _catch_up(self) -> None:
        """Deliver from PostgreSQL until there is nothing more."""
        while True:
            async with self._database.snapshot() as tx:
                state = await log_state(tx)
                self._stream.attach(state.installation_id)
                if self._position is None:
                    await self._move_to(state.last_position)
                events = await events_after(tx, self.position, PAGE)
            self._looked_at = time.monotonic()
            following = events[0].position if events else state.last_position + 1
            if state.last_position < self.position or following != self.position + 1:
                # A restored backup, or a log that was purged while we were away.
                log.warning("feed.history_lost", position=self.position, last_position=state.last_position)
                await self._cut_off(state.last_position)
                return
            await self._deliver(events)
            if len(events) < PAGE:
                return

    # ── delivering ────────────────────────────────────────────────────────────────────────────────────

    async def _deliver(self, events: Sequence[Event]) -> None:
        """Contiguous events after `position`, to those who listen to their subjects or are told of them."""
        if not events:
            return
        shares: dict[Subscription, list[Event]] = {}
        for event in events:
            for subscription in self._listeners(event):
                shares.setdefault(subscription, []).append(event)
        position = events[-1].position
        assert position is not None
        for subscription, share in shares.items():
            subscription.deliver(share, position)
        await self._move_to(position)

    def _listeners(self, event: Event) -> Iterable[Subscription]:
        """Each once."""
        found: Iterable[Subscription] = self._subscriptions.get(event.subject_id, ())
        others = [self._told[key] for key in event.audience if key in self._told]
        return found if not others else {*found, *_each(others)}

    async def _cut_off(self, position: int) -> None:
        self._histories += 1
        for subscription in _each(self._subscriptions.values()) | _each(self._told.values()):
            subscription.cut_off(position)
        await self._move_to(position)

    async def _move_to(self, position: int) -> None:
        self._position = position
        async with self._moved:
            self._moved.notify_all()


def _each(groups: Iterable[set[Subscription]]) -> set[Subscription]:
    return {subscription for group in groups for subscription in group}


def _decode(position: int, body: bytes) -> Event | None:
    """None for what this version cannot read; PostgreSQL has it too."""
    try:
        event = decode_event(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return event if event.position == position else None
