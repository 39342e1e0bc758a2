"""Calendars elsewhere that block a provider: for the provider's own account, admins and owners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from app.commands import calendar_source as commands
from app.commands.actor import Actor
from app.core.database import Tx
from app.domain.errors import NotAllowed, NotFound
from app.models import CalendarSource, Provider
from app.models.base import Identified
from app.queries.calendar_source import lock_source
from app.queries.rows import get_row
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import role_of
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate

R = TypeVar("R", bound=Identified)
T = TypeVar("T")


def require_calendar_keeper(tenancy: Tenancy, provider_id: UUID) -> str:
    """As who the viewer acts. Raises NotFound for a stranger, NotAllowed for other staff."""
    if tenancy.is_admin:
        return role_of(tenancy).value
    if tenancy.provider_id == provider_id:
        return "provider"
    role_of(tenancy)
    raise NotAllowed("role", "Only the provider, an admin or an owner can see and change a provider's calendars.")


def _remembered(model: type[R], provider_of: Callable[[R], UUID]) -> Remembered[R]:
    """By its id, for those who may still keep the calendars of its provider."""

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> R:
        record = await get_row(tx, model, UUID(facts["id"]))
        require_calendar_keeper(tenancy, provider_of(record))
        return record

    return Remembered(facts=lambda record: {"id": str(record.id)}, again=again)


_SOURCE = _remembered(CalendarSource, lambda source: source.provider_id)
_PROVIDER = _remembered(Provider, lambda provider: provider.id)


async def read_calendar_source(context: RequestContext, source_id: UUID) -> CalendarSource:
    """Raises NotFound, NotAllowed for staff."""
    async with context.read(Door.CALENDAR_SOURCE, source_id) as (tx, tenancy):
        source = await get_row(tx, CalendarSource, source_id)
        require_calendar_keeper(tenancy, source.provider_id)
    if source.removed_at is not None:
        raise NotFound
    return source


async def list_calendar_sources(context: RequestContext, provider: Provider) -> list[CalendarSource]:
    """Nothing for those who may not see them."""
    tenancy = await context.loaders.tenancy_by_organization_id.load(provider.organization_id)
    try:
        require_calendar_keeper(tenancy, provider.id)
    except (NotFound, NotAllowed):
        return []
    return await context.loaders.calendar_sources_by_provider_id.load((provider.organization_id, provider.id))


async def connect_calendar(
    context: RequestContext, provider_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> CalendarSource:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict; so do the others."""
    context.require_viewer()
    facts = commands.FORM.clean(values)

    async def command(tx: Tx, organization_id: UUID, actor: Actor) -> CalendarSource:
        return await commands.connect_calendar(tx, organization_id, actor, provider_id, facts)

    return await _change_provider(
        context,
        "connectCalendar",
        provider_id,
        facts,
        idempotency_key=idempotency_key,
        command=command,
        remembered=_SOURCE,
    )


async def revoke_calendar_feed(context: RequestContext, provider_id: UUID, idempotency_key: str | None) -> Provider:
    async def command(tx: Tx, organization_id: UUID, actor: Actor) -> Provider:
        return await commands.revoke_calendar_feed(tx, organization_id, actor, provider_id)

    return await _change_provider(
        context,
        "revokeCalendarFeed",
        provider_id,
        {},
        idempotency_key=idempotency_key,
        command=command,
        remembered=_PROVIDER,
    )


async def disconnect_calendar(context: RequestContext, source_id: UUID, idempotency_key: str | None) -> Provider:
    """The provider who had it."""

    async def command(tx: Tx, actor: Actor, source: CalendarSource) -> Provider:
        await commands.disconnect_calendar(tx, source.organization_id, actor, source)
        return await get_row(tx, Provider, source.provider_id)

    return await _change_source(
        context, "disconnectCalendar", source_id, idempotency_key=idempotency_key, command=command, remembered=_PROVIDER
    )


async def refresh_calendar(context: RequestContext, source_id: UUID, idempotency_key: str | None) -> CalendarSource:
    """Also raises RateLimited."""

    async def command(tx: Tx, actor: Actor, source: CalendarSource) -> CalendarSource:
        return await commands.refresh_calendar(tx, actor, source, context.now())

    return await _change_source(
        context, "refreshCalendar", source_id, idempotency_key=idempotency_key, command=command, remembered=_SOURCE
    )


async def _change_provider(
    context: RequestContext,
    operation: str,
    provider_id: UUID,
    request: Mapping[str, Any],
    *,
    idempotency_key: str | None,
    command: Callable[[Tx, UUID, Actor], Awaitable[T]],
    remembered: Remembered[T],
) -> T:
    """`command` is given the organization and who acts."""
    context.require_viewer()

    async def run(tx: Tx, tenancy: Tenancy) -> T:
        actor = context.actor(require_calendar_keeper(tenancy, provider_id))
        return await command(tx, tenancy.organization_id, actor)

    at = (Door.PROVIDER, provider_id)
    return await mutate(
        context, operation, at=at, request=request, idempotency_key=idempotency_key, command=run, remembered=remembered
    )


async def _change_source(
    context: RequestContext,
    operation: str,
    source_id: UUID,
    *,
    idempotency_key: str | None,
    command: Callable[[Tx, Actor, CalendarSource], Awaitable[T]],
    remembered: Remembered[T],
) -> T:
    """`command` is given the source, locked."""
    context.require_viewer()

    async def run(tx: Tx, tenancy: Tenancy) -> T:
        source = await lock_source(tx, source_id)
        return await command(tx, context.actor(require_calendar_keeper(tenancy, source.provider_id)), source)

    at = (Door.CALENDAR_SOURCE, source_id)
    return await mutate(
        context, operation, at=at, request={}, idempotency_key=idempotency_key, command=run, remembered=remembered
    )
