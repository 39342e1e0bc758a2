-- How many bookings a customer may make in an hour, and bulk changes by staff: planned, committed and followed.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

-- ── bookings an hour ─────────────────────────────────────────────────────────────────────────────────

-- Most bookings of one customer within any hour; null: no limit.
ALTER TABLE organization ADD COLUMN bookings_per_hour_limit INTEGER DEFAULT 5;
ALTER TABLE organization
    ADD CONSTRAINT organization_hourly_limit_check CHECK (bookings_per_hour_limit BETWEEN 1 AND 1000);

-- A series counts once; its own part of this migration, which runs before, has the column already.
ALTER TABLE booking ADD COLUMN IF NOT EXISTS series_id UUID;

-- It tells one thing more: when the hour has room again (null: it has room now, or there is no limit). What somebody made
-- counts, whatever became of it; what staff or providers made for a customer does not.
DROP FUNCTION count_customer_bookings(
    uuid, uuid, text, timestamptz, timestamptz, timestamptz, timestamptz, text[], uuid);
CREATE FUNCTION count_customer_bookings(
    p_organization uuid, p_user uuid, p_email text, p_day_from timestamptz, p_day_to timestamptz,
    p_week_from timestamptz, p_week_to timestamptz, p_statuses text[], p_except uuid, p_per_hour integer,
    OUT in_day bigint, OUT in_week bigint, OUT retry_after interval
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_email text := COALESCE(
        p_email,
        (SELECT c.email FROM customer c WHERE c.organization_id = p_organization AND c.user_id = p_user),
        (SELECT u.email FROM user_account u WHERE u.id = p_user));
    v_customers uuid[];
    v_now timestamptz;
BEGIN
    IF p_user IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('customer:' || p_organization || ':user:' || p_user, 0));
    END IF;
    IF v_email IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('customer:' || p_organization || ':email:' || v_email, 0));
    END IF;
    v_customers := ARRAY(
        SELECT c.id FROM customer c WHERE c.organization_id = p_organization AND (c.user_id = p_user OR c.email = v_email));
    SELECT count(*) FILTER (WHERE b.starts_at >= p_day_from AND b.starts_at < p_day_to), count(*) INTO in_day, in_week
    FROM booking b
    WHERE b.customer_id = ANY (v_customers)
      AND b.starts_at >= least(p_day_from, p_week_from) AND b.starts_at < greatest(p_day_to, p_week_to)
      AND b.status = ANY (p_statuses) AND b.id IS DISTINCT FROM p_except;
    IF p_per_hour IS NOT NULL THEN
        -- After the locks: what others made while we waited for them is in the hour too.
        v_now := turnero_now();
        SELECT max(b.created_at) + interval '1 hour' - v_now INTO retry_after
        FROM booking b
        WHERE b.customer_id = ANY (v_customers) AND b.created_at > v_now - interval '1 hour'
          AND EXISTS (SELECT 1 FROM booking_transition t
                      WHERE t.booking_id = b.id AND t.from_status IS NULL AND t.actor IN ('guest', 'customer'))
        GROUP BY COALESCE(b.series_id, b.id)
        ORDER BY max(b.created_at) DESC
        OFFSET p_per_hour - 1 LIMIT 1;
    END IF;
END $$;

-- ── bulk changes ─────────────────────────────────────────────────────────────────────────────────────

