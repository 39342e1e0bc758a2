"""Places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.models import Offer, Provider, Venue
from app.queries.rows import list_below, one_of
from app.queries.text_search import folded


async def get_venue(tx: Tx, name: UUID | str, *, for_staff: bool) -> Venue:
    """By id, or by embed key. Only staff see one that is not active. One statement. Raises NotFound."""
    statement = select(Venue).where(Venue.id == name if isinstance(name, UUID) else Venue.embed_key == name)
    venue = (await tx.execute(statement)).scalar_one_or_none()
    if venue is None or not (venue.is_active or for_staff):
        raise NotFound
    return venue


async def list_venues_below(tx: Tx, organization_ids: Sequence[UUID]) -> Mapping[UUID, list[Venue]]:
    """The active ones of each organization, by name. One statement."""
    source = select(Venue).where(one_of(Venue.organization_id, organization_ids), Venue.is_active)
    return await list_below(tx, Venue, Venue.organization_id, source, [folded(Venue.name)])


async def list_providers_at(tx: Tx, venue_id: UUID, limit: int) -> Sequence[UUID]:
    """Whoever is there, active or not, at most `limit`. One statement."""
    statement = select(Provider.id).where(Provider.venue_id == venue_id).order_by(Provider.id).limit(limit)
    return (await tx.execute(statement)).scalars().all()


async def list_offers_at(tx: Tx, venue_id: UUID) -> Sequence[tuple[UUID, UUID | None]]:
    """(provider, service) of each active offer of each provider there; a provider without offers once. One statement.

    Not limited: each of them has to learn of a change of the venue.
    """
    rows = await tx.execute(
        select(Provider.id, Offer.service_id)
        .outerjoin(Offer, (Offer.provider_id == Provider.id) & Offer.is_active)
        .where(Provider.venue_id == venue_id)
        .order_by(Provider.id, Offer.service_id)
    )
    return [(provider_id, service_id) for provider_id, service_id in rows]
