"""Seven days of free slots by HTTP, against the engine alone and against the bare SQL below it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from app.domain import slots as engine
from app.domain.search import AvailabilitySearch
from app.queries.availability import get_service_plan, list_busy
from app.queries.tenancy import Door, enter
from bench.report import Line, median, percentile
from bench.world import FIRST_DAY, Place, World
from tests.plain_http import Connection, connect
from tests.shop import at

REQUESTS = 300
WARM_UP = 20
DAYS_FILLED = 10
LIMIT_MS = 50.0
"""The promise, p99 at 100 users."""
QUERY = """query ($input: AvailabilityInput!) { availability(input: $input) { cursor days { date starts } } }"""
FULL_QUERY = """query ($input: AvailabilityInput!) { availability(input: $input) {
  cursor days { date slots { startsAt endsAt providerIds remaining price { amountMinor currency } } }
} }"""
PLAIN_SQL = """
    SELECT a.subject_id, a.id, a.busy, a.status, a.starts_at, a.ends_at, a.expires_at FROM allocation a
    WHERE a.subject_id = ANY($1) AND a.status IN ('held', 'booked') AND a.starts_at > $2 AND a.starts_at < $3
"""


@dataclass(slots=True)
class Samples:
    wall_ms: list[float]
    cpu_ms: float
    """Of the API, for one request."""


async def measure(world: World) -> list[Line]:
    """A week of which every other half hour is booked, and one that is full."""
    place = await world.open_place()
    full = await world.open_place()
    async with world.bare(place) as connection:
        await place.half_fill(connection, DAYS_FILLED, half=0)
        bare_ms = await _bare(place, connection)
    async with world.bare(full) as connection:
        for half in (0, 1):
            await full.half_fill(connection, DAYS_FILLED, half=half)
    async with connect(world.stack.port) as client:
        starts = await _over_http(world, client, QUERY, place, REQUESTS)
        whole = await _over_http(world, client, FULL_QUERY, place, REQUESTS)
        booked_up = await _over_http(world, client, QUERY, full, REQUESTS // 5)
    engine_ms = await _engine(world, place)
    starts_ms = median(starts.wall_ms)
    return [
        Line("availability, 7 days of 4 people, p50", "ms", starts_ms, "their claims by bare SQL", bare_ms),
        Line("the same, p99", "ms", percentile(starts.wall_ms, 99), "limit", LIMIT_MS),
        Line("the same, CPU of the API", "ms", starts.cpu_ms, "the slot engine alone", engine_ms),
        Line("with each slot's people and price, p50", "ms", median(whole.wall_ms), "starts alone", starts_ms),
        Line("7 days that are booked up, p50", "ms", median(booked_up.wall_ms), "half booked", starts_ms),
    ]


def _search(place: Place) -> AvailabilitySearch:
    first = at(FIRST_DAY, 0).date()
    return AvailabilitySearch(
        place.shop.service_uuids[0], None, first, first + timedelta(days=6), ZoneInfo("UTC"), None, 1
    )


async def _over_http(world: World, client: Connection, query: str, place: Place, times: int) -> Samples:
    dates = _search(place)
    asked = {"from": dates.from_date.isoformat(), "to": dates.to_date.isoformat(), "timeZone": "UTC"}
    request = client.request(query, {"input": {**asked, "serviceId": place.shop.service_id}})
    for _ in range(WARM_UP):
        await client.exchange(request)
    cpu_s = world.api_cpu_s()
    wall_ms = await _time(lambda: client.exchange(request), times)
    return Samples(wall_ms, 1000 * (world.api_cpu_s() - cpu_s) / times)


async def _bare(place: Place, connection: asyncpg.Connection[Any]) -> float:
    window = _search(place).window()
    statement = await connection.prepare(PLAIN_SQL)
    low, high = window.from_utc - timedelta(days=1), window.to_utc + timedelta(days=1)

    async def once() -> object:
        return await statement.fetch(place.shop.provider_uuids, low, high)

    return median(await _time(once, REQUESTS))


async def _engine(world: World, place: Place) -> float:
    """Milliseconds for all slots, with everything in memory."""
    search = _search(place)
    async with world.services.database.snapshot() as tx:
        await enter(tx, Door.SERVICE, search.service_id, user_id=None)
        plan = await get_service_plan(tx, search.service_id, None, search.from_date, search.to_date)
        window = search.window()
        found = await list_busy(tx, plan.provider_ids, window.from_utc, window.to_utc)
    busy = {provider_id: list(claims.values()) for provider_id, claims in found.items()}
    plans, rules = plan.plans(None), plan.rules(at(0, 0))

    async def once() -> object:
        return engine.slots(plans, busy, window, rules)

    return median(await _time(once, REQUESTS))


async def _time(once: Callable[[], Awaitable[object]], times: int) -> list[float]:
    samples = []
    for _ in range(times):
        began = time.perf_counter()
        await once()
        samples.append(1000 * (time.perf_counter() - began))
    return samples
