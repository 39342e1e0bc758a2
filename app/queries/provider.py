"""Who gives services, and what each one offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.models import Offer, Provider, Service, Venue
from app.queries.pagination import LIST_LIMIT
from app.queries.rows import list_below, one_of
from app.queries.text_search import folded


def _at_active_venue() -> Any:
    return select(Venue.id).where(Venue.id == Provider.venue_id, Venue.is_active).exists()


async def get_provider(tx: Tx, provider_id: UUID, *, for_staff: bool) -> Provider:
    """Only staff see one that is not active, or whose venue is not. One statement. Raises NotFound."""
    statement = select(Provider).where(Provider.id == provider_id)
    if not for_staff:
        statement = statement.where(Provider.is_active, _at_active_venue())
    provider = (await tx.execute(statement)).scalar_one_or_none()
    if provider is None:
        raise NotFound
    return provider


async def list_providers_below_venues(tx: Tx, venue_ids: Sequence[UUID]) -> Mapping[UUID, list[Provider]]:
    """The active ones of each active venue, by name. One statement."""
    source = select(Provider).where(one_of(Provider.venue_id, venue_ids), Provider.is_active, _at_active_venue())
    return await list_below(tx, Provider, Provider.venue_id, source, [folded(Provider.name)])


async def list_providers_below_services(tx: Tx, service_ids: Sequence[UUID]) -> Mapping[UUID, list[Provider]]:
    """The active ones, at active venues, that offer each service, by name. One statement."""
    source = (
        select(Provider)
        .join(Offer, Offer.provider_id == Provider.id)
        .where(one_of(Offer.service_id, service_ids), Offer.is_active, Provider.is_active, _at_active_venue())
    )
    return await list_below(tx, Provider, Offer.service_id, source, [folded(Provider.name)])


async def list_offers_below_providers(tx: Tx, provider_ids: Sequence[UUID]) -> Mapping[UUID, list[Offer]]:
    """The active offers of active services of each provider, by the services' names. One statement."""
    place = func.row_number().over(partition_by=Offer.provider_id, order_by=[folded(Service.name), Service.id])
    ranked = (
        select(Offer.provider_id, Offer.service_id, place.label("place"))
        .join(Service, Service.id == Offer.service_id)
        .where(one_of(Offer.provider_id, provider_ids), Offer.is_active, Service.is_active)
        .subquery()
    )
    rows = await tx.execute(
        select(Offer)
        .join(ranked, (ranked.c.provider_id == Offer.provider_id) & (ranked.c.service_id == Offer.service_id))
        .where(ranked.c.place <= LIST_LIMIT)
        .order_by(Offer.provider_id, ranked.c.place)
    )
    found: dict[UUID, list[Offer]] = {}
    for offer in rows.scalars():
        found.setdefault(offer.provider_id, []).append(offer)
    return found


async def list_offered_services(tx: Tx, provider_id: UUID) -> Sequence[UUID]:
    """Ids of the services that the provider actively offers. One statement."""
    statement = select(Offer.service_id).where(Offer.provider_id == provider_id, Offer.is_active)
    return (await tx.execute(statement.order_by(Offer.service_id))).scalars().all()


async def get_offer(tx: Tx, provider_id: UUID, service_id: UUID, *, lock: bool = False) -> Offer:
    """Active or not; with `lock`, as it is once nobody else changes it. One statement. Raises NotFound."""
    statement = select(Offer).where(Offer.provider_id == provider_id, Offer.service_id == service_id)
    if lock:
        statement = statement.with_for_update(key_share=True)
    offer = (await tx.execute(statement)).scalar_one_or_none()
    if offer is None:
        raise NotFound
    return offer
