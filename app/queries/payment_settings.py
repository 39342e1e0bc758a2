"""An organization's terms of payment, as they are shown and changed."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Tx
from app.models import Organization, PaymentSettings
from app.queries.rows import lock_row


async def get_payment_settings(tx: Tx, organization_id: UUID) -> PaymentSettings:
    """Where nothing was ever set: the defaults, in a row that belongs to no session. One statement."""
    query = select(PaymentSettings).where(PaymentSettings.organization_id == organization_id)
    found = (await tx.execute(query)).scalar_one_or_none()
    return default_settings(organization_id) if found is None else found


async def lock_payment_settings(tx: Tx, organization_id: UUID) -> PaymentSettings:
    """The row, made when there is none, until this transaction ends. Three statements.

    The organization first, as whoever changes its prices does: `price_version` is there.
    """
    await lock_row(tx, Organization, organization_id)
    await tx.execute(insert(PaymentSettings).values(organization_id=organization_id).on_conflict_do_nothing())
    query = select(PaymentSettings).where(PaymentSettings.organization_id == organization_id)
    return (await tx.execute(query.with_for_update())).scalar_one()


def default_settings(organization_id: UUID) -> PaymentSettings:
    """What the columns are where nobody said otherwise."""
    return PaymentSettings(
        organization_id=organization_id,
        processor="stripe",
        accepts_pay_now=True,
        accepts_pay_on_arrival=True,
        payment_window_minutes=30,
        tax_bps=0,
        tax_included=True,
        tax_label="Tax",
        deposit_bps=None,
        late_refund_bps=0,
        late_fee_bps=0,
        no_show_refund_bps=0,
        no_show_fee_bps=0,
        balance_required_at_check_in=False,
        card_required_for_arrival=False,
        guest_fee_bps=None,
        member_fee_bps=None,
        payout_delay_days=7,
        payout_minimum_minor=0,
        price_floor_bps=None,
        price_ceiling_bps=None,
        price_floor_minor=None,
        price_ceiling_minor=None,
    )
