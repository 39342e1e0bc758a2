-- What part 2 is built on: exceptions, blocked time, resources, activities and their sessions; holds and bookings that
-- may be of a session, or of several services in one visit.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

ALTER TABLE organization ADD COLUMN customer_daily_limit INTEGER, ADD COLUMN customer_weekly_limit INTEGER;
ALTER TABLE organization
    ADD CONSTRAINT organization_customer_limits_check
        CHECK (customer_daily_limit BETWEEN 1 AND 1000 AND customer_weekly_limit BETWEEN 1 AND 1000);

ALTER TABLE venue ADD COLUMN country TEXT, ADD COLUMN region TEXT;
ALTER TABLE venue ADD CONSTRAINT venue_region_check CHECK (region IS NULL OR country IS NOT NULL);

ALTER TABLE provider
    ADD COLUMN works_on_holidays BOOLEAN DEFAULT 'false' NOT NULL,
    ADD COLUMN languages TEXT[] DEFAULT '{}' NOT NULL,
    ADD COLUMN daily_booking_limit INTEGER,
    ADD COLUMN weekly_booking_limit INTEGER,
    ADD COLUMN calendar_version INTEGER DEFAULT '1' NOT NULL;
ALTER TABLE provider
    ADD CONSTRAINT provider_booking_limits_check
        CHECK (daily_booking_limit BETWEEN 1 AND 1000 AND weekly_booking_limit BETWEEN 1 AND 1000);

-- ── exceptions and blocked time ──────────────────────────────────────────────────────────────────────

