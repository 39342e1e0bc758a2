"""Reconciliation as recurring work, and what a worker shows of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from app.checkout.reconcile import PATIENCE_S, reconcile
from app.checkout.reconcile_books import check_books
from app.checkout.scope import Checkout
from app.core.metrics import MONEY_CHECKED_AGE, MONEY_DIFFERENCES
from app.core.outages import Outage, describe
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun
from app.queries.reconciliation import count_open, last_runs

log = structlog.get_logger(__name__)

RECURRING = (
    Recurring("reconcile_payments", timedelta(minutes=15)),
    Recurring("check_books", timedelta(hours=1)),
)
SHOWN_EVERY_S = 30.0


class ReconciliationJobs:
    """`checkout` works on the worker's database."""

    def __init__(self, checkout: Checkout, *, patience_s: float = PATIENCE_S) -> None:
        self._checkout = checkout
        self._patience_s = patience_s

    def handlers(self) -> Handlers:
        return {"reconcile_payments": self._reconcile, "check_books": self._check}

    async def _reconcile(self, _run: JobRun) -> None:
        """Every processor, whatever becomes of another one. Raises what the last failed one raised."""
        failure: Exception | None = None
        for processor in self._checkout.gateways:
            try:
                await reconcile(self._checkout, processor, patience_s=self._patience_s)
            except Exception as error:
                log.warning("reconciliation.failed", processor=processor, error=describe(error))
                failure = error
        if failure is not None:
            raise failure

    async def _check(self, _run: JobRun) -> None:
        await check_books(self._checkout)


class MoneyGauges:
    """Keeps what every worker shows of reconciliation, whichever of them did it."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout

    async def run(self) -> None:
        """Until cancelled."""
        outage = Outage("money_gauges.database")
        while True:
            try:
                await self.show()
            except Exception as error:
                await asyncio.sleep(outage.failed(error))
                continue
            outage.ok()
            await asyncio.sleep(SHOWN_EVERY_S)

    async def show(self) -> None:
        """One transaction, two statements."""
        async with self._checkout.within(None) as tx:
            open_ones, runs = await count_open(tx), await last_runs(tx)
        MONEY_DIFFERENCES.clear()
        for (processor, kind), count in open_ones.items():
            MONEY_DIFFERENCES.labels(processor, kind).set(count)
        now = self._checkout.clock.now()
        for run in runs:
            if run.succeeded_at is not None:
                MONEY_CHECKED_AGE.labels(run.processor).set((now - run.succeeded_at).total_seconds())
