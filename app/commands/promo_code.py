"""Making and changing promo codes. What was booked with one keeps its price, whatever becomes of the code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.changes import change_row, refused_as, write_created
from app.commands.fields import Form, as_given, camel, optional_line, required, whole_number
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import FieldErrors, InvalidInput
from app.domain.money import MAXIMUM_MINOR
from app.domain.promo import normal_code
from app.domain.rounding import WHOLE_BPS
from app.models import Activity, Organization, PromoCode, Service
from app.queries.rows import get_row, list_rows, lock_row

NOTE_MAXIMUM = 500
LIMIT_MAXIMUM = 1_000_000_000


def _or_zero(most: int, unit: str = "") -> Any:
    """Nothing is none of it."""
    check = whole_number(0, most, unit)
    return lambda value: check(value) or 0


def _whole(values: Mapping[str, Any], errors: FieldErrors) -> None:
    if bool(values.get("rate_bps")) is bool(values.get("amount_minor")):
        errors.add("input.rateBps", "give either rateBps or amountMinor, above zero")
    starts, ends = values.get("valid_from"), values.get("valid_until")
    if starts is not None and ends is not None and ends <= starts:
        errors.add("input.validUntil", "must be after validFrom")


_CHANGEABLE: dict[str, Any] = {
    "note": optional_line(NOTE_MAXIMUM),
    "at_most_minor": whole_number(1, MAXIMUM_MINOR),
    "minimum_minor": _or_zero(MAXIMUM_MINOR),
    "first_booking_only": required(as_given),
    "valid_from": as_given,
    "valid_until": as_given,
    "total_limit": whole_number(1, LIMIT_MAXIMUM),
    "customer_limit": whole_number(1, LIMIT_MAXIMUM),
    "is_active": required(as_given),
    "service_ids": required(list),
    "activity_ids": required(list),
}

FORM = Form(
    {
        "code": required(normal_code),
        "rate_bps": _or_zero(WHOLE_BPS, " basis points"),
        "amount_minor": _or_zero(MAXIMUM_MINOR),
        **_CHANGEABLE,
    },
    _whole,
)
CHANGE_FORM = Form(_CHANGEABLE)
"""What a code is worth stays: it may stand on posters. Another worth is another code."""


async def create_promo_code(
    tx: Tx, organization_id: UUID, actor: Actor, values: Mapping[str, Any], *, now: datetime
) -> PromoCode:
    """`values` as FORM cleans them; amounts are in the organization's currency. Raises InvalidInput."""
    if values.get("valid_until") is not None and values["valid_until"] <= now:
        raise InvalidInput.at("input.validUntil", "must be in the future")
    await _require_subjects(tx, values)
    organization = await get_row(tx, Organization, organization_id)
    facts = {"is_active": True, **values, "currency": organization.currency}
    row = PromoCode(id=new_id(), organization_id=organization_id, uses=0, kept_uses=0, **facts)
    tx.add(row)
    taken = InvalidInput.at("input.code", "is taken: this organization has, or had, a code like it")
    with refused_as({"promo_code_code_key": taken}):
        await tx.flush()
    await write_created(tx, organization_id, actor, "promo_code", row.id, after=facts)
    return row


async def update_promo_code(
    tx: Tx, organization_id: UUID, actor: Actor, promo_id: UUID, values: Mapping[str, Any]
) -> PromoCode:
    """What is not in `values` stays, and so do bookings and their prices. A limit below what is used stops new uses
    alone. Raises NotFound, InvalidInput.
    """
    row = await lock_row(tx, PromoCode, promo_id)
    starts, ends = values.get("valid_from", row.valid_from), values.get("valid_until", row.valid_until)
    if starts is not None and ends is not None and ends <= starts:
        path = camel("valid_until" if "valid_until" in values else "valid_from")
        raise InvalidInput.at(f"input.{path}", "must leave some time between validFrom and validUntil")
    await _require_subjects(tx, values)
    limit = values.get("total_limit")
    if limit is not None and row.uses > limit:
        row.kept_uses = row.uses
    await change_row(tx, organization_id, actor, "promo_code.updated", row, subject_id=promo_id, values=values)
    return row


async def _require_subjects(tx: Tx, values: Mapping[str, Any]) -> None:
    """What a code is for is the organization's. At most two statements. Raises InvalidInput."""
    models: tuple[tuple[str, type[Service] | type[Activity]], ...] = (
        ("service_ids", Service),
        ("activity_ids", Activity),
    )
    errors = FieldErrors()
    for field, model in models:
        wanted = values.get(field) or []
        if wanted and len(await list_rows(tx, model, wanted)) < len(wanted):
            errors.add(f"input.{camel(field)}", "names something that is not there")
    errors.raise_any()
