"""Days that depart from the week: closed ones, and days with hours of their own. Bookings on them stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import Range

from app.commands.actor import Actor
from app.commands.changes import refused_as
from app.commands.journal import Audit, Event, write_journal
from app.commands.schedule import FURTHEST, require_manager
from app.commands.session_generation import apply_schedule, apply_schedule_at
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import FieldErrors, InvalidInput
from app.domain.instants import day_bounds, local_date
from app.domain.plan import UnavailableReason
from app.domain.schedule import DAY_MINUTES, ExceptionKind, Interval, Times, check_day, weekly_hours
from app.models import ScheduleException
from app.queries.commitment import AffectedBookings, Stretch, list_affected, list_outside
from app.queries.exception import dates_of, find_exception, get_exception
from app.queries.hours import OwnerHours, hours_of_activities, hours_of_providers
from app.queries.schedule import (
    Owner,
    OwnerKind,
    find_owner_kind,
    get_owner,
    list_activity_ids_at,
    list_provider_ids_at,
    lock_owner,
)
from app.queries.tenancy import Tenancy

MAXIMUM_DAYS = 366
REASON_MAXIMUM = 500
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ExceptionRequest:
    """Local dates of the owner, both included. `slot_interval_minutes` none: that of the week."""

    owner_kind: OwnerKind
    owner_id: UUID
    kind: ExceptionKind
    from_date: date
    to_date: date
    open: tuple[Times, ...] = ()
    breaks: tuple[Times, ...] = ()
    slot_interval_minutes: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChangedException:
    """`affected`: bookings that stand although the days are no longer open for them."""

    record: ScheduleException
    affected: AffectedBookings


async def create_exception(
    tx: Tx, tenancy: Tenancy, request: ExceptionRequest, *, actor: Actor, now: datetime
) -> ChangedException:
    """Rules its days instead of the week, and instead of holidays; a provider's goes before the venue's.

    Who may publish the owner's hours may do this; a venue's days are for owners and admins. Raises NotFound,
    NotAllowed, InvalidInput, also for days that another exception of this owner rules.
    """
    require_manager(tenancy, request.owner_kind, request.owner_id)
    owner = await lock_owner(tx, request.owner_kind, request.owner_id)
    day = weekly_hours(0, request.open, request.breaks)
    _check(request, local_date(now, owner.time_zone))
    other = await find_exception(tx, owner.id, request.from_date, request.to_date)
    if other is not None:
        first, last = dates_of(other)
        days = f"{first}" if first == last else f"{first} to {last}"
        raise InvalidInput.at("input.from", f"meets the exception of {days}; remove that one first")
    record = ScheduleException(
        id=new_id(),
        organization_id=owner.organization_id,
        owner_id=owner.id,
        kind=request.kind.value,
        days=Range(request.from_date, request.to_date + _DAY),
        open=_pairs(day.open),
        breaks=_pairs(day.breaks),
        slot_interval_minutes=request.slot_interval_minutes,
        reason=request.reason,
        created_by=actor.user_id,
    )
    before = await _hours(tx, owner, request.from_date, request.to_date)
    tx.add(record)
    with refused_as(_OVERLAP):
        await tx.flush()
    affected = await _change(tx, owner, record, before, actor=actor, now=now, action="exception.created")
    return ChangedException(record, affected)


async def remove_exception(
    tx: Tx, tenancy: Tenancy, exception_id: UUID, *, actor: Actor, now: datetime
) -> ChangedException:
    """The week rules those days again. Raises NotFound, NotAllowed."""
    found = await get_exception(tx, exception_id)
    kind = await find_owner_kind(tx, found.owner_id)
    require_manager(tenancy, kind, found.owner_id)
    owner = await lock_owner(tx, kind, found.owner_id)
    record = await get_exception(tx, exception_id)  # as it is now that nobody else changes it
    before = await _hours(tx, owner, *dates_of(record))
    record.removed_at = now
    await tx.flush()
    affected = await _change(tx, owner, record, before, actor=actor, now=now, action="exception.removed")
    return ChangedException(record, affected)


async def told_again(tx: Tx, record: ScheduleException, told: Mapping[UUID, UnavailableReason]) -> ChangedException:
    """The answer that was given before: `told` are the bookings that were outside, and why."""
    kind = await find_owner_kind(tx, record.owner_id)
    hours = await _hours(tx, await get_owner(tx, kind, record.owner_id), *dates_of(record))
    found = await list_affected(tx, told)
    return ChangedException(record, AffectedBookings(found, {**hours.providers, **hours.activities}))


_OVERLAP = {
    "schedule_exception_no_overlap": InvalidInput.at("input.from", "meets another exception; remove that one first")
}


def _pairs(intervals: tuple[Interval, ...]) -> list[list[int]]:
    return [[interval.start_minute, interval.end_minute] for interval in sorted(intervals)]


def _check(request: ExceptionRequest, today: date) -> None:
    errors = FieldErrors()
    days = (request.to_date - request.from_date).days + 1
    if request.from_date < today:
        errors.add("input.from", f"must be today ({today}) or later in the owner's zone")
    elif request.from_date > today + FURTHEST:
        errors.add("input.from", "is more than three years away")
    if days < 1:
        errors.add("input.to", "must not be before `from`")
    elif days > MAXIMUM_DAYS:
        errors.add("input.to", f"makes {days} days; at most {MAXIMUM_DAYS} at once")
    interval = request.slot_interval_minutes
    if request.kind is ExceptionKind.SPECIAL_HOURS:
        if not request.open:
            errors.add("input.open", "must have hours; days without any are CLOSED")
        if interval is not None and not 1 <= interval <= DAY_MINUTES:
            errors.add("input.slotIntervalMinutes", "must be 1 to 1440 minutes")
        errors.found.extend(check_day(weekly_hours(0, request.open, request.breaks), repeats=days > 1))
    else:
        for name, given in (("open", request.open), ("breaks", request.breaks), ("slotIntervalMinutes", interval)):
            if given:
                errors.add(f"input.{name}", "goes with SPECIAL_HOURS alone")
    errors.raise_any()


# ── what comes of it ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Hours:
    """Of everyone whom the owner's days rule."""

    providers: dict[UUID, OwnerHours]
    activities: dict[UUID, OwnerHours]


