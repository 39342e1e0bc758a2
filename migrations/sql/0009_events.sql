-- Who is told of what happens.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

-- Beside those who follow the subject: persons by their account, calendars by their provider. None: of nobody in
-- particular, or from before this was noted.
ALTER TABLE outbox_event ADD COLUMN audience UUID[];

-- The same by who is told, in the order of the log. Written by the relay when it gives the numbers, so that no booking waits
-- for this index; emptied when events are purged.
CREATE TABLE event_audience (
    key UUID NOT NULL,
    position BIGINT NOT NULL,
    CONSTRAINT event_audience_pkey PRIMARY KEY (key, position)
);
ALTER TABLE event_audience ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_audience FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON event_audience TO turnero_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON event_audience TO turnero_system;

-- Whom a change of a booking concerns: its customer's account, whoever gives any part of it, and who leads its session.
-- `p_former`: providers and sessions that had it until now.
CREATE FUNCTION booking_audience(p_booking uuid, p_former uuid[]) RETURNS uuid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_keys uuid[];
    v_session uuid;
    v_had uuid[];
BEGIN
    SELECT b.session_id, array_remove(ARRAY[c.user_id, b.provider_id] || ARRAY(
        SELECT DISTINCT i.provider_id FROM booking_item i WHERE i.booking_id = b.id AND i.provider_id <> b.provider_id), NULL)
    INTO v_session, v_keys
    FROM booking b JOIN customer c ON c.id = b.customer_id WHERE b.id = p_booking;
    v_had := array_remove(COALESCE(p_former, '{}') || v_session, NULL);
    IF cardinality(v_had) > 0 THEN
        -- Also of a session that takes nobody's time any more.
        v_keys := v_keys || ARRAY(
            SELECT p.id FROM provider p
            WHERE p.id = ANY (v_had || ARRAY(SELECT a.subject_id FROM allocation a WHERE a.session_id = ANY (v_had)))
              AND p.id <> ALL (v_keys)
            ORDER BY p.id);
    END IF;
    RETURN v_keys;
END $$;

-- The people whom an event concerns, where its writer did not say. (What is told of payments, refunds and fees is told of
-- their booking.)
CREATE FUNCTION event_audience_of(p_type text, p_subject uuid, p_former uuid[]) RETURNS uuid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    CASE split_part(p_type, '.', 1)
        WHEN 'booking', 'payment', 'refund', 'fee' THEN
            RETURN booking_audience(p_subject, p_former);
        WHEN 'series' THEN
            RETURN (SELECT ARRAY[c.user_id] FROM booking_series s JOIN customer c ON c.id = s.customer_id
                    WHERE s.id = p_subject AND c.user_id IS NOT NULL);
        ELSE
            RETURN NULL;
    END CASE;
END $$;

CREATE OR REPLACE FUNCTION journal(p_organization uuid, p_actor jsonb, p_transitions jsonb, p_audit jsonb, p_events jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO booking_transition (organization_id, booking_id, from_status, to_status, reason, actor, actor_id, channel)
    SELECT p_organization, t.booking_id, t.from_status, t.to_status, t.reason,
           p_actor ->> 'actor', (p_actor ->> 'actor_id')::uuid, p_actor ->> 'channel'
    FROM jsonb_to_recordset(p_transitions) AS t (booking_id uuid, from_status text, to_status text, reason text);
    INSERT INTO audit_entry (organization_id, action, subject_id, before, after, reason, actor, actor_id, channel,
                             address, user_agent, request_id)
    SELECT p_organization, a.action, a.subject_id, a.before, a.after, a.reason,
           p_actor ->> 'actor', (p_actor ->> 'actor_id')::uuid, p_actor ->> 'channel',
           p_actor ->> 'address', p_actor ->> 'user_agent', p_actor ->> 'request_id'
    FROM jsonb_to_recordset(p_audit) AS a (action text, subject_id uuid, before jsonb, after jsonb, reason text);
    INSERT INTO outbox_event (organization_id, type, subject_id, payload, audience)
    SELECT p_organization, e.type, e.subject_id, e.payload,
           COALESCE(e.audience, event_audience_of(e.type, e.subject_id, e.former))
    FROM jsonb_to_recordset(p_events) AS e (type text, subject_id uuid, payload jsonb, audience uuid[], former uuid[]);
END $$;

CREATE OR REPLACE FUNCTION tell_waitlist(p_entry waitlist_entry, p_type text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO outbox_event (organization_id, type, subject_id, payload, audience)
    SELECT p_entry.organization_id, t.type, t.subject, jsonb_build_object(
        'entryId', p_entry.id, 'version', p_entry.version, 'status', p_entry.status, 'reason', p_entry.ended_reason),
        CASE WHEN t.n = 1 AND p_entry.user_id IS NOT NULL THEN ARRAY[p_entry.user_id] END
    FROM (VALUES (1, p_type, p_entry.id),
                 (2, 'waitlist.moved', waitlist_line(COALESCE(p_entry.activity_id, p_entry.service_id)))
    ) AS t (n, type, subject) ORDER BY t.n
$$;

-- ── what a person missed ─────────────────────────────────────────────────────────────────────────────

-- Their account and the providers that they act as, in all organizations: of the bound person alone, whoever asks.
CREATE FUNCTION keys_of_person() RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT app_user_id() || ARRAY(SELECT p.id FROM provider p WHERE p.user_id = app_user_id() AND p.is_active ORDER BY p.id)
$$;

-- Events that these are told, after a position, in order, at most so many: some of the bound person's own keys, or
-- calendars of the bound organization. Each key's are a range of one index.
CREATE FUNCTION events_told(p_keys uuid[], p_after bigint, p_limit integer)
RETURNS TABLE (
    "position" bigint, id bigint, organization_id uuid, type text, subject_id uuid, payload jsonb,
    occurred_at timestamptz, audience uuid[]
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT e.position, e.id, e.organization_id, e.type, e.subject_id, e.payload, e.occurred_at, e.audience
    FROM (
        SELECT DISTINCT a.position FROM unnest(p_keys) AS k (key)
        CROSS JOIN LATERAL (
            SELECT t.position FROM event_audience t WHERE t.key = k.key AND t.position > p_after
            ORDER BY t.position LIMIT p_limit) AS a
        ORDER BY a.position LIMIT p_limit
    ) AS told
    JOIN outbox_event e ON e.position = told.position
    WHERE e.organization_id = (SELECT app_organization_id()) OR (SELECT p_keys <@ keys_of_person())
    ORDER BY e.position
$$;

REVOKE EXECUTE ON FUNCTION keys_of_person(), events_told(uuid[], bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keys_of_person(), events_told(uuid[], bigint, integer) TO turnero_app, turnero_system;
GRANT CREATE ON SCHEMA public TO turnero_system;
ALTER FUNCTION keys_of_person() OWNER TO turnero_system;
ALTER FUNCTION events_told(uuid[], bigint, integer) OWNER TO turnero_system;
REVOKE CREATE ON SCHEMA public FROM turnero_system;
