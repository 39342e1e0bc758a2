"""Deleting what nobody needs any more, in batches, so that no statement is long."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import CursorResult, Interval, TextClause, bindparam, text

from app.core.database import Tx

BATCH = 5_000

DONE_JOBS_KEPT = timedelta(hours=24)
FAILED_JOBS_KEPT = timedelta(days=30)
"""Long enough for somebody to look into it."""
RECURRING_RUNS_KEPT = timedelta(hours=48)
"""Longer than any interval: the last run of each must be known."""
HEARTBEATS_KEPT = timedelta(hours=1)

_KEYS = text(
    """
    DELETE FROM idempotency_key WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_key WHERE created_at < (SELECT turnero_now()) - :kept
        ORDER BY created_at LIMIT :batch))
    """
).bindparams(bindparam("kept", type_=Interval))

# Always the beginning of the log and never a hole in it: everything before the first event that is young enough. Rows
# without a position are no part of the log yet. How far it went is noted where every organization can read it: cursors
# before that cannot resume, and the oldest row that row-level security shows to one of them would not tell.
_EVENTS = text(
    """
    WITH kept AS MATERIALIZED (
        SELECT COALESCE(
            (SELECT e.position FROM outbox_event e
             WHERE e.position IS NOT NULL AND e.occurred_at >= (SELECT turnero_now()) - :kept
             ORDER BY e.position LIMIT 1),
            9223372036854775807) AS position
    ), purged AS (
        DELETE FROM outbox_event WHERE id = ANY (ARRAY(
            SELECT e.id FROM outbox_event e, kept WHERE e.position < kept.position ORDER BY e.position LIMIT :batch))
        RETURNING position, audience
    ), untold AS (
        DELETE FROM event_audience a USING purged, unnest(purged.audience) AS k (key)
        WHERE a.key = k.key AND a.position = purged.position
    ), noted AS (
        UPDATE relay_state SET purged_position = GREATEST(purged_position, last.position)
        FROM (SELECT max(position) AS position FROM purged) last
        WHERE last.position IS NOT NULL
    )
    SELECT count(*) FROM purged
    """
).bindparams(bindparam("kept", type_=Interval))

_JOBS = text(
    """
    DELETE FROM job WHERE id = ANY (ARRAY(
        SELECT id FROM job
        WHERE done_at < (SELECT turnero_now()) - :done_kept OR failed_at < (SELECT turnero_now()) - :failed_kept
        LIMIT :batch))
    """
).bindparams(bindparam("done_kept", type_=Interval), bindparam("failed_kept", type_=Interval))

_RUNS = text("DELETE FROM recurring_run WHERE scheduled_for < (SELECT turnero_now()) - :kept").bindparams(
    bindparam("kept", type_=Interval)
)
_HEARTBEATS = text("DELETE FROM worker_heartbeat WHERE seen_at < clock_timestamp() - :kept").bindparams(
    bindparam("kept", type_=Interval)
)


async def purge_idempotency_keys(tx: Tx, kept: timedelta, batch: int = BATCH) -> int:
    """Keys older than `kept`, at most `batch`; how many it were. One statement."""
    return await _delete(tx, _KEYS, kept=kept, batch=batch)


async def purge_events(tx: Tx, kept: timedelta, batch: int = BATCH) -> int:
    """Numbered events older than `kept`, from the oldest position on, at most `batch`. One statement."""
    count: int = (await tx.execute(_EVENTS, {"kept": kept, "batch": batch})).scalar_one()
    return count


async def purge_jobs(tx: Tx, batch: int = BATCH) -> int:
    """Jobs done 24 h ago or failed 30 days ago, at most `batch`. One statement."""
    return await _delete(tx, _JOBS, done_kept=DONE_JOBS_KEPT, failed_kept=FAILED_JOBS_KEPT, batch=batch)


async def purge_recurring_runs(tx: Tx) -> int:
    """Slots older than 48 h. One statement."""
    return await _delete(tx, _RUNS, kept=RECURRING_RUNS_KEPT)


async def purge_heartbeats(tx: Tx) -> int:
    """Workers not seen for an hour. One statement."""
    return await _delete(tx, _HEARTBEATS, kept=HEARTBEATS_KEPT)


async def _delete(tx: Tx, statement: TextClause, **values: object) -> int:
    result = await tx.execute(statement, values)
    assert isinstance(result, CursorResult)
    return result.rowcount
