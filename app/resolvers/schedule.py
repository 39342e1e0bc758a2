"""Publishing hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import schedule as commands
from app.commands.booking_change import search_of_booking
from app.commands.schedule import PublishedSchedule, ScheduleRequest
from app.core.database import Tx
from app.domain.errors import Alternatives
from app.domain.policy import ActorKind
from app.models import Booking, ScheduleVersion
from app.queries.booking import SeenBooking
from app.queries.schedule import get_version
from app.queries.tenancy import Door, Tenancy
from app.resolvers.alternatives import find_alternatives
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate


@dataclass(frozen=True, slots=True)
class Published:
    """What was published, and in what role: the affected bookings are shown in it."""

    schedule: PublishedSchedule
    viewer: ActorKind

    def seen(self, booking: Booking) -> SeenBooking:
        return SeenBooking(booking, self.viewer)


async def publish_schedule(context: RequestContext, request: ScheduleRequest, idempotency_key: str | None) -> Published:
    """Raises Unauthenticated, NotFound, NotAllowed, InvalidInput, IdempotencyConflict."""
    context.require_viewer()

    async def command(tx: Tx, tenancy: Tenancy) -> Published:
        role = _role(tenancy)
        published = await commands.publish_schedule(
            tx, tenancy, request, actor=context.actor(role.value), now=context.now()
        )
        return Published(published, role)

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> Published:
        version = await get_version(tx, UUID(facts["versionId"]))
        return Published(await commands.affected_by(tx, tenancy, version, context.now()), _role(tenancy))

    return await mutate(
        context,
        "publishSchedule",
        at=(Door.PROVIDER, request.owner_id),
        request=request,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda made: {"versionId": str(made.schedule.version.id)}, again=again),
    )


def _role(tenancy: Tenancy) -> ActorKind:
    return ActorKind.PROVIDER if tenancy.role is None else ActorKind(tenancy.role)


async def alternatives_for(context: RequestContext, booking: Booking) -> Alternatives:
    """Where a booking that falls outside the new hours could go."""
    return await find_alternatives(context, search_of_booking(booking))


async def read_schedule(context: RequestContext, version_id: UUID) -> ScheduleVersion:
    """Hours are public. Raises NotFound."""
    async with context.read(Door.SCHEDULE, version_id) as (tx, _):
        return await get_version(tx, version_id)
