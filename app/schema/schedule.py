"""Weekly hours: publishing them, and looking at what that would do."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import strawberry

from app import models
from app.commands.schedule import ScheduleRequest
from app.commands.schedule_resolution import REASON_MAXIMUM, AffectedBookingAction, Resolution, ResolvedRequest
from app.core.ids import IdKind
from app.domain import errors, schedule
from app.domain.text import clean_text
from app.queries.schedule import effective_from
from app.resolvers import schedule as resolvers
from app.schema.affected import AffectedBooking
from app.schema.errors import Error, IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.hours import WeeklyHours, WeeklyHoursInput
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx
from app.schema.node import Node
from app.schema.owner import read_owner

MAXIMUM_DAYS = 7

strawberry.enum(AffectedBookingAction, description="What becomes of a booking that falls outside new hours.")


@strawberry.input(
    description="KEEP is what becomes of bookings that are not named. RESCHEDULE needs `startsAt`, free under the new"
    " hours; the booking keeps its people, length and price. Bookings are cancelled first, then moved in this order."
)
class AffectedBookingResolution:
    booking_id: strawberry.ID
    action: AffectedBookingAction
    starts_at: datetime | None = None
    reason: str | None = strawberry.field(
        default=None, description="Of a cancellation or a move; none: that the opening hours changed."
    )

    def read(self, index: int, faults: errors.FieldErrors) -> Resolution:
        """Raises BadInput for an id that is none."""
        path = f"input.resolutions.{index}"
        return Resolution(
            booking_id=read_id(IdKind.BOOKING, self.booking_id, f"{path}.bookingId"),
            action=self.action,
            starts_at=self.starts_at,
            reason=faults.read(f"{path}.reason", lambda text: clean_text(text, REASON_MAXIMUM), self.reason),
        )


@strawberry.input
class PublishScheduleInput:
    owner_id: strawberry.ID = strawberry.field(description="A provider or an activity.")
    effective_from: date | None = strawberry.field(
        default=None,
        description="Today or later in the owner's zone; none: today. A second one for the same date supersedes the "
        "first, which is kept.",
    )
    weekly: list[WeeklyHoursInput]
    slot_interval_minutes: int = 15
    resolutions: list[AffectedBookingResolution] = strawberry.field(default_factory=list)
    preview_token: str | None = strawberry.field(
        default=None,
        description="From schedulePreview of the same hours: when bookings outside them came or changed since then, "
        "nothing is published.",
    )
    idempotency_key: str | None = None

    def to_schedule(self) -> ScheduleRequest:
        """The hours alone. Raises InvalidInput, BadInput."""
        if len(self.weekly) > MAXIMUM_DAYS:
            raise errors.InvalidInput.at("input.weekly", "has more entries than a week has days")
        kind, owner_id = read_owner(self.owner_id, "input.ownerId", (IdKind.PROVIDER, IdKind.ACTIVITY))
        return ScheduleRequest(
            owner_id=owner_id,
            effective_from=self.effective_from,
            weekly=tuple(day.to_domain() for day in self.weekly),
            slot_interval_minutes=self.slot_interval_minutes,
            owner_kind=kind,
        )

    def to_request(self) -> ResolvedRequest:
        """Raises InvalidInput, BadInput."""
        faults = errors.FieldErrors()
        resolutions = tuple(one.read(index, faults) for index, one in enumerate(self.resolutions))
        faults.raise_any()
        return ResolvedRequest(self.to_schedule(), resolutions, self.preview_token)


@strawberry.type(description="Hours in force between two dates of the owner's zone; the later one is excluded.")
class ScheduleVersion(Node):
    number: int
    effective_from: date
    effective_to: date | None
    slot_interval_minutes: int
    weekly: list[WeeklyHours]
    published_at: datetime
    superseded_at: datetime | None = strawberry.field(
        description="When another one for the same first day took its place. None: it is, was or will be in force."
    )

    @classmethod
    def from_model(cls, record: models.ScheduleVersion) -> ScheduleVersion:
        return cls(
            id=public_id(IdKind.SCHEDULE, record.id),
            number=record.number,
            effective_from=effective_from(record),
            effective_to=record.effective.upper,
            slot_interval_minutes=record.slot_interval_minutes,
            weekly=WeeklyHours.list_of(schedule.weekly_from_json(record.weekly)),
            published_at=record.published_at,
            superseded_at=record.superseded_at,
        )


@strawberry.type(description="What publishing these hours would do. Nothing was written.")
class SchedulePreview:
    preview_token: str = strawberry.field(description="For publishSchedule with the same hours, within 24 hours.")
    affected_bookings: list[AffectedBooking] = strawberry.field(description="Soonest first, at most 200.")
    added_minutes_per_week: int = strawberry.field(
        description="Minutes of an ordinary week that are open only with these hours."
    )
    removed_minutes_per_week: int = strawberry.field(
        description="Minutes of an ordinary week that are open only until now."
    )


@strawberry.type
class PublishSchedulePayload:
    schedule: ScheduleVersion
    affected_bookings: list[AffectedBooking] = strawberry.field(
        description="Those that stand outside the new hours, soonest first, at most 200."
    )


@strawberry.type(description="Bookings outside the hours came or changed since the preview, or it is a day old.")
class PreviewOutdated(Error):
    affected_bookings: list[AffectedBooking] = strawberry.field(
        description="Those outside the hours as things are now; soonest first, at most 200."
    )


PublishScheduleResult = Annotated[
    PublishSchedulePayload | PreviewOutdated | InvalidInput | NotAllowed | NotFound | IdempotencyConflict,
    strawberry.union("PublishScheduleResult"),
]


@strawberry.type
class ScheduleQuery:
    @strawberry.field(
        description="What publishSchedule would do with this input; resolutions and previewToken are not looked at."
    )
    async def schedule_preview(self, info: Ctx, input: PublishScheduleInput) -> SchedulePreview:
        found = await resolvers.preview(info.context, input.to_schedule())
        return SchedulePreview(
            preview_token=found.preview.token,
            affected_bookings=AffectedBooking.list_of(found.affected),
            added_minutes_per_week=found.preview.added_minutes,
            removed_minutes_per_week=found.preview.removed_minutes,
        )


@strawberry.type
class ScheduleMutation:
    @strawberry.mutation(
        description="Put new weekly hours in force from a date on. Bookings and holds that exist stay as they are,"
        " but for what the resolutions say."
    )
    async def publish_schedule(self, info: Ctx, input: PublishScheduleInput) -> PublishScheduleResult:
        published = await resolvers.publish_schedule(info.context, input.to_request(), input.idempotency_key)
        affected = AffectedBooking.list_of(published.affected)
        if isinstance(published, resolvers.Outdated):
            return PreviewOutdated(code="PREVIEW_OUTDATED", message=published.message, affected_bookings=affected)
        return PublishSchedulePayload(
            schedule=ScheduleVersion.from_model(published.version), affected_bookings=affected
        )
