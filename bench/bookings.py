"""holdSlot and createBooking by HTTP, against the same two writes as bare SQL functions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from app.core.ids import new_id
from bench.report import Line, median, percentile
from bench.world import BOOK_SQL, HOLD_SQL, Place, World
from tests.plain_http import Connection, connect

CLIENTS = 8
SECONDS = 8.0
WARM_UP = 25
LIMIT_MS = 100.0
"""The promise: booking creation at 100 users."""

HOLD = """mutation ($input: HoldSlotInput!) { holdSlot(input: $input) {
  __typename ... on HoldSlotPayload { holdToken hold { id startsAt endsAt expiresAt price { amountMinor currency } } }
} }"""
BOOK = """mutation ($input: CreateBookingInput!) { createBooking(input: $input) {
  __typename ... on CreateBookingPayload { accessToken booking { id number confirmationCode status version startsAt } }
} }"""
CUSTOMER = {"name": "Ana", "email": "ana@example.com"}


@dataclass(slots=True)
class Tally:
    """Milliseconds of each kind of write, and how many pairs were done in how long."""

    holds_ms: list[float] = field(default_factory=list)
    bookings_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    api_cpu_s: float = 0.0
    own_cpu_s: float = 0.0

    @property
    def api_cpu_ms(self) -> float:
        """Of the API's process, for one pair."""
        return 1000 * self.api_cpu_s / len(self.bookings_ms)

    @property
    def own_cpu_ms(self) -> float:
        """Of this process, for one pair."""
        return 1000 * self.own_cpu_s / len(self.bookings_ms)

    @property
    def pairs_per_s(self) -> float:
        return len(self.bookings_ms) / self.seconds


Pair = Callable[[Tally], Awaitable[None]]


async def measure(world: World) -> list[Line]:
    place = await world.open_place()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(world.stack.port)) for _ in range(CLIENTS)]
        ours = await _run([_over_http(place, client) for client in clients], world)
    async with AsyncExitStack() as stack:
        bare = [await stack.enter_async_context(world.bare(place)) for _ in range(CLIENTS)]
        peer = await _run([_over_sql(place, connection) for connection in bare], world)
    names = f"{CLIENTS} clients"
    return [
        Line(f"hold and book, {names}", "/s", ours.pairs_per_s, "the same two writes, bare SQL", peer.pairs_per_s),
        Line("holdSlot p50", "ms", median(ours.holds_ms), "bare SQL p50", median(peer.holds_ms)),
        Line("createBooking p50", "ms", median(ours.bookings_ms), "bare SQL p50", median(peer.bookings_ms)),
        Line("createBooking p99", "ms", percentile(ours.bookings_ms, 99), "limit", LIMIT_MS),
        Line("CPU of the API for both", "ms", ours.api_cpu_ms, "CPU of the bare client", peer.own_cpu_ms),
    ]


async def _run(pairs: list[Pair], world: World) -> Tally:
    """All clients at once for SECONDS."""

    async def warm_up(pair: Pair) -> None:
        for _ in range(WARM_UP):
            await pair(Tally())

    await asyncio.gather(*(warm_up(pair) for pair in pairs))
    tally = Tally()
    api_cpu_s, own_cpu_s, began = world.api_cpu_s(), time.process_time(), time.perf_counter()

    async def repeat(pair: Pair) -> None:
        while time.perf_counter() < began + SECONDS:
            await pair(tally)

    await asyncio.gather(*(repeat(pair) for pair in pairs))
    tally.seconds = time.perf_counter() - began
    tally.api_cpu_s, tally.own_cpu_s = world.api_cpu_s() - api_cpu_s, time.process_time() - own_cpu_s
    return tally


def _over_http(place: Place, client: Connection) -> Pair:
    async def pair(tally: Tally) -> None:
        provider, start = place.start()
        asked: dict[str, Any] = {"serviceId": place.shop.service_id, "providerId": place.shop.provider_ids[provider]}
        began = time.perf_counter()
        held = await client.post(HOLD, {"input": {**asked, "startsAt": start.isoformat()}})
        between = time.perf_counter()
        details = {"holdId": held["hold"]["id"], "holdToken": held["holdToken"], "customer": CUSTOMER}
        booked = await client.post(BOOK, {"input": {**details, "paymentMethod": "PAY_ON_ARRIVAL"}})
        ended = time.perf_counter()
        if booked["__typename"] != "CreateBookingPayload":
            raise RuntimeError(booked)
        tally.holds_ms.append(1000 * (between - began))
        tally.bookings_ms.append(1000 * (ended - between))

    return pair


def _over_sql(place: Place, connection: asyncpg.Connection[Any]) -> Pair:
    async def pair(tally: Tally) -> None:
        hold_id = new_id()
        arguments = place.hold_arguments(hold_id)
        began = time.perf_counter()
        outcome = await connection.fetchval(HOLD_SQL, *arguments)
        between = time.perf_counter()
        await connection.fetchval(BOOK_SQL, hold_id, new_id(), new_id(), new_id())
        ended = time.perf_counter()
        if outcome != "held":
            raise RuntimeError(outcome)
        tally.holds_ms.append(1000 * (between - began))
        tally.bookings_ms.append(1000 * (ended - between))

    return pair
