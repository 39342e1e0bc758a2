"""Deleting sessions that never were anybody's: the hours dropped them before a place of them was held or sold."""

from __future__ import annotations

from sqlalchemy import text

from app.core.database import Tx

# A row that somebody has locked (hours bring it back this very moment) is left for the next time. Time that was taken
# for it, and given back, is history of those whose it was.
_SESSIONS = text(
    """
    WITH gone AS MATERIALIZED (
        SELECT s.id FROM activity_session s
        WHERE s.status = 'cancelled' AND s.cancelled_reason IS NULL
          AND NOT EXISTS (SELECT FROM place_claim c WHERE c.session_id = s.id)
          AND NOT EXISTS (SELECT FROM hold h WHERE h.session_id = s.id)
          AND NOT EXISTS (SELECT FROM booking b WHERE b.session_id = s.id)
        ORDER BY s.id LIMIT :batch
        FOR UPDATE OF s SKIP LOCKED
    ), freed AS (
        UPDATE allocation a SET session_id = NULL
        WHERE a.session_id IN (SELECT gone.id FROM gone) AND a.status = 'released'
    ), deleted AS (
        DELETE FROM activity_session s WHERE s.id IN (SELECT gone.id FROM gone) RETURNING s.id
    )
    SELECT count(*) FROM deleted
    """
)


async def purge_sessions(tx: Tx, batch: int) -> int:
    """At most `batch`; how many it were. One statement."""
    count: int = (await tx.execute(_SESSIONS, {"batch": batch})).scalar_one()
    return count
