"""The terms that a booking was made under, and the times of its day of service."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from app import models
from app.domain.booking import BookingStatus
from app.domain.policy import reschedulable_until, reschedules_left
from app.domain.service_times import ServiceTimes, service_times
from app.queries.booking import SeenBooking, facts_of
from app.schema.info import Ctx


@strawberry.type(description="What was booked, as it was called and described then.")
class BookingTermsItem:
    name: str = strawberry.field(description="Of the service or the activity.")
    description: str | None
    provider_name: str | None = strawberry.field(description="None for places of a session.")
    venue_name: str
    venue_address: str | None


@strawberry.type(description="What was in force when the booking was made. Nothing that changes later touches it.")
class BookingTerms:
    items: list[BookingTermsItem]
    cancellation: str = strawberry.field(description="What cancelling and not coming give back and cost, in words.")
    cancellation_notice_minutes: int
    maximum_reschedules: int | None = strawberry.field(description="Moves by its customer; none: without limit.")
    reschedule_notice_minutes: int | None = strawberry.field(description="None: as for cancelling.")
    minimum_party_size: int | None = strawberry.field(
        description="So few may remain, whatever is asked of new bookings. None: made before it was kept."
    )
    approval_hours: int | None = strawberry.field(description="None: nobody had to accept it.")

    @classmethod
    def from_model(cls, booking: models.Booking, terms: dict[str, Any]) -> BookingTerms:
        return cls(
            items=[
                BookingTermsItem(
                    name=item["name"],
                    description=item["description"],
                    provider_name=item["providerName"],
                    venue_name=item["venueName"],
                    venue_address=item["venueAddress"],
                )
                for item in terms["items"]
            ],
            cancellation=terms["cancellation"],
            cancellation_notice_minutes=booking.cancellation_notice_minutes,
            maximum_reschedules=booking.maximum_reschedules,
            reschedule_notice_minutes=booking.reschedule_notice_minutes,
            minimum_party_size=terms.get("minimumPartySize"),
            approval_hours=booking.approval_hours,
        )


@strawberry.type
class BookingLife:
    """The fields of a booking that tell of its terms and of its day."""

    seen: strawberry.Private[SeenBooking]

    @strawberry.field(description="As it was agreed to: texts, notices, limits. None: made before they were kept.")
    def terms(self) -> BookingTerms | None:
        terms = self.seen.booking.terms
        return None if terms is None else BookingTerms.from_model(self.seen.booking, terms)

    @strawberry.field(description="How often its customer may still move it; none: without limit.")
    def reschedules_left(self) -> int | None:
        return reschedules_left(facts_of(self.seen.booking))

    @strawberry.field(description="Until when its customer may move it; none: not, or not any more.")
    def reschedulable_until(self, info: Ctx) -> datetime | None:
        return reschedulable_until(facts_of(self.seen.booking), info.context.now())

    @strawberry.field(description="None: not, or by a mistake that was corrected.")
    async def checked_in_at(self, info: Ctx) -> datetime | None:
        return (await self._times(info)).checked_in_at

    @strawberry.field(description="When it was IN_PROGRESS.")
    async def started_at(self, info: Ctx) -> datetime | None:
        return (await self._times(info)).started_at

    @strawberry.field
    async def completed_at(self, info: Ctx) -> datetime | None:
        return (await self._times(info)).completed_at

    @strawberry.field(description="When it was marked as missed; none once that is corrected.")
    async def no_show_at(self, info: Ctx) -> datetime | None:
        return (await self._times(info)).no_show_at

    async def _times(self, info: Ctx) -> ServiceTimes:
        key: tuple[UUID, UUID] = (self.seen.booking.organization_id, self.seen.booking.id)
        steps = await info.context.loaders.transitions_by_booking_id.load(key)
        return service_times(
            (
                None if one.from_status is None else BookingStatus(one.from_status),
                BookingStatus(one.to_status),
                one.at,
            )
            for one in steps
        )
