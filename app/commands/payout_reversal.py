"""Taking back what was paid out for a booking that its provider owes money for since: a refund, or a dispute."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Interval, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.commands.booking_payment import JOB_ATTEMPTS
from app.commands.job import enqueue
from app.commands.ledger import post_journal
from app.commands.payout_send import settle_payout
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.ledger_journals import PayoutBooks, PayoutPart
from app.domain.payout import PayoutStatus, taken_back
from app.gateway import ReversalSnapshot, TransferSnapshot
from app.models import Payout, PayoutItem, PayoutReversal
from app.queries.payee import lock_account
from app.queries.payout import frozen_among, get_payout, get_reversal, items_of, lock_owed, reversals_of

EXECUTE_REVERSAL = "execute_payout_reversal"

MOST_DEBTS = 500
AGAIN_AFTER = timedelta(days=1)
"""When the processor could not take it back: the next payout may have settled it by then."""

_PAID_OUT = text(
    """
    SELECT i.payout_id, i.booking_id FROM payout_item i JOIN payout o ON o.id = i.payout_id
    WHERE i.booking_id = ANY (:bookings) AND o.provider_id = :provider AND o.status = 'sent'
      AND i.amount_minor > i.reversed_minor
      AND NOT EXISTS (SELECT 1 FROM payout_reversal r WHERE r.payout_id = i.payout_id AND r.booking_id = i.booking_id
                      AND (r.status = 'created' OR r.status = 'failed' AND r.created_at > turnero_now() - :again))
    ORDER BY i.payout_id, i.booking_id
    """
).bindparams(
    bindparam("bookings", type_=ARRAY(Uuid)), bindparam("provider", type_=Uuid), bindparam("again", type_=Interval)
)


async def plan_reversals(tx: Tx, provider_id: UUID, currency: str, now: datetime) -> list[UUID]:
    """For each booking that was paid out and is owed back: ask for so much of its transfer. Their ids.

    Not while a dispute is open: it may be won. Raises NotFound.
    """
    await lock_account(tx, provider_id)
    debts = {one.booking_id: -one.owed_minor for one in await lock_owed(tx, provider_id, currency, MOST_DEBTS)}
    debts = {booking: debt for booking, debt in debts.items() if debt > 0}
    frozen = await frozen_among(tx, provider_id, list(debts))
    wanted = [booking for booking in debts if booking not in frozen.disputed | frozen.reversing]
    values = {"bookings": wanted, "provider": provider_id, "again": AGAIN_AFTER}
    asked = []
    for payout_id, booking_id in (await tx.execute(_PAID_OUT, values)).all():
        item = await tx.get_one(PayoutItem, (payout_id, booking_id), populate_existing=True)
        amount = min(debts[booking_id], item.amount_minor - item.reversed_minor)
        if amount > 0:
            debts[booking_id] -= amount
            item.reversed_minor += amount
            reversal = _reversal(item, amount, currency, "debt", now)
            tx.add(reversal)
            await ask_to_reverse(tx, reversal, None)
            asked.append(reversal.id)
    return asked


def _reversal(item: PayoutItem, amount_minor: int, currency: str, cause: str, now: datetime) -> PayoutReversal:
    reversal_id = new_id()
    return PayoutReversal(
        id=reversal_id,
        organization_id=item.organization_id,
        payout_id=item.payout_id,
        booking_id=item.booking_id,
        amount_minor=amount_minor,
        currency=currency,
        cause=cause,
        status="created",
        idempotency_key=f"turnero-{reversal_id}",
        next_attempt_at=now,
    )


async def ask_to_reverse(tx: Tx, reversal: PayoutReversal, run_after: datetime | None) -> None:
    """One statement."""
    await enqueue(
        tx,
        EXECUTE_REVERSAL,
        {"reversalId": str(reversal.id)},
        organization_id=reversal.organization_id,
        run_after=run_after,
        max_attempts=JOB_ATTEMPTS,
    )


async def begin_reversal(tx: Tx, reversal_id: UUID, now: datetime) -> tuple[PayoutReversal, Payout] | None:
    """Before the call, and committed before it. None: it is over."""
    reversal, payout = await get_reversal(tx, reversal_id)
    await lock_account(tx, payout.provider_id)
    await tx.refresh(reversal)
    if reversal.status != "created":
        return None
    reversal.attempts += 1
    reversal.next_attempt_at = now
    return reversal, payout


async def settle_reversal(tx: Tx, reversal_id: UUID, processor_id: str, now: datetime) -> None:
    """The money is back: it pays what is owed for its booking."""
    reversal, payout = await get_reversal(tx, reversal_id)
    await lock_account(tx, payout.provider_id)
    await tx.refresh(reversal)
    if reversal.status == "created":
        await _settle(tx, payout, reversal, processor_id, now)


async def _settle(tx: Tx, payout: Payout, reversal: PayoutReversal, processor_id: str, now: datetime) -> None:
    reversal.status, reversal.processor_id, reversal.settled_at = "succeeded", processor_id, now
    reversal.next_attempt_at = None
    parts = (PayoutPart(reversal.booking_id, reversal.amount_minor),)
    books = PayoutBooks(payout.provider_id, payout.currency, parts)
    await post_journal(tx, payout.organization_id, books.transfer_reversed(parts), str(reversal.id))


async def fail_reversal(tx: Tx, reversal_id: UUID, why: str, now: datetime) -> None:
    """It cannot be taken back: the provider owes it, and the next payout settles it."""
    reversal, payout = await get_reversal(tx, reversal_id)
    await lock_account(tx, payout.provider_id)
    await tx.refresh(reversal)
    if reversal.status != "created":
        return
    reversal.status, reversal.failure, reversal.settled_at, reversal.next_attempt_at = "failed", why, now, None
    item = await tx.get_one(PayoutItem, (payout.id, reversal.booking_id), populate_existing=True)
    item.reversed_minor -= reversal.amount_minor


# ── what a processor shows of a transfer ──────────────────────────────────────────────────────────────


class OtherTransfer(Exception):
    """The processor has a transfer under one of our payouts that is not what was asked for; a person has to look."""


def check_transfer(payout: Payout, transfer: TransferSnapshot) -> None:
    """Raises OtherTransfer."""
    ours = (payout.amount_minor, payout.currency, payout.account_id)
    theirs = (transfer.amount_minor, transfer.currency, transfer.account_id)
    is_other = payout.processor_id is not None and payout.processor_id != transfer.processor_id
    if ours != theirs or is_other or payout.status == PayoutStatus.CANCELLED:
        known = f"payout {payout.id} ({payout.status}) is {ours} of {payout.processor_id}"
        raise OtherTransfer(f"{known}; {transfer.processor_id} is {theirs}")


async def apply_transfer(tx: Tx, transfer: TransferSnapshot, now: datetime) -> None:
    """The transfer, and what was taken back of it, becomes ours, whoever did it. Raises NotFound, OtherTransfer."""
    assert transfer.transfer_id is not None
    payout = await get_payout(tx, transfer.transfer_id)
    await lock_account(tx, payout.provider_id)
    payout = await get_payout(tx, payout.id, lock=True)
    check_transfer(payout, transfer)
    await settle_payout(tx, payout.id, transfer.processor_id, now)
    known = {one.id: one for one in await reversals_of(tx, payout.id)}
    seen = {one.processor_id for one in known.values()}
    for shown in transfer.reversals:
        ours = known.get(shown.reversal_id) if shown.reversal_id else None
        if ours is not None and ours.status == "created":
            await _settle(tx, payout, ours, shown.processor_id, now)
        elif (ours is None or ours.status == "failed") and shown.processor_id not in seen:
            await _made_outside(tx, payout, shown, now)


async def _made_outside(tx: Tx, payout: Payout, shown: ReversalSnapshot, now: datetime) -> None:
    """By hand, at the processor: it counts as money back for the first bookings that have any left."""
    items = await items_of(tx, payout.id)
    left = [(item.booking_id, item.amount_minor - item.reversed_minor) for item in items if item.amount_minor > 0]
    by_booking = {item.booking_id: item for item in items}
    for part in taken_back(left, shown.amount_minor):
        item = by_booking[part.booking_id]
        item.reversed_minor += part.amount_minor
        reversal = _reversal(item, part.amount_minor, payout.currency, "outside", now)
        tx.add(reversal)
        await _settle(tx, payout, reversal, shown.processor_id, now)
