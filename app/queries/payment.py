"""Reading and locking payments and refunds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from app.core.database import Tx
from app.domain.booking import PaymentStatus
from app.domain.errors import NotFound
from app.domain.shares import shares_from_json
from app.models import Booking, Payment, Refund
from app.queries.rows import one_of

LIVE = ("created", "open", "failed", "authorized", "processing")
"""States of a payment that may still be paid; the index `payment_live_idx` names the same."""
AWAITED = ("booking", "setup")
"""Kinds of payment that a booking waits for before it is confirmed."""
OF_THE_CUSTOMER = (*AWAITED, "balance")
"""Kinds of payment that its customer makes online."""


async def get_payment(tx: Tx, payment_id: UUID) -> tuple[Payment, Booking]:
    """With its booking. One statement. Raises NotFound."""
    query = select(Payment, Booking).join(Booking, Booking.id == Payment.booking_id).where(Payment.id == payment_id)
    row = (await tx.execute(query)).first()
    if row is None:
        raise NotFound
    return row[0], row[1]


async def find_by_processor_id(tx: Tx, processor: str, processor_id: str) -> Payment | None:
    """One statement."""
    query = select(Payment).where(Payment.processor == processor, Payment.processor_id == processor_id)
    return (await tx.execute(query)).scalar_one_or_none()


async def lock_payments(tx: Tx, booking_id: UUID) -> list[Payment]:
    """All of a booking, oldest first. The caller has the booking's row. One statement."""
    query = (
        select(Payment)
        .where(Payment.booking_id == booking_id)
        .order_by(Payment.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list((await tx.execute(query)).scalars())


async def latest_payments(tx: Tx, booking_ids: Sequence[UUID]) -> dict[UUID, Payment]:
    """What its customer is paying each booking with, or paid with last. One statement."""
    query = (
        select(Payment)
        .where(Payment.booking_id.in_(booking_ids), Payment.kind.in_(OF_THE_CUSTOMER))
        .ext(distinct_on(Payment.booking_id))
        .order_by(Payment.booking_id, Payment.id.desc())
    )
    return {payment.booking_id: payment for payment in (await tx.execute(query)).scalars()}


async def list_refunds(tx: Tx, booking_id: UUID) -> list[Refund]:
    """Of all payments of a booking, oldest first. One statement."""
    query = (
        select(Refund)
        .where(Refund.booking_id == booking_id)
        .order_by(Refund.id)
        .execution_options(populate_existing=True)
    )
    return list((await tx.execute(query)).scalars())


async def list_refunds_below(tx: Tx, booking_ids: Sequence[UUID]) -> dict[UUID, list[Refund]]:
    """By booking, oldest first. One statement."""
    found: dict[UUID, list[Refund]] = {}
    query = select(Refund).where(Refund.booking_id.in_(booking_ids)).order_by(Refund.booking_id, Refund.id)
    for refund in (await tx.execute(query)).scalars():
        found.setdefault(refund.booking_id, []).append(refund)
    return found


MAY_BE_DISPUTED = frozenset({PaymentStatus.DISPUTED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED})
"""A lost dispute counts as money returned."""


class Disputed(NamedTuple):
    """Minor units of a booking: in disputes that are not decided, and in lost ones."""

    open_minor: int = 0
    lost_minor: int = 0


async def disputed_below(tx: Tx, booking_ids: Sequence[UUID]) -> dict[UUID, Disputed]:
    """By booking; nothing where nothing was ever disputed. One statement."""
    found: dict[UUID, Disputed] = {}
    query = select(Payment.booking_id, Payment.disputes).where(
        one_of(Payment.booking_id, booking_ids), Payment.disputes != {}, ~Payment.is_late
    )
    for booking_id, disputes in await tx.execute(query):
        amounts = {"open": 0, "lost": 0, "won": 0}
        for one in disputes.values():
            amounts[one["phase"]] += shares_from_json(one["shares"]).total_minor
        before = found.get(booking_id, Disputed())
        found[booking_id] = Disputed(before.open_minor + amounts["open"], before.lost_minor + amounts["lost"])
    return found


async def get_refund(tx: Tx, refund_id: UUID) -> tuple[Refund, Payment]:
    """With its payment. One statement. Raises NotFound."""
    query = select(Refund, Payment).join(Payment, Payment.id == Refund.payment_id).where(Refund.id == refund_id)
    row = (await tx.execute(query)).first()
    if row is None:
        raise NotFound
    return row[0], row[1]
