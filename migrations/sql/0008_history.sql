-- History: how a booking came to be what it is, the terms it was made under, and what the clock does by itself.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

-- A function through which the application enters an organization: it looks past row-level security, and is for the
-- application's roles alone.
CREATE FUNCTION make_door(p_function regprocedure) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', p_function);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO turnero_app, turnero_system', p_function);
    GRANT CREATE ON SCHEMA public TO turnero_system;
    EXECUTE format('ALTER FUNCTION %s OWNER TO turnero_system', p_function);
    REVOKE CREATE ON SCHEMA public FROM turnero_system;
END $$;
REVOKE EXECUTE ON FUNCTION make_door(regprocedure) FROM PUBLIC;

-- `approval_hours`: how long a provider has to answer. `auto_…_after_minutes`: what the clock does by itself, none: nothing;
-- `auto_…_since`: of bookings that start from then on, so that switching it on judges nobody's past.
ALTER TABLE organization
    ADD COLUMN approval_hours INTEGER DEFAULT '24' NOT NULL,
    ADD COLUMN auto_complete_after_minutes INTEGER,
    ADD COLUMN auto_complete_since TIMESTAMP WITH TIME ZONE,
    ADD COLUMN auto_no_show_after_minutes INTEGER,
    ADD COLUMN auto_no_show_since TIMESTAMP WITH TIME ZONE,
    ADD CONSTRAINT organization_approval_check CHECK (approval_hours BETWEEN 1 AND 720),
    ADD CONSTRAINT organization_automatic_check CHECK (
        auto_complete_after_minutes BETWEEN 0 AND 10080 AND auto_no_show_after_minutes BETWEEN 1 AND 1440
        AND (auto_complete_after_minutes IS NULL) = (auto_complete_since IS NULL)
        AND (auto_no_show_after_minutes IS NULL) = (auto_no_show_since IS NULL)
    );

-- How often a customer may move a booking (none: without limit) and until when (none: as for cancelling it).
ALTER TABLE service
    ADD COLUMN maximum_reschedules INTEGER,
    ADD COLUMN reschedule_notice_minutes INTEGER,
    ADD CONSTRAINT service_reschedule_check CHECK (maximum_reschedules BETWEEN 0 AND 1000 AND reschedule_notice_minutes >= 0);
ALTER TABLE activity
    ADD COLUMN maximum_reschedules INTEGER,
    ADD COLUMN reschedule_notice_minutes INTEGER,
    ADD CONSTRAINT activity_reschedule_check CHECK (maximum_reschedules BETWEEN 0 AND 1000 AND reschedule_notice_minutes >= 0);

-- Frozen when it is made. `reschedules`: how often its customer moved it. `terms`: the texts that were in force.
ALTER TABLE booking
    ADD COLUMN reschedules INTEGER DEFAULT '0' NOT NULL,
    ADD COLUMN maximum_reschedules INTEGER,
    ADD COLUMN reschedule_notice_minutes INTEGER,
    ADD COLUMN approval_hours INTEGER,
    ADD COLUMN terms JSONB;

-- So few may come with one booking.
ALTER TABLE service
    ADD COLUMN min_group_size INTEGER DEFAULT '1' NOT NULL,
    ADD CONSTRAINT service_min_group_size_check CHECK (min_group_size >= 1);
ALTER TABLE activity
    ADD COLUMN minimum_party_size INTEGER DEFAULT '1' NOT NULL,
    ADD CONSTRAINT activity_minimum_party_size_check CHECK (minimum_party_size >= 1);

-- What is frozen of texts, of how few may come, and of the limits of moving: of a visit the strictest of its services. `p_items`: as
-- booking_item, in their order; none of a session's places.
CREATE FUNCTION frozen_terms(
    p_items jsonb, p_session uuid, OUT terms jsonb, OUT maximum_reschedules integer, OUT reschedule_notice_minutes integer
)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
               'minimumPartySize', max(s.min_group_size), 'items', jsonb_agg(jsonb_build_object(
                   'name', s.name, 'description', s.description, 'providerName', p.name,
                   'venueName', v.name, 'venueAddress', v.address) ORDER BY i.position)),
           min(s.maximum_reschedules),
           CASE WHEN bool_or(s.reschedule_notice_minutes IS NOT NULL)
                THEN max(COALESCE(s.reschedule_notice_minutes, s.cancellation_notice_minutes)) END
    FROM jsonb_to_recordset(p_items) AS i (position integer, service_id uuid, provider_id uuid)
    JOIN service s ON s.id = i.service_id
    JOIN provider p ON p.id = i.provider_id
    JOIN venue v ON v.id = p.venue_id
    WHERE p_session IS NULL
    HAVING count(*) > 0
    UNION ALL
    SELECT jsonb_build_object(
               'minimumPartySize', a.minimum_party_size, 'items', jsonb_build_array(jsonb_build_object(
                   'name', a.name, 'description', a.description, 'providerName', NULL,
                   'venueName', v.name, 'venueAddress', v.address))),
           a.maximum_reschedules, a.reschedule_notice_minutes
    FROM activity_session n JOIN activity a ON a.id = n.activity_id JOIN venue v ON v.id = a.venue_id
    WHERE n.id = p_session
$$;

-- The history is never rewritten: not by the application's roles, which may not even try, and not by the owner of the
-- tables. The triggers of 0001 looked at rows; these refuse a statement that finds none, too, and stay in force where
-- triggers are switched off for a session (`session_replication_role`).
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['booking_transition', 'audit_entry'] LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %I FROM turnero_app, turnero_system, PUBLIC', t);
        EXECUTE format('DROP TRIGGER %I ON %I', t || '_append_only', t);
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()',
            t || '_append_only', t);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', t, t || '_append_only');
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', t, t || '_never_emptied');
    END LOOP;
END $$;

-- Who acted on a booking, by name, for those who work there: accounts are no organization's rows.
CREATE FUNCTION actor_names(p_booking uuid) RETURNS TABLE (user_id uuid, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT DISTINCT u.id, u.name FROM audit_entry a JOIN user_account u ON u.id = a.actor_id
    WHERE a.subject_id = p_booking AND a.organization_id = app_organization_id()
$$;
REVOKE EXECUTE ON FUNCTION actor_names(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION actor_names(uuid) TO turnero_app, turnero_system;
GRANT CREATE ON SCHEMA public TO turnero_system;
ALTER FUNCTION actor_names(uuid) OWNER TO turnero_system;
REVOKE CREATE ON SCHEMA public FROM turnero_system;
