"""Lists of bookings."""

from __future__ import annotations

from datetime import datetime

import strawberry

from app.core.ids import IdKind
from app.domain.booking import BookingStatus
from app.queries import booking_list as queries
from app.queries.booking_list import BookingSort
from app.queries.pagination import page_request
from app.resolvers.booking_list import BookingList
from app.schema.booking import Booking
from app.schema.connection import Connection, connection
from app.schema.ids import read_id, read_optional_id
from app.schema.info import Ctx, read_wanted

strawberry.enum(BookingSort)


@strawberry.input
class BookingFilter:
    statuses: list[BookingStatus] | None = None
    provider_id: strawberry.ID | None = None
    service_id: strawberry.ID | None = None
    customer_id: strawberry.ID | None = None
    session_id: strawberry.ID | None = None
    activity_id: strawberry.ID | None = strawberry.field(default=None, description="Of any of its sessions.")
    starts_from: datetime | None = strawberry.field(default=None, description="Included.")
    starts_before: datetime | None = strawberry.field(default=None, description="Excluded.")
    text: str | None = strawberry.field(
        default=None, description="A number, a confirmation code, or a part of the customer's name."
    )

    def wanted(self) -> queries.BookingFilter:
        """Raises BadInput."""
        return queries.BookingFilter(
            statuses=None if self.statuses is None else tuple(self.statuses),
            provider_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "filter.providerId"),
            service_id=read_optional_id(IdKind.SERVICE, self.service_id, "filter.serviceId"),
            customer_id=read_optional_id(IdKind.CUSTOMER, self.customer_id, "filter.customerId"),
            session_id=read_optional_id(IdKind.SESSION, self.session_id, "filter.sessionId"),
            activity_id=read_optional_id(IdKind.ACTIVITY, self.activity_id, "filter.activityId"),
            starts_from=self.starts_from,
            starts_before=self.starts_before,
            text=read_wanted(self.text, "filter.text"),
        )


@strawberry.type
class BookingListQuery:
    @strawberry.field(description="Bookings of an organization: all for staff, a provider's own, a customer's own.")
    async def bookings(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        filter: BookingFilter | None = None,
        sort: BookingSort | None = BookingSort.STARTS_ASC,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Booking]:
        found = BookingList(
            info.context,
            read_id(IdKind.ORGANIZATION, organization_id, "organizationId"),
            queries.BookingFilter() if filter is None else filter.wanted(),
        )
        page = await found.page(sort or BookingSort.STARTS_ASC, page_request(first, after, last, before))
        return connection(page, Booking.from_seen, found.count)
