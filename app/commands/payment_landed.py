"""Money that came in: whose it is, and what becomes of what nobody wants any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.commands.booking_payment import shares_of_booking
from app.commands.ledger import post_journal
from app.commands.payment_booking import EXCESS, BookingSteps
from app.commands.rebooking import take_again_if_free
from app.commands.refund import put_refund, refunded_shares
from app.core.database import Tx
from app.domain.booking import FREE, HELD, BookingStatus
from app.domain.errors import SlotUnavailable
from app.domain.fees import FeeStatus
from app.domain.ledger_journals import BookingBooks
from app.domain.shares import NOTHING, Shares, shares_from_json, shares_of, shares_to_json, total_shares
from app.models import Booking, BookingFee, Payment, Refund
from app.queries.booking import due_of
from app.queries.fee import fee_of_payment
from app.queries.payee import paid_elsewhere

_AWAITS_FEE = frozenset({FeeStatus.DUE, FeeStatus.OWED})


async def take_in(
    tx: Tx,
    steps: BookingSteps,
    payment: Payment,
    amount_minor: int,
    *,
    beside: tuple[Sequence[Payment], Sequence[Refund]],
    now: datetime,
) -> None:
    """Books a capture. `beside`: all payments and refunds of the booking.

    `payment.is_late` says afterwards whether nobody wanted it: `settle_late` is next then.
    """
    booking, (payments, refunds) = steps.booking, beside
    fee = await fee_of_payment(tx, payment.id) if payment.kind == "fee" else None
    payment.is_late = not _is_wanted(booking, payments, payment, amount_minor, fee)
    taken = await _kept_here(tx, payment, part_of_price(booking, payments, refunds, amount_minor))
    before = NOTHING if payment.shares is None else shares_from_json(payment.shares)
    payment.shares = shares_to_json(before + taken)
    payment.captured_minor += amount_minor
    booking.paid_minor += amount_minor
    books, reference = BookingBooks(booking.id, booking.currency), f"{payment.id}/{payment.captured_minor}"
    if payment.is_late:
        await post_journal(tx, booking.organization_id, books.late_payment(amount_minor), reference)
        steps.tell("payment.late", payment)
        return
    if fee is not None:
        fee.status, fee.failure, fee.next_attempt_at, fee.settled_at = FeeStatus.CHARGED, None, None, now
        payment.is_released = True
        booking.uncounted_minor += amount_minor
        await post_journal(tx, booking.organization_id, books.fee_charged(taken), reference)
        steps.tell("fee.charged", payment)
        return
    await post_journal(tx, booking.organization_id, books.captured(amount_minor), reference)
    steps.tell("payment.succeeded", payment)
    if booking.status == BookingStatus.COMPLETED:  # what was served is theirs who served it
        payment.is_released = True
        await post_journal(tx, booking.organization_id, books.released(taken), reference)


def _is_wanted(
    booking: Booking, payments: Sequence[Payment], payment: Payment, amount_minor: int, fee: BookingFee | None
) -> bool:
    """Is this money still needed?"""
    if payment.kind == "fee":
        return fee is not None and fee.status in _AWAITS_FEE
    if payment.kind == "balance":
        return amount_minor <= due_of(booking)
    status = BookingStatus(booking.status)
    if status in HELD:
        return True
    others = any(
        one.captured_minor and not one.is_late and one.kind == "booking" for one in payments if one is not payment
    )
    return status not in FREE and not others


async def _kept_here(tx: Tx, payment: Payment, taken: Shares) -> Shares:
    """What came in at one processor is not sent on from an account at another one, where it never was: since the price
    was locked the organization has changed its processor, and keeps that part. One statement where anybody is paid."""
    payees = [one.payee_id for one in taken.payables if one.payee_id is not None]
    elsewhere = await paid_elsewhere(tx, payees, payment.processor) if payees else frozenset()
    if not elsewhere:
        return taken
    kept: dict[UUID | None, int] = {}
    for payee, amount in taken.payables:
        owner = None if payee in elsewhere else payee
        kept[owner] = kept.get(owner, 0) + amount
    return shares_of(taken.platform_fee_minor, taken.tax_minor, kept)


def part_of_price(
    booking: Booking, payments: Sequence[Payment], refunds: Sequence[Refund], amount_minor: int
) -> Shares:
    """A part of what of the price's shares no other payment has. What is beyond the price is the organization's."""
    whole = shares_of_booking(booking)
    try:
        others = total_shares(
            shares_from_json(one.shares) - refunded_shares(one, refunds)
            for one in payments
            if one.shares is not None and not one.is_late
        )
        left = whole - others if _is_within(others, whole) else whole  # somebody else gives it by now
        return left.take(amount_minor)
    except ValueError:
        return shares_of(0, 0, {None: amount_minor})


def _is_within(part: Shares, whole: Shares) -> bool:
    """Is it a part of the same payees' money?"""
    return {one.payee_id for one in part.payables} <= {one.payee_id for one in whole.payables}


