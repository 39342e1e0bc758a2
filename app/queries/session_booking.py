"""Bookings of sessions."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import or_, select

from app.core.database import Tx
from app.domain.booking import HELD, OCCUPYING, BookingStatus, PaymentMethod
from app.domain.errors import NotFound
from app.domain.instants import zone
from app.domain.policy import BookingFacts
from app.models import Activity, ActivitySession, Booking, Customer, Venue
from app.queries.rows import one_of

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


class BookingOfSession(NamedTuple):
    id: UUID
    facts: BookingFacts


async def lock_bookings_of_session(tx: Tx, session_id: UUID, *, only_free: bool = False) -> list[BookingOfSession]:
    """Those that have places, by id, locked until the transaction ends. One statement.

    Thousands, so no more is read of them than what the rules ask. `only_free`: without those that somebody else has.
    """
    query = (
        select(
            Booking.id,
            Booking.status,
            Booking.starts_at,
            Booking.ends_at,
            Booking.time_zone,
            Booking.cancellable_until,
            Booking.requires_approval,
        )
        .where(Booking.session_id == session_id, Booking.status.in_(_LIVE))
        .order_by(Booking.id)
        .with_for_update(key_share=True, skip_locked=only_free)
    )
    return [
        BookingOfSession(booking_id, BookingFacts(BookingStatus(status), start, end, zone(name), until, approval))
        for booking_id, status, start, end, name, until, approval in await tx.execute(query)
    ]


async def list_live_booking_ids(tx: Tx, session_id: UUID) -> set[UUID]:
    """Of those that have places. One statement."""
    query = select(Booking.id).where(Booking.session_id == session_id, Booking.status.in_(_LIVE))
    return set((await tx.execute(query)).scalars())


async def list_with_money(tx: Tx, booking_ids: Collection[UUID]) -> list[Booking]:
    """Those of these, by id, for which something was paid or may still be. One statement."""
    query = (
        select(Booking)
        .where(
            one_of(Booking.id, list(booking_ids)),
            or_(
                Booking.paid_minor > 0,
                Booking.has_saved_method,
                Booking.payment_method == PaymentMethod.PAY_NOW,
                Booking.status.in_(HELD),
            ),
        )
        .order_by(Booking.id)
        .execution_options(populate_existing=True)
    )
    return list((await tx.execute(query)).scalars())
