"""Fees for cancelling late and for not coming: written down with the ending, charged by a worker, never twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.commands.actor import Actor
from app.commands.booking_payment import JOB_ATTEMPTS
from app.commands.job import enqueue
from app.commands.journal import Audit, Event, write_journal
from app.commands.refund import ask_refund, captures_of
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.fees import FeeCause, FeeStatus, next_attempt
from app.domain.refund import Settlement, refundable
from app.models import Booking, BookingFee, Payment, Refund
from app.queries.booking import lock_booking
from app.queries.fee import get_fee, live_fee
from app.queries.payment import list_refunds, lock_payments

CHARGE_FEE = "charge_fee"


def saved_method(payments: Sequence[Payment]) -> Payment | None:
    """The newest payment whose method was kept for fees."""
    return next((one for one in reversed(payments) if one.method_ref is not None and one.kind != "fee"), None)


async def put_fee(
    tx: Tx, booking: Booking, payments: Sequence[Payment], cause: FeeCause, settled: Settlement, *, actor: Actor
) -> None:
    """What an ending costs the customer: of what was paid, and by the saved method. The caller has the booking."""
    if settled.kept_minor == 0:
        return
    payment_id = None
    if settled.charge_minor:
        payment_id = await _put_payment(tx, booking, payments, settled.charge_minor)
    fee = BookingFee(
        id=new_id(),
        organization_id=booking.organization_id,
        booking_id=booking.id,
        cause=cause.value,
        currency=booking.currency,
        kept_minor=settled.kept_minor - settled.charge_minor,
        charge_minor=settled.charge_minor,
        status=FeeStatus.DUE if payment_id else FeeStatus.KEPT,
        payment_id=payment_id,
        attempts=0,
    )
    tx.add(fee)
    if payment_id:
        await ask_charge(tx, fee)
    facts = {"cause": cause.value, "status": fee.status, "keptMinor": fee.kept_minor, "chargeMinor": fee.charge_minor}
    await write_journal(
        tx,
        booking.organization_id,
        actor,
        audit=[Audit("booking.fee", booking.id, None, {"feeId": str(fee.id), **facts})],
        events=[event_of(fee)],
    )


async def _put_payment(tx: Tx, booking: Booking, payments: Sequence[Payment], amount_minor: int) -> UUID:
    """By the method that its customer agreed to. Its key is committed before anybody is asked."""
    source = saved_method(payments)
    assert source is not None
    payment = Payment(
        id=new_id(),
        organization_id=booking.organization_id,
        booking_id=booking.id,
        kind="fee",
        processor=source.processor,
        status="created",
        amount_minor=amount_minor,
        currency=booking.currency,
        customer_ref=source.customer_ref,
        method_ref=source.method_ref,
        idempotency_key="",
    )
    payment.idempotency_key = f"turnero-{payment.id}"
    tx.add(payment)
    await tx.flush()
    return payment.id


async def ask_charge(tx: Tx, fee: BookingFee) -> None:
    """A worker charges it, or ends its payment if it is not to be charged any more."""
    await enqueue(
        tx,
        CHARGE_FEE,
        {"feeId": str(fee.id), "attempt": fee.attempts},
        organization_id=fee.organization_id,
        run_after=fee.next_attempt_at,
        max_attempts=JOB_ATTEMPTS,
    )


def event_of(fee: BookingFee) -> Event:
    """`fee.due`, `fee.owed` …: told under its booking."""
    facts = {"feeId": str(fee.id), "cause": fee.cause, "keptMinor": fee.kept_minor, "chargeMinor": fee.charge_minor}
    return Event(f"fee.{fee.status}", fee.booking_id, {**facts, "currency": fee.currency})


# ── charged in vain ───────────────────────────────────────────────────────────────────────────────────


async def note_refusal(
    tx: Tx, fee_id: UUID, attempt: int, why: str, *, is_retryable: bool, actor: Actor, now: datetime
) -> None:
    """The bank said no to this attempt: it is asked again later, or the fee is owed. A repeat changes nothing."""
    fee = await get_fee(tx, fee_id)
    booking, _ = await lock_booking(tx, fee.booking_id)
    await tx.refresh(fee)
    if fee.status != FeeStatus.DUE or fee.attempts != attempt:
        return
    fee.attempts, fee.failure = attempt + 1, why
    fee.next_attempt_at = next_attempt(fee.attempts, now, is_retryable=is_retryable)
    if fee.next_attempt_at is None:
        fee.status = FeeStatus.OWED
        await write_journal(tx, booking.organization_id, actor, events=[event_of(fee)])
        await ask_charge(tx, fee)  # whose payment can be ended now
        return
    await ask_charge(tx, fee)


async def drop_charge(tx: Tx, booking_id: UUID, payment_id: UUID) -> None:
    """It never reached the processor, and will not."""
    await lock_booking(tx, booking_id)
    payment = next(one for one in await lock_payments(tx, booking_id) if one.id == payment_id)
    if payment.status == "created":
        payment.status = "cancelled"


# ── given back ────────────────────────────────────────────────────────────────────────────────────────


async def return_charge(
    tx: Tx,
    booking: Booking,
    fee: BookingFee,
    payments: Sequence[Payment],
    refunds: Sequence[Refund],
    *,
    reason: str | None,
    actor: Actor,
) -> None:
    """What was charged goes back; what is not charged yet never will be. What was kept of the price stays.

    The caller has the booking's row and writes it; it belongs to no session.
    """
    charge = [one for one in payments if one.id == fee.payment_id]
    left = refundable(captures_of(charge, refunds))
    if left:
        await ask_refund(tx, booking, charge, refunds, left, cause="fee", reason=reason, actor=actor)
    elif fee.status in {FeeStatus.DUE, FeeStatus.OWED}:
        await _stop(tx, fee)


async def _stop(tx: Tx, fee: BookingFee) -> None:
    fee.next_attempt_at = None
    await ask_charge(tx, fee)


async def undo_ending(tx: Tx, booking: Booking, *, actor: Actor) -> None:
    """The customer had come after all: a fee that was charged goes back, and what the policy gave back is due again.

    `booking`, which belongs to no session, is brought up to date and not written.
    """
    payments = await lock_payments(tx, booking.id)
    refunds = await list_refunds(tx, booking.id)
    fee = await live_fee(tx, booking.id)
    if fee is not None:
        await return_charge(tx, booking, fee, payments, refunds, reason="The customer had come.", actor=actor)
        fee.status = FeeStatus.RETURNED
        await write_journal(tx, booking.organization_id, actor, events=[event_of(fee)])
    beside = sum(map(_beside_the_price, payments))
    returned = sum(one.amount_minor for one in refunds if one.cause in _DUE_AGAIN and one.status != "failed")
    # What was paid twice may be in both, where it could not go back before.
    booking.uncounted_minor = min(booking.paid_minor, beside + returned)


def _beside_the_price(payment: Payment) -> int:
    """A fee, what landed late, and what was paid more than once."""
    if payment.kind == "fee" or payment.is_late:
        return payment.captured_minor
    return max(0, payment.captured_minor - payment.amount_minor)


_DUE_AGAIN = frozenset({"policy", "correction"})
"""Causes of refunds after which the price is not paid."""
