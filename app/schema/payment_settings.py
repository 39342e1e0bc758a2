"""An organization's terms of payment."""

from __future__ import annotations

from enum import Enum

import strawberry

from app import models
from app.domain.rounding import WHOLE_BPS
from app.schema.scalars import Minor


@strawberry.enum(description="Who takes the money that is paid online.")
class PaymentProcessor(Enum):
    STRIPE = "stripe"
    MERCADOPAGO = "mercadopago"


@strawberry.type(
    description="Terms of what is held from now on; what was held or booked keeps those that it was made with."
    " Shares are in basis points, hundredths of a percent: 2100 are 21 %."
)
class PaymentSettings:
    processor: PaymentProcessor
    accepts_pay_now: bool
    accepts_pay_on_arrival: bool
    payment_window_minutes: int = strawberry.field(description="How long a booking waits for its payment.")
    tax_bps: int
    tax_included: bool = strawberry.field(description="Prices contain the tax; otherwise it is added to them.")
    tax_label: str
    deposit_bps: int = strawberry.field(description="Of the total, due when it is booked with PAY_NOW. 10000: all.")
    late_refund_bps: int = strawberry.field(
        description="Of what was paid, given back to a customer who cancels after the notice."
    )
    late_fee_bps: int = strawberry.field(
        description="Of the price, kept from them at least; what was not paid of it is charged to what they saved."
    )
    no_show_refund_bps: int = strawberry.field(description="Of what was paid, given back to who did not come.")
    no_show_fee_bps: int = strawberry.field(description="Of the price, kept or charged likewise.")
    balance_required_at_check_in: bool = strawberry.field(
        description="Who still owes something of the price is not checked in before it is paid."
    )
    card_required_for_arrival: bool = strawberry.field(
        description="PAY_ON_ARRIVAL needs a saved card where cancelling late or not coming may cost a fee."
    )
    guest_fee_bps: int | None = strawberry.field(
        description="For staff: the platform's share of bookings by guests. None: the installation's."
    )
    member_fee_bps: int | None = strawberry.field(description="For staff: the same of bookings by who is signed in.")
    payout_delay_days: int | None = strawberry.field(
        description="For staff: after the service, until providers are paid out."
    )
    payout_minimum_minor: Minor | None = strawberry.field(description="For staff: less is paid out with the next one.")
    price_floor_bps: int | None = strawberry.field(
        description="For staff: price rules bring no price below this share of its base price. None: to nothing."
    )
    price_ceiling_bps: int | None = strawberry.field(description="For staff: nor above this one. None: no bound.")
    price_floor_minor: Minor | None = strawberry.field(description="For staff: the same as an amount for one place.")
    price_ceiling_minor: Minor | None = strawberry.field(
        description="For staff: the same as an amount for one place. Of several bounds the tightest counts."
    )

    @classmethod
    def from_model(cls, record: models.PaymentSettings, *, for_staff: bool) -> PaymentSettings:
        staff = record if for_staff else models.PaymentSettings()  # of which nothing is set
        return cls(
            processor=PaymentProcessor(record.processor),
            accepts_pay_now=record.accepts_pay_now,
            accepts_pay_on_arrival=record.accepts_pay_on_arrival,
            payment_window_minutes=record.payment_window_minutes,
            tax_bps=record.tax_bps,
            tax_included=record.tax_included,
            tax_label=record.tax_label,
            deposit_bps=WHOLE_BPS if record.deposit_bps is None else record.deposit_bps,
            late_refund_bps=record.late_refund_bps,
            late_fee_bps=record.late_fee_bps,
            no_show_refund_bps=record.no_show_refund_bps,
            no_show_fee_bps=record.no_show_fee_bps,
            balance_required_at_check_in=record.balance_required_at_check_in,
            card_required_for_arrival=record.card_required_for_arrival,
            guest_fee_bps=staff.guest_fee_bps,
            member_fee_bps=staff.member_fee_bps,
            payout_delay_days=staff.payout_delay_days,
            payout_minimum_minor=_minor(staff.payout_minimum_minor),
            price_floor_bps=staff.price_floor_bps,
            price_ceiling_bps=staff.price_ceiling_bps,
            price_floor_minor=_minor(staff.price_floor_minor),
            price_ceiling_minor=_minor(staff.price_ceiling_minor),
        )


def _minor(value: int | None) -> Minor | None:
    return None if value is None else Minor(value)
