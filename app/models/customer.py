"""Who books. A guest's checkout always makes a row of its own; only an account reuses one."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class Customer(Identified, OfOrganization, Timestamped, Base):
    __tablename__ = "customer"
    __table_args__ = (
        Index("customer_organization_user_key", "organization_id", "user_id", unique=True),
        Index("customer_organization_email_idx", "organization_id", "email"),
    )

    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user_account.id"))
    name: Mapped[str]
    email: Mapped[str]
    phone: Mapped[str | None]
    locale: Mapped[str | None]
