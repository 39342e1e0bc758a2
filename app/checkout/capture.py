"""Taking what was authorized, once somebody accepted the booking (`app.commands.payment_capture.ask_capture`).

Letting go of it is `app.checkout.payment.cancel_payment`, which `end_live_payments` asks a worker for.
"""

from __future__ import annotations

from uuid import UUID

from app.checkout.payment import Shown, apply_seen, read_payment
from app.checkout.scope import Checkout
from app.commands.actor import Actor
from app.domain.booking import BookingStatus
from app.domain.payment import IntentPhase
from app.gateway import Declined, GatewayRefused, GatewayUnknown, PaymentSnapshot
from app.models import Payment


async def capture_payment(checkout: Checkout, organization_id: UUID | None, payment_id: UUID, *, actor: Actor) -> Shown:
    """Once, however often this runs: the booking is CONFIRMED then, or PAYMENT_FAILED where it could not be taken.

    Nothing where nobody accepted it, or where it was cancelled meanwhile. Raises NotFound, and what the gateway raises:
    then it is done again.
    """
    known = await read_payment(checkout, organization_id, payment_id)
    payment, status = known.payment, BookingStatus(known.booking.status)
    if payment.status != "authorized" or payment.accepted_by is None or status is not BookingStatus.AWAITING_PROVIDER:
        return known
    return await apply_seen(checkout, payment, await _take(checkout, payment), actor)


async def _take(checkout: Checkout, payment: Payment) -> PaymentSnapshot:
    assert payment.processor_id is not None
    gateway = checkout.gateway(payment.processor)
    wanted = (payment.processor_id, payment.amount_minor, payment.currency, f"{payment.idempotency_key}-capture")
    try:
        try:
            return await gateway.capture(*wanted)
        except GatewayUnknown:
            return await gateway.capture(*wanted)
    except Declined as declined:
        if declined.snapshot is not None:
            return declined.snapshot
        raise
    except GatewayRefused:
        found = await gateway.find_payment(payment.processor_id)
        if found is None or found.phase is IntentPhase.AUTHORIZED:
            raise
        return found
