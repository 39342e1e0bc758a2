"""Rooms, equipment and people that a service needs besides its provider."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Resource(Identified, OfOrganization, Timestamped, Base):
    """`quantity` alike ones, each with a unit of its own."""

    __tablename__ = "resource"
    __table_args__ = (
        CheckConstraint("kind IN ('room', 'equipment', 'person')", name="kind"),
        CheckConstraint("quantity BETWEEN 1 AND 100", name="quantity"),
        Index("resource_venue_id_idx", "venue_id"),
        Index("resource_organization_id_idx", "organization_id", "id"),
    )

    venue_id: Mapped[UUID] = mapped_column(ForeignKey("venue.id"))
    name: Mapped[str]
    kind: Mapped[str]
    quantity: Mapped[int]
    is_active: Mapped[bool] = mapped_column(server_default="true")


class ResourceUnit(Identified, OfOrganization, Base):
    """What is taken: allocations name its id as their subject. One that is too many is switched off, never deleted."""

    __tablename__ = "resource_unit"
    __table_args__ = (UniqueConstraint("resource_id", "number", name="resource_unit_number_key"),)

    resource_id: Mapped[UUID] = mapped_column(ForeignKey("resource.id"))
    number: Mapped[int]
    is_active: Mapped[bool] = mapped_column(server_default="true")


class ResourceNeed(Identified, OfOrganization, Base):
    """A service or an activity needs any `quantity` units of these resources, at the venue where it is given."""

    __tablename__ = "resource_need"
    __table_args__ = (
        UniqueConstraint("owner_id", "position", name="resource_need_position_key"),
        CheckConstraint("quantity BETWEEN 1 AND 100", name="quantity"),
        CheckConstraint("cardinality(resource_ids) BETWEEN 1 AND 50", name="resources"),
        Index("resource_need_organization_id_idx", "organization_id", "owner_id"),
    )

    owner_id: Mapped[UUID]
    position: Mapped[int]
    quantity: Mapped[int]
    resource_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
