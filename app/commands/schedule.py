"""Publishing an owner's hours: a new version from a date on. What customers hold is never touched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import Range, distinct_on

from app.commands.actor import Actor
from app.commands.journal import Audit, Event, write_journal
from app.commands.session_generation import apply_schedule
from app.core.database import Tx
from app.core.ids import new_id
from app.domain import schedule
from app.domain.errors import InvalidInput, NotAllowed, NotFound
from app.domain.instants import MAXIMUM_DATE, day_bounds, local_date
from app.domain.openings import version_on
from app.domain.plan import MAXIMUM_WINDOW_DAYS
from app.domain.schedule import WeeklyHours, check_weekly, sorted_weekly, weekly_to_json
from app.domain.schedule_change import publish_over
from app.models import ScheduleVersion
from app.queries.commitment import AffectedBookings, Stretch, list_outside
from app.queries.hours import OwnerHours, hours_of
from app.queries.schedule import (
    Owner,
    OwnerKind,
    get_owner,
    last_number,
    list_versions_in_force,
    lock_owner,
    to_domain,
)
from app.queries.tenancy import Tenancy

FURTHEST = timedelta(days=3 * 365)


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """`effective_from` none: today in the owner's zone."""

    owner_id: UUID
    effective_from: date | None
    weekly: tuple[WeeklyHours, ...]
    slot_interval_minutes: int
    owner_kind: OwnerKind = OwnerKind.PROVIDER


@dataclass(frozen=True, slots=True)
class PlannedSchedule:
    """What publishing would do: `before` and `after` are the owner's hours without and with it."""

    owner: Owner
    version: schedule.ScheduleVersion
    before: OwnerHours
    after: OwnerHours
    affected: AffectedBookings

    @property
    def hours_before(self) -> tuple[WeeklyHours, ...]:
        """The week that ruled the new version's first day until now."""
        ruling = version_on(self.before.versions, self.version.effective_from)
        return () if ruling is None else ruling.weekly


@dataclass(frozen=True, slots=True)
class PublishedSchedule:
    """`affected`: bookings that stand although the new hours would not offer their time."""

    version: ScheduleVersion
    affected: AffectedBookings


async def plan_schedule(
    tx: Tx, tenancy: Tenancy, request: ScheduleRequest, *, now: datetime, lock: bool = False
) -> PlannedSchedule:
    """What would come of it; nothing is written. Raises NotFound, NotAllowed, InvalidInput.

    Four statements, and two for each COMMITMENTS_PAGE bookings.
    """
    require_manager(tenancy, request.owner_kind, request.owner_id)
    find = lock_owner if lock else get_owner
    owner = await find(tx, request.owner_kind, request.owner_id)
    today = local_date(now, owner.time_zone)
    start = request.effective_from or today
    _check(request, start, today)
    version = schedule.ScheduleVersion(
        id=new_id(),
        effective_from=start,
        effective_to=None,
        slot_interval_minutes=request.slot_interval_minutes,
        weekly=sorted_weekly(request.weekly),
    )
    before = await hours_of(tx, owner, start, _last_date(today))
    return await _planned(tx, owner, version, before, publish_over(before.versions, version), now=now)


async def _planned(
    tx: Tx,
    owner: Owner,
    version: schedule.ScheduleVersion,
    before: OwnerHours,
    in_force: tuple[schedule.ScheduleVersion, ...],
    *,
    now: datetime,
) -> PlannedSchedule:
    after = before.with_versions(in_force)
    [version] = [each for each in in_force if each.id == version.id] or [version]
    until = version.effective_to
    ruled = Stretch(
        day_bounds(version.effective_from, owner.time_zone)[0],
        None if until is None else day_bounds(until, owner.time_zone)[0],
    )
    affected = await list_outside(tx, {owner.id: before}, {owner.id: after}, ruled, now, whatever_was=True)
    return PlannedSchedule(owner, version, before, after, affected)


def _last_date(today: date) -> date:
    """Nothing can be booked further ahead."""
    return min(today + timedelta(days=MAXIMUM_WINDOW_DAYS), MAXIMUM_DATE)


async def publish_schedule(
    tx: Tx, tenancy: Tenancy, request: ScheduleRequest, *, actor: Actor, now: datetime
) -> PublishedSchedule:
    """In force from its date until the next planned version; one for the same date supersedes the first, which is kept.

    Sessions of an activity follow at once: those with bookings that the hours have no more become legacy. Owners,
    admins and the provider's own user may publish. Raises NotFound, NotAllowed, InvalidInput.
    """
    planned = await plan_schedule(tx, tenancy, request, now=now, lock=True)
    version = await put_in_force(tx, planned, actor, now)
    await follow_schedule(tx, planned.owner, actor, now)
    return PublishedSchedule(version, planned.affected)


