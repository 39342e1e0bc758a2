"""Accepting a booking whose payment is authorized: the payment is taken, and that confirms it."""

from __future__ import annotations

from datetime import datetime

from app.commands.actor import Actor
from app.commands.booking_payment import END_PAYMENT, JOB_ATTEMPTS, RESUME_AFTER
from app.commands.job import enqueue
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.domain.fees import answer_by
from app.models import Booking, Payment
from app.queries.payment import lock_payments

CAPTURE_PAYMENT = "capture_payment"


async def ask_capture(tx: Tx, booking: Booking, actor: Actor, now: datetime) -> Payment | None:
    """Somebody accepted the booking: what is authorized for it is to be taken. None: nothing is, and it is accepted.

    The booking is CONFIRMED by the capture (`app.checkout.capture`), which a worker makes if the caller does not. The
    caller has the booking's row. Accepted twice is as once.
    """
    payments = await lock_payments(tx, booking.id)
    payment = next((one for one in payments if one.kind == "booking" and one.status == "authorized"), None)
    if payment is None or payment.accepted_by is not None:
        return payment
    payment.accepted_by = actor.as_dict()
    if payment.authorized_until is not None:
        # The answer came in time; what is left is the life of the authorization.
        await enqueue(
            tx,
            END_PAYMENT,
            {"paymentId": str(payment.id)},
            organization_id=booking.organization_id,
            run_after=answer_by(payment.authorized_until, booking.starts_at),
            max_attempts=JOB_ATTEMPTS,
        )
    await enqueue(
        tx,
        CAPTURE_PAYMENT,
        {"paymentId": str(payment.id)},
        organization_id=booking.organization_id,
        run_after=now + RESUME_AFTER,
        max_attempts=JOB_ATTEMPTS,
    )
    await write_journal(
        tx,
        booking.organization_id,
        actor,
        audit=[Audit("booking.accepted", booking.id, None, {"paymentId": str(payment.id)})],
        events=[Event("booking.accepted", booking.id, {"version": booking.version, "status": booking.status})],
    )
    return payment
