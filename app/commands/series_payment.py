"""Money of a series that is paid at once: the first date by its customer, the others by what that was paid with.

Each date has its own payment, planned under its booking's lock when it is its turn: of a series that nobody pays, the
processor is asked for the first alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from app.commands.actor import Actor
from app.commands.booking_payment import JOB_ATTEMPTS, FrozenTerms, Planned, plan_payment
from app.commands.payment_booking import BookingSteps, write_steps
from app.core.database import Tx
from app.domain.booking import HELD, BookingStatus
from app.domain.instants import format_instant
from app.domain.price_quote_codec import quote_from_json
from app.gateway import Capture
from app.models import Booking, Payment
from app.queries.booking import lock_booking
from app.queries.payment import AWAITED, LIVE, get_payment, lock_payments

CHARGE_DATE = "charge_series_date"
LATER_GRACE = timedelta(minutes=10)
"""So much longer the other dates wait than the first, which may be paid at the last moment."""


# ── making it ─────────────────────────────────────────────────────────────────────────────────────────


def first_to_pay(bookings: Sequence[Booking], frozen: Mapping[UUID, FrozenTerms]) -> Booking | None:
    """The first date that costs anything now; what costs nothing is confirmed at once."""
    return next((one for one in bookings if frozen[one.id].is_awaited), None)


def wait_for_first(bookings: Sequence[Booking], frozen: Mapping[UUID, FrozenTerms], first: Booking) -> int:
    """The other dates wait for the first one's payment, none past its start. How many wait."""
    assert first.expires_at is not None
    others = [one for one in bookings if frozen[one.id].is_awaited and one is not first]
    for booking in others:
        booking.expires_at = min(first.expires_at + LATER_GRACE, booking.starts_at)
    return len(others)


async def plan_first(
    tx: Tx,
    first: Booking,
    frozen: FrozenTerms,
    processor: str,
    *,
    agreed: dict[str, Any] | None,
    now: datetime,
) -> Payment:
    """What its customer pays. `agreed`: to the other dates' charges, else nothing is kept. One statement."""
    assert first.expires_at is not None
    planned = Planned(frozen.due_minor, processor, first.expires_at, capture=frozen.capture, consent=agreed)
    return await plan_payment(tx, first, planned, now)


def consent_to_charges(
    series_id: UUID, bookings: Sequence[Booking], frozen: Mapping[UUID, FrozenTerms], actor: Actor, now: datetime
) -> dict[str, Any]:
    """Who agreed when, from where, to being charged what. A fee is not agreed to by this."""
    waiting = [one for one in bookings if frozen[one.id].is_awaited]
    return {
        "at": format_instant(now),
        "by": actor.as_dict(),
        "seriesId": str(series_id),
        "bookingIds": [str(one.id) for one in waiting],
        "totalMinor": sum(frozen[one.id].due_minor for one in waiting),
        "currency": waiting[0].currency,
    }


# ── when the first is paid ────────────────────────────────────────────────────────────────────────────

_CHARGE_OTHERS = text(
    """
    INSERT INTO job (id, organization_id, kind, args, max_attempts)
    SELECT uuidv7(), b.organization_id, :kind, jsonb_build_object('bookingId', b.id, 'sourceId', CAST(:source AS uuid)),
           :attempts
    FROM booking b
    WHERE b.series_id = :series AND b.id <> :own AND b.status = ANY (:held)
    ORDER BY b.series_index
    """
).bindparams(bindparam("held", type_=ARRAY(TEXT)))

_TAKEN = frozenset({BookingStatus.CONFIRMED, BookingStatus.AWAITING_PROVIDER})


async def charge_others(tx: Tx, booking: Booking, payment: Payment) -> None:
    """A worker charges each of the dates that still wait. The caller has this booking, whose payment kept its method.

    Not where the payment was not wanted any more. At most one statement.
    """
    is_agreed = payment.consent is not None and "seriesId" in payment.consent
    if not is_agreed or booking.series_id is None or BookingStatus(booking.status) not in _TAKEN:
        return
    values = {
        "kind": CHARGE_DATE,
        "attempts": JOB_ATTEMPTS,
        "series": booking.series_id,
        "own": booking.id,
        "source": payment.id,
        "held": sorted(HELD),
    }
    await tx.execute(_CHARGE_OTHERS, values)


async def plan_charge(tx: Tx, booking_id: UUID, source_id: UUID, now: datetime) -> tuple[Booking, Payment] | None:
    """The payment of one date by the method of another; the same one when asked again. None: it is not to be charged
    (any more), or its customer is paying it by hand.

    Raises NotFound.
    """
    booking, _ = await lock_booking(tx, booking_id)
    if BookingStatus(booking.status) not in HELD or booking.expires_at is None or booking.expires_at <= now:
        return None
    source, _ = await get_payment(tx, source_id)
    mine = [one for one in await lock_payments(tx, booking_id) if one.kind in AWAITED]
    if not mine:
        planned = replace(_planned(booking, source), customer_ref=source.customer_ref, method_ref=source.method_ref)
        return booking, await plan_payment(tx, booking, planned, now)
    live = next((one for one in mine if one.status in LIVE), None)
    if live is None or live.method_ref != source.method_ref:
        return None
    return booking, live


def _planned(booking: Booking, other: Payment) -> Planned:
    """What this date costs now, in the way of another one of its series."""
    due = booking.price_minor if booking.quote is None else quote_from_json(booking.quote).due_now_minor
    return Planned(due, other.processor, booking.expires_at or booking.starts_at, capture=Capture(other.capture))


async def plan_by_hand(tx: Tx, booking: Booking, now: datetime) -> Payment:
    """Its customer pays this date by itself. The caller has its row, and knows that it has no payment yet."""
    query = (
        select(Payment)
        .join(Booking, Booking.id == Payment.booking_id)
        .where(Booking.series_id == booking.series_id, Payment.kind == "booking")
        .order_by(Payment.id)
        .limit(1)
    )
    other = (await tx.execute(query)).scalar_one()
    return await plan_payment(tx, booking, _planned(booking, other), now)


async def note_not_charged(
    tx: Tx, booking_id: UUID, payment_id: UUID, code: str, message: str, *, actor: Actor
) -> None:
    """The processor will not take the saved method for it: its customer is told, and may pay by hand."""
    booking, _ = await lock_booking(tx, booking_id)
    tx.expunge(booking)
    payment = next(one for one in await lock_payments(tx, booking_id) if one.id == payment_id)
    if booking.status != BookingStatus.PENDING or payment.status not in LIVE:
        return
    payment.decline_code, payment.decline_message = code, message
    steps = BookingSteps(booking, actor)
    steps.go(BookingStatus.PAYMENT_FAILED, message)
    steps.tell("payment.failed", payment)
    await write_steps(tx, steps)
