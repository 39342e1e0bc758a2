"""Resources and needs: reading and changing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.commands import resource as commands
from app.commands.resource_need import NeedGiven, check_needs, set_service_needs
from app.models import Resource, ResourceNeed, Service, Venue
from app.queries.resource import get_resource
from app.queries.tenancy import Door
from app.resolvers.catalogue import change, read_one
from app.resolvers.context import RequestContext


async def read_resource(context: RequestContext, resource_id: UUID) -> Resource:
    """Raises NotFound."""
    return await read_one(
        context, Door.RESOURCE, resource_id, lambda tx, t: get_resource(tx, resource_id, for_staff=t.is_staff)
    )


async def resources_at(context: RequestContext, venue: Venue, *, with_inactive: bool) -> list[Resource]:
    """By name. Only staff see those that are not active."""
    loaders, key = context.loaders, (venue.organization_id, venue.id)
    if with_inactive and (await loaders.tenancy_by_organization_id.load(venue.organization_id)).is_staff:
        return await loaders.all_resources_by_venue_id.load(key)
    return await loaders.resources_by_venue_id.load(key)


async def resources_of(context: RequestContext, need: ResourceNeed) -> list[Resource]:
    """Those that a need may be met with, in the order given."""
    keys = [(need.organization_id, resource_id) for resource_id in need.resource_ids]
    return await context.loaders.resource_by_id.load_many(keys)


async def create_resource(
    context: RequestContext, venue_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> Resource:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict; so do the others."""
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "createResource",
        (Door.VENUE, venue_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.create_resource(tx, organization, actor, venue_id, facts),
        model=Resource,
    )


async def update_resource(
    context: RequestContext, resource_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> Resource:
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "updateResource",
        (Door.RESOURCE, resource_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.update_resource(tx, organization, actor, resource_id, facts),
        model=Resource,
    )


async def set_resource_active(
    context: RequestContext, resource_id: UUID, is_active: bool, idempotency_key: str | None
) -> Resource:
    return await change(
        context,
        "reactivateResource" if is_active else "deactivateResource",
        (Door.RESOURCE, resource_id),
        {},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.set_resource_active(
            tx, organization, actor, resource_id, is_active
        ),
        model=Resource,
    )


async def set_needs_of_service(
    context: RequestContext, service_id: UUID, needs: Sequence[NeedGiven], idempotency_key: str | None
) -> Service:
    context.require_viewer()
    check_needs(needs)
    return await change(
        context,
        "setServiceNeeds",
        (Door.SERVICE, service_id),
        {"needs": [(need.all_of, need.any_of, need.quantity) for need in needs]},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: set_service_needs(tx, organization, actor, service_id, needs),
        model=Service,
    )
