-- Guests: sessions of guests, recipients, addresses, and areas that providers come to.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

-- Whoever is served, and where, frozen with the booking as they were given. `is_at_customers`: the service comes to the
-- customer. `service_area`: where a provider comes to; none: anywhere.
ALTER TABLE booking ADD COLUMN recipient JSONB, ADD COLUMN address JSONB;
ALTER TABLE service ADD COLUMN is_at_customers BOOLEAN DEFAULT 'false' NOT NULL;
ALTER TABLE provider ADD COLUMN service_area JSONB;

-- A guest's way through a checkout. Its token is a keyed hash of the id, and is not stored. `details`: what the guest gave
-- last, to fill in the next checkout with.
CREATE TABLE guest_session (
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    details JSONB DEFAULT '{}' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT guest_session_pkey PRIMARY KEY (id),
    CONSTRAINT guest_session_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX guest_session_expires_at_idx ON guest_session (expires_at);

-- Which holds, and so which bookings, are of which session. A table of its own, so that holds, of which there are many
-- more than sessions, are not touched.
CREATE TABLE guest_hold (
    guest_session_id UUID NOT NULL,
    hold_id UUID NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT guest_hold_pkey PRIMARY KEY (guest_session_id, hold_id),
    CONSTRAINT guest_hold_guest_session_id_fkey
        FOREIGN KEY(guest_session_id) REFERENCES guest_session (id) ON DELETE CASCADE,
    CONSTRAINT guest_hold_hold_id_fkey FOREIGN KEY(hold_id) REFERENCES hold (id),
    CONSTRAINT guest_hold_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

SELECT protect_table(t) FROM unnest(ARRAY['guest_session', 'guest_hold']) AS t;
GRANT DELETE ON guest_session, guest_hold TO turnero_system;

-- The door to a guest session's organization.
CREATE FUNCTION enter_guest_session(p_session uuid, p_user uuid, p_clock_offset interval)
RETURNS TABLE (organization_id uuid, role text, provider_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT e.*
    FROM guest_session g, LATERAL enter_organization('organization', g.organization_id, NULL, p_user, p_clock_offset) e
    WHERE g.id = p_session
$$;
SELECT make_door('enter_guest_session(uuid, uuid, interval)');

-- A session lives on when it is used, for `p_ttl` from now, until `p_most` after its start. Its row stays locked: requests
-- of one guest come one after the other. Locks: session, limits, provider and unit rows by id, claims. False: it is over.
CREATE FUNCTION use_guest_session(p_session uuid, p_ttl interval, p_most interval) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE guest_session g
    SET expires_at = greatest(g.expires_at, least(turnero_now() + p_ttl, g.created_at + p_most))
    WHERE g.id = p_session AND g.ended_at IS NULL AND g.expires_at > turnero_now();
    RETURN FOUND;
END $$;

-- The same for a booking: the session keeps what the guest gave, and knows the hold that it is made of, if there is one.
CREATE FUNCTION book_in_guest_session(p_session uuid, p_ttl interval, p_most interval, p_hold uuid, p_details jsonb)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT use_guest_session(p_session, p_ttl, p_most) THEN
        RETURN false;
    END IF;
    UPDATE guest_session g SET details = g.details || p_details WHERE g.id = p_session;
    INSERT INTO guest_hold (guest_session_id, hold_id, organization_id)
    SELECT p_session, h.id, h.organization_id FROM hold h WHERE h.id = p_hold
    ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

-- Uses the session, where there is one (`is_live`: it is not over), and finds what the guest (of a session, or of an
-- account) holds, is live, and may be in the way of what is asked for now. `p_asked`: [{"service", "provider", "minutes"}],
-- the services of it in their order; a provider or minutes may be null. `minutes`: how long that may take. `holds`: null for
-- none.
-- Of a session: all that overlaps, since nobody is in two places at once. Of an account, which may hold for several
-- people: time of the provider who is asked for, or of the same first service where none is named.
-- An account's requests come one after the other from here on.
CREATE FUNCTION own_holds(
    p_session uuid, p_ttl interval, p_most interval, p_user uuid, p_asked jsonb, p_starts timestamptz,
    OUT is_live boolean, OUT minutes integer, OUT holds jsonb
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_minutes integer;
    v_before integer;
    v_after integer;
    v_service uuid := (p_asked -> 0 ->> 'service')::uuid;
    v_provider uuid := (p_asked -> 0 ->> 'provider')::uuid;
BEGIN
    is_live := p_session IS NULL OR use_guest_session(p_session, p_ttl, p_most);
    IF p_user IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('hold:user:' || p_user, 0));
    END IF;
    SELECT sum(longest.minutes), max(s.buffer_before_minutes), max(s.buffer_after_minutes)
    INTO v_minutes, v_before, v_after
    FROM jsonb_to_recordset(p_asked) AS a (service uuid, provider uuid, minutes integer)
    JOIN service s ON s.id = a.service
    CROSS JOIN LATERAL (
        -- An absurd length is for others to refuse.
        SELECT COALESCE(CASE WHEN a.minutes BETWEEN 0 AND 10000 THEN a.minutes ELSE sign(a.minutes)::integer END,
                        max(COALESCE(o.duration_minutes, s.duration_minutes)), s.duration_minutes) AS minutes
        FROM offer o WHERE o.service_id = s.id AND o.is_active AND o.provider_id = COALESCE(a.provider, o.provider_id)
    ) AS longest;
    minutes := v_minutes;
    holds := (
        SELECT jsonb_agg(jsonb_build_object(
            'id', h.id, 'startsAt', h.starts_at, 'endsAt', h.ends_at, 'partySize', h.party_size, 'service', h.service_id,
            'provider', h.provider_id, 'items', h.items, 'isOffer', h.waitlist_entry_id IS NOT NULL) ORDER BY h.id)
        FROM hold h
        WHERE h.status = 'active' AND h.expires_at > turnero_now() AND h.session_id IS NULL
          AND CASE WHEN p_session IS NULL
              THEN h.user_id = p_user AND CASE WHEN v_provider IS NULL THEN h.service_id = v_service
                                               ELSE h.provider_id = v_provider END
              ELSE h.id IN (SELECT g.hold_id FROM guest_hold g WHERE g.guest_session_id = p_session) END
          AND h.starts_at - make_interval(mins => h.buffer_before_minutes)
              < p_starts + make_interval(mins => v_minutes + v_after)
          AND h.ends_at + make_interval(mins => h.buffer_after_minutes)
              > p_starts - make_interval(mins => v_before));
END $$;

-- Gives a guest's own holds of time back, so that the next statements may claim it anew; nobody else gets it meanwhile: it
-- is free for others when the transaction ends. All that the next claim may wait for is locked first, in the one order:
-- the limits, then whoever had the time and whoever may give what is asked for. How many holds were given back: one that
-- became a booking this very moment is none.
CREATE FUNCTION give_back_own_holds(
    p_holds uuid[], p_asked jsonb, p_user uuid, p_address text, p_user_limit integer, p_address_limit integer
) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_most CONSTANT integer := 2147483647; -- the lock without the limit, which is looked at when the new hold is made
    v_had uuid[];
    v_may_give uuid[];
    v_may_need uuid[];
    v_hold uuid;
    v_count integer := 0;
BEGIN
    PERFORM hold_limits(p_user, p_address, CASE WHEN p_user_limit > 0 THEN v_most ELSE 0 END,
                        CASE WHEN p_address_limit > 0 THEN v_most ELSE 0 END);
    v_had := ARRAY(SELECT a.subject_id FROM allocation a WHERE a.hold_id = ANY (p_holds) AND a.status = 'held');
    v_may_give := ARRAY(
        SELECT o.provider_id FROM jsonb_to_recordset(p_asked) AS a (service uuid, provider uuid)
        JOIN offer o ON o.service_id = a.service AND o.is_active AND o.provider_id = COALESCE(a.provider, o.provider_id));
    v_may_need := ARRAY(
        SELECT u.id FROM jsonb_to_recordset(p_asked) AS a (service uuid)
        JOIN resource_need n ON n.owner_id = a.service JOIN resource_unit u ON u.resource_id = ANY (n.resource_ids));
    PERFORM lock_subjects(v_had || v_may_give, jsonb_build_array(jsonb_build_object('units', v_had || v_may_need)));
    PERFORM 1 FROM allocation a WHERE a.hold_id = ANY (p_holds) ORDER BY a.id FOR NO KEY UPDATE;
    FOR v_hold IN
        SELECT DISTINCT a.hold_id FROM allocation a
        WHERE a.hold_id = ANY (p_holds) AND a.status = 'held' AND a.booking_id IS NULL
    LOOP
        PERFORM release_held_time(v_hold);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;

-- As `own_holds`, for places: the newest live hold that the guest has of places of this session, if any; an offer
-- of the waitlist only where there is no other.
CREATE FUNCTION own_places(
    p_guest uuid, p_ttl interval, p_most interval, p_user uuid, p_session uuid, OUT is_live boolean, OUT hold uuid
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    is_live := p_guest IS NULL OR use_guest_session(p_guest, p_ttl, p_most);
    IF p_user IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('hold:user:' || p_user, 0));
    END IF;
    hold := (
        SELECT h.id FROM hold h
        WHERE h.session_id = p_session AND h.status = 'active' AND h.expires_at > turnero_now()
          AND CASE WHEN p_guest IS NULL THEN h.user_id = p_user
              ELSE h.id IN (SELECT g.hold_id FROM guest_hold g WHERE g.guest_session_id = p_guest) END
        ORDER BY h.waitlist_entry_id IS NOT NULL, h.id DESC LIMIT 1);
END $$;

-- Places that a transaction gave back in order to claim them anew: so many it may claim whoever waits for them
-- (`are_places_awaited`), since they are no others' yet. `p_places` more; fewer, where it is negative.
CREATE FUNCTION keep_own_places(p_session uuid, p_places integer) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_kept jsonb := COALESCE(NULLIF(current_setting('app.own_places', true), ''), '{}');
    v_places integer := COALESCE((v_kept ->> p_session::text)::integer, 0);
BEGIN
    IF p_places > 0 OR v_places > 0 THEN
        PERFORM set_config('app.own_places', (v_kept || jsonb_build_object(
            p_session, greatest(0, v_places + p_places)))::text, true);
    END IF;
END $$;

CREATE FUNCTION kept_own_places(p_session uuid) RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
RETURN COALESCE((NULLIF(current_setting('app.own_places', true), '')::jsonb ->> p_session::text)::integer, 0);

-- Gives the places of a guest's own hold back, so that other places of the same session may be held in their stead. Whoever
-- waits for places waits for the session's row, which stays locked until the transaction ends.
CREATE FUNCTION give_back_own_places(
    p_hold uuid, p_user uuid, p_address text, p_user_limit integer, p_address_limit integer
) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_most CONSTANT integer := 2147483647;
    v_outcome text;
BEGIN
    PERFORM hold_limits(p_user, p_address, CASE WHEN p_user_limit > 0 THEN v_most ELSE 0 END,
                        CASE WHEN p_address_limit > 0 THEN v_most ELSE 0 END);
    v_outcome := release_held_places(p_hold);
    IF v_outcome = 'held' THEN
        PERFORM keep_own_places(c.session_id, c.places) FROM place_claim c WHERE c.hold_id = p_hold;
    END IF;
    RETURN v_outcome;
END $$;
