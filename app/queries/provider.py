"""Who gives services, and what each one offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.models import Offer, Provider, Service, Venue
from app.queries.pagination import LIST_LIMIT, SortKey
from app.queries.rows import list_below, one_of
from app.queries.text_search import contains_text, folded, same_text


@dataclass(frozen=True, slots=True)
class ProviderFilter:
    """Each that is given must hold. `category`: of a service that they offer. `text`: a part of the name."""

    venue_id: UUID | None = None
    service_id: UUID | None = None
    category: str | None = None
    text: str | None = None
    is_active: bool | None = None


class ProviderSort(StrEnum):
    NAME_ASC = "name_asc"
    NAME_DESC = "name_desc"
    CREATED_ASC = "created_asc"
    RATING_DESC = "rating_desc"


_UNRATED = -1.0
"""Below every rating, so that those without one come last."""

PROVIDER_SORTS: Mapping[ProviderSort, SortKey] = MappingProxyType(
    {
        ProviderSort.NAME_ASC: SortKey("name", folded(Provider.name), Provider.id, str),
        ProviderSort.NAME_DESC: SortKey("name", folded(Provider.name), Provider.id, str, descending=True),
        ProviderSort.CREATED_ASC: SortKey("created", Provider.created_at, Provider.id, datetime),
        ProviderSort.RATING_DESC: SortKey(
            "rating", func.coalesce(Provider.rating, _UNRATED), Provider.id, float, descending=True
        ),
    }
)


def select_providers(organization_id: UUID, wanted: ProviderFilter, *, for_staff: bool) -> Select[Provider]:
    """Those of a list. Only staff see providers that are not active, or whose venue is not."""
    statement = select(Provider).where(Provider.organization_id == organization_id)
    if not for_staff:
        statement = statement.where(Provider.is_active, _at_active_venue())
    if wanted.is_active is not None:
        statement = statement.where(Provider.is_active.is_(wanted.is_active))
    if wanted.venue_id is not None:
        statement = statement.where(Provider.venue_id == wanted.venue_id)
    if wanted.text is not None:
        statement = statement.where(contains_text(Provider.name, wanted.text))
    if wanted.service_id is not None or wanted.category is not None:
        statement = statement.where(_offers(wanted, for_staff=for_staff))
    return statement


def _offers(wanted: ProviderFilter, *, for_staff: bool) -> Any:
    offers = select(Offer.service_id).join(Service, Service.id == Offer.service_id)
    offers = offers.where(Offer.provider_id == Provider.id, Offer.is_active)
    if not for_staff:
        offers = offers.where(Service.is_active)
    if wanted.service_id is not None:
        offers = offers.where(Offer.service_id == wanted.service_id)
    if wanted.category is not None:
        offers = offers.where(same_text(Service.category, wanted.category))
    return offers.exists()


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
