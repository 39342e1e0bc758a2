"""Making and changing rooms, equipment and people that services need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.catalogue_events import resource_changed
from app.commands.changes import change_row, write_created
from app.commands.fields import Form, as_given, name, required, whole_number
from app.commands.journal import Event
from app.core.database import Tx
from app.core.ids import new_id
from app.models import Resource, ResourceUnit, Venue
from app.queries.resource import list_services_in_need, list_units
from app.queries.rows import get_row, lock_row

QUANTITY_MAXIMUM = 100

FORM = Form(
    {
        "name": name(),
        "kind": required(as_given),
        "quantity": required(whole_number(1, QUANTITY_MAXIMUM)),
    }
)


async def create_resource(
    tx: Tx, organization_id: UUID, actor: Actor, venue_id: UUID, values: Mapping[str, Any]
) -> Resource:
    """`values` as FORM cleans them. Raises NotFound."""
    venue = await get_row(tx, Venue, venue_id)
    resource = Resource(
        id=new_id(), organization_id=organization_id, venue_id=venue.id, is_active=True, **_kept(values)
    )
    tx.add(resource)
    await tx.flush()
    await _set_units(tx, resource)
    after = {"venue_id": venue.id, **values}
    events = [resource_changed(venue.id)]
    await write_created(tx, organization_id, actor, "resource", resource.id, after=after, events=events)
    return resource


async def update_resource(
    tx: Tx, organization_id: UUID, actor: Actor, resource_id: UUID, values: Mapping[str, Any]
) -> Resource:
    """What is not in `values` stays. Fewer: the highest numbers are switched off, and what they have booked stands.

    Raises NotFound.
    """
    resource = await lock_row(tx, Resource, resource_id)
    counts_anew = values.get("quantity", resource.quantity) != resource.quantity
    await change_row(
        tx,
        organization_id,
        actor,
        "resource.updated",
        resource,
        subject_id=resource_id,
        values=_kept(values),
        events=await _events(tx, resource) if counts_anew else None,
    )
    if counts_anew:
        await _set_units(tx, resource)
    return resource


async def set_resource_active(
    tx: Tx, organization_id: UUID, actor: Actor, resource_id: UUID, is_active: bool
) -> Resource:
    """Bookings stand; new ones follow. Raises NotFound."""
    resource = await lock_row(tx, Resource, resource_id)
    action = "resource.reactivated" if is_active else "resource.deactivated"
    await change_row(
        tx,
        organization_id,
        actor,
        action,
        resource,
        subject_id=resource_id,
        values={"is_active": is_active},
        events=await _events(tx, resource),
    )
    return resource


def _kept(values: Mapping[str, Any]) -> dict[str, Any]:
    """As the columns have them."""
    return {name: value.value if name == "kind" else value for name, value in values.items()}


async def _events(tx: Tx, resource: Resource) -> list[Event]:
    """Of the venue as well: somebody may come to need it at this very moment."""
    owners = [resource.venue_id, *await list_services_in_need(tx, resource.id)]
    return [resource_changed(owner_id) for owner_id in owners]


async def _set_units(tx: Tx, resource: Resource) -> None:
    """Units 1 to `quantity` are on, others off. Numbers are never given anew: a unit keeps its history."""
    units = {unit.number: unit for unit in await list_units(tx, resource.id)}
    for number, unit in units.items():
        unit.is_active = number <= resource.quantity
    tx.add_all(
        ResourceUnit(
            id=new_id(),
            organization_id=resource.organization_id,
            resource_id=resource.id,
            number=number,
            is_active=True,
        )
        for number in range(1, resource.quantity + 1)
        if number not in units
    )
    await tx.flush()
