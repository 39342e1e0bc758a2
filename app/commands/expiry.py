"""Ending what ran out: holds, and bookings that were not paid in time.

Nothing waits for this. A claim frees what has lapsed by itself (SQL functions `release_lapsed`,
`release_lapsed_places`); the sweep tells those who look on, and tidies up where nobody claims. Locks are taken in the
order booking, allocation or session, and never waited for where somebody else may hold them while waiting for ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Uuid, bindparam, exists, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from app.commands.actor import SYSTEM
from app.commands.booking_payment import CLAIM_GRACE, end_live_payments
from app.commands.journal import Audit, Event, Transition, write_journal
from app.core.database import Tx
from app.domain.booking import FREE, HELD, BookingStatus
from app.models import Booking, Payment
from app.queries.payment import LIVE

# Time and places. A hold that somebody is at this very moment, confirming or extending it, is left alone.
_EXPIRE_HOLDS = text("SELECT expire_held_time(:limit) + expire_held_places(:limit)")

# In the order of their sessions, as whoever locks several of them does.
_RELEASE_TIME = text(
    """
    SELECT release_booking_time(b.id, 'RELEASED')
    FROM (SELECT id FROM booking WHERE id = ANY (:ids) ORDER BY session_id NULLS FIRST, id OFFSET 0) AS b
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


@dataclass(frozen=True, slots=True)
class _Unpaid:
    """A locked booking."""

    booking_id: UUID
    organization_id: UUID
    status: BookingStatus


async def expire_holds(tx: Tx, limit: int) -> int:
    """Free the time and the places of about `limit` holds that ran out; how many claims it were. One statement."""
    count: int = (await tx.execute(_EXPIRE_HOLDS, {"limit": limit})).scalar_one()
    return count


async def expire_unpaid_bookings(tx: Tx, limit: int) -> int:
    """End at most `limit` bookings whose payment is overdue; how many it were. Those in use wait for the next sweep.

    One that somebody may still be paying waits for the job that ends the payment first; but not for good.
    """
    now = select(text("turnero_now()")).scalar_subquery()
    is_live = exists().where(Payment.booking_id == Booking.id, Payment.status.in_(LIVE))
    query = (
        select(Booking.id, Booking.organization_id, Booking.status)
        .where(Booking.status.in_(HELD), Booking.expires_at <= now)
        .where(or_(~is_live, Booking.expires_at + CLAIM_GRACE <= now))
        .order_by(Booking.expires_at)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
    )
    found = [_Unpaid(row.id, row.organization_id, BookingStatus(row.status)) for row in await tx.execute(query)]
    await _expire(tx, found)
    return len(found)


async def expire_bookings(tx: Tx, booking_ids: Collection[UUID]) -> list[UUID]:
    """End unpaid bookings that just lost their time to another claim of this transaction.

    Returns those that could not be ended, because somebody is changing them this very moment or their payment came
    through: the caller must give up its claim. Waits for nobody, since it holds the allocation's lock already.
    """
    query = (
        select(Booking.id, Booking.organization_id, Booking.status)
        .where(Booking.id.in_(booking_ids))
        .order_by(Booking.id)
        .with_for_update(key_share=True, skip_locked=True)
    )
    locked = [_Unpaid(row.id, row.organization_id, BookingStatus(row.status)) for row in await tx.execute(query)]
    gone = {one.booking_id for one in locked if one.status in HELD or one.status in FREE}
    await _expire(tx, [one for one in locked if one.status in HELD])
    return [booking_id for booking_id in booking_ids if booking_id not in gone]


async def expire_booking(tx: Tx, booking: Booking) -> None:
    """One that is locked and unpaid. `booking` is not brought up to date."""
    await _expire(tx, [_Unpaid(booking.id, booking.organization_id, BookingStatus(booking.status))])


async def _expire(tx: Tx, found: Sequence[_Unpaid]) -> None:
    if not found:
        return
    ids = [one.booking_id for one in found]
    rows = await tx.execute(
        update(Booking)
        .where(Booking.id.in_(ids))
        .values(status=BookingStatus.EXPIRED.value)
        .returning(Booking.id, Booking.version)
        .execution_options(synchronize_session=False)
    )
    versions = {row.id: row.version for row in rows}
    await tx.execute(_RELEASE_TIME, {"ids": sorted(ids)})
    await end_live_payments(tx, ids)
    by_organization: dict[UUID, list[_Unpaid]] = defaultdict(list)
    for one in found:
        by_organization[one.organization_id].append(one)
    for organization_id, bookings in by_organization.items():
        await _tell(tx, organization_id, bookings, versions)


async def _tell(tx: Tx, organization_id: UUID, bookings: Sequence[_Unpaid], versions: dict[UUID, int]) -> None:
    status = BookingStatus.EXPIRED.value
    action = f"booking.{status}"
    await write_journal(
        tx,
        organization_id,
        SYSTEM,
        transitions=[Transition(one.booking_id, one.status.value, status) for one in bookings],
        audit=[
            Audit(
                action,
                one.booking_id,
                {"status": one.status.value, "version": versions[one.booking_id] - 1},
                {"status": status, "version": versions[one.booking_id]},
            )
            for one in bookings
        ],
        events=[
            Event(action, one.booking_id, {"version": versions[one.booking_id], "status": status}) for one in bookings
        ],
    )
