"""The people of one booking."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class BookingParticipant(Identified, OfOrganization, Timestamped, Base):
    """Somebody who comes, by name; of a party of five there may be two. `position`: in the order they were named.

    Written under the booking's row lock. Whoever was removed stays as a record.
    """

    __tablename__ = "booking_participant"
    __table_args__ = (
        UniqueConstraint("booking_id", "position", name="booking_participant_position_key"),
        CheckConstraint("status IN ('expected', 'checked_in', 'no_show', 'removed')", name="status"),
        CheckConstraint(
            "(status = 'checked_in') = (checked_in_at IS NOT NULL) AND (status = 'no_show') = (no_show_at IS NOT NULL)"
            " AND (status = 'removed') = (removed_at IS NOT NULL)",
            name="times",
        ),
    )

    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"))
    position: Mapped[int]
    name: Mapped[str]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    status: Mapped[str]
    checked_in_at: Mapped[datetime | None]
    no_show_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]