-- All bookings of a provider, a venue or an activity that start in a stretch of time, to be cancelled, or moved to another
-- provider. It is a plan until `expires_at`, unless somebody commits it. The counts are those of its items; the sums those
-- of the items that can be done. `includes_new`: what was booked between plan and commit was taken in.
CREATE TABLE bulk_change (
    action TEXT NOT NULL,
    provider_id UUID,
    venue_id UUID,
    activity_id UUID,
    target_provider_id UUID,
    starts_from TIMESTAMP WITH TIME ZONE NOT NULL,
    starts_before TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT NOT NULL,
    status TEXT DEFAULT 'planned' NOT NULL,
    includes_new BOOLEAN DEFAULT 'false' NOT NULL,
    currency TEXT NOT NULL,
    refund_minor BIGINT NOT NULL,
    fee_minor BIGINT NOT NULL,
    session_count INTEGER NOT NULL,
    item_count INTEGER NOT NULL,
    possible_count INTEGER NOT NULL,
    done_count INTEGER DEFAULT '0' NOT NULL,
    skipped_count INTEGER DEFAULT '0' NOT NULL,
    refused_count INTEGER DEFAULT '0' NOT NULL,
    committed_by JSONB,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    committed_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT bulk_change_pkey PRIMARY KEY (id),
    CONSTRAINT bulk_change_action_check CHECK (action IN ('cancel', 'move')),
    CONSTRAINT bulk_change_status_check CHECK (status IN ('planned', 'running', 'stopped', 'finished')),
    CONSTRAINT bulk_change_scope_check CHECK (num_nonnulls(provider_id, venue_id, activity_id) = 1),
    CONSTRAINT bulk_change_target_check CHECK ((action = 'move') = (target_provider_id IS NOT NULL)
                                               AND (action = 'cancel' OR provider_id <> target_provider_id)),
    CONSTRAINT bulk_change_times_check CHECK (starts_from < starts_before),
    CONSTRAINT bulk_change_counts_check CHECK (
        possible_count BETWEEN 0 AND item_count AND done_count + skipped_count + refused_count <= item_count),
    CONSTRAINT bulk_change_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT bulk_change_venue_id_fkey FOREIGN KEY(venue_id) REFERENCES venue (id),
    CONSTRAINT bulk_change_activity_id_fkey FOREIGN KEY(activity_id) REFERENCES activity (id),
    CONSTRAINT bulk_change_target_provider_id_fkey FOREIGN KEY(target_provider_id) REFERENCES provider (id),
    CONSTRAINT bulk_change_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX bulk_change_organization_id_idx ON bulk_change (organization_id, id);
CREATE INDEX bulk_change_running_idx ON bulk_change (id) WHERE status = 'running';
CREATE INDEX bulk_change_expires_at_idx ON bulk_change (expires_at) WHERE status = 'planned';

-- One booking of it, as it was planned, and what became of it. `refused_by`: the rule that forbids it, known when it was
-- planned. `is_ending`: its payment is being ended first, which changes its version without anybody's doing.
CREATE TABLE bulk_change_item (
    bulk_change_id UUID NOT NULL,
    booking_id UUID NOT NULL,
    booking_version INTEGER NOT NULL,
    refused_by TEXT,
    refused_because TEXT,
    refund_minor BIGINT NOT NULL,
    fee_minor BIGINT NOT NULL,
    is_ending BOOLEAN DEFAULT 'false' NOT NULL,
    result TEXT,
    rule TEXT,
    message TEXT,
    settled_at TIMESTAMP WITH TIME ZONE,
    organization_id UUID NOT NULL,
    CONSTRAINT bulk_change_item_pkey PRIMARY KEY (bulk_change_id, booking_id),
    CONSTRAINT bulk_change_item_result_check CHECK (result IN ('done', 'skipped', 'refused')),
    CONSTRAINT bulk_change_item_settled_check CHECK ((result IS NULL) = (settled_at IS NULL)),
    CONSTRAINT bulk_change_item_bulk_change_id_fkey FOREIGN KEY(bulk_change_id) REFERENCES bulk_change (id),
    CONSTRAINT bulk_change_item_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT bulk_change_item_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX bulk_change_item_open_idx ON bulk_change_item (bulk_change_id, booking_id) WHERE result IS NULL;
CREATE INDEX bulk_change_item_booking_id_idx ON bulk_change_item (booking_id);

SELECT protect_table(t) FROM unnest(ARRAY['bulk_change', 'bulk_change_item']) AS t;
-- Plans that nobody committed are swept away.
GRANT DELETE ON bulk_change, bulk_change_item TO turnero_system;

-- The door to a bulk change's organization.
CREATE FUNCTION enter_bulk_change(p_bulk_change uuid, p_user uuid, p_clock_offset interval)
RETURNS TABLE (organization_id uuid, role text, provider_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT e.* FROM bulk_change b,
                    LATERAL enter_organization('organization', b.organization_id, NULL, p_user, p_clock_offset) e
    WHERE b.id = p_bulk_change
$$;
SELECT make_door('enter_bulk_change(uuid, uuid, interval)');

-- What it left free and nobody was offered while it ran, is offered now.
CREATE TRIGGER bulk_change_ended AFTER UPDATE OF status ON bulk_change FOR EACH ROW
    WHEN (OLD.status = 'running' AND NEW.status <> 'running') EXECUTE FUNCTION note_opened_hours();
