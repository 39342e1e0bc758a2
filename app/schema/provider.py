"""Who gives services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.queries import provider as queries
from app.queries.pagination import page_request
from app.resolvers import provider as resolvers
from app.schema.connection import Connection, connection
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id, read_ids, read_optional_id
from app.schema.info import Ctx, given, read_wanted
from app.schema.node import Node
from app.schema.scalars import TimeZone

if TYPE_CHECKING:  # those three know this file
    from app.schema.offer import Offer
    from app.schema.service import Service
    from app.schema.venue import Venue

strawberry.enum(queries.ProviderSort, description="RATING_DESC: those without a rating come last.")


@strawberry.type(description="A person (or a team) who gives services.")
class Provider(Node):
    name: str
    bio: str | None
    rating: float | None
    is_active: bool
    record: strawberry.Private[models.Provider]

    @strawberry.field(description="The provider's own, else the venue's.")
    async def time_zone(self, info: Ctx) -> TimeZone:
        return TimeZone(await resolvers.time_zone_of(info.context, self.record))

    @strawberry.field
    async def venue(self, info: Ctx) -> Annotated[Venue, strawberry.lazy("app.schema.venue")]:
        from app.schema.venue import Venue  # noqa: PLC0415

        key = (self.record.organization_id, self.record.venue_id)
        return Venue.from_model(await info.context.loaders.venue_by_id.load(key))

    @strawberry.field(description="The active ones that the provider offers, by name.")
    async def services(self, info: Ctx) -> list[Annotated[Service, strawberry.lazy("app.schema.service")]]:
        from app.schema.service import Service  # noqa: PLC0415

        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.services_by_provider_id.load(key)
        return [Service.from_model(service) for service in found]

    @strawberry.field(description="The same services, with the provider's own prices and durations.")
    async def offers(self, info: Ctx) -> list[Annotated[Offer, strawberry.lazy("app.schema.offer")]]:
        from app.schema.offer import Offer  # noqa: PLC0415

        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.offers_by_provider_id.load(key)
        return [Offer.from_model(offer) for offer in found]

    @classmethod
    def from_model(cls, record: models.Provider) -> Provider:
        return cls(
            id=public_id(IdKind.PROVIDER, record.id),
            name=record.name,
            bio=record.bio,
            rating=record.rating,
            is_active=record.is_active,
            record=record,
        )


@strawberry.input(description="Each that is given must hold.")
class ProviderFilter:
    venue_id: strawberry.ID | None = None
    service_id: strawberry.ID | None = strawberry.field(default=None, description="Who offers this service.")
    category: str | None = strawberry.field(default=None, description="Who offers a service of this category.")
    text: str | None = strawberry.field(default=None, description="A part of the name, without case and accents.")
    is_active: bool | None = strawberry.field(default=None, description="For staff; others see active ones only.")

    def wanted(self) -> queries.ProviderFilter:
        return queries.ProviderFilter(
            venue_id=read_optional_id(IdKind.VENUE, self.venue_id, "filter.venueId"),
            service_id=read_optional_id(IdKind.SERVICE, self.service_id, "filter.serviceId"),
            category=read_wanted(self.category, "filter.category"),
            text=read_wanted(self.text, "filter.text"),
            is_active=self.is_active,
        )


@strawberry.input
class CreateProviderInput:
    venue_id: strawberry.ID
    name: str
    bio: str | None = None
    time_zone: TimeZone | None = strawberry.field(default=None, description="None: the venue's.")
    service_ids: list[strawberry.ID] = strawberry.field(default_factory=list)
    user_email: str | None = strawberry.field(default=None, description="Of the account that acts as this provider.")
    idempotency_key: str | None = None


@strawberry.input(description="What is left out stays as it is.")
class UpdateProviderInput:
    provider_id: strawberry.ID
    name: str | None = strawberry.UNSET
    bio: str | None = strawberry.UNSET
    time_zone: TimeZone | None = strawberry.UNSET
    user_email: str | None = strawberry.UNSET
    idempotency_key: str | None = None


@strawberry.input
class DeactivateProviderInput:
    provider_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class ReactivateProviderInput:
    provider_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class CreateProviderPayload:
    provider: Provider


@strawberry.type
class UpdateProviderPayload:
    provider: Provider


@strawberry.type
class DeactivateProviderPayload:
    provider: Provider


@strawberry.type
class ReactivateProviderPayload:
    provider: Provider


CreateProviderResult = Annotated[
    CreateProviderPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreateProviderResult"),
]
UpdateProviderResult = Annotated[
    UpdateProviderPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdateProviderResult"),
]
DeactivateProviderResult = Annotated[
    DeactivateProviderPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("DeactivateProviderResult"),
]
ReactivateProviderResult = Annotated[
    ReactivateProviderPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ReactivateProviderResult"),
]


@strawberry.type
class ProviderQuery:
    @strawberry.field
    async def provider(self, info: Ctx, id: strawberry.ID) -> Provider | None:
        provider_id = read_id(IdKind.PROVIDER, id, "id")
        return Provider.from_model(await resolvers.read_provider(info.context, provider_id))

    @strawberry.field(description="Providers of an organization, page by page.")
    async def providers(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        filter: ProviderFilter | None = None,
        sort: queries.ProviderSort | None = queries.ProviderSort.NAME_ASC,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Provider]:
        found = resolvers.ProviderList(
            info.context,
            read_id(IdKind.ORGANIZATION, organization_id, "organizationId"),
            queries.ProviderFilter() if filter is None else filter.wanted(),
        )
        request = page_request(first, after, last, before)
        page = await found.page(sort or queries.ProviderSort.NAME_ASC, request)
        return connection(page, Provider.from_model, found.count)


@strawberry.type
class ProviderMutation:
    @strawberry.mutation
    async def create_provider(self, info: Ctx, input: CreateProviderInput) -> CreateProviderResult:
        venue_id = read_id(IdKind.VENUE, input.venue_id, "input.venueId")
        service_ids = read_ids(IdKind.SERVICE, input.service_ids, "input.serviceIds")
        values = given(input, without={"venue_id", "service_ids"})
        made = await resolvers.create_provider(info.context, venue_id, values, service_ids, input.idempotency_key)
        return CreateProviderPayload(provider=Provider.from_model(made))

    @strawberry.mutation
    async def update_provider(self, info: Ctx, input: UpdateProviderInput) -> UpdateProviderResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        values = given(input, without={"provider_id"})
        changed = await resolvers.update_provider(info.context, provider_id, values, input.idempotency_key)
        return UpdateProviderPayload(provider=Provider.from_model(changed))

    @strawberry.mutation(description="Closes the provider to new bookings. Bookings stand.")
    async def deactivate_provider(self, info: Ctx, input: DeactivateProviderInput) -> DeactivateProviderResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        changed = await resolvers.set_provider_active(info.context, provider_id, False, input.idempotency_key)
        return DeactivateProviderPayload(provider=Provider.from_model(changed))

    @strawberry.mutation
    async def reactivate_provider(self, info: Ctx, input: ReactivateProviderInput) -> ReactivateProviderResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        changed = await resolvers.set_provider_active(info.context, provider_id, True, input.idempotency_key)
        return ReactivateProviderPayload(provider=Provider.from_model(changed))
