"""Fees: what they would be, and those of an organization, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.errors import NotFound
from app.domain.fees import FeeStatus
from app.gateway import Capability
from app.models import BookingFee, Hold
from app.queries.fee import FEE_SORT, select_fees
from app.queries.pagination import Page, PageRequest, count_rows, fetch_page
from app.queries.payment_terms import get_terms
from app.queries.tenancy import Door
from app.resolvers.context import RequestContext


@dataclass(frozen=True, slots=True)
class FeeList:
    """For the staff; `statuses` none: all."""

    context: RequestContext
    organization_id: UUID
    statuses: Sequence[FeeStatus] | None

    async def page(self, request: PageRequest) -> Page[BookingFee]:
        """Two statements. Raises Unauthenticated, NotFound."""
        self.context.require_viewer()
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            if not tenancy.is_staff:
                raise NotFound
            return await fetch_page(tx, select_fees(self.organization_id, self.statuses), FEE_SORT, request)

    async def count(self) -> int:
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, _):
            return await count_rows(tx, select_fees(self.organization_id, self.statuses))


async def fee_terms_of(context: RequestContext, hold: Hold) -> tuple[int, int, bool]:
    """The fees of cancelling late and of not coming, in minor units, and whether a card is needed to pay on arrival."""
    checkout = context.services.checkout
    async with context.read_bound(hold.organization_id) as tx:
        terms = await get_terms(tx, hold.organization_id)
    late, no_show = terms.policy.late_fee.of(hold.price_minor), terms.policy.no_show_fee.of(hold.price_minor)
    can_save = checkout.takes(terms.processor, hold.currency) and Capability.SAVED_METHODS in checkout.offers(
        terms.processor
    )
    return late, no_show, bool(terms.card_required_for_arrival and can_save and max(late, no_show))
