"""Those who look on while everything is killed around them, and what they should have seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from websockets.exceptions import WebSocketException

from app.adapters.valkey import Valkey
from app.core.database import SYSTEM_ROLE, Database
from app.domain import live
from app.domain.live import AvailabilityState, ViewConfig
from app.domain.live_codec import event_of_payload
from app.domain.search import AvailabilitySearch
from app.queries.availability import get_service_plan
from app.queries.busy import list_busy
from app.queries.event import Event, events_after, last_position
from app.queries.tenancy import Door, enter
from app.resolvers.event_feed import EventFeed, FeedOverflow
from tests.live_client import OperationFailed, Screen, SocketLost, live_socket
from tests.schema import operations as op
from tests.shop import iso

Told = tuple[list[str], list[str], list[str]]
"""Of one change: opened, closed, causes."""


@dataclass(slots=True)
class SocketWitness:
    """Subscribes to the API, and comes back by cursor each time when the socket ends."""

    url: str
    asked: dict[str, Any]
    screen: Screen = field(default_factory=Screen)
    told: list[Told] = field(default_factory=list)
    told_at: list[float] = field(default_factory=list)
    """Of the monotonic clock."""
    sockets: int = 0
    failures: list[str] = field(default_factory=list)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(OSError, SocketLost, WebSocketException, TimeoutError):
                async with live_socket(self.url) as socket:
                    stream = await socket.subscribe(op.WATCH_AVAILABILITY, input=self.asked, after=self.screen.cursor)
                    self.sockets += 1
                    try:
                        while True:
                            self._take(await stream.next(3_600))
                    except OperationFailed as failed:
                        if failed.code != "UNAVAILABLE":
                            self.failures.append(str(failed))
            await asyncio.sleep(0.05)

    def _take(self, event: dict[str, Any]) -> None:
        self.screen.show(event)
        self.has_begun.set()
        if event["kind"] == "CHANGE":
            self.told.append((event["opened"], event["closed"], event["causes"]))
            self.told_at.append(time.monotonic())


@dataclass(slots=True)
class FeedWitness:
    """The API's own reader of the log, in this process: the stream while it rings, PostgreSQL at every gap."""

    database: Database
    valkey: Valkey
    subjects: frozenset[UUID]
    positions: list[int | None] = field(default_factory=list)
    overflows: int = 0

    @classmethod
    def of(cls, database_url: str, redis_url: str, subjects: frozenset[UUID]) -> FeedWitness:
        return cls(Database(database_url, role=SYSTEM_ROLE, pool_size=2), Valkey(redis_url), subjects)

    async def watch(self, is_listening: asyncio.Event) -> None:
        """Until cancelled."""
        feed = EventFeed(self.database, self.valkey.event_stream())
        await feed.start()
        try:
            async with feed.subscribe(self.subjects) as subscription:
                is_listening.set()
                while True:
                    try:
                        self.positions += [event.position for event in await subscription.next()]
                    except FeedOverflow:
                        self.overflows += 1
        finally:
            await feed.stop()
            await self.valkey.close()
            await self.database.dispose()


@dataclass(slots=True)
class Expectation:
    """The state before any traffic; folding the log over it tells what a subscriber must have been told."""

    state: AvailabilityState
    position: int
    subjects: frozenset[UUID]

    @classmethod
    async def now(cls, database: Database, search: AvailabilitySearch) -> Expectation:
        """`database` acts for requests."""
        window = search.window()
        async with database.snapshot() as tx:
            await enter(tx, Door.SERVICE, search.service_id, user_id=None)
            plan = await get_service_plan(tx, search.service_id, None, search.from_date, search.to_date)
            busy = await list_busy(tx, plan.provider_ids, window.from_utc, window.to_utc)
            position = await last_position(tx)
        config = ViewConfig(plan.plans(None), window, plan.notice_minutes, plan.maximum_advance_days)
        return cls(live.start(config, busy, datetime.now(UTC)), position, frozenset(plan.provider_ids))

    def told(self, log: Sequence[Event]) -> list[Told]:
        """One for each event that changed what is free. Nothing lapses meanwhile, so time plays no part."""
        state, told = self.state, []
        for event in self.own(log):
            state, change = live.apply(
                state, event_of_payload(event.type, event.subject_id, event.payload), max(state.now, event.occurred_at)
            )
            if change is not None:
                opened, closed = [iso(at) for at in change.opened], [iso(at) for at in change.closed]
                told.append((opened, closed, [cause.name for cause in change.causes]))
        return told

    def own(self, log: Sequence[Event]) -> list[Event]:
        """Events of the providers."""
        return [event for event in log if event.subject_id in self.subjects]


async def whole_log(database: Database, after: int) -> list[Event]:
    """`database` acts for the system."""
    log: list[Event] = []
    async with database.snapshot() as tx:
        while page := await events_after(tx, log[-1].position or 0 if log else after):
            log += page
    return log
