"""How batch loaders read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from app.core.database import Tx
from app.domain.errors import NotFound
from app.models.base import Identified
from app.queries.rows import list_rows
from app.resolvers.context import RequestContext

V = TypeVar("V")
R = TypeVar("R", bound=Identified)

Key: TypeAlias = tuple[UUID, UUID]
"""(organization id, id)."""
Fetch: TypeAlias = Callable[[Tx, Sequence[UUID]], Awaitable[Mapping[UUID, V]]]

BATCH_MAXIMUM = 500
"""Most keys of one batch."""


class LoaderBase:
    """A batch is read organization by organization, each in a transaction bound to it: two statements."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def _rows(self, model: type[R]) -> DataLoader[Key, R]:
        async def fetch(tx: Tx, ids: Sequence[UUID]) -> Mapping[UUID, R]:
            return await list_rows(tx, model, ids)

        async def load(keys: list[Key]) -> list[R | BaseException]:
            found = await self._read(keys, fetch)
            return [found.get(key) or NotFound() for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    def _lists(self, fetch: Fetch[list[V]]) -> DataLoader[Key, list[V]]:
        async def load(keys: list[Key]) -> list[list[V] | BaseException]:
            found = await self._read(keys, fetch)
            return [found.get(key, []) for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    async def _read(self, keys: Sequence[Key], fetch: Fetch[V]) -> dict[Key, V]:
        by_organization: dict[UUID, list[UUID]] = {}
        for organization_id, row_id in keys:
            by_organization.setdefault(organization_id, []).append(row_id)

        async def read(organization_id: UUID, ids: list[UUID]) -> dict[Key, V]:
            async with self._context.read_bound(organization_id) as tx:
                rows = await fetch(tx, ids)
            return {(organization_id, row_id): row for row_id, row in rows.items()}

        parts = await asyncio.gather(*(read(*part) for part in by_organization.items()))
        return {key: row for part in parts for key, row in part.items()}
