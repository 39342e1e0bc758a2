"""A payment's way: opened, looked after, tried again, ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app.checkout.scope import Checkout
from app.checkout.setup import customer_at, find_setup, given_up, open_setup
from app.commands.actor import SYSTEM, Actor
from app.commands.payment_apply import Applied, OtherIntent, apply_snapshot, is_known, note_opened
from app.commands.payment_attempt import expire_if_unpaid, refuse_payment
from app.core.database import Tx
from app.domain.booking import FREE, HELD, BookingStatus
from app.domain.fees import answer_by
from app.domain.payment import IntentPhase
from app.gateway import (
    Capture,
    ConfirmOrder,
    Declined,
    GatewayRefused,
    GatewayUnknown,
    PaymentGateway,
    PaymentOrder,
    PaymentSnapshot,
    RefusalKind,
)
from app.models import Booking, Payment
from app.queries.booking import due_of
from app.queries.payment import LIVE, get_payment

log = structlog.get_logger(__name__)

SINCE_MARGIN = timedelta(minutes=10)
"""The processor's clock is not ours."""
SKEW = timedelta(seconds=1)
"""A worker's clock may be so much behind the database's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A payment as it is now, and as the processor showed it; no snapshot: there is none that could be shown."""

    booking: Booking
    payment: Payment
    snapshot: PaymentSnapshot | None


async def open_payment(checkout: Checkout, booking: Booking, payment: Payment, *, actor: Actor) -> Shown:
    """The one intent of this payment, however often this is asked. Raises GatewayUnknown, GatewayUnavailable.

    The order says nothing that may change, so that the same key always comes with the same order.
    """
    if payment.kind == "setup":
        return await apply_seen(checkout, payment, await open_setup(checkout, booking, payment), actor)
    customer = payment.customer_ref  # of one that is charged to what was saved before: see app.checkout.series
    if payment.consent is not None:
        customer = await customer_at(checkout, booking, payment.processor)
    order = PaymentOrder(
        payment_id=payment.id,
        booking_id=booking.id,
        organization_id=booking.organization_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        idempotency_key=payment.idempotency_key,
        description=booking.number,
        transfer_group=str(booking.id),
        return_url=checkout.return_to(booking.id),
        expires_at=payment.expires_at,
        capture=Capture(payment.capture),
        customer_id=customer,
        save_method=payment.consent is not None,
    )
    gateway = checkout.gateway(payment.processor)
    since = payment.created_at - SINCE_MARGIN
    found = await gateway.look_up_payment(payment.id, since) if checkout.is_key_forgotten(payment.created_at) else None
    try:
        snapshot = found or await _create(gateway, order)
    except GatewayRefused as refused:
        found = await gateway.look_up_payment(payment.id, since)
        if found is None:
            if refused.kind is RefusalKind.KEY_REUSED:
                raise
            return await _refused(checkout, booking, payment, refused, actor)
        snapshot = found
    async with checkout.within(payment.organization_id) as tx:
        is_noted = await note_opened(tx, payment, snapshot, checkout.clock.now())
    return Shown(booking, payment, snapshot) if is_noted else await apply_seen(checkout, payment, snapshot, actor)


async def _create(gateway: PaymentGateway, order: PaymentOrder) -> PaymentSnapshot:
    try:
        return await gateway.create_payment(order)
    except GatewayUnknown:
        return await gateway.create_payment(order)


async def _refused(
    checkout: Checkout, booking: Booking, payment: Payment, refused: GatewayRefused, actor: Actor
) -> Shown:
    log.error("payment.refused", payment=str(payment.id), code=refused.code, message=refused.message)
    message = "The payment could not be opened. Try again, or ask the staff."
    async with checkout.within(booking.organization_id) as tx:
        await refuse_payment(tx, booking.id, payment.id, refused.code or "refused", message, actor=actor)
        found, now = await get_payment(tx, payment.id)
    return Shown(now, found, None)


async def apply_seen(checkout: Checkout, payment: Payment, snapshot: PaymentSnapshot, actor: Actor) -> Shown:
    """What the processor showed becomes ours."""
    async with checkout.within(payment.organization_id) as tx:
        applied = await _apply_in(checkout, tx, payment, snapshot, actor)
    return Shown(applied.booking, applied.payment, snapshot)


async def _apply_in(checkout: Checkout, tx: Tx, payment: Payment, snapshot: PaymentSnapshot, actor: Actor) -> Applied:
    return await apply_snapshot(tx, payment.booking_id, payment.id, snapshot, actor=actor, now=checkout.clock.now())


async def read_payment(checkout: Checkout, organization_id: UUID | None, payment_id: UUID) -> Shown:
    """Raises NotFound."""
    async with checkout.within(organization_id) as tx:
        payment, booking = await get_payment(tx, payment_id)
    return Shown(booking, payment, None)


