-- What free slots are computed from, as in 0002, where prices may depend on how full a day is, and with the version of the
-- organization's prices.

-- A service and its people (none named: all who offer it) with their hours between two dates, as JSON that
-- app/queries/service_facts.py reads. `places`: the service first, the venues, and who does not offer it now. `takers`: whose
-- time is taken, people and resource units. `before` and `after`: how far around a window of starts their claims matter,
-- also to those who may offer it again without an event of the service or of its rooms.
CREATE OR REPLACE FUNCTION service_facts(p_service uuid, p_people uuid[], p_from date, p_to date, p_limit integer)
RETURNS TABLE (facts json, places uuid[], takers uuid[], before interval, after interval, has_limits boolean)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH person AS MATERIALIZED (
        SELECT p.id, p.venue_id, COALESCE(p.time_zone, v.time_zone) AS time_zone, p.works_on_holidays,
               p.daily_booking_limit, p.weekly_booking_limit, f.price_minor, f.duration_minutes,
               (p.is_active AND v.is_active) AS is_visible,
               (f.is_active AND p.is_active AND v.is_active) IS TRUE AS is_offered
        FROM provider p
        JOIN venue v ON v.id = p.venue_id
        LEFT JOIN offer f ON f.provider_id = p.id AND f.service_id = p_service
        WHERE p.id = ANY(COALESCE(p_people, ARRAY(
            SELECT f.provider_id FROM offer f WHERE f.service_id = p_service AND f.is_active)))
        ORDER BY p.id
        LIMIT p_limit
    ), place AS MATERIALIZED (
        SELECT v.id, v.country, v.region FROM venue v WHERE v.id IN (SELECT person.venue_id FROM person)
    ), need AS MATERIALIZED (
        SELECT place.id AS venue_id, n.position, n.quantity, ARRAY(
            SELECT u.id FROM resource r JOIN resource_unit u ON u.resource_id = r.id AND u.is_active
            WHERE r.id = ANY(n.resource_ids) AND r.is_active AND r.venue_id = place.id
            ORDER BY r.id, u.number) AS units
        FROM resource_need n CROSS JOIN place WHERE n.owner_id = p_service
    ), exception AS MATERIALIZED (
        SELECT e.owner_id, json_agg(json_build_array(
            e.kind, lower(e.days), upper(e.days), e.open, e.breaks, e.slot_interval_minutes, e.reason) ORDER BY e.days
        ) AS days
        FROM schedule_exception e
        WHERE e.owner_id = ANY(ARRAY(SELECT person.id FROM person UNION ALL SELECT place.id FROM place))
          AND e.removed_at IS NULL AND e.days && daterange(p_from, p_to, '[]')
        GROUP BY e.owner_id
    )
    SELECT
        json_build_array(
            s.id, s.organization_id, o.currency, s.is_active, s.price_type, s.price_minor, s.duration_minutes,
            s.maximum_duration_minutes, s.buffer_before_minutes, s.buffer_after_minutes, s.advance_notice_minutes,
            s.maximum_advance_days, s.cancellation_notice_minutes, s.requires_approval, s.max_group_size,
            (SELECT json_agg(json_build_array(
                place.id, place.country, place.region, exception.days,
                (SELECT json_agg(json_build_array(need.quantity, need.units) ORDER BY need.position)
                 FROM need WHERE need.venue_id = place.id)))
             FROM place LEFT JOIN exception ON exception.owner_id = place.id),
            (SELECT json_agg(json_build_array(
                person.id, person.venue_id, person.time_zone, person.price_minor, person.duration_minutes,
                person.is_visible, person.is_offered, person.works_on_holidays, person.daily_booking_limit,
                person.weekly_booking_limit, exception.days,
                (SELECT json_agg(json_build_array(sv.id, lower(sv.effective), upper(sv.effective),
                                                  sv.slot_interval_minutes, sv.weekly) ORDER BY sv.effective)
                 FROM schedule_version sv
                 WHERE sv.owner_id = person.id AND sv.superseded_at IS NULL
                   AND sv.effective && daterange(p_from, p_to, '[]'))) ORDER BY person.id)
             FROM person LEFT JOIN exception ON exception.owner_id = person.id)
        ),
        s.id || ARRAY(SELECT place.id FROM place UNION ALL SELECT person.id FROM person WHERE NOT person.is_offered),
        ARRAY(SELECT person.id FROM person WHERE person.is_offered
              UNION ALL
              SELECT DISTINCT unit FROM need CROSS JOIN LATERAL unnest(need.units) AS unit),
        make_interval(mins => s.buffer_before_minutes) + limits.reach,
        make_interval(mins => s.buffer_after_minutes + greatest(
            s.maximum_duration_minutes, s.duration_minutes,
            (SELECT max(person.duration_minutes) FROM person))) + limits.reach,
        limits.reach > interval '0'
    FROM service s
    JOIN organization o ON o.id = s.organization_id
    CROSS JOIN LATERAL (
        -- Whoever takes so many bookings a day, or a week, is known for that whole local day or week; so is everybody where
        -- prices depend on how full a day is.
        SELECT CASE WHEN count(person.weekly_booking_limit) > 0 THEN interval '9 days'
                    WHEN count(person.daily_booking_limit) > 0 OR EXISTS (
                        SELECT FROM price_rule r
                        WHERE r.organization_id = s.organization_id AND r.is_active
                          AND COALESCE(r.occupancy_from_bps, r.occupancy_to_bps) IS NOT NULL
                    ) THEN interval '2 days'
                    ELSE interval '0' END AS reach
        FROM person
    ) limits
    WHERE s.id = p_service;
