-- Series: recurring bookings, made, moved and cancelled together.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

-- What was asked for when it was made; its bookings are ordinary ones, which remember their place in it. `rule`: as RFC 5545
-- writes it; `guest_session_id`: that it was made in, which is gone some day; `starts_at`: the first start, whose wall clock in `time_zone` rules the others. `provider_id` none: anyone.
CREATE TABLE booking_series (
    service_id UUID,
    activity_id UUID,
    provider_id UUID,
    customer_id UUID NOT NULL,
    rule TEXT NOT NULL,
    except_dates DATE[] DEFAULT '{}' NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    time_zone TEXT NOT NULL,
    duration_minutes INTEGER,
    party_size INTEGER NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    access_version INTEGER DEFAULT '1' NOT NULL,
    guest_session_id UUID,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT booking_series_pkey PRIMARY KEY (id),
    CONSTRAINT booking_series_subject_check CHECK (
        CASE WHEN activity_id IS NULL THEN service_id IS NOT NULL ELSE service_id IS NULL AND provider_id IS NULL END),
    CONSTRAINT booking_series_party_size_check CHECK (party_size >= 1),
    CONSTRAINT booking_series_duration_check CHECK (duration_minutes >= 1),
    CONSTRAINT booking_series_service_id_fkey FOREIGN KEY(service_id) REFERENCES service (id),
    CONSTRAINT booking_series_activity_id_fkey FOREIGN KEY(activity_id) REFERENCES activity (id),
    CONSTRAINT booking_series_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT booking_series_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customer (id),
    CONSTRAINT booking_series_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX booking_series_customer_id_idx ON booking_series (customer_id);
CREATE INDEX booking_series_organization_id_idx ON booking_series (organization_id, id);
CREATE INDEX booking_series_guest_session_id_idx ON booking_series (guest_session_id) WHERE guest_session_id IS NOT NULL;
CREATE TRIGGER booking_series_version BEFORE UPDATE ON booking_series FOR EACH ROW EXECUTE FUNCTION bump_version();
SELECT protect_table('booking_series');

-- A booking of a series comes from no hold: all its dates are claimed in the transaction that makes them.
ALTER TABLE booking
    ADD COLUMN series_id UUID,
    ADD COLUMN series_index INTEGER,
    ALTER COLUMN hold_id DROP NOT NULL;
ALTER TABLE booking
    ADD CONSTRAINT booking_series_id_fkey FOREIGN KEY (series_id) REFERENCES booking_series (id) NOT VALID,
    ADD CONSTRAINT booking_series_check CHECK ((series_id IS NULL) = (series_index IS NULL)) NOT VALID,
    ADD CONSTRAINT booking_hold_check CHECK (hold_id IS NOT NULL OR series_id IS NOT NULL) NOT VALID;
-- 0010 checks the rows that are there, and makes the index of the dates of a series.

-- The door to a series' organization.
CREATE FUNCTION enter_series(p_series uuid, p_user uuid, p_clock_offset interval)
RETURNS TABLE (organization_id uuid, role text, provider_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT e.* FROM booking_series s,
        LATERAL enter_organization('organization', s.organization_id, NULL, p_user, p_clock_offset) e
    WHERE s.id = p_series
$$;
SELECT make_door('enter_series(uuid, uuid, interval)');

-- Locks everybody and everything that several claims may take, at once and in the one order. `p_dates`: as below.
CREATE FUNCTION lock_series_subjects(p_dates jsonb, p_others uuid[] = '{}') RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM lock_subjects(
        p_others || ARRAY(SELECT DISTINCT (c.claim ->> 'subject')::uuid
                          FROM jsonb_array_elements(p_dates) AS d (entry),
                               jsonb_array_elements(d.entry -> 'together' -> 'claims') AS c (claim)),
        jsonb_build_array(jsonb_build_object('units', p_others)) || COALESCE(
            (SELECT jsonb_agg(DISTINCT n.need) FROM (
                SELECT jsonb_build_object('units', n.need -> 'units') AS need
                FROM jsonb_array_elements(p_dates) AS d (entry),
                     jsonb_array_elements(d.entry -> 'together' -> 'needs') AS n (need)) AS n), '[]'));
END $$;

-- Claims the time of all dates of a series: `p_dates` is [{"index", "booking", "together"}], the last as `claim_together`
-- takes it. A row for each date that was refused, or that freed unpaid bookings; the caller expires those, and rolls back
-- where any date was refused, so that nothing is left. `p_cause`: BOOKED, or RESCHEDULED of bookings that gave their time
-- back before. A date with "until" waits for its payment, and its time is held until then.
CREATE FUNCTION claim_series(p_organization uuid, p_dates jsonb, p_cause text)
RETURNS TABLE (place integer, outcome text, lapsed_bookings uuid[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_date record;
BEGIN
    PERFORM lock_series_subjects(p_dates);
    FOR v_date IN
        SELECT d.* FROM jsonb_to_recordset(p_dates) AS d (index integer, booking uuid, together jsonb, until timestamptz)
        ORDER BY d.index
    LOOP
        place := v_date.index;
        SELECT c.outcome, c.lapsed_bookings INTO outcome, lapsed_bookings FROM claim_together(
            p_organization, v_date.together, CASE WHEN v_date.until IS NULL THEN 'booked' ELSE 'held' END, NULL,
            v_date.booking, v_date.until - turnero_now(), CASE WHEN v_date.until IS NULL THEN p_cause ELSE 'HELD' END) c;
        IF outcome <> 'claimed' OR lapsed_bookings <> '{}' THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- Moves them: all give their time back first, so that one may take the place of another. The caller has the bookings' rows.
CREATE FUNCTION move_series(p_organization uuid, p_dates jsonb)
RETURNS TABLE (place integer, outcome text, lapsed_bookings uuid[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_bookings uuid[] := ARRAY(
        SELECT d.booking FROM jsonb_to_recordset(p_dates) AS d (booking uuid) ORDER BY d.booking);
BEGIN
    PERFORM lock_series_subjects(p_dates, ARRAY(
        SELECT DISTINCT a.subject_id FROM allocation a
        WHERE a.booking_id = ANY (v_bookings) AND a.status IN ('held', 'booked')));
    PERFORM release_booking_time(b.id, 'RESCHEDULED') FROM unnest(v_bookings) AS b (id);
    RETURN QUERY SELECT c.* FROM claim_series(p_organization, p_dates, 'RESCHEDULED') c;
END $$;

-- The same of places: `p_dates` is [{"index", "booking", "session", "places", "until"}]. outcome: claimed · taken.
CREATE FUNCTION claim_series_places(p_organization uuid, p_dates jsonb, p_cause text)
RETURNS TABLE (place integer, outcome text, lapsed_bookings uuid[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_date record;
    v_claimed boolean;
BEGIN
    PERFORM 1 FROM activity_session s
    WHERE s.id IN (SELECT d.session FROM jsonb_to_recordset(p_dates) AS d (session uuid))
    ORDER BY s.id FOR NO KEY UPDATE;
    FOR v_date IN
        SELECT d.* FROM jsonb_to_recordset(p_dates) AS d (
            index integer, booking uuid, session uuid, places integer, until timestamptz)
        ORDER BY d.index
    LOOP
        place := v_date.index;
        SELECT c.claimed, c.lapsed_bookings INTO v_claimed, lapsed_bookings FROM claim_places(
            uuidv7(), p_organization, v_date.session, v_date.places,
            CASE WHEN v_date.until IS NULL THEN 'booked' ELSE 'held' END, NULL, v_date.booking, v_date.until,
            CASE WHEN v_date.until IS NULL THEN p_cause ELSE 'HELD' END, false) c;
        outcome := CASE WHEN v_claimed THEN 'claimed' ELSE 'taken' END;
        IF NOT v_claimed OR lapsed_bookings <> '{}' THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION move_series_places(p_organization uuid, p_dates jsonb)
RETURNS TABLE (place integer, outcome text, lapsed_bookings uuid[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_bookings uuid[] := ARRAY(
        SELECT d.booking FROM jsonb_to_recordset(p_dates) AS d (booking uuid) ORDER BY d.booking);
BEGIN
    PERFORM 1 FROM activity_session s
    WHERE s.id IN (SELECT d.session FROM jsonb_to_recordset(p_dates) AS d (session uuid)
                   UNION SELECT c.session_id FROM place_claim c
                   WHERE c.booking_id = ANY (v_bookings) AND c.status IN ('held', 'booked'))
    ORDER BY s.id FOR NO KEY UPDATE;
    -- A date may take the places of another one, whoever waits for those.
    PERFORM keep_own_places(c.session_id, c.places)
    FROM place_claim c WHERE c.booking_id = ANY (v_bookings) AND c.status IN ('held', 'booked');
    PERFORM release_booking_places(b.id, 'RESCHEDULED') FROM unnest(v_bookings) AS b (id);
    RETURN QUERY SELECT c.* FROM claim_series_places(p_organization, p_dates, 'RESCHEDULED') c;
END $$;

-- When a customer's live bookings start, between two instants: whose they are is told as for `count_customer_bookings`.
-- `p_is_final`: nobody else counts for them until the transaction ends, by the same locks.
CREATE FUNCTION list_customer_starts(
    p_organization uuid, p_user uuid, p_email text, p_from timestamptz, p_to timestamptz, p_statuses text[],
    p_except uuid[], p_is_final boolean
) RETURNS SETOF timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_email text := COALESCE(
        p_email,
        (SELECT c.email FROM customer c WHERE c.organization_id = p_organization AND c.user_id = p_user),
        (SELECT u.email FROM user_account u WHERE u.id = p_user));
BEGIN
    IF p_is_final AND p_user IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('customer:' || p_organization || ':user:' || p_user, 0));
    END IF;
    IF p_is_final AND v_email IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('customer:' || p_organization || ':email:' || v_email, 0));
    END IF;
    RETURN QUERY SELECT b.starts_at FROM booking b
    WHERE b.customer_id IN (
        SELECT c.id FROM customer c WHERE c.organization_id = p_organization AND (c.user_id = p_user OR c.email = v_email))
      AND b.starts_at >= p_from AND b.starts_at < p_to
      AND b.status = ANY (p_statuses) AND NOT b.id = ANY (p_except);
END $$;

-- ── units ────────────────────────────────────────────────────────────────────────────────────────────

-- As in 0002; `p_despite_unpaid`: an unpaid booking that ran out is in nobody's way either, for those who end it.
DROP FUNCTION is_subject_busy(uuid, tstzrange, boolean);
CREATE FUNCTION is_subject_busy(
    p_subject uuid, p_busy tstzrange, p_despite_blocks boolean = false, p_despite_unpaid boolean = false
) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM allocation a
        WHERE a.subject_id = p_subject AND a.status IN ('held', 'booked')
          -- No claim reaches further from its own start; these bounds use the index, the range test is exact.
          AND a.starts_at > lower(p_busy) - interval '4 days' AND a.starts_at < upper(p_busy) + interval '4 days'
          AND a.busy && p_busy
          AND NOT (a.status = 'held' AND (a.booking_id IS NULL OR p_despite_unpaid)
                   AND a.expires_at <= (SELECT turnero_now()))
    ) OR NOT p_despite_blocks AND EXISTS (
        SELECT FROM blocked_time b
        WHERE b.subject_id = p_subject AND b.removed_at IS NULL
          AND b.ends_at > lower(p_busy) AND b.starts_at < upper(p_busy)
    )
$$;

-- As in 0002, in two forms. Claims of customers, who end what ran out, count it as free, as what they were shown does;
-- units of which nothing has to be ended come before such.
DROP FUNCTION choose_units(uuid[], integer, tstzrange, uuid[], uuid[]);
CREATE FUNCTION choose_units(
    p_units uuid[], p_quantity integer, p_busy tstzrange, p_mine uuid[], p_former uuid[], p_despite_unpaid boolean = true
) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_chosen uuid[];
BEGIN
    -- In their order first (OFFSET keeps it apart), so that no more of them are looked at than are wanted: a filter beside
    -- the joins is asked for every pair of units, and a hundred of them take half a second.
    SELECT array_agg(free.id) INTO v_chosen FROM (
        SELECT unit.id FROM (
            SELECT w.id, w.n, w.id = ANY (p_mine) AS is_mine, w.id = ANY (p_former) AS is_former, EXISTS (
                SELECT FROM allocation a WHERE a.subject_id = w.id AND a.busy && p_busy AND a.status = 'held') AS is_held
            FROM unnest(p_units) WITH ORDINALITY AS w (id, n)
            JOIN resource_unit u ON u.id = w.id AND u.is_active
            JOIN resource r ON r.id = u.resource_id AND r.is_active
            ORDER BY is_mine DESC, is_former DESC, is_held, w.n
            OFFSET 0) AS unit
        WHERE NOT is_subject_busy(unit.id, p_busy, unit.is_former, p_despite_unpaid)
        ORDER BY is_mine DESC, is_former DESC, is_held, n
        LIMIT p_quantity) AS free;
    RETURN CASE WHEN cardinality(v_chosen) = p_quantity THEN v_chosen END;
END $$;

-- For sessions, which end nobody's booking.
CREATE FUNCTION choose_units(p_units uuid[], p_quantity integer, p_busy tstzrange, p_mine uuid[]) RETURNS uuid[]
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT choose_units(p_units, p_quantity, p_busy, p_mine, '{}', false)
$$;
