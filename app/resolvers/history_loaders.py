"""Batch loaders of what happened to bookings, for `app.resolvers.loaders`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TypeAlias
from uuid import UUID

from strawberry.dataloader import DataLoader

from app.core.database import Tx
from app.domain.errors import NotFound
from app.models import AuditEntry
from app.queries.booking_history import RecordedBooking, actor_names, count_entries, first_pages, recorded_bookings
from app.queries.pagination import Page
from app.resolvers.loader_base import BATCH_MAXIMUM, Key, LoaderBase

NamedPage: TypeAlias = tuple[Page[AuditEntry], Mapping[UUID, str]]
"""Entries, and the names of the accounts that acted on the booking, if they were asked for."""


class HistoryLoaders(LoaderBase):
    """What `Loaders` has of the past of bookings."""

    @cached_property
    def _pages(self) -> dict[tuple[int, bool, bool], DataLoader[Key, NamedPage]]:
        return {}

    def first_history_page(self, size: int, *, backward: bool, has_names: bool) -> DataLoader[Key, NamedPage]:
        """By booking id: of so many entries. Those who ask for as many are read together."""
        wanted = (size, backward, has_names)
        known = self._pages.get(wanted)
        if known is None:
            known = self._pages[wanted] = self._page_loader(size, backward=backward, has_names=has_names)
        return known

    def _page_loader(self, size: int, *, backward: bool, has_names: bool) -> DataLoader[Key, NamedPage]:
        async def fetch(tx: Tx, ids: Sequence[UUID]) -> Mapping[UUID, NamedPage]:
            pages = await first_pages(tx, ids, size, backward=backward)
            names = await actor_names(tx, ids) if has_names else {}
            return {booking_id: (page, names.get(booking_id, {})) for booking_id, page in pages.items()}

        async def load(keys: list[Key]) -> list[NamedPage]:
            found = await self._read(keys, fetch)
            return [found[key] for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    @cached_property
    def history_count_by_booking_id(self) -> DataLoader[Key, int]:
        async def load(keys: list[Key]) -> list[int]:
            found = await self._read(keys, count_entries)
            return [found.get(key, 0) for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    @cached_property
    def recorded_by_booking_id(self) -> DataLoader[Key, RecordedBooking]:
        async def load(keys: list[Key]) -> list[RecordedBooking | BaseException]:
            found = await self._read(keys, recorded_bookings)
            return [found.get(key) or NotFound() for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)
