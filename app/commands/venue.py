"""Making and changing places."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.catalogue_events import availability_updated
from app.commands.changes import change_row, write_created
from app.commands.fields import Form, coordinate, name, optional_text, required, time_zone
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import FieldErrors
from app.models import Venue
from app.queries.rows import lock_row
from app.queries.venue import list_offers_at

ADDRESS_MAXIMUM = 500


def _whole(values: Mapping[str, Any], errors: FieldErrors) -> None:
    for one, other in (("latitude", "longitude"), ("longitude", "latitude")):
        if values.get(one, 0) is None and values.get(other) is not None:
            errors.add(f"input.{one}", f"must be given with {other}")


FORM = Form(
    {
        "name": name(),
        "time_zone": required(time_zone),
        "address": optional_text(ADDRESS_MAXIMUM),
        "latitude": coordinate(90),
        "longitude": coordinate(180),
    },
    _whole,
)


async def create_venue(tx: Tx, organization_id: UUID, actor: Actor, values: Mapping[str, Any]) -> Venue:
    """`values` as FORM cleans them."""
    venue = Venue(
        id=new_id(),
        organization_id=organization_id,
        embed_key=secrets.token_urlsafe(16),
        is_active=True,
        **values,
    )
    tx.add(venue)
    await tx.flush()
    await write_created(tx, organization_id, actor, "venue", venue.id, after=values)
    return venue


async def update_venue(tx: Tx, organization_id: UUID, actor: Actor, venue_id: UUID, values: Mapping[str, Any]) -> Venue:
    """What is not in `values` stays. Raises NotFound, InvalidInput."""
    venue = await lock_row(tx, Venue, venue_id)
    FORM.check_whole(venue, values)
    moved = values.get("time_zone", venue.time_zone) != venue.time_zone
    events = availability_updated(await list_offers_at(tx, venue_id)) if moved else []
    await change_row(
        tx, organization_id, actor, "venue.updated", venue, subject_id=venue_id, values=values, events=events
    )
    return venue


async def set_venue_active(tx: Tx, organization_id: UUID, actor: Actor, venue_id: UUID, is_active: bool) -> Venue:
    """Bookings stand; new ones follow. Raises NotFound."""
    venue = await lock_row(tx, Venue, venue_id)
    if venue.is_active != is_active:
        events = availability_updated(await list_offers_at(tx, venue_id))
        action = "venue.reactivated" if is_active else "venue.deactivated"
        await change_row(
            tx,
            organization_id,
            actor,
            action,
            venue,
            subject_id=venue_id,
            values={"is_active": is_active},
            events=events,
        )
    return venue
