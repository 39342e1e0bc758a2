"""Promo codes, and each use of one."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class PromoCode(Identified, OfOrganization, Timestamped, Base):
    """`code` is in normal form. Exactly one of `rate_bps` and `amount_minor` is above zero. `service_ids` and
    `activity_ids`: what it lowers; both empty: everything. `uses`: of bookings that stand; `kept_uses`: so many stand
    although the limit is lower. Both are counted by the database (`take_promo_use`, `follow_promo_booking`).
    """

    __tablename__ = "promo_code"
    __table_args__ = (
        UniqueConstraint("organization_id", "code", name="promo_code_code_key"),
        CheckConstraint(
            "(rate_bps > 0) <> (amount_minor > 0) AND rate_bps BETWEEN 0 AND 10000 AND amount_minor >= 0"
            " AND at_most_minor > 0 AND minimum_minor >= 0",
            name="discount",
        ),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("valid_from < valid_until", name="validity"),
        CheckConstraint("total_limit > 0 AND customer_limit > 0", name="limits"),
        CheckConstraint(
            "uses >= 0 AND (total_limit IS NULL OR uses <= greatest(total_limit, kept_uses))",
            name="uses",
        ),
    )

    code: Mapped[str]
    note: Mapped[str | None]
    rate_bps: Mapped[int] = mapped_column(server_default="0")
    amount_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    at_most_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str]
    minimum_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    service_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    activity_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    first_booking_only: Mapped[bool] = mapped_column(server_default="false")
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    total_limit: Mapped[int | None]
    customer_limit: Mapped[int | None]
    uses: Mapped[int] = mapped_column(server_default="0")
    kept_uses: Mapped[int] = mapped_column(server_default="0")
    is_active: Mapped[bool] = mapped_column(server_default="true")


class PromoUse(OfOrganization, Timestamped, Base):
    """By one booking. `returned_at`: it counts no more, the booking came to nothing."""

    __tablename__ = "promo_use"
    __table_args__ = (
        CheckConstraint("discount_minor > 0", name="discount"),
        Index("promo_use_promo_code_id_idx", "promo_code_id", "customer_id", postgresql_where="returned_at IS NULL"),
        Index("promo_use_customer_id_idx", "customer_id"),
    )

    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"), primary_key=True)
    promo_code_id: Mapped[UUID] = mapped_column(ForeignKey("promo_code.id"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    discount_minor: Mapped[int] = mapped_column(BigInteger)
    returned_at: Mapped[datetime | None]
