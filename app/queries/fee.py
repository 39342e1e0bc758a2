"""Reading fees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import Select, select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.fees import LIVE_FEES, FeeStatus
from app.models import BookingFee, ProcessorCustomer
from app.queries.pagination import SortKey

FEE_SORT = SortKey(
    "created_desc", BookingFee.created_at.expression, BookingFee.id.expression, datetime, descending=True
)


async def get_fee(tx: Tx, fee_id: UUID) -> BookingFee:
    """One statement. Raises NotFound."""
    fee = await tx.get(BookingFee, fee_id, populate_existing=True)
    if fee is None:
        raise NotFound
    return fee


async def live_fee(tx: Tx, booking_id: UUID) -> BookingFee | None:
    """The one that counts. The caller has the booking's row, under which fees are written. One statement."""
    query = select(BookingFee).where(BookingFee.booking_id == booking_id, BookingFee.status.in_(_LIVE))
    return (await tx.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


_LIVE = [status.value for status in LIVE_FEES]


async def fee_of_payment(tx: Tx, payment_id: UUID) -> BookingFee | None:
    """The caller has the booking's row. One statement."""
    query = select(BookingFee).where(BookingFee.payment_id == payment_id)
    return (await tx.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def list_fees_below(tx: Tx, booking_ids: Sequence[UUID]) -> Mapping[UUID, list[BookingFee]]:
    """By booking, oldest first. One statement."""
    found: dict[UUID, list[BookingFee]] = {}
    query = select(BookingFee).where(BookingFee.booking_id.in_(booking_ids)).order_by(BookingFee.id)
    for fee in (await tx.execute(query)).scalars():
        found.setdefault(fee.booking_id, []).append(fee)
    return MappingProxyType(found)


def select_fees(organization_id: UUID, statuses: Sequence[FeeStatus] | None) -> Select[BookingFee]:
    """Of an organization; no statuses: all. Not sorted, not limited."""
    query = select(BookingFee).where(BookingFee.organization_id == organization_id)
    return query if statuses is None else query.where(BookingFee.status.in_([one.value for one in statuses]))


async def customer_ref(tx: Tx, customer_id: UUID, processor: str) -> str | None:
    """What the processor calls this customer, if it knows them. One statement."""
    query = select(ProcessorCustomer.processor_id).where(
        ProcessorCustomer.customer_id == customer_id, ProcessorCustomer.processor == processor
    )
    return (await tx.execute(query)).scalar_one_or_none()