END;

-- One statement, one snapshot, outside of any transaction of ours: it enters the organization, which lasts as long as
-- the statement, and reads. Who knows these subjects in these versions, over these starts, is told only what changed:
-- nothing at all (`facts` is NULL), or the service anew and the claims of those whose version is another now.
-- The first `places` of the subjects take no time. No row: there is no such service. Nothing in the answer depends on the clock.
-- Nor are prices in it: `price_version` says with which book they are computed (0005_rules.sql).
-- `epoch` is one run of the server on one event log of one database with one book of prices: after a restart, a fail-over or a
-- restored backup positions may have gone back and been given again, so that versions of another epoch say nothing. A backup
-- that is restored below a running server brings a new table, or an emptied one, and so another file. Another book makes
-- other claims matter.
-- Plans are kept and fit all arguments, as before.
DROP FUNCTION availability_facts(
    uuid, uuid[], timestamptz, timestamptz, uuid, bigint, uuid[], bigint[], integer, integer);
CREATE FUNCTION availability_facts(
    p_service uuid, p_people uuid[], p_from timestamptz, p_to timestamptz, p_user uuid,
    p_known_epoch bigint, p_known uuid[], p_known_versions bigint[], p_known_places integer, p_limit integer
)
RETURNS TABLE (organization_id uuid, role text, provider_id uuid, installation_id uuid, epoch bigint,
               last_position bigint, waiting bigint[], subjects uuid[], versions bigint[], places integer, facts text,
               busy text, price_version uuid)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_service record;
    v_fresh uuid[];
    v_now bigint[];
BEGIN
    SELECT e.organization_id, e.role, e.provider_id INTO organization_id, role, provider_id
    FROM enter_organization('service', p_service, NULL, p_user, NULL) e;
    IF organization_id IS NULL THEN
        RETURN;
    END IF;
    SELECT r.installation_id, r.last_position, o.price_version, hashtextextended(
        concat_ws(' ', r.installation_id, pg_relation_filenode(r.tableoid),
                  extract(epoch FROM pg_postmaster_start_time()), o.price_version),
        (SELECT d.oid::bigint FROM pg_database d WHERE d.datname = current_database()))
    INTO installation_id, last_position, price_version, epoch
    FROM relay_state r CROSS JOIN organization o WHERE o.id = organization_id;
    IF p_known_epoch IS DISTINCT FROM epoch THEN
        p_known := NULL;
    END IF;
    IF p_known IS NOT NULL THEN
        SELECT v.versions, v.waiting INTO v_now, waiting FROM subject_versions(p_known, p_known, p_known_versions) v;
        IF v_now = p_known_versions THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;

    SELECT s.* INTO v_service FROM service_facts(
        p_service, p_people, (p_from AT TIME ZONE 'UTC')::date - 2, NULL, p_limit) s;
    subjects := v_service.places || v_service.takers;
    places := cardinality(v_service.places);
    SELECT v.versions, v.waiting INTO versions, waiting FROM subject_versions(subjects, p_known, p_known_versions) v;
    v_fresh := v_service.takers;
    -- A change of the service may change how far around the window claims matter.
    IF p_known IS NOT NULL AND v_now[1] = p_known_versions[1] AND p_known[1] = p_service THEN
        v_fresh := ARRAY(
            SELECT s.id FROM unnest(subjects, versions) AS s (id, version)
            LEFT JOIN unnest(p_known, p_known_versions) WITH ORDINALITY AS k (id, version, place)
                   ON k.id = s.id AND k.place > p_known_places
            WHERE s.id = ANY(v_service.takers) AND (s.version IS DISTINCT FROM k.version OR s.version IS NULL));
    END IF;
    SELECT v_service.facts::text, COALESCE(json_agg(json_build_array(f.id, b.lows, b.highs, b.details)), '[]')::text
    INTO facts, busy
    FROM unnest(v_fresh) AS f (id)
    LEFT JOIN (
        SELECT t.subject_id,
               json_agg(floor(date_part('epoch', t.busy_from) / 60)::bigint)
                   FILTER (WHERE t.expires_at IS NULL AND NOT v_service.has_limits) AS lows,
               json_agg(ceil(date_part('epoch', t.busy_to) / 60)::bigint)
                   FILTER (WHERE t.expires_at IS NULL AND NOT v_service.has_limits) AS highs,
               json_agg(json_build_array(
                   (extract(epoch FROM t.busy_from) * 1000000)::bigint, (extract(epoch FROM t.busy_to) * 1000000)::bigint,
                   t.kind, (extract(epoch FROM t.starts_at) * 1000000)::bigint,
                   (extract(epoch FROM t.ends_at) * 1000000)::bigint,
                   (extract(epoch FROM t.expires_at) * 1000000)::bigint))
                   FILTER (WHERE t.expires_at IS NOT NULL OR v_service.has_limits) AS details
        FROM busy_times(v_fresh, p_from - v_service.before, p_to + v_service.after) t
        GROUP BY t.subject_id
    ) b ON b.subject_id = f.id;
    RETURN NEXT;
END $$;
