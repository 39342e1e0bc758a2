"""Promo codes: staff make them, holders try them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.promo import PromoRefusal
from app.resolvers import promo as resolvers
from app.resolvers.promo import CheckedCode
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id, read_ids
from app.schema.info import Ctx, given
from app.schema.node import Money, Node
from app.schema.price_lines import PriceLine
from app.schema.scalars import Minor

strawberry.enum(PromoRefusal, name="PromoCodeRefusal", description="Why a code does not count here.")


@strawberry.type(description="A code that lowers the price of bookings. For staff.")
class PromoCode(Node):
    code: str = strawberry.field(description="As it is compared: case, accents and full-width forms do not matter.")
    note: str | None = strawberry.field(description="For the staff alone.")
    rate_bps: int | None = strawberry.field(description="What it takes off, in hundredths of a percent.")
    amount: Money | None = strawberry.field(description="Or what it takes off as an amount.")
    at_most: Money | None = strawberry.field(description="Most that it takes off.")
    minimum: Money = strawberry.field(description="What the services that it lowers cost at least, before it.")
    service_ids: list[strawberry.ID] = strawberry.field(description="What it lowers; no service, no activity: all.")
    activity_ids: list[strawberry.ID]
    first_booking_only: bool
    valid_from: datetime | None
    valid_until: datetime | None = strawberry.field(description="Excluded; when the booking is made, not served.")
    total_limit: int | None
    customer_limit: int | None = strawberry.field(description="Uses of one customer, by account or e-mail address.")
    uses: int = strawberry.field(description="Of bookings that stand.")
    is_active: bool
    created_at: datetime

    @classmethod
    def from_model(cls, record: models.PromoCode) -> PromoCode:
        def money(minor: int | None) -> Money | None:
            return None if minor is None else Money.of(minor, record.currency)

        return cls(
            id=public_id(IdKind.PROMO_CODE, record.id),
            code=record.code,
            note=record.note,
            rate_bps=record.rate_bps or None,
            amount=money(record.amount_minor or None),
            at_most=money(record.at_most_minor),
            minimum=Money.of(record.minimum_minor, record.currency),
            service_ids=[public_id(IdKind.SERVICE, one) for one in record.service_ids],
            activity_ids=[public_id(IdKind.ACTIVITY, one) for one in record.activity_ids],
            first_booking_only=record.first_booking_only,
            valid_from=record.valid_from,
            valid_until=record.valid_until,
            total_limit=record.total_limit,
            customer_limit=record.customer_limit,
            uses=record.uses,
            is_active=record.is_active,
            created_at=record.created_at,
        )


@strawberry.type(description="What a booking with a promo code would cost.")
class PromoCodeCheck:
    is_usable: bool
    reason: PromoRefusal | None = strawberry.field(
        description="Why not. UNKNOWN: there is none, or none that anybody is to know of."
    )
    message: str | None = strawberry.field(description="The same, for the guest.")
    price: Money = strawberry.field(description="With the code; the locked price where it does not count.")
    discount: Money
    due_now: Money = strawberry.field(description="Of the price, when the booking is made with PAY_NOW.")
    price_lines: list[PriceLine] = strawberry.field(description="Why it costs so much.")

    @classmethod
    def from_checked(cls, checked: CheckedCode) -> PromoCodeCheck:
        quote, refusal = checked.quote, checked.refusal
        return cls(
            is_usable=refusal is None,
            reason=None if refusal is None else refusal.reason,
            message=None if refusal is None else f"This {refusal.violations[0].message}.",
            price=Money.of(quote.total_minor, quote.currency),
            discount=Money.of(quote.discount_minor, quote.currency),
            due_now=Money.of(quote.due_now_minor, quote.currency),
            price_lines=[PriceLine.from_domain(line, quote.currency) for line in quote.lines],
        )


@strawberry.input(description="Exactly one of `rateBps` and `amountMinor`. Amounts are in the organization's currency.")
class CreatePromoCodeInput:
    organization_id: strawberry.ID
    code: str = strawberry.field(
        description="3 to 32 letters and digits of any script; - and _ may stand between them. Unique, in any case."
    )
    rate_bps: int | None = strawberry.field(default=None, description="1 to 10000 hundredths of a percent.")
    amount_minor: Minor | None = None
    at_most_minor: Minor | None = None
    minimum_minor: Minor | None = None
    service_ids: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="Services that it lowers; neither services nor activities: everything."
    )
    activity_ids: list[strawberry.ID] = strawberry.field(default_factory=list)
    first_booking_only: bool = False
    valid_from: datetime | None = None
    valid_until: datetime | None = strawberry.field(default=None, description="Excluded.")
    total_limit: int | None = strawberry.field(default=None, description="Uses in all. None: no limit.")
    customer_limit: int | None = strawberry.field(
        default=None, description="Uses of one customer, by account or e-mail address. None: no limit."
    )
    note: str | None = strawberry.field(default=None, description="For the staff alone.")
    idempotency_key: str | None = None


@strawberry.input(
    description="What is left out stays; null takes a limit away. What a code is worth stays: another worth is another"
    " code. Bookings keep their prices, and a limit below what is used stops new uses alone."
)
class UpdatePromoCodeInput:
    promo_code_id: strawberry.ID
    at_most_minor: Minor | None = strawberry.UNSET
    minimum_minor: Minor | None = strawberry.UNSET
    service_ids: list[strawberry.ID] | None = strawberry.UNSET
    activity_ids: list[strawberry.ID] | None = strawberry.UNSET
    first_booking_only: bool | None = strawberry.UNSET
    valid_from: datetime | None = strawberry.UNSET
    valid_until: datetime | None = strawberry.UNSET
    total_limit: int | None = strawberry.UNSET
    customer_limit: int | None = strawberry.UNSET
    note: str | None = strawberry.UNSET
    is_active: bool | None = strawberry.UNSET
    idempotency_key: str | None = None


_SUBJECTS = {
    "service_ids": (IdKind.SERVICE, "input.serviceIds"),
    "activity_ids": (IdKind.ACTIVITY, "input.activityIds"),
}


def _values(source: CreatePromoCodeInput | UpdatePromoCodeInput) -> dict[str, Any]:
    """Raises BadInput for an id that is none."""
    values = given(source, without={"organization_id", "promo_code_id"})
    for field, (kind, path) in _SUBJECTS.items():
        if values.get(field) is not None:
            values[field] = list(read_ids(kind, values[field], path))
    return values


@strawberry.type
class CreatePromoCodePayload:
    promo_code: PromoCode


@strawberry.type
class UpdatePromoCodePayload:
    promo_code: PromoCode


CreatePromoCodeResult = Annotated[
    CreatePromoCodePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreatePromoCodeResult"),
]
UpdatePromoCodeResult = Annotated[
    UpdatePromoCodePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdatePromoCodeResult"),
]


@strawberry.type
class PromoQuery:
    @strawberry.field(
        description="What booking a hold with this code would cost. A refused code is no error; too many are"
        " RATE_LIMITED."
    )
    async def check_promo_code(
        self, info: Ctx, hold_id: strawberry.ID, hold_token: str, promo_code: str
    ) -> PromoCodeCheck:
        wanted = read_id(IdKind.HOLD, hold_id, "holdId")
        return PromoCodeCheck.from_checked(
            await resolvers.check_promo_code(info.context, wanted, hold_token, promo_code)
        )


@strawberry.type
class PromoMutation:
    @strawberry.mutation(description="Owners and admins.")
    async def create_promo_code(self, info: Ctx, input: CreatePromoCodeInput) -> CreatePromoCodeResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        made = await resolvers.create_promo_code(info.context, organization_id, _values(input), input.idempotency_key)
        return CreatePromoCodePayload(promo_code=PromoCode.from_model(made))

    @strawberry.mutation(description="Owners and admins: deactivate it, extend it, change its limits.")
    async def update_promo_code(self, info: Ctx, input: UpdatePromoCodeInput) -> UpdatePromoCodeResult:
        promo_id = read_id(IdKind.PROMO_CODE, input.promo_code_id, "input.promoCodeId")
        changed = await resolvers.update_promo_code(info.context, promo_id, _values(input), input.idempotency_key)
        return UpdatePromoCodePayload(promo_code=PromoCode.from_model(changed))
