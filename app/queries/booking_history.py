"""Reading the audit of a booking."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, text

from app.core.database import Tx
from app.domain.booking_history import RecordedChange, state_at
from app.models import AuditEntry, Booking
from app.queries.booking import items_of_bookings
from app.queries.pagination import SortKey

OLDEST_FIRST = SortKey("history", AuditEntry.id.expression, AuditEntry.subject_id.expression, int)
"""All entries of a booking have the same subject; their numbers rise in the order in which they were written."""


def select_history(booking_id: UUID) -> Select[AuditEntry]:
    """Not sorted, not limited."""
    return select(AuditEntry).where(AuditEntry.subject_id == booking_id)


_NAMES = text("SELECT user_id, name FROM actor_names(:booking_id)")


async def actor_names(tx: Tx, booking_id: UUID) -> dict[UUID, str]:
    """Names of the accounts that acted on a booking. One statement."""
    return {row.user_id: row.name for row in await tx.execute(_NAMES, {"booking_id": booking_id})}


_STATE = (
    "status",
    "version",
    "starts_at",
    "ends_at",
    "time_zone",
    "party_size",
    "provider_id",
    "service_id",
    "session_id",
    "customer_id",
    "price_minor",
    "currency",
    "payment_status",
    "payment_method",
    "paid_minor",
    "refunded_minor",
    "expires_at",
    "cancellable_until",
    "reschedules",
    "notes",
)
_ITEM = ("position", "service_id", "provider_id", "starts_at", "ends_at", "price_minor")


async def booking_at(tx: Tx, booking_id: UUID, at: datetime) -> dict[str, Any]:
    """The booking and its items as they were, by column. Three statements, which see one state of the database."""
    booking = await tx.get_one(Booking, booking_id, populate_existing=True)
    items = await items_of_bookings(tx, [booking_id])
    current = {name: getattr(booking, name) for name in _STATE}
    current["items"] = [{name: getattr(item, name) for name in _ITEM} for item in items]
    query = (
        select(AuditEntry.at, AuditEntry.before, AuditEntry.after)
        .where(AuditEntry.subject_id == booking_id)
        .order_by(AuditEntry.id)
    )
    changes = [RecordedChange(row.at, row.before, row.after or {}) for row in await tx.execute(query)]
    return state_at(current, changes, at)
