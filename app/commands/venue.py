"""Making and changing places."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.catalogue_events import availability_updated, venue_described, venue_updated
from app.commands.changes import change_row, write_created
from app.commands.fields import Form, coordinate, name, optional, optional_line, optional_text, required, time_zone
from app.commands.journal import Event
from app.commands.session_generation import apply_schedule_at
from app.core.database import Tx
from app.core.ids import new_id
from app.core.public_holidays import check_country, check_region
from app.domain.errors import FieldErrors
from app.models import Venue
from app.queries.rows import lock_row
from app.queries.venue import list_offers_at

ADDRESS_MAXIMUM = 500
REGION_MAXIMUM = 100
_TOGETHER = {"latitude", "longitude", "country", "region"}


def _whole(values: Mapping[str, Any], errors: FieldErrors) -> None:
    for one, other in (("latitude", "longitude"), ("longitude", "latitude")):
        if values.get(one, 0) is None and values.get(other) is not None:
            errors.add(f"input.{one}", f"must be given with {other}")
    country, region = values.get("country", 0), values.get("region")
    if region is None or country == 0:
        return
    if country is None:
        errors.add("input.region", "must be given with country")
        return
    try:
        check_region(country, region)
    except ValueError as fault:
        errors.add("input.region", str(fault))


FORM = Form(
    {
        "name": name(),
        "time_zone": required(time_zone),
        "address": optional_text(ADDRESS_MAXIMUM),
        "latitude": coordinate(90),
        "longitude": coordinate(180),
        "country": optional(check_country),
        "region": optional_line(REGION_MAXIMUM),
    },
    _whole,
)
"""`country` and `region` say which public holidays close the venue; none: no holidays."""

_HOURS = ("time_zone", "country", "region")
"""Facts that change when its providers are open."""


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


async def update_venue(  # noqa: PLR0917 (as all changes: who and where, then the facts)
    tx: Tx, organization_id: UUID, actor: Actor, venue_id: UUID, values: Mapping[str, Any], now: datetime
) -> Venue:
    """What is not in `values` stays. Raises NotFound, InvalidInput."""
    venue = await lock_row(tx, Venue, venue_id)
    if values.keys() & _TOGETHER:
        FORM.check_whole(venue, values)
    moved = any(values.get(fact, getattr(venue, fact)) != getattr(venue, fact) for fact in _HOURS)
    events = await _events(tx, venue_id) if moved else [venue_described(venue_id)]
    await change_row(
        tx, organization_id, actor, "venue.updated", venue, subject_id=venue_id, values=values, events=events
    )
    if moved:
        await apply_schedule_at(tx, organization_id, venue_id, actor=actor, now=now)
    return venue


async def set_venue_active(tx: Tx, organization_id: UUID, actor: Actor, venue_id: UUID, is_active: bool) -> Venue:
    """Bookings stand; new ones follow. Raises NotFound."""
    venue = await lock_row(tx, Venue, venue_id)
    if venue.is_active != is_active:
        events = await _events(tx, venue_id)
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


async def _events(tx: Tx, venue_id: UUID) -> list[Event]:
    return [venue_updated(venue_id), *availability_updated(await list_offers_at(tx, venue_id))]
