"""Bookings that a change of hours leaves outside, as answers show them: where they could go is read when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.domain.plan import Slot, UnavailableReason
from app.domain.policy import ActorKind
from app.models import Booking
from app.queries.booking import SeenBooking
from app.queries.commitment import Affected, AffectedBookings
from app.queries.relocation import Relocations, find_relocations
from app.queries.tenancy import Tenancy
from app.resolvers.context import RequestContext


@dataclass(slots=True)
class ShownAffected:
    """At most AFFECTED_LIMIT of them, in the role of the one who asks."""

    organization_id: UUID
    viewer: ActorKind
    bookings: AffectedBookings
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _relocations: Relocations | None = None

    @property
    def shown(self) -> tuple[Affected, ...]:
        return self.bookings.shown

    def seen(self, booking: Booking) -> SeenBooking:
        return SeenBooking(booking, self.viewer)

    async def alternatives(self, context: RequestContext, booking: Booking) -> tuple[Slot, ...]:
        """The free slots nearest to it under the new hours. Read once for all bookings."""
        async with self._reading:
            if self._relocations is None:
                async with context.read_bound(self.organization_id) as tx:
                    self._relocations = await find_relocations(tx, self.shown, self.bookings.hours, context.now())
        return self._relocations.of(booking.id)


def show(tenancy: Tenancy, bookings: AffectedBookings) -> ShownAffected:
    viewer = ActorKind.PROVIDER if tenancy.role is None else ActorKind(tenancy.role)
    return ShownAffected(tenancy.organization_id, viewer, bookings)


def told_of(bookings: AffectedBookings) -> dict[str, Any]:
    """What is kept with an idempotency key."""
    return {str(one.booking.id): one.reason.value for one in bookings.shown}


def told_before(facts: Mapping[str, Any]) -> dict[UUID, UnavailableReason]:
    return {UUID(booking_id): UnavailableReason(reason) for booking_id, reason in facts.items()}
