"""A place where services are given."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Venue(Identified, OfOrganization, Timestamped, Base):
    """`country` and `region` name the public holidays on which it is closed; none: it knows none."""

    __tablename__ = "venue"
    __table_args__ = (
        UniqueConstraint("embed_key"),
        CheckConstraint("latitude BETWEEN -90 AND 90", name="latitude"),
        CheckConstraint("longitude BETWEEN -180 AND 180", name="longitude"),
        CheckConstraint("region IS NULL OR country IS NOT NULL", name="region"),
        Index("venue_organization_id_idx", "organization_id", "id"),
    )

    name: Mapped[str]
    time_zone: Mapped[str]
    address: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    country: Mapped[str | None]
    region: Mapped[str | None]
    embed_key: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default="true")
