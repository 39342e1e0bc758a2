"""From the commit of a hold to the screen of somebody who looks on."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import timedelta

from app.adapters.valkey import Valkey
from app.core.ids import new_id
from bench.bookings import HOLD
from bench.report import Line, median, percentile
from bench.world import HOLD_SQL, Place, World
from tests.live_client import LiveSocket, LiveStream, live_socket
from tests.plain_http import Connection, connect

LIMIT_MS = 100.0
"""The promise: well under 100 ms."""
COMMITS = 300
SCREENS = 100
HOLDS_SEEN = 200
"""Of fewer than a hundred the slowest would be called the 99th percentile."""


WATCH = """subscription ($input: AvailabilityInput!) { availability(input: $input) {
  kind cursor opened closed causes
} }"""


async def measure(world: World) -> list[Line]:
    place = await world.open_place()
    to_one = await _from_commit(world, place)
    to_all, held = await _to_many(world, place)
    return [
        Line("commit to one screen, p50", "ms", median(to_one), "limit", LIMIT_MS),
        Line("commit to one screen, p99", "ms", percentile(to_one, 99), "limit", LIMIT_MS),
        Line(f"holdSlot sent to the last of {SCREENS} screens, p50", "ms", median(to_all), "limit", LIMIT_MS),
        Line(f"holdSlot sent to the last of {SCREENS} screens, p99", "ms", percentile(to_all, 99), "limit", LIMIT_MS),
        Line("of these: holdSlot answered, p50", "ms", median(held), "p99", percentile(held, 99)),
    ]


async def _from_commit(world: World, place: Place) -> list[float]:
    """Written here and rung for as the API does, so that the clock starts when PostgreSQL says committed."""
    valkey = Valkey(world.stack.redis_url)
    samples = []
    try:
        stream = valkey.event_stream()
        async with world.bare(place) as connection, live_socket(_socket_url(world)) as socket:
            stream.attach(await connection.fetchval("SELECT installation_id FROM relay_state"))
            screen = await _watch(place, socket)
            for _ in range(COMMITS):
                await connection.fetchval(HOLD_SQL, *place.hold_arguments(new_id()))
                committed_at = time.perf_counter()
                await stream.ring()
                await screen.next()
                samples.append(1000 * (time.perf_counter() - committed_at))
                await asyncio.sleep(0.01)
    finally:
        await valkey.close()
    return samples


def _socket_url(world: World) -> str:
    return f"ws{world.stack.url.removeprefix('http')}/graphql"


async def _watch(place: Place, socket: LiveSocket) -> LiveStream:
    """The days on which the coming holds fall."""
    first = place.peek()
    asked = {"serviceId": place.shop.service_id, "from": f"{first:%Y-%m-%d}", "timeZone": "UTC"}
    stream = await socket.subscribe(WATCH, input={**asked, "to": f"{first + timedelta(days=7):%Y-%m-%d}"})
    if (await stream.next())["kind"] != "SNAPSHOT":
        raise RuntimeError("no snapshot")
    return stream


async def _to_many(world: World, place: Place) -> tuple[list[float], list[float]]:
    """Until the last screen was told, and until the one who holds was answered."""
    samples: list[float] = []
    answered: list[float] = []
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(world.stack.port))
        screens = []
        for _ in range(SCREENS):
            socket = await stack.enter_async_context(live_socket(_socket_url(world)))
            screens.append(await _watch(place, socket))
        for _ in range(HOLDS_SEEN):
            provider, start = place.start()
            asked = {"serviceId": place.shop.service_id, "providerId": place.shop.provider_ids[provider]}
            began = time.perf_counter()
            holding = _hold(client, {**asked, "startsAt": start.isoformat()})
            held_ms, *_ = await asyncio.gather(holding, *(screen.next() for screen in screens))
            samples.append(1000 * (time.perf_counter() - began))
            answered.append(held_ms)
            await asyncio.sleep(0.05)
    return samples, answered


async def _hold(client: Connection, asked: dict[str, str]) -> float:
    """Milliseconds until it was answered."""
    began = time.perf_counter()
    held = await client.post(HOLD, {"input": asked})
    if held["__typename"] != "HoldSlotPayload":
        raise RuntimeError(held)
    return 1000 * (time.perf_counter() - began)
