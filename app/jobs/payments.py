"""Jobs of payments: what a request began and did not finish, deadlines, refunds, webhooks."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from app.checkout.event import process_event
from app.checkout.payment import end_payment, read_payment, refresh_payment
from app.checkout.refund import execute_refund
from app.checkout.scope import Checkout
from app.commands.actor import SYSTEM
from app.commands.booking_payment import END_PAYMENT, JOB_ATTEMPTS, OPEN_PAYMENT
from app.commands.job import enqueue
from app.commands.refund import EXECUTE_REFUND
from app.gateway import ObjectKind
from app.jobs.fees import FeeJobs
from app.jobs.payouts import PayoutJobs
from app.jobs.registry import Handlers, JobRun
from app.jobs.series import SeriesJobs

PROCESS_EVENT = "process_payment_event"
LOOK_AGAIN = timedelta(minutes=1)
"""At a payment that the processor is still working on when nobody should be paying any more."""


class PaymentJobs:
    """`checkout` works on the worker's database."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout

    def handlers(self) -> Handlers:
        return {
            OPEN_PAYMENT: self._open,
            END_PAYMENT: self._end,
            EXECUTE_REFUND: self._refund,
            PROCESS_EVENT: self._process,
            **FeeJobs(self._checkout).handlers(),
            **SeriesJobs(self._checkout).handlers(),
            **PayoutJobs(self._checkout).handlers(),
        }

    async def _open(self, run: JobRun) -> None:
        payment_id = UUID(run.claim.args["paymentId"])
        known = await read_payment(self._checkout, None, payment_id)
        if known.payment.status == "created":
            await refresh_payment(self._checkout, known.payment.organization_id, payment_id, actor=SYSTEM)

    async def _end(self, run: JobRun) -> None:
        if await end_payment(self._checkout, UUID(run.claim.args["paymentId"])):
            return
        async with run.finishing() as tx:
            run_after = self._checkout.clock.now() + LOOK_AGAIN
            organization_id = run.claim.organization_id
            args = run.claim.args
            await enqueue(
                tx, END_PAYMENT, args, organization_id=organization_id, run_after=run_after, max_attempts=JOB_ATTEMPTS
            )

    async def _refund(self, run: JobRun) -> None:
        await execute_refund(self._checkout, UUID(run.claim.args["refundId"]))

    async def _process(self, run: JobRun) -> None:
        args = run.claim.args
        kind = ObjectKind(args["kind"])
        await process_event(self._checkout, args["processor"], args["eventId"], kind, args["objectId"])
