-- Groups: the people of one booking, how few and how many may come, and groups that have a whole session to themselves.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

-- `private_price_minor`: what a whole session costs a private group; none: all of its places.
ALTER TABLE activity
    ADD COLUMN private_price_minor BIGINT,
    ADD CONSTRAINT activity_private_price_check CHECK (private_price_minor >= 0);

-- A private claim has all places of its session, however many there are; the party may be smaller.
ALTER TABLE hold ADD COLUMN is_private BOOLEAN DEFAULT 'false' NOT NULL;
ALTER TABLE place_claim ADD COLUMN is_private BOOLEAN DEFAULT 'false' NOT NULL;
-- `group_quote`: the price as it was locked, once the party is no more of the size that it was locked for. What any other
-- number of people costs follows from it alone.
ALTER TABLE booking
    ADD COLUMN is_private BOOLEAN DEFAULT 'false' NOT NULL,
    ADD COLUMN group_quote JSONB;

-- Those who have a name. Whoever was removed stays as a record.
CREATE TABLE booking_participant (
    booking_id UUID NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    email TEXT,
    phone TEXT,
    status TEXT NOT NULL,
    checked_in_at TIMESTAMP WITH TIME ZONE,
    no_show_at TIMESTAMP WITH TIME ZONE,
    removed_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT booking_participant_pkey PRIMARY KEY (id),
    CONSTRAINT booking_participant_position_key UNIQUE (booking_id, position),
    CONSTRAINT booking_participant_status_check CHECK (status IN ('expected', 'checked_in', 'no_show', 'removed')),
    CONSTRAINT booking_participant_times_check CHECK (
        (status = 'checked_in') = (checked_in_at IS NOT NULL) AND (status = 'no_show') = (no_show_at IS NOT NULL)
        AND (status = 'removed') = (removed_at IS NOT NULL)),
    CONSTRAINT booking_participant_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT booking_participant_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
SELECT protect_table('booking_participant');

-- ── a party that grows and shrinks ───────────────────────────────────────────────────────────────────

-- More places for a booking that has some of this session: its own claim grows. The caller has the booking's row.
CREATE FUNCTION add_booking_places(
    p_booking uuid, p_session uuid, p_places integer, OUT claimed boolean, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
BEGIN
    PERFORM 1 FROM activity_session s WHERE s.id = p_session FOR NO KEY UPDATE;
    lapsed_bookings := (release_lapsed_places(p_session)).bookings;
    claimed := false;
    IF are_places_awaited(p_session, p_places) THEN
        RETURN; -- `claim_places` says why
    END IF;
    UPDATE activity_session s SET taken = s.taken + p_places
    WHERE s.id = p_session AND s.taken + p_places <= s.capacity AND s.status = 'open' AND NOT s.is_legacy;
    claimed := FOUND;
    IF claimed THEN
        UPDATE place_claim c SET places = c.places + p_places
        WHERE c.booking_id = p_booking AND c.session_id = p_session AND c.status = 'booked'
        RETURNING c.* INTO STRICT v_claim;
        PERFORM tell_session(p_session, 'session.places', 'BOOKED', v_claim.id, v_claim.places);
    END IF;
END $$;

-- Gives some of a booking's places back, never all. They become a claim of their own, which is freed as every other one.
CREATE FUNCTION remove_booking_places(p_booking uuid, p_session uuid, p_places integer) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
BEGIN
    PERFORM 1 FROM activity_session s WHERE s.id = p_session FOR NO KEY UPDATE;
    UPDATE place_claim c SET places = c.places - p_places
    WHERE c.booking_id = p_booking AND c.session_id = p_session AND c.status = 'booked'
    RETURNING c.* INTO STRICT v_claim;
    INSERT INTO place_claim (id, organization_id, session_id, places, status, booking_id)
    VALUES (uuidv7(), v_claim.organization_id, p_session, p_places, 'booked', p_booking)
    RETURNING * INTO STRICT v_claim;
    PERFORM free_places(v_claim, 'CANCELLED');
END $$;

-- ── a whole session ──────────────────────────────────────────────────────────────────────────────────

-- As claim_places, of all places at once: only while nobody has any. `p_least`: so many people come. `p_priced`: the number
-- of places that its price was made for, where there is one.
CREATE FUNCTION claim_whole_session(
    p_claim uuid, p_organization uuid, p_session uuid, p_least integer, p_priced integer, p_status text, p_hold uuid,
    p_booking uuid, p_expires timestamptz, p_cause text, p_is_correction boolean,
    OUT claimed boolean, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_places integer;
BEGIN
    PERFORM 1 FROM activity_session s WHERE s.id = p_session FOR NO KEY UPDATE;
    lapsed_bookings := (release_lapsed_places(p_session)).bookings;
    claimed := false;
    IF NOT p_is_correction AND are_places_awaited(p_session, (
        SELECT s.capacity FROM activity_session s WHERE s.id = p_session)) THEN
        RETURN;
    END IF;
    UPDATE activity_session s SET taken = s.capacity
    WHERE s.id = p_session AND s.taken = 0 AND s.capacity >= p_least AND COALESCE(s.capacity = p_priced, true)
      AND (p_is_correction OR (s.status = 'open' AND NOT s.is_legacy))
    RETURNING s.capacity INTO v_places;
    claimed := FOUND;
    IF claimed THEN
        INSERT INTO place_claim (id, organization_id, session_id, places, status, hold_id, booking_id, expires_at,
                                 is_private)
        VALUES (p_claim, p_organization, p_session, v_places, p_status, p_hold, p_booking, p_expires, true);
        PERFORM keep_own_places(p_session, -v_places);
        PERFORM tell_session(p_session, 'session.places', p_cause, p_claim, v_places, p_expires);
    END IF;
END $$;

-- Holds places of a session, or all of it (`p_is_private`; `p_priced` as above), for one holder: the one place where that
-- is done. outcome: held · taken · user_limit · address_limit.
CREATE FUNCTION hold_session(
    p_hold uuid, p_claim uuid, p_organization uuid, p_session uuid, p_party integer, p_is_private boolean,
    p_priced integer, p_ttl interval, p_price bigint, p_currency text, p_user uuid, p_address text, p_user_limit integer,
    p_address_limit integer, p_quote jsonb, p_promo uuid,
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
    IF p_is_private THEN
        SELECT c.claimed, c.lapsed_bookings INTO v_claimed, lapsed_bookings FROM claim_whole_session(
            p_claim, p_organization, p_session, p_party, p_priced, 'held', p_hold, NULL, v_expires, 'HELD', false) c;
    ELSE
        SELECT c.claimed, c.lapsed_bookings INTO v_claimed, lapsed_bookings FROM claim_places(
            p_claim, p_organization, p_session, p_party, 'held', p_hold, NULL, v_expires, 'HELD', false) c;
    END IF;
    IF NOT v_claimed THEN
        outcome := 'taken';
        RETURN;
    END IF;
    INSERT INTO hold (id, organization_id, status, session_id, starts_at, ends_at, buffer_before_minutes,
                      buffer_after_minutes, expires_at, party_size, price_minor, currency, user_id, address, quote,
                      promo_code_id, is_private)
    SELECT p_hold, p_organization, 'active', s.id, s.starts_at, s.ends_at, 0, 0, v_expires, p_party, p_price,
           p_currency, p_user, p_address, p_quote, p_promo, p_is_private
    FROM activity_session s WHERE s.id = p_session;
    outcome := 'held';
    expires_at := v_expires;
END $$;

CREATE OR REPLACE FUNCTION hold_places(
    p_hold uuid, p_claim uuid, p_organization uuid, p_session uuid, p_places integer, p_ttl interval, p_price bigint,
    p_currency text, p_user uuid, p_address text, p_user_limit integer, p_address_limit integer, p_quote jsonb,
    p_promo uuid,
    OUT outcome text, OUT expires_at timestamptz, OUT retry_after timestamptz, OUT lapsed_bookings uuid[]
)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.* FROM hold_session(
        p_hold, p_claim, p_organization, p_session, p_places, false, NULL, p_ttl, p_price, p_currency, p_user, p_address,
        p_user_limit, p_address_limit, p_quote, p_promo) h
$$;

-- A whole session for a party of `p_party`.
CREATE FUNCTION hold_whole_session(
    p_hold uuid, p_claim uuid, p_organization uuid, p_session uuid, p_party integer, p_priced integer, p_ttl interval,
    p_price bigint, p_currency text, p_user uuid, p_address text, p_user_limit integer, p_address_limit integer,
    p_quote jsonb, p_promo uuid,
    OUT outcome text, OUT expires_at timestamptz, OUT retry_after timestamptz, OUT lapsed_bookings uuid[]
)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.* FROM hold_session(
        p_hold, p_claim, p_organization, p_session, p_party, true, p_priced, p_ttl, p_price, p_currency, p_user,
        p_address, p_user_limit, p_address_limit, p_quote, p_promo) h
$$;

-- As move_booking_places, of a private group: the whole of another session for the whole of this one.
CREATE FUNCTION move_whole_session(
    p_claim uuid, p_organization uuid, p_booking uuid, p_session uuid, p_least integer,
    OUT claimed boolean, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM activity_session s
    WHERE s.id = p_session OR s.id IN (SELECT c.session_id FROM place_claim c
                                       WHERE c.booking_id = p_booking AND c.status IN ('held', 'booked'))
    ORDER BY s.id FOR NO KEY UPDATE;
    PERFORM release_booking_places(p_booking, 'RESCHEDULED');
    SELECT c.claimed, c.lapsed_bookings INTO claimed, lapsed_bookings FROM claim_whole_session(
        p_claim, p_organization, p_session, p_least, NULL, 'booked', NULL, p_booking, NULL, 'RESCHEDULED', false) c;
END $$;

-- A private group keeps its session whole: places that are added later are theirs, whoever adds them. Whoever changes a
-- capacity has the session's row, so that the claim is locked after it, as everywhere.
CREATE FUNCTION keep_session_private() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
BEGIN
    SELECT c.* INTO v_claim FROM place_claim c
    WHERE c.session_id = NEW.id AND c.is_private AND c.status IN ('held', 'booked') AND c.places < NEW.capacity
    FOR NO KEY UPDATE;
    IF FOUND THEN
        NEW.taken := NEW.taken + NEW.capacity - v_claim.places;
        UPDATE place_claim c SET places = NEW.capacity WHERE c.id = v_claim.id RETURNING c.* INTO STRICT v_claim;
        PERFORM tell_claim(v_claim, 'CAPACITY');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER activity_session_private BEFORE UPDATE OF capacity ON activity_session
    FOR EACH ROW WHEN (NEW.capacity > OLD.capacity AND OLD.taken > 0) EXECUTE FUNCTION keep_session_private();
