"""Price quotes: what staff ask of one customer for a service without a price of its own."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.core.ids import IdKind
from app.domain.price_offer import OfferStatus
from app.resolvers import price_offer as resolvers
from app.resolvers.price_offer import ShownOffer
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx, given
from app.schema.node import Money, Node
from app.schema.scalars import Minor

if TYPE_CHECKING:  # those know the organization, which knows this file
    from app.schema.provider import Provider
    from app.schema.service import Service

strawberry.enum(
    OfferStatus,
    name="PriceQuoteStatus",
    description="HELD and BOOKED are accepted ones in use, EXPIRED is one whose time was over before.",
)


@strawberry.type(description="A price for one customer, by whoever has its secret link, and for staff.")
class PriceQuote(Node):
    status: OfferStatus
    customer_name: str
    customer_email: str
    price: Money = strawberry.field(description="As it was agreed.")
    duration_minutes: int | None = strawberry.field(description="None: any that the service allows.")
    message: str | None
    valid_until: datetime = strawberry.field(description="Until when it can be accepted and held; excluded.")
    answered_at: datetime | None
    access_token: str = strawberry.field(description="The customer's secret link: whoever has it may accept and hold.")
    created_at: datetime
    shown: strawberry.Private[ShownOffer]

    @strawberry.field(description="What is paid at this price, with the tax where it is added, by the terms of today.")
    async def total(self, info: Ctx) -> Money:
        record = self.shown.seen.record
        return Money.of(await resolvers.total_minor(info.context, record), record.currency)

    @strawberry.field
    async def service(self, info: Ctx) -> Annotated[Service, strawberry.lazy("app.schema.service")]:
        from app.schema.service import Service  # noqa: PLC0415

        record = self.shown.seen.record
        key = (record.organization_id, record.service_id)
        return Service.from_model(await info.context.loaders.service_by_id.load(key))

    @strawberry.field(description="None: whoever offers the service.")
    async def provider(self, info: Ctx) -> Annotated[Provider, strawberry.lazy("app.schema.provider")] | None:
        from app.schema.provider import Provider  # noqa: PLC0415

        record = self.shown.seen.record
        if record.provider_id is None:
            return None
        key = (record.organization_id, record.provider_id)
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @classmethod
    def from_shown(cls, shown: ShownOffer) -> PriceQuote:
        record = shown.seen.record
        return cls(
            id=public_id(IdKind.PRICE_OFFER, record.id),
            status=shown.status,
            customer_name=record.customer_name,
            customer_email=record.customer_email,
            price=Money.of(record.amount_minor, record.currency),
            duration_minutes=record.duration_minutes,
            message=record.message,
            valid_until=record.valid_until,
            answered_at=record.answered_at,
            access_token=shown.token,
            created_at=record.created_at,
            shown=shown,
        )


@strawberry.input(description="For a service whose price is CUSTOM. Staff.")
class CreatePriceQuoteInput:
    service_id: strawberry.ID
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="None: whoever offers it.")
    customer_name: str
    customer_email: str
    amount_minor: Minor = strawberry.field(description="For the whole service, in the organization's currency.")
    duration_minutes: int | None = strawberry.field(default=None, description="None: any that the service allows.")
    message: str | None = strawberry.field(default=None, description="For the customer.")
    valid_until: datetime = strawberry.field(description="At most 366 days ahead.")
    idempotency_key: str | None = None


@strawberry.input
class WithdrawPriceQuoteInput:
    price_quote_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class AcceptPriceQuoteInput:
    access_token: str
    idempotency_key: str | None = None


@strawberry.input
class DeclinePriceQuoteInput:
    access_token: str
    idempotency_key: str | None = None


@strawberry.type
class CreatePriceQuotePayload:
    price_quote: PriceQuote


@strawberry.type
class WithdrawPriceQuotePayload:
    price_quote: PriceQuote


@strawberry.type
class AcceptPriceQuotePayload:
    price_quote: PriceQuote


@strawberry.type
class DeclinePriceQuotePayload:
    price_quote: PriceQuote


CreatePriceQuoteResult = Annotated[
    CreatePriceQuotePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreatePriceQuoteResult"),
]
WithdrawPriceQuoteResult = Annotated[
    WithdrawPriceQuotePayload | NotFound | NotAllowed | InvalidInput | IdempotencyConflict,
    strawberry.union("WithdrawPriceQuoteResult"),
]
AcceptPriceQuoteResult = Annotated[
    AcceptPriceQuotePayload | NotFound | NotAllowed | InvalidInput | IdempotencyConflict,
    strawberry.union("AcceptPriceQuoteResult"),
]
DeclinePriceQuoteResult = Annotated[
    DeclinePriceQuotePayload | NotFound | NotAllowed | InvalidInput | IdempotencyConflict,
    strawberry.union("DeclinePriceQuoteResult"),
]


@strawberry.type
class PriceQuoteQuery:
    @strawberry.field(description="By id for staff, by its accessToken for its customer.")
    async def price_quote(
        self, info: Ctx, id: strawberry.ID | None = None, access_token: str | None = None
    ) -> PriceQuote | None:
        wanted = read_optional_id(IdKind.PRICE_OFFER, id, "id")
        return PriceQuote.from_shown(await resolvers.read_price_offer(info.context, wanted, access_token))


@strawberry.type
class PriceQuoteMutation:
    @strawberry.mutation(description="Name a price for one customer; give them its accessToken.")
    async def create_price_quote(self, info: Ctx, input: CreatePriceQuoteInput) -> CreatePriceQuoteResult:
        service_id = read_id(IdKind.SERVICE, input.service_id, "input.serviceId")
        provider_id = read_optional_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        values = given(input, without={"service_id", "provider_id"})
        made = await resolvers.create_price_offer(info.context, service_id, provider_id, values, input.idempotency_key)
        return CreatePriceQuotePayload(price_quote=PriceQuote.from_shown(made))

    @strawberry.mutation(description="Staff take it back, unless it is held or booked.")
    async def withdraw_price_quote(self, info: Ctx, input: WithdrawPriceQuoteInput) -> WithdrawPriceQuoteResult:
        offer_id = read_id(IdKind.PRICE_OFFER, input.price_quote_id, "input.priceQuoteId")
        changed = await resolvers.withdraw_price_offer(info.context, offer_id, input.idempotency_key)
        return WithdrawPriceQuotePayload(price_quote=PriceQuote.from_shown(changed))

    @strawberry.mutation(description="The customer agrees; then `holdSlot` takes it as `priceQuoteToken`.")
    async def accept_price_quote(self, info: Ctx, input: AcceptPriceQuoteInput) -> AcceptPriceQuoteResult:
        changed = await resolvers.answer_price_offer(info.context, input.access_token, True, input.idempotency_key)
        return AcceptPriceQuotePayload(price_quote=PriceQuote.from_shown(changed))

    @strawberry.mutation(description="The customer does not want it; it cannot be accepted any more.")
    async def decline_price_quote(self, info: Ctx, input: DeclinePriceQuoteInput) -> DeclinePriceQuoteResult:
        changed = await resolvers.answer_price_offer(info.context, input.access_token, False, input.idempotency_key)
        return DeclinePriceQuotePayload(price_quote=PriceQuote.from_shown(changed))
