"""Days that depart from the week, and time off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.dialects.postgresql import Range

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.instants import zone
from app.domain.schedule import DayException, ExceptionKind, Interval
from app.models import BlockedTime, Resource, ResourceUnit, ScheduleException, Venue
from app.queries.pagination import LIST_LIMIT
from app.queries.rows import list_below, one_of

_DAY = timedelta(days=1)
_NOW = select(text("turnero_now()")).scalar_subquery()
_YESTERDAY = select(text("(turnero_now() AT TIME ZONE 'UTC')::date - 1")).scalar_subquery()


async def exceptions_of(
    tx: Tx, owner_ids: Sequence[UUID], from_date: date, to_date: date
) -> dict[UUID, tuple[DayException, ...]]:
    """Those that rule a day between two dates, both included, by owner and by date. One statement."""
    query = (
        select(ScheduleException)
        .where(one_of(ScheduleException.owner_id, owner_ids), _rules(from_date, to_date))
        .order_by(func.lower(ScheduleException.days))
    )
    found: dict[UUID, list[DayException]] = {}
    for record in (await tx.execute(query)).scalars():
        found.setdefault(record.owner_id, []).append(to_domain(record))
    return {owner_id: tuple(days) for owner_id, days in found.items()}


async def find_exception(tx: Tx, owner_id: UUID, from_date: date, to_date: date) -> ScheduleException | None:
    """The first of this owner's that rules a day between two dates. One statement."""
    query = select(ScheduleException).where(ScheduleException.owner_id == owner_id, _rules(from_date, to_date))
    return (await tx.execute(query.order_by(func.lower(ScheduleException.days)).limit(1))).scalar_one_or_none()


def _rules(from_date: date, to_date: date) -> ColumnElement[bool]:
    days: Range[date] = Range(from_date, to_date, bounds="[]")
    is_there: ColumnElement[bool] = ScheduleException.removed_at.is_(None)
    return is_there & ScheduleException.days.op("&&", is_comparison=True)(days)


async def list_exceptions_below(tx: Tx, owner_ids: Sequence[UUID]) -> Mapping[UUID, list[ScheduleException]]:
    """Those of each owner that are not over anywhere on earth, by date. One statement."""
    source = select(ScheduleException).where(
        one_of(ScheduleException.owner_id, owner_ids),
        ScheduleException.removed_at.is_(None),
        func.upper(ScheduleException.days) > _YESTERDAY,
    )
    order = [func.lower(ScheduleException.days)]
    return await list_below(tx, ScheduleException, ScheduleException.owner_id, source, order)


async def get_exception(tx: Tx, exception_id: UUID) -> ScheduleException:
    """One that stands. One statement. Raises NotFound."""
    query = select(ScheduleException).where(
        ScheduleException.id == exception_id, ScheduleException.removed_at.is_(None)
    )
    found = (await tx.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


def to_domain(record: ScheduleException) -> DayException:
    first, last = dates_of(record)
    return DayException(
        from_date=first,
        to_date=last,
        kind=ExceptionKind(record.kind),
        open=intervals(record.open),
        breaks=intervals(record.breaks),
        slot_interval_minutes=record.slot_interval_minutes,
        reason=record.reason,
    )


def dates_of(record: ScheduleException) -> tuple[date, date]:
    """First and last day."""
    first, past = record.days.lower, record.days.upper
    assert first is not None  # a check constraint says so
    assert past is not None
    return first, past - _DAY


def intervals(pairs: Sequence[Sequence[int]]) -> tuple[Interval, ...]:
    return tuple(Interval(start, end) for start, end in pairs)


# ── time off ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TimeOff:
    """A time in which a provider, or one unit of a resource, takes nothing."""

    record: BlockedTime
    resource_id: UUID | None = None
    unit_number: int | None = None

    @property
    def provider_id(self) -> UUID | None:
        return self.record.subject_id if self.resource_id is None else None


def _select_time_off(*, with_removed: bool = False) -> Select[BlockedTime, UUID | None, int | None]:
    query = select(BlockedTime, ResourceUnit.resource_id, ResourceUnit.number)
    query = query.outerjoin(ResourceUnit, ResourceUnit.id == BlockedTime.subject_id)
    query = query.where(BlockedTime.kind == "time_off")
    return query if with_removed else query.where(BlockedTime.removed_at.is_(None))


async def get_time_off(tx: Tx, time_off_id: UUID, *, with_removed: bool = False) -> TimeOff:
    """Over or not. One statement. Raises NotFound."""
    row = (await tx.execute(_select_time_off(with_removed=with_removed).where(BlockedTime.id == time_off_id))).first()
    if row is None:
        raise NotFound
    return TimeOff(*row)


async def list_time_off_of_providers(tx: Tx, provider_ids: Sequence[UUID]) -> Mapping[UUID, list[TimeOff]]:
    """What is not over of each provider, by start. One statement."""
    source = select(BlockedTime).where(one_of(BlockedTime.subject_id, provider_ids), *_is_upcoming())
    below = await list_below(tx, BlockedTime, BlockedTime.subject_id, source, [BlockedTime.starts_at])
    return {provider_id: [TimeOff(record) for record in records] for provider_id, records in below.items()}


async def list_time_off_of_resources(tx: Tx, resource_ids: Sequence[UUID]) -> Mapping[UUID, list[TimeOff]]:
    """What is not over of each resource's units, by start, the soonest LIST_LIMIT of each resource. One statement."""
    order = [BlockedTime.starts_at, BlockedTime.id]
    place = func.row_number().over(partition_by=ResourceUnit.resource_id, order_by=order)
    ranked = (
        select(BlockedTime.id, ResourceUnit.resource_id, ResourceUnit.number, place.label("place"))
        .join(ResourceUnit, ResourceUnit.id == BlockedTime.subject_id)
        .where(one_of(ResourceUnit.resource_id, resource_ids), *_is_upcoming())
        .subquery()
    )
    rows = await tx.execute(
        select(BlockedTime, ranked.c.resource_id, ranked.c.number)
        .join(ranked, ranked.c.id == BlockedTime.id)
        .where(ranked.c.place <= LIST_LIMIT)
        .order_by(ranked.c.resource_id, ranked.c.place)
    )
    found: dict[UUID, list[TimeOff]] = {}
    for record, resource_id, number in rows:
        found.setdefault(resource_id, []).append(TimeOff(record, resource_id, number))
    return found


async def count_time_off(tx: Tx, subject_id: UUID) -> int:
    """How many are not over. One statement."""
    query = select(func.count()).select_from(BlockedTime).where(BlockedTime.subject_id == subject_id, *_is_upcoming())
    return (await tx.execute(query)).scalar_one()


def _is_upcoming() -> tuple[ColumnElement[bool], ...]:
    return (BlockedTime.kind == "time_off", BlockedTime.removed_at.is_(None), BlockedTime.ends_at > _NOW)


async def lock_unit(tx: Tx, resource_id: UUID, number: int) -> tuple[UUID, UUID, ZoneInfo]:
    """A unit's id, its organization and its venue's zone; locked against other changes. Raises NotFound."""
    query = (
        select(ResourceUnit.id, ResourceUnit.organization_id, Venue.time_zone)
        .join(Resource, Resource.id == ResourceUnit.resource_id)
        .join(Venue, Venue.id == Resource.venue_id)
        .where(Resource.id == resource_id, ResourceUnit.number == number, ResourceUnit.is_active)
        .with_for_update(key_share=True, of=ResourceUnit)
    )
    row = (await tx.execute(query)).first()
    if row is None:
        raise NotFound
    return row[0], row[1], zone(row[2])
