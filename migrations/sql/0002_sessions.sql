-- Places of a session, as a counter that can be neither oversold nor lost, and sessions that take people's and rooms' time.
--
-- Locks are taken in one order: booking, session (several: by id), place claim. Whoever changes `taken` has the session's
-- row; who confirms or extends a hold has only its claim, and changes no number. Whoever takes people's time for a session
-- has its activity's row before all that.

ALTER TABLE activity
    ADD COLUMN sessions_generated_on DATE,
    ADD COLUMN sessions_reached TIMESTAMP WITH TIME ZONE,
    ADD COLUMN sessions_follow BOOLEAN DEFAULT 'true' NOT NULL;
ALTER TABLE activity_session ADD COLUMN version INTEGER DEFAULT '1' NOT NULL;
CREATE INDEX activity_session_dropped_idx ON activity_session (id) WHERE status = 'cancelled' AND cancelled_reason IS NULL;
CREATE INDEX place_claim_of_session_idx ON place_claim (session_id);
-- Those that the hours dropped before anybody had places of them are no history; the purge deletes them.
GRANT DELETE ON activity_session TO turnero_system;

-- ── what is told ─────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION places_left(p_capacity integer, p_taken integer, p_lapsed integer, p_status text, p_is_legacy boolean)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_status = 'open' AND NOT p_is_legacy THEN greatest(0, p_capacity - p_taken + p_lapsed) ELSE 0 END;

-- Places of holds that ran out and that nobody has freed yet.
CREATE FUNCTION lapsed_places(p_session uuid) RETURNS integer
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT COALESCE(sum(c.places), 0)::integer FROM place_claim c
    WHERE c.session_id = p_session AND c.status = 'held' AND c.expires_at <= (SELECT turnero_now())
$$;

-- What is told of a session as it is now. With a claim: whose places changed, and until when they are held (null: no more).
CREATE FUNCTION session_payload(
    p_session activity_session, p_cause text, p_claim uuid = NULL, p_places integer = NULL, p_held_until timestamptz = NULL
) RETURNS jsonb
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT jsonb_build_object(
        'activityId', p_session.activity_id, 'capacity', p_session.capacity, 'taken', p_session.taken,
        'status', p_session.status, 'isLegacy', p_session.is_legacy, 'claimId', p_claim, 'places', p_places,
        'heldUntil', p_held_until, 'cause', p_cause,
        'capacityRemaining', places_left(p_session.capacity, p_session.taken, lapsed_places(p_session.id),
                                         p_session.status, p_session.is_legacy))
$$;

-- The event of it, to be called after the change.
CREATE FUNCTION tell_session(
    p_session uuid, p_type text, p_cause text, p_claim uuid = NULL, p_places integer = NULL, p_held_until timestamptz = NULL
) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO outbox_event (organization_id, type, subject_id, payload)
    SELECT s.organization_id, p_type, s.id, session_payload(s, p_cause, p_claim, p_places, p_held_until)
    FROM activity_session s WHERE s.id = p_session
$$;

