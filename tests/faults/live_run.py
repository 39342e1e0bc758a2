"""Guests who book and screens that look on, while something is done to what is between them; and the verdict."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx

from app.core.database import SYSTEM_ROLE, Database
from tests.faults.killer import LogMonitor
from tests.faults.scene import DAYS, beside, numbered, open_shop, say
from tests.faults.stack import Stack
from tests.faults.traffic import Traffic, starts_of
from tests.faults.witness import Expectation, SocketWitness, whole_log
from tests.fixtures_api import GraphQLClient
from tests.fixtures_live import search_of
from tests.schema import operations as op
from tests.shop import Shop, at

GUESTS = 6
SCREENS = 5
QUIET_S = 2.0
SETTLED_S = 60.0


@dataclass(slots=True)
class LiveRun:
    """`facts`: what the report tells besides."""

    stack: Stack
    system: Database
    shop: Shop
    expectation: Expectation
    asked: dict[str, Any]
    traffic: Traffic
    log: LogMonitor
    screens: list[SocketWitness]
    chance: random.Random
    facts: dict[str, Any] = field(default_factory=dict)

    def longest_silence_s(self) -> float:
        """Of all screens, while guests were at work."""
        times = [screen.told_at for screen in self.screens]
        return max((later - one for told_at in times for one, later in pairwise(told_at)), default=0.0)

    async def settle(self) -> None:
        """Until nothing more comes."""
        await numbered(self.system)
        seen: list[int] = []
        while seen != (now := [len(screen.told) for screen in self.screens]):
            seen = now
            await asyncio.sleep(QUIET_S)

    async def judge(self, name: str, seed: int, took_s: float) -> None:
        """Every screen: each change once and in order, and in the end just what the query answers."""
        log = await whole_log(self.system, self.expectation.position)
        told = self.expectation.told(log)
        async with httpx.AsyncClient(timeout=30) as http:
            found = await GraphQLClient(http, f"{self.stack.url}/graphql")(op.AVAILABILITY, {"input": self.asked})
        facts = {
            "seed": seed,
            "seconds": round(took_s, 1),
            "requests": self.traffic.requests,
            "failed": dict(self.traffic.failures),
            "changes": len(told),
            "screens": len(self.screens),
            "sockets opened": sum(screen.sockets for screen in self.screens),
            "resyncs": sum(screen.screen.resyncs for screen in self.screens),
            "longest silence, s": round(self.longest_silence_s(), 2),
            **self.facts,
        }
        say(f"{name}: " + ", ".join(f"{what} {value}" for what, value in facts.items()))
        assert told, "nothing happened"
        assert not self.traffic.oddities, self.traffic.oddities[:5]
        for screen in self.screens:
            assert screen.told == told
            assert (screen.screen.resyncs, screen.failures) == (0, [])
            screen.screen.shows(found)


def fault_seed() -> int:
    return int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))


@asynccontextmanager
async def live_run(
    name: str, stack: Stack, *, ports: Sequence[int] = (), guests: int = GUESTS
) -> AsyncIterator[LiveRun]:
    """Guests are at work while the block runs. After it everything must have come to every screen.

    `ports`: where the screens connect, one after another; else to the API itself.
    """
    seed = fault_seed()
    system = Database(stack.database_url, role=SYSTEM_ROLE, pool_size=1)
    shop, expectation = await open_shop(stack, system)
    asked = search_of(shop, at(5, 0), days=DAYS)
    urls = [f"ws://127.0.0.1:{port}/graphql" for port in ports or [stack.port]]
    run = LiveRun(
        stack,
        system,
        shop,
        expectation,
        asked,
        Traffic(stack.port, shop, starts_of(at(5, 0), DAYS), seed, guests),
        LogMonitor(stack.database_url),
        [SocketWitness(urls[number % len(urls)], asked) for number in range(SCREENS)],
        random.Random(seed),
    )
    try:
        async with beside(stack.keep_running(), run.log.watch(), *(screen.watch() for screen in run.screens)):
            await asyncio.gather(*(screen.has_begun.wait() for screen in run.screens))
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(run.traffic.run())
                yield run
                run.traffic.stop()
            took_s = time.monotonic() - began
            async with asyncio.timeout(SETTLED_S):
                await run.settle()
            await run.judge(name, seed, took_s)
    finally:
        await system.dispose()
