"""The bookings of a provider's days: those that are theirs, and those of others in which they have a part.

A part is a later service of a visit, or a session that they lead: as long as it takes their time (docs/adr/0009 shows
the same in calendars). Of their own bookings all, however they ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, bindparam, or_, select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.instants import day_bounds, zone
from app.domain.slots import Window
from app.models import Allocation, Booking, Provider, Venue
from app.queries.rows import one_of

BOOKINGS_AT_ONCE = 2_000
"""Most in one calendar."""
_LIVE = ("held", "booked")


@dataclass(frozen=True, slots=True)
class CalendarDays:
    """A provider's days, in the zone of their venue. `to_date` is included."""

    provider_id: UUID
    from_date: date
    to_date: date
    time_zone: ZoneInfo

    def window(self) -> Window:
        return Window(day_bounds(self.from_date, self.time_zone)[0], day_bounds(self.to_date, self.time_zone)[1])


async def get_venue_zone(tx: Tx, provider_id: UUID) -> ZoneInfo:
    """Of where the provider works. One statement. Raises NotFound."""
    query = select(Venue.time_zone).join(Provider, Provider.venue_id == Venue.id).where(Provider.id == provider_id)
    name = (await tx.execute(query)).scalar_one_or_none()
    if name is None:
        raise NotFound
    return zone(name)


async def list_bookings_of_days(tx: Tx, days: CalendarDays) -> list[Booking]:
    """By their start, one more than BOOKINGS_AT_ONCE at most. One statement."""
    window = days.window()
    own = select(Booking.id).where(
        Booking.provider_id == days.provider_id,
        Booking.starts_at >= window.from_utc,
        Booking.starts_at < window.to_utc,
    )
    taken = _taken(days)
    visits = select(Allocation.booking_id).where(*taken, Allocation.booking_id.is_not(None))
    led = select(Booking.id).join(Allocation, Allocation.session_id == Booking.session_id).where(*taken)
    ids = own.union(visits, led).subquery()
    query = (
        select(Booking)
        .where(Booking.id.in_(select(ids.c.id)))
        .order_by(Booking.starts_at, Booking.id)
        .limit(BOOKINGS_AT_ONCE + 1)
    )
    return list((await tx.execute(query)).scalars())


async def list_those_in_days(tx: Tx, days: CalendarDays, booking_ids: Sequence[UUID]) -> dict[UUID, Booking]:
    """Those among them that belong to the days. One statement."""
    window = days.window()
    in_days = and_(Booking.starts_at >= window.from_utc, Booking.starts_at < window.to_utc)
    own = and_(Booking.provider_id == days.provider_id, in_days)
    query = select(Booking).where(one_of(Booking.id, booking_ids), or_(own, _has_part(*_taken(days))))
    return {booking.id: booking for booking in (await tx.execute(query)).scalars()}


async def list_those_with_part(tx: Tx, provider_id: UUID, booking_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those among them in which this provider has a part. One statement."""
    part = _has_part(Allocation.subject_id == provider_id, _is_live())
    query = select(Booking.id).where(one_of(Booking.id, booking_ids), part)
    return frozenset((await tx.execute(query)).scalars())


def _is_live() -> ColumnElement[bool]:
    """In the words of the index, which no plan could use for parameters."""
    return Allocation.status.in_(bindparam("live", _LIVE, expanding=True, literal_execute=True, unique=True))


def _taken(days: CalendarDays) -> tuple[ColumnElement[bool], ...]:
    window = days.window()
    return (
        Allocation.subject_id == days.provider_id,
        _is_live(),
        Allocation.starts_at >= window.from_utc,
        Allocation.starts_at < window.to_utc,
    )


def _has_part(*taken: ColumnElement[bool]) -> ColumnElement[bool]:
    visit = select(Allocation.id).where(Allocation.booking_id == Booking.id, *taken)
    led = select(Allocation.id).where(Allocation.session_id == Booking.session_id, *taken)
    return or_(visit.exists(), led.exists())
