-- Claims of time: of one person without any lock, of several people and resource units together, and moved at once.
--
-- Locks, always in this order: booking · provider rows by id · resource_unit rows by id (`lock_subjects`) · allocations.
-- A claim of one subject without limits locks no subject: its only wait is that of its last INSERT, so nobody waits for it
-- in a circle. A claim that fails gives back all it did, so that the next try waits with empty hands.

-- ── giving back ──────────────────────────────────────────────────────────────────────────────────────

-- Frees these rows, whose locks the caller has, and tells why: the one place that gives time back.
CREATE FUNCTION free_time(p_allocations uuid[], p_cause text) RETURNS SETOF allocation
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    WITH freed AS (
        UPDATE allocation a SET status = 'released', released_at = turnero_now()
        WHERE a.id = ANY (p_allocations) AND a.status IN ('held', 'booked')
        RETURNING a.*
    ), told AS (
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        SELECT f.organization_id, 'allocation.released', f.subject_id,
               allocation_payload(f.id, f.starts_at, f.ends_at, f.busy, f.expires_at, p_cause)
        FROM freed f ORDER BY f.id
    )
    SELECT * FROM freed
$$;

-- Holds of time of which nothing is held any more. Of a visit some rows may be freed before others: until the last one
-- is, the hold stays as it is, and reads as expired by its clock.
CREATE FUNCTION end_expired_holds(p_holds uuid[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    UPDATE hold h SET status = 'expired'
    WHERE h.id = ANY (p_holds) AND h.status = 'active' AND h.session_id IS NULL
      AND NOT EXISTS (SELECT FROM allocation a WHERE a.hold_id = h.id AND a.status = 'held');
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- Frees what overlaps and has lapsed, so that nothing depends on the sweeper. Returns the unpaid bookings that lost their
-- slot; the caller expires them in the same transaction. NULL: another transaction is at one of the rows this very moment
-- (its holder confirms it, or another claim frees it); nothing was freed, and the time counts as taken.
CREATE OR REPLACE FUNCTION release_lapsed(p_subject uuid, p_busy tstzrange) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id uuid;
    v_ids uuid[] := '{}';
    v_holds uuid[];
    v_bookings uuid[];
BEGIN
    FOR v_id IN
        SELECT a.id FROM allocation a
        WHERE a.subject_id = p_subject AND a.busy && p_busy AND a.status = 'held' AND a.expires_at <= turnero_now()
        ORDER BY a.id
    LOOP
        PERFORM 1 FROM allocation a
        WHERE a.id = v_id AND a.status = 'held' AND a.expires_at <= turnero_now()
        FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            v_ids := v_ids || v_id;
        ELSIF EXISTS (SELECT FROM allocation a
                      WHERE a.id = v_id AND a.status = 'held' AND a.expires_at <= turnero_now()) THEN
            RETURN NULL; -- at the first: two who each free what the other wants would wait for each other
        END IF;
    END LOOP;
    IF v_ids = '{}' THEN
        RETURN '{}';
    END IF;
    SELECT array_agg(f.hold_id), array_agg(f.booking_id) FILTER (WHERE f.booking_id IS NOT NULL)
    INTO v_holds, v_bookings FROM free_time(v_ids, 'RELEASED') f;
    PERFORM end_expired_holds(v_holds);
    RETURN COALESCE(v_bookings, '{}');
END $$;

-- The holder gives the hold's time back, or it is taken from them. The caller has the rows' locks.
CREATE FUNCTION release_held_time(p_hold uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- Time of a booking that is not paid yet is the booking's.
    PERFORM free_time(ARRAY(SELECT a.id FROM allocation a
                            WHERE a.hold_id = p_hold AND a.status = 'held' AND a.booking_id IS NULL), 'RELEASED');
    UPDATE hold h SET status = 'released' WHERE h.id = p_hold AND h.status = 'active';
END $$;

-- The sweep: frees at most so many rows of holds that ran out; how many it were. The allocation's row is the lock of a
-- hold: who confirms or extends it has it. PostgreSQL looks at a locked row once more as it is now, so one that was
-- confirmed or extended in between is left alone.
CREATE FUNCTION expire_held_time(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_ids uuid[];
    v_holds uuid[];
BEGIN
    SELECT array_agg(lapsed.id), array_agg(lapsed.hold_id) INTO v_ids, v_holds FROM (
        SELECT a.id, a.hold_id FROM hold h JOIN allocation a ON a.hold_id = h.id
        WHERE h.status = 'active' AND h.expires_at <= (SELECT turnero_now())
          AND a.status = 'held' AND a.booking_id IS NULL AND a.expires_at <= turnero_now()
        ORDER BY h.expires_at
        LIMIT p_limit
        FOR NO KEY UPDATE OF a SKIP LOCKED) AS lapsed;
    PERFORM free_time(v_ids, 'RELEASED');
    -- Those whose last rows two claims freed side by side have nothing left to free.
    PERFORM end_expired_holds(v_holds || ARRAY(
        SELECT h.id FROM hold h
        WHERE h.status = 'active' AND h.expires_at <= (SELECT turnero_now()) AND h.session_id IS NULL
          AND NOT EXISTS (SELECT FROM allocation a WHERE a.hold_id = h.id AND a.status = 'held')
        ORDER BY h.expires_at LIMIT p_limit));
    RETURN COALESCE(cardinality(v_ids), 0);
END $$;

-- ── claiming ─────────────────────────────────────────────────────────────────────────────────────────

-- The row, and what is told of it. ON CONFLICT rather than an error: a bare insert under contention dies in deadlocks.
CREATE FUNCTION put_claim(
    p_allocation uuid, p_organization uuid, p_subject uuid, p_busy tstzrange, p_starts timestamptz, p_ends timestamptz,
    p_status text, p_hold uuid, p_booking uuid, p_expires timestamptz, p_cause text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, hold_id, booking_id, expires_at)
    VALUES (p_allocation, p_organization, p_subject, p_busy, p_starts, p_ends, p_status, p_hold, p_booking, p_expires)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO outbox_event (organization_id, type, subject_id, payload)
    VALUES (p_organization, 'allocation.claimed', p_subject,
            allocation_payload(p_allocation, p_starts, p_ends, p_busy, p_expires, p_cause));
    RETURN true;
END $$;

-- Claims one subject's time. `p_despite_blocks`: a booking that gets back what it had, whatever time off came since.
DROP FUNCTION claim_time(uuid, uuid, uuid, tstzrange, timestamptz, timestamptz, text, uuid, uuid, timestamptz, text);
CREATE FUNCTION claim_time(
    p_allocation uuid, p_organization uuid, p_subject uuid, p_busy tstzrange, p_starts timestamptz, p_ends timestamptz,
    p_status text, p_hold uuid, p_booking uuid, p_expires timestamptz, p_cause text, p_despite_blocks boolean = false,
    OUT claimed boolean, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    claimed := false;
    lapsed_bookings := '{}';
    IF NOT p_despite_blocks AND EXISTS (
        SELECT FROM blocked_time b
        WHERE b.subject_id = p_subject AND b.removed_at IS NULL
          AND b.ends_at > lower(p_busy) AND b.starts_at < upper(p_busy)
    ) THEN
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM allocation a
        WHERE a.subject_id = p_subject AND a.busy && p_busy AND a.status = 'held' AND a.expires_at <= turnero_now()
    ) THEN
        claimed := put_claim(p_allocation, p_organization, p_subject, p_busy, p_starts, p_ends, p_status, p_hold,
                             p_booking, p_expires, p_cause);
        RETURN;
    END IF;
    -- A savepoint only where there is something to undo.
    BEGIN
        lapsed_bookings := release_lapsed(p_subject, p_busy);
        claimed := lapsed_bookings IS NOT NULL
            AND put_claim(p_allocation, p_organization, p_subject, p_busy, p_starts, p_ends, p_status, p_hold,
                          p_booking, p_expires, p_cause);
        IF NOT claimed THEN
            RAISE EXCEPTION 'this time is taken' USING ERRCODE = 'TC001';
        END IF;
    EXCEPTION WHEN SQLSTATE 'TC001' THEN
        lapsed_bookings := '{}';
    END;
END $$;

-- The first free units of a need: as many as it asks for, or NULL. Units that `p_mine` has already, for another service of
-- the same visit, come first and are free by that. Then come those that a booking had (`p_former`), whatever time off came
-- since. The caller has the units' rows locked.
CREATE FUNCTION choose_units(
    p_units uuid[], p_quantity integer, p_busy tstzrange, p_mine uuid[], p_former uuid[] = '{}'
) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_chosen uuid[];
BEGIN
    SELECT array_agg(free.id) INTO v_chosen FROM (
        SELECT w.id FROM unnest(p_units) WITH ORDINALITY AS w (id, n)
        JOIN resource_unit u ON u.id = w.id AND u.is_active
        JOIN resource r ON r.id = u.resource_id AND r.is_active
        WHERE NOT is_subject_busy(w.id, p_busy, w.id = ANY (p_former))
        ORDER BY (w.id = ANY (p_mine)) DESC, (w.id = ANY (p_former)) DESC, w.n
        LIMIT p_quantity) AS free;
    RETURN CASE WHEN cardinality(v_chosen) = p_quantity THEN v_chosen END;
END $$;

-- Claims everything that one hold or booking needs, or nothing: `p_together` is
--   claims: [{"subject", "startsAt", "endsAt", "busyFrom", "busyTo"}]               people; ranges of one do not overlap
--   needs:  [{"quantity", "units": [id], "startsAt", "endsAt", "busyFrom", "busyTo"}] any so many of these units
--   limits: [{"subject", "from", "to", "most"}]   most live claims of a person that start in that time, these as one
-- outcome: claimed · taken · resource · limit; of a refusal, `refused` is the person it is about (null for resources).
-- With `p_ttl` the claim is a hold from the moment when all locks are had.
CREATE FUNCTION claim_together(
    p_organization uuid, p_together jsonb, p_status text, p_hold uuid, p_booking uuid, p_ttl interval, p_cause text,
    p_despite_blocks boolean = false,
    OUT outcome text, OUT refused uuid, OUT expires_at timestamptz, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_claim record;
    v_need record;
    v_limit record;
    v_unit record;
    v_lapsed uuid[];
    v_units uuid[];
    v_mine uuid[] := '{}';
    v_former uuid[];
    v_all uuid[] := '{}';
    v_busy tstzrange[] := '{}';
    v_starts timestamptz[] := '{}';
    v_ends timestamptz[] := '{}';
BEGIN
    lapsed_bookings := '{}';
    -- Refused, all goes, locks included: who tries somebody else next takes their locks in order again.
    BEGIN
        PERFORM lock_subjects(
            ARRAY(SELECT (c.claim ->> 'subject')::uuid FROM jsonb_array_elements(p_together -> 'claims') AS c (claim)),
            p_together -> 'needs');
        expires_at := turnero_now() + p_ttl;
        FOR v_claim IN
            SELECT c.*, tstzrange(c."busyFrom", c."busyTo", '[)') AS busy
            FROM jsonb_to_recordset(p_together -> 'claims') AS c (
                subject uuid, "startsAt" timestamptz, "endsAt" timestamptz, "busyFrom" timestamptz, "busyTo" timestamptz)
            ORDER BY c.subject, c."busyFrom"
        LOOP
            SELECT CASE WHEN c.claimed THEN c.lapsed_bookings END INTO v_lapsed FROM claim_time(
                uuidv7(), p_organization, v_claim.subject, v_claim.busy, v_claim."startsAt", v_claim."endsAt", p_status,
                p_hold, p_booking, expires_at, p_cause, p_despite_blocks) c;
            IF v_lapsed IS NULL THEN
                outcome := 'taken';
                refused := v_claim.subject;
                RAISE EXCEPTION 'this time is taken' USING ERRCODE = 'TC001';
            END IF;
            lapsed_bookings := lapsed_bookings || v_lapsed;
        END LOOP;
        FOR v_limit IN
            SELECT l.* FROM jsonb_to_recordset(p_together -> 'limits') AS l (
                subject uuid, "from" timestamptz, "to" timestamptz, most integer)
        LOOP
            IF (SELECT count(*) FROM allocation a
                WHERE a.subject_id = v_limit.subject AND a.status IN ('held', 'booked')
                  AND a.starts_at >= v_limit."from" AND a.starts_at < v_limit."to"
                  AND (a.expires_at IS NULL OR a.expires_at > turnero_now())
                  AND (a.hold_id = p_hold) IS NOT TRUE AND (a.booking_id = p_booking) IS NOT TRUE) >= v_limit.most THEN
                outcome := 'limit';
                refused := v_limit.subject;
                RAISE EXCEPTION 'this is full' USING ERRCODE = 'TC001';
            END IF;
        END LOOP;
        FOR v_need IN
            SELECT n.*, tstzrange(n."busyFrom", n."busyTo", '[)') AS busy
            FROM jsonb_to_recordset(p_together -> 'needs') AS n (
                quantity integer, units uuid[], "startsAt" timestamptz, "endsAt" timestamptz, "busyFrom" timestamptz,
                "busyTo" timestamptz)
        LOOP
            v_former := CASE WHEN p_despite_blocks THEN ARRAY(
                SELECT a.subject_id FROM allocation a WHERE a.booking_id = p_booking AND a.busy @> v_need.busy) END;
            v_units := choose_units(v_need.units, v_need.quantity, v_need.busy, v_mine, COALESCE(v_former, '{}'));
            IF v_units IS NULL THEN
                outcome := 'resource';
                refused := NULL;
                RAISE EXCEPTION 'no unit is free' USING ERRCODE = 'TC001';
            END IF;
            v_mine := v_mine || v_units;
            v_all := v_all || v_units;
            FOR v_unit IN SELECT u.id FROM unnest(v_units) AS u (id) LOOP
                v_busy := v_busy || v_need.busy;
                v_starts := v_starts || v_need."startsAt";
                v_ends := v_ends || v_need."endsAt";
            END LOOP;
        END LOOP;
        -- A unit that serves two services of the visit one after the other is taken once, from the first to the last.
        FOR v_unit IN
            SELECT m.id, m.busy, min(p.starts_at) AS starts_at, max(p.ends_at) AS ends_at
            FROM (SELECT t.id, unnest(range_agg(t.busy)) AS busy FROM unnest(v_all, v_busy) AS t (id, busy)
                  GROUP BY t.id) AS m
            JOIN unnest(v_all, v_busy, v_starts, v_ends) AS p (id, busy, starts_at, ends_at)
                ON p.id = m.id AND p.busy <@ m.busy
            GROUP BY m.id, m.busy ORDER BY m.id, m.busy
        LOOP
            SELECT CASE WHEN c.claimed THEN c.lapsed_bookings END INTO v_lapsed FROM claim_time(
                uuidv7(), p_organization, v_unit.id, v_unit.busy, v_unit.starts_at, v_unit.ends_at, p_status, p_hold,
                p_booking, expires_at, p_cause, p_despite_blocks) c;
            IF v_lapsed IS NULL THEN
                outcome := 'resource';
                refused := NULL;
                RAISE EXCEPTION 'a unit is taken' USING ERRCODE = 'TC001';
            END IF;
            lapsed_bookings := lapsed_bookings || v_lapsed;
        END LOOP;
        outcome := 'claimed';
        refused := NULL;
    EXCEPTION WHEN SQLSTATE 'TC001' THEN
        expires_at := NULL;
        lapsed_bookings := '{}';
    END;
END $$;

-- Holds a slot for one holder, within the limits of that person and address (0: no limit). `p_together`: everything that
-- the hold needs, as of `claim_together`; none: the provider's time alone, which takes no lock. `p_items`: the services of
-- a visit of several. outcome: held · taken · resource · limit · user_limit · address_limit.
-- Its form of 0001 (17 arguments) stays for processes of the release before, which run on until they are replaced; a later
-- migration drops it. Calls name every argument of one form or the other.
CREATE FUNCTION hold_slot(
    p_hold uuid, p_allocation uuid, p_organization uuid, p_service uuid, p_provider uuid,
    p_starts timestamptz, p_ends timestamptz, p_buffer_before integer, p_buffer_after integer, p_ttl interval,
    p_party_size integer, p_price bigint, p_currency text,
    p_user uuid, p_address text, p_user_limit integer, p_address_limit integer,
    p_together jsonb, p_items jsonb,
    OUT outcome text, OUT expires_at timestamptz, OUT retry_after timestamptz, OUT lapsed_bookings uuid[], OUT refused uuid
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_claimed boolean;
    v_expires timestamptz;
BEGIN
    lapsed_bookings := '{}';
    IF p_user_limit > 0 OR p_address_limit > 0 THEN
        SELECT l.outcome, l.retry_after INTO outcome, retry_after
        FROM hold_limits(p_user, p_address, p_user_limit, p_address_limit) l;
        IF outcome IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;
    IF p_together IS NULL THEN
        v_expires := turnero_now() + p_ttl;
        SELECT c.claimed, c.lapsed_bookings INTO v_claimed, lapsed_bookings FROM claim_time(
            p_allocation, p_organization, p_provider,
            tstzrange(p_starts - make_interval(mins => p_buffer_before),
                      p_ends + make_interval(mins => p_buffer_after), '[)'),
            p_starts, p_ends, 'held', p_hold, NULL, v_expires, 'HELD') c;
        IF NOT v_claimed THEN
            outcome := 'taken';
            refused := p_provider;
            RETURN;
        END IF;
    ELSE
        SELECT c.outcome, c.refused, c.expires_at, c.lapsed_bookings INTO outcome, refused, v_expires, lapsed_bookings
        FROM claim_together(p_organization, p_together, 'held', p_hold, NULL, p_ttl, 'HELD') c;
        IF outcome <> 'claimed' THEN
            RETURN;
        END IF;
    END IF;
    INSERT INTO hold (id, organization_id, status, service_id, provider_id, starts_at, ends_at, buffer_before_minutes,
                      buffer_after_minutes, expires_at, party_size, price_minor, currency, user_id, address, items)
    VALUES (p_hold, p_organization, 'active', p_service, p_provider, p_starts, p_ends, p_buffer_before,
            p_buffer_after, v_expires, p_party_size, p_price, p_currency, p_user, p_address, p_items);
    outcome := 'held';
    expires_at := v_expires;
END $$;

-- Moves a booking's time: its own rows are given back and the new ones claimed in one call. A bare UPDATE of the range
-- would deadlock like a bare INSERT, and so would two bookings that change places, were not both sides locked first.
-- Refused (outcome as of `claim_together`): the caller rolls back, and the old rows stand.
-- Its form of 0001 stays for a while, as that of `hold_slot` does.
CREATE FUNCTION move_booking_time(
    p_organization uuid, p_booking uuid, p_together jsonb,
    OUT outcome text, OUT refused uuid, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_old uuid[] := ARRAY(
        SELECT a.subject_id FROM allocation a WHERE a.booking_id = p_booking AND a.status IN ('held', 'booked'));
BEGIN
    PERFORM lock_subjects(
        v_old || ARRAY(SELECT (c.claim ->> 'subject')::uuid FROM jsonb_array_elements(p_together -> 'claims') AS c (claim)),
        (p_together -> 'needs') || jsonb_build_array(jsonb_build_object('units', v_old)));
    PERFORM release_booking_time(p_booking, 'RESCHEDULED');
    SELECT c.outcome, c.refused, c.lapsed_bookings INTO outcome, refused, lapsed_bookings
    FROM claim_together(p_organization, p_together, 'booked', NULL, p_booking, NULL, 'RESCHEDULED') c;
END $$;

-- ── limits of customers ──────────────────────────────────────────────────────────────────────────────

-- How many live bookings somebody has whose service starts in a day, and in the week around it. Whose they are is told by
-- the account or by the e-mail address, whichever is known; `p_except` is a booking that is about to be moved. The advisory
-- locks, account first, make the counts exact until the transaction ends.
CREATE FUNCTION count_customer_bookings(
    p_organization uuid, p_user uuid, p_email text, p_day_from timestamptz, p_day_to timestamptz,
    p_week_from timestamptz, p_week_to timestamptz, p_statuses text[], p_except uuid = NULL,
    OUT in_day bigint, OUT in_week bigint
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_email text := COALESCE(
        p_email,
        (SELECT c.email FROM customer c WHERE c.organization_id = p_organization AND c.user_id = p_user),
        (SELECT u.email FROM user_account u WHERE u.id = p_user));
BEGIN
    IF p_user IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('customer:' || p_organization || ':user:' || p_user, 0));
    END IF;
    IF v_email IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('customer:' || p_organization || ':email:' || v_email, 0));
    END IF;
    SELECT count(*) FILTER (WHERE b.starts_at >= p_day_from AND b.starts_at < p_day_to), count(*) INTO in_day, in_week
    FROM booking b
    WHERE b.customer_id IN (
        SELECT c.id FROM customer c WHERE c.organization_id = p_organization AND (c.user_id = p_user OR c.email = v_email))
      AND b.starts_at >= least(p_day_from, p_week_from) AND b.starts_at < greatest(p_day_to, p_week_to)
      AND b.status = ANY (p_statuses) AND b.id IS DISTINCT FROM p_except;
END $$;
