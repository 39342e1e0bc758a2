"""Runs that compare our books with a processor's, and what they found different."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, Identified

_PROCESSOR = "processor IN ('stripe', 'mercadopago', 'books')"


class ReconciliationRun(Identified, Base):
    """`organization_id`: only of this one. `is_regular`: it goes on where the one before it ended. `reached`:
    how far of the window is done. A live one holds its lease.

    A request may read when it was and how it ended, no more.
    """

    __tablename__ = "reconciliation_run"
    __table_args__ = (
        CheckConstraint(_PROCESSOR, name="processor"),
        CheckConstraint("outcome IN ('done', 'failed', 'abandoned')", name="outcome"),
        CheckConstraint("(finished_at IS NULL) = (outcome IS NULL)", name="finished"),
        CheckConstraint("reached BETWEEN window_start AND window_end", name="window"),
        Index("reconciliation_run_live_idx", "processor", unique=True, postgresql_where="finished_at IS NULL"),
        Index("reconciliation_run_last_idx", "processor", "started_at"),
    )

    processor: Mapped[str]
    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organization.id"))
    is_regular: Mapped[bool]
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    reached: Mapped[datetime]
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    lease_until: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    compared: Mapped[int] = mapped_column(server_default="0")
    found: Mapped[int] = mapped_column(server_default="0")
    healed: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None]


class ReconciliationDifference(Identified, Base):
    """`subject`: what was compared as a whole; `our_kind` and `our_id`, `their_id`: what differs in it.

    `organization_id`: none: it is no organization's, and no request sees it. `resolution`: healed (by ourselves), gone
    (it was seen no more), accepted (by a person, with a note).
    """

    __tablename__ = "reconciliation_difference"
    __table_args__ = (
        CheckConstraint(_PROCESSOR, name="processor"),
        CheckConstraint("resolution IN ('healed', 'gone', 'accepted')", name="resolution"),
        CheckConstraint("(resolved_at IS NULL) = (resolution IS NULL)", name="resolved"),
        CheckConstraint("resolution <> 'accepted' OR note IS NOT NULL", name="accepted"),
        Index(
            "reconciliation_difference_open_idx",
            "processor",
            "subject",
            "kind",
            "their_id",
            unique=True,
            postgresql_where="resolved_at IS NULL",
            postgresql_nulls_not_distinct=True,
        ),
        Index("reconciliation_difference_subject_idx", "processor", "subject", "kind"),
        Index(
            "reconciliation_difference_organization_idx",
            "organization_id",
            "id",
            postgresql_where="resolved_at IS NULL",
        ),
    )

    processor: Mapped[str]
    kind: Mapped[str]
    subject: Mapped[str]
    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organization.id"))
    booking_id: Mapped[UUID | None]
    our_kind: Mapped[str | None]
    our_id: Mapped[UUID | None]
    their_id: Mapped[str | None]
    ours: Mapped[dict[str, Any]] = mapped_column(JSONB)
    theirs: Mapped[dict[str, Any]] = mapped_column(JSONB)
    first_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    times_seen: Mapped[int] = mapped_column(server_default="1")
    resolved_at: Mapped[datetime | None]
    resolution: Mapped[str | None]
    note: Mapped[str | None]
    resolved_by: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
