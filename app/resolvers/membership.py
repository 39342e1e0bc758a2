"""Who works in an organization."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.commands import membership as commands
from app.core.database import Tx
from app.domain.membership import Role
from app.models import Membership
from app.queries.rows import get_row
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import require_admin, role_of
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate


async def add_member(
    context: RequestContext, organization_id: UUID, email: str, role: Role, idempotency_key: str | None
) -> Membership:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict."""
    context.require_viewer()
    facts = commands.FORM.clean({"email": email, "role": role})

    async def make(tx: Tx, tenancy: Tenancy) -> Membership:
        giver = require_admin(tenancy)
        actor = context.actor(giver.value)
        return await commands.add_member(tx, tenancy.organization_id, actor, giver, **facts)

    async def again(tx: Tx, tenancy: Tenancy, known: dict[str, Any]) -> Membership:
        role_of(tenancy)
        return await get_row(tx, Membership, UUID(known["id"]))

    return await mutate(
        context,
        "addMember",
        at=(Door.ORGANIZATION, organization_id),
        request=facts,
        idempotency_key=idempotency_key,
        command=make,
        remembered=Remembered(facts=lambda made: {"id": str(made.id)}, again=again),
    )


async def remove_member(
    context: RequestContext, organization_id: UUID, user_id: UUID, idempotency_key: str | None
) -> UUID:
    """The id of the membership that was. Raises Unauthenticated, NotFound, NotAllowed, IdempotencyConflict."""
    context.require_viewer()

    async def remove(tx: Tx, tenancy: Tenancy) -> UUID:
        remover = role_of(tenancy)
        actor = context.actor(remover.value)
        return (await commands.remove_member(tx, tenancy.organization_id, actor, remover, user_id)).id

    async def again(_tx: Tx, _tenancy: Tenancy, known: dict[str, Any]) -> UUID:
        return UUID(known["id"])  # one who has left may repeat it too

    return await mutate(
        context,
        "removeMember",
        at=(Door.ORGANIZATION, organization_id),
        request={"user_id": user_id},
        idempotency_key=idempotency_key,
        command=remove,
        remembered=Remembered(facts=lambda membership_id: {"id": str(membership_id)}, again=again),
    )
