"""Every change with its before and after. Append-only by grant and by trigger."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, OfOrganization


class AuditEntry(OfOrganization, Base):
    """`before` and `after` hold only the fields that changed."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("audit_entry_subject_idx", "subject_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    action: Mapped[str]
    subject_id: Mapped[UUID]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    reason: Mapped[str | None]
    actor: Mapped[str]
    actor_id: Mapped[UUID | None]
    channel: Mapped[str]
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    request_id: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=NOW)
