"""Who kills, in an order drawn from the seed, and measures how long it takes until the work goes on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from tests.faults.report import Kill
from tests.faults.stack import Stack, Victim
from tests.faults.traffic import Traffic

IN_FLIGHT = 20
ANSWERS_BETWEEN = 40
"""Requests answered between one kill and the next: there was something to lose."""
OVERLAPPING = 0.25
"""Share of kills that are followed by the next without waiting for the recovery."""
RECOVERY_S = 60.0


@dataclass(slots=True)
class LogMonitor:
    """Where the event log stands, looked at all the time, over a connection of its own that comes back."""

    url: str
    last: int = 0
    published: int = 0
    server_began_at: datetime | None = None
    """When the PostgreSQL that answers now was started."""

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            try:
                connection = await asyncpg.connect(self.url, timeout=5)
                try:
                    began_at = await connection.fetchval("SELECT pg_postmaster_start_time()")
                    while True:
                        row = await connection.fetchrow("SELECT last_position, published_position FROM relay_state")
                        assert row is not None
                        self.last, self.published = row
                        self.server_began_at = began_at
                        await asyncio.sleep(0.02)
                finally:
                    connection.terminate()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                await asyncio.sleep(0.05)


@dataclass(slots=True)
class Killer:
    """Kills each part so many times, always while at least IN_FLIGHT requests have no answer yet."""

    stack: Stack
    traffic: Traffic
    log: LogMonitor
    chance: random.Random
    kills: list[Kill] = field(default_factory=list)

    async def run(self, count: int) -> None:
        """Raises TimeoutError when something does not come back within a minute."""
        victims = [victim for victim in Victim for _ in range(count)]
        self.chance.shuffle(victims)
        for victim in victims:
            await self._answers(ANSWERS_BETWEEN)
            await asyncio.sleep(self.chance.uniform(0, 0.2))
            await self._kill(victim, waits=self.chance.random() >= OVERLAPPING)

    async def _answers(self, count: int) -> None:
        wanted = self.traffic.answered + count
        await _until(lambda: self.traffic.answered >= wanted)

    async def _kill(self, victim: Victim, *, waits: bool) -> None:
        while True:
            await _until(lambda: len(self.traffic.in_flight) >= IN_FLIGHT and self.log.server_began_at is not None)
            in_flight, server_began_at = frozenset(self.traffic.in_flight), self.log.server_began_at
            pid = self.stack.supervisor.pid_of(victim.value)
            if self.stack.kill(victim):
                break
            await asyncio.sleep(0.05)  # still down since an overlapping kill
        began = time.monotonic()
        if waits:
            await self._recovered(victim, pid, server_began_at)
        self.kills.append(Kill(victim, in_flight, time.monotonic() - began if waits else None))

    async def _recovered(self, victim: Victim, old_pid: int | None, server_began_at: datetime | None) -> None:
        """Answers to guests, numbers for events, or events on the stream: whatever the part is there for."""
        await _until(lambda: self.stack.supervisor.pid_of(victim.value) not in {None, old_pid})
        if victim is Victim.POSTGRES:  # backends of the dead server may still answer for a moment
            await _until(lambda: self.log.server_began_at != server_began_at)
        reborn_at, last, published = time.monotonic(), self.log.last, self.log.published
        if victim in {Victim.API, Victim.POSTGRES}:
            await _until(lambda: self.traffic.newest_answered_at > reborn_at)
        elif victim is Victim.WORKER:
            await _until(lambda: self.log.last > last)
        else:
            await _until(lambda: self.log.published > max(published, last))


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(RECOVERY_S):
        while not is_so():  # noqa: ASYNC110 (what it looks at has many writers)
            await asyncio.sleep(0.005)
