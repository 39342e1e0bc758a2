"""Series of an organization, for those who may see them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, exists, select

from app.models import Booking, BookingSeries, Customer
from app.queries.pagination import SortKey
from app.queries.tenancy import Tenancy

NEWEST_FIRST = SortKey(
    "series_newest", BookingSeries.created_at.expression, BookingSeries.id.expression, datetime, descending=True
)


def select_series(tenancy: Tenancy, user_id: object) -> Select[BookingSeries]:
    """Staff see all, a provider those in which they have dates, an account its own; anybody else none.

    Not sorted, not limited.
    """
    query = select(BookingSeries).where(BookingSeries.organization_id == tenancy.organization_id)
    if tenancy.is_staff:
        return query
    if tenancy.provider_id is not None:
        return query.where(
            exists().where(Booking.series_id == BookingSeries.id, Booking.provider_id == tenancy.provider_id)
        )
    return query.where(BookingSeries.customer_id.in_(select(Customer.id).where(Customer.user_id == user_id)))
