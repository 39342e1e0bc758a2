"""`python -m bench`: some minutes on servers of its own. Prints a table, and writes it to bench/results.

`python -m bench engine search` runs those parts alone, and writes nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from bench import (
    availability,
    availability_many,
    bookings,
    bookings_many,
    delivery,
    engine,
    fanout,
    payments,
    replies,
    search,
    small_operations,
    streams,
)
from bench.report import Findings, Line, Machine, Plan, table, tell, write
from bench.world import World, world

ALONE: Mapping[str, Callable[[], Awaitable[Findings]]] = MappingProxyType(
    {
        "engine": engine.measure,
        "small_operations": small_operations.measure,
        "replies": replies.measure,
        "availability_many": availability_many.measure,
        "fanout": fanout.measure,
        "streams": streams.measure,
    }
)
"""These need no system, or one of their own."""
IN_WORLD: Mapping[str, Callable[[World], Awaitable[Findings]]] = MappingProxyType(
    {
        "bookings": bookings.measure,
        "payments": payments.measure,
        "bookings_many": bookings_many.measure,
        "availability": availability.measure,
        "delivery": delivery.measure,
        "search": search.measure,
    }
)
"""These share one system, in this order: the last one leaves much data behind."""


@dataclass(slots=True)
class Run:
    """What was found, and which parts broke off."""

    lines: list[Line] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def take(self, name: str, part: Awaitable[Findings]) -> None:
        """A part that breaks off takes no other with it."""
        began = time.monotonic()
        tell(f"{name} ...")
        try:
            found = await part
        except Exception:
            traceback.print_exc()
            self.failed.append(name)
            tell(f"{name} broke off after {time.monotonic() - began:.0f} s")
            return
        self.lines += [one for one in found if isinstance(one, Line)]
        self.plans += [one for one in found if isinstance(one, Plan)]
        tell(f"{name}: {time.monotonic() - began:.0f} s")


async def run(names: Sequence[str]) -> int:
    """The exit status: 1 where a part broke off, 2 for a name that there is not."""
    unknown = [name for name in names if name not in ALONE and name not in IN_WORLD]
    if unknown:
        tell(f"There is no part called {', '.join(unknown)}. There are: {', '.join((*ALONE, *IN_WORLD))}.")
        return 2
    began, load_before = time.monotonic(), round(os.getloadavg()[0], 2)
    now, machine = Run(), None
    for name, part in ALONE.items():
        if name in names or not names:
            await now.take(name, part())
    if not names or not IN_WORLD.keys().isdisjoint(names):
        async with world() as here:
            for name, within in IN_WORLD.items():
                if name in names or not names:
                    await now.take(name, within(here))
            machine = Machine.here(here.postgres, load_before)
    duration_s = time.monotonic() - began
    print(f"{'' if machine is None else machine}\n\n{table(now.lines)}\n\n{duration_s:.0f} s")
    for line in now.lines:
        if line.is_missed:
            print(f"Missed: {line.what}: {line.ratio:.3g} instead of {line.promised}")
    if now.failed:
        print(f"Broke off: {', '.join(now.failed)}; nothing was written")
        return 1
    if machine is not None and not names:
        print(f"Written to bench/results/{write(now.lines, now.plans, machine, duration_s).name}")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1:])))
