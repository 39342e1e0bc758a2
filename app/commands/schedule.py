"""Publishing an owner's hours: a new version from a date on. What customers hold is never touched."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import Range

from app.commands.actor import Actor
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.core.ids import new_id
from app.domain import schedule
from app.domain.errors import InvalidInput, NotAllowed, NotFound
from app.domain.instants import day_bounds, local_date, zone
from app.domain.refusals import within_hours
from app.domain.schedule import WeeklyHours, check_weekly, sorted_weekly, weekly_to_json
from app.domain.slots import ProviderPlan, UnavailableReason
from app.models import Booking, ScheduleVersion
from app.queries.booking import COMMITMENTS_PAGE, list_commitments
from app.queries.schedule import effective_from, last_number, list_versions_in_force, lock_provider, to_domain
from app.queries.tenancy import Tenancy

FURTHEST = timedelta(days=3 * 365)
AFFECTED_LIMIT = 200
NIGHT = timedelta(days=2)
"""An opening may last 24 hours, and so may a visit; a repeated hour can add to that."""


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
    _require_publisher(tenancy, provider.id)
    tz = zone(zone_name)
    today = local_date(now, tz)
    start = request.effective_from or today
    _check(request, start, today)
    versions = await list_versions_in_force(tx, provider.id)
    before = to_domain(versions)
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
    return PublishedSchedule(version, await _affected(tx, version, before, to_domain(in_force), tz=tz, now=now))


async def affected_by(tx: Tx, tenancy: Tenancy, version: ScheduleVersion, now: datetime) -> PublishedSchedule:
    """The same answer for a version that was published before, as things stand now. Raises NotFound, NotAllowed."""
    _, zone_name = await lock_provider(tx, version.owner_id)
    _require_publisher(tenancy, version.owner_id)
    before = await _in_force_before(tx, version)
    in_force = to_domain(await list_versions_in_force(tx, version.owner_id))
    return PublishedSchedule(version, await _affected(tx, version, before, in_force, tz=zone(zone_name), now=now))


def _require_publisher(tenancy: Tenancy, provider_id: UUID) -> None:
    """Raises NotFound for one who has no part in it, NotAllowed for other staff."""
    if tenancy.is_admin or tenancy.provider_id == provider_id:
        return
    if not tenancy.is_staff:
        raise NotFound
    raise NotAllowed("role", "Only an owner, an admin or the provider can publish this schedule.")


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


async def _in_force_before(tx: Tx, version: ScheduleVersion) -> tuple[schedule.ScheduleVersion, ...]:
    """The hours that stood when this version was published: of each first day the latest, each until the next."""
    query = (
        select(ScheduleVersion)
        .where(ScheduleVersion.owner_id == version.owner_id, ScheduleVersion.number < version.number)
        .order_by(ScheduleVersion.number)
    )
    latest = {each.effective_from: each for each in to_domain((await tx.execute(query)).scalars().all())}
    starts = sorted(latest)
    return tuple(
        replace(latest[start], effective_to=end) for start, end in zip(starts, (*starts[1:], None), strict=True)
    )


async def _affected(
    tx: Tx,
    version: ScheduleVersion,
    before: tuple[schedule.ScheduleVersion, ...],
    in_force: tuple[schedule.ScheduleVersion, ...],
    *,
    tz: ZoneInfo,
    now: datetime,
) -> tuple[Affected, ...]:
    """At most AFFECTED_LIMIT, soonest first: those on the version's days, and those beside them that it put outside.

    An opening belongs to the day it begins on, so a night before a border takes the small hours behind it with it, and
    a visit may reach over midnight into hours that are no more. What was outside there already is not its doing.
    """
    old = ProviderPlan(version.owner_id, tz, before, duration_minutes=1)
    new = ProviderPlan(version.owner_id, tz, in_force, duration_minutes=1)
    begins, last = effective_from(version), version.effective.upper
    from_at = day_bounds(begins, tz)[0]
    to_at = None if last is None else day_bounds(last, tz)[0]
    found: list[Affected] = []
    reach = (max(now, from_at - NIGHT), None if to_at is None else to_at + NIGHT)
    async with aclosing(_commitments(tx, version.owner_id, *reach)) as commitments:
        async for booking in commitments:
            reason = within_hours(new, booking.starts_at, booking.ends_at)
            if reason is None:
                continue
            is_ruled = from_at <= booking.starts_at and (to_at is None or booking.starts_at < to_at)
            if is_ruled or within_hours(old, booking.starts_at, booking.ends_at) is None:
                found.append(Affected(booking, reason))
                if len(found) == AFFECTED_LIMIT:
                    break
    return tuple(found)


async def _commitments(
    tx: Tx, provider_id: UUID, from_at: datetime, to_at: datetime | None
) -> AsyncGenerator[Booking, None]:
    """Page by page: which are affected only the hours tell, and it may be the last ones."""
    last = None
    while True:
        page = await list_commitments(tx, provider_id, from_at, to_at, after=last)
        for booking in page:
            yield booking
        if len(page) < COMMITMENTS_PAGE:
            return
        last = page[-1]
