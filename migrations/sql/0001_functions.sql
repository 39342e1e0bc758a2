-- Functions of the spine: the clock, the tenant's door, claims of time and the journal.

CREATE FUNCTION app_organization_id() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN NULLIF(current_setting('app.organization_id', true), '')::uuid;

CREATE FUNCTION app_user_id() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN NULLIF(current_setting('app.user_id', true), '')::uuid;

-- The one statement that begins each request's work: which organization does this id belong to, bind the
-- transaction to it, and say what the viewer is there. No row: there is no such thing.
CREATE FUNCTION enter_organization(p_kind text, p_id uuid, p_key text, p_user uuid, p_clock_offset interval)
RETURNS TABLE (organization_id uuid, role text, provider_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_organization uuid;
BEGIN
    CASE p_kind
        WHEN 'organization' THEN SELECT o.id INTO v_organization FROM organization o WHERE o.id = p_id;
        WHEN 'slug' THEN SELECT o.id INTO v_organization FROM organization o WHERE o.slug = p_key;
        WHEN 'embed_key' THEN SELECT v.organization_id INTO v_organization FROM venue v WHERE v.embed_key = p_key;
        WHEN 'venue' THEN SELECT v.organization_id INTO v_organization FROM venue v WHERE v.id = p_id;
        WHEN 'provider' THEN SELECT p.organization_id INTO v_organization FROM provider p WHERE p.id = p_id;
        WHEN 'service' THEN SELECT s.organization_id INTO v_organization FROM service s WHERE s.id = p_id;
        WHEN 'hold' THEN SELECT h.organization_id INTO v_organization FROM hold h WHERE h.id = p_id;
        WHEN 'booking' THEN SELECT b.organization_id INTO v_organization FROM booking b WHERE b.id = p_id;
        WHEN 'customer' THEN SELECT c.organization_id INTO v_organization FROM customer c WHERE c.id = p_id;
        WHEN 'schedule' THEN SELECT s.organization_id INTO v_organization FROM schedule_version s WHERE s.id = p_id;
        WHEN 'membership' THEN SELECT m.organization_id INTO v_organization FROM membership m WHERE m.id = p_id;
        ELSE RAISE EXCEPTION 'enter_organization knows no kind %', p_kind;
    END CASE;
    IF v_organization IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('app.organization_id', v_organization::text, true),
            set_config('app.user_id', COALESCE(p_user::text, ''), true),
            set_config('app.clock_offset', COALESCE(p_clock_offset::text, ''), true);
    RETURN QUERY SELECT
        v_organization,
        (SELECT m.role FROM membership m WHERE m.organization_id = v_organization AND m.user_id = p_user),
        (SELECT p.id FROM provider p WHERE p.organization_id = v_organization AND p.user_id = p_user AND p.is_active);
END $$;

-- Sign-in must find an account before anyone is signed in.
CREATE FUNCTION find_login(p_email text)
RETURNS TABLE (id uuid, email text, password_hash text, name text, locale text, time_zone text, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT u.id, u.email, u.password_hash, u.name, u.locale, u.time_zone, u.created_at
    FROM user_account u WHERE lower(u.email) = lower(p_email)
$$;

-- Frees what overlaps and has lapsed, so that nothing depends on the sweeper. Rows that another transaction has
-- locked (its holder is confirming this very moment) are passed over: the claim then meets them as taken.
-- Returns the unpaid bookings that lost their slot; the caller expires them in the same transaction.
CREATE FUNCTION release_lapsed(p_subject uuid, p_busy tstzrange) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_bookings uuid[];
BEGIN
    WITH lapsed AS (
        SELECT a.id FROM allocation a
        WHERE a.subject_id = p_subject AND a.busy && p_busy AND a.status = 'held' AND a.expires_at <= turnero_now()
        ORDER BY a.id
        FOR NO KEY UPDATE SKIP LOCKED
    ), freed AS (
        UPDATE allocation a SET status = 'released', released_at = turnero_now()
        FROM lapsed WHERE a.id = lapsed.id
        RETURNING a.*
    ), holds AS (
        UPDATE hold h SET status = 'expired' FROM freed WHERE h.id = freed.hold_id AND h.status = 'active'
    ), told AS (
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        SELECT freed.organization_id, 'allocation.released', freed.subject_id,
               allocation_payload(freed.id, freed.starts_at, freed.ends_at, freed.busy, freed.expires_at, 'RELEASED')
        FROM freed
    )
    SELECT array_agg(freed.booking_id) FILTER (WHERE freed.booking_id IS NOT NULL) INTO v_bookings FROM freed;
    RETURN COALESCE(v_bookings, '{}');
END $$;

CREATE FUNCTION allocation_payload(
    p_id uuid, p_starts timestamptz, p_ends timestamptz, p_busy tstzrange, p_expires timestamptz, p_cause text
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
RETURN jsonb_build_object(
    'allocationId', p_id, 'startsAt', p_starts, 'endsAt', p_ends,
    'busyFrom', lower(p_busy), 'busyTo', upper(p_busy), 'expiresAt', p_expires, 'cause', p_cause);

-- Claims one subject's time. ON CONFLICT rather than an error: a bare insert under contention dies in deadlocks.
CREATE FUNCTION claim_time(
    p_allocation uuid, p_organization uuid, p_subject uuid, p_busy tstzrange, p_starts timestamptz, p_ends timestamptz,
    p_status text, p_hold uuid, p_booking uuid, p_expires timestamptz, p_cause text,
    OUT claimed boolean, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    lapsed_bookings := release_lapsed(p_subject, p_busy);
    INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, hold_id, booking_id, expires_at)
    VALUES (p_allocation, p_organization, p_subject, p_busy, p_starts, p_ends, p_status, p_hold, p_booking, p_expires)
    ON CONFLICT DO NOTHING;
    claimed := FOUND;
    IF claimed THEN
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        VALUES (p_organization, 'allocation.claimed', p_subject,
                allocation_payload(p_allocation, p_starts, p_ends, p_busy, p_expires, p_cause));
    END IF;
END $$;

-- Holds a slot for one holder, within the limits of that person and address (0: no limit).
-- outcome: held · taken · user_limit · address_limit. The advisory locks make the counts exact; they are taken before
-- anything else, user first, so that two holders never wait for each other in a circle.
CREATE FUNCTION hold_slot(
    p_hold uuid, p_allocation uuid, p_organization uuid, p_service uuid, p_provider uuid,
    p_starts timestamptz, p_ends timestamptz, p_buffer_before integer, p_buffer_after integer, p_ttl interval,
    p_party_size integer, p_price bigint, p_currency text,
    p_user uuid, p_address text, p_user_limit integer, p_address_limit integer,
    OUT outcome text, OUT expires_at timestamptz, OUT retry_after timestamptz, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_count bigint;
    v_claimed boolean;
    v_expires timestamptz;
BEGIN
    lapsed_bookings := '{}';
    IF p_user IS NOT NULL AND p_user_limit > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('hold:user:' || p_user, 0));
        SELECT count(*), min(h.expires_at) INTO v_count, retry_after FROM hold h
        WHERE h.user_id = p_user AND h.status = 'active' AND h.expires_at > turnero_now();
        IF v_count >= p_user_limit THEN
            outcome := 'user_limit';
            RETURN;
        END IF;
    END IF;
    IF p_address IS NOT NULL AND p_address_limit > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('hold:address:' || p_address, 0));
        SELECT count(*), min(h.expires_at) INTO v_count, retry_after FROM hold h
        WHERE h.address = p_address AND h.status = 'active' AND h.expires_at > turnero_now();
        IF v_count >= p_address_limit THEN
            outcome := 'address_limit';
            RETURN;
        END IF;
    END IF;
    v_expires := turnero_now() + p_ttl;
    SELECT c.claimed, c.lapsed_bookings INTO v_claimed, lapsed_bookings FROM claim_time(
        p_allocation, p_organization, p_provider,
        tstzrange(p_starts - make_interval(mins => p_buffer_before), p_ends + make_interval(mins => p_buffer_after), '[)'),
        p_starts, p_ends, 'held', p_hold, NULL, v_expires, 'HELD') c;
    IF NOT v_claimed THEN
        outcome := 'taken';
        RETURN;
    END IF;
    INSERT INTO hold (id, organization_id, status, service_id, provider_id, starts_at, ends_at, buffer_before_minutes,
                      buffer_after_minutes, expires_at, party_size, price_minor, currency, user_id, address)
    VALUES (p_hold, p_organization, 'active', p_service, p_provider, p_starts, p_ends, p_buffer_before,
            p_buffer_after, v_expires, p_party_size, p_price, p_currency, p_user, p_address);
    outcome := 'held';
    expires_at := v_expires;
END $$;

-- Frees every live row of a booking and tells why. Returns how many there were.
CREATE FUNCTION release_booking_time(p_booking uuid, p_cause text) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    WITH own AS (
        SELECT a.id FROM allocation a
        WHERE a.booking_id = p_booking AND a.status IN ('held', 'booked')
        ORDER BY a.id FOR NO KEY UPDATE
    ), freed AS (
        UPDATE allocation a SET status = 'released', released_at = turnero_now()
        FROM own WHERE a.id = own.id
        RETURNING a.*
    ), told AS (
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        SELECT freed.organization_id, 'allocation.released', freed.subject_id,
               allocation_payload(freed.id, freed.starts_at, freed.ends_at, freed.busy, freed.expires_at, p_cause)
        FROM freed
    )
    SELECT count(*) INTO v_count FROM freed;
    RETURN v_count;
END $$;

-- One journal for each change: its transitions, its audit entry and its events, in one round trip.
CREATE FUNCTION journal(p_organization uuid, p_actor jsonb, p_transitions jsonb, p_audit jsonb, p_events jsonb)
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
    INSERT INTO outbox_event (organization_id, type, subject_id, payload)
    SELECT p_organization, e.type, e.subject_id, e.payload
    FROM jsonb_to_recordset(p_events) AS e (type text, subject_id uuid, payload jsonb);
END $$;

CREATE FUNCTION bump_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    NEW.updated_at := turnero_now();
    RETURN NEW;
END $$;
CREATE TRIGGER booking_version BEFORE UPDATE ON booking FOR EACH ROW EXECUTE FUNCTION bump_version();

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER booking_transition_append_only BEFORE UPDATE OR DELETE ON booking_transition
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER booking_transition_never_emptied BEFORE TRUNCATE ON booking_transition
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entry_never_emptied BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE SEQUENCE booking_number_seq;

-- TRN-2026-001234: a sequence never goes back and locks no row, so numbers rise and may have gaps.
CREATE FUNCTION next_booking_number() RETURNS text
LANGUAGE sql VOLATILE AS $$
    SELECT 'TRN-' || to_char(turnero_now() AT TIME ZONE 'UTC', 'YYYY') || '-'
           || lpad(n::text, greatest(6, length(n::text)), '0')
    FROM nextval('booking_number_seq') AS n
$$;

-- Moves a booking's time: its own rows are given back and the new one is claimed in one call. A bare UPDATE of the
-- range would deadlock like a bare INSERT. Not claimed: the caller rolls back, and the old rows stand.
CREATE FUNCTION move_booking_time(
    p_allocation uuid, p_organization uuid, p_booking uuid, p_subject uuid, p_busy tstzrange,
    p_starts timestamptz, p_ends timestamptz, OUT claimed boolean, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM release_booking_time(p_booking, 'RESCHEDULED');
    SELECT c.claimed, c.lapsed_bookings INTO claimed, lapsed_bookings FROM claim_time(
        p_allocation, p_organization, p_subject, p_busy, p_starts, p_ends, 'booked', NULL, p_booking, NULL,
        'RESCHEDULED') c;
END $$;

INSERT INTO relay_state DEFAULT VALUES;