CREATE TABLE schedule_exception (
    owner_id UUID NOT NULL,
    kind TEXT NOT NULL,
    days DATERANGE NOT NULL,
    open JSONB DEFAULT '[]' NOT NULL,
    breaks JSONB DEFAULT '[]' NOT NULL,
    slot_interval_minutes INTEGER,
    reason TEXT,
    created_by UUID,
    removed_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT schedule_exception_pkey PRIMARY KEY (id),
    CONSTRAINT schedule_exception_kind_check CHECK (kind IN ('closed', 'special_hours')),
    CONSTRAINT schedule_exception_days_check
        CHECK (NOT isempty(days) AND lower(days) IS NOT NULL AND upper(days) IS NOT NULL),
    CONSTRAINT schedule_exception_slot_interval_check CHECK (slot_interval_minutes BETWEEN 1 AND 1440),
    CONSTRAINT schedule_exception_no_overlap
        EXCLUDE USING gist (owner_id WITH =, days WITH &&) WHERE (removed_at IS NULL),
    CONSTRAINT schedule_exception_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

CREATE TABLE blocked_time (
    subject_id UUID NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT,
    source_id UUID,
    created_by UUID,
    removed_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT blocked_time_pkey PRIMARY KEY (id),
    CONSTRAINT blocked_time_kind_check CHECK (kind IN ('time_off', 'external')),
    CONSTRAINT blocked_time_times_check CHECK (starts_at < ends_at AND isfinite(starts_at) AND isfinite(ends_at)),
    CONSTRAINT blocked_time_source_check CHECK ((kind = 'external') = (source_id IS NOT NULL)),
    CONSTRAINT blocked_time_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
-- Two columns and no range: under row-level security only leakproof comparisons reach an index.
CREATE INDEX blocked_time_subject_idx ON blocked_time (subject_id, ends_at) INCLUDE (id, organization_id, starts_at, kind)
    WHERE removed_at IS NULL;
CREATE INDEX blocked_time_source_id_idx ON blocked_time (source_id) WHERE removed_at IS NULL;
-- Since when a copy is of no use: it ended, or was taken away.
CREATE INDEX blocked_time_useless_idx ON blocked_time (LEAST(ends_at, removed_at)) WHERE kind = 'external';

-- ── resources ────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE resource (
    venue_id UUID NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    is_active BOOLEAN DEFAULT 'true' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT resource_pkey PRIMARY KEY (id),
    CONSTRAINT resource_kind_check CHECK (kind IN ('room', 'equipment', 'person')),
    CONSTRAINT resource_quantity_check CHECK (quantity BETWEEN 1 AND 100),
    CONSTRAINT resource_venue_id_fkey FOREIGN KEY(venue_id) REFERENCES venue (id),
    CONSTRAINT resource_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX resource_venue_id_idx ON resource (venue_id);
CREATE INDEX resource_organization_id_idx ON resource (organization_id, id);

CREATE TABLE resource_unit (
    resource_id UUID NOT NULL,
    number INTEGER NOT NULL,
    is_active BOOLEAN DEFAULT 'true' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT resource_unit_pkey PRIMARY KEY (id),
    CONSTRAINT resource_unit_number_key UNIQUE (resource_id, number),
    CONSTRAINT resource_unit_resource_id_fkey FOREIGN KEY(resource_id) REFERENCES resource (id),
    CONSTRAINT resource_unit_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

CREATE TABLE resource_need (
    owner_id UUID NOT NULL,
    position INTEGER NOT NULL,
    quantity INTEGER NOT NULL,
    resource_ids UUID[] NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT resource_need_pkey PRIMARY KEY (id),
    CONSTRAINT resource_need_position_key UNIQUE (owner_id, position),
    CONSTRAINT resource_need_quantity_check CHECK (quantity BETWEEN 1 AND 100),
    CONSTRAINT resource_need_resources_check CHECK (cardinality(resource_ids) BETWEEN 1 AND 50),
    CONSTRAINT resource_need_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX resource_need_organization_id_idx ON resource_need (organization_id, owner_id);

-- ── activities and sessions ──────────────────────────────────────────────────────────────────────────

CREATE TABLE activity (
    venue_id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    category TEXT,
    price_minor BIGINT NOT NULL,
    capacity INTEGER NOT NULL,
    duration_minutes INTEGER NOT NULL,
    advance_notice_minutes INTEGER DEFAULT '0' NOT NULL,
    maximum_advance_days INTEGER DEFAULT '365' NOT NULL,
    session_horizon_days INTEGER DEFAULT '30' NOT NULL,
    cancellation_notice_minutes INTEGER DEFAULT '1440' NOT NULL,
    max_party_size INTEGER,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    is_active BOOLEAN DEFAULT 'true' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT activity_pkey PRIMARY KEY (id),
    CONSTRAINT activity_price_check CHECK (price_minor >= 0),
    CONSTRAINT activity_capacity_check CHECK (capacity BETWEEN 1 AND 10000),
    CONSTRAINT activity_duration_check CHECK (duration_minutes BETWEEN 1 AND 1440),
    CONSTRAINT activity_notices_check CHECK (advance_notice_minutes >= 0 AND cancellation_notice_minutes >= 0),
    CONSTRAINT activity_horizon_check
        CHECK (maximum_advance_days BETWEEN 1 AND 1095 AND session_horizon_days BETWEEN 1 AND maximum_advance_days),
    CONSTRAINT activity_max_party_size_check CHECK (max_party_size >= 1),
    CONSTRAINT activity_venue_id_fkey FOREIGN KEY(venue_id) REFERENCES venue (id),
    CONSTRAINT activity_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX activity_venue_id_idx ON activity (venue_id);
CREATE INDEX activity_organization_id_idx ON activity (organization_id, id);

CREATE TABLE activity_provider (
    activity_id UUID NOT NULL,
    provider_id UUID NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT activity_provider_pkey PRIMARY KEY (activity_id, provider_id),
    CONSTRAINT activity_provider_activity_id_fkey FOREIGN KEY(activity_id) REFERENCES activity (id),
    CONSTRAINT activity_provider_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT activity_provider_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX activity_provider_provider_id_idx ON activity_provider (provider_id);

CREATE TABLE activity_session (
    activity_id UUID NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    capacity INTEGER NOT NULL,
    taken INTEGER DEFAULT '0' NOT NULL,
    grandfathered INTEGER DEFAULT '0' NOT NULL,
    status TEXT NOT NULL,
    is_legacy BOOLEAN DEFAULT 'false' NOT NULL,
    schedule_version_id UUID,
    cancelled_reason TEXT,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT activity_session_pkey PRIMARY KEY (id),
    CONSTRAINT activity_session_start_key UNIQUE (activity_id, starts_at),
    CONSTRAINT activity_session_status_check CHECK (status IN ('open', 'closed', 'cancelled')),
    CONSTRAINT activity_session_times_check CHECK (starts_at < ends_at),
    CONSTRAINT activity_session_capacity_check CHECK (capacity BETWEEN 0 AND 10000 AND grandfathered >= 0),
    -- A capacity may fall below what is sold: then `grandfathered` holds what was sold, and commitments stand.
    CONSTRAINT activity_session_taken_check CHECK (taken BETWEEN 0 AND greatest(capacity, grandfathered)),
    CONSTRAINT activity_session_activity_id_fkey FOREIGN KEY(activity_id) REFERENCES activity (id),
    CONSTRAINT activity_session_schedule_version_id_fkey
        FOREIGN KEY(schedule_version_id) REFERENCES schedule_version (id),
    CONSTRAINT activity_session_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

-- Of the large tables only what takes no time: revision 0003 looks at their rows, while requests go on.
-- ── holds, bookings and allocations ──────────────────────────────────────────────────────────────────

ALTER TABLE hold
    ALTER COLUMN service_id DROP NOT NULL,
    ALTER COLUMN provider_id DROP NOT NULL,
    ADD COLUMN session_id UUID,
    ADD COLUMN items JSONB;
ALTER TABLE hold
    ADD CONSTRAINT hold_session_id_fkey FOREIGN KEY(session_id) REFERENCES activity_session (id) NOT VALID,
    ADD CONSTRAINT hold_subject_check
        CHECK (CASE WHEN session_id IS NULL THEN service_id IS NOT NULL AND provider_id IS NOT NULL
               ELSE service_id IS NULL AND provider_id IS NULL AND items IS NULL END) NOT VALID;

ALTER TABLE booking
    ALTER COLUMN service_id DROP NOT NULL,
    ALTER COLUMN provider_id DROP NOT NULL,
    ADD COLUMN session_id UUID;
ALTER TABLE booking
    ADD CONSTRAINT booking_session_id_fkey FOREIGN KEY(session_id) REFERENCES activity_session (id) NOT VALID,
    ADD CONSTRAINT booking_subject_check
        CHECK (CASE WHEN session_id IS NULL THEN service_id IS NOT NULL AND provider_id IS NOT NULL
               ELSE service_id IS NULL AND provider_id IS NULL END) NOT VALID;

-- A session takes the time of those who lead it and of its rooms as a booking does.
ALTER TABLE allocation ADD COLUMN session_id UUID;
ALTER TABLE allocation
    ADD CONSTRAINT allocation_session_id_fkey FOREIGN KEY(session_id) REFERENCES activity_session (id)
        DEFERRABLE INITIALLY DEFERRED NOT VALID,
    ADD CONSTRAINT allocation_taken_for_check
        CHECK (status <> 'booked' OR (booking_id IS NULL) <> (session_id IS NULL)) NOT VALID;
ALTER TABLE allocation DROP CONSTRAINT allocation_booked_for_check;

CREATE TABLE place_claim (
    session_id UUID NOT NULL,
    places INTEGER NOT NULL,
    status TEXT NOT NULL,
    hold_id UUID,
    booking_id UUID,
    expires_at TIMESTAMP WITH TIME ZONE,
    released_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT place_claim_pkey PRIMARY KEY (id),
    CONSTRAINT place_claim_places_check CHECK (places >= 1),
    CONSTRAINT place_claim_status_check CHECK (status IN ('held', 'booked', 'released')),
    CONSTRAINT place_claim_held_expires_check CHECK (status <> 'held' OR expires_at IS NOT NULL),
    CONSTRAINT place_claim_booked_for_check CHECK (status <> 'booked' OR booking_id IS NOT NULL),
    CONSTRAINT place_claim_session_id_fkey FOREIGN KEY(session_id) REFERENCES activity_session (id),
    CONSTRAINT place_claim_hold_id_fkey FOREIGN KEY(hold_id) REFERENCES hold (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT place_claim_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT place_claim_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX place_claim_session_idx ON place_claim (session_id) WHERE status = 'held';
CREATE INDEX place_claim_hold_id_idx ON place_claim (hold_id);
CREATE INDEX place_claim_booking_id_idx ON place_claim (booking_id);

-- ── who may touch what ───────────────────────────────────────────────────────────────────────────────

-- Tables of one organization's rows: the worker sees all, a request its own organization's. It stays in the schema, for the
-- owner alone: each later migration that makes such a table calls it, so that none is ever protected by half.
CREATE FUNCTION protect_table(p_table text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', p_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', p_table);
    EXECUTE format('CREATE POLICY system ON %I TO turnero_system USING (true) WITH CHECK (true)', p_table);
    EXECUTE format(
        'CREATE POLICY tenant ON %I TO turnero_app USING (organization_id = (SELECT app_organization_id()))', p_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO turnero_app, turnero_system', p_table);
END $$;
REVOKE EXECUTE ON FUNCTION protect_table(text) FROM PUBLIC;

SELECT protect_table(t) FROM unnest(ARRAY[
    'schedule_exception', 'blocked_time', 'resource', 'resource_unit', 'resource_need', 'activity', 'activity_provider',
    'activity_session', 'place_claim'
]) AS t;
GRANT DELETE ON resource_need, activity_provider TO turnero_app;

CREATE OR REPLACE FUNCTION enter_organization(p_kind text, p_id uuid, p_key text, p_user uuid, p_clock_offset interval)
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
        WHEN 'resource' THEN SELECT r.organization_id INTO v_organization FROM resource r WHERE r.id = p_id;
        WHEN 'activity' THEN SELECT a.organization_id INTO v_organization FROM activity a WHERE a.id = p_id;
        WHEN 'session' THEN SELECT s.organization_id INTO v_organization FROM activity_session s WHERE s.id = p_id;
        WHEN 'exception' THEN SELECT e.organization_id INTO v_organization FROM schedule_exception e WHERE e.id = p_id;
        WHEN 'time_off' THEN SELECT b.organization_id INTO v_organization FROM blocked_time b WHERE b.id = p_id;
        WHEN 'calendar_source' THEN SELECT c.organization_id INTO v_organization FROM calendar_source c WHERE c.id = p_id;
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
