"""What the end of a booking means for its money: what goes back by its policy, what is kept, and whose that is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.commands.actor import Actor
from app.commands.booking_payment import end_live_payments
from app.commands.fee import put_fee
from app.commands.ledger import post_journal
from app.commands.payment_booking import is_all_returned
from app.commands.refund import ask_refund, captures_of, disputed_shares, refunded_shares
from app.core.database import Tx
from app.domain.booking import HELD, BookingStatus, PaymentMethod
from app.domain.fees import cause_of
from app.domain.group_price import kept_of
from app.domain.ledger_journals import BookingBooks
from app.domain.policy import ActorKind, CancellationTerms, cancellation_terms
from app.domain.price_quote_codec import quote_from_json
from app.domain.refund import (
    NOTHING_AFTER_NOTICE,
    Ending,
    RefundPolicy,
    policy_from_json,
    refundable,
    settle,
)
from app.domain.rounding import charge_step
from app.domain.shares import shares_from_json
from app.models import Booking, Payment, Refund
from app.queries.booking import facts_of
from app.queries.payment import Disputed, list_refunds, lock_payments


def policy_of(booking: Booking) -> RefundPolicy:
    """What was in force when it was made."""
    return NOTHING_AFTER_NOTICE if booking.policy is None else policy_from_json(booking.policy)


def kept_before(booking: Booking) -> int:
    """What its price keeps of people who were removed late, in minor units."""
    return 0 if booking.group_quote is None or booking.quote is None else kept_of(quote_from_json(booking.quote))


def terms_of_cancellation(booking: Booking, disputed: Disputed, actor: ActorKind, now: datetime) -> CancellationTerms:
    """What a cancellation by that actor would do at this instant, by the policy that was frozen with the booking.

    A fee may be charged to what the customer saved. What a bank holds back is neither given back nor charged again.
    """
    return cancellation_terms(
        facts_of(booking),
        booking.paid_minor - booking.refunded_minor - disputed.lost_minor,
        now,
        policy_of(booking),
        price_minor=booking.price_minor,
        can_charge=booking.has_saved_method,
        step=charge_step(booking.currency),
        kept_minor=kept_before(booking),
        held_back_minor=disputed.open_minor,
        actor=actor,
    )


def has_money(booking: Booking) -> bool:
    """Was anything paid, may it still be, or can a fee be charged?"""
    return (
        booking.paid_minor > 0
        or booking.has_saved_method
        or booking.payment_method == PaymentMethod.PAY_NOW
        or BookingStatus(booking.status) in HELD
    )


async def settle_ending(
    tx: Tx, booking: Booking, to: BookingStatus, *, ending: Ending, reason: str | None, actor: Actor
) -> bool:
    """Before the step to CANCELLED, NO_SHOW or COMPLETED is written; the caller has the booking's row.

    `booking` belongs to no session; its `refunded_minor` is brought up to date and not written. True: all that was paid
    is back already, and nothing is still to be charged.
    """
    if to is not BookingStatus.COMPLETED:
        await end_live_payments(tx, [booking.id])
    if booking.paid_minor == 0 and not booking.has_saved_method:
        return False
    payments = await lock_payments(tx, booking.id)
    refunds = await list_refunds(tx, booking.id)
    is_charging = False
    if to is not BookingStatus.COMPLETED:
        left = refundable(captures_of(payments, refunds))
        settled = settle(
            policy_of(booking),
            ending,
            price_minor=booking.price_minor,
            # What a bank holds back may be ours again: it is not charged a second time.
            paid_minor=left + _held_by_banks(payments),
            can_charge=booking.has_saved_method,
            step=charge_step(booking.currency),
            kept_minor=kept_before(booking),
        )
        cause = cause_of(ending)
        if cause is not None:
            await put_fee(tx, booking, payments, cause, settled, actor=actor)
            is_charging = settled.charge_minor > 0
        refund = min(settled.refund_minor, left)
        if refund:
            refunds += await ask_refund(
                tx, booking, payments, refunds, refund, cause="policy", reason=reason, actor=actor
            )
    await _release(tx, booking, payments, refunds)
    return not is_charging and is_all_returned(to, payments, refunds)


def _held_by_banks(payments: Sequence[Payment]) -> int:
    """In disputes that are not decided."""
    disputes = (one for payment in payments if not payment.is_late for one in payment.disputes.values())
    return sum(shares_from_json(one["shares"]).total_minor for one in disputes if one["phase"] == "open")


async def _release(tx: Tx, booking: Booking, payments: Sequence[Payment], refunds: Sequence[Refund]) -> None:
    """What is kept belongs to its owners from now on."""
    books = BookingBooks(booking.id, booking.currency)
    for payment in payments:
        if payment.shares is None or payment.is_late or payment.is_released or payment.kind == "cash":
            continue
        kept = shares_from_json(payment.shares) - refunded_shares(payment, refunds) - disputed_shares(payment)
        payment.is_released = True
        if kept.total_minor:
            await post_journal(tx, booking.organization_id, books.released(kept), str(payment.id))
