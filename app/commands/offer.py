"""What a provider offers, and where its price or duration differs from the service's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from app.commands.actor import Actor
from app.commands.catalogue_events import offers_updated
from app.commands.changes import change_row, write_created
from app.commands.fields import Form, whole_number
from app.core.database import Tx
from app.domain.pricing import MAXIMUM_PRICE
from app.models import Offer, Provider, Service
from app.queries.provider import get_offer
from app.queries.rows import get_row

FORM = Form(
    {
        "price_minor": whole_number(0, MAXIMUM_PRICE),
        "duration_minutes": whole_number(1, 1_440, " minutes"),
    }
)
"""None: the service's own."""


async def set_offer(
    tx: Tx, organization_id: UUID, actor: Actor, *, provider_id: UUID, service_id: UUID, values: Mapping[str, Any]
) -> Offer:
    """The provider offers the service from now on, as `values` say. Raises NotFound, InvalidInput."""
    provider = await get_row(tx, Provider, provider_id)
    service = await get_row(tx, Service, service_id)
    # The row first, so that two who make it at once end up changing the same one.
    made = await tx.execute(
        insert(Offer)
        .values(organization_id=organization_id, provider_id=provider.id, service_id=service.id, **values)
        .on_conflict_do_nothing()
        .returning(Offer.provider_id)
    )
    is_new = made.first() is not None
    offer = await get_offer(tx, provider_id, service_id, lock=True)
    events = offers_updated([(provider_id, service_id)])
    if is_new:
        after = {"service_id": service_id, **values}
        await write_created(tx, organization_id, actor, "offer", provider_id, after=after, events=events)
    else:
        facts = {**values, "is_active": True}
        await change_row(
            tx, organization_id, actor, "offer.updated", offer, subject_id=provider_id, values=facts, events=events
        )
    return offer


async def remove_offer(tx: Tx, organization_id: UUID, actor: Actor, provider_id: UUID, service_id: UUID) -> Offer:
    """The provider offers it no more. Bookings stand. Raises NotFound."""
    offer = await get_offer(tx, provider_id, service_id, lock=True)
    events = offers_updated([(provider_id, service_id)])
    await change_row(
        tx,
        organization_id,
        actor,
        "offer.removed",
        offer,
        subject_id=provider_id,
        values={"is_active": False},
        events=events,
    )
    return offer
