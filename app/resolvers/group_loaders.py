"""Batch loaders of groups, for `app.resolvers.loaders`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from app.core.database import Tx
from app.models import BookingParticipant
from app.queries.participant import list_participants_below, list_private_sessions

V = TypeVar("V")
Key = tuple[UUID, UUID]
Fetch = Callable[[Tx, Sequence[UUID]], Awaitable[Mapping[UUID, V]]]


class GroupLoaders:
    """What `Loaders` has of bookings' people and of private sessions."""

    def _lists(self, fetch: Fetch[list[V]]) -> DataLoader[Key, list[V]]:
        raise NotImplementedError

    async def _read(self, keys: Sequence[Key], fetch: Fetch[V]) -> dict[Key, V]:
        raise NotImplementedError

    @cached_property
    def participants_by_booking_id(self) -> DataLoader[Key, list[BookingParticipant]]:
        """In the order in which they were named, those who were removed among them."""
        return self._lists(list_participants_below)

    @cached_property
    def is_private_session(self) -> DataLoader[Key, bool]:
        """Does a private group have the session to itself?"""

        async def load(keys: list[Key]) -> list[bool]:
            found = await self._read(keys, list_private_sessions)
            return [found.get(key, False) for key in keys]

        return DataLoader(load, max_batch_size=500)