async def settle_late(tx: Tx, steps: BookingSteps, payment: Payment, now: datetime) -> None:
    """Into the same slot if it could still be booked, otherwise all back at once."""
    booking = steps.booking
    if payment.kind == "booking" and await _is_rebooked(tx, booking, now):
        payment.is_late = False
        journal = BookingBooks(booking.id, booking.currency).late_payment_rebooked(payment.captured_minor)
        await post_journal(tx, booking.organization_id, journal, f"{payment.id}/{payment.captured_minor}")
        steps.go(BookingStatus.CONFIRMED, "The payment landed late, and the time was still free.")
        booking.expires_at = None
        return
    assert payment.shares is not None
    shares = shares_from_json(payment.shares)
    booking.uncounted_minor += payment.captured_minor
    reason = "The payment landed when it was no longer needed."
    await put_refund(tx, booking, payment, shares, cause="late_payment", reason=reason, actor=steps.actor)
    steps.tell("payment.returned", payment)


def wanted_of(payment: Payment, amount_minor: int) -> int:
    """What of a capture was asked for: one page that is paid in two windows is charged twice."""
    return min(amount_minor, max(0, payment.amount_minor - payment.captured_minor))


async def give_back_excess(tx: Tx, steps: BookingSteps, payment: Payment, excess_minor: int) -> None:
    """Money beyond what this payment is for: nobody's share of the price, and asked to go back at once."""
    booking, shares = steps.booking, shares_of(0, 0, {None: excess_minor})
    before = NOTHING if payment.shares is None else shares_from_json(payment.shares)
    payment.shares = shares_to_json(before + shares)
    payment.captured_minor += excess_minor
    booking.paid_minor += excess_minor
    booking.uncounted_minor += excess_minor
    books, reference = BookingBooks(booking.id, booking.currency), f"{payment.id}/{payment.captured_minor}"
    came_in = books.late_payment(excess_minor) if payment.is_late else books.captured(excess_minor)
    await post_journal(tx, booking.organization_id, came_in, reference)
    if payment.is_released and not payment.is_late:
        await post_journal(tx, booking.organization_id, books.released(shares), reference)
    # In parts, each out of one charge: there are as many as the page was paid.
    for start in range(0, excess_minor, payment.amount_minor):
        part = shares_of(0, 0, {None: min(payment.amount_minor, excess_minor - start)})
        reason = "It was paid more than once."
        refund = await put_refund(tx, booking, payment, part, cause=EXCESS, reason=reason, actor=steps.actor)
        if not payment.is_late:
            asked = books.refund_asked(part, is_released=payment.is_released)
            await post_journal(tx, booking.organization_id, asked, str(refund.id))
    steps.tell("payment.returned", payment)


async def _is_rebooked(tx: Tx, booking: Booking, now: datetime) -> bool:
    if booking.status != BookingStatus.EXPIRED or booking.starts_at <= now or booking.requires_approval:
        return False
    try:
        async with tx.begin_nested():
            await take_again_if_free(tx, booking, now)
    except SlotUnavailable:
        return False
    return True
