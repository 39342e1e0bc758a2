"""Bookings of sessions."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.domain.booking import OCCUPYING
from app.domain.errors import NotFound
from app.models import Activity, ActivitySession, Booking, Customer, Venue

_LIVE = sorted(status.value for status in OCCUPYING)


async def get_session_booked(tx: Tx, booking_id: UUID) -> tuple[Booking, Customer, ActivitySession, Activity, Venue]:
    """A booking of a session with all that its answer shows. One statement. Raises NotFound, for another one too."""
    row = (
        await tx.execute(
            select(Booking, Customer, ActivitySession, Activity, Venue)
            .join(Customer, Customer.id == Booking.customer_id)
            .join(ActivitySession, ActivitySession.id == Booking.session_id)
            .join(Activity, Activity.id == ActivitySession.activity_id)
            .join(Venue, Venue.id == Activity.venue_id)
            .where(Booking.id == booking_id)
        )
    ).first()
    if row is None:
        raise NotFound
    return row[0], row[1], row[2], row[3], row[4]


async def lock_bookings_of_session(tx: Tx, session_id: UUID) -> list[Booking]:
    """Those that have places, by id, locked until the transaction ends. One statement."""
    query = (
        select(Booking)
        .where(Booking.session_id == session_id, Booking.status.in_(_LIVE))
        .order_by(Booking.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list((await tx.execute(query)).scalars())


async def list_live_booking_ids(tx: Tx, session_id: UUID) -> set[UUID]:
    """Of those that have places. One statement."""
    query = select(Booking.id).where(Booking.session_id == session_id, Booking.status.in_(_LIVE))
    return set((await tx.execute(query)).scalars())
