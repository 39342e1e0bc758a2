"""Attempts at a payment: another one while the booking waits, and the end of one that cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.commands.actor import Actor
from app.commands.booking_change import Requester, acting, lock_for_change
from app.commands.booking_payment import Planned, plan_payment
from app.commands.expiry import expire_booking
from app.commands.payment_booking import BookingSteps, write_steps
from app.commands.series_payment import plan_by_hand
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import HELD, BookingStatus
from app.domain.errors import IllegalTransition, NotAllowed
from app.domain.policy import allowed_transitions
from app.gateway import Capture
from app.models import Payment
from app.queries.booking import SeenBooking, facts_of, lock_booking
from app.queries.payment import AWAITED, LIVE, lock_payments


@dataclass(frozen=True, slots=True)
class Attempt:
    """A payment that may be tried (again), and by what key if it is tried at once."""

    seen: SeenBooking
    payment: Payment
    key: str


async def retry_payment(tx: Tx, signer: TokenSigner, booking_id: UUID, requester: Requester, now: datetime) -> Attempt:
    """The booking waits for its payment again, until the same deadline.

    The payment that is there is tried again; one that ended has a successor. Raises NotFound, IllegalTransition,
    NotAllowed.
    """
    seen = await lock_for_change(tx, signer, booking_id, requester, None)
    booking = seen.booking
    tx.expunge(booking)
    if BookingStatus(booking.status) not in HELD:
        allowed = allowed_transitions(facts_of(booking), seen.viewer, now)
        raise IllegalTransition(BookingStatus(booking.status), BookingStatus.PENDING, allowed)
    assert booking.expires_at is not None
    if booking.expires_at <= now:
        raise NotAllowed("payment_window_over", "The time to pay is over: book again.")
    payments = [one for one in await lock_payments(tx, booking_id) if one.kind in AWAITED]
    payment = next((one for one in payments if one.status in LIVE), None)
    if not payments:  # a date of a series that waited for the first one
        payment = await plan_by_hand(tx, booking, now)
    elif payment is None:
        payment = await plan_payment(tx, booking, _successor(payments[-1], booking.expires_at), now)
    payment.attempts += 1
    if booking.status == BookingStatus.PAYMENT_FAILED:
        steps = BookingSteps(booking, acting(requester.actor, seen.viewer))
        steps.go(BookingStatus.PENDING)
        await write_steps(tx, steps)
    return Attempt(seen, payment, f"{payment.idempotency_key}-{payment.attempts}")


def _successor(last: Payment, expires_at: datetime) -> Planned:
    """The same once more. What was accepted already need not wait for that again."""
    return Planned(
        last.amount_minor,
        last.processor,
        expires_at,
        kind=last.kind,
        capture=Capture.AUTOMATIC if last.accepted_by is not None else Capture(last.capture),
        consent=last.consent,
        accepted_by=last.accepted_by,
    )


async def refuse_payment(tx: Tx, booking_id: UUID, payment_id: UUID, code: str, message: str, *, actor: Actor) -> None:
    """The processor will never open it: the booking says so, and another attempt is another payment."""
    booking, _ = await lock_booking(tx, booking_id)
    tx.expunge(booking)
    payment = next(one for one in await lock_payments(tx, booking_id) if one.id == payment_id)
    if payment.status != "created":
        return
    payment.status, payment.decline_code, payment.decline_message = "cancelled", code, message
    if booking.status == BookingStatus.PENDING:
        steps = BookingSteps(booking, actor)
        steps.go(BookingStatus.PAYMENT_FAILED, "The payment could not be opened.")
        steps.tell("payment.failed", payment)
        await write_steps(tx, steps)


async def expire_if_unpaid(tx: Tx, booking_id: UUID, now: datetime) -> bool:
    """After its payments were ended: give the time back, if the time to pay is over. Did it end?"""
    booking, _ = await lock_booking(tx, booking_id)
    if BookingStatus(booking.status) not in HELD or booking.expires_at is None or booking.expires_at > now:
        return False
    if any(one.status in LIVE for one in await lock_payments(tx, booking_id)):
        return False
    await expire_booking(tx, booking)
    return True
