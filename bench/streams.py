"""Many screens of many providers while bookings come in: from the commit to each screen, hop by hop, nothing lost.

2,000 screens look at 200 providers, ten at each; fifty bookings a second are committed by SQL and rung for as the API
does. Every screen keeps what it is told: at the end that must be its provider's bookings, each once and in order.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from app.adapters.valkey import Valkey
from app.core.ids import new_id
from app.ports import EventStream
from app.queries.event import decode_event
from bench.delivery import WATCH
from bench.report import Line, percentile, tell
from bench.world import BOOK_SQL, FIRST_DAY, HOLD_SQL, Place, World, world
from tests.faults.crowd import Crowd, crowd, raise_file_limit
from tests.shop import at, iso, make_shop

SCREENS = int(os.environ.get("BENCH_STREAMS") or 2_000)
SHOPS, PROVIDERS = 4, 50
PER_SECOND = 50
WARM_UP_S = 3.0
MEASURED_S = float(os.environ.get("BENCH_STREAMS_S") or 20)
LIMIT_MS = 100.0
PARTS = ("api", "worker", "valkey", "postgres")
LOOK_S = 0.002
"""Between looks at how far the relay has numbered: that hop is known no better."""


class Lost(RuntimeError):
    """A screen was not told what it should have been."""


@dataclass(frozen=True, slots=True)
class Booked:
    provider: UUID
    start: datetime
    committed_ns: int


@dataclass(slots=True)
class Hops:
    """When each thing was first seen, in nanoseconds of the monotonic clock."""

    numbered: list[tuple[int, int]] = field(default_factory=list)
    """How far the log was numbered, and when."""
    streamed: dict[tuple[UUID, datetime], tuple[int, int]] = field(default_factory=dict)
    """A claim's position, and when a reader of the stream had it."""

    async def watch_numbers(self, url: str) -> None:
        """Until cancelled."""
        connection = await asyncpg.connect(url)
        try:
            while True:
                last = await connection.fetchval("SELECT last_position FROM relay_state")
                if not self.numbered or last > self.numbered[-1][0]:
                    self.numbered.append((last, time.monotonic_ns()))
                await asyncio.sleep(LOOK_S)
        finally:
            connection.terminate()

    async def watch_stream(self, stream: EventStream, after: int) -> None:
        """Until cancelled."""
        async with aclosing(stream.follow(after)) as batches:
            async for batch in batches:
                now = time.monotonic_ns()
                for position, body in batch:
                    event = decode_event(body)
                    if event.type == "allocation.claimed":
                        start = datetime.fromisoformat(event.payload["startsAt"])
                        self.streamed[event.subject_id, start] = position, now

    def numbered_ns(self, position: int) -> int:
        place = bisect_left(self.numbered, position, key=lambda seen: seen[0])
        return self.numbered[place][1]


@dataclass(slots=True)
class Till:
    """Books half hours of one shop, one after the other on one connection."""

    place: Place
    connection: asyncpg.Connection[Any]
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    next: list[int] = field(default_factory=lambda: [0] * PROVIDERS)

    async def book(self, number: int, stream: EventStream) -> Booked:
        shop = self.place.shop
        async with self.turn:
            start = at(FIRST_DAY, 0) + timedelta(minutes=30 * self.next[number])
            self.next[number] += 1
            hold_id, end = new_id(), start + timedelta(minutes=30)
            subjects = (shop.organization_uuid, shop.service_uuids[0], shop.provider_uuids[number])
            async with self.connection.transaction():
                await self.connection.fetchval(HOLD_SQL, hold_id, new_id(), *subjects, start, end)
                await self.connection.fetchval(BOOK_SQL, hold_id, new_id(), new_id(), new_id())
            committed_ns = time.monotonic_ns()
            await stream.ring()
        return Booked(shop.provider_uuids[number], start, committed_ns)


async def measure() -> list[Line]:
    """In a system of its own. Raises Lost."""
    raise_file_limit()
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(world())
        screens = await stack.enter_async_context(crowd())
        valkey = Valkey(here.stack.redis_url)
        stack.push_async_callback(valkey.close)
        stream, hops = valkey.event_stream(), Hops()
        tills = [await _till(here, stack) for _ in range(SHOPS)]
        state = await tills[0].connection.fetchrow("SELECT installation_id, last_position FROM relay_state")
        assert state is not None
        stream.attach(state["installation_id"])
        await _open(here, tills, screens)
        watchers = [
            asyncio.create_task(hops.watch_numbers(here.stack.database_url)),
            asyncio.create_task(hops.watch_stream(stream, state["last_position"])),
        ]
        try:
            await screens.do("keep")
            before, began = {name: here.cpu_s(name) for name in PARTS}, time.monotonic()
            booked = await _book(tills, stream)
            took_s = time.monotonic() - began
            shares = {name: (here.cpu_s(name) - before[name]) / took_s for name in PARTS}
            await asyncio.sleep(2)
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.wait(watchers)
        told = await screens.do("kept")
    delivered = _delivered(tills, booked, told)
    return _lines(booked, hops, delivered, shares)


