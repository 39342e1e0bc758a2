"""Organizations: reading and changing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.commands import organization as commands
from app.core.database import Tx
from app.domain.errors import BadInput, NotFound
from app.domain.text import check_slug
from app.models import Organization
from app.queries.rows import get_row
from app.queries.tenancy import Door, Tenancy, bind
from app.resolvers.catalogue import change, read_one
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate


def one_of(first: tuple[str, object], second: tuple[str, object]) -> None:
    """Raises BadInput unless exactly one of two arguments, each (name, value), is given."""
    if (first[1] is None) is (second[1] is None):
        raise BadInput.at(first[0], f"give either {first[0]} or {second[0]}")


async def read_organization(context: RequestContext, organization_id: UUID | None, slug: str | None) -> Organization:
    """Exactly one of the two. Raises BadInput, NotFound."""
    one_of(("id", organization_id), ("slug", slug))
    door, name = Door.ORGANIZATION, organization_id or _slug(slug)
    if organization_id is None:
        door = Door.SLUG
    return await read_one(context, door, name, lambda tx, tenancy: get_row(tx, Organization, tenancy.organization_id))


def _slug(slug: str | None) -> str:
    try:
        return check_slug(slug or "")
    except ValueError:
        raise NotFound from None  # nobody can have it


async def create_organization(
    context: RequestContext, values: Mapping[str, Any], idempotency_key: str | None
) -> Organization:
    """The viewer becomes its owner. Raises Unauthenticated, InvalidInput, IdempotencyConflict."""
    viewer = context.require_viewer()
    facts = commands.FORM.clean(values)
    offset = context.services.clock.offset

    async def make(tx: Tx, _: Tenancy) -> Organization:
        return await commands.create_organization(tx, context.actor("owner"), viewer.user_id, facts, offset)

    async def again(tx: Tx, _: Tenancy, known: dict[str, Any]) -> Organization:
        organization_id = UUID(known["id"])
        await bind(tx, organization_id=organization_id, user_id=viewer.user_id, clock_offset=offset)
        return await get_row(tx, Organization, organization_id)

    organization = await mutate(
        context,
        "createOrganization",
        at=None,
        request=facts,
        idempotency_key=idempotency_key,
        command=make,
        remembered=Remembered(facts=lambda made: {"id": str(made.id)}, again=again),
    )
    context.loaders.prime(organization)
    return organization


async def update_organization(
    context: RequestContext, organization_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> Organization:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict."""
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "updateOrganization",
        (Door.ORGANIZATION, organization_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.update_organization(
            tx, organization, actor, facts, context.now()
        ),
        model=Organization,
    )
