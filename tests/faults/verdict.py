"""What must be true after all the killing, asked in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from app.core.ids import IdKind, encode_id
from tests.faults.traffic import Acknowledged
from tests.shop import iso

INVARIANTS: Mapping[str, str] = {
    "overlapping claims of one provider": """
        SELECT count(*) FROM allocation a JOIN allocation b ON a.subject_id = b.subject_id AND a.id < b.id
          AND a.busy && b.busy AND a.status IN ('held', 'booked') AND b.status IN ('held', 'booked')""",
    "bookings without just their own time": """
        SELECT count(*) FROM booking b LEFT JOIN LATERAL (
            SELECT count(*) AS n, count(*) FILTER (WHERE a.subject_id = b.provider_id AND a.starts_at = b.starts_at
                AND a.ends_at = b.ends_at AND a.status = 'booked') AS fitting
            FROM allocation a WHERE a.booking_id = b.id AND a.status IN ('held', 'booked')) own ON true
        WHERE CASE WHEN b.status = 'cancelled' THEN own.n <> 0 ELSE own.n <> 1 OR own.fitting <> 1 END""",
    "booked time without a booking": """
        SELECT count(*) FROM allocation a LEFT JOIN booking b ON b.id = a.booking_id
        WHERE a.status = 'booked' AND b.id IS NULL""",
    "holds consumed without a booking, or booked without being consumed": """
        SELECT count(*) FROM hold h
        WHERE (h.status = 'consumed') <> EXISTS (SELECT FROM booking b WHERE b.hold_id = h.id)""",
    "active holds without held time, or the other way round": """
        SELECT count(*) FROM hold h
        WHERE (h.status = 'active') <> EXISTS (
            SELECT FROM allocation a WHERE a.hold_id = h.id AND a.status = 'held')""",
    "bookings without their item, or with another": """
        SELECT count(*) FROM booking b WHERE NOT EXISTS (
            SELECT FROM booking_item i WHERE i.booking_id = b.id AND i.starts_at = b.starts_at
              AND i.ends_at = b.ends_at AND i.provider_id = b.provider_id)""",
    "bookings whose history does not end where they are": """
        SELECT count(*) FROM booking b WHERE b.status IS DISTINCT FROM (
            SELECT t.to_status FROM booking_transition t WHERE t.booking_id = b.id ORDER BY t.id DESC LIMIT 1)""",
    "bookings whose version is not the number of their changes": """
        SELECT count(*) FROM booking b WHERE b.version <> (
            SELECT count(*) FROM audit_entry a WHERE a.subject_id = b.id)""",
    "bookings whose events do not tell each version": """
        SELECT count(*) FROM booking b WHERE b.version <> (
            SELECT count(DISTINCT e.payload ->> 'version') FROM outbox_event e WHERE e.subject_id = b.id)""",
    "events of one claim out of order": """
        SELECT count(*) FROM (
            SELECT e.type, lag(e.type) OVER (PARTITION BY e.payload ->> 'allocationId' ORDER BY e.position) AS before
            FROM outbox_event e WHERE e.type LIKE 'allocation.%') told
        WHERE (type = 'allocation.confirmed' AND before IS DISTINCT FROM 'allocation.claimed')
           OR (type = 'allocation.released' AND before IS NULL)
           OR (type = 'allocation.claimed' AND before IS NOT NULL)""",
    "committed events without a position": "SELECT count(*) FROM outbox_event WHERE position IS NULL",
    "gaps in the positions": """
        SELECT count(*) FROM (
            SELECT position - lag(position, 1, 0::bigint) OVER (ORDER BY position) AS step FROM outbox_event) steps
        WHERE step <> 1""",
    "positions beyond the last": """
        SELECT count(*) FROM relay_state r WHERE r.last_position <> (SELECT max(position) FROM outbox_event)""",
    "idempotency keys without an answer": "SELECT count(*) FROM idempotency_key WHERE response IS NULL",
}

_BOOKINGS = "SELECT id, number, confirmation_code, provider_id, starts_at, status, version FROM booking"
_STATUSES = "SELECT status, count(*) FROM hold GROUP BY status"


async def broken_invariants(connection: asyncpg.Connection[Any]) -> dict[str, int]:
    """How often each is broken: all zero."""
    return {name: await connection.fetchval(sql) for name, sql in INVARIANTS.items()}


async def stored_bookings(connection: asyncpg.Connection[Any]) -> dict[str, Acknowledged]:
    """Every booking, as its guest would be told of it."""
    rows = await connection.fetch(_BOOKINGS)
    stored = [
        Acknowledged(
            id=encode_id(IdKind.BOOKING, row["id"]),
            number=row["number"],
            code=row["confirmation_code"],
            provider_id=encode_id(IdKind.PROVIDER, row["provider_id"]),
            starts_at=iso(row["starts_at"]),
            status=row["status"].upper(),
            version=row["version"],
        )
        for row in rows
    ]
    return {booking.id: booking for booking in stored}


async def holds_by_status(connection: asyncpg.Connection[Any]) -> dict[str, int]:
    return {row["status"]: row["count"] for row in await connection.fetch(_STATUSES)}
