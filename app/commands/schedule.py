"""Publishing an owner's hours: a new version from a date on. What customers hold is never touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.dialects.postgresql import Range

from app.commands.actor import Actor
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import InvalidInput, NotAllowed, NotFound
from app.domain.instants import day_bounds, local_date, zone
from app.domain.refusals import within_hours
from app.domain.schedule import WeeklyHours, check_weekly, sorted_weekly, weekly_to_json
from app.domain.slots import ProviderPlan, UnavailableReason
from app.models import Booking, ScheduleVersion
from app.queries.booking import list_commitments
from app.queries.schedule import effective_from, last_number, list_versions_in_force, lock_provider, to_domain
from app.queries.tenancy import Tenancy

FURTHEST = timedelta(days=3 * 365)


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """`effective_from` none: today in the owner's zone."""

    owner_id: UUID
    effective_from: date | None
    weekly: tuple[WeeklyHours, ...]
    slot_interval_minutes: int


@dataclass(frozen=True, slots=True)
class Affected:
    """A booking that stands although the new hours would not offer its time."""

    booking: Booking
    reason: UnavailableReason


@dataclass(frozen=True, slots=True)
class PublishedSchedule:
    version: ScheduleVersion
    affected: tuple[Affected, ...]


async def publish_schedule(
    tx: Tx, tenancy: Tenancy, request: ScheduleRequest, *, actor: Actor, now: datetime
) -> PublishedSchedule:
    """In force from its date until the next planned version; one for the same date supersedes the first, which is kept.

    Owners, admins and the provider's own user may publish. Raises NotFound, NotAllowed, InvalidInput.
    """
    provider, zone_name = await lock_provider(tx, request.owner_id)
    if not tenancy.is_staff and tenancy.provider_id != provider.id:
        raise NotFound
    if not tenancy.is_admin and tenancy.provider_id != provider.id:
        raise NotAllowed("role", "Only an owner, an admin or the provider can publish this schedule.")
    tz = zone(zone_name)
    today = local_date(now, tz)
    start = request.effective_from or today
    _check(request, start, today)
    versions = await list_versions_in_force(tx, provider.id)
    end = _make_room(versions, start, now)
    await tx.flush()
    version = ScheduleVersion(
        id=new_id(),
        organization_id=provider.organization_id,
        owner_id=provider.id,
        number=await last_number(tx, provider.id) + 1,
        effective=Range(start, end),
        slot_interval_minutes=request.slot_interval_minutes,
        weekly=weekly_to_json(sorted_weekly(request.weekly)),
        published_by=actor.user_id,
        published_at=now,
    )
    tx.add(version)
    await tx.flush()
    await _tell(tx, version, actor)
    in_force = sorted((v for v in (*versions, version) if v.superseded_at is None), key=effective_from)
    return PublishedSchedule(version, await _affected(tx, version, in_force, tz, now))


async def affected_by(tx: Tx, version: ScheduleVersion, now: datetime) -> PublishedSchedule:
    """The same answer for a version that was published before, as things stand now."""
    _, zone_name = await lock_provider(tx, version.owner_id)
    in_force = await list_versions_in_force(tx, version.owner_id)
    return PublishedSchedule(version, await _affected(tx, version, in_force, zone(zone_name), now))


def _check(request: ScheduleRequest, start: date, today: date) -> None:
    violations = check_weekly(request.weekly, request.slot_interval_minutes)
    if violations:
        raise InvalidInput(violations)
    if start < today:
        raise InvalidInput.at("input.effectiveFrom", f"must be today ({today}) or later in the owner's zone")
    if start > today + FURTHEST:
        raise InvalidInput.at("input.effectiveFrom", "is more than three years away")


def _make_room(versions: list[ScheduleVersion], start: date, now: datetime) -> date | None:
    """Cut the version that reaches over `start`, retire one that begins there; the date where the next one begins."""
    upcoming: date | None = None
    for version in versions:
        begins = effective_from(version)
        if begins == start:
            version.superseded_at = now
            upcoming = version.effective.upper
        elif begins < start and (version.effective.upper is None or version.effective.upper > start):
            upcoming = version.effective.upper
            version.effective = Range(begins, start)
    later = [effective_from(version) for version in versions if effective_from(version) > start]
    return min(later, default=upcoming)


async def _tell(tx: Tx, version: ScheduleVersion, actor: Actor) -> None:
    after = {
        "versionId": version.id,
        "number": version.number,
        "effectiveFrom": version.effective.lower,
        "effectiveTo": version.effective.upper,
        "slotIntervalMinutes": version.slot_interval_minutes,
        "weekly": version.weekly,
    }
    await write_journal(
        tx,
        version.organization_id,
        actor,
        audit=[Audit("schedule.published", version.owner_id, None, after)],
        events=[Event("schedule.published", version.owner_id, {"number": version.number})],
    )


async def _affected(
    tx: Tx, version: ScheduleVersion, in_force: Sequence[ScheduleVersion], tz: ZoneInfo, now: datetime
) -> tuple[Affected, ...]:
    plan = ProviderPlan(version.owner_id, tz, to_domain(in_force), duration_minutes=1)
    found = []
    begins, last = effective_from(version), version.effective.upper
    from_at = max(now, day_bounds(begins, tz)[0])
    to_at = None if last is None else day_bounds(last, tz)[0]
    for booking in await list_commitments(tx, plan.provider_id, from_at, to_at):
        reason = within_hours(plan, booking.starts_at, booking.ends_at)
        if reason is not None:
            found.append(Affected(booking, reason))
    return tuple(found)
