"""Services: reading and changing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import service as commands
from app.domain.pricing import PriceType
from app.models import Service
from app.queries.pagination import Page, PageRequest
from app.queries.service import SERVICE_SORTS, ServiceFilter, ServiceSort, get_service, select_services
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import change, read_count, read_one, read_page
from app.resolvers.context import RequestContext


async def read_service(context: RequestContext, service_id: UUID) -> Service:
    """Raises NotFound."""
    return await read_one(
        context,
        Door.SERVICE,
        service_id,
        lambda tx, tenancy: get_service(tx, service_id, for_staff=tenancy.is_staff),
    )


@dataclass(frozen=True, slots=True)
class ServiceList:
    """A list of services, page by page."""

    context: RequestContext
    organization_id: UUID
    wanted: ServiceFilter

    async def page(self, sort: ServiceSort, request: PageRequest) -> Page[Service]:
        return await read_page(self.context, self.organization_id, self._select, SERVICE_SORTS[sort], request)

    async def count(self) -> int:
        return await read_count(self.context, self.organization_id, self._select)

    def _select(self, tenancy: Tenancy) -> Any:
        return select_services(self.organization_id, self.wanted, for_staff=tenancy.is_staff)


async def price_of(context: RequestContext, service: Service, own_minor: int | None = None) -> tuple[int, str] | None:
    """Minor units and currency, at a provider's own price if there is one. None for CUSTOM: its price is a quote."""
    if service.price_type == PriceType.CUSTOM:
        return None
    key = (service.organization_id, service.organization_id)
    organization = await context.loaders.organization_by_id.load(key)
    return service.price_minor if own_minor is None else own_minor, organization.currency


async def create_service(
    context: RequestContext,
    organization_id: UUID,
    values: Mapping[str, Any],
    provider_ids: Sequence[UUID],
    idempotency_key: str | None,
) -> Service:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict; so do the others."""
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "createService",
        (Door.ORGANIZATION, organization_id),
        {**facts, "provider_ids": provider_ids},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.create_service(tx, organization, actor, facts, provider_ids),
        model=Service,
    )


async def update_service(
    context: RequestContext, service_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> Service:
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "updateService",
        (Door.SERVICE, service_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.update_service(tx, organization, actor, service_id, facts),
        model=Service,
    )


async def set_service_active(
    context: RequestContext, service_id: UUID, is_active: bool, idempotency_key: str | None
) -> Service:
    return await change(
        context,
        "reactivateService" if is_active else "deactivateService",
        (Door.SERVICE, service_id),
        {},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.set_service_active(
            tx, organization, actor, service_id, is_active
        ),
        model=Service,
    )
