"""The ledger's journals and entries: append-only, by right and by trigger."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class LedgerJournal(Identified, OfOrganization, Timestamped, Base):
    """One event. `reference` names what happened, so that it is posted once."""

    __tablename__ = "ledger_journal"
    __table_args__ = (
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        UniqueConstraint("organization_id", "kind", "reference", name="ledger_journal_reference_key"),
    )

    kind: Mapped[str]
    reference: Mapped[str]
    currency: Mapped[str]


class LedgerEntry(OfOrganization, Base):
    """What arrived in (+) or left (-) an account. A trigger makes those of a journal and booking add up to zero."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        CheckConstraint(
            "account IN ('customer', 'processor_clearing', 'escrow', 'platform_fee', 'tax', 'provider_payable',"
            " 'organization', 'paid_out', 'cash', 'refunds', 'disputes', 'processor_fees')",
            name="account",
        ),
        CheckConstraint("amount_minor <> 0", name="amount"),
        CheckConstraint("(payee_id IS NOT NULL) = (account IN ('provider_payable', 'paid_out'))", name="payee"),
        UniqueConstraint(
            "journal_id",
            "booking_id",
            "account",
            "payee_id",
            name="ledger_entry_account_key",
            postgresql_nulls_not_distinct=True,
        ),
        Index("ledger_entry_booking_id_idx", "booking_id"),
        Index("ledger_entry_payee_id_idx", "payee_id", "booking_id", postgresql_where="payee_id IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    journal_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_journal.id"))
    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"))
    account: Mapped[str]
    payee_id: Mapped[UUID | None] = mapped_column(ForeignKey("provider.id"))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
