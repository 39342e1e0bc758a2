"""Batch loaders of groups, for `app.resolvers.loaders`."""

from __future__ import annotations

from functools import cached_property

from strawberry.dataloader import DataLoader

from app.models import BookingParticipant
from app.queries.participant import list_participants_below, list_private_sessions
from app.resolvers.loader_base import BATCH_MAXIMUM, Key, LoaderBase


class GroupLoaders(LoaderBase):
    """What `Loaders` has of bookings' people and of private sessions."""

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

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)
