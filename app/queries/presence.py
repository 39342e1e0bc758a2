"""Whose presence is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select

from app.core.database import Tx
from app.domain.presence import Person
from app.models import Offer, Provider, Venue
from app.queries.rows import one_of


async def list_people(
    tx: Tx, *, provider_ids: Sequence[UUID] | None = None, venue_id: UUID | None = None, limit: int
) -> list[Person]:
    """The active ones at active venues, by id, at most `limit`: those named, or those of a venue. One statement."""
    services = (
        select(func.array_agg(Offer.service_id))
        .where(Offer.provider_id == Provider.id, Offer.is_active)
        .correlate(Provider)
        .scalar_subquery()
    )
    statement = (
        select(Provider.id, Provider.user_id, Provider.shows_presence, services)
        .join(Venue, Venue.id == Provider.venue_id)
        .where(Provider.is_active, Venue.is_active)
        .order_by(Provider.id)
        .limit(limit)
    )
    if provider_ids is not None:
        statement = statement.where(one_of(Provider.id, provider_ids))
    if venue_id is not None:
        statement = statement.where(Provider.venue_id == venue_id)
    rows = await tx.execute(statement)
    return [
        Person(provider_id, account_id if shows else None, frozenset(service_ids or ()))
        for provider_id, account_id, shows, service_ids in rows
    ]
