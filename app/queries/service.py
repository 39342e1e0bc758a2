"""What can be booked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, func, select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.pricing import PriceType
from app.models import Offer, Service
from app.queries.pagination import SortKey
from app.queries.rows import list_below, one_of
from app.queries.text_search import contains_text, folded, same_text


@dataclass(frozen=True, slots=True)
class ServiceFilter:
    """Each that is given must hold. `text`: a part of the name. `provider_id`: who offers it."""

    category: str | None = None
    subcategory: str | None = None
    text: str | None = None
    tag: str | None = None
    provider_id: UUID | None = None
    price_type: PriceType | None = None
    is_active: bool | None = None


class ServiceSort(StrEnum):
    NAME_ASC = "name_asc"
    PRICE_ASC = "price_asc"
    PRICE_DESC = "price_desc"
    CREATED_ASC = "created_asc"


SERVICE_SORTS: Mapping[ServiceSort, SortKey] = MappingProxyType(
    {
        ServiceSort.NAME_ASC: SortKey("name", folded(Service.name), Service.id, str),
        ServiceSort.PRICE_ASC: SortKey("price", Service.price_minor, Service.id, int),
        ServiceSort.PRICE_DESC: SortKey("price", Service.price_minor, Service.id, int, descending=True),
        ServiceSort.CREATED_ASC: SortKey("created", Service.created_at, Service.id, datetime),
    }
)


def select_services(organization_id: UUID, wanted: ServiceFilter, *, for_staff: bool) -> Select[Service]:
    """Those of a list. Only staff see services that are not active."""
    statement = select(Service).where(Service.organization_id == organization_id)
    if not for_staff:
        statement = statement.where(Service.is_active)
    if wanted.is_active is not None:
        statement = statement.where(Service.is_active.is_(wanted.is_active))
    if wanted.category is not None:
        statement = statement.where(same_text(Service.category, wanted.category))
    if wanted.subcategory is not None:
        statement = statement.where(same_text(func.coalesce(Service.subcategory, ""), wanted.subcategory))
    if wanted.text is not None:
        statement = statement.where(contains_text(Service.name, wanted.text))
    if wanted.tag is not None:
        statement = statement.where(_has_tag(wanted.tag))
    if wanted.provider_id is not None:
        statement = statement.where(_offered_by(wanted.provider_id))
    if wanted.price_type is not None:
        statement = statement.where(Service.price_type == wanted.price_type)
    return statement


def _has_tag(tag: str) -> Any:
    each = func.unnest(Service.tags, type_=Text).column_valued("tag")
    return select(each).where(same_text(each, tag)).exists()


def _offered_by(provider_id: UUID) -> Any:
    offer = select(1).where(Offer.service_id == Service.id, Offer.provider_id == provider_id, Offer.is_active)
    return offer.exists()


async def get_service(tx: Tx, service_id: UUID, *, for_staff: bool) -> Service:
    """Only staff see one that is not active. One statement. Raises NotFound."""
    service = (await tx.execute(select(Service).where(Service.id == service_id))).scalar_one_or_none()
    if service is None or not (service.is_active or for_staff):
        raise NotFound
    return service


async def list_services_below(tx: Tx, provider_ids: Sequence[UUID]) -> Mapping[UUID, list[Service]]:
    """The active ones that each provider offers, by name. One statement."""
    source = (
        select(Service)
        .join(Offer, Offer.service_id == Service.id)
        .where(one_of(Offer.provider_id, provider_ids), Offer.is_active, Service.is_active)
    )
    return await list_below(tx, Service, Offer.provider_id, source, [folded(Service.name)])
