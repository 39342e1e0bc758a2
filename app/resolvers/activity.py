"""Activities: reading and changing them, and making their sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from app.commands import activity as commands
from app.commands.activity import Taken
from app.commands.actor import Actor
from app.commands.schedule import ScheduleRequest, publish_schedule
from app.commands.session_generation import GeneratedSessions, generate_until
from app.core.database import Tx
from app.domain.errors import InvalidInput
from app.domain.instants import day_bounds, local_date, zone
from app.domain.schedule_import import ImportedSchedule
from app.models import Activity, ScheduleVersion
from app.queries.activity import (
    ACTIVITY_SORTS,
    ActivityFilter,
    ActivitySort,
    get_activity,
    lock_activity,
    select_activities,
)
from app.queries.pagination import Page, PageRequest
from app.queries.rows import get_row
from app.queries.schedule import OwnerKind, get_version
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import change, change_as_admin, read_count, read_one, read_page, role_of
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate


async def read_activity(context: RequestContext, activity_id: UUID) -> Activity:
    """Raises NotFound."""
    return await read_one(
        context,
        Door.ACTIVITY,
        activity_id,
        lambda tx, tenancy: get_activity(tx, activity_id, for_staff=tenancy.is_staff),
    )


@dataclass(frozen=True, slots=True)
class ActivityList:
    """A list of activities, page by page."""

    context: RequestContext
    organization_id: UUID
    wanted: ActivityFilter

    async def page(self, sort: ActivitySort, request: PageRequest) -> Page[Activity]:
        return await read_page(self.context, self.organization_id, self._select, ACTIVITY_SORTS[sort], request)

    async def count(self) -> int:
        return await read_count(self.context, self.organization_id, self._select)

    def _select(self, tenancy: Tenancy) -> Any:
        return select_activities(self.organization_id, self.wanted, for_staff=tenancy.is_staff)


async def currency_of(context: RequestContext, organization_id: UUID) -> str:
    return (await context.loaders.organization_by_id.load((organization_id, organization_id))).currency


async def create_activity(
    context: RequestContext,
    venue_id: UUID,
    values: Mapping[str, Any],
    taken: Taken,
    idempotency_key: str | None,
) -> Activity:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict; so do the others."""
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "createActivity",
        (Door.VENUE, venue_id),
        {**facts, "taken": taken},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.create_activity(
            tx, organization, actor, venue_id, facts, taken
        ),
        model=Activity,
    )


async def update_activity(
    context: RequestContext,
    activity_id: UUID,
    values: Mapping[str, Any],
    taken: Taken,
    idempotency_key: str | None,
) -> Activity:
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "updateActivity",
        (Door.ACTIVITY, activity_id),
        {**facts, "taken": taken},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.update_activity(
            tx, organization, actor, activity_id, facts, taken, now=context.now()
        ),
        model=Activity,
    )


async def set_activity_active(
    context: RequestContext, activity_id: UUID, is_active: bool, idempotency_key: str | None
) -> Activity:
    return await change(
        context,
        "reactivateActivity" if is_active else "deactivateActivity",
        (Door.ACTIVITY, activity_id),
        {},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.set_activity_active(
            tx, organization, actor, activity_id, is_active, context.now()
        ),
        model=Activity,
    )


CONFLICTS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Generation:
    """How many sessions one generation made and changed, and at most CONFLICTS_SHOWN starts that it could not make."""

    activity: Activity
    created: int
    restored: int
    legacy: int
    cancelled: int
    conflict_count: int
    conflicts: tuple[datetime, ...]

    @classmethod
    def of(cls, activity: Activity, sessions: GeneratedSessions) -> Generation:
        return cls(
            activity,
            created=len(sessions.created),
            restored=len(sessions.restored),
            legacy=len(sessions.legacy),
            cancelled=len(sessions.cancelled),
            conflict_count=sessions.conflict_count,
            conflicts=sessions.conflicts[:CONFLICTS_SHOWN],
        )

    def facts(self) -> dict[str, Any]:
        """All but the activity itself, as kept with an idempotency key."""
        return {
            "id": str(self.activity.id),
            "counts": [self.created, self.restored, self.legacy, self.cancelled, self.conflict_count],
            "conflicts": [instant.isoformat() for instant in self.conflicts],
        }

    @classmethod
    def from_facts(cls, activity: Activity, facts: dict[str, Any]) -> Generation:
        created, restored, legacy, cancelled, conflict_count = facts["counts"]
        conflicts = tuple(datetime.fromisoformat(text) for text in facts["conflicts"])
        return cls(activity, created, restored, legacy, cancelled, conflict_count, conflicts)


async def _generation_again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> Generation:
    role_of(tenancy)
    return Generation.from_facts(await get_row(tx, Activity, UUID(facts["id"])), facts)


async def generate_sessions(
    context: RequestContext, activity_id: UUID, until: date, idempotency_key: str | None
) -> Generation:
    """Make the sessions up to the end of the venue's date `until`, now. Raises as the others."""

    async def command(tx: Tx, _organization_id: UUID, actor: Actor) -> Generation:
        now = context.now()
        _, zone_name = await lock_activity(tx, activity_id)
        tz = zone(zone_name)
        if until < local_date(now, tz):
            raise InvalidInput.at("input.until", f"must be today ({local_date(now, tz)}) or later at the venue")
        end = day_bounds(until, tz)[1]
        return Generation.of(*await generate_until(tx, activity_id, end, actor=actor, now=now))

    generation = await change_as_admin(
        context,
        "generateSessions",
        (Door.ACTIVITY, activity_id),
        {"until": until},
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=Generation.facts, again=_generation_again),
    )
    context.loaders.prime(generation.activity)
    return generation


async def import_schedule(
    context: RequestContext,
    activity_id: UUID,
    imported: ImportedSchedule,
    effective_from: date | None,
    idempotency_key: str | None,
) -> ScheduleVersion:
    """Publish another system's schedule as the activity's, sessions and all. Raises as the others."""
    context.require_viewer()
    wanted = ScheduleRequest(
        activity_id, effective_from, imported.weekly, imported.slot_interval_minutes, OwnerKind.ACTIVITY
    )

    async def command(tx: Tx, tenancy: Tenancy) -> ScheduleVersion:
        actor = context.actor(role_of(tenancy).value)
        return (await publish_schedule(tx, tenancy, wanted, actor=actor, now=context.now())).version

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> ScheduleVersion:
        role_of(tenancy)
        return await get_version(tx, UUID(facts["versionId"]))

    return await mutate(
        context,
        "importActivitySchedule",
        at=(Door.ACTIVITY, activity_id),
        request=wanted,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda version: {"versionId": str(version.id)}, again=again),
    )
