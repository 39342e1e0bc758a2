"""A payment that landed when its booking had expired gets the same time or places, where anybody could have them today.

What is closed by now, off, cancelled or no longer offered is gone: nobody pays for that.
"""

from __future__ import annotations

from datetime import datetime

from app.commands.booking_change import search_of_booking
from app.commands.booking_reschedule import target_of
from app.commands.claim import CLAIMED, REFUSED, claim_again
from app.commands.hold_visit import refuse_visit
from app.commands.session_hold import Refusing, check_bookable, check_hours
from app.commands.session_places import take_places_again
from app.core.database import Tx
from app.domain.claims import Part
from app.domain.errors import SlotUnavailable
from app.domain.plan import UnavailableReason
from app.models import Booking
from app.queries.availability import get_service_plans
from app.queries.booking import items_of_bookings
from app.queries.session import get_bookable
from app.queries.visit import VisitPlan


async def take_again_if_free(tx: Tx, booking: Booking, now: datetime) -> None:
    """As the staff could book it now: notice is no matter. Raises SlotUnavailable."""
    if booking.session_id is None:
        await _take_time(tx, booking, now)
        return
    found = await get_bookable(tx, booking.session_id)
    refusing = Refusing.of(found, booking.party_size, for_staff=True)
    check_bookable(found, refusing, now)
    await check_hours(tx, found, refusing)
    await take_places_again(tx, booking, is_correction=False)


async def _take_time(tx: Tx, booking: Booking, now: datetime) -> None:
    items = await items_of_bookings(tx, [booking.id])
    search = search_of_booking(booking, items)
    people = [(item.service_id, (item.provider_id,)) for item in items]
    day = booking.starts_at.date()
    services = await get_service_plans(tx, people, day, day)
    if not all(service.offers for service in services):
        raise SlotUnavailable(UnavailableReason.INACTIVE, "This is not offered any more.", search)
    targets = [target_of(service, item) for service, item in zip(services, items, strict=True)]
    rules = VisitPlan(search.items, tuple(services)).rules(now, for_staff=True)
    refuse_visit([[target] for target in targets], booking.starts_at, rules, search)
    parts = [Part(target, item.starts_at) for target, item in zip(targets, items, strict=True)]
    outcome = await claim_again(tx, booking.organization_id, booking.id, parts, despite_blocks=False)
    if outcome != CLAIMED:
        raise SlotUnavailable(*REFUSED[outcome], search)
