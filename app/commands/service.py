"""Making and changing services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.catalogue_events import offers_updated, service_updated
from app.commands.changes import change_row, write_created
from app.commands.fields import (
    NOTICE_MAXIMUM_MINUTES,
    RESCHEDULES_MAXIMUM,
    Form,
    as_given,
    line_list,
    name,
    optional_line,
    optional_text,
    required,
    whole_number,
)
from app.commands.provider import add_offers
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import FieldErrors
from app.domain.pricing import MAXIMUM_PRICE
from app.models import Provider, Service
from app.queries.rows import lock_row, require_rows

CATEGORY_MAXIMUM = 100
DAY_MINUTES = 1_440
TAGS_MAXIMUM = 20
TAG_MAXIMUM = 40
GROUP_MAXIMUM = 1_000


def _whole(values: Mapping[str, Any], errors: FieldErrors) -> None:
    shortest, longest = values.get("duration_minutes"), values.get("maximum_duration_minutes")
    if shortest is not None and longest is not None and longest < shortest:
        errors.add("input.maximumDurationMinutes", f"must be at least durationMinutes, {shortest}")
    fewest, most = values.get("min_group_size"), values.get("max_group_size")
    if fewest is not None and most is not None and fewest > most:
        errors.add("input.minGroupSize", f"must be at most maxGroupSize, {most}")


def _minutes(least: int, most: int = DAY_MINUTES) -> Any:
    return required(whole_number(least, most, " minutes"))


FORM = Form(
    {
        "name": name(),
        "category": name(CATEGORY_MAXIMUM),
        "description": optional_text(),
        "subcategory": optional_line(CATEGORY_MAXIMUM),
        "price_minor": required(whole_number(0, MAXIMUM_PRICE)),
        "price_type": required(as_given),
        "duration_minutes": _minutes(1),
        "maximum_duration_minutes": whole_number(1, DAY_MINUTES, " minutes"),
        "buffer_before_minutes": _minutes(0),
        "buffer_after_minutes": _minutes(0),
        "advance_notice_minutes": _minutes(0, NOTICE_MAXIMUM_MINUTES),
        "maximum_advance_days": required(whole_number(1, 1_095, " days")),
        "maximum_reschedules": whole_number(0, RESCHEDULES_MAXIMUM),
        "reschedule_notice_minutes": whole_number(0, NOTICE_MAXIMUM_MINUTES, " minutes"),
        "cancellation_notice_minutes": _minutes(0, NOTICE_MAXIMUM_MINUTES),
        "requires_approval": required(as_given),
        "is_at_customers": required(as_given),
        "max_group_size": required(whole_number(1, GROUP_MAXIMUM)),
        "min_group_size": required(whole_number(1, GROUP_MAXIMUM)),
        "tags": line_list(TAGS_MAXIMUM, TAG_MAXIMUM),
    },
    _whole,
)


async def create_service(
    tx: Tx, organization_id: UUID, actor: Actor, values: Mapping[str, Any], provider_ids: Sequence[UUID] = ()
) -> Service:
    """`values` as FORM cleans them. Each provider offers it as it is. Raises NotFound."""
    await require_rows(tx, Provider, provider_ids)
    service = Service(id=new_id(), organization_id=organization_id, is_active=True, **values)
    tx.add(service)
    await tx.flush()
    pairs = [(provider_id, service.id) for provider_id in provider_ids]
    await add_offers(tx, organization_id, pairs)
    after = {**values, "provider_ids": list(provider_ids)}
    await write_created(tx, organization_id, actor, "service", service.id, after=after, events=offers_updated(pairs))
    return service


async def update_service(
    tx: Tx, organization_id: UUID, actor: Actor, service_id: UUID, values: Mapping[str, Any]
) -> Service:
    """What is not in `values` stays. Bookings and holds keep what they have. Raises NotFound, InvalidInput."""
    service = await lock_row(tx, Service, service_id)
    FORM.check_whole(service, values)
    events = [service_updated(service_id)]
    await change_row(
        tx, organization_id, actor, "service.updated", service, subject_id=service_id, values=values, events=events
    )
    return service


async def set_service_active(tx: Tx, organization_id: UUID, actor: Actor, service_id: UUID, is_active: bool) -> Service:
    """Bookings stand; new ones follow. Raises NotFound."""
    service = await lock_row(tx, Service, service_id)
    action = "service.reactivated" if is_active else "service.deactivated"
    events = [service_updated(service_id)]
    await change_row(
        tx,
        organization_id,
        actor,
        action,
        service,
        subject_id=service_id,
        values={"is_active": is_active},
        events=events,
    )
    return service
