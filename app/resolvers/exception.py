"""Days that depart from the week, and time off: reading and changing them. Why is for few eyes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import exception as commands
from app.commands import time_off as time_off_commands
from app.commands.exception import ChangedException, ExceptionRequest
from app.commands.time_off import ChangedTimeOff, TimeOffRequest
from app.core.database import Tx
from app.domain.errors import NotFound
from app.models import ScheduleException
from app.queries.commitment import AffectedBookings, list_affected
from app.queries.exception import TimeOff, get_exception, get_time_off
from app.queries.rows import get_row
from app.queries.schedule import require_visible_owner
from app.queries.tenancy import Door, Tenancy
from app.resolvers.affected import ShownAffected, show, told_before, told_of
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate
from app.resolvers.schedule import DOORS


@dataclass(frozen=True, slots=True)
class SeenException:
    """`reason` as far as the one who asks may know it."""

    record: ScheduleException
    reason: str | None


@dataclass(frozen=True, slots=True)
class Excepted:
    seen: SeenException
    affected: ShownAffected


@dataclass(frozen=True, slots=True)
class TakenOff:
    time_off: TimeOff
    affected: ShownAffected


def _may_know_why(tenancy: Tenancy, owner_id: UUID) -> bool:
    return tenancy.is_staff or tenancy.provider_id == owner_id


def _seen(tenancy: Tenancy, record: ScheduleException) -> SeenException:
    return SeenException(record, record.reason if _may_know_why(tenancy, record.owner_id) else None)


def _role(tenancy: Tenancy) -> str:
    return "provider" if tenancy.role is None else tenancy.role


# ── exceptions ────────────────────────────────────────────────────────────────────────────────────────


async def exceptions_of(context: RequestContext, organization_id: UUID, owner_id: UUID) -> list[SeenException]:
    """Those of one owner that are not over, by date."""
    records = await context.loaders.exceptions_by_owner_id.load((organization_id, owner_id))
    if not records:
        return []
    tenancy = await context.loaders.tenancy_by_organization_id.load(organization_id)
    return [_seen(tenancy, record) for record in records]


async def read_exception(context: RequestContext, exception_id: UUID) -> SeenException:
    """Which days are closed is public, as far as it is whose they are. Raises NotFound."""
    async with context.read(Door.EXCEPTION, exception_id) as (tx, tenancy):
        record = await get_exception(tx, exception_id)
        await require_visible_owner(tx, record.owner_id, for_staff=tenancy.is_staff)
        return _seen(tenancy, record)


async def create_exception(context: RequestContext, request: ExceptionRequest, idempotency_key: str | None) -> Excepted:
    """Raises Unauthenticated, NotFound, NotAllowed, InvalidInput, IdempotencyConflict; so do the others."""

    async def command(tx: Tx, tenancy: Tenancy) -> ChangedException:
        actor = context.actor(_role(tenancy))
        return await commands.create_exception(tx, tenancy, request, actor=actor, now=context.now())

    at = (DOORS[request.owner_kind], request.owner_id)
    return await _change_exception(
        context, "createScheduleException", at, request=request, idempotency_key=idempotency_key, command=command
    )


async def remove_exception(context: RequestContext, exception_id: UUID, idempotency_key: str | None) -> Excepted:
    async def command(tx: Tx, tenancy: Tenancy) -> ChangedException:
        actor = context.actor(_role(tenancy))
        return await commands.remove_exception(tx, tenancy, exception_id, actor=actor, now=context.now())

    at = (Door.EXCEPTION, exception_id)
    return await _change_exception(
        context, "removeScheduleException", at, request=exception_id, idempotency_key=idempotency_key, command=command
    )


async def _change_exception(
    context: RequestContext,
    operation: str,
    at: tuple[Door, UUID],
    *,
    request: object,
    idempotency_key: str | None,
    command: Callable[[Tx, Tenancy], Awaitable[ChangedException]],
) -> Excepted:
    context.require_viewer()

    def excepted(tenancy: Tenancy, changed: ChangedException) -> Excepted:
        return Excepted(_seen(tenancy, changed.record), show(tenancy, changed.affected))

    async def run(tx: Tx, tenancy: Tenancy) -> Excepted:
        return excepted(tenancy, await command(tx, tenancy))

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> Excepted:
        record = await get_row(tx, ScheduleException, UUID(facts["id"]))
        if not _may_know_why(tenancy, record.owner_id):
            raise NotFound
        return excepted(tenancy, await commands.told_again(tx, record, told_before(facts["affected"])))

    def facts(made: Excepted) -> dict[str, Any]:
        return {"id": str(made.seen.record.id), "affected": told_of(made.affected.bookings)}

    return await mutate(
        context,
        operation,
        at=at,
        request=request,
        idempotency_key=idempotency_key,
        command=run,
        remembered=Remembered(facts=facts, again=again),
    )


# ── time off ──────────────────────────────────────────────────────────────────────────────────────────


async def time_off_of_provider(context: RequestContext, organization_id: UUID, provider_id: UUID) -> list[TimeOff]:
    """What is not over, by start. None for those who may not know."""
    tenancy = await context.loaders.tenancy_by_organization_id.load(organization_id)
    if not _may_know_why(tenancy, provider_id):
        return []
    return await context.loaders.time_off_by_provider_id.load((organization_id, provider_id))


async def time_off_of_resource(context: RequestContext, organization_id: UUID, resource_id: UUID) -> list[TimeOff]:
    """What is not over of its units, by start. None for those who may not know."""
    tenancy = await context.loaders.tenancy_by_organization_id.load(organization_id)
    if not tenancy.is_staff:
        return []
    return await context.loaders.time_off_by_resource_id.load((organization_id, resource_id))


async def read_time_off(context: RequestContext, time_off_id: UUID) -> TimeOff:
    """For staff, and for the provider whose it is. Raises NotFound."""
    async with context.read(Door.TIME_OFF, time_off_id) as (tx, tenancy):
        return _visible(tenancy, await get_time_off(tx, time_off_id))


def _visible(tenancy: Tenancy, time_off: TimeOff) -> TimeOff:
    if not _may_know_why(tenancy, time_off.record.subject_id):
        raise NotFound
    return time_off


async def create_time_off(context: RequestContext, request: TimeOffRequest, idempotency_key: str | None) -> TakenOff:
    """Raises Unauthenticated, NotFound, NotAllowed, InvalidInput, IdempotencyConflict; so does removing."""
    context.require_viewer()
    time_off_commands.check_time_off(request)

    def taken_off(tenancy: Tenancy, changed: ChangedTimeOff) -> TakenOff:
        return TakenOff(changed.time_off, show(tenancy, changed.affected))

    async def command(tx: Tx, tenancy: Tenancy) -> TakenOff:
        actor = context.actor(_role(tenancy))
        made = await time_off_commands.create_time_off(tx, tenancy, request, actor=actor, now=context.now())
        return taken_off(tenancy, made)

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> TakenOff:
        time_off = _visible(tenancy, await get_time_off(tx, UUID(facts["id"]), with_removed=True))
        affected = AffectedBookings(await list_affected(tx, told_before(facts["affected"])))
        return taken_off(tenancy, ChangedTimeOff(time_off, affected))

    if request.provider_id is not None:
        at = (Door.PROVIDER, request.provider_id)
    else:
        assert request.resource_id is not None  # one of the two was asked for
        at = (Door.RESOURCE, request.resource_id)
    return await mutate(
        context,
        "createTimeOff",
        at=at,
        request=request,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(
            facts=lambda made: {"id": str(made.time_off.record.id), "affected": told_of(made.affected.bookings)},
            again=again,
        ),
    )


async def remove_time_off(context: RequestContext, time_off_id: UUID, idempotency_key: str | None) -> TimeOff:
    context.require_viewer()

    async def command(tx: Tx, tenancy: Tenancy) -> TimeOff:
        actor = context.actor(_role(tenancy))
        return await time_off_commands.remove_time_off(tx, tenancy, time_off_id, actor=actor, now=context.now())

    async def again(tx: Tx, tenancy: Tenancy, _facts: dict[str, Any]) -> TimeOff:
        return _visible(tenancy, await get_time_off(tx, time_off_id, with_removed=True))

    return await mutate(
        context,
        "removeTimeOff",
        at=(Door.TIME_OFF, time_off_id),
        request=time_off_id,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda made: {"id": str(made.record.id)}, again=again),
    )
