"""Finds jobs that are due, new ones and those whose worker fell silent, and calls a worker for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import structlog

from app.commands.job import fail_exhausted
from app.core.database import Database
from app.core.outages import Outage
from app.jobs.runner import Runner
from app.ports import JobQueue, QueueUnavailable
from app.queries.event import log_state
from app.queries.job import DueJob, due_jobs

log = structlog.get_logger(__name__)

POLL_S = 1.0
UNHEARD_AFTER_S = 2.5
"""A call that nobody answered for so long is not trusted to be answered: the job is run here."""


class Poll:
    """Every worker polls. The queue spreads the work; without it each worker takes what it can."""

    def __init__(self, database: Database, queue: JobQueue, runner: Runner, *, poll_s: float = POLL_S) -> None:
        self._database = database
        self._queue = queue
        self._runner = runner
        self._poll_s = poll_s
        self._attached = asyncio.Event()
        self._called: dict[tuple[UUID, int], float] = {}
        self._queue_outage = Outage("poll.queue")

    async def run(self) -> None:
        """Until cancelled."""
        outage = Outage("poll.database")
        while True:
            try:
                await self.look()
            except Exception as error:
                await asyncio.sleep(outage.failed(error))
                continue
            outage.ok()
            await asyncio.sleep(self._poll_s)

    async def answer(self) -> None:
        """Start the jobs that the queue calls for. Until cancelled; outages of the queue are waited out."""
        outage = Outage("poll.calls")
        await self._attached.wait()
        while True:
            try:
                await self._queue.serve(self._runner.start, outage.ok)
            except Exception as error:
                await asyncio.sleep(outage.failed(error))

    async def look(self) -> None:
        """Once."""
        async with self._database.transaction() as tx:
            state = await log_state(tx)
            exhausted = await fail_exhausted(tx)
            due = await due_jobs(tx, self._runner.kinds)
        for job_id, kind, attempts in exhausted:
            log.error("job.failed", job=str(job_id), kind=kind, attempt=attempts, error="its worker fell silent")
        self._queue.attach(state.installation_id)
        self._attached.set()
        unheard = self._unheard(due)
        await self._run_here(unheard)
        await self._call([job for job in due if job not in unheard])

    def _unheard(self, due: Sequence[DueJob]) -> list[DueJob]:
        """Those that were called for some time ago and are still due."""
        now = time.monotonic()
        self._called = {(job.id, job.fence): self._called.get((job.id, job.fence), now) for job in due}
        return [job for job in due if now - self._called[job.id, job.fence] >= UNHEARD_AFTER_S]

    async def _call(self, jobs: Sequence[DueJob]) -> None:
        if not jobs:
            return
        try:
            await self._queue.wake([(job.id, job.fence) for job in jobs])
        except QueueUnavailable as error:
            if not self._queue_outage.is_on:
                self._queue_outage.failed(error)
            await self._run_here(jobs)
        else:
            self._queue_outage.ok()

    async def _run_here(self, jobs: Sequence[DueJob]) -> None:
        for job in jobs:
            if not self._runner.has_room:
                return
            await self._runner.start(job.id)
