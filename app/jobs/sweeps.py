"""The recurring jobs: ending what ran out, deleting what nobody needs any more. Each works in short transactions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from app.commands.automatic import expire_unanswered, take_automatic_steps
from app.commands.bulk import purge_plans
from app.commands.expiry import expire_holds, expire_unpaid_bookings
from app.commands.guest_session import purge_guest_sessions
from app.commands.purge import (
    purge_events,
    purge_heartbeats,
    purge_idempotency_keys,
    purge_jobs,
    purge_recurring_runs,
)
from app.core.database import Database, Tx
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun

log = structlog.get_logger(__name__)

EXPIRY_BATCH = 200
STEP_BATCH = 25
"""Steps with money lock more, and for longer."""
PURGE_BATCH = 5_000
PLAN_BATCH = 20
"""Of bulk changes, each of which may have a thousand bookings."""
MOST_BATCHES = 1_000
"""Of one run; what is left is for the next."""

RECURRING = (
    Recurring("expire_holds", timedelta(seconds=10)),
    Recurring("expire_unpaid_bookings", timedelta(seconds=10)),
    Recurring("expire_unanswered_bookings", timedelta(seconds=10)),
    Recurring("take_automatic_steps", timedelta(seconds=30)),
    Recurring("purge_idempotency_keys", timedelta(hours=1)),
    Recurring("purge_events", timedelta(hours=1)),
    Recurring("purge_guest_sessions", timedelta(hours=1)),
    Recurring("purge_jobs", timedelta(hours=1)),
)


async def _expire_holds(run: JobRun) -> None:
    await _sweep(run, lambda tx: expire_holds(tx, EXPIRY_BATCH), EXPIRY_BATCH)


async def _expire_unpaid_bookings(run: JobRun) -> None:
    await _sweep(run, lambda tx: expire_unpaid_bookings(tx, EXPIRY_BATCH), EXPIRY_BATCH)


async def _expire_unanswered_bookings(run: JobRun) -> None:
    await _sweep(run, lambda tx: expire_unanswered(tx, STEP_BATCH), STEP_BATCH)


async def _take_automatic_steps(run: JobRun) -> None:
    await _sweep(run, lambda tx: take_automatic_steps(tx, STEP_BATCH), STEP_BATCH)


async def _purge_idempotency_keys(run: JobRun) -> None:
    kept = run.services.idempotency_retention
    await _sweep(run, lambda tx: purge_idempotency_keys(tx, kept, PURGE_BATCH), PURGE_BATCH)


async def _purge_events(run: JobRun) -> None:
    kept = run.services.event_retention
    await _sweep(run, lambda tx: purge_events(tx, kept, PURGE_BATCH), PURGE_BATCH)


async def _purge_guest_sessions(run: JobRun) -> None:
    await _sweep(run, lambda tx: purge_guest_sessions(tx, PURGE_BATCH), PURGE_BATCH)


async def _purge_jobs(run: JobRun) -> None:
    await _sweep(run, lambda tx: purge_jobs(tx, PURGE_BATCH), PURGE_BATCH)
    await _sweep(run, lambda tx: purge_plans(tx, PLAN_BATCH), PLAN_BATCH)
    async with run.finishing() as tx:
        await purge_recurring_runs(tx)
        await purge_heartbeats(tx)


HANDLERS: Handlers = {
    "expire_holds": _expire_holds,
    "expire_unpaid_bookings": _expire_unpaid_bookings,
    "expire_unanswered_bookings": _expire_unanswered_bookings,
    "take_automatic_steps": _take_automatic_steps,
    "purge_idempotency_keys": _purge_idempotency_keys,
    "purge_events": _purge_events,
    "purge_guest_sessions": _purge_guest_sessions,
    "purge_jobs": _purge_jobs,
}


async def _sweep(run: JobRun, step: Callable[[Tx], Awaitable[int]], batch: int) -> None:
    """Repeat `step`, each time in a transaction of its own, until it finds less than a full batch."""
    total = await _repeat(run.services.database, step, batch)
    if total:
        log.info("sweep.done", kind=run.claim.kind, count=total)


async def _repeat(database: Database, step: Callable[[Tx], Awaitable[int]], batch: int) -> int:
    total = 0
    for _ in range(MOST_BATCHES):
        async with database.transaction() as tx:
            count = await step(tx)
        total += count
        if count < batch:
            break
    return total
