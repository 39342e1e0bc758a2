-- Waitlist: who wants a place that is not free, and the offers made to them.
--
-- An offer is a hold, so places and time are refused to everybody else as for any other. Its claim runs until the start, so
-- that no sweep and no other claim takes it for lapsed; the hold's own `expires_at` says until when it can be accepted. Only
-- the job of the waitlist ends one that nobody accepted, and so until then it reads as held.
--
-- Whoever frees places or time while somebody waits for them says so in a NOTICE, which reaches the application with the
-- answer of the same statement; it makes the offers before that transaction ends (`Database.transaction`). A price takes
-- what the application knows: hence not all of it is done here.
--
-- Locks: booking, session, place claim or allocation, hold, waitlist entry. Who has an entry asks for none of the others,
-- but for making an offer, when it has the session, or claims time as any hold does.

SET LOCAL lock_timeout = '5s';

ALTER TABLE organization
    ADD COLUMN waitlist_offer_minutes INTEGER DEFAULT '15' NOT NULL,
    ADD CONSTRAINT organization_waitlist_offer_check CHECK (waitlist_offer_minutes BETWEEN 5 AND 1440);

-- Of a hold that is an offer: whose. No foreign key: the table is big, and the entry says the same.
ALTER TABLE hold ADD COLUMN waitlist_entry_id UUID;

