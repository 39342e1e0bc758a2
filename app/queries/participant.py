"""Reading the people of bookings, and who may come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, select, text

from app.core.database import Tx
from app.domain.participant import PartyBounds
from app.models import BookingItem, BookingParticipant, PlaceClaim, Service
from app.queries.rows import one_of


async def list_participants(tx: Tx, booking_id: UUID) -> list[BookingParticipant]:
    """All who ever were named, in that order. The caller has the booking's row. One statement."""
    query = select(BookingParticipant).where(BookingParticipant.booking_id == booking_id)
    query = query.order_by(BookingParticipant.position).execution_options(populate_existing=True)
    return list((await tx.execute(query)).scalars())


async def list_participants_below(tx: Tx, booking_ids: Sequence[UUID]) -> Mapping[UUID, list[BookingParticipant]]:
    """By booking, in the order in which they were named. One statement."""
    query = select(BookingParticipant).where(one_of(BookingParticipant.booking_id, booking_ids))
    found: dict[UUID, list[BookingParticipant]] = {}
    for one in (await tx.execute(query.order_by(BookingParticipant.position))).scalars():
        found.setdefault(one.booking_id, []).append(one)
    return found


async def bounds_of_services(tx: Tx, booking_id: UUID) -> PartyBounds:
    """Of an appointment, or of a visit: what all of its services allow. One statement."""
    query = (
        select(func.max(Service.min_group_size), func.min(Service.max_group_size))
        .join(BookingItem, BookingItem.service_id == Service.id)
        .where(BookingItem.booking_id == booking_id)
    )
    least, most = (await tx.execute(query)).one()
    return PartyBounds(least, most)


async def list_private_sessions(tx: Tx, session_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
    """Those among them that a private group has to itself. One statement."""
    query = select(PlaceClaim.session_id).where(
        one_of(PlaceClaim.session_id, session_ids),
        PlaceClaim.is_private,
        (PlaceClaim.status == "booked") | ((PlaceClaim.status == "held") & (PlaceClaim.expires_at > _NOW)),
    )
    return dict.fromkeys((await tx.execute(query)).scalars(), True)


_NOW = select(text("turnero_now()")).scalar_subquery()
