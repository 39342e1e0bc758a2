-- Searching for who is free, faster (docs/adr/0010): the rows that may say so are collected by a plan that is kept.

-- Where the rows of offer_outlook are that have a start on one of these days by what is known, or of which not enough is
-- known: at most p_most places, some of them perhaps twice. Each way to find them has an index of its own, and is looked
-- up by itself: to make a plan for all at once takes as long as to read the rows.
CREATE FUNCTION search_free_rows(
    p_organization uuid, p_now timestamptz, p_to integer, p_days integer[], p_providers uuid[], p_services uuid[],
    p_most integer
) RETURNS tid[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off AS $$
BEGIN
    RETURN ARRAY(
        SELECT k.ctid FROM offer_outlook k WHERE k.organization_id = p_organization AND k.days && p_days
        UNION ALL
        SELECT k.ctid FROM offer_outlook k WHERE k.organization_id = p_organization AND k.covered_to < p_to
        UNION ALL
        SELECT k.ctid FROM offer_outlook k WHERE k.organization_id = p_organization AND k.known_until <= p_now
        UNION ALL
        SELECT k.ctid FROM unnest(p_providers) AS e (id)
        CROSS JOIN LATERAL (SELECT o.ctid, o.organization_id FROM offer_outlook o WHERE o.provider_id = e.id OFFSET 0) k
        WHERE k.organization_id = p_organization
        UNION ALL
        SELECT k.ctid FROM unnest(p_services) AS e (id)
        CROSS JOIN LATERAL (SELECT o.ctid, o.organization_id FROM offer_outlook o WHERE o.service_id = e.id OFFSET 0) k
        WHERE k.organization_id = p_organization
        LIMIT p_most);
END $$;

-- The providers who are free, with `soonest` (a minute since 1970) and the service of it, or for whom `asks` says that the
-- slot engine must be asked, about `services`. Where they are few: these themselves, as arrays, or (with p_offer) a select
-- of them, not grouped yet. Else `is_few` is false, and the select is for looking at one provider after the other.
-- p_offer: a condition on offer f and service v, or null. p_services: of these, or of any.
CREATE OR REPLACE FUNCTION search_free_sql(
    p_organization uuid, p_now timestamptz, p_from integer, p_to integer, p_duration integer, p_party integer,
    p_services uuid[], p_offer text, p_dense integer, OUT statement text, OUT is_few boolean,
    OUT providers uuid[], OUT asks boolean[], OUT soonest integer[], OUT service_ids uuid[], OUT services text[]
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    c_most_events CONSTANT integer := 2000;
    v_now CONSTANT integer := ceil(extract(epoch FROM p_now) / 60);
    v_days CONSTANT integer[] := ARRAY(SELECT generate_series(greatest(p_from, v_now) / 1440, (p_to - 1) / 1440));
    v_touched record;
    v_stale text;
    v_where text;
    v_rows tid[];
BEGIN
    -- Events that were purged before the worker looked at them may have changed anything.
    SELECT t.providers, t.services, t.is_everything OR o.position < r.purged_position AS is_everything INTO v_touched
    FROM outlook_state o, relay_state r,
         outlooks_overtaken(p_organization, o.position, 9223372036854775807, c_most_events) t;
    v_stale := concat_ws(' OR ',
        format('k.known_until <= %L::timestamptz', p_now),
        CASE WHEN v_touched.is_everything THEN 'true' END,
        CASE WHEN v_touched.providers <> '{}' THEN format('k.provider_id = ANY(%L::uuid[])', v_touched.providers) END,
        CASE WHEN v_touched.services <> '{}' THEN format('k.service_id = ANY(%L::uuid[])', v_touched.services) END);
    -- Rows that have a start on one of the days by what is known, and rows of which not enough is known. Of how many
    -- services, or of everything: what the best plan is depends on that.
    v_where := format('k.organization_id = %L AND (k.days && %L::integer[] OR k.covered_to < %s OR %s)%s', p_organization,
        v_days, p_to, v_stale,
        CASE WHEN p_services IS NULL THEN '' ELSE format(' AND k.service_id = ANY(%L::uuid[])', p_services) END);
    IF p_services IS NULL AND NOT v_touched.is_everything THEN
        v_rows := search_free_rows(p_organization, p_now, p_to, v_days, v_touched.providers, v_touched.services, p_dense);
    ELSE
        EXECUTE format('SELECT ARRAY(SELECT k.ctid FROM offer_outlook k WHERE %s LIMIT %s)', v_where, p_dense) INTO v_rows;
    END IF;
    is_few := cardinality(v_rows) < p_dense;
    IF is_few AND p_offer IS NULL THEN
        SELECT f.providers, f.asks, f.soonest, f.service_ids, f.services
        INTO providers, asks, soonest, service_ids, services
        FROM search_free_few(v_rows, v_now, p_now, p_from, p_to, p_duration, p_party, v_touched.is_everything,
                             v_touched.providers, v_touched.services) f;
        RETURN;
    END IF;
    statement := format(
        'SELECT k.provider_id, bool_or(t.asks) AS asks, min(t.start) FILTER (WHERE NOT t.asks) AS soonest,'
        ' (array_agg(k.service_id ORDER BY t.start, k.service_id) FILTER (WHERE NOT t.asks))[1] AS service_id,'
        ' array_agg(k.service_id) AS services'
        ' FROM offer_outlook k%s CROSS JOIN LATERAL search_free_start(%s, %s, %s, %L::integer, %s, %s, k.notice_minutes,'
        ' k.horizon_days, k.duration_minutes, k.longest_minutes, k.largest_party, k.covered_to, k.firsts, k.lasts, k.steps) t'
        ' WHERE %s%s',
        CASE WHEN p_offer IS NULL THEN '' ELSE
            ' JOIN offer f ON f.provider_id = k.provider_id AND f.service_id = k.service_id'
            ' JOIN service v ON v.id = k.service_id' END,
        v_now, p_from, p_to, p_duration, p_party, v_stale, v_where, ' AND ' || p_offer);
END $$;

DO $$
BEGIN
    GRANT CREATE ON SCHEMA public TO turnero_system;
    REVOKE EXECUTE ON FUNCTION
        search_free_rows(uuid, timestamptz, integer, integer[], uuid[], uuid[], integer) FROM PUBLIC;
    ALTER FUNCTION search_free_rows(uuid, timestamptz, integer, integer[], uuid[], uuid[], integer)
        OWNER TO turnero_system;
    REVOKE CREATE ON SCHEMA public FROM turnero_system;
END $$;
