-- Roles belong to the whole server: another database of it may have made them already.
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['turnero_app', 'turnero_system'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', r);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        IF NOT pg_has_role(current_user, r, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', r);
        END IF;
    END LOOP;
END $$;
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE FUNCTION turnero_now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN clock_timestamp() + COALESCE(NULLIF(current_setting('app.clock_offset', true), '')::interval, interval '0');
COMMENT ON FUNCTION turnero_now() IS
    'The clock, not the start of the transaction: now() predates a lock wait. Tests and the demo shift it.';
