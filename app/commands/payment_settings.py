"""Changing an organization's terms of payment. What was held or booked keeps the terms that it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.catalogue_events import prices_changed
from app.commands.changes import change_row
from app.commands.fields import Check, Form, as_given, name, required, whole_number
from app.commands.journal import Event
from app.core.database import Tx
from app.domain.errors import FieldErrors
from app.domain.money import MAXIMUM_MINOR
from app.domain.price_rule import MAXIMUM_RATE_BPS
from app.domain.rounding import WHOLE_BPS
from app.models import PaymentSettings
from app.queries.payment_settings import lock_payment_settings

TAX_LABEL_MAXIMUM = 40
_UNIT = " basis points (hundredths of a percent)"


def _whole(values: Mapping[str, Any], errors: FieldErrors) -> None:
    if values.get("accepts_pay_now") is False and values.get("accepts_pay_on_arrival") is False:
        errors.add("input.acceptsPayOnArrival", "must stay true where acceptsPayNow is false: nobody could pay")
    floor, ceiling = values.get("price_floor_minor"), values.get("price_ceiling_minor")
    if floor is not None and ceiling is not None and floor > ceiling:
        errors.add("input.priceCeilingMinor", f"must be at least priceFloorMinor, {floor}")


def _share(least: int = 0, most: int = WHOLE_BPS) -> Check:
    return whole_number(least, most, _UNIT)


FORM = Form(
    {
        "processor": required(as_given),
        "accepts_pay_now": required(as_given),
        "accepts_pay_on_arrival": required(as_given),
        "payment_window_minutes": required(whole_number(5, 1_440, " minutes")),
        "tax_bps": required(_share()),
        "tax_included": required(as_given),
        "tax_label": name(TAX_LABEL_MAXIMUM),
        "deposit_bps": _share(1),
        "late_refund_bps": required(_share()),
        "late_fee_bps": required(_share()),
        "no_show_refund_bps": required(_share()),
        "no_show_fee_bps": required(_share()),
        "guest_fee_bps": _share(),
        "member_fee_bps": _share(),
        "payout_delay_days": required(whole_number(0, 365, " days")),
        "payout_minimum_minor": required(whole_number(0, MAXIMUM_MINOR)),
        "balance_required_at_check_in": required(as_given),
        "card_required_for_arrival": required(as_given),
        "price_floor_bps": _share(),
        "price_ceiling_bps": _share(WHOLE_BPS, WHOLE_BPS + MAXIMUM_RATE_BPS),
        "price_floor_minor": whole_number(0, MAXIMUM_MINOR),
        "price_ceiling_minor": whole_number(0, MAXIMUM_MINOR),
    },
    _whole,
)
_SHOWN_IN_PRICES = frozenset({name for name in FORM.checks if name.startswith(("price_", "tax_"))})


async def update_payment_settings(
    tx: Tx, organization_id: UUID, actor: Actor, values: Mapping[str, Any]
) -> PaymentSettings:
    """`values` as FORM cleans them; what is not in it stays. Raises InvalidInput."""
    settings = await lock_payment_settings(tx, organization_id)
    FORM.check_whole(settings, values)
    events = [Event("payment_settings.updated", organization_id, {})]
    if any(getattr(settings, name) != values[name] for name in _SHOWN_IN_PRICES & values.keys()):
        events.append(prices_changed(organization_id))
    await change_row(
        tx,
        organization_id,
        actor,
        "payment_settings.updated",
        settings,
        subject_id=organization_id,
        values=values,
        events=events,
    )
    return settings
