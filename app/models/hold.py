"""A slot kept for one holder while they check out."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Hold(Identified, OfOrganization, Timestamped, Base):
    """Of an appointment (service and provider), of a visit (several `items`; service and provider: the first)
    or of places in a session. The price is locked here. `address` is the network address that asked, for its limit.
    """

    __tablename__ = "hold"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'consumed', 'released', 'expired')", name="status"),
        CheckConstraint("party_size >= 1", name="party_size"),
        CheckConstraint("price_minor >= 0", name="price"),
        CheckConstraint(
            "CASE WHEN session_id IS NULL THEN service_id IS NOT NULL AND provider_id IS NOT NULL"
            " ELSE service_id IS NULL AND provider_id IS NULL AND items IS NULL END",
            name="subject",
        ),
        Index("hold_expires_at_idx", "expires_at", postgresql_where="status = 'active'"),
        Index("hold_user_id_idx", "user_id", postgresql_where="status = 'active'"),
        Index("hold_address_idx", "address", postgresql_where="status = 'active'"),
        Index("hold_session_id_idx", "session_id", postgresql_where="session_id IS NOT NULL"),
    )

    status: Mapped[str]
    service_id: Mapped[UUID | None] = mapped_column(ForeignKey("service.id"))
    provider_id: Mapped[UUID | None] = mapped_column(ForeignKey("provider.id"))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("activity_session.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    buffer_before_minutes: Mapped[int]
    buffer_after_minutes: Mapped[int]
    expires_at: Mapped[datetime]
    extended_at: Mapped[datetime | None]
    party_size: Mapped[int]
    is_private: Mapped[bool] = mapped_column(server_default="false")
    price_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    user_id: Mapped[UUID | None]
    address: Mapped[str | None]
    token_version: Mapped[int] = mapped_column(server_default="1")
    items: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    quote: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    promo_code_id: Mapped[UUID | None]
    waitlist_entry_id: Mapped[UUID | None]
    """It is an offer to whom waits: until its claim ends nobody but its own job takes it for lapsed."""