async def _till(here: World, stack: AsyncExitStack) -> Till:
    place = Place(await make_shop(here.services, providers=PROVIDERS, slot_interval=30))
    return Till(place, await stack.enter_async_context(here.bare(place)))


async def _open(here: World, tills: Sequence[Till], screens: Crowd) -> None:
    payloads = [_watch(till.place, number) for till in tills for number in range(PROVIDERS)]
    await screens.do("open", port=here.stack.port, count=SCREENS)
    said = await screens.do("subscribe", payloads=payloads)
    if said["odd"] or said["lost"]:
        raise Lost(said)
    tell(f"  {SCREENS:,} subscribed")


def _watch(place: Place, number: int) -> dict[str, Any]:
    """A fortnight of one provider."""
    first = at(FIRST_DAY, 0)
    asked = {
        "serviceId": place.shop.service_id,
        "providerIds": [place.shop.provider_ids[number]],
        "from": f"{first:%Y-%m-%d}",
        "to": f"{first + timedelta(days=13):%Y-%m-%d}",
        "timeZone": "UTC",
    }
    return {"query": WATCH, "variables": {"input": asked}}


async def _book(tills: Sequence[Till], stream: EventStream) -> list[Booked]:
    """At a pace of its own, whether or not the ones before are done."""
    chance, began = random.Random(1), time.monotonic()
    tasks = []
    for number in range(round(PER_SECOND * (WARM_UP_S + MEASURED_S))):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        till = tills[number % SHOPS]
        tasks.append(asyncio.create_task(till.book(chance.randrange(PROVIDERS), stream)))
    return list(await asyncio.gather(*tasks))


def _delivered(tills: Sequence[Till], booked: Sequence[Booked], told: dict[str, Any]) -> dict[Any, list[int]]:
    """When each booking came to each of its screens. Raises Lost."""
    providers = [provider for till in tills for provider in till.place.shop.provider_uuids]
    expected: dict[UUID, list[str]] = defaultdict(list)
    for one in sorted(booked, key=lambda one: one.committed_ns):
        expected[one.provider].append(iso(one.start))
    arrivals: dict[Any, list[int]] = defaultdict(list)
    if told["odd"] or told["lost"]:
        raise Lost(str((told["odd"], told["lost"])))
    for number, kept in enumerate(told["kept"]):
        provider = providers[number % len(providers)]
        closed = []
        for at_ns, body in kept:
            event = json.loads(body)["payload"]["data"]["availability"]
            if event["kind"] != "CHANGE" or event["opened"]:
                raise Lost(f"screen {number} was told {event}")
            closed += event["closed"]
            for start in event["closed"]:
                arrivals[provider, start].append(at_ns)
        if closed != expected[provider]:
            raise Lost(f"screen {number} was told {closed} instead of {expected[provider]}")
    return arrivals


def _lines(
    booked: Sequence[Booked], hops: Hops, arrivals: dict[Any, list[int]], shares: dict[str, float]
) -> list[Line]:
    steps: dict[str, list[float]] = defaultdict(list)
    for one in booked[round(PER_SECOND * WARM_UP_S) :]:
        position, streamed_ns = hops.streamed[one.provider, one.start]
        numbered_ns = hops.numbered_ns(position)
        delivered = arrivals[one.provider, iso(one.start)]
        steps["commit to numbered"].append((numbered_ns - one.committed_ns) / 1e6)
        steps["numbered to read from Valkey"].append(max(0, streamed_ns - numbered_ns) / 1e6)
        steps["read from Valkey to delivered"] += [(each - streamed_ns) / 1e6 for each in delivered]
        steps["commit to delivery"] += [(each - one.committed_ns) / 1e6 for each in delivered]
    who = f"{SCREENS:,} screens of {SHOPS * PROVIDERS} providers, {PER_SECOND} bookings/s"
    total = steps.pop("commit to delivery")
    lines = [
        Line(f"{who}: commit to delivery, p99", "ms", percentile(total, 99), "limit", LIMIT_MS, at_most=1),
        Line(f"{who}: commit to delivery, p50", "ms", percentile(total, 50), "limit", LIMIT_MS),
        Line(f"{who}: deliveries, none lost, twice or out of order", "", len(total), "expected",
             len(booked[round(PER_SECOND * WARM_UP_S) :]) * SCREENS / SHOPS / PROVIDERS, at_least=1, at_most=1),
    ]  # fmt: skip
    for hop, times in steps.items():
        lines.append(
            Line(f"of these: {hop}, p99", "ms", percentile(times, 99), "p50", max(percentile(times, 50), 0.01))
        )
    return [
        *lines,
        *(Line(f"CPU of {name} meanwhile", "s/s", share, "one core", 1.0) for name, share in shares.items()),
    ]