async def follow_schedule(tx: Tx, owner: Owner, actor: Actor, now: datetime) -> None:
    """Bring an activity's sessions into line with its hours."""
    if owner.kind is OwnerKind.ACTIVITY:
        await apply_schedule(tx, owner.organization_id, owner.id, actor=actor, now=now)


async def put_in_force(tx: Tx, planned: PlannedSchedule, actor: Actor, now: datetime) -> ScheduleVersion:
    """Cut the version that reaches over the date, retire one that begins there, write the new one.

    `planned` was made in this transaction, with the owner locked. Sessions do not follow yet.
    """
    owner = planned.owner
    after = {version.id: version for version in planned.after.versions}
    for record in await list_versions_in_force(tx, owner.id):
        kept = after.get(record.id)
        if kept is None:
            record.superseded_at = now
        elif kept.effective_to != record.effective.upper:
            record.effective = Range(kept.effective_from, kept.effective_to)
    await tx.flush()
    version = ScheduleVersion(
        id=planned.version.id,
        organization_id=owner.organization_id,
        owner_id=owner.id,
        number=await last_number(tx, owner.id) + 1,
        effective=Range(planned.version.effective_from, planned.version.effective_to),
        slot_interval_minutes=planned.version.slot_interval_minutes,
        weekly=weekly_to_json(planned.version.weekly),
        published_by=actor.user_id,
        published_at=now,
    )
    tx.add(version)
    await tx.flush()
    await _tell(tx, version, actor)
    return version


async def affected_by(
    tx: Tx, tenancy: Tenancy, kind: OwnerKind, version: ScheduleVersion, now: datetime
) -> PublishedSchedule:
    """The same answer for a version that was published before, as things stand now. Raises NotFound, NotAllowed."""
    require_manager(tenancy, kind, version.owner_id)
    owner = await get_owner(tx, kind, version.owner_id)
    [published] = to_domain([version])
    hours = await hours_of(tx, owner, published.effective_from, _last_date(local_date(now, owner.time_zone)))
    before = hours.with_versions(await _in_force_before(tx, version))
    planned = await _planned(tx, owner, published, before, hours.versions, now=now)
    return PublishedSchedule(version, planned.affected)


def require_manager(tenancy: Tenancy, kind: OwnerKind, owner_id: UUID) -> None:
    """Owners, admins, and providers of their own hours. Raises NotFound for a stranger, NotAllowed for other staff."""
    if tenancy.is_admin or (kind is OwnerKind.PROVIDER and tenancy.provider_id == owner_id):
        return
    if not tenancy.is_staff:
        raise NotFound
    who = "an owner, an admin or the provider" if kind is OwnerKind.PROVIDER else "an owner or an admin"
    raise NotAllowed("role", f"Only {who} can change these hours.")


def _check(request: ScheduleRequest, start: date, today: date) -> None:
    violations = check_weekly(request.weekly, request.slot_interval_minutes)
    if violations:
        raise InvalidInput(violations)
    if start < today:
        raise InvalidInput.at("input.effectiveFrom", f"must be today ({today}) or later in the owner's zone")
    if start > today + FURTHEST:
        raise InvalidInput.at("input.effectiveFrom", "is more than three years away")


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
    """The hours that stood when this version was published: of each first day the latest, each until the next.

    Only those that rule a day from its own first day on: as many as there are days to plan ahead, however many versions
    came before.
    """
    first_day = func.lower(ScheduleVersion.effective)
    earlier = (ScheduleVersion.owner_id == version.owner_id, ScheduleVersion.number < version.number)
    ruling = select(func.max(first_day)).where(*earlier, first_day <= version.effective.lower).scalar_subquery()
    query = (
        select(ScheduleVersion)
        .ext(distinct_on(first_day))
        .where(*earlier, first_day >= func.coalesce(ruling, version.effective.lower))
        .order_by(first_day, ScheduleVersion.number.desc())
    )
    latest = to_domain((await tx.execute(query)).scalars().all())
    ends = (*(each.effective_from for each in latest[1:]), None)
    return tuple(replace(each, effective_to=end) for each, end in zip(latest, ends, strict=True))
