"""Bookings, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app.models import Booking
from app.queries.booking import SeenBooking
from app.queries.booking_list import BOOKING_SORTS, BookingFilter, BookingSort, role_in_list, select_bookings
from app.queries.pagination import Page, PageRequest, count_rows, fetch_page
from app.queries.tenancy import Door
from app.resolvers.context import RequestContext


@dataclass(frozen=True, slots=True)
class BookingList:
    """A list of bookings of one organization, as the viewer may see them."""

    context: RequestContext
    organization_id: UUID
    wanted: BookingFilter

    async def page(self, sort: BookingSort, request: PageRequest) -> Page[SeenBooking]:
        """Two statements. Raises Unauthenticated, NotFound."""
        self.context.require_viewer()
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            select = select_bookings(self.organization_id, self.wanted, tenancy, self.context.user_id)
            page: Page[Booking] = await fetch_page(tx, select, BOOKING_SORTS[sort], request)
        self.context.loaders.prime_tenancy(tenancy)
        items = tuple((SeenBooking(record, role_in_list(tenancy, record)), cursor) for record, cursor in page.items)
        return Page(items, page.has_next, page.has_previous)

    async def count(self) -> int:
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            return await count_rows(
                tx, select_bookings(self.organization_id, self.wanted, tenancy, self.context.user_id)
            )
