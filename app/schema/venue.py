"""Places where services are given."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.resolvers import venue as resolvers
from app.resolvers.exception import exceptions_of
from app.resolvers.resource import resources_at
from app.schema.activity import Activity
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx, given
from app.schema.node import Node
from app.schema.provider import Provider
from app.schema.resource import Resource
from app.schema.scalars import TimeZone

if TYPE_CHECKING:  # it knows this file
    from app.schema.exception import PublicHoliday, ScheduleException


@strawberry.type(description="A place where services are given.")
class Venue(Node):
    name: str
    time_zone: TimeZone
    address: str | None
    latitude: float | None
    longitude: float | None
    country: str | None = strawberry.field(
        description="ISO 3166; its public holidays close the venue. None: no holidays."
    )
    region: str | None = strawberry.field(description="The part of the country whose holidays are kept too.")
    is_active: bool
    record: strawberry.Private[models.Venue]

    @strawberry.field(description="Names the venue in embedded pages. For staff only.")
    async def embed_key(self, info: Ctx) -> str | None:
        return await resolvers.embed_key_of(info.context, self.record)

    @strawberry.field(description="The active ones, by name, at most 200.")
    async def providers(self, info: Ctx) -> list[Provider]:
        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.providers_by_venue_id.load(key)
        return [Provider.from_model(provider) for provider in found]

    @strawberry.field(description="The active ones, by name, at most 200.")
    async def activities(self, info: Ctx) -> list[Activity]:
        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.activities_by_venue_id.load(key)
        return [Activity.from_model(activity) for activity in found]

    @strawberry.field(
        description="By name, at most 200. `includeInactive`: those that are switched off too, for staff; others see "
        "active ones only."
    )
    async def resources(self, info: Ctx, include_inactive: bool = False) -> list[Resource]:
        found = await resources_at(info.context, self.record, with_inactive=include_inactive)
        return [Resource.from_model(resource) for resource in found]

    @strawberry.field(
        description="Closed days and special hours of all its providers and activities that are not over, by date, "
        "at most 200."
    )
    async def exceptions(
        self, info: Ctx
    ) -> list[Annotated[ScheduleException, strawberry.lazy("app.schema.exception")]]:
        from app.schema.exception import ScheduleException  # noqa: PLC0415

        found = await exceptions_of(info.context, self.record.organization_id, self.record.id)
        return [ScheduleException.from_seen(seen) for seen in found]

    @strawberry.field(
        name="publicHolidays",
        description="Of its country and region, between two dates (included, at most 1096 days), in order.",
    )
    async def public_holidays(
        self, info: Ctx, from_: Annotated[date, strawberry.argument(name="from")], to: date
    ) -> list[Annotated[PublicHoliday, strawberry.lazy("app.schema.exception")]]:
        from app.schema.exception import PublicHoliday  # noqa: PLC0415

        return PublicHoliday.list_of(await resolvers.public_holidays_of(info.context, self.record, from_, to))

    @classmethod
    def from_model(cls, record: models.Venue) -> Venue:
        return cls(
            id=public_id(IdKind.VENUE, record.id),
            name=record.name,
            time_zone=TimeZone(record.time_zone),
            address=record.address,
            latitude=record.latitude,
            longitude=record.longitude,
            country=record.country,
            region=record.region,
            is_active=record.is_active,
            record=record,
        )


@strawberry.input
class CreateVenueInput:
    organization_id: strawberry.ID
    name: str
    time_zone: TimeZone
    address: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    country: str | None = strawberry.field(
        default=None, description="ISO 3166, such as AR: its public holidays close the venue."
    )
    region: str | None = strawberry.field(default=None, description="A part of the country with holidays of its own.")
    idempotency_key: str | None = None


@strawberry.input(description="What is left out stays as it is.")
class UpdateVenueInput:
    venue_id: strawberry.ID
    name: str | None = strawberry.UNSET
    time_zone: TimeZone | None = strawberry.UNSET
    address: str | None = strawberry.UNSET
    latitude: float | None = strawberry.UNSET
    longitude: float | None = strawberry.UNSET
    country: str | None = strawberry.UNSET
    region: str | None = strawberry.UNSET
    idempotency_key: str | None = None


@strawberry.input
class DeactivateVenueInput:
    venue_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class ReactivateVenueInput:
    venue_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class CreateVenuePayload:
    venue: Venue


@strawberry.type
class UpdateVenuePayload:
    venue: Venue


@strawberry.type
class DeactivateVenuePayload:
    venue: Venue


@strawberry.type
class ReactivateVenuePayload:
    venue: Venue


CreateVenueResult = Annotated[
    CreateVenuePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreateVenueResult"),
]
UpdateVenueResult = Annotated[
    UpdateVenuePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdateVenueResult"),
]
DeactivateVenueResult = Annotated[
    DeactivateVenuePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("DeactivateVenueResult"),
]
ReactivateVenueResult = Annotated[
    ReactivateVenuePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ReactivateVenueResult"),
]


@strawberry.type
class VenueQuery:
    @strawberry.field(description="By exactly one of its id and its embed key.")
    async def venue(self, info: Ctx, id: strawberry.ID | None = None, embed_key: str | None = None) -> Venue | None:
        wanted = read_optional_id(IdKind.VENUE, id, "id")
        return Venue.from_model(await resolvers.read_venue(info.context, wanted, embed_key))


@strawberry.type
class VenueMutation:
    @strawberry.mutation
    async def create_venue(self, info: Ctx, input: CreateVenueInput) -> CreateVenueResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        values = given(input, without={"organization_id"})
        made = await resolvers.create_venue(info.context, organization_id, values, input.idempotency_key)
        return CreateVenuePayload(venue=Venue.from_model(made))

    @strawberry.mutation
    async def update_venue(self, info: Ctx, input: UpdateVenueInput) -> UpdateVenueResult:
        venue_id = read_id(IdKind.VENUE, input.venue_id, "input.venueId")
        values = given(input, without={"venue_id"})
        changed = await resolvers.update_venue(info.context, venue_id, values, input.idempotency_key)
        return UpdateVenuePayload(venue=Venue.from_model(changed))

    @strawberry.mutation(description="Closes it to new bookings, with its providers. Bookings stand.")
    async def deactivate_venue(self, info: Ctx, input: DeactivateVenueInput) -> DeactivateVenueResult:
        venue_id = read_id(IdKind.VENUE, input.venue_id, "input.venueId")
        changed = await resolvers.set_venue_active(info.context, venue_id, False, input.idempotency_key)
        return DeactivateVenuePayload(venue=Venue.from_model(changed))

    @strawberry.mutation
    async def reactivate_venue(self, info: Ctx, input: ReactivateVenueInput) -> ReactivateVenueResult:
        venue_id = read_id(IdKind.VENUE, input.venue_id, "input.venueId")
        changed = await resolvers.set_venue_active(info.context, venue_id, True, input.idempotency_key)
        return ReactivateVenuePayload(venue=Venue.from_model(changed))
