"""What a processor shows of a payment becomes ours: under the booking's lock, forward only, in any order, any number
of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import Text, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.commands.actor import Actor
from app.commands.payment_approval import steps_of_approval
from app.commands.payment_booking import BookingSteps, end_of_money, steps_of_payment, write_steps
from app.commands.payment_landed import give_back_excess, settle_late, take_in, wanted_of
from app.commands.payment_moves import PaymentMoves
from app.commands.series_payment import charge_others
from app.core.database import Tx
from app.domain.payment import IntentPhase, MoveKind, SeenIntent, merge, moves
from app.domain.payment_codec import intent_from_json, intent_to_json
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


# Under the booking's lock, as every other step of a payment; what came in between leaves no row.
_OPENED = text(
    """
    WITH owner AS (SELECT id FROM booking WHERE id = :booking_id FOR NO KEY UPDATE)
    UPDATE payment p SET status = :status, processor_id = :processor_id, seen = CAST(:seen AS jsonb), updated_at = :now
    FROM owner WHERE p.id = :payment_id AND p.booking_id = owner.id AND p.status = 'created' AND p.processor_id IS NULL
    RETURNING p.id
    """
).bindparams(bindparam("now", type_=TIMESTAMP(timezone=True)), bindparam("seen", type_=Text))


async def note_opened(tx: Tx, payment: Payment, snapshot: PaymentSnapshot, now: datetime) -> bool:
    """The usual answer to an order: it is open, and nothing else happened. One statement, so that guests wait less.

    False: that is not all, and nothing was written; `apply_snapshot` is for it.
    """
    merged = merge(None, snapshot.intent)
    is_news = merged.captured_minor or merged.refunds or merged.disputes or merged.decline_code is not None
    if payment.status != "created" or merged.phase is not IntentPhase.CREATED or is_news:
        return False
    status, seen = _STATUS[merged.phase], intent_to_json(merged)
    values = {
        "booking_id": payment.booking_id,
        "payment_id": payment.id,
        "status": status,
        "processor_id": snapshot.processor_id,
        "seen": msgspec.json.encode(seen).decode(),
        "now": now,
    }
    if (await tx.execute(_OPENED, values)).first() is None:
        return False
    payment.status, payment.processor_id, payment.seen, payment.updated_at = status, snapshot.processor_id, seen, now
    return True


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
    has_landed_late, excess = False, 0
    write = PaymentMoves(tx, booking, payment, list(refunds), actor, now)
    for move in moves(known, merged):
        if move.kind is MoveKind.CAPTURED:
            wanted = wanted_of(payment, move.amount_minor)
            excess = move.amount_minor - wanted
            if wanted:
                await take_in(tx, steps, payment, wanted, beside=(payments, refunds), now=now)
                has_landed_late = payment.is_late
        else:
            await write.book(move)
    steps.events += write.events
    _bring_up(payment, merged, snapshot, now)
    if not has_open:  # a refund that is asked for again is asked of the charge that it was asked of before
        payment.charge_id = snapshot.charge_id or payment.charge_id
    is_kept = _keep_method(booking, payment, merged, snapshot)
    if has_landed_late:
        await settle_late(tx, steps, payment, now)
    if excess:
        await give_back_excess(tx, steps, payment, excess)
    await steps_of_payment(tx, steps, payment, merged)
    await steps_of_approval(tx, steps, payment, merged, capture_before=snapshot.capture_before, now=now)
    end_of_money(steps, payments, write.refunds)
    await write_steps(tx, steps)
    if is_kept:
        await charge_others(tx, booking, payment)
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
    payment.decline_code = merged.decline_code
    if merged.decline_code is None:
        payment.decline_message = None
    elif snapshot.decline is not None:
        payment.decline_message = snapshot.decline.message
    payment.updated_at = now


_SAVED = frozenset({IntentPhase.SUCCEEDED, IntentPhase.AUTHORIZED})


def _keep_method(booking: Booking, payment: Payment, merged: SeenIntent, snapshot: PaymentSnapshot) -> bool:
    """What was paid with, where its payer agreed to it. Was it kept just now?"""
    if payment.consent is None or payment.method_ref is not None or merged.phase not in _SAVED:
        return False
    if snapshot.customer_id is None or snapshot.method_id is None:
        return False
    payment.customer_ref, payment.method_ref = snapshot.customer_id, snapshot.method_id
    # Who agreed that other dates of a series are charged to it did not agree to fees.
    booking.has_saved_method = booking.has_saved_method or "policy" in payment.consent
    return True
