"""Who gives a service, and which services each one offers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Provider(Identified, OfOrganization, Timestamped, Base):
    """`time_zone` none: the venue's. `user_id`: the account that acts as this provider."""

    __tablename__ = "provider"
    __table_args__ = (
        CheckConstraint("rating BETWEEN 0 AND 5", name="rating"),
        CheckConstraint(
            "daily_booking_limit BETWEEN 1 AND 1000 AND weekly_booking_limit BETWEEN 1 AND 1000",
            name="booking_limits",
        ),
        Index("provider_organization_id_idx", "organization_id", "id"),
        Index("provider_venue_id_idx", "venue_id"),
        Index("provider_organization_user_key", "organization_id", "user_id", unique=True),
    )

    venue_id: Mapped[UUID] = mapped_column(ForeignKey("venue.id"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user_account.id"))
    name: Mapped[str]
    bio: Mapped[str | None]
    time_zone: Mapped[str | None]
    rating: Mapped[float | None]
    is_active: Mapped[bool] = mapped_column(server_default="true")
    works_on_holidays: Mapped[bool] = mapped_column(server_default="false")
    shows_presence: Mapped[bool] = mapped_column(server_default="true")
    languages: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    daily_booking_limit: Mapped[int | None]
    weekly_booking_limit: Mapped[int | None]
    calendar_version: Mapped[int] = mapped_column(server_default="1")
    service_area: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class Offer(OfOrganization, Timestamped, Base):
    """A provider offers a service; price and duration where they differ from the service's own."""

    __tablename__ = "offer"
    __table_args__ = (
        CheckConstraint("price_minor >= 0", name="price"),
        CheckConstraint("duration_minutes BETWEEN 1 AND 1440", name="duration"),
        Index("offer_service_id_idx", "service_id"),
    )

    provider_id: Mapped[UUID] = mapped_column(ForeignKey("provider.id"), primary_key=True)
    service_id: Mapped[UUID] = mapped_column(ForeignKey("service.id"), primary_key=True)
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    duration_minutes: Mapped[int | None]
    is_active: Mapped[bool] = mapped_column(server_default="true")
