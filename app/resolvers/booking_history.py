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
from app.queries.booking_history import OLDEST_FIRST, actor_names, booking_at, select_history
from app.queries.pagination import Page, PageRequest, count_rows, fetch_page
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
        """Two statements, and one for the names."""
        booking = self.seen.booking
        names: dict[UUID, str] = {}
        async with self.context.read_bound(booking.organization_id) as tx:
            found = await fetch_page(tx, select_history(booking.id), OLDEST_FIRST, request)
            if self.seen.viewer is not ActorKind.CUSTOMER:
                names = await actor_names(tx, booking.id)
        viewer = self.seen.viewer
        items = tuple(
            (ShownEntry(entry, None if entry.actor_id is None else names.get(entry.actor_id), viewer), cursor)
            for entry, cursor in found.items
        )
        return Page(items, found.has_next, found.has_previous)

    async def count(self) -> int:
        """Two statements."""
        async with self.context.read_bound(self.seen.booking.organization_id) as tx:
            return await count_rows(tx, select_history(self.seen.booking.id))


async def read_booking_at(context: RequestContext, seen: SeenBooking, at: datetime) -> dict[str, Any]:
    """Its columns as they were. Raises BadInput before it was made, and for what is still to come. Four statements."""
    booking = seen.booking
    if at < booking.created_at:
        raise BadInput.at("at", "lies before the booking was made")
    if at > context.now():
        raise BadInput.at("at", "lies in the future")
    async with context.read_bound(booking.organization_id) as tx:
        return await booking_at(tx, booking.id, at)
