"""Anything by its id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import strawberry

from app.core.ids import IdKind, WrongId, decode_any
from app.domain.errors import BadInput, NotFound
from app.resolvers.account import read_viewer
from app.resolvers.activity import read_activity
from app.resolvers.context import RequestContext
from app.resolvers.organization import read_organization
from app.resolvers.provider import read_provider
from app.resolvers.service import read_service
from app.resolvers.venue import read_venue
from app.schema.account import User
from app.schema.activity import Activity
from app.schema.info import Ctx
from app.schema.node import Node
from app.schema.organization import Organization
from app.schema.provider import Provider
from app.schema.service import Service
from app.schema.venue import Venue

NodeReader = Callable[[RequestContext, UUID], Awaitable[Node]]
"""Raises NotFound for what the viewer may not see."""


async def _organization(context: RequestContext, row_id: UUID) -> Node:
    return Organization.from_model(await read_organization(context, row_id, None))


async def _user(context: RequestContext, row_id: UUID) -> Node:
    viewer = await read_viewer(context) if row_id == context.user_id else None
    if viewer is None:
        raise NotFound
    return User.from_model(viewer)


async def _venue(context: RequestContext, row_id: UUID) -> Node:
    return Venue.from_model(await read_venue(context, row_id, None))


async def _provider(context: RequestContext, row_id: UUID) -> Node:
    return Provider.from_model(await read_provider(context, row_id))


async def _service(context: RequestContext, row_id: UUID) -> Node:
    return Service.from_model(await read_service(context, row_id))


async def _activity(context: RequestContext, row_id: UUID) -> Node:
    return Activity.from_model(await read_activity(context, row_id))


NODE_READERS: dict[IdKind, NodeReader] = {
    IdKind.ORGANIZATION: _organization,
    IdKind.USER: _user,
    IdKind.VENUE: _venue,
    IdKind.PROVIDER: _provider,
    IdKind.SERVICE: _service,
    IdKind.ACTIVITY: _activity,
}
"""How to read each kind of id. Other nouns add theirs (`root.py`)."""


@strawberry.type
class NodeQuery:
    @strawberry.field(description="Anything with an id.")
    async def node(self, info: Ctx, id: strawberry.ID) -> Node | None:
        try:
            kind, row_id = decode_any(id)
        except WrongId as wrong:
            raise BadInput.at("id", str(wrong)) from None
        reader = NODE_READERS.get(kind)
        if reader is None:
            prefixes = ", ".join(f"{known.value}_" for known in NODE_READERS)
            raise BadInput.at("id", f"expected an id that begins with one of {prefixes}")
        return await reader(info.context, row_id)
