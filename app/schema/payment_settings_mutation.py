"""Changing an organization's terms of payment."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.core.ids import IdKind
from app.resolvers import payment_settings as resolvers
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import read_id
from app.schema.info import Ctx, given
from app.schema.organization import Organization
from app.schema.payment_settings import PaymentProcessor
from app.schema.scalars import Minor


@strawberry.input(description="What is left out stays as it is. A change touches nothing that was held or booked.")
class UpdatePaymentSettingsInput:
    organization_id: strawberry.ID
    processor: PaymentProcessor | None = strawberry.UNSET
    accepts_pay_now: bool | None = strawberry.UNSET
    accepts_pay_on_arrival: bool | None = strawberry.UNSET
    payment_window_minutes: int | None = strawberry.field(default=strawberry.UNSET, description="5 to 1440.")
    tax_bps: int | None = strawberry.field(default=strawberry.UNSET, description="0 to 10000.")
    tax_included: bool | None = strawberry.UNSET
    tax_label: str | None = strawberry.field(default=strawberry.UNSET, description="Such as IVA; at most 40.")
    deposit_bps: int | None = strawberry.field(default=strawberry.UNSET, description="1 to 10000; null: all.")
    late_refund_bps: int | None = strawberry.UNSET
    late_fee_bps: int | None = strawberry.UNSET
    no_show_refund_bps: int | None = strawberry.UNSET
    no_show_fee_bps: int | None = strawberry.UNSET
    balance_required_at_check_in: bool | None = strawberry.UNSET
    card_required_for_arrival: bool | None = strawberry.UNSET
    guest_fee_bps: int | None = strawberry.field(default=strawberry.UNSET, description="null: the installation's.")
    member_fee_bps: int | None = strawberry.field(default=strawberry.UNSET, description="null: the installation's.")
    payout_delay_days: int | None = strawberry.field(default=strawberry.UNSET, description="0 to 365.")
    payout_minimum_minor: Minor | None = strawberry.UNSET
    price_floor_bps: int | None = strawberry.field(default=strawberry.UNSET, description="0 to 10000; null: none.")
    price_ceiling_bps: int | None = strawberry.field(
        default=strawberry.UNSET, description="10000 to 110000; null: none."
    )
    price_floor_minor: Minor | None = strawberry.field(default=strawberry.UNSET, description="null: none.")
    price_ceiling_minor: Minor | None = strawberry.field(default=strawberry.UNSET, description="null: none.")
    idempotency_key: str | None = None

    def values(self) -> dict[str, object]:
        found = given(self, without={"organization_id"})
        if isinstance(found.get("processor"), PaymentProcessor):
            found["processor"] = found["processor"].value
        return found


@strawberry.type
class UpdatePaymentSettingsPayload:
    organization: Organization


UpdatePaymentSettingsResult = Annotated[
    UpdatePaymentSettingsPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdatePaymentSettingsResult"),
]


@strawberry.type
class PaymentSettingsMutation:
    @strawberry.mutation(description="For owners and admins.")
    async def update_payment_settings(
        self, info: Ctx, input: UpdatePaymentSettingsInput
    ) -> UpdatePaymentSettingsResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        changed = await resolvers.update_payment_settings(
            info.context, organization_id, input.values(), input.idempotency_key
        )
        return UpdatePaymentSettingsPayload(organization=Organization.from_model(changed))
