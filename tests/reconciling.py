"""Both processors beside the API, and what reconciliation found of one shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.checkout.reconcile import Reconciled, reconcile
from app.checkout.reconcile_books import check_books
from app.checkout.scope import Checkout
from app.core.ids import IdKind, decode_id
from tests.journey import Made
from tests.paying import Paying
from tests.shop import Shop

HOUR = timedelta(hours=1)
WHOLE = timedelta(days=60)
"""The processor does not know of a clock that a test moved: what lies between need not be asked for in parts."""


@dataclass(frozen=True, slots=True)
class Reconciling:
    """Runs are of the shop alone, so that what other tests left behind is not looked at."""

    paying: Paying
    shop: Shop

    @property
    def checkout(self) -> Checkout:
        """A worker's."""
        return replace(self.paying.api.api.services.checkout, database=self.paying.worker)

    async def run(self, processor: str = "stripe") -> Reconciled:
        """Everything since an hour before this test's own moment."""
        since = datetime.now(UTC) - HOUR
        return await reconcile(
            self.checkout,
            processor,
            since=since,
            organization_id=self.shop.organization_uuid,
            patience_s=0,
            slice_of=WHOLE,
        )

    async def ran(self, processor: str = "stripe") -> tuple[int, int]:
        """Found, and healed."""
        counts = (await self.run(processor)).counts
        return counts.found, counts.healed

    async def check(self) -> int:
        """The shop's own books: how many differences."""
        done = await check_books(self.checkout, organization_id=self.shop.organization_uuid)
        assert not done.is_busy
        return done.counts.found

    async def rows(self) -> list[dict[str, Any]]:
        """All differences of the shop, resolved ones too, in order."""
        query = "SELECT * FROM reconciliation_difference WHERE organization_id = :id ORDER BY id"
        return await self.paying.rows(query, id=self.shop.organization_uuid)

    async def said(self) -> list[tuple[str, str | None]]:
        """Kind and resolution of each."""
        return [(row["kind"], row["resolution"]) for row in await self.rows()]

    async def said_now(self) -> list[tuple[str, str | None]]:
        """After both sides, and our own books, were compared."""
        await self.run()
        await self.check()
        return await self.said()

    async def payment(self, made: Made) -> dict[str, Any]:
        query = "SELECT * FROM payment WHERE booking_id = :id ORDER BY id DESC LIMIT 1"
        [row] = await self.paying.rows(query, id=decode_id(IdKind.BOOKING, made.id))
        return row

    async def change_payment(self, made: Made, change: str, **values: Any) -> None:
        payment = await self.payment(made)
        await self.paying.rows(f"UPDATE payment SET {change} WHERE id = :id RETURNING 1", id=payment["id"], **values)

    async def forget_jobs(self, *kinds: str) -> None:
        """As if they had been given up, or lost."""
        await self.paying.rows("DELETE FROM job WHERE kind = ANY (:kinds) RETURNING 1", kinds=list(kinds))

    def labels(self, payment_id: UUID, booking_id: UUID | None = None, owner: UUID | None = None) -> dict[str, str]:
        """What our payments carry at the processor."""
        found = {"turnero_payment": str(payment_id), "turnero_organization": str(owner or self.shop.organization_uuid)}
        return found if booking_id is None else {**found, "turnero_booking": str(booking_id)}

    def wait(self, time: timedelta) -> None:
        clock = self.paying.api.clock
        clock.move(clock.offset + time)


def kinds(found: Sequence[dict[str, Any]]) -> list[str]:
    return [str(one["kind"]) for one in found]
