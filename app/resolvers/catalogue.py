"""What every noun of the catalogue shares: being read by its id, listed in pages, and changed by those who may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select

from app.commands.actor import Actor
from app.core.database import Tx
from app.domain.errors import NotAllowed, NotFound
from app.domain.membership import Role
from app.models.base import Identified
from app.queries.pagination import Page, PageRequest, SortKey, count_rows, fetch_page
from app.queries.rows import get_row
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate

R = TypeVar("R", bound=Identified)
T = TypeVar("T")

Command = Callable[[Tx, UUID, Actor], Awaitable[T]]
"""Given the transaction, the organization and who acts."""


async def read_one(
    context: RequestContext, door: Door, name: UUID | str, get: Callable[[Tx, Tenancy], Awaitable[R]]
) -> R:
    """What `name` names, if the viewer may see it. Raises NotFound. `get` spends one more statement."""
    async with context.read(door, name) as (tx, tenancy):
        record = await get(tx, tenancy)
    context.loaders.prime_tenancy(tenancy)
    context.loaders.prime(record)
    return record


async def read_page(
    context: RequestContext,
    organization_id: UUID,
    select: Callable[[Tenancy], Select[R]],
    key: SortKey,
    request: PageRequest,
) -> Page[R]:
    """A page of what the viewer may see. Two statements. Raises NotFound for an organization that is not there."""
    async with context.read(Door.ORGANIZATION, organization_id) as (tx, tenancy):
        page = await fetch_page(tx, select(tenancy), key, request)
    context.loaders.prime_tenancy(tenancy)
    context.loaders.prime(*(record for record, _ in page.items))
    return page


async def read_count(context: RequestContext, organization_id: UUID, select: Callable[[Tenancy], Select[R]]) -> int:
    """How many there are in all pages. Two statements."""
    async with context.read(Door.ORGANIZATION, organization_id) as (tx, tenancy):
        return await count_rows(tx, select(tenancy))


def role_of(tenancy: Tenancy) -> Role:
    """The viewer's role. Raises NotFound for one who has none: to them there is nothing here to change."""
    if tenancy.role is None:
        raise NotFound
    return Role(tenancy.role)


def require_admin(tenancy: Tenancy) -> Role:
    """Raises NotFound for a stranger, NotAllowed for staff."""
    role = role_of(tenancy)
    if role not in {Role.OWNER, Role.ADMIN}:
        raise NotAllowed("role", "Only an owner or an admin of the organization can change this.")
    return role


async def change(
    context: RequestContext,
    operation: str,
    at: tuple[Door, UUID],
    request: Mapping[str, Any],
    *,
    idempotency_key: str | None,
    command: Command[R],
    model: type[R],
) -> R:
    """Let an owner or an admin make or change one row of the catalogue. Raises Unauthenticated, NotFound, NotAllowed.

    `at` names the organization, by itself or by something of it; with `request` it is what the key stands for.
    """

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> R:
        role_of(tenancy)
        return await get_row(tx, model, UUID(facts["id"]))

    remembered: Remembered[R] = Remembered(facts=lambda record: {"id": str(record.id)}, again=again)
    record = await change_as_admin(
        context, operation, at, request, idempotency_key=idempotency_key, command=command, remembered=remembered
    )
    context.loaders.prime(record)
    return record


async def change_as_admin(
    context: RequestContext,
    operation: str,
    at: tuple[Door, UUID],
    request: Mapping[str, Any],
    *,
    idempotency_key: str | None,
    command: Command[T],
    remembered: Remembered[T],
) -> T:
    """As `change`, for a result that is not one row."""
    context.require_viewer()

    async def run(tx: Tx, tenancy: Tenancy) -> T:
        role = require_admin(tenancy)
        return await command(tx, tenancy.organization_id, context.actor(role.value))

    return await mutate(
        context,
        operation,
        at=at,
        request={"at": str(at[1]), **request},
        idempotency_key=idempotency_key,
        command=run,
        remembered=remembered,
    )
