"""Bulk changes, the bookings they are about, and who may see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, cast, func, literal, or_, select, union_all

from app.core.database import Tx
from app.domain.bulk import OPEN_STATUSES, BulkScope, BulkStatus
from app.domain.errors import NotFound
from app.domain.sessions import SessionStatus
from app.models import Activity, ActivitySession, Booking, BookingItem, BulkChange, BulkChangeItem, Provider
from app.queries.pagination import SortKey
from app.queries.rows import get_row, list_rows, lock_row
from app.queries.tenancy import Tenancy

NEW_LIMIT = 100
"""So many bookings that are not in a plan are shown."""
_LONGEST_VISIT = timedelta(days=2)
"""No service of a visit starts so long after it."""
_OPEN = sorted(status.value for status in OPEN_STATUSES)


def scope_of(change: BulkChange) -> BulkScope:
    return BulkScope(change.starts_from, change.starts_before, change.provider_id, change.venue_id, change.activity_id)


def may_see(tenancy: Tenancy, provider_id: UUID | None) -> bool:
    """Staff see all; a provider what is about their own bookings."""
    return tenancy.is_staff or (provider_id is not None and provider_id == tenancy.provider_id)


async def get_bulk_change(tx: Tx, change_id: UUID, tenancy: Tenancy) -> BulkChange:
    """One statement. Raises NotFound."""
    return _visible(await get_row(tx, BulkChange, change_id), tenancy)


async def lock_bulk_change(tx: Tx, change_id: UUID, tenancy: Tenancy) -> BulkChange:
    """The same, locked until the transaction ends."""
    return _visible(await lock_row(tx, BulkChange, change_id), tenancy)


def _visible(change: BulkChange, tenancy: Tenancy) -> BulkChange:
    if not may_see(tenancy, change.provider_id):
        raise NotFound
    return change


NEWEST_FIRST = SortKey(
    "bulk_newest", BulkChange.created_at.expression, BulkChange.id.expression, datetime, descending=True
)


def select_bulk_changes(tenancy: Tenancy, status: BulkStatus | None) -> Select[BulkChange]:
    """Staff see all, a provider those of their own bookings; anybody else none. Not sorted, not limited."""
    query = select(BulkChange).where(BulkChange.organization_id == tenancy.organization_id)
    if not tenancy.is_staff:
        query = query.where(BulkChange.provider_id == tenancy.provider_id)
    return query if status is None else query.where(BulkChange.status == status.value)


async def list_items(tx: Tx, change_ids: Sequence[UUID]) -> list[tuple[BulkChangeItem, Booking]]:
    """Of these changes, each with its booking, by its start. One statement."""
    query = (
        select(BulkChangeItem, Booking)
        .join(Booking, Booking.id == BulkChangeItem.booking_id)
        .where(BulkChangeItem.bulk_change_id.in_(change_ids))
        .order_by(BulkChangeItem.bulk_change_id, Booking.starts_at, Booking.id)
    )
    return [(row[0], row[1]) for row in await tx.execute(query)]


async def list_bookings_in(
    tx: Tx, organization_id: UUID, scope: BulkScope, *, besides: UUID | None = None, limit: int, is_own: bool = False
) -> list[Booking]:
    """Those that are not over, by their start; `besides`: not those of this bulk change; `is_own`: as the provider
    themselves sees them, without the visits of others in which they do a later service. One statement."""
    query = select(Booking).where(*_of(organization_id, scope, besides, is_own=is_own))
    return list((await tx.execute(query.order_by(*_BY_START).limit(limit))).scalars())


async def list_new_bookings(tx: Tx, change_ids: Sequence[UUID], *, is_own: bool) -> dict[UUID, list[Booking]]:
    """The first of those that are not in these changes and would be, if they were planned now. Three statements."""
    changes = await list_rows(tx, BulkChange, change_ids)
    parts = [
        select(cast(literal(one.id), Uuid).label("change_id"), Booking.id.label("booking_id"))
        .where(*_of(one.organization_id, scope_of(one), one.id, is_own=is_own))
        .order_by(*_BY_START)
        .limit(NEW_LIMIT)
        .subquery()
        for one in changes.values()
    ]
    pairs = (await tx.execute(union_all(*[select(part) for part in parts]))).all() if parts else []
    bookings = await list_rows(tx, Booking, list({row.booking_id for row in pairs}))
    found: dict[UUID, list[Booking]] = {}
    for row in pairs:
        found.setdefault(row.change_id, []).append(bookings[row.booking_id])
    for new in found.values():
        new.sort(key=lambda one: (one.starts_at, one.id))
    return found


_BY_START = (Booking.starts_at, Booking.id)


def _of(
    organization_id: UUID, scope: BulkScope, besides: UUID | None, *, is_own: bool
) -> Iterator[ColumnElement[bool]]:
    yield Booking.organization_id == organization_id
    yield Booking.status.in_(_OPEN)
    yield Booking.starts_at >= scope.starts_from - (_LONGEST_VISIT if scope.provider_id else timedelta(0))
    yield Booking.starts_at < scope.starts_before
    yield _is_in(scope)
    if is_own:
        yield Booking.provider_id == scope.provider_id
    if besides is not None:
        yield Booking.id.not_in(select(BulkChangeItem.booking_id).where(BulkChangeItem.bulk_change_id == besides))


def _is_in(scope: BulkScope) -> ColumnElement[bool]:
    if scope.provider_id is not None:  # a visit is theirs where they do any of its services
        return (
            select(BookingItem.id)
            .where(
                BookingItem.booking_id == Booking.id,
                BookingItem.provider_id == scope.provider_id,
                BookingItem.starts_at >= scope.starts_from,
                BookingItem.starts_at < scope.starts_before,
            )
            .exists()
        )
    sessions = Booking.session_id.in_(_sessions_in(scope).with_only_columns(ActivitySession.id))
    if scope.activity_id is not None:
        return sessions
    return or_(Booking.provider_id.in_(select(Provider.id).where(Provider.venue_id == scope.venue_id)), sessions)


def _sessions_in(scope: BulkScope) -> Select[ActivitySession]:
    query = select(ActivitySession).where(
        ActivitySession.starts_at >= scope.starts_from, ActivitySession.starts_at < scope.starts_before
    )
    if scope.activity_id is not None:
        return query.where(ActivitySession.activity_id == scope.activity_id)
    return query.where(ActivitySession.activity_id.in_(select(Activity.id).where(Activity.venue_id == scope.venue_id)))


async def list_session_ids(tx: Tx, scope: BulkScope) -> list[UUID]:
    """Sessions that take place, in id order; of a provider's bookings none. One statement."""
    if scope.provider_id is not None:
        return []
    query = _sessions_in(scope).where(ActivitySession.status != SessionStatus.CANCELLED.value)
    ids = query.with_only_columns(ActivitySession.id).order_by(ActivitySession.id)
    return list((await tx.execute(ids)).scalars())


async def count_sessions(tx: Tx, scope: BulkScope) -> int:
    """How many these are. One statement; none for a provider's bookings."""
    if scope.provider_id is not None:
        return 0
    query = _sessions_in(scope).where(ActivitySession.status != SessionStatus.CANCELLED.value)
    return (await tx.execute(query.with_only_columns(func.count()))).scalar_one()
