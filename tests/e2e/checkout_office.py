"""Who works behind the shop: workers with their jobs, planners of payouts, reconciliation, the post with its webhooks.

Whoever works may die at any moment, and may stand still for so long that somebody else does the same work meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.checkout.payout import plan_all_reversals, plan_payouts, resume_stuck
from app.checkout.payout_account import open_account, refresh_account
from app.checkout.reconcile import reconcile
from app.checkout.reconcile_books import check_books
from app.commands.actor import SYSTEM, Actor
from app.commands.automatic import expire_unanswered
from app.commands.expiry import expire_holds, expire_unpaid_bookings
from app.commands.job import Claim
from app.commands.payout_account import hold_payouts, resume_payouts, want_account
from app.commands.payout_send import cancel_by_hand, retry_payout
from app.core.outages import describe
from app.domain.errors import DomainError
from app.gateway import GatewayError
from app.jobs.payments import PaymentJobs
from app.jobs.registry import JobRun, JobServices
from tests.e2e.checkout_world import Json, T, World

OWNER = Actor("owner", channel="test")
AT_ONCE = 16
"""Jobs of one worker."""
STANDS_STILL = 0.04
"""Of the jobs, so many are done a second time while the first one who had them is still at work."""
LOST_FOR_GOOD = 0.05
"""Of the webhooks."""
DAY = timedelta(days=1)

# As the product's own claim, but many at a time. A lease lapses by the clock that the test moves.
_CLAIM = text(
    """
    UPDATE job SET fence = fence + 1, attempts = attempts + 1, lease_until = turnero_now() + interval '1 minute'
    WHERE id IN (SELECT id FROM job WHERE done_at IS NULL AND failed_at IS NULL AND run_after <= turnero_now()
                   AND (lease_until IS NULL OR lease_until < turnero_now()) AND attempts < max_attempts
                 ORDER BY run_after, id LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING id, kind, args, organization_id, attempts, max_attempts, fence, run_after
    """
)
_FINISH = text(
    "UPDATE job SET done_at = turnero_now(), lease_until = NULL"
    " WHERE (id, fence) IN (SELECT * FROM unnest(:ids, CAST(:fences AS bigint[]))) AND done_at IS NULL"
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
_AGAIN = text(
    "UPDATE job SET lease_until = NULL, run_after = turnero_now() + interval '30 seconds'"
    " WHERE (id, fence) IN (SELECT * FROM unnest(:ids, CAST(:fences AS bigint[]))) AND done_at IS NULL"
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


@dataclass(slots=True)
class Office:
    """`late`: webhooks that have not come yet. `is_safe`: nobody dies any more."""

    world: World
    organization: UUID
    payees: list[UUID]
    late: list[Json] = field(default_factory=list)
    is_safe: bool = False

    # ── providers with accounts ───────────────────────────────────────────────────────────────────────

    async def onboard(self, provider_id: UUID) -> None:
        world = self.world
        async with world.workers.within(self.organization) as tx:
            wanted = await want_account(
                tx, self.organization, SYSTEM, provider_id, processor="stripe", country="US", email=None
            )
        account = await open_account(world.workers, wanted, actor=SYSTEM)
        await world.control(f"accounts/{account.account_id}/state", state="onboarded")
        await refresh_account(world.workers, None, provider_id)

    async def resume(self) -> None:
        """Everybody can be paid out again, and nobody waits for those who died."""
        # The lease of a reconciliation goes by the real clock.
        await self.world.rows("UPDATE reconciliation_run SET lease_until = '-infinity' RETURNING 1")
        for provider in self.payees:
            await self.restrict(provider, "onboarded")
            async with self.world.workers.within(self.organization) as tx:
                await resume_payouts(tx, provider, OWNER)

    async def restrict(self, provider: UUID, state: str) -> None:
        """The processor wants to know more of a provider, or has it."""
        [row] = await self.world.rows("SELECT account_id FROM payout_account WHERE provider_id = :id", id=provider)
        await self.world.control(f"accounts/{row['account_id']}/state", state=state)
        if self.is_safe or self.world.chance.random() < 0.5:  # or it is seen only when a transfer is refused
            await self.world.tried(refresh_account(self.world.workers, None, provider))

    async def _lived(self, work: Coroutine[Any, Any, T]) -> T | None:
        """None, too, for whom it was the end."""
        return await (work if self.is_safe else self.world.mortal(work))

    # ── jobs ──────────────────────────────────────────────────────────────────────────────────────────

    async def work(self) -> None:
        """As a worker does, until nothing is due."""
        world = self.world
        handlers = PaymentJobs(world.workers).handlers()
        services = JobServices(world.workers.database, timedelta(1), timedelta(1))
        while True:
            async with world.workers.within(None) as tx:
                claims = [Claim(*row) for row in await tx.execute(_CLAIM, {"most": AT_ONCE})]
            if not claims:
                return
            ended = await asyncio.gather(*(self._do(handlers[one.kind], JobRun(one, services)) for one in claims))
            async with world.workers.within(None) as tx:
                for query, wanted in ((_FINISH, "done"), (_AGAIN, "failed")):
                    mine = [one for one, how in zip(claims, ended, strict=True) if how == wanted]
                    if mine:
                        await tx.execute(query, {"ids": [o.job_id for o in mine], "fences": [o.fence for o in mine]})

    async def _do(self, handler: Any, run: JobRun) -> str:
        """done, failed, or gone: whoever had it died."""
        world = self.world

        async def handled() -> bool:
            if world.chance.random() < STANDS_STILL and not self.is_safe:
                world.seen["done twice"] += 1
                again = JobRun(run.claim, run.services)
                both = await asyncio.gather(handler(run), handler(again), return_exceptions=True)
                failures = [one for one in both if isinstance(one, BaseException)]
                if failures:
                    raise failures[0]
            else:
                await handler(run)
            return True

        try:
            is_done = await self._lived(handled())
        except Exception as error:
            self._note(run.claim.kind, error)
            return "failed"
        return "done" if is_done and not run.is_finished else "gone"

    def _note(self, what: str, error: Exception) -> None:
        """An outage is what this is about; anything else is not to be."""
        self.world.seen[f"{what} failed: {type(error).__name__}"] += 1
        if not isinstance(error, GatewayError | DomainError):
            self.world.strange.append(f"{what}: {describe(error)[:300]}")

    # ── payouts ───────────────────────────────────────────────────────────────────────────────────────

    async def plan(self) -> None:
        """What the recurring job does."""
        workers = self.world.workers
        for work in (plan_all_reversals, plan_payouts, resume_stuck):
            await self._lived(work(workers))

    async def meddle(self) -> None:
        """What admins do to payouts."""
        world, lot = self.world, self.world.chance.random()
        provider = world.chance.choice(self.payees)
        if lot < 0.2:
            async with world.workers.within(self.organization) as tx:
                await hold_payouts(tx, provider, OWNER, "A question", world.now())
        elif lot < 0.5:
            async with world.workers.within(self.organization) as tx:
                await resume_payouts(tx, provider, OWNER)
        elif lot < 0.6:
            await self.restrict(provider, "restricted")
        elif lot < 0.8:
            await self.restrict(provider, "onboarded")
        else:
            rows = await world.rows("SELECT id FROM payout WHERE status IN ('scheduled', 'needs_attention')")
            for row in rows[:1]:
                await world.tried(self._cancel(row["id"]))

    async def _cancel(self, payout_id: UUID) -> None:
        async with self.world.workers.within(self.organization) as tx:
            await cancel_by_hand(tx, payout_id, OWNER, "A mistake")
        self.world.seen["payout cancelled by hand"] += 1

    async def attend(self) -> None:
        """Payouts that wait for a person are tried again."""
        for row in await self.world.rows("SELECT id FROM payout WHERE status = 'needs_attention'"):
            async with self.world.workers.within(self.organization) as tx:
                await retry_payout(tx, row["id"], OWNER, self.world.now())
            self.world.seen["payout tried again by hand"] += 1

    # ── webhooks, deadlines ───────────────────────────────────────────────────────────────────────────

    async def post(self, share: float) -> None:
        """Late, shuffled, up to ten times; some never."""
        world, chance = self.world, self.world.chance
        for event in await world.events():
            if self.is_safe or chance.random() >= LOST_FOR_GOOD:
                self.late.append(event)
        chance.shuffle(self.late)
        now = round(len(self.late) * share)
        batch, self.late = self.late[:now], self.late[now:]
        times = [one for one in batch for _ in range(chance.choices((1, 2, 3, 10), (85, 10, 4, 1))[0])]
        for begin in range(0, len(times), AT_ONCE):
            await asyncio.gather(*(world.deliver(one) for one in times[begin : begin + AT_ONCE]))

    async def is_quiet(self) -> bool:
        """Is nothing left to be done, and nobody left to be paid?"""
        query = (
            "SELECT EXISTS (SELECT 1 FROM job WHERE done_at IS NULL)"
            " OR EXISTS (SELECT 1 FROM provider_payable WHERE owed_minor <> 0)"
            " OR EXISTS (SELECT 1 FROM booking WHERE status NOT IN"
            "            ('completed', 'cancelled', 'no_show', 'refunded', 'expired'))"
            " OR EXISTS (SELECT 1 FROM refund WHERE status NOT IN ('succeeded', 'failed'))"
            " OR EXISTS (SELECT 1 FROM payout WHERE status NOT IN ('sent', 'cancelled'))"
            " OR EXISTS (SELECT 1 FROM reconciliation_difference WHERE resolved_at IS NULL) AS busy"
        )
        [row] = await self.world.rows(query)
        return not row["busy"]

    async def sweep(self) -> None:
        async with self.world.workers.within(None) as tx:
            await expire_holds(tx, 1_000)
            await expire_unpaid_bookings(tx, 1_000)
            await expire_unanswered(tx, 1_000)

    # ── reconciliation ────────────────────────────────────────────────────────────────────────────────

    async def reconcile(self) -> None:
        """In the middle of everything."""
        world = self.world
        try:
            done = await self._lived(reconcile(world.workers, "stripe", patience_s=0, slice_of=DAY))
            await self._lived(check_books(world.workers))
        except GatewayError:
            world.seen["reconciliation broken off"] += 1
            return
        if done is not None and not done.is_busy:
            world.seen["reconciled"] += 1
            world.seen["differences met"] += done.counts.found
            world.seen["differences healed"] += done.counts.healed

    async def differences(self) -> Sequence[dict[str, Any]]:
        """Those that are open."""
        return await self.world.rows(
            "SELECT kind, subject, our_id, their_id, booking_id, ours, theirs FROM reconciliation_difference"
            " WHERE resolved_at IS NULL"
        )
