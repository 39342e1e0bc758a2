"""Lists of bookings, narrowed to what the viewer may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Select, or_, select

from app.domain.booking import BookingStatus
from app.domain.policy import ActorKind
from app.models import ActivitySession, Booking, Customer
from app.queries.pagination import SortKey
from app.queries.tenancy import Tenancy
from app.queries.text_search import contains_text


@dataclass(frozen=True, slots=True)
class BookingFilter:
    """None: no condition. Instants bound the start; `text` finds a number, a code, or a part of the customer's name."""

    statuses: tuple[BookingStatus, ...] | None = None
    provider_id: UUID | None = None
    service_id: UUID | None = None
    customer_id: UUID | None = None
    session_id: UUID | None = None
    activity_id: UUID | None = None
    starts_from: datetime | None = None
    starts_before: datetime | None = None
    text: str | None = None


class BookingSort(StrEnum):
    STARTS_ASC = "starts_asc"
    STARTS_DESC = "starts_desc"
    CREATED_DESC = "created_desc"


BOOKING_SORTS: Mapping[BookingSort, SortKey] = MappingProxyType(
    {
        BookingSort.STARTS_ASC: SortKey("starts_asc", Booking.starts_at.expression, Booking.id.expression, datetime),
        BookingSort.STARTS_DESC: SortKey(
            "starts_desc", Booking.starts_at.expression, Booking.id.expression, datetime, descending=True
        ),
        BookingSort.CREATED_DESC: SortKey(
            "created_desc", Booking.created_at.expression, Booking.id.expression, datetime, descending=True
        ),
    }
)


def select_bookings(
    organization_id: UUID, wanted: BookingFilter, tenancy: Tenancy, user_id: UUID | None
) -> Select[Booking]:
    """Staff see all, a provider their own, a customer theirs; anybody else none. Not sorted, not limited."""
    statement = select(Booking).where(Booking.organization_id == organization_id)
    statement = _visible(statement, tenancy, user_id)
    conditions: list[Any] = []
    if wanted.statuses is not None:
        conditions.append(Booking.status.in_([status.value for status in wanted.statuses]))
    for column, value in (
        (Booking.provider_id, wanted.provider_id),
        (Booking.service_id, wanted.service_id),
        (Booking.customer_id, wanted.customer_id),
        (Booking.session_id, wanted.session_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.activity_id is not None:
        sessions = select(ActivitySession.id).where(ActivitySession.activity_id == wanted.activity_id)
        conditions.append(Booking.session_id.in_(sessions))
    if wanted.starts_from is not None:
        conditions.append(Booking.starts_at >= wanted.starts_from)
    if wanted.starts_before is not None:
        conditions.append(Booking.starts_at < wanted.starts_before)
    if wanted.text is not None:
        named = select(Customer.id).where(contains_text(Customer.name.expression, wanted.text))
        exact = wanted.text.upper()
        conditions.append(
            or_(Booking.number == exact, Booking.confirmation_code == exact, Booking.customer_id.in_(named))
        )
    return statement.where(*conditions)


def _visible(statement: Select[Booking], tenancy: Tenancy, user_id: UUID | None) -> Select[Booking]:
    if tenancy.is_staff:
        return statement
    own = Booking.customer_id.in_(select(Customer.id).where(Customer.user_id == user_id))
    if tenancy.provider_id is not None:
        return statement.where(or_(Booking.provider_id == tenancy.provider_id, own))
    return statement.where(own)


def role_in_list(tenancy: Tenancy, booking: Booking) -> ActorKind:
    """The viewer's role towards a booking of their list."""
    if tenancy.role is not None:
        return ActorKind(tenancy.role)
    return ActorKind.PROVIDER if tenancy.provider_id == booking.provider_id else ActorKind.CUSTOMER
