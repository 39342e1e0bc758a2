"""A fee's way: charged to the saved method while its customer is away, with its own key until it is answered.

One fee is one payment at the processor, which can succeed once: each further attempt is at the same one.
"""

from __future__ import annotations

from uuid import UUID

import structlog

from app.checkout.payment import SINCE_MARGIN, apply_seen, cancel_payment
from app.checkout.scope import Checkout
from app.commands.actor import SYSTEM
from app.commands.fee import drop_charge, note_refusal
from app.domain.fees import NOBODY_THERE, FeeStatus
from app.domain.payment import IntentPhase
from app.gateway import (
    ConfirmOrder,
    Declined,
    GatewayRefused,
    GatewayUnknown,
    PaymentOrder,
    PaymentSnapshot,
    RefusalKind,
)
from app.models import Booking, BookingFee, Payment
from app.queries.fee import get_fee
from app.queries.payment import LIVE, get_payment

log = structlog.get_logger(__name__)

_OURS_TO_MEND = frozenset({RefusalKind.ACCESS, RefusalKind.KEY_REUSED})
"""A wrong key of this installation is no refusal of the customer's bank."""
_SETTLED = frozenset({IntentPhase.SUCCEEDED, IntentPhase.PROCESSING})


async def charge_fee(checkout: Checkout, fee_id: UUID, attempt: int) -> None:
    """This attempt, once, however often this runs. Raises what the gateway raises: then it is done again."""
    async with checkout.within(None) as tx:
        fee = await get_fee(tx, fee_id)
        assert fee.payment_id is not None
        payment, booking = await get_payment(tx, fee.payment_id)
    if fee.status != FeeStatus.DUE:
        await _end(checkout, payment, booking)
        return
    if fee.attempts != attempt:
        return
    try:
        snapshot = await _attempt(checkout, payment, booking, attempt)
    except Declined as declined:
        if declined.snapshot is not None:
            await apply_seen(checkout, payment, declined.snapshot, SYSTEM)
        is_retryable = declined.is_retryable and declined.code not in NOBODY_THERE
        await _refused(checkout, fee, attempt, declined.code, is_retryable=is_retryable)
        return
    except GatewayRefused as refused:
        if refused.kind in _OURS_TO_MEND:
            raise
        log.error("fee.refused", fee=str(fee.id), code=refused.code, message=refused.message)
        await _refused(checkout, fee, attempt, refused.code or refused.kind.value, is_retryable=False)
        return
    await apply_seen(checkout, payment, snapshot, SYSTEM)
    if snapshot.phase is IntentPhase.NEEDS_ACTION:
        await _refused(checkout, fee, attempt, "authentication_required", is_retryable=False)


async def _attempt(checkout: Checkout, payment: Payment, booking: Booking, attempt: int) -> PaymentSnapshot:
    """At the payment that is there, or else at one that is made for it. Raises Declined, and as above."""
    known = payment.processor_id
    is_repeated = attempt > 0 or checkout.is_key_forgotten(payment.created_at)
    if known is None and is_repeated:
        gateway = checkout.gateway(payment.processor)
        found = await gateway.look_up_payment(payment.id, payment.created_at - SINCE_MARGIN)
        if found is not None and found.phase in _SETTLED:
            return found
        known = None if found is None else found.processor_id
    at = known if is_repeated else None
    try:
        return await _ask(checkout, payment, booking, at, attempt)
    except GatewayUnknown:
        return await _ask(checkout, payment, booking, at, attempt)


async def _ask(checkout: Checkout, payment: Payment, booking: Booking, at: str | None, attempt: int) -> PaymentSnapshot:
    assert payment.method_ref is not None
    gateway = checkout.gateway(payment.processor)
    key = f"{payment.idempotency_key}-{attempt}"
    if at is not None:
        return await gateway.confirm_payment(ConfirmOrder(at, payment.method_ref, f"{key}-again", is_off_session=True))
    order = PaymentOrder(
        payment_id=payment.id,
        booking_id=booking.id,
        organization_id=booking.organization_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        idempotency_key=key,
        description=booking.number,
        transfer_group=str(booking.id),
        customer_id=payment.customer_ref,
        method_id=payment.method_ref,
        is_off_session=True,
    )
    return await gateway.create_payment(order)


async def _refused(checkout: Checkout, fee: BookingFee, attempt: int, why: str, *, is_retryable: bool) -> None:
    async with checkout.within(fee.organization_id) as tx:
        now = checkout.clock.now()
        await note_refusal(tx, fee.id, attempt, why, is_retryable=is_retryable, actor=SYSTEM, now=now)


async def _end(checkout: Checkout, payment: Payment, booking: Booking) -> None:
    """It is not to be charged (any more): what is still open at the processor is cancelled."""
    if payment.status not in LIVE:
        return
    if payment.processor_id is None:
        gateway = checkout.gateway(payment.processor)
        found = await gateway.look_up_payment(payment.id, payment.created_at - SINCE_MARGIN)
        if found is None:
            async with checkout.within(booking.organization_id) as tx:
                await drop_charge(tx, booking.id, payment.id)
            return
        shown = await apply_seen(checkout, payment, found, SYSTEM)
        payment, booking = shown.payment, shown.booking
        if payment.status not in LIVE:
            return
    await cancel_payment(checkout, payment, booking, actor=SYSTEM)
