"""Organizations and the people who work in them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Organization(Identified, Timestamped, Base):
    """`price_version`: another one with every change of price rules or terms of payment; none: there never were any.

    `auto_…_since`: what the clock does by itself, it does to bookings that start from then on.
    """

    __tablename__ = "organization"
    __table_args__ = (
        UniqueConstraint("slug"),
        CheckConstraint(
            "customer_daily_limit BETWEEN 1 AND 1000 AND customer_weekly_limit BETWEEN 1 AND 1000",
            name="customer_limits",
        ),
        CheckConstraint("bookings_per_hour_limit BETWEEN 1 AND 1000", name="hourly_limit"),
        CheckConstraint("approval_hours BETWEEN 1 AND 720", name="approval"),
        CheckConstraint(
            "auto_complete_after_minutes BETWEEN 0 AND 10080 AND auto_no_show_after_minutes BETWEEN 1 AND 1440"
            " AND (auto_complete_after_minutes IS NULL) = (auto_complete_since IS NULL)"
            " AND (auto_no_show_after_minutes IS NULL) = (auto_no_show_since IS NULL)",
            name="automatic",
        ),
        CheckConstraint("waitlist_offer_minutes BETWEEN 5 AND 1440", name="waitlist_offer"),
    )

    slug: Mapped[str]
    name: Mapped[str]
    currency: Mapped[str]
    locale: Mapped[str]
    country: Mapped[str | None]
    customer_daily_limit: Mapped[int | None]
    customer_weekly_limit: Mapped[int | None]
    bookings_per_hour_limit: Mapped[int | None] = mapped_column(server_default="5")
    price_version: Mapped[UUID | None]
    approval_hours: Mapped[int] = mapped_column(server_default="24")
    auto_complete_after_minutes: Mapped[int | None]
    auto_complete_since: Mapped[datetime | None]
    auto_no_show_after_minutes: Mapped[int | None]
    auto_no_show_since: Mapped[datetime | None]
    waitlist_offer_minutes: Mapped[int] = mapped_column(server_default="15")


class User(Identified, Timestamped, Base):
    """A person's account, across organizations. `email` is kept as normalized by the edge."""

    __tablename__ = "user_account"
    __table_args__ = (Index("user_account_email_key", func.lower(text("email")), unique=True),)

    email: Mapped[str]
    password_hash: Mapped[str]
    name: Mapped[str]
    locale: Mapped[str] = mapped_column(server_default="en")
    time_zone: Mapped[str] = mapped_column(server_default="UTC")


class Membership(Identified, OfOrganization, Timestamped, Base):
    __tablename__ = "membership"
    __table_args__ = (
        UniqueConstraint("organization_id", "user_id", name="membership_organization_user_key"),
        CheckConstraint("role IN ('owner', 'admin', 'staff')", name="role"),
        Index("membership_user_id_idx", "user_id"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"))
    role: Mapped[str]
