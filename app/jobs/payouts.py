"""Jobs of payouts: planning what is due, sending it, taking back what is owed again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from app.checkout.payout import execute_payout, execute_reversal, plan_all_reversals, plan_payouts, resume_stuck
from app.checkout.scope import Checkout
from app.commands.payout_plan import EXECUTE_PAYOUT
from app.commands.payout_reversal import EXECUTE_REVERSAL
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun

log = structlog.get_logger(__name__)

PLAN_PAYOUTS = "plan_payouts"
RECURRING = (Recurring(PLAN_PAYOUTS, timedelta(minutes=10)),)


class PayoutJobs:
    """`checkout` works on the worker's database."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout

    def handlers(self) -> Handlers:
        return {PLAN_PAYOUTS: self._plan, EXECUTE_PAYOUT: self._send, EXECUTE_REVERSAL: self._reverse}

    async def _plan(self, _run: JobRun) -> None:
        reversals = await plan_all_reversals(self._checkout)
        payouts = await plan_payouts(self._checkout)
        resumed = await resume_stuck(self._checkout)
        if payouts or reversals or resumed:
            log.info("payouts.planned", payouts=payouts, reversals=reversals, resumed=resumed)

    async def _send(self, run: JobRun) -> None:
        await execute_payout(self._checkout, UUID(run.claim.args["payoutId"]))

    async def _reverse(self, run: JobRun) -> None:
        await execute_reversal(self._checkout, UUID(run.claim.args["reversalId"]))
