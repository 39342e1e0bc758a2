"""The other dates of a series: each charged to what the first was paid with, at its own payment, with nobody there.

There is one intent for each, which can succeed once, and one attempt at it: whatever became of that attempt is looked
up before anything else is done, and a refusal is left to the customer, who may pay the date by hand.
"""

from __future__ import annotations

from uuid import UUID

import structlog

from app.checkout.payment import confirm_payment, open_payment, refresh_payment
from app.checkout.scope import Checkout
from app.commands.actor import SYSTEM
from app.commands.series_payment import note_not_charged, plan_charge
from app.domain.payment import IntentPhase
from app.gateway import Declined, GatewayRefused, RefusalKind
from app.models import Booking, Payment

log = structlog.get_logger(__name__)

_OURS_TO_MEND = frozenset({RefusalKind.ACCESS, RefusalKind.KEY_REUSED})
"""A wrong key of this installation is no refusal of the customer's bank."""


async def charge_date(checkout: Checkout, booking_id: UUID, source_id: UUID) -> None:
    """Once, however often this runs. `source_id`: the payment whose method was kept.

    Raises what the gateway raises: then it is done again.
    """
    async with checkout.within(None) as tx:
        planned = await plan_charge(tx, booking_id, source_id, checkout.clock.now())
    if planned is None:
        return
    booking, payment = planned
    if payment.processor_id is None:
        shown = await open_payment(checkout, booking, payment, actor=SYSTEM)
    else:
        shown = await refresh_payment(checkout, booking.organization_id, payment.id, actor=SYSTEM)
    snapshot = shown.snapshot
    if snapshot is None or snapshot.phase is not IntentPhase.CREATED or shown.payment.processor_id is None:
        return  # it was attempted before, and what became of it is ours by now
    await _attempt(checkout, booking, shown.payment)


async def _attempt(checkout: Checkout, booking: Booking, payment: Payment) -> None:
    assert payment.method_ref is not None
    key = f"{payment.idempotency_key}-saved"
    try:
        await confirm_payment(checkout, payment, payment.method_ref, key=key, actor=SYSTEM, is_off_session=True)
    except Declined as declined:
        if declined.snapshot is None:
            await refresh_payment(checkout, booking.organization_id, payment.id, actor=SYSTEM)
    except GatewayRefused as refused:
        if refused.kind in _OURS_TO_MEND:
            raise
        if refused.kind is RefusalKind.STATE:
            await refresh_payment(checkout, booking.organization_id, payment.id, actor=SYSTEM)
            return
        log.error("series.not_charged", payment=str(payment.id), code=refused.code, message=refused.message)
        message = "The saved card could not be charged for this date. Pay it with a card, or ask the staff."
        async with checkout.within(booking.organization_id) as tx:
            code = refused.code or refused.kind.value
            await note_not_charged(tx, booking.id, payment.id, code, message, actor=SYSTEM)
