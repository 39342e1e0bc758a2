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
    landed when nobody wanted it any more. `is_released`: its shares belong to their owners. `refunded_minor`: what went
    back or was asked to. `expires_at`: until when it can be paid.

    `capture` manual: authorized first, and taken once somebody accepted the booking (`accepted_by`), before
    `authorized_until`. `consent`: what its payer agreed to, where the method is kept for fees; `customer_ref` and
    `method_ref` are the processor's names of both. `keeper_id`: the provider who has the cash; none: the venue's till.
    """

    __tablename__ = "payment"
    __table_args__ = (
        CheckConstraint("kind IN ('booking', 'balance', 'fee', 'setup', 'cash')", name="kind"),
        CheckConstraint("processor IN ('stripe', 'mercadopago', 'cash')", name="processor"),
        CheckConstraint("(kind = 'cash') = (processor = 'cash')", name="cash"),
        CheckConstraint("capture IN ('automatic', 'manual')", name="capture"),
        CheckConstraint(
            "status IN ('created', 'open', 'failed', 'authorized', 'processing', 'succeeded', 'cancelled')",
            name="status",
        ),
        CheckConstraint("amount_minor > 0 OR (kind = 'setup' AND amount_minor = 0)", name="amount"),
        CheckConstraint("captured_minor >= 0 AND refunded_minor BETWEEN 0 AND captured_minor", name="refunded"),
        UniqueConstraint("processor", "processor_id", name="payment_processor_id_key"),
        UniqueConstraint("idempotency_key"),
        Index(
            "payment_live_idx",
            "booking_id",
            unique=True,
            postgresql_where="kind = 'booking' AND status IN ('created', 'open', 'failed', 'authorized', 'processing')",
        ),
        Index(
            "payment_live_kind_idx",
            "booking_id",
            "kind",
            unique=True,
            postgresql_where="kind IN ('balance', 'setup')"
            " AND status IN ('created', 'open', 'failed', 'authorized', 'processing')",
        ),
        Index("payment_booking_id_idx", "booking_id"),
        Index(
            "payment_unsettled_idx",
            "processor",
            "id",
            postgresql_where="status IN ('created', 'open', 'failed', 'authorized', 'processing')",
        ),
        Index("payment_disputed_idx", "processor", "id", postgresql_where="disputes <> '{}'"),
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
    capture: Mapped[str] = mapped_column(server_default="automatic")
    consent: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    customer_ref: Mapped[str | None]
    method_ref: Mapped[str | None]
    accepted_by: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    authorized_until: Mapped[datetime | None]
    keeper_id: Mapped[UUID | None] = mapped_column(ForeignKey("provider.id"))
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Refund(Identified, OfOrganization, Timestamped, Base):
    """Money on its way back, out of one payment. `shares`: what of the payment's shares goes back; `excess_minor`: what
    was given back at the processor beyond all that was left of it."""

    __tablename__ = "refund"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("cause IN ('policy', 'staff', 'late_payment', 'outside', 'fee', 'correction')", name="cause"),
        CheckConstraint("status IN ('created', 'pending', 'succeeded', 'failed')", name="status"),
        CheckConstraint("excess_minor BETWEEN 0 AND amount_minor", name="excess"),
        UniqueConstraint("payment_id", "processor_id", name="refund_payment_id_key"),
        UniqueConstraint("idempotency_key"),
        Index("refund_booking_id_idx", "booking_id"),
        Index("refund_unsettled_idx", "payment_id", postgresql_where="status IN ('created', 'pending')"),
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
    excess_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
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