async def _hours(tx: Tx, owner: Owner, from_date: date, to_date: date) -> _Hours:
    """Three statements, eight of a venue."""
    providers, activities = [], []
    match owner.kind:
        case OwnerKind.PROVIDER:
            providers = [owner.id]
        case OwnerKind.ACTIVITY:
            activities = [owner.id]
        case OwnerKind.VENUE:
            providers = await list_provider_ids_at(tx, owner.id)
            activities = await list_activity_ids_at(tx, owner.id)
    return _Hours(
        await hours_of_providers(tx, providers, from_date, to_date),
        await hours_of_activities(tx, activities, from_date, to_date),
    )


async def _change(
    tx: Tx,
    owner: Owner,
    record: ScheduleException,
    before: _Hours,
    *,
    actor: Actor,
    now: datetime,
    action: str,
) -> AffectedBookings:
    """Tells of it, brings sessions into line, and finds the bookings that are outside now and were not."""
    first, last = dates_of(record)
    after = await _hours(tx, owner, first, last)
    # Providers may have zones of their own, a day away from the venue's at most.
    ruled = Stretch(day_bounds(first, owner.time_zone)[0] - _DAY, day_bounds(last, owner.time_zone)[1] + _DAY)
    of_providers = await list_outside(tx, before.providers, after.providers, ruled, now)
    of_activities = await list_outside(tx, before.activities, after.activities, ruled, now)
    concerned = [*after.providers, *after.activities]
    await _tell(tx, owner, record, concerned, actor=actor, action=action)
    match owner.kind:
        case OwnerKind.ACTIVITY:
            await apply_schedule(tx, owner.organization_id, owner.id, actor=actor, now=now)
        case OwnerKind.VENUE:
            await apply_schedule_at(tx, owner.organization_id, owner.id, actor=actor, now=now)
    found = sorted((*of_providers.found, *of_activities.found), key=lambda one: (one.booking.starts_at, one.booking.id))
    return AffectedBookings(tuple(found), {**after.providers, **after.activities})


async def _tell(
    tx: Tx, owner: Owner, record: ScheduleException, concerned: list[UUID], *, actor: Actor, action: str
) -> None:
    """Why a day is closed is for few eyes: the audit has it, the events do not.

    Of a venue's days its own event tells, too: for those who come to be there at this very moment.
    """
    first, last = dates_of(record)
    days = {"exceptionId": record.id, "kind": record.kind, "from": first, "to": last}
    facts: dict[str, Any] = {
        **days,
        "open": record.open,
        "breaks": record.breaks,
        "slotIntervalMinutes": record.slot_interval_minutes,
        "reason": record.reason,
    }
    is_gone = record.removed_at is not None
    await write_journal(
        tx,
        owner.organization_id,
        actor,
        audit=[Audit(action, owner.id, facts if is_gone else None, None if is_gone else facts)],
        events=[
            Event("exception.changed", subject, {**days, "isRemoved": is_gone})
            for subject in dict.fromkeys((owner.id, *concerned))
        ],
    )
