"""The texts that are frozen with a booking, where a move to somebody else changes them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.models import Booking, Provider, Venue


async def terms_with_provider(tx: Tx, booking: Booking, provider_id: UUID) -> dict[str, Any] | None:
    """As they are, but with whom and where; of one service. One statement. None: made before texts were kept."""
    if booking.terms is None:
        return None
    name, venue_name, address = (
        await tx.execute(
            select(Provider.name, Venue.name, Venue.address)
            .join(Venue, Venue.id == Provider.venue_id)
            .where(Provider.id == provider_id)
        )
    ).one()
    [item] = booking.terms["items"]
    moved = {**item, "providerName": name, "venueName": venue_name, "venueAddress": address}
    return {**booking.terms, "items": [moved]}
