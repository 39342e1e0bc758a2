"""Batch loaders of bulk changes, for `app.resolvers.loaders`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TypeAlias
from uuid import UUID

from strawberry.dataloader import DataLoader

from app.core.database import Tx
from app.models import Booking, BulkChangeItem
from app.queries.bulk import list_items, list_new_bookings
from app.resolvers.loader_base import Key, LoaderBase

CHANGES_AT_ONCE = 20
"""Each may have a thousand bookings."""
Items: TypeAlias = list[tuple[BulkChangeItem, Booking]]


class BulkLoaders(LoaderBase):
    """What `Loaders` has of bulk changes."""

    @cached_property
    def items_by_bulk_change_id(self) -> DataLoader[Key, Items]:
        """By the starts of their bookings, which are shown as they are now."""

        async def fetch(tx: Tx, ids: Sequence[UUID]) -> Mapping[UUID, Items]:
            found: dict[UUID, Items] = {}
            for item, booking in await list_items(tx, ids):
                found.setdefault(item.bulk_change_id, []).append((item, booking))
            return found

        async def load(keys: list[Key]) -> list[Items]:
            found = await self._read(keys, fetch)
            return [found.get(key, []) for key in keys]

        return DataLoader(load, max_batch_size=CHANGES_AT_ONCE)

    @cached_property
    def new_bookings_of_all(self) -> DataLoader[Key, list[Booking]]:
        """By bulk change: what is not in its plan, whoever's it is."""
        return self._new_bookings(is_own=False)

    @cached_property
    def new_bookings_of_own(self) -> DataLoader[Key, list[Booking]]:
        """The same as its provider sees it."""
        return self._new_bookings(is_own=True)

    def _new_bookings(self, *, is_own: bool) -> DataLoader[Key, list[Booking]]:
        async def fetch(tx: Tx, ids: Sequence[UUID]) -> Mapping[UUID, list[Booking]]:
            return await list_new_bookings(tx, ids, is_own=is_own)

        async def load(keys: list[Key]) -> list[list[Booking]]:
            found = await self._read(keys, fetch)
            return [found.get(key, []) for key in keys]

        return DataLoader(load, max_batch_size=CHANGES_AT_ONCE)
