"""What a recurring booking was made by. Its dates are ordinary bookings, which name it."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Date, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, Identified, OfOrganization, Timestamped


class BookingSeries(Identified, OfOrganization, Timestamped, Base):
    """As it was asked for: what moved since, its bookings tell. `rule`: as RFC 5545 writes it; `starts_at`: the first
    start, whose wall clock rules the others. A trigger increments `version` at every change of several of its bookings.
    """

    __tablename__ = "booking_series"
    __table_args__ = (
        CheckConstraint(
            "CASE WHEN activity_id IS NULL THEN service_id IS NOT NULL"
            " ELSE service_id IS NULL AND provider_id IS NULL END",
            name="subject",
        ),
        CheckConstraint("party_size >= 1", name="party_size"),
        CheckConstraint("duration_minutes >= 1", name="duration"),
        Index("booking_series_customer_id_idx", "customer_id"),
        Index("booking_series_organization_id_idx", "organization_id", "id"),
        Index(
            "booking_series_guest_session_id_idx",
            "guest_session_id",
            postgresql_where=text("guest_session_id IS NOT NULL"),
        ),
    )

    service_id: Mapped[UUID | None] = mapped_column(ForeignKey("service.id"))
    activity_id: Mapped[UUID | None] = mapped_column(ForeignKey("activity.id"))
    provider_id: Mapped[UUID | None] = mapped_column(ForeignKey("provider.id"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    rule: Mapped[str]
    except_dates: Mapped[list[date]] = mapped_column(ARRAY(Date), server_default="{}")
    starts_at: Mapped[datetime]
    time_zone: Mapped[str]
    duration_minutes: Mapped[int | None]
    party_size: Mapped[int]
    version: Mapped[int] = mapped_column(server_default="1")
    access_version: Mapped[int] = mapped_column(server_default="1")
    guest_session_id: Mapped[UUID | None]
    """That it was made in; the session itself is gone some day."""
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
