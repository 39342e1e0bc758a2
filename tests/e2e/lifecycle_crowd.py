"""Many people at once who do what the state machine does, each in transactions of their own.

Whatever they meet, they are served or refused in so many words; and what is there at the end is sound.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from app.core.outages import describe
from tests.e2e.lifecycle_invariants import faults_of
from tests.e2e.lifecycle_life import MOST, MOST_ARGUMENTS
from tests.e2e.lifecycle_machine import OFTEN, OPERATIONS, Lives, begin
from tests.e2e.lifecycle_rows import Reader
from tests.e2e.lifecycle_world import World, make_world

PEOPLE = 12
LOOKS_S = 0.05
COMMON = [name for name in OFTEN if OPERATIONS[name].often > 2]
RARELY = 0.1
"""Something else than what is common: or so many would close and cancel everything that nothing were left to book."""
MOST_STRANGE = 3
"""After so many there is enough to look into."""
DEADLOCKS = """
    SELECT deadlocks FROM pg_stat_database, pg_stat_force_next_flush() WHERE datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class CrowdOutcome:
    """`deadlocks`: those that PostgreSQL had to end; the product tries again, so nobody notices one."""

    seed: int
    seen: Counter[str]
    faults: Sequence[str]
    deadlocks: int
    cpu_s: float

    @property
    def report(self) -> str:
        """For a person. Who meets whom is chance."""
        done = sum(number for name, number in self.seen.items() if ":" not in name)
        return (
            f"TURNERO_SEED={self.seed} done={done} refused={self.seen.total() - done} deadlocks={self.deadlocks}"
            f" cpu={self.cpu_s:.1f}s {dict(sorted(self.seen.items()))}"
        )


@dataclass(slots=True)
class Crowd:
    """In one shop. All know of all bookings: staff and their customers act on the same ones."""

    world: World
    lives: list[Lives]
    until: float
    strange: list[str] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until or len(self.strange) >= MOST_STRANGE

    async def act(self, life: Lives, chance: random.Random) -> None:
        """One person's part."""
        while not self.is_over:
            choice = OFTEN if chance.random() < RARELY else COMMON
            one = life.possible(OPERATIONS[chance.choice(choice)])
            numbers = [chance.randrange(MOST) for _ in range(MOST_ARGUMENTS)]
            try:
                await life.step(one, numbers)
            except Exception as error:
                self.strange.append(f"{one.name}{one.arguments(numbers)}: {describe(error)[:500]}")

    async def look(self) -> None:
        """All see what there is, if a little late."""
        while not self.is_over:
            rows = await self.lives[0].reader.read(self.world.now())
            for life in self.lives:
                life.rows = rows
            await asyncio.sleep(LOOKS_S)


async def run_crowd(seed: int, seconds: float, database_url: str, redis_url: str) -> CrowdOutcome:
    """So long, in a database of its own."""
    began = time.process_time()
    async with make_world(database_url, redis_url) as world:
        first = await begin(world)
        world.is_real_time, first.is_checked = True, False
        crowd = Crowd(world, [first, *(replace(first) for _ in range(PEOPLE - 1))], time.monotonic() + seconds)
        acting = (crowd.act(life, random.Random(seed * PEOPLE + number)) for number, life in enumerate(crowd.lives))
        await asyncio.gather(crowd.look(), *acting)
        rows = await Reader(world.raw, first.ground).read(world.now())
        deadlocks = await world.raw.fetchval(DEADLOCKS)
    found = [*crowd.strange, *faults_of(rows)]
    return CrowdOutcome(seed, world.seen, found, deadlocks, time.process_time() - began)
