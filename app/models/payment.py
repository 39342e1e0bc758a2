"""Payments by a processor, refunds, and the inbox of processors' events."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, Identified, OfOrganization, Timestamped


class Payment(Identified, OfOrganization, Timestamped, Base):
    """`seen`: all that was ever seen of it at the processor; the columns beside it follow from it.

    `shares`: whose the captured money is; `disputes`: by the processor's id, what each took of them. `is_late`: it
    landed when the booking was over. `is_released`: its shares belong to their owners. `refunded_minor`: what went
    back or was asked to. `expires_at`: until when it can be paid.
    """

    __tablename__ = "payment"
    __table_args__ = (
        CheckConstraint("kind IN ('booking', 'balance', 'fee')", name="kind"),
        CheckConstraint("processor IN ('stripe', 'mercadopago')", name="processor"),
        CheckConstraint(
            "status IN ('created', 'open', 'failed', 'authorized', 'processing', 'succeeded', 'cancelled')",
            name="status",
        ),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("captured_minor >= 0 AND refunded_minor BETWEEN 0 AND captured_minor", name="refunded"),
        UniqueConstraint("processor", "processor_id", name="payment_processor_id_key"),
        UniqueConstraint("idempotency_key"),
        Index(
            "payment_live_idx",
            "booking_id",
            unique=True,
            postgresql_where="kind = 'booking' AND status IN ('created', 'open', 'failed', 'authorized', 'processing')",
        ),
        Index("payment_booking_id_idx", "booking_id"),
    )

    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"))
    kind: Mapped[str]
    processor: Mapped[str]
    status: Mapped[str]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    processor_id: Mapped[str | None]
    charge_id: Mapped[str | None]
    captured_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    refunded_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    decline_code: Mapped[str | None]
    decline_message: Mapped[str | None]
    idempotency_key: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default="0")
    seen: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    shares: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    disputes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    is_late: Mapped[bool] = mapped_column(server_default="false")
    is_released: Mapped[bool] = mapped_column(server_default="false")
    captured_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Refund(Identified, OfOrganization, Timestamped, Base):
    """Money on its way back, out of one payment. `shares`: what of the payment's shares goes back."""

    __tablename__ = "refund"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("cause IN ('policy', 'staff', 'late_payment', 'outside')", name="cause"),
        CheckConstraint("status IN ('created', 'pending', 'succeeded', 'failed')", name="status"),
        UniqueConstraint("payment_id", "processor_id", name="refund_payment_id_key"),
        UniqueConstraint("idempotency_key"),
        Index("refund_booking_id_idx", "booking_id"),
    )

    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"))
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payment.id"))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    cause: Mapped[str]
    reason: Mapped[str | None]
    requested_by: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[str]
    shares: Mapped[dict[str, Any]] = mapped_column(JSONB)
    processor_id: Mapped[str | None]
    idempotency_key: Mapped[str]
    failure: Mapped[str | None]
    settled_at: Mapped[datetime | None]


class ProcessorEvent(Base):
    """A webhook, stored once by the processor's id. Only the worker reads it."""

    __tablename__ = "processor_event"
    __table_args__ = (Index("processor_event_received_at_idx", "received_at"),)

    processor: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    object_kind: Mapped[str]
    object_id: Mapped[str]
    account: Mapped[str | None]
    is_live: Mapped[bool]
    happened_at: Mapped[datetime]
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    processed_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
