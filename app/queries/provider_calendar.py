"""What takes a provider's time, as their own calendar shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.core.database import Tx

MOST_EVENTS = 2_000
"""Those nearest to now; more than nearly anybody has in a year and a month."""


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """A booked service, or a session with places. Of a session `status` is that of the session, `who` none.

    `id` is the booking's or session's; `position` tells the parts of one visit apart (1: the first, or the only one).
    """

    id: UUID
    position: int
    version: int
    status: str
    starts_at: datetime
    ends_at: datetime
    changed_at: datetime
    title: str
    who: str | None
    number: str | None
    places: tuple[int, int] | None


# Allocations say what takes the provider's time, whoever leads the visit; a cancelled booking has none any more.
_EVENTS = text(
    """
    SELECT event.* FROM (
    SELECT COALESCE(b.id, n.id) AS id, COALESCE(i.position, 1) AS position, COALESCE(b.version, n.version) AS version,
           COALESCE(b.status, n.status) AS status, a.starts_at, a.ends_at,
           COALESCE(b.updated_at, n.created_at) AS changed_at, COALESCE(s.name, t.name) AS title, c.name AS who,
           b.number, n.taken, GREATEST(n.capacity, n.grandfathered) AS places
    FROM allocation a
    LEFT JOIN booking b ON b.id = a.booking_id
    LEFT JOIN customer c ON c.id = b.customer_id
    LEFT JOIN booking_item i ON i.booking_id = b.id AND i.provider_id = a.subject_id AND i.starts_at = a.starts_at
    LEFT JOIN service s ON s.id = COALESCE(i.service_id, b.service_id)
    LEFT JOIN activity_session n ON n.id = a.session_id
    LEFT JOIN activity t ON t.id = n.activity_id
    WHERE a.subject_id = :provider_id AND a.status IN ('held', 'booked')
      AND a.starts_at >= :from_at AND a.starts_at < :to_at AND (a.booking_id IS NOT NULL OR a.session_id IS NOT NULL)
    UNION ALL
    SELECT b.id, 1, b.version, b.status, b.starts_at, b.ends_at, b.updated_at, s.name, c.name, b.number, NULL, NULL
    FROM booking b JOIN customer c ON c.id = b.customer_id JOIN service s ON s.id = b.service_id
    WHERE b.provider_id = :provider_id AND b.status = 'cancelled' AND b.starts_at >= :now AND b.starts_at < :to_at
    ) AS event
    ORDER BY GREATEST(starts_at - :now, :now - starts_at), id, position
    LIMIT :most
    """
).bindparams(*(bindparam(name, type_=TIMESTAMP(timezone=True)) for name in ("from_at", "to_at", "now")))


async def list_calendar_events(
    tx: Tx, provider_id: UUID, from_at: datetime, to_at: datetime, now: datetime
) -> list[CalendarEvent]:
    """What starts between two instants, in the order of time; cancelled bookings only from now on. One statement."""
    values = {"provider_id": provider_id, "from_at": from_at, "to_at": to_at, "now": now, "most": MOST_EVENTS}
    events = [
        CalendarEvent(
            id=row.id,
            position=row.position,
            version=row.version,
            status=row.status,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            changed_at=row.changed_at,
            title=row.title,
            who=row.who,
            number=row.number,
            places=None if row.places is None else (row.taken, row.places),
        )
        for row in await tx.execute(_EVENTS, values)
    ]
    return sorted(events, key=lambda event: (event.starts_at, event.id, event.position))
