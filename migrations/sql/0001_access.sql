-- Who may touch what. Requests act as turnero_app, which owns nothing and sees one organization at a time.

DO $$
DECLARE
    t text;
BEGIN
    FOR t IN
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'alembic_version'
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY system ON %I TO turnero_system USING (true) WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO turnero_system', t);
    END LOOP;
    -- The sub-select makes the setting be read once for each statement, not for each row.
    FOREACH t IN ARRAY ARRAY[
        'venue', 'provider', 'service', 'offer', 'customer', 'schedule_version', 'allocation', 'hold', 'booking',
        'booking_item', 'booking_transition', 'audit_entry', 'outbox_event'
    ] LOOP
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO turnero_app USING (organization_id = (SELECT app_organization_id()))', t);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO turnero_app', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['venue', 'provider', 'service', 'offer', 'customer', 'schedule_version', 'allocation',
                             'hold', 'booking', 'booking_item', 'organization', 'membership', 'user_account']
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO turnero_app', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['idempotency_key', 'outbox_event', 'job', 'recurring_run', 'worker_heartbeat'] LOOP
        EXECUTE format('GRANT DELETE ON %I TO turnero_system', t);
    END LOOP;
END $$;

-- What a person is a member of can be read, not changed, from outside: DELETE never looks at WITH CHECK.
CREATE POLICY tenant ON organization TO turnero_app USING (id = (SELECT app_organization_id()));
CREATE POLICY member ON organization FOR SELECT TO turnero_app
    USING (id IN (SELECT m.organization_id FROM membership m WHERE m.user_id = (SELECT app_user_id())));
CREATE POLICY tenant ON membership TO turnero_app USING (organization_id = (SELECT app_organization_id()));
CREATE POLICY own ON membership FOR SELECT TO turnero_app USING (user_id = (SELECT app_user_id()));
GRANT DELETE ON membership TO turnero_app;
CREATE POLICY own ON user_account TO turnero_app
    USING (id = (SELECT app_user_id()));
CREATE POLICY tenant ON idempotency_key TO turnero_app
    USING (organization_id = COALESCE((SELECT app_organization_id()), '00000000-0000-0000-0000-000000000000'));
GRANT SELECT, INSERT, UPDATE ON idempotency_key TO turnero_app;
-- A request may ask for work; only the worker sees it.
CREATE POLICY enqueue ON job FOR INSERT TO turnero_app
    WITH CHECK (organization_id = (SELECT app_organization_id()));
GRANT INSERT ON job TO turnero_app;
CREATE POLICY watch ON worker_heartbeat FOR SELECT TO turnero_app USING (true);
GRANT SELECT ON worker_heartbeat TO turnero_app;

GRANT USAGE ON SCHEMA public TO turnero_app, turnero_system;
GRANT USAGE ON SEQUENCE booking_number_seq TO turnero_app, turnero_system;
GRANT SELECT ON alembic_version TO turnero_app, turnero_system;

REVOKE EXECUTE ON FUNCTION enter_organization(text, uuid, text, uuid, interval), find_login(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enter_organization(text, uuid, text, uuid, interval), find_login(text)
    TO turnero_app, turnero_system;
-- They look across organizations, so they act as the role that may.
GRANT CREATE ON SCHEMA public TO turnero_system;
ALTER FUNCTION enter_organization(text, uuid, text, uuid, interval) OWNER TO turnero_system;
ALTER FUNCTION find_login(text) OWNER TO turnero_system;
REVOKE CREATE ON SCHEMA public FROM turnero_system;
-- Where the event log stands is no secret: it is part of every cursor.
CREATE POLICY watch ON relay_state FOR SELECT TO turnero_app USING (true);
GRANT SELECT ON relay_state TO turnero_app;
