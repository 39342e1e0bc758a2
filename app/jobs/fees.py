"""Jobs of fees, and of payments that are authorized first."""

from __future__ import annotations

from uuid import UUID

from app.checkout.capture import capture_payment
from app.checkout.fee import charge_fee
from app.checkout.scope import Checkout
from app.commands.actor import SYSTEM
from app.commands.fee import CHARGE_FEE
from app.commands.payment_capture import CAPTURE_PAYMENT
from app.jobs.registry import Handlers, JobRun


class FeeJobs:
    """`checkout` works on the worker's database."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout

    def handlers(self) -> Handlers:
        return {CHARGE_FEE: self._charge, CAPTURE_PAYMENT: self._capture}

    async def _charge(self, run: JobRun) -> None:
        await charge_fee(self._checkout, UUID(run.claim.args["feeId"]), run.claim.args["attempt"])

    async def _capture(self, run: JobRun) -> None:
        await capture_payment(self._checkout, None, UUID(run.claim.args["paymentId"]), actor=SYSTEM)
