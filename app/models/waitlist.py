"""Who waits for a place or for time that is not free."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Identity, Index, Uuid, text
from sqlalchemy.dialects.postgresql import TSTZMULTIRANGE, Range
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped

_WAITING = "status = 'waiting'"
_WAITS_FOR_TIME = "status = 'waiting' AND service_id IS NOT NULL"
_LIVE = "status IN ('waiting', 'offered')"


class WaitlistEntry(Identified, OfOrganization, Timestamped, Base):
    """For places: an activity, and one session or any. For time: a service, with whom (None: anybody), how long.

    `windows`: when it may start; `refused`: what was offered and not accepted. `arrival` decides among those of one
    priority. `hold_id` is the offer: live while the status is `offered`, booked when it is `accepted`. `address` is the
    network address that asked, for its limit.
    """

    __tablename__ = "waitlist_entry"
    __table_args__ = (
        CheckConstraint(
            "(activity_id IS NULL) <> (service_id IS NULL) AND (activity_id IS NOT NULL OR session_id IS NULL)"
            " AND (service_id IS NOT NULL OR (provider_ids IS NULL AND duration_minutes IS NULL))",
            name="subject",
        ),
        CheckConstraint("NOT isempty(windows)", name="windows"),
        CheckConstraint("party_size >= 1", name="party_size"),
        CheckConstraint("priority BETWEEN 0 AND 100", name="priority"),
        CheckConstraint("cardinality(provider_ids) BETWEEN 1 AND 20", name="providers"),
        CheckConstraint("status IN ('waiting', 'offered', 'accepted', 'left', 'ended')", name="status"),
        CheckConstraint("(status = 'ended') = (ended_reason IS NOT NULL)", name="reason"),
        CheckConstraint("status <> 'offered' OR (hold_id IS NOT NULL AND offer_expires_at IS NOT NULL)", name="offer"),
        Index(
            "waitlist_entry_activity_idx", "activity_id", text("priority DESC"), "arrival", postgresql_where=_WAITING
        ),
        Index("waitlist_entry_service_idx", "service_id", text("priority DESC"), "arrival", postgresql_where=_WAITING),
        Index("waitlist_entry_time_idx", "organization_id", postgresql_where=_WAITS_FOR_TIME),
        Index("waitlist_entry_checked_idx", text("checked_at NULLS FIRST"), postgresql_where=_WAITS_FOR_TIME),
        Index("waitlist_entry_offer_idx", "offer_expires_at", postgresql_where="status = 'offered'"),
        Index("waitlist_entry_email_idx", "organization_id", "email", postgresql_where=_LIVE),
        Index("waitlist_entry_address_idx", "address", postgresql_where=_LIVE),
        Index("waitlist_entry_user_id_idx", "user_id", "id"),
        Index("waitlist_entry_organization_id_idx", "organization_id", "id"),
    )

    activity_id: Mapped[UUID | None] = mapped_column(ForeignKey("activity.id"))
    session_id: Mapped[UUID | None]
    service_id: Mapped[UUID | None] = mapped_column(ForeignKey("service.id"))
    provider_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    duration_minutes: Mapped[int | None]
    windows: Mapped[list[Range[datetime]]] = mapped_column(TSTZMULTIRANGE)
    refused: Mapped[list[Range[datetime]]] = mapped_column(TSTZMULTIRANGE, server_default="{}")
    party_size: Mapped[int]
    priority: Mapped[int] = mapped_column(server_default="0")
    arrival: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    status: Mapped[str] = mapped_column(server_default="waiting")
    ended_reason: Mapped[str | None]
    ended_at: Mapped[datetime | None]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("hold.id"), unique=True)
    offer_expires_at: Mapped[datetime | None]
    lapses: Mapped[int] = mapped_column(server_default="0")
    checked_at: Mapped[datetime | None]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user_account.id"))
    name: Mapped[str]
    email: Mapped[str]
    phone: Mapped[str | None]
    locale: Mapped[str | None]
    address: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default="1")
    access_version: Mapped[int] = mapped_column(server_default="1")
