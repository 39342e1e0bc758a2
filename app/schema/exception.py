"""Closed days, days with hours of their own, time off, and public holidays."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from enum import Enum
from typing import Annotated

import strawberry

from app.commands.exception import REASON_MAXIMUM, ExceptionRequest
from app.commands.time_off import TimeOffRequest
from app.core.ids import IdKind
from app.domain import errors
from app.domain import schedule as domain
from app.domain.text import clean_text
from app.queries import exception as queries
from app.resolvers import exception as resolvers
from app.schema.affected import AffectedBooking
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.hours import Interval, IntervalInput
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx
from app.schema.node import Node
from app.schema.owner import read_owner
from app.schema.provider import Provider
from app.schema.resource import Resource

_OWNERS = (IdKind.PROVIDER, IdKind.VENUE, IdKind.ACTIVITY)


@strawberry.enum(description="What rules a day instead of the week.")
class ScheduleExceptionKind(Enum):
    CLOSED = domain.ExceptionKind.CLOSED.value
    SPECIAL_HOURS = domain.ExceptionKind.SPECIAL_HOURS.value


@strawberry.type(
    description="Rules the openings that begin on its local dates, instead of the week and of public holidays."
    " A provider's or activity's goes before its venue's."
)
class ScheduleException(Node):
    kind: ScheduleExceptionKind
    from_: date = strawberry.field(name="from")
    to: date = strawberry.field(description="Included.")
    open: list[Interval]
    breaks: list[Interval]
    slot_interval_minutes: int | None = strawberry.field(description="None: that of the week.")
    reason: str | None = strawberry.field(description="For staff, and the provider whose days they are.")

    @classmethod
    def from_seen(cls, seen: resolvers.SeenException) -> ScheduleException:
        record = seen.record
        first, last = queries.dates_of(record)
        return cls(
            id=public_id(IdKind.EXCEPTION, record.id),
            kind=ScheduleExceptionKind(record.kind),
            from_=first,
            to=last,
            open=Interval.list_of(queries.intervals(record.open)),
            breaks=Interval.list_of(queries.intervals(record.breaks)),
            slot_interval_minutes=record.slot_interval_minutes,
            reason=seen.reason,
        )


@strawberry.type(description="A time in which a provider, or one unit of a resource, takes nothing new.")
class TimeOff(Node):
    starts_at: datetime
    ends_at: datetime
    reason: str | None
    provider_id: strawberry.ID | None
    resource_id: strawberry.ID | None
    unit_number: int | None
    time_off: strawberry.Private[queries.TimeOff]

    @strawberry.field(description="Whose it is; none if it is a resource's.")
    async def provider(self, info: Ctx) -> Provider | None:
        provider_id = self.time_off.provider_id
        if provider_id is None:
            return None
        key = (self.time_off.record.organization_id, provider_id)
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @strawberry.field(description="Of which a unit cannot be had; none if it is a provider's.")
    async def resource(self, info: Ctx) -> Resource | None:
        resource_id = self.time_off.resource_id
        if resource_id is None:
            return None
        key = (self.time_off.record.organization_id, resource_id)
        return Resource.from_model(await info.context.loaders.resource_by_id.load(key))

    @classmethod
    def from_domain(cls, time_off: queries.TimeOff) -> TimeOff:
        record = time_off.record
        provider_id, resource_id = time_off.provider_id, time_off.resource_id
        return cls(
            id=public_id(IdKind.TIME_OFF, record.id),
            starts_at=record.starts_at,
            ends_at=record.ends_at,
            reason=record.reason,
            provider_id=None if provider_id is None else public_id(IdKind.PROVIDER, provider_id),
            resource_id=None if resource_id is None else public_id(IdKind.RESOURCE, resource_id),
            unit_number=time_off.unit_number,
            time_off=time_off,
        )


@strawberry.type(description="A public holiday, which closes those who do not work on it.")
class PublicHoliday:
    date: date
    name: str

    @classmethod
    def list_of(cls, days: Iterable[domain.DayException]) -> list[PublicHoliday]:
        return [cls(date=day.from_date, name=day.reason or "") for day in days]


def _read_reason(value: str | None) -> str | None:
    """An empty one is none. Raises InvalidInput."""
    faults = errors.FieldErrors()
    reason = faults.read("input.reason", lambda text: clean_text(text, REASON_MAXIMUM), value)
    faults.raise_any()
    return reason or None


@strawberry.input
class CreateScheduleExceptionInput:
    owner_id: strawberry.ID = strawberry.field(
        description="A provider, an activity, or a venue: then it rules all its providers and activities."
    )
    kind: ScheduleExceptionKind
    from_: date = strawberry.field(name="from", description="Today or later in the owner's zone.")
    to: date = strawberry.field(description="Included; at most 366 days.")
    open: list[IntervalInput] = strawberry.field(default_factory=list, description="Of each day, for SPECIAL_HOURS.")
    breaks: list[IntervalInput] = strawberry.field(default_factory=list)
    slot_interval_minutes: int | None = strawberry.field(default=None, description="None: that of the week.")
    reason: str | None = None
    idempotency_key: str | None = None

    def to_request(self) -> ExceptionRequest:
        """Raises InvalidInput, BadInput."""
        faults = errors.FieldErrors()
        for name, given in (("open", self.open), ("breaks", self.breaks)):
            if len(given) > domain.MAXIMUM_INTERVALS:
                faults.add(f"input.{name}", f"may have at most {domain.MAXIMUM_INTERVALS} intervals")
        faults.raise_any()
        kind, owner_id = read_owner(self.owner_id, "input.ownerId", _OWNERS)
        return ExceptionRequest(
            owner_kind=kind,
            owner_id=owner_id,
            kind=domain.ExceptionKind(self.kind.value),
            from_date=self.from_,
            to_date=self.to,
            open=tuple(interval.to_minutes() for interval in self.open),
            breaks=tuple(interval.to_minutes() for interval in self.breaks),
            slot_interval_minutes=self.slot_interval_minutes,
            reason=_read_reason(self.reason),
        )


@strawberry.input
class RemoveScheduleExceptionInput:
    exception_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input(
    description="Of a provider, or of one unit of a resource; between two instants, or over whole local dates."
)
class CreateTimeOffInput:
    provider_id: strawberry.ID | None = None
    resource_id: strawberry.ID | None = None
    unit_number: int | None = strawberry.field(default=None, description="With resourceId: which unit, from 1.")
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    from_: date | None = strawberry.field(name="from", default=None)
    to: date | None = strawberry.field(default=None, description="Included.")
    reason: str | None = None
    idempotency_key: str | None = None

    def to_request(self) -> TimeOffRequest:
        """Raises InvalidInput, BadInput."""
        return TimeOffRequest(
            provider_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "input.providerId"),
            resource_id=read_optional_id(IdKind.RESOURCE, self.resource_id, "input.resourceId"),
            unit_number=self.unit_number,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            from_date=self.from_,
            to_date=self.to,
            reason=_read_reason(self.reason),
        )


@strawberry.input
class RemoveTimeOffInput:
    time_off_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class CreateScheduleExceptionPayload:
    exception: ScheduleException
    affected_bookings: list[AffectedBooking] = strawberry.field(
        description="Those that fell outside by it, and stand; soonest first, at most 200."
    )


@strawberry.type
class RemoveScheduleExceptionPayload:
    exception: ScheduleException
    affected_bookings: list[AffectedBooking] = strawberry.field(
        description="Those that its going leaves outside, and stand; soonest first, at most 200."
    )


@strawberry.type
class CreateTimeOffPayload:
    time_off: TimeOff
    affected_bookings: list[AffectedBooking] = strawberry.field(
        description="Those in that time, which stand; soonest first, at most 200."
    )


@strawberry.type
class RemoveTimeOffPayload:
    time_off: TimeOff


CreateScheduleExceptionResult = Annotated[
    CreateScheduleExceptionPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreateScheduleExceptionResult"),
]
RemoveScheduleExceptionResult = Annotated[
    RemoveScheduleExceptionPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("RemoveScheduleExceptionResult"),
]
CreateTimeOffResult = Annotated[
    CreateTimeOffPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreateTimeOffResult"),
]
RemoveTimeOffResult = Annotated[
    RemoveTimeOffPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("RemoveTimeOffResult"),
]


@strawberry.type
class ExceptionMutation:
    @strawberry.mutation(description="Close days, or give them hours of their own. Bookings on them stand.")
    async def create_schedule_exception(
        self, info: Ctx, input: CreateScheduleExceptionInput
    ) -> CreateScheduleExceptionResult:
        made = await resolvers.create_exception(info.context, input.to_request(), input.idempotency_key)
        return CreateScheduleExceptionPayload(
            exception=ScheduleException.from_seen(made.seen), affected_bookings=AffectedBooking.list_of(made.affected)
        )

    @strawberry.mutation(description="The week rules those days again.")
    async def remove_schedule_exception(
        self, info: Ctx, input: RemoveScheduleExceptionInput
    ) -> RemoveScheduleExceptionResult:
        exception_id = read_id(IdKind.EXCEPTION, input.exception_id, "input.exceptionId")
        gone = await resolvers.remove_exception(info.context, exception_id, input.idempotency_key)
        return RemoveScheduleExceptionPayload(
            exception=ScheduleException.from_seen(gone.seen), affected_bookings=AffectedBooking.list_of(gone.affected)
        )

    @strawberry.mutation(description="Nothing new is booked in that time. Bookings in it stand.")
    async def create_time_off(self, info: Ctx, input: CreateTimeOffInput) -> CreateTimeOffResult:
        made = await resolvers.create_time_off(info.context, input.to_request(), input.idempotency_key)
        return CreateTimeOffPayload(
            time_off=TimeOff.from_domain(made.time_off), affected_bookings=AffectedBooking.list_of(made.affected)
        )

    @strawberry.mutation
    async def remove_time_off(self, info: Ctx, input: RemoveTimeOffInput) -> RemoveTimeOffResult:
        time_off_id = read_id(IdKind.TIME_OFF, input.time_off_id, "input.timeOffId")
        gone = await resolvers.remove_time_off(info.context, time_off_id, input.idempotency_key)
        return RemoveTimeOffPayload(time_off=TimeOff.from_domain(gone))
