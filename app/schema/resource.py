"""Rooms, equipment and people that services and activities need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from app import models
from app.commands.resource_need import NeedGiven
from app.core.ids import IdKind
from app.domain.resource import ResourceKind
from app.resolvers import resource as resolvers
from app.resolvers.exception import time_off_of_resource
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx, given
from app.schema.node import Node

if TYPE_CHECKING:  # those know this file
    from app.schema.exception import TimeOff
    from app.schema.venue import Venue

strawberry.enum(ResourceKind, description="What a resource is.")


@strawberry.type(description="`quantity` alike rooms, machines or people, of which each serves one booking at a time.")
class Resource(Node):
    name: str
    kind: ResourceKind
    quantity: int
    is_active: bool
    record: strawberry.Private[models.Resource]

    @strawberry.field
    async def venue(self, info: Ctx) -> Annotated[Venue, strawberry.lazy("app.schema.venue")]:
        from app.schema.venue import Venue  # noqa: PLC0415

        key = (self.record.organization_id, self.record.venue_id)
        return Venue.from_model(await info.context.loaders.venue_by_id.load(key))

    @strawberry.field(description="When units of it cannot be had, by start, at most 200. For staff.")
    async def time_off(self, info: Ctx) -> list[Annotated[TimeOff, strawberry.lazy("app.schema.exception")]]:
        from app.schema.exception import TimeOff  # noqa: PLC0415

        found = await time_off_of_resource(info.context, self.record.organization_id, self.record.id)
        return [TimeOff.from_domain(time_off) for time_off in found]

    @classmethod
    def from_model(cls, record: models.Resource) -> Resource:
        return cls(
            id=public_id(IdKind.RESOURCE, record.id),
            name=record.name,
            kind=ResourceKind(record.kind),
            quantity=record.quantity,
            is_active=record.is_active,
            record=record,
        )


@strawberry.type(description="Any `quantity` units among these resources, at the venue where it is given.")
class ResourceNeed:
    quantity: int
    record: strawberry.Private[models.ResourceNeed]

    @strawberry.field
    async def resources(self, info: Ctx) -> list[Resource]:
        return [Resource.from_model(found) for found in await resolvers.resources_of(info.context, self.record)]

    @classmethod
    def from_model(cls, record: models.ResourceNeed) -> ResourceNeed:
        return cls(quantity=record.quantity, record=record)


@strawberry.input(description="Exactly one of `allOf` and `anyOf`. A resource stands in one need only.")
class ResourceNeedInput:
    all_of: list[strawberry.ID] | None = strawberry.field(
        default=None, description="`quantity` units of each of these."
    )
    any_of: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Any `quantity` units among all of these together."
    )
    quantity: int = 1

    def read(self, path: str) -> NeedGiven:
        """Raises BadInput for an id that is none."""
        return NeedGiven(
            None if self.all_of is None else _resources(self.all_of, f"{path}.allOf"),
            None if self.any_of is None else _resources(self.any_of, f"{path}.anyOf"),
            self.quantity,
        )


def _resources(ids: list[strawberry.ID], path: str) -> tuple[UUID, ...]:
    """Every one, repetitions too: those are refused by name."""
    return tuple(read_id(IdKind.RESOURCE, one, f"{path}.{index}") for index, one in enumerate(ids))


def read_needs(needs: list[ResourceNeedInput]) -> tuple[NeedGiven, ...]:
    """Raises BadInput."""
    return tuple(need.read(f"input.needs.{index}") for index, need in enumerate(needs))


@strawberry.input
class CreateResourceInput:
    venue_id: strawberry.ID
    name: str
    kind: ResourceKind
    quantity: int = 1
    idempotency_key: str | None = None


@strawberry.input(description="What is left out stays as it is.")
class UpdateResourceInput:
    resource_id: strawberry.ID
    name: str | None = strawberry.UNSET
    kind: ResourceKind | None = strawberry.UNSET
    quantity: int | None = strawberry.field(
        default=strawberry.UNSET, description="Fewer: those with the highest numbers go; what they have booked stands."
    )
    idempotency_key: str | None = None


@strawberry.input
class DeactivateResourceInput:
    resource_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class ReactivateResourceInput:
    resource_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class CreateResourcePayload:
    resource: Resource


@strawberry.type
class UpdateResourcePayload:
    resource: Resource


@strawberry.type
class DeactivateResourcePayload:
    resource: Resource


@strawberry.type
class ReactivateResourcePayload:
    resource: Resource


CreateResourceResult = Annotated[
    CreateResourcePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreateResourceResult"),
]
UpdateResourceResult = Annotated[
    UpdateResourcePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdateResourceResult"),
]
DeactivateResourceResult = Annotated[
    DeactivateResourcePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("DeactivateResourceResult"),
]
ReactivateResourceResult = Annotated[
    ReactivateResourcePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ReactivateResourceResult"),
]


@strawberry.type
class ResourceQuery:
    @strawberry.field
    async def resource(self, info: Ctx, id: strawberry.ID) -> Resource | None:
        return Resource.from_model(await resolvers.read_resource(info.context, read_id(IdKind.RESOURCE, id, "id")))


@strawberry.type
class ResourceMutation:
    @strawberry.mutation
    async def create_resource(self, info: Ctx, input: CreateResourceInput) -> CreateResourceResult:
        venue_id = read_id(IdKind.VENUE, input.venue_id, "input.venueId")
        values = given(input, without={"venue_id"})
        made = await resolvers.create_resource(info.context, venue_id, values, input.idempotency_key)
        return CreateResourcePayload(resource=Resource.from_model(made))

    @strawberry.mutation
    async def update_resource(self, info: Ctx, input: UpdateResourceInput) -> UpdateResourceResult:
        resource_id = read_id(IdKind.RESOURCE, input.resource_id, "input.resourceId")
        values = given(input, without={"resource_id"})
        changed = await resolvers.update_resource(info.context, resource_id, values, input.idempotency_key)
        return UpdateResourcePayload(resource=Resource.from_model(changed))

    @strawberry.mutation(description="Closes what needs it to new bookings. Bookings stand.")
    async def deactivate_resource(self, info: Ctx, input: DeactivateResourceInput) -> DeactivateResourceResult:
        resource_id = read_id(IdKind.RESOURCE, input.resource_id, "input.resourceId")
        changed = await resolvers.set_resource_active(info.context, resource_id, False, input.idempotency_key)
        return DeactivateResourcePayload(resource=Resource.from_model(changed))

    @strawberry.mutation
    async def reactivate_resource(self, info: Ctx, input: ReactivateResourceInput) -> ReactivateResourceResult:
        resource_id = read_id(IdKind.RESOURCE, input.resource_id, "input.resourceId")
        changed = await resolvers.set_resource_active(info.context, resource_id, True, input.idempotency_key)
        return ReactivateResourcePayload(resource=Resource.from_model(changed))
