"""What one provider offers."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.resolvers import provider as resolvers
from app.resolvers.service import price_of
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import read_id
from app.schema.info import Ctx, given
from app.schema.node import Money
from app.schema.provider import Provider
from app.schema.scalars import Minor
from app.schema.service import Service


@strawberry.type(description="A service as one provider offers it.")
class Offer:
    is_active: bool
    record: strawberry.Private[models.Offer]

    @strawberry.field
    async def provider(self, info: Ctx) -> Provider:
        key = (self.record.organization_id, self.record.provider_id)
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @strawberry.field
    async def service(self, info: Ctx) -> Service:
        return Service.from_model(await self._service(info))

    @strawberry.field(description="The provider's own, else the service's. None for CUSTOM.")
    async def price(self, info: Ctx) -> Money | None:
        found = await price_of(info.context, await self._service(info), self.record.price_minor)
        return None if found is None else Money.of(*found)

    @strawberry.field(description="The provider's own, else the service's.")
    async def duration_minutes(self, info: Ctx) -> int:
        return self.record.duration_minutes or (await self._service(info)).duration_minutes

    async def _service(self, info: Ctx) -> models.Service:
        key = (self.record.organization_id, self.record.service_id)
        return await info.context.loaders.service_by_id.load(key)

    @classmethod
    def from_model(cls, record: models.Offer) -> Offer:
        return cls(is_active=record.is_active, record=record)


@strawberry.input
class SetOfferInput:
    provider_id: strawberry.ID
    service_id: strawberry.ID
    price_minor: Minor | None = strawberry.field(default=None, description="None: the service's own.")
    duration_minutes: int | None = strawberry.field(default=None, description="None: the service's own.")
    idempotency_key: str | None = None


@strawberry.input
class RemoveOfferInput:
    provider_id: strawberry.ID
    service_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class SetOfferPayload:
    offer: Offer


@strawberry.type
class RemoveOfferPayload:
    offer: Offer


SetOfferResult = Annotated[
    SetOfferPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("SetOfferResult"),
]
RemoveOfferResult = Annotated[
    RemoveOfferPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("RemoveOfferResult"),
]


@strawberry.type
class OfferMutation:
    @strawberry.mutation(description="Lets a provider offer a service, or changes how it is offered.")
    async def set_offer(self, info: Ctx, input: SetOfferInput) -> SetOfferResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        service_id = read_id(IdKind.SERVICE, input.service_id, "input.serviceId")
        values = given(input, without={"provider_id", "service_id"})
        offer = await resolvers.set_offer(info.context, provider_id, service_id, values, input.idempotency_key)
        return SetOfferPayload(offer=Offer.from_model(offer))

    @strawberry.mutation(description="The provider offers the service no more. Bookings stand.")
    async def remove_offer(self, info: Ctx, input: RemoveOfferInput) -> RemoveOfferResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        service_id = read_id(IdKind.SERVICE, input.service_id, "input.serviceId")
        offer = await resolvers.remove_offer(info.context, provider_id, service_id, input.idempotency_key)
        return RemoveOfferPayload(offer=Offer.from_model(offer))
