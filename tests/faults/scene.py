"""What the fault runs have in common: a shop, what its subscribers must be told, and work beside the run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.core.database import Database
from app.domain.search import AvailabilitySearch
from app.main import build_api
from app.queries.event import log_state
from tests.faults.killer import RECOVERY_S
from tests.faults.stack import Stack
from tests.faults.witness import Expectation
from tests.fixtures_api import make_settings
from tests.shop import Shop, at, make_shop

DAYS = 60


async def open_shop(stack: Stack, system: Database) -> tuple[Shop, Expectation]:
    """Four providers, open day and night, and what a subscriber sees before anything happens."""
    services = build_api(make_settings(stack.database_url, stack.redis_url)).services
    try:
        shop = await make_shop(services, providers=4, slot_interval=30)
        await numbered(system)
        first = at(5, 0).date()
        last = first + timedelta(days=DAYS - 1)
        search = AvailabilitySearch(shop.service_uuids[0], None, first, last, ZoneInfo("UTC"), None, 1)
        return shop, await Expectation.now(services.database, search)
    finally:
        await services.database.dispose()


async def numbered(system: Database) -> None:
    """Until every event has its number and is on the stream."""
    async with asyncio.timeout(RECOVERY_S):
        while True:
            async with system.snapshot() as tx:
                state = await log_state(tx)
            if not state.is_waiting and state.published_position == state.last_position:
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def beside(*work: Any) -> AsyncIterator[None]:
    """Coroutines that run while the block runs. One that fails ends the block with its error."""
    block = asyncio.current_task()
    assert block is not None

    def on_end(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            say(f"A task beside it failed: {error!r}")
            block.cancel()

    tasks = [asyncio.create_task(each) for each in work]
    for task in tasks:
        task.add_done_callback(on_end)
    try:
        yield
    finally:
        failures = [error for t in tasks if t.done() and not t.cancelled() and (error := t.exception())]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if failures:
            raise failures[0]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
