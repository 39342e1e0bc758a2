"""What a processor shows of a payment becomes ours: under the booking's lock, forward only, in any order, any number
of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app.commands.actor import Actor
from app.commands.booking_change import take_time_again
from app.commands.booking_payment import shares_of_booking
from app.commands.ledger import post_journal
from app.commands.payment_booking import BookingSteps, end_of_money, steps_of_payment, write_steps
from app.commands.payment_moves import PaymentMoves
from app.commands.refund import put_refund
from app.core.database import Tx
from app.domain.booking import FREE, HELD, BookingStatus
from app.domain.errors import SlotUnavailable
from app.domain.ledger_journals import BookingBooks
from app.domain.payment import IntentPhase, Move, MoveKind, SeenIntent, merge, moves
from app.domain.payment_codec import intent_from_json, intent_to_json
from app.domain.shares import Shares, shares_from_json, shares_of, shares_to_json, total_shares
from app.gateway import PaymentSnapshot
from app.models import Booking, Payment, Refund
from app.queries.booking import lock_booking
from app.queries.payment import list_refunds, lock_payments

_STATUS = {
    IntentPhase.CREATED: "open",
    IntentPhase.NEEDS_ACTION: "open",
    IntentPhase.FAILED: "failed",
    IntentPhase.PROCESSING: "processing",
    IntentPhase.AUTHORIZED: "authorized",
    IntentPhase.CANCELLED: "cancelled",
    IntentPhase.SUCCEEDED: "succeeded",
}


@dataclass(frozen=True, slots=True)
class Applied:
    """`has_open_refunds`: some of ours have no answer yet, so refunds that may be ours were not looked at."""

    booking: Booking
    payment: Payment
    has_open_refunds: bool


def is_known(payment: Payment, seen: SeenIntent) -> bool:
    """Does this answer say nothing that was not applied before? Most webhooks do not."""
    if payment.seen is None:
        return False
    known = intent_from_json(payment.seen)
    return known.id == seen.id and replace(merge(known, seen), seen_at=known.seen_at) == known


class OtherIntent(Exception):
    """The processor has two payments under one of ours; a person has to look."""


async def apply_snapshot(
    tx: Tx, booking_id: UUID, payment_id: UUID, snapshot: PaymentSnapshot, *, actor: Actor, now: datetime
) -> Applied:
    """Books what moved, and takes the booking the steps that follow. Raises NotFound, OtherIntent."""
    booking, _ = await lock_booking(tx, booking_id)
    tx.expunge(booking)  # written once, by `write_steps`
    payments = await lock_payments(tx, booking_id)
    payment = next(one for one in payments if one.id == payment_id)
    if payment.processor_id is not None and payment.processor_id != snapshot.processor_id:
        raise OtherIntent(f"{payment.id}: {payment.processor_id} is ours, {snapshot.processor_id} says it is, too")
    refunds = await list_refunds(tx, booking_id) if snapshot.intent.refunds or payment.captured_minor else []
    known = None if payment.seen is None else intent_from_json(payment.seen)
    seen, has_open = _without_unclear(snapshot.intent, [one for one in refunds if one.payment_id == payment_id])
    merged = merge(known, seen)
    steps = BookingSteps(booking, actor)
    has_landed_late = False
    write = PaymentMoves(tx, booking, payment, list(refunds), actor, now)
    for move in moves(known, merged):
        if move.kind is MoveKind.CAPTURED:
            await _capture(tx, steps, payments, payment, move)
            has_landed_late = payment.is_late
        else:
            await write.book(move)
    _bring_up(payment, merged, snapshot, now)
    if has_landed_late:
        await _settle_late(tx, steps, payment, now)
    await steps_of_payment(tx, steps, payment, merged)
    end_of_money(steps, payments, write.refunds)
    await write_steps(tx, steps)
    return Applied(booking, payment, has_open)


def _without_unclear(seen: SeenIntent, refunds: Sequence[Refund]) -> tuple[SeenIntent, bool]:
    """A refund of unknown id may be one of ours that waits for its answer: until it has it, such are left out."""
    if not any(one.status == "created" for one in refunds):
        return seen, False
    ours = {one.processor_id for one in refunds}
    return replace(seen, refunds=tuple(one for one in seen.refunds if one.id in ours)), True


def _bring_up(payment: Payment, merged: SeenIntent, snapshot: PaymentSnapshot, now: datetime) -> None:
    payment.seen = intent_to_json(merged)
    if payment.captured_minor and payment.captured_at is None:
        payment.captured_at = now
    payment.status = _STATUS[merged.phase]
    payment.processor_id = snapshot.processor_id
    payment.charge_id = snapshot.charge_id or payment.charge_id
    payment.decline_code = merged.decline_code
    if merged.decline_code is None:
        payment.decline_message = None
    elif snapshot.decline is not None:
        payment.decline_message = snapshot.decline.message
    payment.updated_at = now


# ── money that came in ────────────────────────────────────────────────────────────────────────────────


async def _capture(tx: Tx, steps: BookingSteps, payments: Sequence[Payment], payment: Payment, move: Move) -> None:
    booking = steps.booking
    payment.captured_minor += move.amount_minor
    payment.is_late = not _is_wanted(booking, payments, payment)
    taken = _own_shares(booking, payments, payment, move.amount_minor)
    before = shares_of(0, 0, {}) if payment.shares is None else shares_from_json(payment.shares)
    payment.shares = shares_to_json(before + taken)
    booking.paid_minor += move.amount_minor
    books = BookingBooks(booking.id, booking.currency)
    journal = books.late_payment(move.amount_minor) if payment.is_late else books.captured(move.amount_minor)
    await post_journal(tx, booking.organization_id, journal, f"{payment.id}/{payment.captured_minor}")
    steps.tell("payment.late" if payment.is_late else "payment.succeeded", payment)


def _is_wanted(booking: Booking, payments: Sequence[Payment], payment: Payment) -> bool:
    """Does the booking still need this money?"""
    if payment.kind != "booking":
        return True
    if BookingStatus(booking.status) in HELD:
        return True
    others = any(
        one.captured_minor and not one.is_late and one.kind == "booking" for one in payments if one is not payment
    )
    return BookingStatus(booking.status) not in FREE and not others


def _own_shares(booking: Booking, payments: Sequence[Payment], payment: Payment, amount_minor: int) -> Shares:
    """A part of what of the price's shares no other payment has. What is beyond the price is the organization's."""
    others = total_shares(
        shares_from_json(one.shares)
        for one in payments
        if one.shares is not None and not (one.is_late and one is not payment)
    )
    try:
        return (shares_of_booking(booking) - others).take(amount_minor)
    except ValueError:
        return shares_of(0, 0, {None: amount_minor})


async def _settle_late(tx: Tx, steps: BookingSteps, payment: Payment, now: datetime) -> None:
    """Into the same slot if it is still free, otherwise all back at once."""
    booking = steps.booking
    if await _is_rebooked(tx, booking, now):
        payment.is_late = False
        journal = BookingBooks(booking.id, booking.currency).late_payment_rebooked(payment.captured_minor)
        await post_journal(tx, booking.organization_id, journal, f"{payment.id}/{payment.captured_minor}")
        steps.go(BookingStatus.CONFIRMED, "The payment landed late, and the time was still free.")
        return
    assert payment.shares is not None
    shares = shares_from_json(payment.shares)
    reason = "The payment landed when the booking was over."
    await put_refund(tx, booking, payment, shares, cause="late_payment", reason=reason, actor=steps.actor)
    steps.tell("payment.returned", payment)


async def _is_rebooked(tx: Tx, booking: Booking, now: datetime) -> bool:
    if booking.status != BookingStatus.EXPIRED or booking.starts_at <= now or booking.requires_approval:
        return False
    try:
        async with tx.begin_nested():
            await take_time_again(tx, booking)
    except SlotUnavailable:
        return False
    return True
