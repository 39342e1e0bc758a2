"""Numbering events: each gets its place in the one order in which everybody hears of them (docs/adr/0003)."""

from __future__ import annotations

from sqlalchemy import text

from app.core.database import Tx

BATCH = 1_000

# Passed over when somebody else is numbering: they do our work.
_LOCK = text("SELECT last_position FROM relay_state FOR UPDATE SKIP LOCKED")

# A statement of its own, so that its snapshot is taken under the lock and knows the last numbers given.
# Only rows of transactions older than any that still runs; and of those only the ones before the first committed row
# that has to wait. Without that second rule two changes of one object could change places: a transaction that was old
# when it got the object's lock would be numbered before a younger one that had the lock first.
_NUMBER = text(
    """
    WITH horizon AS MATERIALIZED (
        SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xid
    ), waiting AS MATERIALIZED (
        SELECT min(e.id) AS id FROM outbox_event e, horizon
        WHERE e.position IS NULL AND e.transaction_id >= horizon.xid
    ), due AS MATERIALIZED (
        SELECT e.id FROM outbox_event e, waiting
        WHERE e.position IS NULL AND e.id < COALESCE(waiting.id, 9223372036854775807)
        ORDER BY e.id
        LIMIT :batch
    ), numbered AS (
        UPDATE outbox_event e SET position = r.last_position + place.n
        FROM (SELECT due.id, row_number() OVER (ORDER BY due.id) AS n FROM due) place, relay_state r
        WHERE e.id = place.id
        RETURNING e.position, e.audience
    ), told AS (
        INSERT INTO event_audience (key, position)
        SELECT DISTINCT k.key, numbered.position FROM numbered, unnest(numbered.audience) AS k (key)
        ON CONFLICT DO NOTHING
    ), counted AS (
        SELECT count(*) AS n FROM numbered
    )
    UPDATE relay_state SET last_position = last_position + counted.n FROM counted
    WHERE counted.n > 0
    RETURNING counted.n
    """
)

# Losing this in a crash is harmless, since the stream refuses what it has: no commit has to wait for the disk.
_PUBLISHED = text("UPDATE relay_state SET published_position = GREATEST(published_position, CAST(:position AS bigint))")


async def number_events(tx: Tx, batch: int = BATCH) -> int:
    """Give the next positions to at most `batch` events; how many it were. At most two statements.

    0: nothing is due, or a transaction older than what waits is still open, or somebody else is numbering.
    """
    if (await tx.execute(_LOCK)).first() is None:
        return 0
    return (await tx.execute(_NUMBER, {"batch": batch})).scalar_one_or_none() or 0


async def mark_published(tx: Tx, position: int) -> None:
    """Everything up to `position` was on the stream once. Two statements."""
    await tx.execute(text("SET LOCAL synchronous_commit = off"))
    await tx.execute(_PUBLISHED, {"position": position})
