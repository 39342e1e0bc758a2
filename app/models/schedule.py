"""Versions of an owner's weekly hours. None is ever deleted; those in force never overlap."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.dialects.postgresql import DATERANGE, JSONB, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, Identified, OfOrganization


class ScheduleVersion(Identified, OfOrganization, Base):
    """`effective` is a half-open range of the owner's local dates; `weekly` is as `app.domain.schedule` writes it."""

    __tablename__ = "schedule_version"
    __table_args__ = (
        UniqueConstraint("owner_id", "number", name="schedule_version_owner_number_key"),
        CheckConstraint("NOT isempty(effective) AND lower(effective) IS NOT NULL", name="effective"),
        CheckConstraint("slot_interval_minutes BETWEEN 1 AND 1440", name="slot_interval"),
        ExcludeConstraint(
            ("owner_id", "="),
            ("effective", "&&"),
            where="superseded_at IS NULL",
            using="gist",
            name="schedule_version_no_overlap",
        ),
    )

    owner_id: Mapped[UUID]
    number: Mapped[int]
    effective: Mapped[Range[date]] = mapped_column(DATERANGE)
    slot_interval_minutes: Mapped[int]
    weekly: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    published_by: Mapped[UUID | None]
    published_at: Mapped[datetime] = mapped_column(server_default=NOW)
    superseded_at: Mapped[datetime | None]
