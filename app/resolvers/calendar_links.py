"""Links with which a customer puts a booking into a calendar."""

from __future__ import annotations

from app.domain.booking import BookingStatus, occupies
from app.domain.calendar_links import CalendarFacts, CalendarLinks, calendar_links
from app.models import Booking, Venue
from app.resolvers.context import RequestContext


async def links_of(context: RequestContext, booking: Booking) -> CalendarLinks | None:
    """None for a booking that does not take place."""
    if not occupies(BookingStatus(booking.status)):
        return None
    title, venue = await _what_and_where(context, booking)
    # Where the service comes to the customer, they know the place, and nobody else need be told.
    parts = () if booking.address is not None else (venue.name, venue.address)
    facts = CalendarFacts(
        title=title,
        starts_at=booking.starts_at,
        ends_at=booking.ends_at,
        description=booking.number,
        location=", ".join(part for part in parts if part) or None,
    )
    return calendar_links(facts)


async def _what_and_where(context: RequestContext, booking: Booking) -> tuple[str, Venue]:
    loaders, organization_id = context.loaders, booking.organization_id
    if booking.session_id is not None:
        seen = await loaders.session_by_id.load((organization_id, booking.session_id))
        activity = await loaders.activity_by_id.load((organization_id, seen.session.activity_id))
        return activity.name, await loaders.venue_by_id.load((organization_id, activity.venue_id))
    assert booking.service_id is not None
    assert booking.provider_id is not None
    service = await loaders.service_by_id.load((organization_id, booking.service_id))
    provider = await loaders.provider_by_id.load((organization_id, booking.provider_id))
    venue = await loaders.venue_by_id.load((organization_id, provider.venue_id))
    return f"{service.name} · {provider.name}", venue
