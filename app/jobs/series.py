"""Jobs of series."""

from __future__ import annotations

from uuid import UUID

from app.checkout.scope import Checkout
from app.checkout.series import charge_date
from app.commands.series_payment import CHARGE_DATE
from app.jobs.registry import Handlers, JobRun


class SeriesJobs:
    """`checkout` works on the worker's database."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout

    def handlers(self) -> Handlers:
        return {CHARGE_DATE: self._charge}

    async def _charge(self, run: JobRun) -> None:
        await charge_date(self._checkout, UUID(run.claim.args["bookingId"]), UUID(run.claim.args["sourceId"]))
