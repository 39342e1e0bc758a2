"""Numbering events: each gets its place in the one order in which everybody hears of them (docs/adr/0003)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app.core.database import Database
from app.queries.event import BODY

BATCH = 1_000
BODIES_BYTES = 32_768
"""Of numbered events that come with the answer: what the network takes from the server though nobody reads. A relay
that stands still must not keep the statement, and so the lock, from ending."""

# One statement is the whole transaction: who numbers holds the lock for as long as PostgreSQL works, and can neither
# sleep nor die with it. The lock is passed over when somebody else has it: they do our work.
#
# The snapshot is older than the lock. Had somebody numbered between the two, events would get a second number: then
# the position under the lock is not the one of the snapshot, and nothing is done.
#
# Only rows of transactions older than any that still runs; and of those only the ones before the first committed row
# that has to wait. Without that second rule two changes of one object could change places: a transaction that was old
# when it got the object's lock would be numbered before a younger one that had the lock first.
_NUMBER = f"""
    WITH state AS MATERIALIZED (
        SELECT installation_id, last_position, published_position FROM relay_state
    ), horizon AS MATERIALIZED (
        SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xid
    ), waiting AS MATERIALIZED (
        SELECT min(e.id) AS id FROM outbox_event e, horizon
        WHERE e.position IS NULL AND e.transaction_id >= horizon.xid
    ), due AS MATERIALIZED (
        SELECT found.id, row_number() OVER (ORDER BY found.id) AS n
        FROM (
            SELECT e.id FROM outbox_event e, waiting
            WHERE e.position IS NULL AND e.id < COALESCE(waiting.id, 9223372036854775807)
            ORDER BY e.id
            LIMIT $1
        ) found
    ), turn AS MATERIALIZED (
        SELECT r.last_position FROM relay_state r WHERE EXISTS (SELECT FROM due) FOR UPDATE SKIP LOCKED
    ), numbered AS (
        UPDATE outbox_event e SET position = turn.last_position + due.n
        FROM due, turn, state
        WHERE e.id = due.id AND turn.last_position = state.last_position
        RETURNING e.*
    ), told AS (
        INSERT INTO event_audience (key, position)
        SELECT DISTINCT k.key, numbered.position FROM numbered, unnest(numbered.audience) AS k (key)
        ON CONFLICT DO NOTHING
    ), body AS MATERIALIZED (
        SELECT e.position, {BODY} AS body FROM numbered e
    ), counted AS MATERIALIZED (
        SELECT count(*) AS n, COALESCE(sum(octet_length(body.body)), 0) AS bytes FROM body
    ), moved AS (
        UPDATE relay_state r SET
            last_position = r.last_position + counted.n,
            published_position = GREATEST(r.published_position, LEAST($2, r.last_position))
        FROM counted
        WHERE counted.n > 0
    )
    SELECT state.installation_id, state.last_position, state.published_position, counted.n,
           waiting.id IS NOT NULL OR (SELECT count(*) FROM due) > counted.n,
           CASE WHEN counted.bytes <= {BODIES_BYTES} THEN ARRAY(SELECT b.body FROM body b ORDER BY b.position) END
    FROM state, counted, waiting
"""  # noqa: S608 (constants)

# Losing this in a crash is harmless, since the stream refuses what it has: no commit has to wait for the disk.
_PUBLISHED = """
    UPDATE relay_state SET published_position = GREATEST(published_position, $1)
    WHERE set_config('synchronous_commit', 'off', true) IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Numbered:
    """How the log stood before, and what was added.

    `count` events have the positions from `last_position` + 1 on; `bodies`: the same as they travel on the stream, none
    when they are too large together. `published_position`: up to there the stream has had every event once.
    `is_held_back`: committed events have to wait, for an older transaction or since somebody else is numbering.
    """

    installation_id: UUID
    last_position: int
    published_position: int
    count: int
    is_held_back: bool
    bodies: list[str] | None


async def number_events(database: Database, batch: int = BATCH, published: int = 0) -> Numbered:
    """Give the next positions to at most `batch` events, and note that those up to `published` are on the stream.

    One statement, committed to disk when this returns. Raises what the driver raises, and OSError.
    """
    row = await database.write_row(_NUMBER, batch, published)
    if row is None:
        raise RuntimeError("the event log has no state")
    return Numbered(*row)


async def mark_published(database: Database, position: int) -> None:
    """Everything up to `position` was on the stream once. One statement."""
    await database.write_row(_PUBLISHED, position)
