"""What a booking's .ics file says."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app.core.database import Tx
from app.domain.booking import HELD, BookingStatus, occupies
from app.domain.errors import NotFound
from app.models import Booking, Organization, Venue
from app.queries.booking import get_booked
from app.queries.rows import get_row
from app.queries.session_booking import get_session_booked
from app.queries.tenancy import Door, enter
from app.resolvers.context import Services


@dataclass(frozen=True, slots=True)
class BookingForCalendar:
    """`provider_name` none: of a session, which has no one person who gives it."""

    booking: Booking
    service_name: str
    provider_name: str | None
    venue_name: str
    address: str | None
    shop_name: str

    @property
    def place(self) -> str:
        """The customer's own address where the service comes there, else the venue."""
        at = self.booking.address
        parts = (self.venue_name, self.address) if at is None else (at["street"], at["city"])
        return ", ".join(part for part in parts if part)

    @property
    def is_cancelled(self) -> bool:
        return not occupies(BookingStatus(self.booking.status))

    @property
    def is_tentative(self) -> bool:
        """Not agreed, or not paid yet: it may still come to nothing."""
        return self.booking.status in HELD or self.booking.status == BookingStatus.AWAITING_PROVIDER


async def find_for_calendar(services: Services, booking_id: UUID, token: str) -> BookingForCalendar | None:
    """None for a wrong token, byte for byte as for a booking that is none."""
    async with services.database.snapshot() as tx:
        try:
            await enter(tx, Door.BOOKING, booking_id, user_id=None, clock_offset=services.clock.offset)
            found = await _of_appointment(tx, booking_id) or await _of_session(tx, booking_id)
        except NotFound:
            return None
    return found if services.tokens.is_calendar_token(token, booking_id, found.booking.access_version) else None


async def _of_appointment(tx: Tx, booking_id: UUID) -> BookingForCalendar | None:
    """None for a booking of a session."""
    try:
        booking, _, _, provider, service = await get_booked(tx, booking_id)
    except NotFound:
        return None
    venue = await get_row(tx, Venue, provider.venue_id)
    shop = await get_row(tx, Organization, booking.organization_id)
    return BookingForCalendar(booking, service.name, provider.name, venue.name, venue.address, shop.name)


async def _of_session(tx: Tx, booking_id: UUID) -> BookingForCalendar:
    """Raises NotFound."""
    booking, _, _, activity, venue = await get_session_booked(tx, booking_id)
    shop = await get_row(tx, Organization, booking.organization_id)
    return BookingForCalendar(booking, activity.name, None, venue.name, venue.address, shop.name)
