"""Weekly hours: publishing them."""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from typing import Annotated

import strawberry

from app import models
from app.commands.schedule import Affected, ScheduleRequest
from app.core.ids import IdKind
from app.domain import errors
from app.domain.schedule import WeeklyHours, parse_local_time, weekly_hours
from app.domain.slots import UnavailableReason
from app.queries.schedule import effective_from
from app.resolvers import schedule as resolvers
from app.resolvers.schedule import Published
from app.schema.booking import Booking
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx
from app.schema.node import Node
from app.schema.scalars import LocalTime
from app.schema.slot import Slot

MAXIMUM_DAYS = 7


@strawberry.enum
class Weekday(Enum):
    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


@strawberry.enum(description="What becomes of a booking that falls outside new hours.")
class AffectedBookingAction(Enum):
    KEEP = "keep"
    OFFER_ALTERNATIVES = "offer_alternatives"
    RESCHEDULE = "reschedule"
    CANCEL = "cancel"


@strawberry.input(description='Local times. An end of "24:00" is midnight; an end before the start crosses it.')
class IntervalInput:
    start: LocalTime
    end: LocalTime

    def to_minutes(self) -> tuple[int, int]:
        return parse_local_time(self.start), parse_local_time(self.end)


@strawberry.input
class WeeklyHoursInput:
    weekday: Weekday
    open: list[IntervalInput]
    breaks: list[IntervalInput] = strawberry.field(default_factory=list)

    def to_domain(self) -> WeeklyHours:
        return weekly_hours(
            self.weekday.value, [i.to_minutes() for i in self.open], [i.to_minutes() for i in self.breaks]
        )


@strawberry.input(description="Not offered yet: bookings outside the new hours are kept, and listed in the answer.")
class AffectedBookingResolution:
    booking_id: strawberry.ID
    action: AffectedBookingAction
    starts_at: datetime | None = None


@strawberry.input
class PublishScheduleInput:
    owner_id: strawberry.ID = strawberry.field(description="A provider.")
    effective_from: date | None = strawberry.field(
        default=None,
        description="Today or later in the owner's zone; none: today. A second one for the same date supersedes the "
        "first, which is kept.",
    )
    weekly: list[WeeklyHoursInput]
    slot_interval_minutes: int = 15
    resolutions: list[AffectedBookingResolution] = strawberry.field(default_factory=list)
    preview_token: str | None = strawberry.field(default=None, description="Not offered yet.")
    idempotency_key: str | None = None

    def to_request(self) -> ScheduleRequest:
        """Raises InvalidInput, BadInput."""
        faults = errors.FieldErrors()
        if self.resolutions:
            faults.add("input.resolutions", "are not available yet: every affected booking is kept")
        if self.preview_token is not None:
            faults.add("input.previewToken", "previews are not available yet")
        if len(self.weekly) > MAXIMUM_DAYS:
            faults.add("input.weekly", "has more entries than a week has days")
        faults.raise_any()
        return ScheduleRequest(
            owner_id=read_id(IdKind.PROVIDER, self.owner_id, "input.ownerId"),
            effective_from=self.effective_from,
            weekly=tuple(day.to_domain() for day in self.weekly),
            slot_interval_minutes=self.slot_interval_minutes,
        )


@strawberry.type(description="Hours in force between two dates of the owner's zone; the later one is excluded.")
class ScheduleVersion(Node):
    number: int
    effective_from: date
    effective_to: date | None
    slot_interval_minutes: int

    @classmethod
    def from_model(cls, record: models.ScheduleVersion) -> ScheduleVersion:
        return cls(
            id=public_id(IdKind.SCHEDULE, record.id),
            number=record.number,
            effective_from=effective_from(record),
            effective_to=record.effective.upper,
            slot_interval_minutes=record.slot_interval_minutes,
        )


@strawberry.type(description="A booking that stands although the new hours would not offer its time.")
class AffectedBooking:
    booking: Booking
    reason: UnavailableReason
    record: strawberry.Private[models.Booking]

    @strawberry.field(description="Free slots nearest to it, at most 6.")
    async def alternatives(self, info: Ctx) -> list[Slot]:
        found = await resolvers.alternatives_for(info.context, self.record)
        return [Slot.from_domain(slot, found.currency) for slot in found.slots]

    @classmethod
    def from_domain(cls, affected: Affected, published: Published) -> AffectedBooking:
        booking = Booking.from_seen(published.seen(affected.booking))
        return cls(booking=booking, reason=affected.reason, record=affected.booking)


@strawberry.type
class PublishSchedulePayload:
    schedule: ScheduleVersion
    affected_bookings: list[AffectedBooking]


PublishScheduleResult = Annotated[
    PublishSchedulePayload | InvalidInput | NotAllowed | NotFound | IdempotencyConflict,
    strawberry.union("PublishScheduleResult"),
]


@strawberry.type
class ScheduleMutation:
    @strawberry.mutation(
        description="Put new weekly hours in force from a date on. Bookings and holds that exist stay as they are."
    )
    async def publish_schedule(self, info: Ctx, input: PublishScheduleInput) -> PublishScheduleResult:
        published = await resolvers.publish_schedule(info.context, input.to_request(), input.idempotency_key)
        return PublishSchedulePayload(
            schedule=ScheduleVersion.from_model(published.schedule.version),
            affected_bookings=[AffectedBooking.from_domain(a, published) for a in published.schedule.affected],
        )
