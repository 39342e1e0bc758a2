"""Making and changing activities, and making their sessions."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import strawberry

from app.commands.activity import Taken
from app.core.ids import IdKind
from app.domain.errors import FieldErrors
from app.domain.schedule_import import read_schedule_json
from app.resolvers import activity as resolvers
from app.schema.activity import Activity
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import read_id, read_ids
from app.schema.info import Ctx, given
from app.schema.resource import ResourceNeedInput, read_needs
from app.schema.scalars import JSON, Minor
from app.schema.schedule import ScheduleVersion

HORIZON_DAYS = 30
LEADERS_MAXIMUM = 20


@strawberry.input
class CreateActivityInput:
    venue_id: strawberry.ID
    name: str
    price_minor: Minor = strawberry.field(description="Of one place.")
    capacity: int
    duration_minutes: int
    description: str | None = None
    category: str | None = None
    advance_notice_minutes: int = 0
    maximum_advance_days: int = 365
    session_horizon_days: int | None = strawberry.field(
        default=None, description="How far ahead sessions are made by themselves. None: 30 days, or maximumAdvanceDays."
    )
    cancellation_notice_minutes: int = 1440
    maximum_reschedules: int | None = strawberry.field(
        default=None, description="0 to 1000 moves of a booking by its customer; null: without limit."
    )
    reschedule_notice_minutes: int | None = strawberry.field(default=None, description="Null: as for cancelling.")
    max_party_size: int | None = strawberry.field(
        default=None, description="Most places of one booking. None: all there are."
    )
    minimum_party_size: int = strawberry.field(default=1, description="Fewest people of one booking.")
    private_price_minor: Minor | None = strawberry.field(
        default=None, description="Of a whole session for a private group. None: the price of all its places."
    )
    tags: list[str] = strawberry.field(default_factory=list)
    provider_ids: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="Who leads its sessions: each session takes their time."
    )
    needs: list[ResourceNeedInput] = strawberry.field(
        default_factory=list, description="Rooms, equipment and people that each session takes."
    )
    idempotency_key: str | None = None


@strawberry.input(
    description="What is left out stays as it is. Sessions that exist keep their places, their length and who leads "
    "them; bookings and holds keep their price."
)
class UpdateActivityInput:
    activity_id: strawberry.ID
    name: str | None = strawberry.UNSET
    price_minor: Minor | None = strawberry.UNSET
    capacity: int | None = strawberry.UNSET
    duration_minutes: int | None = strawberry.UNSET
    description: str | None = strawberry.UNSET
    category: str | None = strawberry.UNSET
    advance_notice_minutes: int | None = strawberry.UNSET
    maximum_advance_days: int | None = strawberry.UNSET
    session_horizon_days: int | None = strawberry.UNSET
    cancellation_notice_minutes: int | None = strawberry.UNSET
    maximum_reschedules: int | None = strawberry.UNSET
    reschedule_notice_minutes: int | None = strawberry.UNSET
    max_party_size: int | None = strawberry.UNSET
    minimum_party_size: int | None = strawberry.UNSET
    private_price_minor: Minor | None = strawberry.UNSET
    tags: list[str] | None = strawberry.UNSET
    provider_ids: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET, description="All who lead its sessions from now on."
    )
    needs: list[ResourceNeedInput] | None = strawberry.field(
        default=strawberry.UNSET, description="All that each session takes from now on."
    )
    idempotency_key: str | None = None


@strawberry.input
class DeactivateActivityInput:
    activity_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class ReactivateActivityInput:
    activity_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class GenerateSessionsInput:
    activity_id: strawberry.ID
    until: date = strawberry.field(description="A date of the venue, included; at most maximumAdvanceDays ahead.")
    idempotency_key: str | None = None


@strawberry.input
class ImportActivityScheduleInput:
    activity_id: strawberry.ID
    schedule: JSON = strawberry.field(
        description='As other systems keep it: {"operatingDays": ["Monday", …], "startTime": "09:00", '
        '"endTime": "22:00", "slotInterval": 60, '
        '"customHours": {"Saturday": {"enabled": true, "startTime": "10:00", "endTime": "23:00"}}}. '
        "A day with custom hours that are enabled is open; those that are not enabled say nothing."
    )
    effective_from: date | None = strawberry.field(
        default=None, description="As in publishSchedule: today or later at the venue; none: today."
    )
    idempotency_key: str | None = None


@strawberry.type
class CreateActivityPayload:
    activity: Activity


@strawberry.type
class UpdateActivityPayload:
    activity: Activity


@strawberry.type
class DeactivateActivityPayload:
    activity: Activity


@strawberry.type
class ReactivateActivityPayload:
    activity: Activity


@strawberry.type
class GenerateSessionsPayload:
    activity: Activity
    created_count: int
    restored_count: int = strawberry.field(description="Cancelled or legacy ones that the schedule has again.")
    legacy_count: int = strawberry.field(description="Those that the schedule has no more, and that are booked.")
    cancelled_count: int = strawberry.field(description="Those that the schedule has no more, and that nobody booked.")
    conflict_count: int
    conflicts: list[datetime] = strawberry.field(
        description="Starts without a session, since somebody who leads it or a room is taken then; at most 200 of "
        "them. The next generation tries again."
    )

    @classmethod
    def from_generation(cls, generation: resolvers.Generation) -> GenerateSessionsPayload:
        return cls(
            activity=Activity.from_model(generation.activity),
            created_count=generation.created,
            restored_count=generation.restored,
            legacy_count=generation.legacy,
            cancelled_count=generation.cancelled,
            conflict_count=generation.conflict_count,
            conflicts=list(generation.conflicts),
        )


@strawberry.type
class ImportActivitySchedulePayload:
    schedule: ScheduleVersion


CreateActivityResult = Annotated[
    CreateActivityPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreateActivityResult"),
]
UpdateActivityResult = Annotated[
    UpdateActivityPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdateActivityResult"),
]
DeactivateActivityResult = Annotated[
    DeactivateActivityPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("DeactivateActivityResult"),
]
ReactivateActivityResult = Annotated[
    ReactivateActivityPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ReactivateActivityResult"),
]
GenerateSessionsResult = Annotated[
    GenerateSessionsPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("GenerateSessionsResult"),
]
ImportActivityScheduleResult = Annotated[
    ImportActivitySchedulePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ImportActivityScheduleResult"),
]


def _taken(input: UpdateActivityInput) -> Taken:
    """What was left out is none. Raises InvalidInput, BadInput."""
    faults = FieldErrors()
    for name, value in (("providerIds", input.provider_ids), ("needs", input.needs)):
        if value is None:
            faults.add(f"input.{name}", "must not be null")
    faults.raise_any()
    leaders, needs = None, None
    if isinstance(input.provider_ids, list):
        leaders = read_ids(IdKind.PROVIDER, input.provider_ids, "input.providerIds", most=LEADERS_MAXIMUM)
    if isinstance(input.needs, list):
        needs = read_needs(input.needs)
    return Taken(leaders, needs)


@strawberry.type
class ActivityMutation:
    @strawberry.mutation(description="It has sessions once its schedule is published.")
    async def create_activity(self, info: Ctx, input: CreateActivityInput) -> CreateActivityResult:
        venue_id = read_id(IdKind.VENUE, input.venue_id, "input.venueId")
        provider_ids = read_ids(IdKind.PROVIDER, input.provider_ids, "input.providerIds", most=LEADERS_MAXIMUM)
        values = given(input, without={"venue_id", "provider_ids", "needs"})
        if input.session_horizon_days is None:
            values["session_horizon_days"] = max(1, min(HORIZON_DAYS, input.maximum_advance_days))
        taken = Taken(provider_ids, read_needs(input.needs))
        made = await resolvers.create_activity(info.context, venue_id, values, taken, input.idempotency_key)
        return CreateActivityPayload(activity=Activity.from_model(made))

    @strawberry.mutation
    async def update_activity(self, info: Ctx, input: UpdateActivityInput) -> UpdateActivityResult:
        activity_id = read_id(IdKind.ACTIVITY, input.activity_id, "input.activityId")
        values = given(input, without={"activity_id", "provider_ids", "needs"})
        taken = _taken(input)
        changed = await resolvers.update_activity(info.context, activity_id, values, taken, input.idempotency_key)
        return UpdateActivityPayload(activity=Activity.from_model(changed))

    @strawberry.mutation(description="Closes its sessions to new bookings and makes no more of them. Bookings stand.")
    async def deactivate_activity(self, info: Ctx, input: DeactivateActivityInput) -> DeactivateActivityResult:
        activity_id = read_id(IdKind.ACTIVITY, input.activity_id, "input.activityId")
        changed = await resolvers.set_activity_active(info.context, activity_id, False, input.idempotency_key)
        return DeactivateActivityPayload(activity=Activity.from_model(changed))

    @strawberry.mutation
    async def reactivate_activity(self, info: Ctx, input: ReactivateActivityInput) -> ReactivateActivityResult:
        activity_id = read_id(IdKind.ACTIVITY, input.activity_id, "input.activityId")
        changed = await resolvers.set_activity_active(info.context, activity_id, True, input.idempotency_key)
        return ReactivateActivityPayload(activity=Activity.from_model(changed))

    @strawberry.mutation(
        description="Make sessions beyond the horizon, now. What is there already stays; repeating it does no harm."
    )
    async def generate_sessions(self, info: Ctx, input: GenerateSessionsInput) -> GenerateSessionsResult:
        activity_id = read_id(IdKind.ACTIVITY, input.activity_id, "input.activityId")
        generation = await resolvers.generate_sessions(info.context, activity_id, input.until, input.idempotency_key)
        return GenerateSessionsPayload.from_generation(generation)

    @strawberry.mutation(
        description="Publish another system's schedule as it is: a version of the activity's hours, and its sessions."
    )
    async def import_activity_schedule(
        self, info: Ctx, input: ImportActivityScheduleInput
    ) -> ImportActivityScheduleResult:
        activity_id = read_id(IdKind.ACTIVITY, input.activity_id, "input.activityId")
        imported = read_schedule_json(input.schedule)
        version = await resolvers.import_schedule(
            info.context, activity_id, imported, input.effective_from, input.idempotency_key
        )
        return ImportActivitySchedulePayload(schedule=ScheduleVersion.from_model(version))