async def refresh_payment(checkout: Checkout, organization_id: UUID | None, payment_id: UUID, *, actor: Actor) -> Shown:
    """Whatever the processor says now becomes ours; one that was never answered for is opened.

    Raises NotFound, and what the gateway raises.
    """
    known = await read_payment(checkout, organization_id, payment_id)
    payment = known.payment
    if payment.processor_id is None:
        if payment.status != "created" or payment.kind == "fee":  # nobody pays a fee by hand: see app.checkout.fee
            return known
        return await open_payment(checkout, known.booking, payment, actor=actor)
    if payment.kind == "setup":
        snapshot = await find_setup(checkout, known.booking, payment)
    else:
        snapshot = await checkout.gateway(payment.processor).find_payment(payment.processor_id)
    if snapshot is None or is_known(payment, snapshot.intent):
        return Shown(known.booking, payment, snapshot)
    return await apply_seen(checkout, payment, snapshot, actor)


async def confirm_payment(
    checkout: Checkout, payment: Payment, method_id: str, *, key: str, actor: Actor, is_off_session: bool = False
) -> Shown:
    """Try it with this method now. Raises Declined, once what it says is ours; and what the gateway raises.

    `is_off_session`: its customer is not there to be sent to their bank's page.
    """
    assert payment.processor_id is not None
    order = ConfirmOrder(payment.processor_id, method_id, key, checkout.return_to(payment.booking_id), is_off_session)
    gateway = checkout.gateway(payment.processor)
    try:
        try:
            snapshot = await gateway.confirm_payment(order)
        except GatewayUnknown:
            snapshot = await gateway.confirm_payment(order)
    except Declined as declined:
        if declined.snapshot is not None:
            await apply_seen(checkout, payment, declined.snapshot, actor)
        raise
    return await apply_seen(checkout, payment, snapshot, actor)


async def end_payment(checkout: Checkout, payment_id: UUID, *, actor: Actor = SYSTEM) -> bool:
    """Once nobody may pay any more: cancel the intent, then give the time back. Is it over?

    Also for a booking that ended otherwise, for one that nobody accepted in time, and for a balance that is not needed
    any more. A payment that came through in the meantime counts. Raises what the gateway raises: then it is done again.
    """
    known = await read_payment(checkout, None, payment_id)
    payment, booking = known.payment, known.booking
    now = checkout.clock.now() + SKEW
    is_held = BookingStatus(booking.status) in HELD
    if payment.kind != "balance" and is_held and booking.expires_at is not None and booking.expires_at > now:
        return False
    if not _is_to_end(payment, booking, now):
        return True
    if payment.status in LIVE:
        shown = await cancel_payment(checkout, payment, booking, actor=actor)
        if shown.payment.status == "processing":
            return False
        booking = shown.booking
    async with checkout.within(booking.organization_id) as tx:
        await expire_if_unpaid(tx, booking.id, now)
    return True


def _is_to_end(payment: Payment, booking: Booking, now: datetime) -> bool:
    """One that waits for its provider, and a balance, have another job at their own deadlines."""
    status = BookingStatus(booking.status)
    if payment.kind == "balance":
        is_needed = payment.amount_minor <= due_of(booking)
        return not is_needed or (payment.expires_at is not None and payment.expires_at <= now)
    if status is BookingStatus.AWAITING_PROVIDER:
        until = booking.expires_at
        if payment.accepted_by is not None and payment.authorized_until is not None:
            until = answer_by(payment.authorized_until, booking.starts_at)
        return payment.status == "authorized" and until is not None and until <= now
    return status in HELD or status in FREE


async def cancel_payment(checkout: Checkout, payment: Payment, booking: Booking, *, actor: Actor) -> Shown:
    """Nothing can be paid with it after this, or it was paid already: the answer tells.

    Raises what the gateway raises.
    """
    if payment.processor_id is None:
        opened = await open_payment(checkout, booking, payment, actor=actor)
        if opened.payment.processor_id is None:
            return opened
        payment, booking = opened.payment, opened.booking
    assert payment.processor_id is not None
    if payment.kind == "setup":
        return await _give_up_setup(checkout, payment, booking, actor)
    gateway = checkout.gateway(payment.processor)
    try:
        snapshot = await gateway.cancel(payment.processor_id, f"{payment.idempotency_key}-cancel")
    except GatewayRefused as refused:
        found = await gateway.find_payment(payment.processor_id)
        if found is None or refused.kind is not RefusalKind.STATE:
            raise
        snapshot = found
    return await apply_seen(checkout, payment, snapshot, actor)


async def _give_up_setup(checkout: Checkout, payment: Payment, booking: Booking, actor: Actor) -> Shown:
    found = await find_setup(checkout, booking, payment)
    if found is None:
        raise GatewayRefused(f"No such setup: {payment.processor_id}", kind=RefusalKind.MISSING)
    is_saved = found.phase is IntentPhase.SUCCEEDED
    return await apply_seen(checkout, payment, found if is_saved else given_up(found), actor)


async def apply_found(checkout: Checkout, snapshot: PaymentSnapshot, *, actor: Actor) -> str:
    """What an event's object turned out to be becomes ours. The outcome, for the inbox."""
    if snapshot.payment_id is None or snapshot.organization_id is None:
        return "not_ours"
    known = await read_payment(checkout, None, snapshot.payment_id)
    if is_known(known.payment, snapshot.intent):
        return "known"
    try:
        await apply_seen(checkout, known.payment, snapshot, actor)
    except OtherIntent as other:
        log.error("payment.other_intent", detail=str(other))
        return "other_intent"
    return "applied"
