"""What a customer books."""

from __future__ import annotations

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.pricing import PriceType
from app.queries import service as queries
from app.queries.pagination import page_request
from app.resolvers import service as resolvers
from app.schema.connection import Connection, connection
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx, read_wanted
from app.schema.node import Money, Node
from app.schema.provider import Provider
from app.schema.resource import ResourceNeed

strawberry.enum(queries.ServiceSort)


@strawberry.type(description="What a customer books.")
class Service(Node):
    name: str
    description: str | None
    category: str
    subcategory: str | None
    price_type: PriceType
    duration_minutes: int
    maximum_duration_minutes: int | None
    buffer_before_minutes: int
    buffer_after_minutes: int
    advance_notice_minutes: int
    maximum_advance_days: int
    cancellation_notice_minutes: int
    maximum_reschedules: int | None = strawberry.field(
        description="How often a customer may move a booking. None: without limit."
    )
    reschedule_notice_minutes: int | None = strawberry.field(
        description="Until so long before the start a customer may move it. None: as for cancelling."
    )
    requires_approval: bool
    max_group_size: int
    min_group_size: int = strawberry.field(description="Fewest people of one booking.")
    is_active: bool
    tags: list[str]
    is_at_customers: bool = strawberry.field(
        description="It comes to the customer: a booking needs an address within the provider's `serviceArea`."
    )
    record: strawberry.Private[models.Service]

    @strawberry.field(description="None for CUSTOM: an accepted quote comes before the hold. HOURLY: of one hour.")
    async def price(self, info: Ctx) -> Money | None:
        found = await resolvers.price_of(info.context, self.record)
        return None if found is None else Money.of(*found)

    @strawberry.field(description="Those who offer it, are active and at an active venue, by name.")
    async def providers(self, info: Ctx) -> list[Provider]:
        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.providers_by_service_id.load(key)
        return [Provider.from_model(provider) for provider in found]

    @strawberry.field(description="Rooms, equipment and people that it takes besides the provider.")
    async def needs(self, info: Ctx) -> list[ResourceNeed]:
        key = (self.record.organization_id, self.record.id)
        return [ResourceNeed.from_model(need) for need in await info.context.loaders.needs_by_owner_id.load(key)]

    @classmethod
    def from_model(cls, record: models.Service) -> Service:
        return cls(
            id=public_id(IdKind.SERVICE, record.id),
            name=record.name,
            description=record.description,
            category=record.category,
            subcategory=record.subcategory,
            price_type=PriceType(record.price_type),
            duration_minutes=record.duration_minutes,
            maximum_duration_minutes=record.maximum_duration_minutes,
            buffer_before_minutes=record.buffer_before_minutes,
            buffer_after_minutes=record.buffer_after_minutes,
            advance_notice_minutes=record.advance_notice_minutes,
            maximum_advance_days=record.maximum_advance_days,
            cancellation_notice_minutes=record.cancellation_notice_minutes,
            maximum_reschedules=record.maximum_reschedules,
            reschedule_notice_minutes=record.reschedule_notice_minutes,
            requires_approval=record.requires_approval,
            max_group_size=record.max_group_size,
            min_group_size=record.min_group_size,
            is_active=record.is_active,
            tags=record.tags,
            is_at_customers=record.is_at_customers,
            record=record,
        )


@strawberry.input(description="Each that is given must hold. Texts are compared without case and accents.")
class ServiceFilter:
    category: str | None = None
    subcategory: str | None = None
    text: str | None = strawberry.field(default=None, description="A part of the name.")
    tag: str | None = None
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="What this provider offers.")
    price_type: PriceType | None = None
    is_active: bool | None = strawberry.field(default=None, description="For staff; others see active ones only.")

    def wanted(self) -> queries.ServiceFilter:
        return queries.ServiceFilter(
            category=read_wanted(self.category, "filter.category"),
            subcategory=read_wanted(self.subcategory, "filter.subcategory"),
            text=read_wanted(self.text, "filter.text"),
            tag=read_wanted(self.tag, "filter.tag"),
            provider_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "filter.providerId"),
            price_type=self.price_type,
            is_active=self.is_active,
        )


@strawberry.type
class ServiceQuery:
    @strawberry.field
    async def service(self, info: Ctx, id: strawberry.ID) -> Service | None:
        service_id = read_id(IdKind.SERVICE, id, "id")
        return Service.from_model(await resolvers.read_service(info.context, service_id))

    @strawberry.field(description="Services of an organization, page by page.")
    async def services(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        filter: ServiceFilter | None = None,
        sort: queries.ServiceSort | None = queries.ServiceSort.NAME_ASC,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Service]:
        found = resolvers.ServiceList(
            info.context,
            read_id(IdKind.ORGANIZATION, organization_id, "organizationId"),
            queries.ServiceFilter() if filter is None else filter.wanted(),
        )
        request = page_request(first, after, last, before)
        page = await found.page(sort or queries.ServiceSort.NAME_ASC, request)
        return connection(page, Service.from_model, found.count)
