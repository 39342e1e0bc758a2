"""Prices by quote: reading and locking them, and what each was used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, select

from app.core.database import Tx
from app.domain.booking import BookingStatus, HoldStatus
from app.domain.price_offer import UNUSED, OfferStatus, OfferUse, offer_status
from app.models import Booking, Hold, PriceOffer
from app.queries.pagination import SortKey
from app.queries.rows import get_row, lock_row, one_of

OFFER_SORT = SortKey(
    "created_desc", PriceOffer.created_at.expression, PriceOffer.id.expression, datetime, descending=True
)


@dataclass(frozen=True, slots=True)
class SeenOffer:
    """An offer and what it was last used for."""

    record: PriceOffer
    use: OfferUse = UNUSED

    def status(self, now: datetime) -> OfferStatus:
        return offer_status(OfferStatus(self.record.status), self.record.valid_until, self.use, now)


def select_offers(organization_id: UUID) -> Select[PriceOffer]:
    """All of an organization, not sorted, not limited."""
    return select(PriceOffer).where(PriceOffer.organization_id == organization_id)


async def get_offer(tx: Tx, offer_id: UUID) -> SeenOffer:
    """Two statements at most. Raises NotFound."""
    return await _seen(tx, await get_row(tx, PriceOffer, offer_id))


async def lock_offer(tx: Tx, offer_id: UUID) -> SeenOffer:
    """The same, as it is once nobody else changes or uses it. What it was used for is read when the lock is had, not
    with it: else it could be that of before the wait. Raises NotFound."""
    return await _seen(tx, await lock_row(tx, PriceOffer, offer_id))


async def _seen(tx: Tx, record: PriceOffer) -> SeenOffer:
    return SeenOffer(record, (await list_uses(tx, [record])).get(record.id, UNUSED))


async def list_uses(tx: Tx, offers: Sequence[PriceOffer]) -> Mapping[UUID, OfferUse]:
    """By offer, what those that were ever used were last used for. One statement, or none."""
    used = [offer.id for offer in offers if offer.hold_id is not None]
    if not used:
        return {}
    rows = await tx.execute(
        select(PriceOffer.id, Hold.status, Hold.expires_at, Booking.status)
        .join(Hold, Hold.id == PriceOffer.hold_id)
        .outerjoin(Booking, Booking.id == PriceOffer.booking_id)
        .where(one_of(PriceOffer.id.expression, used))
    )
    return {offer_id: _use(hold, expires_at, booking) for offer_id, hold, expires_at, booking in rows}


def _use(hold: str, expires_at: datetime, booking: str | None) -> OfferUse:
    return OfferUse(HoldStatus(hold), expires_at, None if booking is None else BookingStatus(booking))
