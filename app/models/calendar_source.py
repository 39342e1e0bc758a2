"""Calendars elsewhere whose busy times block a provider."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, Identified, OfOrganization, Timestamped


class CalendarSource(Identified, OfOrganization, Timestamped, Base):
    """`url` is a secret of the provider; of a removed source only its host is kept.

    `content_hash`, `etag` and `last_modified` are of what was last read, in the zone `read_in_zone`, up to
    `covered_until`. `next_poll_at` is set ahead while a poll is asked for, so that nobody asks for another.
    """

    __tablename__ = "calendar_source"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'active', 'failing', 'refused')", name="status"),
        Index(
            "calendar_source_provider_url_key",
            "provider_id",
            "url",
            unique=True,
            postgresql_where="removed_at IS NULL",
        ),
        Index("calendar_source_due_idx", "next_poll_at", postgresql_where="removed_at IS NULL"),
    )

    provider_id: Mapped[UUID] = mapped_column(ForeignKey("provider.id"))
    url: Mapped[str]
    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="waiting")
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
    content_hash: Mapped[bytes | None]
    read_in_zone: Mapped[str | None]
    covered_until: Mapped[datetime | None]
    requested_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_polled_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    next_poll_at: Mapped[datetime] = mapped_column(server_default=NOW)
    failures: Mapped[int] = mapped_column(server_default="0")
    last_error: Mapped[str | None]
    event_count: Mapped[int] = mapped_column(server_default="0")
    created_by: Mapped[UUID | None]
    removed_at: Mapped[datetime | None]
