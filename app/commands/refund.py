"""Money back to the customer: asked for here, made by a job, settled by what the processor shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from app.commands.actor import Actor
from app.commands.booking_payment import JOB_ATTEMPTS
from app.commands.job import enqueue
from app.commands.ledger import post_journal
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.booking import FREE, BookingStatus
from app.domain.errors import InvalidInput, NotAllowed
from app.domain.ledger_journals import BookingBooks
from app.domain.money import format_amount
from app.domain.refund import Capture, RefundTooLarge, allocate_refund
from app.domain.rounding import charge_step
from app.domain.shares import NOTHING, Shares, shares_from_json, shares_to_json, total_shares
from app.models import Booking, Payment, Refund

EXECUTE_REFUND = "execute_refund"

LEFT_OUT = frozenset({"failed"})
"""States of a refund in which nothing goes back."""


def captures_of(payments: Iterable[Payment], refunds: Sequence[Refund]) -> list[Capture]:
    """What came in, each with what already went back or is in dispute. Money that landed late is not the booking's."""
    return [_capture(one, refunds) for one in payments if one.captured_minor and not one.is_late]


def _capture(payment: Payment, refunds: Sequence[Refund]) -> Capture:
    assert payment.shares is not None
    return Capture(
        id=payment.id,
        captured_at=payment.captured_at or payment.created_at,
        shares=shares_from_json(payment.shares),
        refunded=refunded_shares(payment, refunds),
        disputed=disputed_shares(payment),
        is_cash=payment.kind == "cash",
        is_released=payment.is_released,
    )


def refunded_shares(payment: Payment, refunds: Sequence[Refund]) -> Shares:
    """What of a payment went back, or was asked to."""
    return total_shares(
        shares_from_json(one.shares) for one in refunds if one.payment_id == payment.id and one.status not in LEFT_OUT
    )


def disputed_shares(payment: Payment) -> Shares:
    """In open and lost disputes."""
    taken = (shares_from_json(one["shares"]) for one in payment.disputes.values() if one["phase"] != "won")
    return total_shares(taken) if payment.disputes else NOTHING


async def ask_refund(
    tx: Tx,
    booking: Booking,
    payments: Sequence[Payment],
    refunds: Sequence[Refund],
    amount_minor: int,
    *,
    cause: str,
    reason: str | None,
    actor: Actor,
) -> list[Refund]:
    """Refunds that together give back this amount: written down, booked, and left to a worker; what was paid in cash
    waits for somebody to hand it back (`app.commands.cash`).

    The caller has the booking's row and these payments; of both the amounts are brought up to date; the booking,
    which belongs to no session, is not written. Raises InvalidInput for what cannot go back.
    """
    captures = captures_of(payments, refunds)
    try:
        parts = allocate_refund(captures, amount_minor, charge_step(booking.currency))
    except RefundTooLarge as wrong:
        left = format_amount(wrong.refundable_minor, booking.currency)
        raise InvalidInput.at(
            "input.amountMinor", f"is more than can go back: at most {left} {booking.currency} are left"
        ) from None
    except ValueError as wrong:
        raise InvalidInput.at("input.amountMinor", str(wrong)) from None
    by_id = {payment.id: payment for payment in payments}
    books = BookingBooks(booking.id, booking.currency)
    asked = []
    for part in parts:
        payment = by_id[part.capture.id]
        refund = await put_refund(tx, booking, payment, part.shares, cause=cause, reason=reason, actor=actor)
        if not part.capture.is_cash:
            journal = books.refund_asked(part.shares, is_released=payment.is_released)
            await post_journal(tx, booking.organization_id, journal, str(refund.id))
        asked.append(refund)
    return asked


async def put_refund(
    tx: Tx,
    booking: Booking,
    payment: Payment,
    shares: Shares,
    *,
    cause: str,
    reason: str | None,
    actor: Actor,
    processor_id: str | None = None,
    excess_minor: int = 0,
) -> Refund:
    """The row, and the job that makes it, unless the processor has it already or it is cash. Books nothing."""
    refund_id = new_id()
    requested_by: dict[str, Any] = msgspec.json.decode(actor.as_json())
    refund = Refund(
        id=refund_id,
        organization_id=booking.organization_id,
        booking_id=booking.id,
        payment_id=payment.id,
        amount_minor=shares.total_minor + excess_minor,
        excess_minor=excess_minor,
        currency=booking.currency,
        cause=cause,
        reason=reason,
        requested_by=requested_by,
        status="created" if processor_id is None else "pending",
        shares=shares_to_json(shares),
        processor_id=processor_id,
        idempotency_key=f"turnero-{refund_id}",
    )
    tx.add(refund)
    payment.refunded_minor += shares.total_minor
    booking.refunded_minor += shares.total_minor
    if processor_id is None and payment.kind != "cash":
        await enqueue(
            tx,
            EXECUTE_REFUND,
            {"refundId": str(refund.id)},
            organization_id=booking.organization_id,
            max_attempts=JOB_ATTEMPTS,
        )
    return refund


def fail_refund(booking: Booking, payment: Payment, refund: Refund, why: str, now: datetime) -> None:
    """It went back to nobody: the amounts are as before. Books nothing."""
    refund.status, refund.failure, refund.settled_at = "failed", why, now
    payment.refunded_minor -= refund.amount_minor - refund.excess_minor
    booking.refunded_minor -= refund.amount_minor - refund.excess_minor
    if refund.cause == "policy" and BookingStatus(booking.status) not in FREE:
        # Its customer had come after all, so it was counted as due again (`app.commands.fee.undo_ending`).
        booking.uncounted_minor = max(0, booking.uncounted_minor - refund.amount_minor)


def refuse_unpaid(booking: Booking) -> None:
    """Raises NotAllowed."""
    if booking.paid_minor == 0:
        raise NotAllowed("nothing_paid", "Nothing was paid for this booking, so nothing can be given back.")
