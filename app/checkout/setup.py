"""Methods that are saved for later: the customer at the processor, and set-ups, which are looked at like payments."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from app.checkout.scope import Checkout
from app.commands.fee_customer import keep_customer
from app.domain.payment import IntentPhase, SeenIntent
from app.gateway import CustomerOrder, GatewayUnknown, PaymentSnapshot, SetupOrder, SetupPhase, SetupSnapshot
from app.models import Booking, Payment
from app.queries.fee import customer_ref


async def customer_at(checkout: Checkout, booking: Booking, processor: str) -> str:
    """The booking's customer, as the processor names them; made when first asked for.

    The order says nothing that may change, so that the same key always comes with the same order.
    """
    async with checkout.within(booking.organization_id) as tx:
        known = await customer_ref(tx, booking.customer_id, processor)
    if known is not None:
        return known
    order = CustomerOrder(
        reference=str(booking.customer_id),
        organization_id=booking.organization_id,
        idempotency_key=f"turnero-{booking.customer_id}",
    )
    made = await checkout.gateway(processor).create_customer(order)
    async with checkout.within(booking.organization_id) as tx:
        return await keep_customer(tx, booking.organization_id, booking.customer_id, processor, made)


async def open_setup(checkout: Checkout, booking: Booking, payment: Payment) -> PaymentSnapshot:
    """Raises what the gateway raises."""
    order = SetupOrder(
        booking_id=booking.id,
        organization_id=booking.organization_id,
        customer_id=await customer_at(checkout, booking, payment.processor),
        idempotency_key=payment.idempotency_key,
        return_url=checkout.return_to(booking.id),
    )
    gateway, asked_at = checkout.gateway(payment.processor), checkout.clock.now()
    try:
        setup = await gateway.start_setup(order)
    except GatewayUnknown:
        setup = await gateway.start_setup(order)
    return as_payment(setup, booking, payment, asked_at=asked_at, is_live=gateway.is_live)


async def find_setup(checkout: Checkout, booking: Booking, payment: Payment) -> PaymentSnapshot | None:
    """As it is now. Raises what the gateway raises."""
    assert payment.processor_id is not None
    gateway, asked_at = checkout.gateway(payment.processor), checkout.clock.now()
    setup = await gateway.find_setup(payment.processor_id)
    if setup is None:
        return None
    return as_payment(setup, booking, payment, asked_at=asked_at, is_live=gateway.is_live)


def given_up(snapshot: PaymentSnapshot) -> PaymentSnapshot:
    """Nobody waits for it any more. At the processor it stays open, and costs nobody anything."""
    return replace(snapshot, intent=replace(snapshot.intent, phase=IntentPhase.CANCELLED))


def as_payment(
    setup: SetupSnapshot, booking: Booking, payment: Payment, *, asked_at: datetime, is_live: bool
) -> PaymentSnapshot:
    """A payment of nothing."""
    is_saved = setup.phase is SetupPhase.SUCCEEDED
    seen = SeenIntent(
        id=setup.processor_id,
        seen_at=asked_at,
        phase=IntentPhase(setup.phase.value),
        amount_minor=0,
        decline_code=setup.decline.code if setup.decline else None,
    )
    return PaymentSnapshot(
        intent=seen,
        currency=payment.currency,
        created_at=payment.created_at,
        is_live=is_live,
        payment_id=payment.id,
        booking_id=booking.id,
        organization_id=booking.organization_id,
        customer_id=setup.customer_id,
        method_id=setup.method_id if is_saved else None,
        client_secret=setup.client_secret,
        redirect_url=setup.redirect_url,
        decline=setup.decline,
    )
