"""Reading the audit of a booking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.core.database import Tx
from app.domain.booking_history import PEOPLE, RecordedChange, state_at
from app.models import AuditEntry, Booking
from app.queries.booking import items_of_bookings
from app.queries.pagination import Page, SortKey, encode_cursor
from app.queries.participant import list_participants_below
from app.queries.rows import one_of

OLDEST_FIRST = SortKey("history", AuditEntry.id.expression, AuditEntry.subject_id.expression, int)
"""All entries of a booking have the same subject; their numbers rise in the order in which they were written."""


def select_history(booking_id: UUID) -> Select[AuditEntry]:
    """Not sorted, not limited."""
    return select(AuditEntry).where(AuditEntry.subject_id == booking_id)


async def first_pages(
    tx: Tx, booking_ids: Sequence[UUID], size: int, *, backward: bool
) -> dict[UUID, Page[AuditEntry]]:
    """The first (`backward`: the last) entries of several bookings, as pages. One statement."""
    order = AuditEntry.id.desc() if backward else AuditEntry.id.asc()
    place = func.row_number().over(partition_by=AuditEntry.subject_id, order_by=order).label("place")
    placed = select(AuditEntry.id, place).where(one_of(AuditEntry.subject_id, booking_ids)).subquery()
    query = (
        select(AuditEntry)
        .join(placed, placed.c.id == AuditEntry.id)
        .where(placed.c.place <= size + 1)
        .order_by(AuditEntry.id)
    )
    found: dict[UUID, list[AuditEntry]] = {}
    for entry in (await tx.execute(query)).scalars():
        found.setdefault(entry.subject_id, []).append(entry)
    return {booking_id: _page(found.get(booking_id, []), size, backward=backward) for booking_id in booking_ids}


def _page(entries: Sequence[AuditEntry], size: int, *, backward: bool) -> Page[AuditEntry]:
    """`entries`: one more than the page has, if there are more."""
    has_more = len(entries) > size
    shown = entries[-size:] if backward else entries[:size]
    items = tuple((one, encode_cursor(OLDEST_FIRST.name, one.id, one.subject_id)) for one in shown)
    return Page(items, has_next=has_more and not backward, has_previous=has_more and backward)


async def count_entries(tx: Tx, booking_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many several bookings have. One statement."""
    query = (
        select(AuditEntry.subject_id, func.count())
        .where(one_of(AuditEntry.subject_id, booking_ids))
        .group_by(AuditEntry.subject_id)
    )
    return {row[0]: row[1] for row in await tx.execute(query)}


_NAMES = text(
    "SELECT b.id, n.user_id, n.name FROM unnest(CAST(:bookings AS uuid[])) AS b (id), LATERAL actor_names(b.id) AS n"
).bindparams(bindparam("bookings", type_=ARRAY(Uuid)))


async def actor_names(tx: Tx, booking_ids: Sequence[UUID]) -> dict[UUID, dict[UUID, str]]:
    """Names of the accounts that acted on each of these bookings. One statement."""
    found: dict[UUID, dict[UUID, str]] = {}
    for row in await tx.execute(_NAMES, {"bookings": list(booking_ids)}):
        found.setdefault(row.id, {})[row.user_id] = row.name
    return found


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
    "recipient",
    "address",
)
_ITEM = ("position", "service_id", "provider_id", "starts_at", "ends_at", "price_minor")

_PERSON = ("name", "email", "phone", "status")


@dataclass(frozen=True, slots=True)
class RecordedBooking:
    """A booking, its items and its people as they are, by column, and every change that led there."""

    current: dict[str, Any]
    changes: list[RecordedChange]

    def at(self, instant: datetime) -> dict[str, Any]:
        """The columns as they were."""
        return state_at(self.current, self.changes, instant)


async def recorded_bookings(tx: Tx, booking_ids: Sequence[UUID]) -> dict[UUID, RecordedBooking]:
    """Four statements, which see one state of the database."""
    bookings = select(Booking).where(one_of(Booking.id, booking_ids)).execution_options(populate_existing=True)
    found: dict[UUID, RecordedBooking] = {}
    for booking in (await tx.execute(bookings)).scalars():
        current = {name: getattr(booking, name) for name in _STATE}
        found[booking.id] = RecordedBooking({**current, "items": [], PEOPLE: []}, [])
    for item in await items_of_bookings(tx, booking_ids):
        found[item.booking_id].current["items"].append({name: getattr(item, name) for name in _ITEM})
    for booking_id, people in (await list_participants_below(tx, booking_ids)).items():
        found[booking_id].current[PEOPLE] = [
            {"id": str(one.id), **{name: getattr(one, name) for name in _PERSON}} for one in people
        ]
    entries = (
        select(AuditEntry.subject_id, AuditEntry.at, AuditEntry.before, AuditEntry.after)
        .where(one_of(AuditEntry.subject_id, booking_ids))
        .order_by(AuditEntry.id)
    )
    for row in await tx.execute(entries):
        found[row.subject_id].changes.append(RecordedChange(row.at, row.before, row.after or {}))
    return found
