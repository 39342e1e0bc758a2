"""Many bookings changed by one decision: the plan, its progress, and what became of each."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class BulkChange(Identified, OfOrganization, Timestamped, Base):
    """The bookings of one provider, venue or activity that start in a stretch of time.

    A plan until `expires_at`, unless it is committed. The sums are those of the items that can be done.
    """

    __tablename__ = "bulk_change"
    __table_args__ = (
        CheckConstraint("action IN ('cancel', 'move')", name="action"),
        CheckConstraint("status IN ('planned', 'running', 'stopped', 'finished')", name="status"),
        CheckConstraint("num_nonnulls(provider_id, venue_id, activity_id) = 1", name="scope"),
        CheckConstraint(
            "(action = 'move') = (target_provider_id IS NOT NULL)"
            " AND (action = 'cancel' OR provider_id <> target_provider_id)",
            name="target",
        ),
        CheckConstraint("starts_from < starts_before", name="times"),
        CheckConstraint(
            "possible_count BETWEEN 0 AND item_count AND done_count + skipped_count + refused_count <= item_count",
            name="counts",
        ),
        Index("bulk_change_organization_id_idx", "organization_id", "id"),
        Index("bulk_change_running_idx", "id", postgresql_where="status = 'running'"),
        Index("bulk_change_expires_at_idx", "expires_at", postgresql_where="status = 'planned'"),
    )

    action: Mapped[str]
    provider_id: Mapped[UUID | None] = mapped_column(ForeignKey("provider.id"))
    venue_id: Mapped[UUID | None] = mapped_column(ForeignKey("venue.id"))
    activity_id: Mapped[UUID | None] = mapped_column(ForeignKey("activity.id"))
    target_provider_id: Mapped[UUID | None] = mapped_column(ForeignKey("provider.id"))
    starts_from: Mapped[datetime]
    starts_before: Mapped[datetime]
    reason: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="planned")
    includes_new: Mapped[bool] = mapped_column(server_default="false")
    currency: Mapped[str]
    refund_minor: Mapped[int] = mapped_column(BigInteger)
    fee_minor: Mapped[int] = mapped_column(BigInteger)
    session_count: Mapped[int]
    item_count: Mapped[int]
    possible_count: Mapped[int]
    done_count: Mapped[int] = mapped_column(server_default="0")
    skipped_count: Mapped[int] = mapped_column(server_default="0")
    refused_count: Mapped[int] = mapped_column(server_default="0")
    committed_by: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    expires_at: Mapped[datetime]
    committed_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class BulkChangeItem(OfOrganization, Base):
    """One booking of it: `refused_by` a rule when it was planned, `result` once it was its turn."""

    __tablename__ = "bulk_change_item"
    __table_args__ = (
        CheckConstraint("result IN ('done', 'skipped', 'refused')", name="result"),
        CheckConstraint("(result IS NULL) = (settled_at IS NULL)", name="settled"),
        Index("bulk_change_item_open_idx", "bulk_change_id", "booking_id", postgresql_where="result IS NULL"),
        Index("bulk_change_item_booking_id_idx", "booking_id"),
    )

    bulk_change_id: Mapped[UUID] = mapped_column(ForeignKey("bulk_change.id"), primary_key=True)
    booking_id: Mapped[UUID] = mapped_column(ForeignKey("booking.id"), primary_key=True)
    booking_version: Mapped[int]
    refused_by: Mapped[str | None]
    refused_because: Mapped[str | None]
    refund_minor: Mapped[int] = mapped_column(BigInteger)
    fee_minor: Mapped[int] = mapped_column(BigInteger)
    is_ending: Mapped[bool] = mapped_column(server_default="false")
    result: Mapped[str | None]
    rule: Mapped[str | None]
    message: Mapped[str | None]
    settled_at: Mapped[datetime | None]
