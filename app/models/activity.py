"""Activities with places, the sessions that are booked, and who has those places."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Activity(Identified, OfOrganization, Timestamped, Base):
    """Its schedule's openings and interval give the sessions, made `session_horizon_days` ahead.

    `sessions_generated_on`: the local date of the last daily generation. `sessions_reached`: how far the next one, done
    part by part, has come (none: it is not begun). `sessions_follow` false: the hours have changed, and there may be
    sessions that they have no more. `private_price_minor`: of a whole session; none: of all its places.
    """

    __tablename__ = "activity"
    __table_args__ = (
        CheckConstraint("price_minor >= 0", name="price"),
        CheckConstraint("capacity BETWEEN 1 AND 10000", name="capacity"),
        CheckConstraint("duration_minutes BETWEEN 1 AND 1440", name="duration"),
        CheckConstraint("maximum_reschedules BETWEEN 0 AND 1000 AND reschedule_notice_minutes >= 0", name="reschedule"),
        CheckConstraint("advance_notice_minutes >= 0 AND cancellation_notice_minutes >= 0", name="notices"),
        CheckConstraint(
            "maximum_advance_days BETWEEN 1 AND 1095 AND session_horizon_days BETWEEN 1 AND maximum_advance_days",
            name="horizon",
        ),
        CheckConstraint("max_party_size >= 1", name="max_party_size"),
        CheckConstraint("minimum_party_size >= 1", name="minimum_party_size"),
        CheckConstraint("private_price_minor >= 0", name="private_price"),
        Index("activity_venue_id_idx", "venue_id"),
        Index("activity_organization_id_idx", "organization_id", "id"),
    )

    venue_id: Mapped[UUID] = mapped_column(ForeignKey("venue.id"))
    name: Mapped[str]
    description: Mapped[str | None]
    category: Mapped[str | None]
    price_minor: Mapped[int] = mapped_column(BigInteger)
    capacity: Mapped[int]
    duration_minutes: Mapped[int]
    advance_notice_minutes: Mapped[int] = mapped_column(server_default="0")
    maximum_advance_days: Mapped[int] = mapped_column(server_default="365")
    session_horizon_days: Mapped[int] = mapped_column(server_default="30")
    cancellation_notice_minutes: Mapped[int] = mapped_column(server_default="1440")
    max_party_size: Mapped[int | None]
    minimum_party_size: Mapped[int] = mapped_column(server_default="1")
    private_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    maximum_reschedules: Mapped[int | None]
    reschedule_notice_minutes: Mapped[int | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    sessions_generated_on: Mapped[date | None]
    sessions_reached: Mapped[datetime | None]
    sessions_follow: Mapped[bool] = mapped_column(server_default="true")


class ActivityProvider(OfOrganization, Base):
    """Who leads its sessions: each session takes their time."""

    __tablename__ = "activity_provider"
    __table_args__ = (Index("activity_provider_provider_id_idx", "provider_id"),)

    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"), primary_key=True)
    provider_id: Mapped[UUID] = mapped_column(ForeignKey("provider.id"), primary_key=True)


class ActivitySession(Identified, OfOrganization, Timestamped, Base):
    """`taken` counts live place claims. A capacity below it sets `grandfathered`: what is sold stands.

    Legacy: the schedule has it no more, its bookings are honoured, no new ones are taken. Cancelled without a reason:
    by the schedule, which may bring it back. `version` rises with each change but those of `taken`.
    """

    __tablename__ = "activity_session"
    __table_args__ = (
        UniqueConstraint("activity_id", "starts_at", name="activity_session_start_key"),
        CheckConstraint("status IN ('open', 'closed', 'cancelled')", name="status"),
        CheckConstraint("starts_at < ends_at", name="times"),
        CheckConstraint("capacity BETWEEN 0 AND 10000 AND grandfathered >= 0", name="capacity"),
        CheckConstraint("taken BETWEEN 0 AND greatest(capacity, grandfathered)", name="taken"),
        Index(
            "activity_session_dropped_idx", "id", postgresql_where="status = 'cancelled' AND cancelled_reason IS NULL"
        ),
    )

    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activity.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    capacity: Mapped[int]
    taken: Mapped[int] = mapped_column(server_default="0")
    grandfathered: Mapped[int] = mapped_column(server_default="0")
    status: Mapped[str]
    is_legacy: Mapped[bool] = mapped_column(server_default="false")
    schedule_version_id: Mapped[UUID | None] = mapped_column(ForeignKey("schedule_version.id"))
    cancelled_reason: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default="1")


class PlaceClaim(Identified, OfOrganization, Timestamped, Base):
    """Places of a session that a hold or a booking has. Private: all there are, whatever their number becomes."""

    __tablename__ = "place_claim"
    __table_args__ = (
        CheckConstraint("places >= 1", name="places"),
        CheckConstraint("status IN ('held', 'booked', 'released')", name="status"),
        CheckConstraint("status <> 'held' OR expires_at IS NOT NULL", name="held_expires"),
        CheckConstraint("status <> 'booked' OR booking_id IS NOT NULL", name="booked_for"),
        Index("place_claim_session_idx", "session_id", postgresql_where="status = 'held'"),
        Index("place_claim_of_session_idx", "session_id"),
        Index("place_claim_hold_id_idx", "hold_id"),
        Index("place_claim_booking_id_idx", "booking_id"),
    )

    session_id: Mapped[UUID] = mapped_column(ForeignKey("activity_session.id"))
    places: Mapped[int]
    is_private: Mapped[bool] = mapped_column(server_default="false")
    status: Mapped[str]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("hold.id", deferrable=True, initially="DEFERRED"))
    booking_id: Mapped[UUID | None] = mapped_column(ForeignKey("booking.id", deferrable=True, initially="DEFERRED"))
    expires_at: Mapped[datetime | None]
    released_at: Mapped[datetime | None]
