"""A slot kept for one holder while they check out."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Hold(Identified, OfOrganization, Timestamped, Base):
    """The price is locked here. `address` is the network address that asked, for its limit."""

    __tablename__ = "hold"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'consumed', 'released', 'expired')", name="status"),
        CheckConstraint("party_size >= 1", name="party_size"),
        CheckConstraint("price_minor >= 0", name="price"),
        Index("hold_expires_at_idx", "expires_at", postgresql_where="status = 'active'"),
        Index("hold_user_id_idx", "user_id", postgresql_where="status = 'active'"),
        Index("hold_address_idx", "address", postgresql_where="status = 'active'"),
    )

    status: Mapped[str]
    service_id: Mapped[UUID] = mapped_column(ForeignKey("service.id"))
    provider_id: Mapped[UUID] = mapped_column(ForeignKey("provider.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    buffer_before_minutes: Mapped[int]
    buffer_after_minutes: Mapped[int]
    expires_at: Mapped[datetime]
    extended_at: Mapped[datetime | None]
    party_size: Mapped[int]
    price_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    user_id: Mapped[UUID | None]
    address: Mapped[str | None]
    token_version: Mapped[int] = mapped_column(server_default="1")
