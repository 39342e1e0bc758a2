"""Bookings that a change of hours leaves outside."""

from __future__ import annotations

import strawberry

from app import models
from app.domain.plan import UnavailableReason
from app.resolvers.affected import ShownAffected
from app.schema.booking import Booking
from app.schema.info import Ctx
from app.schema.slot import Slot


@strawberry.type(description="A booking that stands although the new hours would not offer its time.")
class AffectedBooking:
    booking: Booking
    reason: UnavailableReason
    record: strawberry.Private[models.Booking]
    among: strawberry.Private[ShownAffected]

    @strawberry.field(description="Free slots nearest to it under the new hours, at most 6, at the price it has.")
    async def alternatives(self, info: Ctx) -> list[Slot]:
        slots = await self.among.alternatives(info.context, self.record)
        return [Slot.from_domain(slot, self.record.currency) for slot in slots]

    @classmethod
    def list_of(cls, affected: ShownAffected) -> list[AffectedBooking]:
        return [
            cls(
                booking=Booking.from_seen(affected.seen(one.booking)),
                reason=one.reason,
                record=one.booking,
                among=affected,
            )
            for one in affected.shown
        ]
