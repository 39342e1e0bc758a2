"""What departs from the weekly hours: closed days, special hours, time off and busy times of other calendars."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import DATERANGE, JSONB, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class ScheduleException(Identified, OfOrganization, Timestamped, Base):
    """Rules the openings that begin on its local dates. The owner is a provider, a venue or an activity."""

    __tablename__ = "schedule_exception"
    __table_args__ = (
        CheckConstraint("kind IN ('closed', 'special_hours')", name="kind"),
        CheckConstraint("NOT isempty(days) AND lower(days) IS NOT NULL AND upper(days) IS NOT NULL", name="days"),
        CheckConstraint("slot_interval_minutes BETWEEN 1 AND 1440", name="slot_interval"),
        ExcludeConstraint(
            ("owner_id", "="),
            ("days", "&&"),
            where="removed_at IS NULL",
            using="gist",
            name="schedule_exception_no_overlap",
        ),
    )

    owner_id: Mapped[UUID]
    kind: Mapped[str]
    days: Mapped[Range[date]] = mapped_column(DATERANGE)
    open: Mapped[list[list[int]]] = mapped_column(JSONB, server_default="[]")
    breaks: Mapped[list[list[int]]] = mapped_column(JSONB, server_default="[]")
    slot_interval_minutes: Mapped[int | None]
    reason: Mapped[str | None]
    created_by: Mapped[UUID | None]
    removed_at: Mapped[datetime | None]


class BlockedTime(Identified, OfOrganization, Timestamped, Base):
    """Time in which a provider or a resource unit takes no bookings. It may lie over bookings: those stand."""

    __tablename__ = "blocked_time"
    __table_args__ = (
        CheckConstraint("kind IN ('time_off', 'external')", name="kind"),
        CheckConstraint("starts_at < ends_at AND isfinite(starts_at) AND isfinite(ends_at)", name="times"),
        CheckConstraint("(kind = 'external') = (source_id IS NOT NULL)", name="source"),
        Index(
            "blocked_time_subject_idx",
            "subject_id",
            "ends_at",
            postgresql_include=["id", "organization_id", "starts_at", "kind"],
            postgresql_where="removed_at IS NULL",
        ),
        Index("blocked_time_source_id_idx", "source_id", postgresql_where="removed_at IS NULL"),
        Index(
            "blocked_time_useless_idx",
            text("LEAST(ends_at, removed_at)"),
            postgresql_where="kind = 'external'",
        ),
    )

    subject_id: Mapped[UUID]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    kind: Mapped[str]
    reason: Mapped[str | None]
    source_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]
    removed_at: Mapped[datetime | None]
