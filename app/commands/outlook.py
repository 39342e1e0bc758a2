"""Keeping outlooks: what events made unknown, and what was worked out anew. A copy: no journal tells of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import text

from app.core.database import Tx
from app.queries.outlook import OfferOutlook

EVENTS_AT_ONCE = 1_000

# Held until the transaction ends. Two workers at once would do the same work twice. Outlooks are a copy: a crash may
# take the newest with it, together with how far events were looked at. Did it wait for the disk, all events would.
_TURN = text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended('offer_outlook', 0))"
    " FROM set_config('synchronous_commit', 'off', true)"
)

# Events that were purged before they were looked at may have changed anything.
_FORGET = text(
    """
    WITH state AS (
        UPDATE outlook_state o SET rules = :rules, position = CASE WHEN o.position < r.purged_position
                                                              THEN r.last_position ELSE o.position END
        FROM relay_state r WHERE o.rules <> :rules OR o.position < r.purged_position
        RETURNING 1
    )
    UPDATE offer_outlook SET known_until = '-infinity', marks = marks + 1 WHERE EXISTS (SELECT 1 FROM state)
    """
)

_OVERTAKE = text(
    """
    WITH batch AS MATERIALIZED (
        SELECT o.position, LEAST(r.last_position, o.position + CAST(:most AS integer)) AS upto
        FROM outlook_state o, relay_state r
    ), touched AS MATERIALIZED (
        SELECT t.providers, t.services
        FROM batch, outlooks_overtaken(NULL, batch.position, batch.upto, CAST(:most AS integer)) t
    ), marked AS (
        UPDATE offer_outlook SET known_until = '-infinity', marks = marks + 1
        WHERE provider_id = ANY(ARRAY(SELECT unnest(providers) FROM touched))
           OR service_id = ANY(ARRAY(SELECT unnest(services) FROM touched))
        RETURNING 1
    )
    UPDATE outlook_state SET position = batch.upto FROM batch
    WHERE batch.upto > batch.position
    RETURNING batch.upto - batch.position, (SELECT count(*) FROM marked)
    """
)

_STORE = text(
    """
    UPDATE offer_outlook k SET
        known_until = COALESCE(n.known_until, 'infinity'), covered_to = n.covered_to, notice_minutes = n.notice_minutes,
        horizon_days = n.horizon_days, duration_minutes = n.duration_minutes, longest_minutes = n.longest_minutes,
        largest_party = n.largest_party, days = n.days, firsts = n.firsts, lasts = n.lasts, steps = n.steps
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
        provider_id uuid, service_id uuid, marks integer, known_until timestamptz, covered_to integer,
        notice_minutes integer, horizon_days integer, duration_minutes integer, longest_minutes integer,
        largest_party integer, days integer[], firsts integer[], lasts integer[], steps integer[])
    WHERE k.provider_id = n.provider_id AND k.service_id = n.service_id AND k.marks = n.marks
    """
)


async def take_turn(tx: Tx) -> bool:
    """False while another worker keeps outlooks. One statement."""
    return bool((await tx.execute(_TURN)).scalar_one())


async def forget_unfit_outlooks(tx: Tx, rules: str) -> None:
    """Make all unknown if they were worked out by other rules, or events are gone that nobody looked at."""
    await tx.execute(_FORGET, {"rules": rules})


async def mark_overtaken(tx: Tx, most: int = EVENTS_AT_ONCE) -> int:
    """Make those unknown that the next events changed; how many events it were. One statement."""
    row = (await tx.execute(_OVERTAKE, {"most": most})).first()
    return 0 if row is None else int(row[0])


async def store_outlooks(tx: Tx, found: Sequence[OfferOutlook]) -> None:
    """But those that were overtaken since they were due. One statement."""
    rows = [
        {
            "provider_id": one.due.provider_id,
            "service_id": one.due.service_id,
            "marks": one.due.marks,
            "known_until": one.known_until,
            "covered_to": one.covered_to,
            "notice_minutes": one.notice_minutes,
            "horizon_days": one.horizon_days,
            "duration_minutes": one.duration_minutes,
            "longest_minutes": one.longest_minutes,
            "largest_party": one.largest_party,
            "days": one.outlook.days,
            "firsts": one.outlook.firsts,
            "lasts": one.outlook.lasts,
            "steps": one.outlook.steps,
        }
        for one in found
    ]
    await tx.execute(_STORE, {"rows": msgspec.json.encode(rows).decode()})
