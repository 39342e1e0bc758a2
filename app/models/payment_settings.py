"""An organization's terms of payment."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base


class PaymentSettings(Base):
    """No row: the defaults. Shares in basis points. `guest_fee_bps`, `member_fee_bps`: none, the installation's;
    `deposit_bps`: none, everything is due at once. Floors and ceilings bound what price rules do.
    """

    __tablename__ = "payment_settings"
    __table_args__ = (
        CheckConstraint("processor IN ('stripe', 'mercadopago')", name="processor"),
        CheckConstraint("accepts_pay_now OR accepts_pay_on_arrival", name="method"),
        CheckConstraint("payment_window_minutes BETWEEN 5 AND 1440", name="window"),
        CheckConstraint(
            "tax_bps BETWEEN 0 AND 10000 AND deposit_bps BETWEEN 1 AND 10000"
            " AND late_refund_bps BETWEEN 0 AND 10000 AND late_fee_bps BETWEEN 0 AND 10000"
            " AND no_show_refund_bps BETWEEN 0 AND 10000 AND no_show_fee_bps BETWEEN 0 AND 10000"
            " AND guest_fee_bps BETWEEN 0 AND 10000 AND member_fee_bps BETWEEN 0 AND 10000",
            name="shares",
        ),
        CheckConstraint(
            "payout_delay_days BETWEEN 0 AND 365 AND payout_minimum_minor BETWEEN 0 AND 9007199254740991",
            name="payout",
        ),
        CheckConstraint(
            "price_floor_bps BETWEEN 0 AND 10000 AND price_ceiling_bps BETWEEN 10000 AND 110000"
            " AND price_floor_minor >= 0 AND price_ceiling_minor >= 0 AND price_floor_minor <= price_ceiling_minor",
            name="price_caps",
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organization.id"), primary_key=True)
    processor: Mapped[str] = mapped_column(server_default="stripe")
    accepts_pay_now: Mapped[bool] = mapped_column(server_default="true")
    accepts_pay_on_arrival: Mapped[bool] = mapped_column(server_default="true")
    payment_window_minutes: Mapped[int] = mapped_column(server_default="30")
    tax_bps: Mapped[int] = mapped_column(server_default="0")
    tax_included: Mapped[bool] = mapped_column(server_default="true")
    deposit_bps: Mapped[int | None]
    late_refund_bps: Mapped[int] = mapped_column(server_default="0")
    late_fee_bps: Mapped[int] = mapped_column(server_default="0")
    no_show_refund_bps: Mapped[int] = mapped_column(server_default="0")
    no_show_fee_bps: Mapped[int] = mapped_column(server_default="0")
    guest_fee_bps: Mapped[int | None]
    member_fee_bps: Mapped[int | None]
    payout_delay_days: Mapped[int] = mapped_column(server_default="7")
    payout_minimum_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    tax_label: Mapped[str] = mapped_column(server_default="Tax")
    price_floor_bps: Mapped[int | None]
    price_ceiling_bps: Mapped[int | None]
    price_floor_minor: Mapped[int | None] = mapped_column(BigInteger)
    price_ceiling_minor: Mapped[int | None] = mapped_column(BigInteger)
    balance_required_at_check_in: Mapped[bool] = mapped_column(server_default="false")
    card_required_for_arrival: Mapped[bool] = mapped_column(server_default="false")
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
