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
