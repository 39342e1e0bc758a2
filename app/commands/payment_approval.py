"""What follows for a booking that waits for its provider from a payment that is authorized, taken or gone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from app.commands.actor import Actor
from app.commands.booking_change import release_time
from app.commands.booking_payment import CLAIM_GRACE, END_PAYMENT, JOB_ATTEMPTS, end_live_payments
from app.commands.job import enqueue
from app.commands.payment_booking import BookingSteps
from app.core.database import Tx
from app.domain.booking import FREE, BookingStatus
from app.domain.booking_terms import answer_deadline
from app.domain.fees import AUTHORIZATION_LIFE, answer_by
from app.domain.payment import IntentPhase, SeenIntent
from app.models import Booking, Payment
from app.queries.payment import lock_payments
from app.queries.payment_terms import get_terms

_HOLD_AGAIN = text("SELECT hold_booking_claims(:booking_id, :until)")


async def steps_of_approval(
    tx: Tx, steps: BookingSteps, payment: Payment, seen: SeenIntent, *, capture_before: datetime | None, now: datetime
) -> None:
    """After `steps_of_payment`; nothing where the payment is not authorized first."""
    booking = steps.booking
    status = BookingStatus(booking.status)
    if seen.phase is IntentPhase.AUTHORIZED:
        if status in FREE:  # nobody will ever take it
            await end_live_payments(tx, [booking.id])
        elif payment.authorized_until is None:
            payment.authorized_until = capture_before or now + AUTHORIZATION_LIFE
            if status is BookingStatus.AWAITING_PROVIDER:
                booking.expires_at = await _answer_until(tx, booking, payment, booking.starts_at, now)
        return
    if status is BookingStatus.AWAITING_PROVIDER and booking.expires_at is None:  # paid, and not accepted yet
        booking.expires_at = _deadline(booking, booking.starts_at, now)
    if payment.authorized_until is None or status is not BookingStatus.AWAITING_PROVIDER:
        return
    if seen.phase is IntentPhase.SUCCEEDED:
        if payment.accepted_by is not None:
            booking.expires_at = None
            steps.actor = Actor.from_dict(payment.accepted_by)
            steps.go(BookingStatus.CONFIRMED)
    elif seen.phase in {IntentPhase.CANCELLED, IntentPhase.FAILED}:
        await _nothing_to_take(tx, steps, payment, now)


def _deadline(booking: Booking, starts_at: datetime, now: datetime) -> datetime:
    """By the terms it was made under. Made before there were any: until its start."""
    return starts_at if booking.approval_hours is None else answer_deadline(now, booking.approval_hours, starts_at)


async def _answer_until(tx: Tx, booking: Booking, payment: Payment, starts_at: datetime, now: datetime) -> datetime:
    """Until when it can be accepted, while its payment is only authorized; and a job that ends that payment."""
    assert payment.authorized_until is not None
    until = min(_deadline(booking, starts_at, now), answer_by(payment.authorized_until, starts_at))
    await enqueue(
        tx,
        END_PAYMENT,
        {"paymentId": str(payment.id)},
        organization_id=booking.organization_id,
        run_after=until,
        max_attempts=JOB_ATTEMPTS,
    )
    return until


async def answer_after_move(
    tx: Tx, booking: Booking, starts_at: datetime, now: datetime, *, by_customer: bool
) -> datetime:
    """Until when one that waits for its provider once it is moved can be accepted: it is asked for anew.

    Its customer takes it to where nobody accepted it: what was accepted before, and not taken yet, is not.
    """
    payment = next((one for one in await lock_payments(tx, booking.id) if one.status == "authorized"), None)
    if payment is None or payment.authorized_until is None:
        return _deadline(booking, starts_at, now)
    if by_customer:
        payment.accepted_by = None
    return await _answer_until(tx, booking, payment, starts_at, now)


async def _nothing_to_take(tx: Tx, steps: BookingSteps, payment: Payment, now: datetime) -> None:
    """The authorization is gone. Accepted: the customer may pay again for a while. Not: nobody answered in time."""
    booking = steps.booking
    window = (await get_terms(tx, booking.organization_id)).window
    until = min(now + window, booking.starts_at)
    if payment.accepted_by is None or until <= now:
        await release_time(tx, booking.id, "RELEASED")
        steps.go(BookingStatus.EXPIRED, "What was authorized for it was not taken in time.")
        return
    booking.expires_at = until
    await tx.execute(_HOLD_AGAIN, {"booking_id": booking.id, "until": until + CLAIM_GRACE})
    steps.go(BookingStatus.PAYMENT_FAILED, "It was accepted, but the payment could not be taken.")
    steps.tell("payment.failed", payment)
