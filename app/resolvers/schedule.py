"""Publishing hours, and looking at what that would do."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import UUID

from app.commands import schedule as commands
from app.commands.schedule import PublishedSchedule, ScheduleRequest
from app.commands.schedule_preview import PreviewOutdated, SchedulePreview, preview_schedule
from app.commands.schedule_resolution import ResolvedRequest, publish_with_resolutions
from app.core.database import Tx
from app.models import ScheduleVersion
from app.queries.schedule import OwnerKind, get_version, require_visible_owner
from app.queries.tenancy import Door, Tenancy
from app.resolvers.affected import ShownAffected, show
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate

DOORS = MappingProxyType(
    {OwnerKind.PROVIDER: Door.PROVIDER, OwnerKind.ACTIVITY: Door.ACTIVITY, OwnerKind.VENUE: Door.VENUE}
)


@dataclass(frozen=True, slots=True)
class Published:
    """What was published, and the bookings that stand outside."""

    version: ScheduleVersion
    affected: ShownAffected


@dataclass(frozen=True, slots=True)
class Outdated:
    """Nothing was published: the preview is no longer true."""

    message: str
    affected: ShownAffected


@dataclass(frozen=True, slots=True)
class Previewed:
    preview: SchedulePreview
    affected: ShownAffected


async def preview(context: RequestContext, request: ScheduleRequest) -> Previewed:
    """Raises Unauthenticated, NotFound, NotAllowed, InvalidInput."""
    context.require_viewer()
    async with context.read(DOORS[request.owner_kind], request.owner_id) as (tx, tenancy):
        found = await preview_schedule(tx, context.services.tokens, tenancy, request, context.now())
    return Previewed(found, show(tenancy, found.affected))


async def publish_schedule(
    context: RequestContext, request: ResolvedRequest, idempotency_key: str | None
) -> Published | Outdated:
    """Raises Unauthenticated, NotFound, NotAllowed, InvalidInput, IdempotencyConflict."""
    context.require_viewer()
    kind = request.schedule.owner_kind
    publisher = Tenancy(UUID(int=0))

    async def command(tx: Tx, tenancy: Tenancy) -> Published:
        nonlocal publisher
        publisher = tenancy
        role = "provider" if tenancy.role is None else tenancy.role
        return _published(
            tenancy,
            await publish_with_resolutions(
                tx, context.services.tokens, tenancy, request, actor=context.actor(role), now=context.now()
            ),
        )

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> Published:
        version = await get_version(tx, UUID(facts["versionId"]))
        return _published(tenancy, await commands.affected_by(tx, tenancy, kind, version, context.now()))

    try:
        return await mutate(
            context,
            "publishSchedule",
            at=(DOORS[kind], request.schedule.owner_id),
            request=request,
            idempotency_key=idempotency_key,
            command=command,
            remembered=Remembered(facts=lambda made: {"versionId": str(made.version.id)}, again=again),
        )
    except PreviewOutdated as outdated:
        return Outdated(outdated.message, show(publisher, outdated.affected))


def _published(tenancy: Tenancy, published: PublishedSchedule) -> Published:
    return Published(published.version, show(tenancy, published.affected))


async def read_schedule(context: RequestContext, version_id: UUID) -> ScheduleVersion:
    """Hours are public, as far as it is whose they are. Raises NotFound."""
    async with context.read(Door.SCHEDULE, version_id) as (tx, tenancy):
        version = await get_version(tx, version_id)
        await require_visible_owner(tx, version.owner_id, for_staff=tenancy.is_staff)
        return version
