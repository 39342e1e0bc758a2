"""`python -m bench`: about a minute and a half on servers of its own. Prints a table and writes bench/results."""

from __future__ import annotations

import asyncio
import os
import time

from bench import availability, bookings, delivery
from bench.report import Line, Machine, table, write
from bench.world import world


async def run() -> None:
    began, load_before = time.monotonic(), round(os.getloadavg()[0], 2)
    lines: list[Line] = []
    async with world() as here:
        for part in (bookings.measure, availability.measure, delivery.measure):
            lines += await part(here)
        machine = Machine.here(here.postgres, load_before)
    duration_s = time.monotonic() - began
    path = write(lines, machine, duration_s)
    print(f"{machine}\n\n{table(lines)}\n\n{duration_s:.0f} s; written to bench/results/{path.name}")


if __name__ == "__main__":
    asyncio.run(run())
