"""What a customer books."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Service(Identified, OfOrganization, Timestamped, Base):
    __tablename__ = "service"
    __table_args__ = (
        CheckConstraint("price_minor >= 0", name="price"),
        CheckConstraint("price_type IN ('fixed', 'hourly', 'custom')", name="price_type"),
        CheckConstraint("duration_minutes BETWEEN 1 AND 1440", name="duration"),
        CheckConstraint("maximum_reschedules BETWEEN 0 AND 1000 AND reschedule_notice_minutes >= 0", name="reschedule"),
        CheckConstraint(
            "maximum_duration_minutes >= duration_minutes AND maximum_duration_minutes <= 1440", name="maximum_duration"
        ),
        CheckConstraint(
            "buffer_before_minutes BETWEEN 0 AND 1440 AND buffer_after_minutes BETWEEN 0 AND 1440", name="buffers"
        ),
        CheckConstraint("advance_notice_minutes >= 0 AND cancellation_notice_minutes >= 0", name="notices"),
        CheckConstraint("maximum_advance_days BETWEEN 1 AND 1095", name="maximum_advance"),
        CheckConstraint("max_group_size >= 1", name="max_group_size"),
        CheckConstraint("min_group_size >= 1", name="min_group_size"),
        Index("service_organization_id_idx", "organization_id", "id"),
    )

    name: Mapped[str]
    description: Mapped[str | None]
    category: Mapped[str]
    subcategory: Mapped[str | None]
    price_minor: Mapped[int] = mapped_column(BigInteger)
    price_type: Mapped[str]
    duration_minutes: Mapped[int]
    maximum_duration_minutes: Mapped[int | None]
    buffer_before_minutes: Mapped[int]
    buffer_after_minutes: Mapped[int]
    advance_notice_minutes: Mapped[int]
    maximum_advance_days: Mapped[int]
    cancellation_notice_minutes: Mapped[int]
    requires_approval: Mapped[bool]
    max_group_size: Mapped[int]
    min_group_size: Mapped[int] = mapped_column(server_default="1")
    maximum_reschedules: Mapped[int | None]
    reschedule_notice_minutes: Mapped[int | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    is_active: Mapped[bool] = mapped_column(server_default="true")
    is_at_customers: Mapped[bool] = mapped_column(server_default="false")
