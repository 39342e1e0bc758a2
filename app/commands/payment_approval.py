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
from app.domain.fees import AUTHORIZATION_LIFE, answer_by
from app.domain.payment import IntentPhase, SeenIntent
from app.models import Booking, Payment
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
            await _wait_for_answer(tx, booking, payment, capture_before or now + AUTHORIZATION_LIFE)
        return
    if payment.authorized_until is None or status is not BookingStatus.AWAITING_PROVIDER:
        return
    if seen.phase is IntentPhase.SUCCEEDED:
        booking.expires_at = None
        if payment.accepted_by is not None:
            steps.actor = Actor.from_dict(payment.accepted_by)
            steps.go(BookingStatus.CONFIRMED)
    elif seen.phase in {IntentPhase.CANCELLED, IntentPhase.FAILED}:
        await _nothing_to_take(tx, steps, payment, now)


async def _wait_for_answer(tx: Tx, booking: Booking, payment: Payment, until: datetime) -> None:
    payment.authorized_until = until
    if booking.status != BookingStatus.AWAITING_PROVIDER:
        return
    booking.expires_at = answer_by(until, booking.starts_at)
    await enqueue(
        tx,
        END_PAYMENT,
        {"paymentId": str(payment.id)},
        organization_id=booking.organization_id,
        run_after=booking.expires_at,
        max_attempts=JOB_ATTEMPTS,
    )


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
