"""A customer's commitment, its items and every step of its life."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, Identified, OfOrganization, Timestamped


class Booking(Identified, OfOrganization, Timestamped, Base):
    """Price, notices and zone are frozen when it is made. A trigger increments `version` at every change.

    `paid_minor`: what ever arrived, cash included; `uncounted_minor`: what of it does not count towards the price (a
    fee, cash that was handed back, money that landed too late). `has_saved_method`: fees can be charged to it.
    `group_quote`: the price that was locked, once the party has another size.
    `reschedules`: how often its customer moved it. `approval_hours`: how long its provider has to answer.
    `series_index`: its place in its series, from 1; such a booking comes from no hold.
    """

    __tablename__ = "booking"
    __table_args__ = (
        CheckConstraint(
            "status IN ('pending', 'payment_failed', 'awaiting_provider', 'confirmed', 'checked_in', 'in_progress',"
            " 'completed', 'cancelled', 'no_show', 'refunded', 'expired')",
            name="status",
        ),
        CheckConstraint("starts_at < ends_at", name="times"),
        CheckConstraint("party_size >= 1", name="party_size"),
        CheckConstraint("price_minor >= 0", name="price"),
        CheckConstraint(
            "CASE WHEN session_id IS NULL THEN service_id IS NOT NULL AND provider_id IS NOT NULL"
            " ELSE service_id IS NULL AND provider_id IS NULL END",
            name="subject",
        ),
        CheckConstraint("payment_method IN ('pay_now', 'pay_on_arrival')", name="payment_method"),
        CheckConstraint(
            "payment_status IN ('unpaid', 'authorized', 'processing', 'partially_paid', 'paid',"
            " 'partially_refunded', 'refunded', 'failed', 'disputed')",
            name="payment_status",
        ),
        CheckConstraint("paid_minor >= 0 AND refunded_minor BETWEEN 0 AND paid_minor", name="paid"),
        CheckConstraint("uncounted_minor BETWEEN 0 AND paid_minor", name="uncounted"),
        CheckConstraint("(series_id IS NULL) = (series_index IS NULL)", name="series"),
        CheckConstraint("hold_id IS NOT NULL OR series_id IS NOT NULL", name="hold"),
        UniqueConstraint("number"),
        UniqueConstraint("organization_id", "confirmation_code", name="booking_confirmation_code_key"),
        UniqueConstraint("hold_id"),
        Index("booking_organization_id_idx", "organization_id", "id"),
        Index("booking_organization_starts_idx", "organization_id", "starts_at", "id"),
        Index("booking_provider_starts_idx", "provider_id", "starts_at"),
        Index("booking_customer_id_idx", "customer_id"),
        Index(
            "booking_series_index_idx",
            "series_id",
            "series_index",
            unique=True,
            postgresql_where="series_id IS NOT NULL",
        ),
        Index("booking_session_id_idx", "session_id", postgresql_where="session_id IS NOT NULL"),
        Index(
            "booking_expires_at_idx",
            "expires_at",
            postgresql_where="status IN ('pending', 'payment_failed', 'awaiting_provider')",
        ),
    )

    number: Mapped[str]
    confirmation_code: Mapped[str]
    status: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1")
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    time_zone: Mapped[str]
    party_size: Mapped[int]
    is_private: Mapped[bool] = mapped_column(server_default="false")
    provider_id: Mapped[UUID | None] = mapped_column(ForeignKey("provider.id"))
    service_id: Mapped[UUID | None] = mapped_column(ForeignKey("service.id"))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("activity_session.id"))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("hold.id"))
    series_id: Mapped[UUID | None] = mapped_column(ForeignKey("booking_series.id"))
    series_index: Mapped[int | None]
    price_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    payment_status: Mapped[str]
    payment_method: Mapped[str]
    expires_at: Mapped[datetime | None]
    cancellable_until: Mapped[datetime]
    cancellation_notice_minutes: Mapped[int]
    requires_approval: Mapped[bool]
    notes: Mapped[str | None]
    access_version: Mapped[int] = mapped_column(server_default="1")
    quote: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    group_quote: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    policy: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    promo_code_id: Mapped[UUID | None] = mapped_column(ForeignKey("promo_code.id"))
    paid_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    refunded_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    uncounted_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    has_saved_method: Mapped[bool] = mapped_column(server_default="false")
    recipient: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    address: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    reschedules: Mapped[int] = mapped_column(server_default="0")
    maximum_reschedules: Mapped[int | None]
    reschedule_notice_minutes: Mapped[int | None]
    approval_hours: Mapped[int | None]
    terms: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class BookingItem(Identified, OfOrganization, Base):
    """One service of the visit, with the buffers it was booked with."""

    __tablename__ = "booking_item"
    __table_args__ = (UniqueConstraint("booking_id", "position", name="booking_item_position_key"),)

    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"))
    position: Mapped[int]
    service_id: Mapped[UUID] = mapped_column(ForeignKey("service.id"))
    provider_id: Mapped[UUID] = mapped_column(ForeignKey("provider.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    buffer_before_minutes: Mapped[int]
    buffer_after_minutes: Mapped[int]
    price_minor: Mapped[int] = mapped_column(BigInteger)


class BookingTransition(OfOrganization, Base):
    """One step of the state machine: who, when, why and through which channel. Append-only."""

    __tablename__ = "booking_transition"
    __table_args__ = (Index("booking_transition_booking_id_idx", "booking_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"))
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    reason: Mapped[str | None]
    actor: Mapped[str]
    actor_id: Mapped[UUID | None]
    channel: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=NOW)
