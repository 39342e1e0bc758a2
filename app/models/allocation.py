"""Who or what is taken, and when: the one table that makes a double booking impossible."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Allocation(Identified, OfOrganization, Timestamped, Base):
    """`busy` is the service's time with its buffers; `starts_at` and `ends_at` are the service alone.

    The exclusion constraint refuses two live rows of one subject that overlap, whatever the code above does.
    """

    __tablename__ = "allocation"
    __table_args__ = (
        CheckConstraint("status IN ('held', 'booked', 'released')", name="status"),
        CheckConstraint(
            "NOT isempty(busy) AND lower(busy) IS NOT NULL AND upper(busy) IS NOT NULL"
            " AND isfinite(lower(busy)) AND isfinite(upper(busy)) AND lower_inc(busy) AND NOT upper_inc(busy)",
            name="busy",
        ),
        CheckConstraint("starts_at < ends_at AND busy @> tstzrange(starts_at, ends_at)", name="service_within_busy"),
        CheckConstraint("status <> 'held' OR expires_at IS NOT NULL", name="held_expires"),
        CheckConstraint("status <> 'booked' OR (booking_id IS NULL) <> (session_id IS NULL)", name="taken_for"),
        ExcludeConstraint(
            ("subject_id", "="),
            ("busy", "&&"),
            where="status IN ('held', 'booked')",
            using="gist",
            name="allocation_no_overlap",
        ),
        Index(
            "allocation_subject_starts_idx",
            "subject_id",
            "starts_at",
            postgresql_include=["id", "organization_id", "ends_at", "busy", "status", "expires_at"],
            postgresql_where="status IN ('held', 'booked')",
        ),
        # What may have lapsed. Row-level security keeps the range test out of an index: without this one every claim
        # would look at all that its provider ever had.
        Index("allocation_held_idx", "subject_id", postgresql_where="status = 'held'"),
        Index("allocation_hold_id_idx", "hold_id"),
        Index("allocation_booking_id_idx", "booking_id"),
        Index("allocation_session_id_idx", "session_id", postgresql_where="session_id IS NOT NULL"),
    )

    subject_id: Mapped[UUID]
    busy: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    status: Mapped[str]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("hold.id", deferrable=True, initially="DEFERRED"))
    booking_id: Mapped[UUID | None] = mapped_column(ForeignKey("booking.id", deferrable=True, initially="DEFERRED"))
    session_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("activity_session.id", deferrable=True, initially="DEFERRED")
    )
    expires_at: Mapped[datetime | None]
    released_at: Mapped[datetime | None]
