"""Rooms, equipment and people, their units, and what needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.models import Resource, ResourceNeed, ResourceUnit, Service, Venue
from app.queries.rows import list_below, one_of
from app.queries.text_search import folded


async def get_resource(tx: Tx, resource_id: UUID, *, for_staff: bool) -> Resource:
    """Only staff see one that is not active, or whose venue is not. One statement. Raises NotFound."""
    statement = select(Resource).where(Resource.id == resource_id)
    if not for_staff:
        statement = statement.join(Venue, Venue.id == Resource.venue_id).where(Resource.is_active, Venue.is_active)
    resource = (await tx.execute(statement)).scalar_one_or_none()
    if resource is None:
        raise NotFound
    return resource


async def list_resources_below(
    tx: Tx, venue_ids: Sequence[UUID], *, with_inactive: bool = False
) -> Mapping[UUID, list[Resource]]:
    """The active ones of each venue, or all, by name. One statement."""
    source = select(Resource).where(one_of(Resource.venue_id, venue_ids))
    if not with_inactive:
        source = source.where(Resource.is_active)
    return await list_below(tx, Resource, Resource.venue_id, source, [folded(Resource.name)])


async def list_needs_below(tx: Tx, owner_ids: Sequence[UUID]) -> Mapping[UUID, list[ResourceNeed]]:
    """What each service or activity needs, in order. One statement."""
    query = select(ResourceNeed).where(one_of(ResourceNeed.owner_id, owner_ids))
    found: dict[UUID, list[ResourceNeed]] = {}
    for need in (await tx.execute(query.order_by(ResourceNeed.owner_id, ResourceNeed.position))).scalars():
        found.setdefault(need.owner_id, []).append(need)
    return found


async def list_units(tx: Tx, resource_id: UUID) -> Sequence[ResourceUnit]:
    """All that there ever were, by number. One statement."""
    query = select(ResourceUnit).where(ResourceUnit.resource_id == resource_id).order_by(ResourceUnit.number)
    return (await tx.execute(query)).scalars().all()


async def list_services_in_need(tx: Tx, resource_id: UUID) -> Sequence[UUID]:
    """Ids of the services that need it, alone or as one of several. One statement."""
    query = (
        select(ResourceNeed.owner_id)
        .join(Service, Service.id == ResourceNeed.owner_id)
        .where(ResourceNeed.resource_ids.any_() == resource_id)
        .distinct()
        .order_by(ResourceNeed.owner_id)
    )
    return (await tx.execute(query)).scalars().all()
