"""Runs jobs: claims each with a lease and a fence, keeps the lease alive, and writes down how it ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog

from app.commands.job import Claim, LeaseLost, claim_job, fail_job, finish_job, give_back_job, renew_lease
from app.core.chance import between
from app.core.database import Database
from app.core.outages import describe
from app.jobs.registry import Handlers, JobRun, JobServices

log = structlog.get_logger(__name__)

JOBS_AT_ONCE = 10
LONGEST_RUN_S = 600.0
"""A handler that takes longer has failed."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 3_600.0


class Runner:
    """At most `JOBS_AT_ONCE` jobs at a time, each in a task of its own that no queue can cancel.

    `database` is for claims and leases. It has connections of its own: handlers that use up theirs must not make a
    lease lapse.
    """

    def __init__(
        self,
        database: Database,
        services: JobServices,
        handlers: Handlers,
        *,
        lease: timedelta = timedelta(seconds=60),
        longest_run_s: float = LONGEST_RUN_S,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self._database = database
        self._services = services
        self._handlers = handlers
        self._lease = lease
        self._longest_run_s = longest_run_s
        self._first_retry_s = first_retry_s
        self._slots = asyncio.Semaphore(JOBS_AT_ONCE)
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._is_stopping = False

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(self._handlers)

    async def start(self, job_id: UUID) -> None:
        """Begin with this job as soon as there is room, unless it runs here already. Does not wait for its end."""
        await self._slots.acquire()
        if self._is_stopping or job_id in self._running:
            self._slots.release()
            return
        task = asyncio.create_task(self._run(job_id), name=f"job {job_id}")
        self._running[job_id] = task
        task.add_done_callback(lambda _: self._ended(job_id))

    @property
    def has_room(self) -> bool:
        return not self._slots.locked()

    async def stop(self, grace_s: float) -> None:
        """Start nothing more; let what runs end within `grace_s`, then give it back to other workers."""
        self._is_stopping = True
        running = set(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _ended(self, job_id: UUID) -> None:
        del self._running[job_id]
        self._slots.release()

    async def _run(self, job_id: UUID) -> None:
        try:
            async with self._database.transaction() as tx:
                claim = await claim_job(tx, job_id, self._lease, self.kinds)
            if claim is not None:
                await self._attempt(JobRun(claim, self._services))
        except Exception as error:
            # The database is away: the lease lapses, and the job is found again.
            log.warning("job.not_written", job=str(job_id), error=describe(error))

    async def _attempt(self, run: JobRun) -> None:
        """Raises what the database raises when the end cannot be written."""
        handler = asyncio.ensure_future(self._handlers[run.claim.kind](run))
        heart = asyncio.create_task(self._keep_lease(run.claim, handler))
        try:
            async with asyncio.timeout(self._longest_run_s):
                await handler
            if not run.is_finished:
                async with self._database.transaction() as tx:
                    await finish_job(tx, run.claim)
        except LeaseLost:
            log.warning("job.taken_over", **_facts(run.claim))
        except asyncio.CancelledError:
            await self._end_early(run, is_lost=heart.done())
        except Exception as error:
            # It may be the commit of `finishing` whose answer was lost: a job that is done after all stays done.
            await self._fail(run.claim, error)
        finally:
            heart.cancel()
            await asyncio.wait([heart])

    async def _end_early(self, run: JobRun, *, is_lost: bool) -> None:
        if is_lost:
            log.warning("job.taken_over", **_facts(run.claim))
            return
        with suppress(LeaseLost):
            async with self._database.transaction() as tx:
                await give_back_job(tx, run.claim)
            log.info("job.given_back", **_facts(run.claim))

    async def _fail(self, claim: Claim, error: Exception) -> None:
        try:
            async with self._database.transaction() as tx:
                await fail_job(tx, claim, describe(error), self._retry_delay(claim.attempt))
        except LeaseLost:
            log.warning("job.taken_over", **_facts(claim), error=describe(error))
            return
        if claim.is_last_attempt:
            log.error("job.failed", **_facts(claim), exc_info=error)
        else:
            log.warning("job.attempt_failed", **_facts(claim), error=describe(error))

    def _retry_delay(self, attempt: int) -> timedelta:
        """Doubles with each attempt, within a half up or down, so that jobs that failed together come back apart."""
        delay_s = min(LONGEST_RETRY_S, self._first_retry_s * 2 ** (attempt - 1))
        return timedelta(seconds=delay_s * between(0.5, 1.5))

    async def _keep_lease(self, claim: Claim, handler: asyncio.Future[None]) -> None:
        """Renew until cancelled. Ends the handler when the job is somebody else's, or may be."""
        loop = asyncio.get_running_loop()
        lease_s = self._lease.total_seconds()
        lapses_at = loop.time() + lease_s
        while True:
            await asyncio.sleep(lease_s / 3)
            asked_at = loop.time()
            try:
                async with asyncio.timeout(lease_s / 3), self._database.transaction() as tx:
                    await renew_lease(tx, claim, self._lease)
                lapses_at = asked_at + lease_s
            except LeaseLost:
                break
            except Exception as error:
                log.warning("job.lease_not_renewed", **_facts(claim), error=describe(error))
                if loop.time() >= lapses_at:
                    break
        handler.cancel()


def _facts(claim: Claim) -> dict[str, object]:
    return {"job": str(claim.job_id), "kind": claim.kind, "attempt": claim.attempt}
