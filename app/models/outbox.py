"""Events that commit with the change they tell of, and how far they have been numbered and published."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Identity, Index, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, OfOrganization, TransactionId


class OutboxEvent(OfOrganization, Base):
    """`position` is given by the relay, contiguously, once no older transaction can still commit (docs/adr/0003).

    `audience`: who is told beside those who follow the subject: accounts, and providers as calendars (docs/adr/0027).
    """

    __tablename__ = "outbox_event"
    __table_args__ = (
        Index("outbox_event_unnumbered_idx", "id", postgresql_where="position IS NULL"),
        # For cursors: one organization's, whatever waits of the others when the relay stands still.
        Index("outbox_event_waiting_idx", "organization_id", "id", postgresql_where="position IS NULL"),
        Index("outbox_event_position_key", "position", unique=True, postgresql_where="position IS NOT NULL"),
        Index("outbox_event_subject_idx", "subject_id", "position"),
        Index("outbox_event_occurred_at_idx", "occurred_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    transaction_id: Mapped[int] = mapped_column(TransactionId, server_default=text("pg_current_xact_id()"))
    type: Mapped[str]
    subject_id: Mapped[UUID]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    occurred_at: Mapped[datetime] = mapped_column(server_default=NOW)
    position: Mapped[int | None] = mapped_column(BigInteger)
    audience: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))


class EventAudience(Base):
    """Numbered events by who is told. Kept by the relay; gone when the event is."""

    __tablename__ = "event_audience"

    key: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True)


class RelayState(Base):
    """One row. `installation_id` names this database, so that a stream kept for another is never read as ours.

    Events up to `purged_position` may be gone: a cursor before it takes a new snapshot.
    """

    __tablename__ = "relay_state"
    __table_args__ = (CheckConstraint("id", name="single_row"),)

    id: Mapped[bool] = mapped_column(primary_key=True, server_default="true")
    installation_id: Mapped[UUID] = mapped_column(server_default=text("uuidv7()"))
    last_position: Mapped[int] = mapped_column(BigInteger, server_default="0")
    published_position: Mapped[int] = mapped_column(BigInteger, server_default="0")
    purged_position: Mapped[int] = mapped_column(BigInteger, server_default="0")