-- An event of one claim whose number of places stays the same: it is confirmed, or held for longer. Who does that has not
-- the session's row, so nothing is said of what only those who have it know.
CREATE FUNCTION tell_claim(p_claim place_claim, p_cause text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO outbox_event (organization_id, type, subject_id, payload)
    VALUES (p_claim.organization_id, 'session.claim', p_claim.session_id, jsonb_build_object(
        'claimId', p_claim.id, 'places', p_claim.places, 'heldUntil', p_claim.expires_at, 'cause', p_cause))
$$;

-- ── places ───────────────────────────────────────────────────────────────────────────────────────────

-- Gives one claim's places back, and tells why: the one place that does, but for a session that is called off. The caller
-- has the session's row and the claim's. `p_hold`: what becomes of its hold, where that is still active.
CREATE FUNCTION free_places(p_claim place_claim, p_cause text, p_hold text = NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE place_claim c SET status = 'released', released_at = turnero_now() WHERE c.id = p_claim.id;
    IF p_hold IS NOT NULL THEN
        UPDATE hold h SET status = p_hold WHERE h.id = p_claim.hold_id AND h.status = 'active';
    END IF;
    UPDATE activity_session s SET taken = s.taken - p_claim.places WHERE s.id = p_claim.session_id;
    PERFORM tell_session(p_claim.session_id, 'session.places', p_cause, p_claim.id, p_claim.places);
END $$;

-- Frees the places of holds that ran out. The caller has the session's row. Claims that another transaction has locked
-- (its holder is confirming this very moment) are passed over. Returns the unpaid bookings that lost their places.
CREATE FUNCTION release_lapsed_places(p_session uuid, p_with_bookings boolean = true, OUT freed integer, OUT bookings uuid[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
BEGIN
    freed := 0;
    bookings := '{}';
    FOR v_claim IN
        SELECT c.* FROM place_claim c
        WHERE c.session_id = p_session AND c.status = 'held' AND c.expires_at <= (SELECT turnero_now())
          AND (p_with_bookings OR c.booking_id IS NULL)
        ORDER BY c.id
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        PERFORM free_places(v_claim, 'RELEASED', 'expired');
        freed := freed + 1;
        IF v_claim.booking_id IS NOT NULL THEN
            bookings := bookings || v_claim.booking_id;
        END IF;
    END LOOP;
END $$;

-- Takes places, if there are so many. `p_is_correction`: of a booking that gets back what it had, whatever has become of
-- the session; never beyond its capacity.
CREATE FUNCTION claim_places(
    p_claim uuid, p_organization uuid, p_session uuid, p_places integer, p_status text, p_hold uuid, p_booking uuid,
    p_expires timestamptz, p_cause text, p_is_correction boolean, OUT claimed boolean, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM activity_session s WHERE s.id = p_session FOR NO KEY UPDATE;
    lapsed_bookings := (release_lapsed_places(p_session)).bookings;
    UPDATE activity_session s SET taken = s.taken + p_places
    WHERE s.id = p_session AND s.taken + p_places <= s.capacity
      AND (p_is_correction OR (s.status = 'open' AND NOT s.is_legacy));
    claimed := FOUND;
    IF claimed THEN
        INSERT INTO place_claim (id, organization_id, session_id, places, status, hold_id, booking_id, expires_at)
        VALUES (p_claim, p_organization, p_session, p_places, p_status, p_hold, p_booking, p_expires);
        PERFORM tell_session(p_session, 'session.places', p_cause, p_claim, p_places, p_expires);
    END IF;
END $$;

-- The limits of one person and of one address (0: no limit). The advisory locks make the counts exact; they are taken
-- before anything else, user first, so that two holders never wait for each other in a circle.
CREATE FUNCTION hold_limits(
    p_user uuid, p_address text, p_user_limit integer, p_address_limit integer,
    OUT outcome text, OUT retry_after timestamptz
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_count bigint;
BEGIN
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
    retry_after := NULL;
END $$;

-- Holds places of a session for one holder. outcome: held · taken · user_limit · address_limit.
CREATE FUNCTION hold_places(
    p_hold uuid, p_claim uuid, p_organization uuid, p_session uuid, p_places integer, p_ttl interval, p_price bigint,
    p_currency text, p_user uuid, p_address text, p_user_limit integer, p_address_limit integer,
    OUT outcome text, OUT expires_at timestamptz, OUT retry_after timestamptz, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_claimed boolean;
    v_expires timestamptz;
BEGIN
    lapsed_bookings := '{}';
    SELECT l.outcome, l.retry_after INTO outcome, retry_after
    FROM hold_limits(p_user, p_address, p_user_limit, p_address_limit) l;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    -- The session first: what waits for it must not let the hold's own time run.
    PERFORM 1 FROM activity_session s WHERE s.id = p_session FOR NO KEY UPDATE;
    v_expires := turnero_now() + p_ttl;
    SELECT c.claimed, c.lapsed_bookings INTO v_claimed, lapsed_bookings FROM claim_places(
        p_claim, p_organization, p_session, p_places, 'held', p_hold, NULL, v_expires, 'HELD', false) c;
    IF NOT v_claimed THEN
        outcome := 'taken';
        RETURN;
    END IF;
    INSERT INTO hold (id, organization_id, status, session_id, starts_at, ends_at, buffer_before_minutes,
                      buffer_after_minutes, expires_at, party_size, price_minor, currency, user_id, address)
    SELECT p_hold, p_organization, 'active', s.id, s.starts_at, s.ends_at, 0, 0, v_expires, p_places, p_price,
           p_currency, p_user, p_address
    FROM activity_session s WHERE s.id = p_session;
    outcome := 'held';
    expires_at := v_expires;
END $$;

-- A holder gives their places back. Returns what the claim was: held (and live: now it is released), or why there is
-- nothing to give back: booked (whether or not the booking is paid yet), released, expired.
CREATE FUNCTION release_held_places(p_hold uuid) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
BEGIN
    PERFORM 1 FROM activity_session s
    WHERE s.id = (SELECT h.session_id FROM hold h WHERE h.id = p_hold) FOR NO KEY UPDATE;
    SELECT c.* INTO v_claim FROM place_claim c WHERE c.hold_id = p_hold FOR NO KEY UPDATE;
    IF v_claim.booking_id IS NOT NULL THEN
        RETURN 'booked';
    ELSIF v_claim.status <> 'held' THEN
        RETURN v_claim.status;
    ELSIF v_claim.expires_at <= turnero_now() THEN
        RETURN 'expired';
    END IF;
    PERFORM free_places(v_claim, 'RELEASED', 'released');
    RETURN 'held';
END $$;

-- Once, by another term. The caller has the claim's row. Null: it was extended before.
CREATE FUNCTION extend_held_places(p_hold uuid, p_ttl interval) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_expires timestamptz;
    v_claim place_claim;
BEGIN
    UPDATE hold h SET expires_at = h.expires_at + p_ttl, extended_at = turnero_now()
    WHERE h.id = p_hold AND h.extended_at IS NULL
    RETURNING h.expires_at INTO v_expires;
    IF v_expires IS NOT NULL THEN
        UPDATE place_claim c SET expires_at = v_expires WHERE c.hold_id = p_hold AND c.status = 'held'
        RETURNING c.* INTO v_claim;
        PERFORM tell_claim(v_claim, 'HELD');
    END IF;
    RETURN v_expires;
END $$;

-- The held places become a booking's, in place, so that no gap opens. The caller has the claim's row.
CREATE FUNCTION confirm_held_places(p_hold uuid, p_booking uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
BEGIN
    UPDATE place_claim c SET status = 'booked', booking_id = p_booking, expires_at = NULL
    WHERE c.hold_id = p_hold AND c.status = 'held'
    RETURNING c.* INTO STRICT v_claim;
    PERFORM tell_claim(v_claim, 'BOOKED');
END $$;

CREATE FUNCTION release_booking_places(p_booking uuid, p_cause text) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
    v_count integer := 0;
BEGIN
    PERFORM 1 FROM activity_session s
    WHERE s.id IN (SELECT c.session_id FROM place_claim c
                   WHERE c.booking_id = p_booking AND c.status IN ('held', 'booked'))
    ORDER BY s.id FOR NO KEY UPDATE;
    FOR v_claim IN
        SELECT c.* FROM place_claim c WHERE c.booking_id = p_booking AND c.status IN ('held', 'booked')
        ORDER BY c.id FOR NO KEY UPDATE
    LOOP
        PERFORM free_places(v_claim, p_cause);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;

-- Frees all that a booking has, time and places, and tells why. Returns how many claims there were.
CREATE OR REPLACE FUNCTION release_booking_time(p_booking uuid, p_cause text) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    SELECT count(*) INTO v_count FROM free_time(ARRAY(
        SELECT a.id FROM allocation a
        WHERE a.booking_id = p_booking AND a.status IN ('held', 'booked')
        ORDER BY a.id FOR NO KEY UPDATE), p_cause);
    -- A booking has time or places, never both.
    RETURN CASE WHEN v_count > 0 THEN v_count ELSE release_booking_places(p_booking, p_cause) END;
END $$;

-- Moves a booking to another session: its places are given back and new ones taken in one call. Not claimed: the caller
-- rolls back, and the old ones stand.
CREATE FUNCTION move_booking_places(
    p_claim uuid, p_organization uuid, p_booking uuid, p_session uuid, p_places integer,
    OUT claimed boolean, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM activity_session s
    WHERE s.id = p_session OR s.id IN (SELECT c.session_id FROM place_claim c
                                       WHERE c.booking_id = p_booking AND c.status IN ('held', 'booked'))
    ORDER BY s.id FOR NO KEY UPDATE;
    PERFORM release_booking_places(p_booking, 'RESCHEDULED');
    SELECT c.claimed, c.lapsed_bookings INTO claimed, lapsed_bookings FROM claim_places(
        p_claim, p_organization, p_session, p_places, 'booked', NULL, p_booking, NULL, 'RESCHEDULED', false) c;
END $$;

-- Every hold of a session that is called off is given back. The caller has the session's row.
CREATE FUNCTION release_session_holds(p_session uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
    v_count integer := 0;
BEGIN
    FOR v_claim IN
        SELECT c.* FROM place_claim c
        WHERE c.session_id = p_session AND c.status = 'held' AND c.booking_id IS NULL
        ORDER BY c.id FOR NO KEY UPDATE
    LOOP
        PERFORM free_places(v_claim, 'RELEASED', 'released');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;

-- Gives the places of many bookings of a session back at once. The caller has the session's row and the bookings'. Told
-- as one change of the number; a claim that a stream may know as held (its booking is not paid yet) is told by itself.
CREATE FUNCTION release_session_bookings(p_session uuid, p_bookings uuid[], p_cause text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM place_claim c
    WHERE c.session_id = p_session AND c.booking_id = ANY (p_bookings) AND c.status IN ('held', 'booked')
    ORDER BY c.id FOR NO KEY UPDATE;
    WITH freed AS (
        UPDATE place_claim c SET status = 'released', released_at = turnero_now(), expires_at = NULL
        WHERE c.session_id = p_session AND c.booking_id = ANY (p_bookings) AND c.status IN ('held', 'booked')
        RETURNING c AS claim, old.status AS was
    ), told AS MATERIALIZED (
        SELECT tell_claim(f.claim, p_cause) FROM freed f WHERE f.was = 'held'
    )
    UPDATE activity_session s SET taken = s.taken - f.places
    FROM (SELECT sum((f.claim).places) AS places, (SELECT count(*) FROM told) FROM freed f) AS f
    WHERE s.id = p_session AND f.places > 0;
    IF FOUND THEN
        PERFORM tell_session(p_session, 'session.places', p_cause);
    END IF;
END $$;

-- The sweep: frees the places of at most so many holds that ran out, and more where one session has more. Sessions that
-- somebody else is at are left for the next sweep. Returns how many it were.
CREATE FUNCTION expire_held_places(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_session uuid;
    v_count integer := 0;
BEGIN
    FOR v_session IN
        SELECT s.id FROM activity_session s
        WHERE s.id IN (
            SELECT h.session_id FROM hold h JOIN place_claim c ON c.hold_id = h.id
            WHERE h.status = 'active' AND h.expires_at <= (SELECT turnero_now()) AND h.session_id IS NOT NULL
              AND c.status = 'held' AND c.booking_id IS NULL
            ORDER BY h.expires_at LIMIT p_limit)
        ORDER BY s.id
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        v_count := v_count + (release_lapsed_places(v_session, false)).freed;
    END LOOP;
    RETURN v_count;
END $$;

-- ── the time of those who lead a session, and of its rooms ───────────────────────────────────────────

-- Is somebody or something taken, by a claim, by time off or by another calendar? A hold that ran out is in nobody's way,
-- but an unpaid booking that ran out has to be ended first, which others do.
CREATE FUNCTION is_subject_busy(p_subject uuid, p_busy tstzrange, p_despite_blocks boolean = false) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM allocation a
        WHERE a.subject_id = p_subject AND a.status IN ('held', 'booked')
          -- No claim reaches further from its own start; these bounds use the index, the range test is exact.
          AND a.starts_at > lower(p_busy) - interval '4 days' AND a.starts_at < upper(p_busy) + interval '4 days'
          AND a.busy && p_busy
          AND NOT (a.status = 'held' AND a.booking_id IS NULL AND a.expires_at <= (SELECT turnero_now()))
    ) OR NOT p_despite_blocks AND EXISTS (
        SELECT FROM blocked_time b
        WHERE b.subject_id = p_subject AND b.removed_at IS NULL
          AND b.ends_at > lower(p_busy) AND b.starts_at < upper(p_busy)
    )
$$;

-- Takes the time of all who lead the session and of the first free units of each need ({"quantity": 1, "units": [id]}):
-- all of them, or none and false. Who is switched off leads nothing. Their rows are locked by the caller, in id order.
CREATE FUNCTION take_session_time(
    p_organization uuid, p_session uuid, p_starts timestamptz, p_ends timestamptz, p_leaders uuid[], p_needs jsonb
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_busy tstzrange := tstzrange(p_starts, p_ends, '[)');
    v_subjects uuid[] := p_leaders;
    v_subject uuid;
    v_units uuid[];
    v_need jsonb;
    v_count integer;
BEGIN
    IF EXISTS (SELECT FROM provider p WHERE p.id = ANY (p_leaders) AND NOT p.is_active)
       OR EXISTS (SELECT FROM unnest(p_leaders) AS l (id) WHERE is_subject_busy(l.id, v_busy)) THEN
        RETURN false;
    END IF;
    FOR v_need IN SELECT n.need FROM jsonb_array_elements(p_needs) AS n (need) LOOP
        v_units := choose_units(ARRAY(SELECT u.id::uuid FROM jsonb_array_elements_text(v_need -> 'units') AS u (id)),
                                (v_need ->> 'quantity')::integer, v_busy, '{}');
        IF v_units IS NULL THEN
            RETURN false;
        END IF;
        v_subjects := v_subjects || v_units;
    END LOOP;
    v_subjects := ARRAY(SELECT DISTINCT u.id FROM unnest(v_subjects) AS u (id) ORDER BY u.id);
    BEGIN
        FOREACH v_subject IN ARRAY v_subjects LOOP
            IF release_lapsed(v_subject, v_busy) IS NULL THEN
                -- Whoever is at it may be waiting for what we took for another session.
                RAISE EXCEPTION 'somebody is at a part of this time' USING ERRCODE = 'TS001';
            END IF;
        END LOOP;
        WITH claimed AS (
            INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, session_id)
            SELECT uuidv7(), p_organization, u.id, v_busy, p_starts, p_ends, 'booked', p_session
            FROM unnest(v_subjects) AS u (id)
            ON CONFLICT DO NOTHING
            RETURNING *
        ), told AS (
            INSERT INTO outbox_event (organization_id, type, subject_id, payload)
            SELECT c.organization_id, 'allocation.claimed', c.subject_id,
                   allocation_payload(c.id, c.starts_at, c.ends_at, c.busy, NULL, 'SCHEDULE')
            FROM claimed c
        )
        SELECT count(*) INTO v_count FROM claimed;
        IF v_count < cardinality(v_subjects) THEN
            RAISE EXCEPTION 'somebody has taken a part of this time' USING ERRCODE = 'TS001';
        END IF;
    EXCEPTION WHEN SQLSTATE 'TS001' THEN
        RETURN false;
    END;
    RETURN true;
END $$;

CREATE FUNCTION release_session_time(p_session uuid, p_cause text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM free_time(ARRAY(
        SELECT a.id FROM allocation a WHERE a.session_id = p_session AND a.status = 'booked'
        ORDER BY a.id FOR NO KEY UPDATE), p_cause);
END $$;

-- Two generations and whoever else claims several at once never wait for each other in a circle.
CREATE FUNCTION lock_subjects(p_leaders uuid[], p_needs jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM provider p WHERE p.id = ANY (p_leaders) ORDER BY p.id FOR NO KEY UPDATE;
    -- As an array, which the index is asked for: as a list to be joined, each unit would be compared with each.
    PERFORM 1 FROM resource_unit u
    WHERE u.id = ANY (ARRAY(SELECT i.id::uuid FROM jsonb_array_elements(p_needs) AS n (need),
                                   jsonb_array_elements_text(n.need -> 'units') AS i (id)))
    ORDER BY u.id FOR NO KEY UPDATE;
END $$;

-- The same for sessions that are to be made, with those whose time is given back for them: whoever waits for that time
-- has its person's row already.
CREATE FUNCTION lock_session_subjects(p_leaders uuid[], p_needs jsonb, p_sessions uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_taken uuid[] := ARRAY(
        SELECT DISTINCT a.subject_id FROM allocation a WHERE a.session_id = ANY (p_sessions) AND a.status = 'booked');
BEGIN
    PERFORM lock_subjects(p_leaders || v_taken, p_needs || jsonb_build_array(jsonb_build_object('units', v_taken)));
END $$;

-- ── sessions ─────────────────────────────────────────────────────────────────────────────────────────

-- A new session, or a cancelled one as if it were new. Nobody else makes sessions of an activity whose row is locked, so
-- the conflict is that of a row which is to be opened again.
CREATE FUNCTION open_session(
    p_organization uuid, p_activity uuid, p_session uuid, p_starts timestamptz, p_ends timestamptz, p_capacity integer,
    p_version uuid
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_is_new boolean;
BEGIN
    INSERT INTO activity_session AS s (id, organization_id, activity_id, starts_at, ends_at, capacity, status,
                                       schedule_version_id)
    VALUES (p_session, p_organization, p_activity, p_starts, p_ends, p_capacity, 'open', p_version)
    ON CONFLICT (activity_id, starts_at) DO UPDATE
    SET status = 'open', is_legacy = false, ends_at = excluded.ends_at, capacity = excluded.capacity,
        grandfathered = 0, schedule_version_id = excluded.schedule_version_id, cancelled_reason = NULL,
        version = s.version + 1
    WHERE s.status = 'cancelled'
    RETURNING old.id IS NULL INTO v_is_new;
    PERFORM tell_session(p_session, CASE WHEN v_is_new THEN 'session.created' ELSE 'session.changed' END, 'SCHEDULE');
END $$;

-- Makes the sessions that a schedule gives, and gives back life to those that an older one had taken away. The caller has
-- the activity's row. outcome: created · restored (it was cancelled for its hours, or legacy) · conflict (a leader or a
-- room is taken then: no session); those that are there already are passed over.
CREATE FUNCTION make_sessions(
    p_organization uuid, p_activity uuid, p_capacity integer, p_starts timestamptz[], p_ends timestamptz[],
    p_versions uuid[], p_leaders uuid[], p_needs jsonb
) RETURNS TABLE (starts_at timestamptz, session_id uuid, outcome text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_session activity_session;
    v_number integer;
BEGIN
    PERFORM lock_subjects(p_leaders, p_needs);
    PERFORM 1 FROM activity_session s WHERE s.activity_id = p_activity AND s.starts_at = ANY (p_starts)
    ORDER BY s.id FOR NO KEY UPDATE;
    FOR v_number IN 1 .. COALESCE(cardinality(p_starts), 0) LOOP
        SELECT s.* INTO v_session FROM activity_session s
        WHERE s.activity_id = p_activity AND s.starts_at = p_starts[v_number];
        starts_at := p_starts[v_number];
        session_id := COALESCE(v_session.id, uuidv7());
        IF v_session.id IS NOT NULL AND v_session.status <> 'cancelled' THEN
            CONTINUE WHEN NOT v_session.is_legacy;
            UPDATE activity_session s SET is_legacy = false, schedule_version_id = p_versions[v_number],
                                          version = s.version + 1
            WHERE s.id = v_session.id;
            outcome := 'restored';
            PERFORM tell_session(session_id, 'session.changed', 'SCHEDULE');
            RETURN NEXT;
            CONTINUE;
        END IF;
        -- Called off by a person, with a reason: no schedule brings it back.
        CONTINUE WHEN v_session.cancelled_reason IS NOT NULL;
        outcome := CASE WHEN v_session.id IS NULL THEN 'created' ELSE 'restored' END;
        IF (cardinality(p_leaders) > 0 OR jsonb_array_length(p_needs) > 0)
           AND NOT take_session_time(p_organization, session_id, p_starts[v_number], p_ends[v_number], p_leaders,
                                     p_needs) THEN
            session_id := v_session.id;
            outcome := 'conflict';
        ELSE
            PERFORM open_session(p_organization, p_activity, session_id, p_starts[v_number], p_ends[v_number],
                                 p_capacity, p_versions[v_number]);
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Sessions that the schedule has no more: with live holds or bookings they become legacy, without they are cancelled. The
-- caller has the activity's row. `lapsed_bookings`: unpaid ones that lost their places; the caller expires them.
CREATE FUNCTION retire_sessions(p_sessions uuid[])
RETURNS TABLE (session_id uuid, starts_at timestamptz, outcome text, lapsed_bookings uuid[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_session activity_session;
    v_emptied uuid[] := '{}';
    v_ended uuid[];
BEGIN
    PERFORM 1 FROM activity_session s WHERE s.id = ANY (p_sessions) ORDER BY s.id FOR NO KEY UPDATE;
    FOR v_session IN
        SELECT s.* FROM activity_session s WHERE s.id = ANY (p_sessions) AND s.status <> 'cancelled' AND s.taken > 0
        ORDER BY s.id
    LOOP
        session_id := v_session.id;
        starts_at := v_session.starts_at;
        lapsed_bookings := (release_lapsed_places(v_session.id)).bookings;
        IF EXISTS (SELECT FROM activity_session s WHERE s.id = v_session.id AND s.taken > 0) THEN
            CONTINUE WHEN v_session.is_legacy AND cardinality(lapsed_bookings) = 0;
            outcome := CASE WHEN v_session.is_legacy THEN 'unchanged' ELSE 'legacy' END;
            IF outcome = 'legacy' THEN
                UPDATE activity_session s SET is_legacy = true, version = s.version + 1 WHERE s.id = v_session.id;
                PERFORM tell_session(v_session.id, 'session.changed', 'SCHEDULE');
            END IF;
        ELSE
            outcome := 'cancelled';
            v_emptied := v_emptied || v_session.id;
        END IF;
        RETURN NEXT;
    END LOOP;
    -- Thousands of others have nothing that anybody could lose: they end together.
    WITH ended AS (
        UPDATE activity_session s SET status = 'cancelled', version = s.version + 1
        WHERE s.id = ANY (p_sessions) AND s.status <> 'cancelled' AND s.taken = 0
        RETURNING s AS session
    ), told AS (
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        SELECT (e.session).organization_id, 'session.cancelled', (e.session).id, session_payload(e.session, 'SCHEDULE')
        FROM ended e ORDER BY (e.session).id
    )
    SELECT array_agg((e.session).id) INTO v_ended FROM ended e;
    PERFORM free_time(ARRAY(
        SELECT a.id FROM allocation a WHERE a.session_id = ANY (v_ended) AND a.status = 'booked'
        ORDER BY a.id FOR NO KEY UPDATE), 'SCHEDULE');
    RETURN QUERY
        SELECT s.id, s.starts_at, 'cancelled', '{}'::uuid[] FROM activity_session s
        WHERE s.id = ANY (v_ended) AND s.id <> ALL (v_emptied);
END $$;
