"""Making and changing services."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.core.ids import IdKind
from app.domain.pricing import PriceType
from app.resolvers import service as resolvers
from app.resolvers.resource import set_needs_of_service
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import read_id, read_ids
from app.schema.info import Ctx, given
from app.schema.resource import ResourceNeedInput, read_needs
from app.schema.scalars import Minor
from app.schema.service import Service


@strawberry.input
class CreateServiceInput:
    organization_id: strawberry.ID
    name: str
    category: str
    description: str | None = None
    subcategory: str | None = None
    price_minor: Minor
    price_type: PriceType = PriceType.FIXED
    duration_minutes: int = 30
    maximum_duration_minutes: int | None = None
    buffer_before_minutes: int = 0
    buffer_after_minutes: int = 0
    advance_notice_minutes: int = 1440
    maximum_advance_days: int = 365
    cancellation_notice_minutes: int = 1440
    maximum_reschedules: int | None = strawberry.field(
        default=None, description="0 to 1000 moves of a booking by its customer; null: without limit."
    )
    reschedule_notice_minutes: int | None = strawberry.field(default=None, description="Null: as for cancelling.")
    requires_approval: bool = False
    max_group_size: int = 1
    min_group_size: int = strawberry.field(default=1, description="Fewest people of one booking.")
    tags: list[str] = strawberry.field(default_factory=list)
    is_at_customers: bool = strawberry.field(
        default=False, description="It comes to the customer: bookings need an address."
    )
    provider_ids: list[strawberry.ID] = strawberry.field(default_factory=list)
    idempotency_key: str | None = None


@strawberry.input(description="What is left out stays as it is. Bookings and holds keep what they were made with.")
class UpdateServiceInput:
    service_id: strawberry.ID
    name: str | None = strawberry.UNSET
    category: str | None = strawberry.UNSET
    description: str | None = strawberry.UNSET
    subcategory: str | None = strawberry.UNSET
    price_minor: Minor | None = strawberry.UNSET
    price_type: PriceType | None = strawberry.UNSET
    duration_minutes: int | None = strawberry.UNSET
    maximum_duration_minutes: int | None = strawberry.UNSET
    buffer_before_minutes: int | None = strawberry.UNSET
    buffer_after_minutes: int | None = strawberry.UNSET
    advance_notice_minutes: int | None = strawberry.UNSET
    maximum_advance_days: int | None = strawberry.UNSET
    cancellation_notice_minutes: int | None = strawberry.UNSET
    maximum_reschedules: int | None = strawberry.UNSET
    reschedule_notice_minutes: int | None = strawberry.UNSET
    requires_approval: bool | None = strawberry.UNSET
    max_group_size: int | None = strawberry.UNSET
    min_group_size: int | None = strawberry.UNSET
    tags: list[str] | None = strawberry.UNSET
    is_at_customers: bool | None = strawberry.field(
        default=strawberry.UNSET, description="It comes to the customer: bookings need an address."
    )
    idempotency_key: str | None = None


@strawberry.input
class DeactivateServiceInput:
    service_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class ReactivateServiceInput:
    service_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input(description="All that it needs from now on. Bookings keep what they have.")
class SetServiceNeedsInput:
    service_id: strawberry.ID
    needs: list[ResourceNeedInput]
    idempotency_key: str | None = None


@strawberry.type
class CreateServicePayload:
    service: Service


@strawberry.type
class UpdateServicePayload:
    service: Service


@strawberry.type
class DeactivateServicePayload:
    service: Service


@strawberry.type
class ReactivateServicePayload:
    service: Service


@strawberry.type
class SetServiceNeedsPayload:
    service: Service


CreateServiceResult = Annotated[
    CreateServicePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreateServiceResult"),
]
UpdateServiceResult = Annotated[
    UpdateServicePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdateServiceResult"),
]
DeactivateServiceResult = Annotated[
    DeactivateServicePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("DeactivateServiceResult"),
]
ReactivateServiceResult = Annotated[
    ReactivateServicePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ReactivateServiceResult"),
]
SetServiceNeedsResult = Annotated[
    SetServiceNeedsPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("SetServiceNeedsResult"),
]


@strawberry.type
class ServiceMutation:
    @strawberry.mutation
    async def create_service(self, info: Ctx, input: CreateServiceInput) -> CreateServiceResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        provider_ids = read_ids(IdKind.PROVIDER, input.provider_ids, "input.providerIds")
        values = given(input, without={"organization_id", "provider_ids"})
        key = input.idempotency_key
        made = await resolvers.create_service(info.context, organization_id, values, provider_ids, key)
        return CreateServicePayload(service=Service.from_model(made))

    @strawberry.mutation
    async def update_service(self, info: Ctx, input: UpdateServiceInput) -> UpdateServiceResult:
        service_id = read_id(IdKind.SERVICE, input.service_id, "input.serviceId")
        values = given(input, without={"service_id"})
        changed = await resolvers.update_service(info.context, service_id, values, input.idempotency_key)
        return UpdateServicePayload(service=Service.from_model(changed))

    @strawberry.mutation(description="Closes it to new bookings. Bookings stand.")
    async def deactivate_service(self, info: Ctx, input: DeactivateServiceInput) -> DeactivateServiceResult:
        service_id = read_id(IdKind.SERVICE, input.service_id, "input.serviceId")
        changed = await resolvers.set_service_active(info.context, service_id, False, input.idempotency_key)
        return DeactivateServicePayload(service=Service.from_model(changed))

    @strawberry.mutation
    async def reactivate_service(self, info: Ctx, input: ReactivateServiceInput) -> ReactivateServiceResult:
        service_id = read_id(IdKind.SERVICE, input.service_id, "input.serviceId")
        changed = await resolvers.set_service_active(info.context, service_id, True, input.idempotency_key)
        return ReactivateServicePayload(service=Service.from_model(changed))

    @strawberry.mutation(description="Rooms, equipment and people that it takes besides the provider.")
    async def set_service_needs(self, info: Ctx, input: SetServiceNeedsInput) -> SetServiceNeedsResult:
        service_id = read_id(IdKind.SERVICE, input.service_id, "input.serviceId")
        needs = read_needs(input.needs)
        changed = await set_needs_of_service(info.context, service_id, needs, input.idempotency_key)
        return SetServiceNeedsPayload(service=Service.from_model(changed))
