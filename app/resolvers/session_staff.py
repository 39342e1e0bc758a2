"""What the staff do with a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from app.commands import session as commands
from app.commands import session_cancel
from app.commands.actor import Actor
from app.commands.session_cancel import CancelSessionRequest
from app.core.database import Tx
from app.models import ActivitySession
from app.queries.session import SeenSession, get_session
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import role_of
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate


async def close_session(
    context: RequestContext, session_id: UUID, expected_version: int | None, idempotency_key: str | None
) -> SeenSession:
    """Raises Unauthenticated, NotFound, NotAllowed, StaleVersion, IdempotencyConflict; so do the others."""
    return await _change(
        context,
        "closeSession",
        session_id,
        {"expected_version": expected_version},
        idempotency_key,
        lambda tx, _tenancy, actor: commands.close_session(tx, actor, session_id, expected_version),
    )


async def reopen_session(
    context: RequestContext, session_id: UUID, expected_version: int | None, idempotency_key: str | None
) -> SeenSession:
    return await _change(
        context,
        "reopenSession",
        session_id,
        {"expected_version": expected_version},
        idempotency_key,
        lambda tx, _tenancy, actor: commands.reopen_session(tx, actor, session_id, expected_version, context.now()),
    )


async def change_capacity(
    context: RequestContext,
    session_id: UUID,
    capacity: int,
    expected_version: int | None,
    idempotency_key: str | None,
) -> SeenSession:
    return await _change(
        context,
        "changeSessionCapacity",
        session_id,
        {"capacity": capacity, "expected_version": expected_version},
        idempotency_key,
        lambda tx, _tenancy, actor: commands.change_capacity(tx, actor, session_id, capacity, expected_version),
    )


async def cancel_session(
    context: RequestContext, request: CancelSessionRequest, idempotency_key: str | None
) -> SeenSession:
    """Raises InvalidInput too, where a booking has no answer."""
    return await _change(
        context,
        "cancelSession",
        request.session_id,
        request,
        idempotency_key,
        lambda tx, tenancy, actor: session_cancel.cancel_session(tx, tenancy, request, actor=actor, now=context.now()),
    )


async def _change(  # noqa: PLR0917 (as all changes: who, what, to what, and how)
    context: RequestContext,
    operation: str,
    session_id: UUID,
    request: object,
    idempotency_key: str | None,
    command: Callable[[Tx, Tenancy, Actor], Awaitable[ActivitySession]],
) -> SeenSession:
    """Any member of the organization may. The session is read as it is afterwards."""
    context.require_viewer()

    async def run(tx: Tx, tenancy: Tenancy) -> SeenSession:
        await command(tx, tenancy, context.actor(role_of(tenancy).value))
        await tx.flush()
        tx.expunge_all()
        return await get_session(tx, session_id, for_staff=True)

    async def again(tx: Tx, tenancy: Tenancy, _facts: dict[str, Any]) -> SeenSession:
        role_of(tenancy)
        return await get_session(tx, session_id, for_staff=True)

    return await mutate(
        context,
        operation,
        at=(Door.SESSION, session_id),
        request=request,
        idempotency_key=idempotency_key,
        command=run,
        remembered=Remembered(facts=lambda seen: {"version": seen.session.version}, again=again),
    )
