"""Venues: reading and changing them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from app.commands import venue as commands
from app.core.public_holidays import public_holidays
from app.domain.errors import BadInput, NotFound
from app.domain.schedule import DayException
from app.models import Venue
from app.queries.tenancy import Door
from app.queries.venue import get_venue
from app.resolvers.catalogue import change, read_one
from app.resolvers.context import RequestContext
from app.resolvers.organization import one_of

HOLIDAYS_MAXIMUM_DAYS = 1_096
_EMBED_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


async def read_venue(context: RequestContext, venue_id: UUID | None, embed_key: str | None) -> Venue:
    """Exactly one of the two. Raises BadInput, NotFound."""
    one_of(("id", venue_id), ("embedKey", embed_key))
    name = venue_id or embed_key or ""
    if isinstance(name, str) and not _EMBED_KEY.fullmatch(name):
        raise NotFound
    door = Door.EMBED_KEY if isinstance(name, str) else Door.VENUE
    return await read_one(context, door, name, lambda tx, tenancy: get_venue(tx, name, for_staff=tenancy.is_staff))


async def embed_key_of(context: RequestContext, venue: Venue) -> str | None:
    """For staff only."""
    tenancy = await context.loaders.tenancy_by_organization_id.load(venue.organization_id)
    return venue.embed_key if tenancy.is_staff else None


async def public_holidays_of(
    context: RequestContext, venue: Venue, from_date: date, to_date: date
) -> tuple[DayException, ...]:
    """Those of the venue's country and region between two dates, named in the organization's language.

    Raises BadInput for dates that cannot be.
    """
    days = (to_date - from_date).days + 1
    if days < 1:
        raise BadInput.at("to", "must not be before `from`")
    if days > HOLIDAYS_MAXIMUM_DAYS:
        raise BadInput.at("to", f"asks for {days} days; at most {HOLIDAYS_MAXIMUM_DAYS} at once")
    if venue.country is None:
        return ()
    organization = await context.loaders.organization_by_id.load((venue.organization_id, venue.organization_id))
    return public_holidays(venue.country, venue.region, from_date, to_date, organization.locale)


async def create_venue(
    context: RequestContext, organization_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> Venue:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict; so do the others."""
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "createVenue",
        (Door.ORGANIZATION, organization_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.create_venue(tx, organization, actor, facts),
        model=Venue,
    )


async def update_venue(
    context: RequestContext, venue_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> Venue:
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "updateVenue",
        (Door.VENUE, venue_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.update_venue(
            tx, organization, actor, venue_id, facts, context.now()
        ),
        model=Venue,
    )


async def set_venue_active(
    context: RequestContext, venue_id: UUID, is_active: bool, idempotency_key: str | None
) -> Venue:
    return await change(
        context,
        "reactivateVenue" if is_active else "deactivateVenue",
        (Door.VENUE, venue_id),
        {},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.set_venue_active(tx, organization, actor, venue_id, is_active),
        model=Venue,
    )
