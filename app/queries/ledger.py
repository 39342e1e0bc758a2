"""Reading the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.models import LedgerEntry, LedgerJournal


@dataclass(slots=True)
class BookedJournal:
    """A journal with those of its entries that belong to one booking."""

    kind: str
    currency: str
    at: datetime
    entries: list[LedgerEntry] = field(default_factory=list)


async def journals_of_bookings(tx: Tx, booking_ids: Sequence[UUID]) -> Mapping[UUID, list[BookedJournal]]:
    """By booking, in the order in which they were written. One statement."""
    query = (
        select(LedgerEntry, LedgerJournal)
        .join(LedgerJournal, LedgerJournal.id == LedgerEntry.journal_id)
        .where(LedgerEntry.booking_id.in_(booking_ids))
        .order_by(LedgerJournal.id, LedgerEntry.id)
    )
    found: dict[UUID, dict[UUID, BookedJournal]] = {}
    for entry, journal in await tx.execute(query):
        of_booking = found.setdefault(entry.booking_id, {})
        booked = of_booking.setdefault(journal.id, BookedJournal(journal.kind, journal.currency, journal.created_at))
        booked.entries.append(entry)
    return {booking_id: list(journals.values()) for booking_id, journals in found.items()}
