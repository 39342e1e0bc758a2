"""A guest's way through a checkout, and what they held on it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class GuestSession(Identified, OfOrganization, Timestamped, Base):
    """Its token is a keyed hash of its id. `details`: what was given at the last checkout."""

    __tablename__ = "guest_session"
    __table_args__ = (Index("guest_session_expires_at_idx", "expires_at"),)

    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))


class GuestHold(OfOrganization, Base):
    """A hold that was made, or booked, in a guest session."""

    __tablename__ = "guest_hold"

    guest_session_id: Mapped[UUID] = mapped_column(ForeignKey("guest_session.id", ondelete="CASCADE"), primary_key=True)
    hold_id: Mapped[UUID] = mapped_column(ForeignKey("hold.id"), primary_key=True)
