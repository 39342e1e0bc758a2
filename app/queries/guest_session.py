"""What a guest session holds and has booked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select

from app.core.database import Tx
from app.domain.booking import HoldStatus
from app.models import Booking, BookingSeries, Customer, GuestHold, Hold

SHOWN_MOST = 50


async def live_holds(tx: Tx, session_id: UUID, now: datetime) -> Sequence[Hold]:
    """By start, at most 50. One statement."""
    query = (
        select(Hold)
        .join(GuestHold, GuestHold.hold_id == Hold.id)
        .where(GuestHold.guest_session_id == session_id)
        .where(Hold.status == HoldStatus.ACTIVE, Hold.expires_at > now)
        .order_by(Hold.starts_at, Hold.id)
        .limit(SHOWN_MOST)
    )
    return (await tx.execute(query)).scalars().all()


async def bookings_made(tx: Tx, session_id: UUID, user_id: UUID | None) -> Sequence[Booking]:
    """Newest first, at most 50: those that still have the secret link which the session was given, and are no other
    account's. One statement.
    """
    of_holds = select(GuestHold.hold_id).where(GuestHold.guest_session_id == session_id)
    of_series = select(BookingSeries.id).where(BookingSeries.guest_session_id == session_id)
    query = (
        select(Booking)
        .join(Customer, Customer.id == Booking.customer_id)
        .where(or_(Booking.hold_id.in_(of_holds), Booking.series_id.in_(of_series)), Booking.access_version == 1)
        .where(or_(Customer.user_id.is_(None), Customer.user_id == user_id))
        .order_by(Booking.id.desc())
        .limit(SHOWN_MOST)
    )
    return (await tx.execute(query)).scalars().all()
