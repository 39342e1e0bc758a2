"""Fees for cancelling late or not coming, and who can be charged them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, Identified, OfOrganization, Timestamped


class ProcessorCustomer(OfOrganization, Base):
    """A customer as a processor knows them. `processor_id`: its name for them."""

    __tablename__ = "processor_customer"
    __table_args__ = (CheckConstraint("processor IN ('stripe', 'mercadopago')", name="processor"),)

    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), primary_key=True)
    processor: Mapped[str] = mapped_column(primary_key=True)
    processor_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class BookingFee(Identified, OfOrganization, Timestamped, Base):
    """`kept_minor` of what was paid, `charge_minor` by the saved method: `payment_id`.

    `attempts`: how often the bank said no; `next_attempt_at`: when it is asked again. `reason`: why it was waived.
    """

    __tablename__ = "booking_fee"
    __table_args__ = (
        CheckConstraint("cause IN ('late_cancellation', 'no_show')", name="cause"),
        CheckConstraint("kept_minor >= 0 AND charge_minor >= 0 AND kept_minor + charge_minor > 0", name="amount"),
        CheckConstraint("status IN ('kept', 'due', 'charged', 'owed', 'waived', 'returned')", name="status"),
        CheckConstraint("(payment_id IS NOT NULL) = (charge_minor > 0)", name="payment"),
        UniqueConstraint("payment_id"),
        Index(
            "booking_fee_live_idx",
            "booking_id",
            unique=True,
            postgresql_where="status IN ('kept', 'due', 'charged', 'owed')",
        ),
        Index("booking_fee_booking_id_idx", "booking_id"),
        Index("booking_fee_organization_idx", "organization_id", "created_at", "id"),
    )

    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"))
    cause: Mapped[str]
    currency: Mapped[str]
    kept_minor: Mapped[int] = mapped_column(BigInteger)
    charge_minor: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    payment_id: Mapped[UUID | None] = mapped_column(ForeignKey("payment.id"))
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    failure: Mapped[str | None]
    reason: Mapped[str | None]
    settled_at: Mapped[datetime | None]
