"""A guard in every database of the tests: no command changes what searches read without an event of whose row it is.

Caches hold what searches read under versions that count events (docs/adr/0014). What is read is asked of PostgreSQL,
column by column, so that a new one is guarded from its first day; a new table stops all tests until it is said whose
rows it has.
"""

from __future__ import annotations

from sqlalchemy import text

from app.core.database import Tx


async def let_pass(tx: Tx) -> None:
    """What a test prepares in this transaction, past the commands, is meant as it is. To be called last."""
    await tx.execute(text("SET LOCAL ROLE NONE"))


_SUBJECTS = {
    "allocation": "subject_id",
    "blocked_time": "subject_id",
    "offer": "service_id",
    "organization": None,  # what is read of it never changes
    "provider": "id",
    "resource": "venue_id",
    "resource_need": "owner_id",
    "resource_unit": "resource_id",  # stands for that resource's venue
    "schedule_exception": "owner_id",
    "schedule_version": "owner_id",
    "service": "id",
    "venue": "id",
}
"""The column of the one whom a change is told: someone whose version every search that reads the row looks at.

`price_rule` has none: a trigger of its own gives the organization another price version, and so facts another epoch.
"""

COLUMNS = """
    SELECT c.relname::text AS table, a.attname::text AS column
    FROM pg_depend d
    JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
    JOIN pg_class c ON c.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
    WHERE p.proname IN ('service_facts', 'busy_times')
    ORDER BY c.relname, a.attnum
"""
"""All that searches read. PostgreSQL knows what SQL functions read; `availability_facts` reads through these two."""

_NAMED = ", ".join(
    f"""('{table}', {"NULL" if column is None else f"'{column}'"})""" for table, column in _SUBJECTS.items()
)

INSTALL = f"""
CREATE FUNCTION facts_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $guard$
DECLARE
    v_was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    v_is jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    v_columns text[] := string_to_array(TG_ARGV[1], ',');
    v_subject uuid;
BEGIN
    CASE
        -- The owner of the tables prepares tests.
        WHEN current_setting('role') NOT IN ('turnero_app', 'turnero_system') THEN RETURN NULL;
        -- Nobody can have read what is new under its own id.
        WHEN TG_OP = 'INSERT' AND TG_ARGV[0] IN ('', 'id') THEN RETURN NULL;
        WHEN TG_OP = 'UPDATE' AND (SELECT bool_and(v_was -> c.name = v_is -> c.name) FROM unnest(v_columns) c (name))
            THEN RETURN NULL;
        WHEN TG_TABLE_NAME = 'allocation' AND NOT COALESCE(v_was ->> 'status', '') = ANY ('{{held,booked}}')
             AND NOT COALESCE(v_is ->> 'status', '') = ANY ('{{held,booked}}') THEN RETURN NULL;
        -- What is over is forgotten some day.
        WHEN TG_TABLE_NAME = 'blocked_time' AND TG_OP = 'DELETE' AND (
            v_was ->> 'removed_at' IS NOT NULL OR (v_was ->> 'ends_at')::timestamptz < turnero_now()) THEN RETURN NULL;
        ELSE NULL;
    END CASE;
    FOR v_subject IN
        SELECT COALESCE((SELECT r.venue_id FROM resource r WHERE TG_TABLE_NAME = 'resource_unit' AND r.id = s.id), s.id)
        FROM unnest(ARRAY[(v_was ->> TG_ARGV[0])::uuid, (v_is ->> TG_ARGV[0])::uuid]) s (id)
        WHERE s.id IS NOT NULL OR TG_ARGV[0] = ''
    LOOP
        IF v_subject IS NULL OR NOT EXISTS (
            SELECT FROM outbox_event e WHERE e.subject_id = v_subject AND e.transaction_id = pg_current_xact_id())
        THEN
            RAISE EXCEPTION '% of % changes what searches read, and no event tells it of %', TG_OP, TG_TABLE_NAME,
                COALESCE(v_subject::text, 'anybody')
            USING DETAIL = format('%s -> %s', v_was, v_is);
        END IF;
    END LOOP;
    RETURN NULL;
END $guard$;

DO $install$
DECLARE
    v_read record;
BEGIN
    FOR v_read IN
        SELECT f."table", string_agg(f."column", ',') AS columns, bool_or(s.name IS NOT NULL) AS is_known,
               max(s.subject) AS subject
        FROM ({COLUMNS}) f LEFT JOIN (VALUES {_NAMED}) s (name, subject) ON s.name = f."table"
        WHERE f."table" <> 'price_rule'
        GROUP BY f."table"
    LOOP
        IF NOT v_read.is_known THEN
            RAISE EXCEPTION 'searches read %; tests/facts_guard.py does not say whose rows they are', v_read."table";
        END IF;
        EXECUTE format(
            'CREATE CONSTRAINT TRIGGER facts_guard AFTER INSERT OR UPDATE OR DELETE ON %I DEFERRABLE INITIALLY DEFERRED'
            ' FOR EACH ROW EXECUTE FUNCTION facts_guard(%L, %L)',
            v_read."table", COALESCE(v_read.subject, ''), v_read.columns);
    END LOOP;
END $install$;
"""
"""For the owner of a migrated database."""
