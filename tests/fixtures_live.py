"""A real relay beside the API, that a test can pause; a guest, and an owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import pytest

from app.adapters.valkey import Valkey
from app.core.database import SYSTEM_ROLE, Database
from app.jobs.relay import Relay
from app.ports import StreamUnavailable
from app.queries.event import log_state
from app.resolvers.context import Services
from app.resolvers.event_feed import EventFeed
from app.resolvers.live_hub import LiveHub
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.live_client import LiveStream, Screen, live_socket
from tests.schema import operations as op
from tests.shop import Shop, iso, make_shop

CUSTOMER = {"name": "Ana", "email": "ana@example.com"}


@dataclass(slots=True)
class RunningRelay:
    """The relay of the worker, in this process."""

    database: Database
    valkey: Valkey
    _task: asyncio.Task[None] | None = field(default=None)

    def start(self) -> None:
        self._task = asyncio.create_task(Relay(self.database, self.valkey.event_stream()).run(), name="relay")

    async def pause(self) -> None:
        """What is committed from here on stays without a number."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def catch_up(self) -> int:
        """Wait until everything has its number; the last."""
        async with asyncio.timeout(60):
            while True:
                async with self.database.snapshot() as tx:
                    state = await log_state(tx)
                if not state.is_waiting and state.published_position == state.last_position:
                    return state.last_position
                await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
async def shared_relay(database_url: str, redis_url: str) -> AsyncIterator[RunningRelay]:
    relay = RunningRelay(Database(database_url, role=SYSTEM_ROLE, pool_size=4), Valkey(redis_url))
    relay.start()
    yield relay
    await relay.pause()
    await relay.valkey.close()
    await relay.database.dispose()


@pytest.fixture
async def relay(shared_relay: RunningRelay) -> AsyncIterator[RunningRelay]:
    """Runs again after a test that paused it."""
    yield shared_relay
    await shared_relay.pause()
    shared_relay.start()


@dataclass(slots=True)
class Guest:
    """Does what guests do in one shop. Each method fails unless it succeeds."""

    client: GraphQLClient
    shop: Shop

    async def hold(self, start: Any, provider: str | None = None, service: str | None = None) -> dict[str, Any]:
        asked = {"serviceId": service or self.shop.service_id, "startsAt": iso(start)}
        if provider is not None:
            asked["providerId"] = provider
        held: dict[str, Any] = await self.client(op.HOLD, {"input": asked})
        assert held["__typename"] == "HoldSlotPayload", held
        return held

    async def release(self, held: dict[str, Any]) -> None:
        answer = await self.client(op.RELEASE, {"id": held["hold"]["id"], "token": held["holdToken"]})
        assert answer["__typename"] == "Hold", answer

    async def extend(self, held: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await self.client(op.EXTEND, {"id": held["hold"]["id"], "token": held["holdToken"]})
        assert answer["__typename"] == "Hold", answer
        return answer

    async def book(self, held: dict[str, Any]) -> dict[str, Any]:
        """The payload: accessToken, booking."""
        booked: dict[str, Any] = await self.client(op.BOOK, {"input": booking_input(held)})
        assert booked["__typename"] == "CreateBookingPayload", booked
        return booked

    async def move(self, booked: dict[str, Any], start: Any) -> dict[str, Any]:
        moved: dict[str, Any] = await self.client(op.MOVE, {"input": {**link(booked), "startsAt": iso(start)}})
        assert moved["__typename"] == "Booking", moved
        return moved

    async def cancel(self, booked: dict[str, Any]) -> dict[str, Any]:
        gone: dict[str, Any] = await self.client(op.CANCEL, {"input": {**link(booked), "reason": "ill"}})
        assert gone["__typename"] == "Booking", gone
        return gone

    async def search(self, asked: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self.client(op.AVAILABILITY, {"input": asked})
        return found


@pytest.fixture
async def shop(running: RunningApi, relay: RunningRelay) -> Shop:
    """Beside a relay that runs. Many a file has a shop of its own."""
    assert relay is not None
    return await make_shop(running.api.services)


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Guest:
    return Guest(client, shop)


class NoStream:
    """Valkey is away: a feed reads PostgreSQL now and then."""

    def attach(self, installation_id: UUID) -> None: ...

    async def last_position(self) -> int:
        raise StreamUnavailable


@pytest.fixture
async def late(running: RunningApi, relay: RunningRelay) -> AsyncIterator[Services]:
    """Another process, which hears of everything most of a second late."""
    feed = EventFeed(relay.database, NoStream(), poll_s=0.8)  # type: ignore[arg-type]
    await feed.start()
    services = replace(running.api.services, live=LiveHub(), slot_channels=WeakValueDictionary(), feed=feed)
    yield services
    services.live.close()
    await feed.stop()


def booking_input(held: dict[str, Any]) -> dict[str, Any]:
    return {
        "holdId": held["hold"]["id"],
        "holdToken": held["holdToken"],
        "paymentMethod": "PAY_ON_ARRIVAL",
        "customer": CUSTOMER,
    }


def link(booked: dict[str, Any]) -> dict[str, Any]:
    """What a guest's secret link stands for."""
    return {"bookingId": booked["booking"]["id"], "accessToken": booked["accessToken"]}


def search_of(shop: Shop, first: Any, days: int = 1, **more: Any) -> dict[str, Any]:
    """Input of the availability query and subscription."""
    last = first + timedelta(days=days - 1)
    asked = {"serviceId": shop.service_id, "from": iso(first)[:10], "to": iso(last)[:10], "timeZone": "UTC"}
    return {**asked, **more}


async def publish(client: GraphQLClient, shop: Shop, weekly: list[dict[str, Any]]) -> None:
    """New hours of the first provider, by the owner."""
    owner = client.signed_in(shop.owner.token)
    answer = await owner(op.PUBLISH, {"input": {"ownerId": shop.provider_id, "weekly": weekly}})
    assert answer["__typename"] == "PublishSchedulePayload", answer


MOMENTS_S = (1, 4, 16)
"""So many seconds a test has between what it does and what time does by itself."""


class TooLate(Exception):
    """The machine had other things to do, and the moment was over."""


async def in_time(work: Callable[[int, int], Awaitable[None]]) -> None:
    """Does it (with the number of the attempt, and so many seconds); again with more time where it came too late."""
    for number, moment_s in enumerate(MOMENTS_S):
        with suppress(TooLate):
            await work(number, moment_s)
            return
    raise AssertionError("it was never in time")


def before(edge: datetime, now: datetime | None = None) -> None:
    """Raises TooLate."""
    if (now or datetime.now(UTC)) >= edge:
        raise TooLate


@dataclass(slots=True)
class Watcher:
    """A screen that is kept up to date by a subscription."""

    stream: LiveStream
    screen: Screen = field(default_factory=Screen)

    async def next(self, kind: str = "CHANGE") -> dict[str, Any]:
        event = await self.stream.next()
        assert event["kind"] == kind, event
        self.screen.show(event)
        return event

    async def change(self, cause: str) -> tuple[list[str], list[str]]:
        """The next one: what opened and what closed."""
        event = await self.next()
        assert event["causes"] == [cause], event
        return event["opened"], event["closed"]


@asynccontextmanager
async def watching(url: str, asked: dict[str, Any], after: str | None = None) -> AsyncIterator[Watcher]:
    async with live_socket(url) as socket:
        yield Watcher(await socket.subscribe(op.WATCH_AVAILABILITY, input=asked, after=after))
