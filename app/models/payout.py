"""Who is paid out, what they are owed, and the transfers that pay it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, Identified, OfOrganization, Timestamped


class PayoutAccount(OfOrganization, Timestamped, Base):
    """A provider's account at the processor.

    `is_payee`: could receive once; from then on prices are shared with the provider. `seen_at`: when the question left
    whose answer this is. `held_at`: payouts are stopped by hand.
    """

    __tablename__ = "payout_account"
    __table_args__ = (
        CheckConstraint("processor IN ('stripe', 'mercadopago')", name="processor"),
        CheckConstraint("country ~ '^[A-Z]{2}$'", name="country"),
        CheckConstraint("NOT can_receive OR (is_payee AND account_id IS NOT NULL)", name="receive"),
        CheckConstraint("(held_at IS NULL) = (hold_reason IS NULL)", name="held"),
        UniqueConstraint("processor", "account_id", name="payout_account_account_id_key"),
        UniqueConstraint("idempotency_key"),
    )

    provider_id: Mapped[UUID] = mapped_column(ForeignKey("provider.id"), primary_key=True)
    processor: Mapped[str]
    country: Mapped[str]
    email: Mapped[str | None]
    idempotency_key: Mapped[str]
    account_id: Mapped[str | None]
    details_submitted: Mapped[bool] = mapped_column(server_default="false")
    payouts_enabled: Mapped[bool] = mapped_column(server_default="false")
    can_receive: Mapped[bool] = mapped_column(server_default="false")
    is_payee: Mapped[bool] = mapped_column(server_default="false")
    requirements: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    disabled_reason: Mapped[str | None]
    seen_at: Mapped[datetime | None]
    held_at: Mapped[datetime | None]
    hold_reason: Mapped[str | None]


class ProviderPayable(OfOrganization, Base):
    """What a provider is owed for a booking (negative: owes). Kept by a trigger of the ledger alone."""

    __tablename__ = "provider_payable"
    __table_args__ = (Index("provider_payable_open_idx", "payee_id", "booking_id", postgresql_where="owed_minor <> 0"),)

    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"), primary_key=True)
    payee_id: Mapped[UUID] = mapped_column(ForeignKey("provider.id"), primary_key=True)
    currency: Mapped[str]
    owed_minor: Mapped[int] = mapped_column(BigInteger)
    released_at: Mapped[datetime | None]


class Payout(Identified, OfOrganization, Timestamped, Base):
    """A transfer. `number` counts those of a provider and currency. `account_id`: where it goes, frozen.

    It pays what was earned from `period_start` to `period_end`, `delay_days` after.

    `refusals`: how often it was certainly refused (each next call has a key of its own); `is_unanswered`: it may have
    been made, and nobody heard of it.
    """

    __tablename__ = "payout"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("status IN ('scheduled', 'sending', 'sent', 'needs_attention', 'cancelled')", name="status"),
        CheckConstraint("(status = 'sent') = (processor_id IS NOT NULL)", name="sent"),
        UniqueConstraint("provider_id", "currency", "number", name="payout_number_key"),
        UniqueConstraint("processor", "processor_id", name="payout_processor_id_key"),
        UniqueConstraint("idempotency_key"),
        Index(
            "payout_live_idx",
            "provider_id",
            "currency",
            unique=True,
            postgresql_where="status IN ('scheduled', 'sending', 'needs_attention')",
        ),
        Index("payout_sent_at_idx", "processor", "sent_at"),
        Index("payout_organization_id_idx", "organization_id", "id"),
        Index("payout_next_attempt_idx", "next_attempt_at", postgresql_where="status IN ('scheduled', 'sending')"),
    )

    provider_id: Mapped[UUID] = mapped_column(ForeignKey("payout_account.provider_id"))
    number: Mapped[int]
    processor: Mapped[str]
    account_id: Mapped[str]
    currency: Mapped[str]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    idempotency_key: Mapped[str]
    refusals: Mapped[int] = mapped_column(server_default="0")
    attempts: Mapped[int] = mapped_column(server_default="0")
    is_unanswered: Mapped[bool] = mapped_column(server_default="false")
    next_attempt_at: Mapped[datetime | None]
    processor_id: Mapped[str | None]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    delay_days: Mapped[int]
    failure_code: Mapped[str | None]
    failure: Mapped[str | None]
    sent_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class PayoutItem(OfOrganization, Base):
    """What of a payout is for which booking; negative: a debt. `reversed_minor`: taken back since, or asked to be."""

    __tablename__ = "payout_item"
    __table_args__ = (
        CheckConstraint("amount_minor <> 0", name="amount"),
        CheckConstraint("reversed_minor BETWEEN 0 AND greatest(amount_minor, 0)", name="reversed"),
        Index("payout_item_booking_id_idx", "booking_id"),
    )

    payout_id: Mapped[UUID] = mapped_column(ForeignKey("payout.id"), primary_key=True)
    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"), primary_key=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    reversed_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")


class PayoutReversal(Identified, OfOrganization, Timestamped, Base):
    """Money taken back of a payout, for one of its bookings. `cause`: debt (ours), or outside (at the processor)."""

    __tablename__ = "payout_reversal"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("cause IN ('debt', 'outside')", name="cause"),
        CheckConstraint("status IN ('created', 'succeeded', 'failed')", name="status"),
        UniqueConstraint("payout_id", "booking_id", "processor_id", name="payout_reversal_processor_id_key"),
        UniqueConstraint("idempotency_key"),
        ForeignKeyConstraint(
            ["payout_id", "booking_id"],
            ["payout_item.payout_id", "payout_item.booking_id"],
            name="payout_reversal_payout_id_fkey",
        ),
        Index(
            "payout_reversal_live_idx",
            "payout_id",
            "booking_id",
            unique=True,
            postgresql_where="status = 'created'",
        ),
    )

    payout_id: Mapped[UUID]
    booking_id: Mapped[UUID]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    cause: Mapped[str]
    status: Mapped[str]
    idempotency_key: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    processor_id: Mapped[str | None]
    failure: Mapped[str | None]
    settled_at: Mapped[datetime | None]
