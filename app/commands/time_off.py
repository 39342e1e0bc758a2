"""Time in which a provider, or a unit of a resource, takes nothing. Bookings in it stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from app.commands.actor import Actor
from app.commands.journal import Audit, Event, write_journal
from app.commands.schedule import FURTHEST, require_manager
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import FieldErrors, InvalidInput, NotAllowed, NotFound
from app.domain.instants import day_bounds
from app.models import BlockedTime, ResourceUnit
from app.queries.commitment import AffectedBookings, list_meeting
from app.queries.exception import TimeOff, count_time_off, get_time_off, lock_unit
from app.queries.rows import lock_row
from app.queries.schedule import OwnerKind, lock_owner
from app.queries.tenancy import Tenancy

MAXIMUM_LENGTH = timedelta(days=366)
TIMES_MAXIMUM = 1_000
"""Of one provider or unit that are not over."""


@dataclass(frozen=True, slots=True)
class TimeOffRequest:
    """Of a provider, or of one unit of a resource; between two instants, or over whole local dates, both included."""

    provider_id: UUID | None
    resource_id: UUID | None
    unit_number: int | None
    starts_at: datetime | None
    ends_at: datetime | None
    from_date: date | None
    to_date: date | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ChangedTimeOff:
    """`affected`: bookings in that time, which stand."""

    time_off: TimeOff
    affected: AffectedBookings


@dataclass(frozen=True, slots=True)
class _Subject:
    id: UUID
    organization_id: UUID
    time_zone: ZoneInfo


def check_time_off(request: TimeOffRequest) -> None:
    """What has to be given, and what goes together. Raises InvalidInput."""
    errors = FieldErrors()
    if (request.provider_id is None) is (request.resource_id is None):
        errors.add("input.providerId", "give either providerId, or resourceId with unitNumber")
    elif (request.resource_id is None) is not (request.unit_number is None):
        errors.add("input.unitNumber", "goes with resourceId: the number of one of its units, from 1")
    instants = (request.starts_at is not None, request.ends_at is not None)
    dates = (request.from_date is not None, request.to_date is not None)
    if any(instants) is any(dates):
        errors.add("input.startsAt", "give either startsAt and endsAt, or the dates from and to")
    elif any(instants) and not all(instants):
        errors.add("input.endsAt" if instants[0] else "input.startsAt", "must be given too")
    elif any(dates) and not all(dates):
        errors.add("input.to" if dates[0] else "input.from", "must be given too")
    errors.raise_any()


async def create_time_off(
    tx: Tx, tenancy: Tenancy, request: TimeOffRequest, *, actor: Actor, now: datetime
) -> ChangedTimeOff:
    """Nothing new is booked over it. Owners and admins may, and providers for themselves.

    Raises NotFound, NotAllowed, InvalidInput.
    """
    check_time_off(request)
    subject = await _subject(tx, tenancy, request)
    starts_at, ends_at = _times(request, subject.time_zone, now)
    if await count_time_off(tx, subject.id) >= TIMES_MAXIMUM:
        raise NotAllowed("time_off_limit", f"There are {TIMES_MAXIMUM} times off to come already; remove some first.")
    record = BlockedTime(
        id=new_id(),
        organization_id=subject.organization_id,
        subject_id=subject.id,
        starts_at=starts_at,
        ends_at=ends_at,
        kind="time_off",
        reason=request.reason,
        created_by=actor.user_id,
    )
    tx.add(record)
    await tx.flush()
    await _tell(tx, record, actor, "time_off.created")
    found = await list_meeting(tx, subject.id, starts_at, ends_at, now)
    return ChangedTimeOff(TimeOff(record, request.resource_id, request.unit_number), AffectedBookings(tuple(found)))


async def remove_time_off(tx: Tx, tenancy: Tenancy, time_off_id: UUID, *, actor: Actor, now: datetime) -> TimeOff:
    """The time can be booked again. Raises NotFound, NotAllowed."""
    found = await get_time_off(tx, time_off_id)
    if found.provider_id is None:
        require_manager(tenancy, OwnerKind.VENUE, found.record.subject_id)
        await lock_row(tx, ResourceUnit, found.record.subject_id)
    else:
        require_manager(tenancy, OwnerKind.PROVIDER, found.provider_id)
        await lock_owner(tx, OwnerKind.PROVIDER, found.provider_id)
    record = (await get_time_off(tx, time_off_id)).record  # two removals at once are one
    record.removed_at = now
    await tx.flush()
    await _tell(tx, record, actor, "time_off.removed")
    return found


async def _subject(tx: Tx, tenancy: Tenancy, request: TimeOffRequest) -> _Subject:
    if request.provider_id is not None:
        require_manager(tenancy, OwnerKind.PROVIDER, request.provider_id)
        owner = await lock_owner(tx, OwnerKind.PROVIDER, request.provider_id)
        return _Subject(owner.id, owner.organization_id, owner.time_zone)
    assert request.resource_id is not None
    assert request.unit_number is not None
    require_manager(tenancy, OwnerKind.VENUE, request.resource_id)
    try:
        return _Subject(*await lock_unit(tx, request.resource_id, request.unit_number))
    except NotFound:
        raise InvalidInput.at("input.unitNumber", "is no unit of this resource that is in use") from None


def _times(request: TimeOffRequest, tz: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    by_instants = request.starts_at is not None
    first, last = ("input.startsAt", "input.endsAt") if by_instants else ("input.from", "input.to")
    if request.starts_at is not None and request.ends_at is not None:
        starts_at, ends_at = request.starts_at, request.ends_at
    else:
        assert request.from_date is not None
        assert request.to_date is not None
        starts_at, ends_at = day_bounds(request.from_date, tz)[0], day_bounds(request.to_date, tz)[1]
    if ends_at <= starts_at:
        raise InvalidInput.at(last, "must be after `startsAt`" if by_instants else "must not be before `from`")
    if ends_at <= now:
        raise InvalidInput.at(last, "is over already")
    if starts_at > now + FURTHEST:
        raise InvalidInput.at(first, "is more than three years away")
    if ends_at - starts_at > MAXIMUM_LENGTH + timedelta(hours=2):  # clocks may have gone back in between
        raise InvalidInput.at(last, f"makes more than {MAXIMUM_LENGTH.days} days at once")
    return starts_at, ends_at


async def _tell(tx: Tx, record: BlockedTime, actor: Actor, action: str) -> None:
    """Why somebody is away is for few eyes: the audit has it, the event does not."""
    times = {"timeOffId": record.id, "startsAt": record.starts_at, "endsAt": record.ends_at}
    facts = {**times, "reason": record.reason}
    is_gone = record.removed_at is not None
    await write_journal(
        tx,
        record.organization_id,
        actor,
        audit=[Audit(action, record.subject_id, facts if is_gone else None, None if is_gone else facts)],
        events=[Event("time_off.changed", record.subject_id, {**times, "isRemoved": is_gone})],
    )
