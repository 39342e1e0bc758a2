"""An organization's terms of payment, as a booking freezes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.core.database import Tx
from app.domain.price_quote import FeeRates
from app.domain.refund import NOTHING_AFTER_NOTICE, Fee, RefundPolicy
from app.models import PaymentSettings


@dataclass(frozen=True, slots=True)
class PaymentTerms:
    """`window`: how long a booking waits for its payment. Fees none: the installation's."""

    processor: str = "stripe"
    accepts_pay_now: bool = True
    accepts_pay_on_arrival: bool = True
    window: timedelta = timedelta(minutes=30)
    policy: RefundPolicy = NOTHING_AFTER_NOTICE
    guest_fee_bps: int | None = None
    member_fee_bps: int | None = None

    def fee_bps(self, installation: FeeRates, *, is_member: bool) -> int:
        """The platform's share in basis points: the organization's own, or else the installation's."""
        own = self.member_fee_bps if is_member else self.guest_fee_bps
        return installation.of(is_member=is_member) if own is None else own

    balance_required_at_check_in: bool = False
    card_required_for_arrival: bool = False


_DEFAULTS = PaymentTerms()


def terms_of_settings(row: PaymentSettings | None) -> PaymentTerms:
    """No row: the defaults."""
    if row is None:
        return _DEFAULTS
    return PaymentTerms(
        processor=row.processor,
        accepts_pay_now=row.accepts_pay_now,
        accepts_pay_on_arrival=row.accepts_pay_on_arrival,
        window=timedelta(minutes=row.payment_window_minutes),
        policy=RefundPolicy(
            late_refund_bps=row.late_refund_bps,
            late_fee=Fee(row.late_fee_bps),
            no_show_refund_bps=row.no_show_refund_bps,
            no_show_fee=Fee(row.no_show_fee_bps),
        ),
        guest_fee_bps=row.guest_fee_bps,
        member_fee_bps=row.member_fee_bps,
        balance_required_at_check_in=row.balance_required_at_check_in,
        card_required_for_arrival=row.card_required_for_arrival,
    )


async def get_terms(tx: Tx, organization_id: UUID) -> PaymentTerms:
    """As they are today. One statement."""
    return terms_of_settings(await tx.get(PaymentSettings, organization_id, populate_existing=True))
