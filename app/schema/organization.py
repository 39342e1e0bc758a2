"""Organizations."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.queries.pagination import page_request
from app.resolvers import organization as resolvers
from app.resolvers.payment_settings import read_payment_settings
from app.resolvers.price_offer import PriceOfferList
from app.resolvers.price_rule import read_price_rules
from app.resolvers.promo import PromoCodeList
from app.schema.connection import Connection, connection
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx, given
from app.schema.node import Node
from app.schema.payment_settings import PaymentSettings
from app.schema.price_offer import PriceQuote
from app.schema.price_rule import PriceRule
from app.schema.promo import PromoCode
from app.schema.venue import Venue


@strawberry.type(description="A business: its venues, its people and its customers.")
class Organization(Node):
    slug: str
    name: str
    currency: str = strawberry.field(description="ISO 4217; of every price of the catalogue.")
    locale: str
    country: str | None
    customer_daily_limit: int | None = strawberry.field(
        description="Most bookings of one customer that start on one day. None: no limit."
    )
    customer_weekly_limit: int | None = strawberry.field(description="The same for a week, from Monday.")
    bookings_per_hour_limit: int | None = strawberry.field(
        description="Most bookings that one customer, told by account or e-mail address, may make within any hour; a "
        "series counts once. None: no limit."
    )
    approval_hours: int = strawberry.field(
        description="How long a provider has to accept a booking that asks for it; never longer than to its start."
    )
    auto_complete_after_minutes: int | None = strawberry.field(
        description="So long after its end a booking is COMPLETED by itself. None: never."
    )
    auto_no_show_after_minutes: int | None = strawberry.field(
        description="So long after its start a booking that was not checked in is NO_SHOW by itself. None: never."
    )
    waitlist_offer_minutes: int = strawberry.field(description="How long an offer of the waitlist can be accepted.")
    record: strawberry.Private[models.Organization]

    @strawberry.field(description="The active ones, by name.")
    async def venues(self, info: Ctx) -> list[Venue]:
        key = (self.record.id, self.record.id)
        found = await info.context.loaders.venues_by_organization_id.load(key)
        return [Venue.from_model(venue) for venue in found]

    @strawberry.field(description="How its customers pay.")
    async def payment_settings(self, info: Ctx) -> PaymentSettings:
        found, is_staff = await read_payment_settings(info.context, self.record.id)
        return PaymentSettings.from_model(found, for_staff=is_staff)

    @strawberry.field(
        description="For staff: what changes its prices, active ones first, by priority; at most 500. None for others."
    )
    async def price_rules(self, info: Ctx, is_active: bool | None = None) -> list[PriceRule] | None:
        found = await read_price_rules(info.context, self.record.id, is_active=is_active)
        return None if found is None else [PriceRule.from_model(rule) for rule in found]

    @strawberry.field(description="Newest first, with their uses. For staff; null for others.")
    async def promo_codes(
        self,
        info: Ctx,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[PromoCode] | None:
        found = PromoCodeList(info.context, self.record.id)
        page = await found.page(page_request(first, after, last, before))
        return None if page is None else connection(page, PromoCode.from_model, found.count)

    @strawberry.field(
        description="Prices that were named for single customers, newest first. For staff; null for others."
    )
    async def price_quotes(
        self,
        info: Ctx,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[PriceQuote] | None:
        found = PriceOfferList(info.context, self.record.id)
        page = await found.page(page_request(first, after, last, before))
        return None if page is None else connection(page, PriceQuote.from_shown, found.count)

    @classmethod
    def from_model(cls, record: models.Organization) -> Organization:
        return cls(
            id=public_id(IdKind.ORGANIZATION, record.id),
            slug=record.slug,
            name=record.name,
            currency=record.currency,
            locale=record.locale,
            country=record.country,
            customer_daily_limit=record.customer_daily_limit,
            customer_weekly_limit=record.customer_weekly_limit,
            bookings_per_hour_limit=record.bookings_per_hour_limit,
            approval_hours=record.approval_hours,
            auto_complete_after_minutes=record.auto_complete_after_minutes,
            auto_no_show_after_minutes=record.auto_no_show_after_minutes,
            waitlist_offer_minutes=record.waitlist_offer_minutes,
            record=record,
        )


@strawberry.input
class CreateOrganizationInput:
    name: str
    slug: str = strawberry.field(description="2 to 63 of a-z, 0-9 and single hyphens; unique.")
    currency: str
    locale: str | None = "en"
    country: str | None = None
    template: str | None = None
    idempotency_key: str | None = None


@strawberry.input(description="What is left out stays as it is.")
class UpdateOrganizationInput:
    organization_id: strawberry.ID
    name: str | None = strawberry.UNSET
    slug: str | None = strawberry.UNSET
    locale: str | None = strawberry.UNSET
    country: str | None = strawberry.UNSET
    customer_daily_limit: int | None = strawberry.field(default=strawberry.UNSET, description="1 to 1000; null: none.")
    customer_weekly_limit: int | None = strawberry.field(default=strawberry.UNSET, description="1 to 1000; null: none.")
    bookings_per_hour_limit: int | None = strawberry.field(
        default=strawberry.UNSET, description="1 to 1000; 0 or null: none. Staff and providers are not bound by it."
    )
    approval_hours: int | None = strawberry.field(
        default=strawberry.UNSET, description="1 to 720. New bookings follow."
    )
    auto_complete_after_minutes: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="0 to 10080; null: never. Where no-shows are marked, who was not checked in is not completed.",
    )
    auto_no_show_after_minutes: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="1 to 1440; null: never. Its fee is as if the staff had marked it. Bookings that started before it"
        " was switched on are left alone.",
    )
    waitlist_offer_minutes: int | None = strawberry.field(
        default=strawberry.UNSET, description="5 to 1440: how long an offer of the waitlist can be accepted."
    )
    idempotency_key: str | None = None


@strawberry.type
class CreateOrganizationPayload:
    organization: Organization


@strawberry.type
class UpdateOrganizationPayload:
    organization: Organization


CreateOrganizationResult = Annotated[
    CreateOrganizationPayload | InvalidInput | NotAllowed | IdempotencyConflict,
    strawberry.union("CreateOrganizationResult"),
]
UpdateOrganizationResult = Annotated[
    UpdateOrganizationPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdateOrganizationResult"),
]


@strawberry.type
class OrganizationQuery:
    @strawberry.field(description="By exactly one of its id and its slug.")
    async def organization(
        self, info: Ctx, id: strawberry.ID | None = None, slug: str | None = None
    ) -> Organization | None:
        wanted = read_optional_id(IdKind.ORGANIZATION, id, "id")
        return Organization.from_model(await resolvers.read_organization(info.context, wanted, slug))


@strawberry.type
class OrganizationMutation:
    @strawberry.mutation(description="Whoever makes it becomes its owner.")
    async def create_organization(self, info: Ctx, input: CreateOrganizationInput) -> CreateOrganizationResult:
        made = await resolvers.create_organization(info.context, given(input), input.idempotency_key)
        return CreateOrganizationPayload(organization=Organization.from_model(made))

    @strawberry.mutation
    async def update_organization(self, info: Ctx, input: UpdateOrganizationInput) -> UpdateOrganizationResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        values = given(input, without={"organization_id"})
        changed = await resolvers.update_organization(info.context, organization_id, values, input.idempotency_key)
        return UpdateOrganizationPayload(organization=Organization.from_model(changed))
