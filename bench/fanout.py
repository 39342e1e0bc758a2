"""One change to thousands of screens of one provider, out of one process; against a bare server that only writes.

Both tell as many clients of one kind, in turns. Ours counts from the commit; the bare server from its first write.
BENCH_SCREENS: another number than 5,000, for a try; twice as many are connected in the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import psutil

from app.adapters.valkey import Valkey
from app.core.ids import new_id
from bench.delivery import WATCH
from bench.report import Line, median, tell
from bench.world import HOLD_SQL, Place, World, world
from tests.faults.crowd import Crowd, crowd, raise_file_limit

SCREENS = int(os.environ.get("BENCH_SCREENS") or 5_000)
MORE_SCREENS = 2 * SCREENS
ROUNDS = 12
CPU_LIMIT_US = 25.0
MEMORY_LIMIT_KB = 25.0
RSS_LIMIT_MB = 800.0
SETTLE_S = 2.0


@dataclass(slots=True)
class Figures:
    """`last_ms`, `first_ms`: from the commit. `bare_ms`: from the first write of the bare server to the last client."""

    first_ms: list[float] = field(default_factory=list)
    last_ms: list[float] = field(default_factory=list)
    bare_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    idle_kb: float = 0.0
    """Of a socket that only said connection_init."""
    watching_kb: float = 0.0
    """Of a subscription on it, besides."""
    rss_mb: float = 0.0
    opening_s: float = 0.0
    many_last_ms: float = 0.0

    def lines(self) -> list[Line]:
        who = f"{SCREENS:,} screens of one provider"
        cpu_us = 1e6 * self.cpu_s / ROUNDS / SCREENS
        return [
            Line(f"{who}: commit to the last, p50", "ms", median(self.last_ms), "bare server's last",
                 median(self.bare_ms), at_most=2),
            Line(f"{who}: commit to the first, p50", "ms", median(self.first_ms), "to the last", median(self.last_ms)),
            Line(f"{who}: CPU of the API for each delivery", "µs", cpu_us, "limit", CPU_LIMIT_US, at_most=1),
            Line(f"{who}: memory of each, above an idle socket", "kB", self.watching_kb, "limit", MEMORY_LIMIT_KB,
                 at_most=1),
            Line(f"{who}: memory of an idle socket", "kB", self.idle_kb, "of a watching one, whole",
                 self.idle_kb + self.watching_kb),
            Line(f"{who}: all subscribed after", "s", self.opening_s, "limit", 30),
            Line(f"{MORE_SCREENS:,} connected and served: memory of the API", "MB", self.rss_mb, "limit", RSS_LIMIT_MB,
                 at_most=1),
            Line(f"{MORE_SCREENS:,} connected: commit to the last", "ms", self.many_last_ms, "limit", 1_000),
        ]  # fmt: skip


async def measure() -> list[Line]:
    """In a system of its own. Raises RuntimeError where a client missed an event, or was told one twice."""
    raise_file_limit()
    figures = Figures()
    async with world() as here, _bare_server() as bare, crowd() as ours, crowd() as theirs:
        place = await here.open_place()
        async with _teller(here, place) as teller:
            await _open(here, place, ours, figures)
            await theirs.do("open", port=bare.port, count=SCREENS)
            await theirs.do("subscribe", payloads=[{}])
            await _take_turns(teller, bare, (ours, theirs), figures)
            await theirs.do("close")
            await _open_more(here, place, ours, teller, figures)
    return figures.lines()


async def _open(here: World, place: Place, ours: Crowd, figures: Figures) -> None:
    """First sockets that say nothing more, then a subscription on each: the memory of either is told apart."""
    await ours.do("open", port=here.stack.port, count=100)  # what is made for the first is made once
    await ours.do("subscribe", payloads=[watch_of(place)])
    await ours.do("close")
    await asyncio.sleep(SETTLE_S)
    before = _rss(here)
    await ours.do("open", port=here.stack.port, count=SCREENS)
    await asyncio.sleep(SETTLE_S)
    idle = _rss(here)
    began = time.monotonic()
    said = await ours.do("subscribe", payloads=[watch_of(place)])
    figures.opening_s = time.monotonic() - began
    if said["odd"] or said["lost"] > 100:
        raise RuntimeError(said)
    await asyncio.sleep(SETTLE_S)
    figures.idle_kb = (idle - before) / SCREENS / 1e3
    figures.watching_kb = (_rss(here) - idle) / SCREENS / 1e3
    tell(f"  {SCREENS:,} subscribed after {figures.opening_s:.1f} s")


async def _take_turns(teller: Teller, bare: Bare, crowds: tuple[Crowd, Crowd], figures: Figures) -> None:
    ours, theirs = crowds
    await teller.tell_all(ours)  # once for the plans that are made from the second use on
    await teller.tell_all(ours)
    for _ in range(ROUNDS):
        cpu_s = teller.world.api_cpu_s()
        committed_ns, told = await teller.tell_all(ours)
        await asyncio.sleep(0.1)  # what it does after the last write
        figures.cpu_s += teller.world.api_cpu_s() - cpu_s
        figures.first_ms.append((told["first_ns"] - committed_ns) / 1e6)
        figures.last_ms.append((told["last_ns"] - committed_ns) / 1e6)
        figures.bare_ms.append(await bare.tell_all(theirs, told["body"]))


async def _open_more(here: World, place: Place, ours: Crowd, teller: Teller, figures: Figures) -> None:
    await ours.do("open", port=here.stack.port, count=MORE_SCREENS - SCREENS)
    await ours.do("subscribe", payloads=[watch_of(place)], first=SCREENS)
    committed_ns, told = await teller.tell_all(ours)
    figures.many_last_ms = (told["last_ns"] - committed_ns) / 1e6
    await asyncio.sleep(SETTLE_S)
    figures.rss_mb = _rss(here) / 1e6


@dataclass(slots=True)
class Teller:
    """Makes something happen that all are told."""

    world: World
    place: Place
    connection: asyncpg.Connection[Any]
    valkey: Valkey

    async def tell_all(self, ours: Crowd) -> tuple[int, dict[str, Any]]:
        """When it was committed (monotonic, ns), and when it arrived."""
        await ours.do("arm")
        while True:  # of the four providers, the one that all look at
            arguments = self.place.hold_arguments(new_id())
            if arguments[4] == self.place.shop.provider_uuids[0]:
                break
        await self.connection.fetchval(HOLD_SQL, *arguments)
        committed_ns = time.monotonic_ns()
        await self.valkey.event_stream().ring()
        told = await ours.do("arrived")
        if told["missing"] or told["uneven"] or told["odd"]:
            raise RuntimeError(f"not everybody was told once: {told}")
        return committed_ns, told


@asynccontextmanager
async def _teller(here: World, place: Place) -> AsyncIterator[Teller]:
    valkey = Valkey(here.stack.redis_url)
    try:
        async with here.bare(place) as connection:
            valkey.event_stream().attach(await connection.fetchval("SELECT installation_id FROM relay_state"))
            yield Teller(here, place, connection, valkey)
    finally:
        await valkey.close()


@dataclass(slots=True)
class Bare:
    process: asyncio.subprocess.Process
    port: int

    async def tell_all(self, theirs: Crowd, body: str) -> float:
        """Milliseconds until the last had it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        await theirs.do("arm")
        self.process.stdin.write(json.dumps(body).encode() + b"\n")
        began_ns = int(await self.process.stdout.readline())
        told = await theirs.do("arrived")
        if told["missing"] or told["uneven"]:
            raise RuntimeError(f"the bare server did not tell everybody: {told}")
        return float((told["last_ns"] - began_ns) / 1e6)


@asynccontextmanager
async def _bare_server() -> AsyncIterator[Bare]:
    command = (sys.executable, "-m", "bench.bare_frames")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdout is not None
        yield Bare(process, int(await process.stdout.readline()))
    finally:
        process.kill()
        await process.wait()


def watch_of(place: Place, provider: int = 0) -> dict[str, Any]:
    """A week of one provider."""
    first = place.peek()
    asked = {
        "serviceId": place.shop.service_id,
        "providerIds": [place.shop.provider_ids[provider]],
        "from": f"{first:%Y-%m-%d}",
        "to": f"{first + timedelta(days=6):%Y-%m-%d}",
        "timeZone": "UTC",
    }
    return {"query": WATCH, "variables": {"input": asked}}


def _rss(here: World) -> int:
    pid = here.stack.supervisor.pid_of("api")
    assert pid is not None
    return int(psutil.Process(pid).memory_info().rss)
