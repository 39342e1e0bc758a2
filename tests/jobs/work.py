"""Asking for jobs, running them, and looking at what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.adapters.valkey import Valkey
from app.commands.job import enqueue
from app.core.database import Database
from app.jobs.poll import Poll
from app.jobs.registry import Handler, JobServices
from app.jobs.runner import Runner
from tests.jobs.ground import rows
from tests.jobs.loops import beside

LEASE = timedelta(seconds=2)


def make_runner(database: Database, handler: Handler, *, kind: str = "work", **options: Any) -> Runner:
    services = JobServices(database, timedelta(hours=72), timedelta(hours=48))
    return Runner(database, services, {kind: handler}, **{"lease": LEASE, "first_retry_s": 0.05, **options})


async def ask(database: Database, kind: str = "work", **options: Any) -> UUID:
    async with database.transaction() as tx:
        return await enqueue(tx, kind, options.pop("args", {}), organization_id=None, **options)


async def job(database: Database, job_id: UUID) -> dict[str, Any]:
    names = ("attempts", "fence", "done_at", "failed_at", "lease_until", "last_error", "run_after")
    (found,) = await rows(database, f"SELECT {', '.join(names)} FROM job WHERE id = :id", id=job_id)
    return dict(zip(names, found, strict=True))


async def is_done(database: Database, job_id: UUID) -> bool:
    return (await job(database, job_id))["done_at"] is not None


@asynccontextmanager
async def working(database: Database, valkey: Valkey, runner: Runner) -> AsyncIterator[None]:
    queue = valkey.job_queue()
    poll = Poll(database, queue, runner, poll_s=0.1)
    try:
        async with beside(poll.run(), poll.answer()):
            yield
    finally:
        await runner.stop(0)
        await queue.close()


async def claimed(database: Database, job_id: UUID) -> bool:
    return bool((await job(database, job_id))["attempts"])


async def all_done(database: Database) -> bool:
    return await rows(database, "SELECT 1 FROM job WHERE done_at IS NULL LIMIT 1") == []
