"""How a booking came to be what it is, for those who may see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.errors import BadInput
from app.domain.policy import STAFF_ROLES, ActorKind
from app.models import AuditEntry
from app.queries.booking import SeenBooking
from app.queries.booking_history import OLDEST_FIRST, actor_names, select_history
from app.queries.pagination import Page, PageRequest, fetch_page
from app.resolvers.context import RequestContext


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry and its actor's name, where the viewer may know it."""

    entry: AuditEntry
    name: str | None
    viewer: ActorKind

    @property
    def for_staff(self) -> bool:
        return self.viewer in STAFF_ROLES


@dataclass(frozen=True, slots=True)
class BookingHistory:
    """Of one booking that the viewer sees, page by page, oldest first."""

    context: RequestContext
    seen: SeenBooking

    async def page(self, request: PageRequest) -> Page[ShownEntry]:
        """Two statements for the first or last page of all bookings of a request, and for each further page: entries,
        and the names, which customers are not told."""
        viewer, booking_id = self.seen.viewer, self.seen.booking.id
        has_names = viewer is not ActorKind.CUSTOMER
        if request.after is None and request.before is None:
            loader = self.context.loaders.first_history_page(
                request.size, backward=request.backward, has_names=has_names
            )
            found, known = await loader.load(self._key)
        else:
            async with self.context.read_bound(self.seen.booking.organization_id) as tx:
                found = await fetch_page(tx, select_history(booking_id), OLDEST_FIRST, request)
                names = await actor_names(tx, [booking_id]) if has_names else {}
            known = names.get(booking_id, {})
        items = tuple(
            (ShownEntry(entry, None if entry.actor_id is None else known.get(entry.actor_id), viewer), cursor)
            for entry, cursor in found.items
        )
        return Page(items, found.has_next, found.has_previous)

    async def count(self) -> int:
        """One statement for all bookings of a request."""
        return await self.context.loaders.history_count_by_booking_id.load(self._key)

    @property
    def _key(self) -> tuple[UUID, UUID]:
        return (self.seen.booking.organization_id, self.seen.booking.id)


async def read_booking_at(context: RequestContext, seen: SeenBooking, at: datetime) -> dict[str, Any]:
    """Its columns as they were. Raises BadInput before it was made, and for what is still to come.

    Four statements for all bookings of a request.
    """
    booking = seen.booking
    if at < booking.created_at:
        raise BadInput.at("at", "lies before the booking was made")
    if at > context.now():
        raise BadInput.at("at", "lies in the future")
    recorded = await context.loaders.recorded_by_booking_id.load((booking.organization_id, booking.id))
    return recorded.at(at)
