"""How a refund ended that was asked for here."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import update

from app.commands.actor import Actor
from app.commands.journal import Event
from app.commands.ledger import post_journal
from app.commands.payment_booking import BookingSteps, write_steps
from app.commands.refund import fail_refund
from app.core.database import Tx
from app.domain.ledger_journals import BookingBooks
from app.domain.shares import shares_from_json
from app.models import Refund
from app.queries.booking import lock_booking
from app.queries.payment import get_refund, lock_payments


async def note_refund(tx: Tx, refund_id: UUID, processor_id: str) -> None:
    """The processor has it, under this id. How it ends is told by the payment. One statement."""
    await tx.execute(
        update(Refund)
        .where(Refund.id == refund_id, Refund.status == "created")
        .values(processor_id=processor_id, status="pending")
        .execution_options(synchronize_session=False)
    )


async def refuse_refund(tx: Tx, refund_id: UUID, why: str, *, actor: Actor, now: datetime) -> None:
    """The processor will never make it: the money is where it was, and somebody has to look."""
    refund, payment = await get_refund(tx, refund_id)
    booking, _ = await lock_booking(tx, refund.booking_id)
    tx.expunge(booking)
    await lock_payments(tx, booking.id)
    await tx.refresh(refund)
    if refund.status != "created":
        return
    steps = BookingSteps(booking, actor)
    fail_refund(booking, payment, refund, why, now)
    if not payment.is_late:
        books = BookingBooks(booking.id, booking.currency)
        shares = shares_from_json(refund.shares)
        journal = books.refund_failed(shares, is_released=payment.is_released)
        await post_journal(tx, booking.organization_id, journal, str(refund.id))
    facts = {"refundId": str(refund.id), "amountMinor": refund.amount_minor, "currency": refund.currency}
    steps.events.append(Event("refund.failed", booking.id, facts))
    await write_steps(tx, steps)
