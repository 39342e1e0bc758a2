"""Time passes, and what runs in the background does its work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from app.commands.expiry import expire_holds, expire_unpaid_bookings
from app.commands.job import Claim
from app.commands.session_generation import generate_next
from app.commands.waitlist_offer import OFFER_WHAT_OPENED
from app.domain.price_quote import NO_FEES
from app.jobs.payments import PaymentJobs
from app.jobs.registry import Handlers, JobRun, JobServices
from app.jobs.waitlist import handlers as waitlist_jobs
from tests.e2e.lifecycle_life import Life, operation

WAITS = tuple(timedelta(minutes=one) for one in (3, 7, 12, 40, 240, 1_440))
SWEEPS = (expire_holds, expire_unpaid_bookings)
BATCH = 200

# As the product's own claim, but of one shop, and many at a time.
_CLAIM = text(
    """
    UPDATE job SET fence = fence + 1, attempts = attempts + 1, lease_until = turnero_now() + interval '1 minute'
    WHERE organization_id = :organization AND done_at IS NULL AND failed_at IS NULL AND run_after <= turnero_now()
      AND (lease_until IS NULL OR lease_until < turnero_now())
    RETURNING id, kind, args, organization_id, attempts, max_attempts, fence, run_after
    """
)
_FINISH = text("UPDATE job SET done_at = turnero_now(), lease_until = NULL WHERE id = :id AND fence = :fence")


@dataclass
class Background(Life):
    """Clock and workers."""

    @operation(5, time=len(WAITS))
    async def wait(self, time: int) -> None:
        self.world.pass_time(WAITS[time])

    @operation(2)
    async def sweep(self) -> None:
        """Ends what ran out."""
        for sweep in SWEEPS:
            count = BATCH
            while count >= BATCH:
                async with self.world.workers.within(None) as tx:
                    count = await sweep(tx, BATCH)

    @operation(2)
    async def work(self) -> None:
        """All jobs of the shop that are due: payments are opened, taken, ended and given back."""
        self.intent.is_office = True
        workers = self.world.workers
        handlers = self.handlers()
        services = JobServices(workers.database, timedelta(1), timedelta(1))
        async with workers.within(None) as tx:
            found = await tx.execute(_CLAIM, {"organization": self.ground.organization})
            claims = [Claim(*row) for row in found]
        for claim in sorted(claims, key=lambda one: (one.run_after, one.job_id)):
            run = JobRun(claim, services)
            await handlers[claim.kind](run)
            if not run.is_finished:
                async with workers.within(None) as tx:
                    await tx.execute(_FINISH, {"id": claim.job_id, "fence": claim.fence})
        await self.worked()

    def handlers(self) -> Handlers:
        """Of all jobs that such a shop has."""
        offered = {OFFER_WHAT_OPENED: waitlist_jobs(NO_FEES)[OFFER_WHAT_OPENED]}
        return {**PaymentJobs(self.world.workers).handlers(), **offered}

    async def worked(self) -> None:
        """What the jobs may have changed, for those who know."""

    @operation()
    async def generate_sessions(self) -> None:
        """As every day."""
        for activity in self.ground.activities:
            async with self.world.workers.within(self.ground.organization) as tx:
                await generate_next(tx, activity, self.world.now())
