"""A price that staff name for one customer: the quote of a CUSTOM service."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class PriceOffer(Identified, OfOrganization, Timestamped, Base):
    """Clients know it as a price quote. `provider_id`, `duration_minutes`: None, any. `hold_id` and `booking_id`: what
    it was last used for; whether it still is, their own states say.
    """

    __tablename__ = "price_offer"
    __table_args__ = (
        CheckConstraint("amount_minor >= 0", name="amount"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("duration_minutes BETWEEN 1 AND 1440", name="duration"),
        CheckConstraint("status IN ('open', 'accepted', 'declined', 'withdrawn')", name="status"),
        CheckConstraint("hold_id IS NULL OR status = 'accepted'", name="use"),
        Index("price_offer_organization_id_idx", "organization_id", "id"),
    )

    service_id: Mapped[UUID] = mapped_column(ForeignKey("service.id"))
    provider_id: Mapped[UUID | None] = mapped_column(ForeignKey("provider.id"))
    customer_name: Mapped[str]
    customer_email: Mapped[str]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    duration_minutes: Mapped[int | None]
    message: Mapped[str | None]
    valid_until: Mapped[datetime]
    status: Mapped[str] = mapped_column(server_default="open")
    answered_at: Mapped[datetime | None]
    access_version: Mapped[int] = mapped_column(server_default="1")
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("hold.id"))
    booking_id: Mapped[UUID | None] = mapped_column(ForeignKey("booking.id"))
