"""A guard in every database of the tests: no booking changes without an audit entry that says exactly what changed.

So each test of a writer is a test of its history, too, and a column that comes later is guarded from its first day.
What a booking was at an instant is read from those entries backwards (`app.domain.booking_history`), which needs all of
them, each with the version that it made.
"""

from __future__ import annotations

_ITEM = "ARRAY['position', 'provider_id', 'starts_at', 'ends_at']"

INSTALL = f"""
CREATE FUNCTION audit_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $guard$
DECLARE
    v_column text;
    v_entry audit_entry;
BEGIN
    -- The owner of the tables prepares tests.
    IF current_setting('role') NOT IN ('turnero_app', 'turnero_system') THEN
        RETURN NULL;
    END IF;
    SELECT a.* INTO v_entry FROM audit_entry a
    WHERE a.subject_id = NEW.id AND a.after ->> 'version' = NEW.version::text
      AND CASE WHEN TG_OP = 'INSERT' THEN a.action = 'booking.created' AND a.before IS NULL
               ELSE a.before ->> 'version' = OLD.version::text END;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version % of booking % has no audit entry', NEW.version, NEW.id;
    END IF;
    IF TG_OP = 'INSERT' THEN
        RETURN NULL;
    END IF;
    FOR v_column IN
        SELECT n.key FROM jsonb_each(to_jsonb(NEW)) n JOIN jsonb_each(to_jsonb(OLD)) o ON o.key = n.key
        WHERE n.value <> o.value AND n.key <> 'updated_at'
    LOOP
        IF NOT (v_entry.before ? v_column AND v_entry.after ? v_column)
           OR to_jsonb(jsonb_populate_record(NULL::booking, v_entry.before)) -> v_column <> to_jsonb(OLD) -> v_column
           OR to_jsonb(jsonb_populate_record(NULL::booking, v_entry.after)) -> v_column <> to_jsonb(NEW) -> v_column
        THEN
            RAISE EXCEPTION 'the audit of version % of booking % does not say what became of %',
                NEW.version, NEW.id, v_column
            USING DETAIL = format('%s: %s -> %s', v_entry.action, v_entry.before, v_entry.after);
        END IF;
    END LOOP;
    RETURN NULL;
END $guard$;

CREATE FUNCTION audit_item_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $guard$
BEGIN
    IF current_setting('role') NOT IN ('turnero_app', 'turnero_system') THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (
        SELECT FROM audit_entry a,
             jsonb_populate_recordset(NULL::booking_item, a.before -> 'items') o,
             jsonb_populate_recordset(NULL::booking_item, a.after -> 'items') n
        WHERE a.subject_id = NEW.booking_id AND o.position = OLD.position AND n.position = NEW.position
          AND (o.provider_id, o.starts_at, o.ends_at) = (OLD.provider_id, OLD.starts_at, OLD.ends_at)
          AND (n.provider_id, n.starts_at, n.ends_at) = (NEW.provider_id, NEW.starts_at, NEW.ends_at))
        OR to_jsonb(OLD) - {_ITEM} <> to_jsonb(NEW) - {_ITEM}
    THEN
        RAISE EXCEPTION 'no audit entry says what became of item % of booking %', NEW.position, NEW.booking_id;
    END IF;
    RETURN NULL;
END $guard$;

CREATE CONSTRAINT TRIGGER audit_guard AFTER INSERT OR UPDATE ON booking DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION audit_guard();
CREATE CONSTRAINT TRIGGER audit_item_guard AFTER UPDATE ON booking_item DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION audit_item_guard();
"""
"""For the owner of a migrated database."""
