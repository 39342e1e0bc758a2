"""Keeps ready when each offer is free next, for the search by availability (docs/adr/0010).

Whatever events have overtaken, lapsed holds have changed or the days have left behind is worked out anew. Readers ask
the slot engine about all that is not done yet, so a run that is late costs time and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from importlib.metadata import version

import structlog

from app.commands.outlook import EVENTS_AT_ONCE, forget_unfit_outlooks, mark_overtaken, store_outlooks, take_turn
from app.core.database import Database, Tx
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun
from app.queries.outlook import find_outlooks, list_due_offers, read_now

log = structlog.get_logger(__name__)

KIND = "keep_outlooks"
RECURRING = (Recurring(KIND, timedelta(seconds=2)),)
OFFERS_AT_ONCE = 100
"""A tenth of a second of work, in a thread: the relay goes on meanwhile."""
LONGEST_RUN_S = 60.0
"""What is left is for the next run."""
RULES = ",".join(f"{name}={version(name)}" for name in ("holidays", "tzdata"))
"""Libraries whose next version may know other days."""


async def keep_outlooks(database: Database, *, longest_s: float = LONGEST_RUN_S) -> int:
    """Bring all up to date; how many it were. Ends early where another worker is at it, or when time is up."""
    ends_at = time.monotonic() + longest_s
    count = 0
    if not await _step(database, _forget):
        return 0
    while time.monotonic() < ends_at:
        marked = await _step(database, mark_overtaken)
        renewed = await _step(database, _renew)
        if marked is None or renewed is None:
            break
        count += renewed
        if marked < EVENTS_AT_ONCE and renewed < OFFERS_AT_ONCE:
            break
    return count


async def _step(database: Database, work: Callable[[Tx], Awaitable[int]]) -> int | None:
    """In a transaction of its own; None when it is not our turn."""
    async with database.transaction() as tx:
        return await work(tx) if await take_turn(tx) else None


async def _forget(tx: Tx) -> int:
    await forget_unfit_outlooks(tx, RULES)
    return 1


async def _renew(tx: Tx) -> int:
    now = await read_now(tx)
    due = await list_due_offers(tx, now, OFFERS_AT_ONCE)
    if due:
        await store_outlooks(tx, await find_outlooks(tx, due, now))
    return len(due)


async def _keep(run: JobRun) -> None:
    count = await keep_outlooks(run.services.database)
    if count:
        log.debug("outlooks.renewed", count=count)


HANDLERS: Handlers = {KIND: _keep}