-- For places: an activity, and one session or any. For time: a service, with whom, and how long. `windows`: when it may
-- start; `refused`: what was offered and not accepted. `arrival` decides among those of one priority, the higher of which
-- is first. `session_id` has no foreign key: sessions that never were anybody's are deleted, and their entries stay.
CREATE TABLE waitlist_entry (
    activity_id UUID,
    session_id UUID,
    service_id UUID,
    provider_ids UUID[],
    duration_minutes INTEGER,
    windows TSTZMULTIRANGE NOT NULL,
    refused TSTZMULTIRANGE DEFAULT '{}' NOT NULL,
    party_size INTEGER NOT NULL,
    priority INTEGER DEFAULT '0' NOT NULL,
    arrival BIGINT GENERATED ALWAYS AS IDENTITY,
    status TEXT DEFAULT 'waiting' NOT NULL,
    ended_reason TEXT,
    ended_at TIMESTAMP WITH TIME ZONE,
    hold_id UUID,
    offer_expires_at TIMESTAMP WITH TIME ZONE,
    lapses INTEGER DEFAULT '0' NOT NULL,
    checked_at TIMESTAMP WITH TIME ZONE,
    user_id UUID,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    phone TEXT,
    locale TEXT,
    address TEXT,
    version INTEGER DEFAULT '1' NOT NULL,
    access_version INTEGER DEFAULT '1' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT waitlist_entry_pkey PRIMARY KEY (id),
    CONSTRAINT waitlist_entry_subject_check CHECK (
        (activity_id IS NULL) <> (service_id IS NULL) AND (activity_id IS NOT NULL OR session_id IS NULL)
        AND (service_id IS NOT NULL OR (provider_ids IS NULL AND duration_minutes IS NULL))),
    CONSTRAINT waitlist_entry_windows_check CHECK (NOT isempty(windows)),
    CONSTRAINT waitlist_entry_party_size_check CHECK (party_size >= 1),
    CONSTRAINT waitlist_entry_priority_check CHECK (priority BETWEEN 0 AND 100),
    CONSTRAINT waitlist_entry_providers_check CHECK (cardinality(provider_ids) BETWEEN 1 AND 20),
    CONSTRAINT waitlist_entry_status_check CHECK (status IN ('waiting', 'offered', 'accepted', 'left', 'ended')),
    CONSTRAINT waitlist_entry_reason_check CHECK ((status = 'ended') = (ended_reason IS NOT NULL)),
    CONSTRAINT waitlist_entry_offer_check CHECK (
        status <> 'offered' OR (hold_id IS NOT NULL AND offer_expires_at IS NOT NULL)),
    CONSTRAINT waitlist_entry_hold_id_key UNIQUE (hold_id),
    CONSTRAINT waitlist_entry_activity_id_fkey FOREIGN KEY(activity_id) REFERENCES activity (id),
    CONSTRAINT waitlist_entry_service_id_fkey FOREIGN KEY(service_id) REFERENCES service (id),
    CONSTRAINT waitlist_entry_hold_id_fkey FOREIGN KEY(hold_id) REFERENCES hold (id),
    CONSTRAINT waitlist_entry_user_id_fkey FOREIGN KEY(user_id) REFERENCES user_account (id),
    CONSTRAINT waitlist_entry_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX waitlist_entry_activity_idx ON waitlist_entry (activity_id, priority DESC, arrival) WHERE status = 'waiting';
CREATE INDEX waitlist_entry_service_idx ON waitlist_entry (service_id, priority DESC, arrival) WHERE status = 'waiting';
CREATE INDEX waitlist_entry_time_idx ON waitlist_entry (organization_id) WHERE status = 'waiting' AND service_id IS NOT NULL;
CREATE INDEX waitlist_entry_checked_idx ON waitlist_entry (checked_at NULLS FIRST)
    WHERE status = 'waiting' AND service_id IS NOT NULL;
CREATE INDEX waitlist_entry_offer_idx ON waitlist_entry (offer_expires_at) WHERE status = 'offered';
CREATE INDEX waitlist_entry_email_idx ON waitlist_entry (organization_id, email) WHERE status IN ('waiting', 'offered');
CREATE INDEX waitlist_entry_address_idx ON waitlist_entry (address) WHERE status IN ('waiting', 'offered');
CREATE INDEX waitlist_entry_user_id_idx ON waitlist_entry (user_id, id);
CREATE INDEX waitlist_entry_organization_id_idx ON waitlist_entry (organization_id, id);
SELECT protect_table('waitlist_entry');

CREATE FUNCTION bump_waitlist_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER waitlist_entry_version BEFORE UPDATE ON waitlist_entry FOR EACH ROW
    WHEN (OLD.checked_at IS NOT DISTINCT FROM NEW.checked_at) -- to be looked at changes nothing
    EXECUTE FUNCTION bump_waitlist_version();

-- Which organization an entry belongs to: a door of its own, as payouts have one.
CREATE FUNCTION enter_waitlist(p_entry uuid, p_user uuid, p_clock_offset interval)
RETURNS TABLE (organization_id uuid, role text, provider_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT d.* FROM waitlist_entry e,
        LATERAL enter_organization('organization', e.organization_id, NULL, p_user, p_clock_offset) d
    WHERE e.id = p_entry
$$;
SELECT make_door('enter_waitlist(uuid, uuid, interval)');

-- ── what is told ─────────────────────────────────────────────────────────────────────────────────────

-- Whom everybody in one line can listen to, since their positions change with it.
CREATE FUNCTION waitlist_line(p_subject uuid) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN md5('waitlist:' || p_subject::text)::uuid;

CREATE FUNCTION tell_waitlist(p_entry waitlist_entry, p_type text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO outbox_event (organization_id, type, subject_id, payload)
    SELECT p_entry.organization_id, t.type, t.subject, jsonb_build_object(
        'entryId', p_entry.id, 'version', p_entry.version, 'status', p_entry.status, 'reason', p_entry.ended_reason)
    FROM (VALUES (1, p_type, p_entry.id),
                 (2, 'waitlist.moved', waitlist_line(COALESCE(p_entry.activity_id, p_entry.service_id)))
    ) AS t (n, type, subject) ORDER BY t.n
$$;

-- With its line in the audit: who did it is told by `app.waitlist_actor`, in the form of `journal`, where it was somebody.
CREATE FUNCTION note_waitlist(p_entry waitlist_entry, p_type text, p_before text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO audit_entry (organization_id, action, subject_id, before, after, reason, actor, actor_id, channel, address,
                             user_agent, request_id)
    SELECT p_entry.organization_id, p_type, p_entry.id, jsonb_build_object('status', p_before),
           jsonb_strip_nulls(jsonb_build_object('status', p_entry.status, 'hold_id', p_entry.hold_id)),
           p_entry.ended_reason, COALESCE(by.actor ->> 'actor', 'system'), (by.actor ->> 'actor_id')::uuid,
           COALESCE(by.actor ->> 'channel', 'job'), by.actor ->> 'address', by.actor ->> 'user_agent',
           by.actor ->> 'request_id'
    FROM (SELECT NULLIF(current_setting('app.waitlist_actor', true), '')::jsonb) AS by (actor);
    SELECT tell_waitlist(p_entry, p_type);
$$;

-- ── places ───────────────────────────────────────────────────────────────────────────────────────────

-- The first who fits into so many places of a session, by priority, then by arrival. Nobody, where the session could not be
-- booked now. With `p_lock` entries that somebody else is changing are passed over, and the one that is found is locked.
CREATE FUNCTION first_waiting(p_session activity_session, p_room integer, p_lock boolean = false) RETURNS waitlist_entry
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id uuid;
    v_entry waitlist_entry;
BEGIN
    IF p_room < 1 OR p_session.status <> 'open' OR p_session.is_legacy OR NOT EXISTS (
        SELECT FROM waitlist_entry e WHERE e.activity_id = p_session.activity_id AND e.status = 'waiting'
    ) OR NOT EXISTS (
        SELECT FROM activity a JOIN venue v ON v.id = a.venue_id
        WHERE a.id = p_session.activity_id AND a.is_active AND v.is_active AND a.sessions_follow
          AND p_session.starts_at > turnero_now() + make_interval(mins => a.advance_notice_minutes)
          AND p_session.starts_at < turnero_now() + make_interval(days => a.maximum_advance_days)
    ) THEN
        RETURN NULL;
    END IF;
    FOR v_id IN
        SELECT e.id FROM waitlist_entry e
        WHERE e.activity_id = p_session.activity_id AND e.status = 'waiting' AND e.party_size <= p_room
          AND (e.session_id IS NULL OR e.session_id = p_session.id)
          AND e.windows @> p_session.starts_at
          AND NOT e.refused && tstzrange(p_session.starts_at, p_session.ends_at)
        ORDER BY e.priority DESC, e.arrival
    LOOP
        IF p_lock THEN
            SELECT e.* INTO v_entry FROM waitlist_entry e WHERE e.id = v_id AND e.status = 'waiting'
            FOR NO KEY UPDATE SKIP LOCKED;
        ELSE
            SELECT e.* INTO v_entry FROM waitlist_entry e WHERE e.id = v_id;
        END IF;
        IF v_entry.id IS NOT NULL THEN
            RETURN v_entry;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Is a bulk change of the staff cancelling what is in this session, and then the session itself? What that frees is offered
-- to nobody, nor taken by anybody past those who wait: when it is over there is no session, or the job offers what is left.
CREATE FUNCTION is_being_called_off(p_session activity_session) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM bulk_change b
        WHERE b.status = 'running' AND b.action = 'cancel' AND b.organization_id = p_session.organization_id
          AND p_session.starts_at >= b.starts_from AND p_session.starts_at < b.starts_before
          AND (b.activity_id = p_session.activity_id
               OR b.venue_id = (SELECT a.venue_id FROM activity a WHERE a.id = p_session.activity_id)));
END $$;

-- The same of a session by id, which is locked first: who is next, or no row.
CREATE FUNCTION next_waiting(p_session uuid) RETURNS TABLE (entry_id uuid, party_size integer, user_id uuid, at timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_session activity_session;
    v_entry waitlist_entry;
BEGIN
    SELECT s.* INTO v_session FROM activity_session s WHERE s.id = p_session FOR NO KEY UPDATE;
    v_entry := first_waiting(v_session, v_session.capacity - v_session.taken, true);
    IF v_entry.id IS NOT NULL AND NOT is_being_called_off(v_session) THEN
        RETURN QUERY SELECT v_entry.id, v_entry.party_size, v_entry.user_id, turnero_now();
    END IF;
END $$;

CREATE FUNCTION note_opened_places() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (first_waiting(NEW, NEW.capacity - NEW.taken)).id IS NOT NULL THEN
        RAISE NOTICE 'turnero:waitlist.places % %', NEW.organization_id, NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER activity_session_opened AFTER UPDATE OF taken, capacity, status, is_legacy ON activity_session FOR EACH ROW
    WHEN (NEW.status = 'open' AND NOT NEW.is_legacy AND NEW.taken < NEW.capacity
          AND (NEW.capacity - NEW.taken > OLD.capacity - OLD.taken OR OLD.status <> 'open' OR OLD.is_legacy))
    EXECUTE FUNCTION note_opened_places();

-- New sessions are for those who wait for any of the activity.
CREATE FUNCTION note_new_sessions() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_session activity_session;
BEGIN
    FOR v_session IN
        SELECT n.* FROM new_session n
        WHERE EXISTS (SELECT FROM waitlist_entry e WHERE e.activity_id = n.activity_id AND e.status = 'waiting')
        ORDER BY n.starts_at
    LOOP
        IF (first_waiting(v_session, v_session.capacity - v_session.taken)).id IS NOT NULL THEN
            RAISE NOTICE 'turnero:waitlist.places % %', v_session.organization_id, v_session.id;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER activity_session_made AFTER INSERT ON activity_session REFERENCING NEW TABLE AS new_session
    FOR EACH STATEMENT EXECUTE FUNCTION note_new_sessions();

-- The hold of an offer, which is claimed by now, and the entry that it is made to.
CREATE FUNCTION put_offer(p_entry uuid, p_hold uuid) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_entry waitlist_entry;
    v_expires timestamptz;
BEGIN
    UPDATE hold h SET waitlist_entry_id = p_entry,
                      expires_at = least(h.starts_at, turnero_now() + make_interval(mins => o.waitlist_offer_minutes))
    FROM organization o WHERE h.id = p_hold AND o.id = h.organization_id
    RETURNING h.expires_at INTO STRICT v_expires;
    UPDATE waitlist_entry e SET status = 'offered', hold_id = p_hold, offer_expires_at = v_expires
    WHERE e.id = p_entry AND e.status = 'waiting'
    RETURNING e.* INTO STRICT v_entry;
    -- Whoever freed it made no offer.
    PERFORM set_config('app.waitlist_actor', '', true);
    PERFORM note_waitlist(v_entry, 'waitlist.offered', 'waiting');
    RETURN v_expires;
END $$;

-- Offers places of a session to an entry that `next_waiting` gave: the same transaction has both rows.
CREATE FUNCTION offer_places(p_entry uuid, p_hold uuid, p_claim uuid, p_session uuid, p_price bigint, p_currency text,
                             p_quote jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_entry waitlist_entry;
    v_session activity_session;
BEGIN
    SELECT e.* INTO STRICT v_entry FROM waitlist_entry e WHERE e.id = p_entry AND e.status = 'waiting';
    UPDATE activity_session s SET taken = s.taken + v_entry.party_size
    WHERE s.id = p_session AND s.taken + v_entry.party_size <= s.capacity AND s.status = 'open' AND NOT s.is_legacy
    RETURNING s.* INTO v_session;
    IF v_session.id IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO place_claim (id, organization_id, session_id, places, status, hold_id, expires_at)
    VALUES (p_claim, v_session.organization_id, p_session, v_entry.party_size, 'held', p_hold, v_session.starts_at);
    INSERT INTO hold (id, organization_id, status, session_id, starts_at, ends_at, buffer_before_minutes,
                      buffer_after_minutes, expires_at, party_size, price_minor, currency, user_id, quote)
    VALUES (p_hold, v_session.organization_id, 'active', p_session, v_session.starts_at, v_session.ends_at, 0, 0,
            v_session.starts_at, v_entry.party_size, p_price, p_currency, v_entry.user_id, p_quote);
    PERFORM tell_session(p_session, 'session.places', 'HELD', p_claim, v_entry.party_size, v_session.starts_at);
    PERFORM put_offer(p_entry, p_hold);
    RETURN true;
END $$;

-- Would a claim of so many places take one from somebody who waits and fits? The caller has the session's row. What the
-- same transaction gave back for itself is its own, and not what they wait for.
CREATE FUNCTION are_places_awaited(p_session uuid, p_places integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_own integer := kept_own_places(p_session);
    v_session activity_session;
BEGIN
    IF p_places <= v_own THEN
        RETURN false;
    END IF;
    SELECT s.* INTO v_session FROM activity_session s WHERE s.id = p_session;
    RETURN (first_waiting(v_session, v_session.capacity - v_session.taken - v_own)).id IS NOT NULL;
END $$;

-- As in 0002, but that those who wait and fit come first: what a lapsed hold gives back, or what is free and is just about
-- to be offered, is not for whoever comes by. An offer takes its places itself, and a correction what was its own.
CREATE OR REPLACE FUNCTION claim_places(
    p_claim uuid, p_organization uuid, p_session uuid, p_places integer, p_status text, p_hold uuid, p_booking uuid,
    p_expires timestamptz, p_cause text, p_is_correction boolean, OUT claimed boolean, OUT lapsed_bookings uuid[]
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM activity_session s WHERE s.id = p_session FOR NO KEY UPDATE;
    lapsed_bookings := (release_lapsed_places(p_session)).bookings;
    claimed := false;
    IF NOT p_is_correction AND are_places_awaited(p_session, p_places) THEN
        RETURN;
    END IF;
    UPDATE activity_session s SET taken = s.taken + p_places
    WHERE s.id = p_session AND s.taken + p_places <= s.capacity
      AND (p_is_correction OR (s.status = 'open' AND NOT s.is_legacy));
    claimed := FOUND;
    IF claimed THEN
        INSERT INTO place_claim (id, organization_id, session_id, places, status, hold_id, booking_id, expires_at)
        VALUES (p_claim, p_organization, p_session, p_places, p_status, p_hold, p_booking, p_expires);
        PERFORM keep_own_places(p_session, -p_places);
        PERFORM tell_session(p_session, 'session.places', p_cause, p_claim, p_places, p_expires);
    END IF;
END $$;

-- A session that is called off takes its offers with it: who waits for others of the activity waits on, and has refused
-- nothing. The claims are locked before the entries, as everywhere.
ALTER FUNCTION release_session_holds(uuid) RENAME TO release_session_holds_alone;
CREATE FUNCTION release_session_holds(p_session uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM end_waitlist_offer(held.hold_id, 'session_cancelled') FROM (
        SELECT c.hold_id FROM place_claim c
        WHERE c.session_id = p_session AND c.status = 'held' AND c.booking_id IS NULL
        ORDER BY c.id FOR NO KEY UPDATE) AS held;
    RETURN release_session_holds_alone(p_session);
END $$;

-- ── what becomes of an offer ─────────────────────────────────────────────────────────────────────────

-- The offer is taken back. Who waits for this session alone has nothing to wait for any more.
CREATE FUNCTION end_waitlist_offer(p_hold uuid, p_reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_entry waitlist_entry;
BEGIN
    UPDATE waitlist_entry e
    SET hold_id = NULL, offer_expires_at = NULL, status = CASE WHEN e.session_id IS NULL THEN 'waiting' ELSE 'ended' END,
        ended_reason = CASE WHEN e.session_id IS NULL THEN NULL ELSE p_reason END,
        ended_at = CASE WHEN e.session_id IS NULL THEN NULL ELSE turnero_now() END
    WHERE e.hold_id = p_hold AND e.status = 'offered'
    RETURNING e.* INTO v_entry;
    IF FOUND THEN
        PERFORM note_waitlist(v_entry, 'waitlist.withdrawn', 'offered');
    END IF;
END $$;

-- The entry follows the hold, whoever ended that: booked, it is accepted; given back, declined; run out, lapsed. What was
-- not accepted is not offered to the same entry again: it waits on for something else, unless it waited for this alone,
-- or has let three offers lapse.
CREATE FUNCTION follow_offer() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_entry waitlist_entry;
    v_lapses integer;
    v_type text := CASE NEW.status WHEN 'consumed' THEN 'waitlist.accepted' WHEN 'released' THEN 'waitlist.declined'
                   ELSE 'waitlist.lapsed' END;
    v_reason text;
BEGIN
    SELECT e.* INTO v_entry FROM waitlist_entry e
    WHERE e.id = NEW.waitlist_entry_id AND e.hold_id = NEW.id AND e.status = 'offered' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF NEW.status = 'consumed' THEN
        UPDATE waitlist_entry e SET status = 'accepted', ended_at = turnero_now() WHERE e.id = v_entry.id
        RETURNING e.* INTO v_entry;
    ELSE
        v_lapses := v_entry.lapses + (NEW.status = 'expired')::integer;
        v_reason := CASE
            WHEN NEW.status = 'expired' AND (v_entry.session_id IS NOT NULL OR v_lapses >= 3) THEN 'lapsed'
            WHEN v_entry.session_id IS NOT NULL THEN 'declined'
            WHEN upper(v_entry.windows) <= turnero_now() THEN 'past' END;
        UPDATE waitlist_entry e
        SET status = CASE WHEN v_reason IS NULL THEN 'waiting' ELSE 'ended' END, ended_reason = v_reason,
            ended_at = CASE WHEN v_reason IS NULL THEN NULL ELSE turnero_now() END, lapses = v_lapses,
            hold_id = NULL, offer_expires_at = NULL,
            refused = e.refused + tstzmultirange(tstzrange(NEW.starts_at, NEW.ends_at))
        WHERE e.id = v_entry.id
        RETURNING e.* INTO v_entry;
    END IF;
    PERFORM note_waitlist(v_entry, v_type, 'offered');
    RETURN NULL;
END $$;
CREATE TRIGGER hold_offer_answered AFTER UPDATE OF status ON hold FOR EACH ROW
    WHEN (NEW.waitlist_entry_id IS NOT NULL AND OLD.status = 'active' AND NEW.status <> 'active')
    EXECUTE FUNCTION follow_offer();

-- Nobody waits for a session that does not take place.
CREATE FUNCTION end_session_entries() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_entry waitlist_entry;
BEGIN
    FOR v_entry IN
        UPDATE waitlist_entry e SET status = 'ended', ended_reason = 'session_cancelled', ended_at = turnero_now()
        WHERE e.activity_id = NEW.activity_id AND e.session_id = NEW.id AND e.status = 'waiting'
        RETURNING e.*
    LOOP
        PERFORM note_waitlist(v_entry, 'waitlist.ended', 'waiting');
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER activity_session_called_off AFTER UPDATE OF status ON activity_session FOR EACH ROW
    WHEN (NEW.status = 'cancelled' AND OLD.status <> 'cancelled') EXECUTE FUNCTION end_session_entries();

-- What somebody was offered takes nothing from what they may hold besides.
ALTER FUNCTION hold_limits(uuid, text, integer, integer) RENAME TO hold_limits_of_all;
CREATE FUNCTION hold_limits(
    p_user uuid, p_address text, p_user_limit integer, p_address_limit integer,
    OUT outcome text, OUT retry_after timestamptz
)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT l.* FROM hold_limits_of_all(
        p_user, p_address,
        CASE WHEN p_user_limit > 0 THEN p_user_limit + (
            SELECT count(*)::integer FROM hold h
            WHERE h.user_id = p_user AND h.status = 'active' AND h.waitlist_entry_id IS NOT NULL
              AND h.expires_at > turnero_now()) ELSE 0 END,
        p_address_limit) l
$$;

-- Gives an offer back and ends it; false: it is not held any more. With `p_leaves` the entry leaves the line, which it may
-- also where it waits; without, it declines `p_hold`, and no other offer that was made meanwhile.
CREATE FUNCTION give_up_waiting(p_entry uuid, p_leaves boolean, p_actor text, p_hold uuid = NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold hold;
    v_claim place_claim;
    v_ids uuid[] := '{}';
    v_entry waitlist_entry;
    v_was text;
BEGIN
    PERFORM set_config('app.waitlist_actor', p_actor, true);
    LOOP
        SELECT h.* INTO v_hold FROM waitlist_entry e JOIN hold h ON h.id = e.hold_id
        WHERE e.id = p_entry AND e.status = 'offered';
        IF v_hold.session_id IS NOT NULL THEN
            PERFORM 1 FROM activity_session s WHERE s.id = v_hold.session_id FOR NO KEY UPDATE;
            SELECT c.* INTO v_claim FROM place_claim c
            WHERE c.hold_id = v_hold.id AND c.status = 'held' AND c.booking_id IS NULL FOR NO KEY UPDATE;
        ELSIF v_hold.id IS NOT NULL THEN
            v_ids := ARRAY(SELECT a.id FROM allocation a
                           WHERE a.hold_id = v_hold.id AND a.status = 'held' AND a.booking_id IS NULL
                           ORDER BY a.id FOR NO KEY UPDATE);
        END IF;
        SELECT e.* INTO v_entry FROM waitlist_entry e WHERE e.id = p_entry FOR NO KEY UPDATE;
        -- An offer was made, or has ended, while we waited: once more, from the beginning of the order.
        EXIT WHEN v_entry.status <> 'offered' OR v_entry.hold_id = v_hold.id;
    END LOOP;
    v_was := v_entry.status;
    IF v_was NOT IN ('waiting', 'offered') OR (NOT p_leaves AND (v_was = 'waiting' OR v_entry.hold_id <> p_hold)) THEN
        RETURN false;
    END IF;
    IF p_leaves THEN
        UPDATE waitlist_entry e
        SET status = 'left', ended_at = turnero_now(), hold_id = NULL, offer_expires_at = NULL
        WHERE e.id = p_entry RETURNING e.* INTO v_entry;
        PERFORM note_waitlist(v_entry, 'waitlist.left', v_was);
    END IF;
    IF v_was = 'offered' THEN
        IF v_claim.id IS NOT NULL THEN
            PERFORM free_places(v_claim, 'RELEASED', 'released');
        ELSE
            PERFORM free_time(v_ids, 'RELEASED');
            UPDATE hold h SET status = 'released' WHERE h.id = v_hold.id AND h.status = 'active';
        END IF;
    END IF;
    RETURN true;
END $$;

-- ── the jobs ─────────────────────────────────────────────────────────────────────────────────────────

-- Ends at most so many offers whose time is over, in the order of their sessions; how many it were. The next in line are
-- offered what is freed in the same transaction. One that is being booked or declined this very moment is left alone.
CREATE FUNCTION lapse_offers(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold hold;
    v_claim place_claim;
    v_ids uuid[];
    v_count integer := 0;
BEGIN
    FOR v_hold IN
        SELECT h.* FROM waitlist_entry e JOIN hold h ON h.id = e.hold_id
        WHERE e.status = 'offered' AND e.offer_expires_at <= (SELECT turnero_now())
        ORDER BY h.session_id NULLS FIRST, h.id LIMIT p_limit
    LOOP
        IF v_hold.session_id IS NOT NULL THEN
            PERFORM 1 FROM activity_session s WHERE s.id = v_hold.session_id FOR NO KEY UPDATE;
            SELECT c.* INTO v_claim FROM place_claim c
            WHERE c.hold_id = v_hold.id AND c.status = 'held' AND c.booking_id IS NULL FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            PERFORM free_places(v_claim, 'RELEASED', 'expired');
        ELSE
            v_ids := ARRAY(SELECT a.id FROM allocation a
                           WHERE a.hold_id = v_hold.id AND a.status = 'held' AND a.booking_id IS NULL
                           ORDER BY a.id FOR NO KEY UPDATE SKIP LOCKED);
            -- All of it, or nothing: what is left of an offer that has ended would stay held until the start.
            CONTINUE WHEN cardinality(v_ids) = 0 OR EXISTS (
                SELECT FROM allocation a
                WHERE a.hold_id = v_hold.id AND a.status = 'held' AND a.booking_id IS NULL AND NOT a.id = ANY (v_ids));
            PERFORM free_time(v_ids, 'RELEASED');
            UPDATE hold h SET status = 'expired' WHERE h.id = v_hold.id AND h.status = 'active';
        END IF;
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;

-- Ends at most so many entries whose windows are past; how many it were.
CREATE FUNCTION end_past_entries(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_entry waitlist_entry;
    v_count integer := 0;
BEGIN
    FOR v_entry IN
        UPDATE waitlist_entry e SET status = 'ended', ended_reason = 'past', ended_at = turnero_now()
        WHERE e.id IN (SELECT w.id FROM waitlist_entry w
                       WHERE w.status = 'waiting' AND upper(w.windows) <= (SELECT turnero_now())
                       LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING e.*
    LOOP
        PERFORM note_waitlist(v_entry, 'waitlist.ended', 'waiting');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;

-- Sessions with places that somebody waits for: what no transaction has offered, since it opened by a change of the
-- activity, of its hours, or of the clock. At most so many, after one of them.
CREATE FUNCTION sessions_to_offer(p_after uuid, p_limit integer) RETURNS SETOF uuid
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.id FROM activity_session s
    WHERE s.activity_id IN (SELECT e.activity_id FROM waitlist_entry e WHERE e.status = 'waiting')
      AND s.starts_at > (SELECT turnero_now()) AND s.status = 'open' AND NOT s.is_legacy AND s.taken < s.capacity
      AND s.id > p_after AND (first_waiting(s, s.capacity - s.taken)).id IS NOT NULL AND NOT is_being_called_off(s)
    ORDER BY s.id LIMIT p_limit
$$;

-- ── time ──────────────────────────────────────────────────────────────────────────────────────────────

-- Does anybody wait for a start of which this time could be a part? The slot engine says whether it really fits. Of a
-- resource unit: anybody, since which service needs it is not asked here.
CREATE FUNCTION is_time_awaited(p_organization uuid, p_subject uuid, p_busy tstzrange) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM waitlist_entry e
        WHERE e.organization_id = p_organization AND e.status = 'waiting' AND e.service_id IS NOT NULL
          AND e.windows && tstzrange(lower(p_busy) - interval '1 day', upper(p_busy))
          AND (e.provider_ids IS NULL OR p_subject = ANY (e.provider_ids)
               OR NOT EXISTS (SELECT FROM provider p WHERE p.id = p_subject)))
$$;

-- Before awaited time is freed, everybody and everything that its hold or booking takes is locked, in the order of all who
-- claim several: the offer that follows needs them, and whoever has them must not be waiting for what we are freeing. So
-- long as the row is only locked, nobody waits for it: it is simply taken.
CREATE FUNCTION lock_opened_time() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_subjects uuid[];
BEGIN
    IF upper(OLD.busy) > turnero_now() AND is_time_awaited(OLD.organization_id, OLD.subject_id, OLD.busy) THEN
        v_subjects := OLD.subject_id || ARRAY(
            SELECT a.subject_id FROM allocation a
            WHERE a.status <> 'released' AND (a.booking_id = OLD.booking_id OR a.hold_id = OLD.hold_id));
        PERFORM lock_subjects(v_subjects, jsonb_build_array(jsonb_build_object('units', v_subjects)));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER allocation_opening BEFORE UPDATE OF status ON allocation FOR EACH ROW
    WHEN (OLD.status <> 'released' AND NEW.status = 'released') EXECUTE FUNCTION lock_opened_time();

CREATE FUNCTION note_opened_time() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_busy tstzrange := CASE TG_TABLE_NAME WHEN 'allocation' THEN (to_jsonb(NEW) ->> 'busy')::tstzrange
                        ELSE tstzrange(NEW.starts_at, NEW.ends_at) END;
BEGIN
    IF upper(v_busy) > turnero_now() AND is_time_awaited(NEW.organization_id, NEW.subject_id, v_busy) THEN
        RAISE NOTICE 'turnero:waitlist.time % % % %', NEW.organization_id, NEW.subject_id,
            to_json(lower(v_busy)) #>> '{}', to_json(upper(v_busy)) #>> '{}';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER allocation_opened AFTER UPDATE OF status ON allocation FOR EACH ROW
    WHEN (OLD.status <> 'released' AND NEW.status = 'released') EXECUTE FUNCTION note_opened_time();
CREATE TRIGGER blocked_time_opened AFTER UPDATE OF removed_at ON blocked_time FOR EACH ROW
    WHEN (OLD.removed_at IS NULL AND NEW.removed_at IS NOT NULL) EXECUTE FUNCTION note_opened_time();

-- Whose time a bulk change empties just now, and when: nobody is offered it meanwhile. What is free when it has ended is
-- offered by the job.
CREATE FUNCTION time_being_cleared(p_organization uuid)
RETURNS TABLE (provider_id uuid, starts_from timestamptz, starts_before timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT COALESCE(b.provider_id, p.id), b.starts_from, b.starts_before
    FROM bulk_change b LEFT JOIN provider p ON p.venue_id = b.venue_id
    WHERE b.organization_id = p_organization AND b.status = 'running' AND COALESCE(b.provider_id, p.id) IS NOT NULL;
END $$;

-- Other hours, or something else that is offered: which times that opens the slot engine knows, after the commit.
CREATE FUNCTION note_opened_hours() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM waitlist_entry e
               WHERE e.organization_id = NEW.organization_id AND e.status = 'waiting' AND e.service_id IS NOT NULL) THEN
        RAISE NOTICE 'turnero:waitlist.hours %', NEW.organization_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER schedule_version_opened AFTER INSERT ON schedule_version FOR EACH ROW EXECUTE FUNCTION note_opened_hours();
CREATE TRIGGER schedule_exception_opened AFTER INSERT OR UPDATE ON schedule_exception FOR EACH ROW
    EXECUTE FUNCTION note_opened_hours();
CREATE TRIGGER offer_opened AFTER INSERT OR UPDATE ON offer FOR EACH ROW EXECUTE FUNCTION note_opened_hours();
CREATE TRIGGER service_opened AFTER UPDATE ON service FOR EACH ROW WHEN (NEW.is_active) EXECUTE FUNCTION note_opened_hours();
CREATE TRIGGER provider_opened AFTER UPDATE OF is_active, daily_booking_limit, weekly_booking_limit ON provider FOR EACH ROW
    WHEN (NEW.is_active) EXECUTE FUNCTION note_opened_hours();

-- No claim runs over a lapsed one whose time somebody waits for: the sweep frees it, and it is offered in the same
-- transaction. Until then it counts as taken.
ALTER FUNCTION release_lapsed(uuid, tstzrange) RENAME TO release_lapsed_anyway;
CREATE FUNCTION release_lapsed(p_subject uuid, p_busy tstzrange) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM allocation a
        WHERE a.subject_id = p_subject AND a.busy && p_busy AND a.status = 'held' AND a.expires_at <= turnero_now()
          AND is_time_awaited(a.organization_id, p_subject, a.busy)
    ) THEN
        RETURN NULL;
    END IF;
    RETURN release_lapsed_anyway(p_subject, p_busy);
END $$;

-- Who waits for time and was looked at longest ago, of one organization, in line: what no transaction could offer, since it
-- opened by a change of hours or of the clock. They count as looked at from now on. No row: nobody is due.
CREATE FUNCTION entries_to_look_at(p_limit integer, p_every interval) RETURNS TABLE (entry_id uuid)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    WITH due AS MATERIALIZED (
        SELECT e.id FROM waitlist_entry e
        WHERE e.status = 'waiting' AND e.service_id IS NOT NULL AND e.organization_id = (
            SELECT o.organization_id FROM waitlist_entry o
            WHERE o.status = 'waiting' AND o.service_id IS NOT NULL
              AND (o.checked_at IS NULL OR o.checked_at <= (SELECT turnero_now()) - p_every)
            ORDER BY o.checked_at NULLS FIRST LIMIT 1)
        ORDER BY e.checked_at NULLS FIRST LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED
    ), looked AS (
        UPDATE waitlist_entry e SET checked_at = turnero_now() FROM due WHERE e.id = due.id
        RETURNING e.id, e.priority, e.arrival
    )
    SELECT l.id FROM looked l ORDER BY l.priority DESC, l.arrival
$$;

-- ── joining ──────────────────────────────────────────────────────────────────────────────────────────

-- How many live entries a customer (by account or e-mail address) and a network address (none: not asked) have; exact
-- until the transaction ends.
CREATE FUNCTION count_waiting(p_organization uuid, p_user uuid, p_email text, p_address text,
                              OUT of_customer bigint, OUT of_address bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF p_user IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('waitlist:' || p_organization || ':user:' || p_user, 0));
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('waitlist:' || p_organization || ':email:' || p_email, 0));
    SELECT count(*) INTO of_customer FROM waitlist_entry e
    WHERE e.organization_id = p_organization AND e.status IN ('waiting', 'offered')
      AND (e.email = p_email OR e.user_id = p_user);
    of_address := 0;
    IF p_address IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('waitlist:address:' || p_address, 0));
        SELECT count(*) INTO of_address FROM waitlist_entry e
        WHERE e.organization_id = p_organization AND e.address = p_address AND e.status IN ('waiting', 'offered');
    END IF;
END $$;

-- Before somebody joins the line of these sessions: they are locked, in order, and what lapsed in them is freed. How many
-- places each has, and whether others wait for those. Of several those alone that may have room: a place that is freed in
-- a full one this very moment is kept from everybody else, and the job offers it.
CREATE FUNCTION waitlist_room(p_sessions uuid[])
RETURNS TABLE (session_id uuid, room integer, is_awaited boolean, lapsed_bookings uuid[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_id uuid;
    v_session activity_session;
BEGIN
    FOR v_id IN
        SELECT s.id FROM activity_session s
        WHERE s.id = ANY (p_sessions) AND (cardinality(p_sessions) = 1 OR s.taken < s.capacity OR EXISTS (
            SELECT FROM place_claim c
            WHERE c.session_id = s.id AND c.status = 'held' AND c.expires_at <= (SELECT turnero_now())))
        ORDER BY s.id FOR NO KEY UPDATE
    LOOP
        lapsed_bookings := (release_lapsed_places(v_id)).bookings;
        SELECT s.* INTO STRICT v_session FROM activity_session s WHERE s.id = v_id;
        session_id := v_id;
        room := CASE WHEN v_session.status = 'open' AND NOT v_session.is_legacy
                     THEN v_session.capacity - v_session.taken ELSE 0 END;
        is_awaited := (first_waiting(v_session, room)).id IS NOT NULL;
        RETURN NEXT;
    END LOOP;
END $$;
