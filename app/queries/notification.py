"""The things that events are about, as one person may see them now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.policy import ActorKind
from app.models import Booking, BookingSeries, Customer, WaitlistEntry
from app.queries.booking import SeenBooking, role_towards
from app.queries.event import Event
from app.queries.provider_bookings import list_those_with_part
from app.queries.rows import one_of
from app.queries.series import SeenSeries
from app.queries.tenancy import Tenancy
from app.queries.waitlist import SeenEntry


@dataclass(slots=True)
class FoundThings:
    """By id: those that the person may see. `entries`: those that are still to be shown, as `seen_entries`."""

    bookings: dict[UUID, SeenBooking] = field(default_factory=dict)
    series: dict[UUID, SeenSeries] = field(default_factory=dict)
    entries: Sequence[WaitlistEntry] = ()
    seen_entries: dict[UUID, SeenEntry] = field(default_factory=dict)


async def find_things(tx: Tx, tenancy: Tenancy, user_id: UUID, events: Iterable[Event]) -> FoundThings:
    """Of events of the bound organization. One statement for each kind of thing, two for bookings."""
    ids: dict[str, dict[UUID, None]] = {}
    for event in events:
        ids.setdefault(event.type.partition(".")[0], {})[event.subject_id] = None
    found = FoundThings()
    of_bookings = list(ids.get("booking", {}) | ids.get("payment", {}) | ids.get("refund", {}) | ids.get("fee", {}))
    if of_bookings:
        found.bookings = await _bookings(tx, tenancy, user_id, of_bookings)
    if "series" in ids:
        found.series = await _series(tx, user_id, list(ids["series"]))
    if "waitlist" in ids:
        query = select(WaitlistEntry).where(one_of(WaitlistEntry.id, list(ids["waitlist"])))
        rows = (await tx.execute(query.where(WaitlistEntry.user_id == user_id))).scalars()
        found.entries = list(rows)
    return found


async def _bookings(tx: Tx, tenancy: Tenancy, user_id: UUID, ids: Sequence[UUID]) -> dict[UUID, SeenBooking]:
    query = (
        select(Booking, Customer.user_id)
        .join(Customer, Customer.id == Booking.customer_id)
        .where(one_of(Booking.id, ids))
    )
    found: dict[UUID, SeenBooking] = {}
    others: dict[UUID, Booking] = {}
    for booking, account in await tx.execute(query):
        try:
            role = role_towards(tenancy, booking, account, user_id=user_id, has_link=False)
        except NotFound:
            others[booking.id] = booking
        else:
            found[booking.id] = SeenBooking(booking, role)
    if others and tenancy.provider_id is not None:
        for booking_id in await list_those_with_part(tx, tenancy.provider_id, list(others)):
            found[booking_id] = SeenBooking(others[booking_id], ActorKind.PROVIDER, is_onlooker=True)
    return found


async def _series(tx: Tx, user_id: UUID, ids: Sequence[UUID]) -> dict[UUID, SeenSeries]:
    query = (
        select(BookingSeries)
        .join(Customer, Customer.id == BookingSeries.customer_id)
        .where(one_of(BookingSeries.id, ids), Customer.user_id == user_id)
    )
    return {one.id: SeenSeries(one, ActorKind.CUSTOMER) for one in (await tx.execute(query)).scalars()}
