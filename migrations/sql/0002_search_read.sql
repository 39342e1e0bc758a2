-- Reading what 0002_search.sql keeps: providers by everything that can be asked, in any order (docs/adr/0010).

-- Whose outlooks the events after a position have overtaken: providers, and services with all who offer them. With
-- p_organization only its own events are looked at, and those that have no position yet as well. More than p_most: then
-- `is_everything`, for nothing is left out in silence.
CREATE FUNCTION outlooks_overtaken(
    p_organization uuid, p_after bigint, p_to bigint, p_most integer,
    OUT providers uuid[], OUT services uuid[], OUT is_everything boolean
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    WITH recent AS (
        (SELECT e.type, e.subject_id, e.payload FROM outbox_event e
         WHERE e.position > p_after AND e.position <= p_to
           AND (p_organization IS NULL OR e.organization_id = p_organization)
         LIMIT p_most + 1)
        UNION ALL
        (SELECT e.type, e.subject_id, e.payload FROM outbox_event e
         WHERE p_organization IS NOT NULL AND e.organization_id = p_organization AND e.position IS NULL
         LIMIT p_most + 1)
    ), subject AS (
        -- An offer's event is told to those who follow the service too, but changes one provider's alone.
        SELECT CASE WHEN r.type IN ('offer.updated') THEN (r.payload ->> 'providerId')::uuid ELSE r.subject_id END AS id
        FROM recent r
    )
    SELECT (SELECT count(*) FROM recent), array_agg(DISTINCT s.id) INTO v_count, providers FROM subject s;
    is_everything := v_count > p_most;
    services := '{}';
    IF providers IS NULL OR is_everything THEN
        providers := '{}';
        RETURN;
    END IF;
    services := ARRAY(SELECT v.id FROM service v WHERE v.id = ANY(providers));
    providers := providers || ARRAY(SELECT p.id FROM provider p WHERE p.venue_id = ANY(providers)) || ARRAY(
        -- A room that is taken may have been the last, for those at its venue.
        SELECT DISTINCT f.provider_id FROM resource_unit u
        JOIN resource r ON r.id = u.resource_id
        JOIN resource_need n ON n.organization_id = u.organization_id AND n.resource_ids @> ARRAY[r.id]
        JOIN offer f ON f.service_id = n.owner_id
        JOIN provider p ON p.id = f.provider_id AND p.venue_id = r.venue_id
        WHERE u.id = ANY(providers));
END $$;

-- The known words that a wanted one may stand for, and how sure that is (0 to 1): itself, what it is a part of, and what is
-- one letter from it (two for words from eight letters on; none for short ones and those with digits). One or two
-- letters stand for words that begin with them, if there are any: they are a part of nearly everything.
CREATE FUNCTION search_words_like(p_organization uuid, p_word text, p_most integer)
RETURNS TABLE (word text, likeness double precision)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp SET pg_trgm.similarity_threshold = 0.2 AS $$
DECLARE
    v_slips CONSTANT integer := CASE WHEN length(p_word) < 4 OR p_word ~ '\d' THEN 0 ELSE least(length(p_word) / 8 + 1, 2) END;
BEGIN
    IF length(p_word) < 3 THEN
        RETURN QUERY SELECT k.word::text, CASE WHEN k.word = p_word THEN 1 ELSE 0.9 END::double precision FROM search_word k
        WHERE k.organization_id = p_organization AND k.word >= p_word AND k.word < p_word || U&'\+10FFFF'
        ORDER BY k.word LIMIT p_most;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT k.word::text, CASE
        WHEN k.word = p_word THEN 1 WHEN k.word ^@ p_word THEN 0.9 WHEN strpos(k.word, p_word) > 0 THEN 0.7
        ELSE 0.85 - 0.15 * levenshtein(k.word, p_word) END::double precision AS sure
    FROM search_word k
    WHERE k.organization_id = p_organization
      AND (k.word LIKE '%' || replace(replace(replace(p_word, '\', '\\'), '%', '\%'), '_', '\_') || '%'
           OR v_slips > 0 AND k.word % p_word AND levenshtein_less_equal(k.word, p_word, v_slips) <= v_slips)
    ORDER BY sure DESC, k.word LIMIT p_most;
END $$;

-- A condition on provider_search s, that each word is like one of the provider's own or of a service's that they offer,
-- in two parts: what an index can find (null: nothing of it), and what is only to be asked of each. And how well it is: an
-- expression of 0 to the number of words (at most 8: more say nothing more).
CREATE FUNCTION search_text_sql(
    p_organization uuid, p_text text, p_is_staff boolean, p_dense integer,
    OUT narrow text, OUT wide text, OUT score text
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    c_few_words CONSTANT integer := 8;
    v_word text;
    v_like jsonb;
    v_best text;
    v_words text[];
    v_services uuid[];
    v_own text;
    v_offers text;
    v_count integer;
BEGIN
    wide := '';
    score := '0';
    FOREACH v_word IN ARRAY (text_words(p_text))[:8] LOOP
        SELECT COALESCE(jsonb_object_agg(k.word, k.likeness), '{}'), COALESCE(array_agg(k.word), '{}')
        INTO v_like, v_words FROM search_words_like(p_organization, v_word, 500) k;
        v_own := format('s.words && %L::text[]', v_words);
        SELECT array_agg(t.service_id) INTO v_services FROM service_search t JOIN service v ON v.id = t.service_id
        WHERE t.organization_id = p_organization AND (v.is_active OR p_is_staff) AND t.words && v_words;
        -- Words of the name come first, and count more. A few words are looked for among the provider's, of many the
        -- provider's among them.
        IF cardinality(v_words) BETWEEN 1 AND c_few_words THEN
            SELECT string_agg(format(
                'CASE WHEN array_position(s.words, %1$L) <= %2$s THEN %3$s::float8'
                ' WHEN array_position(s.words, %1$L) > %2$s THEN %3$s::float8 * 0.8 END',
                k.word, 'cardinality(string_to_array(s.name, '' ''))', k.likeness), ', ')
            INTO v_best FROM jsonb_each_text(v_like) AS k (word, likeness);
            score := score || format(' + greatest(0, CASE WHEN %s THEN greatest(%s) END', v_own, v_best);
        ELSE
            score := score || format(' + greatest(0, CASE WHEN %s THEN (SELECT max((%L::jsonb ->> w)::float8'
                ' * CASE WHEN n <= cardinality(string_to_array(s.name, '' '')) THEN 1 ELSE 0.8 END)'
                ' FROM unnest(s.words) WITH ORDINALITY AS u (w, n)) END', v_own, v_like);
        END IF;
        IF v_services IS NULL THEN
            narrow := concat_ws(' AND ', narrow, v_own);
            score := score || ')';
            CONTINUE;
        END IF;
        v_offers := format('FROM offer f WHERE f.service_id = ANY(%L::uuid[]) AND f.is_active', v_services);
        score := score || format(', (SELECT 0.7 %s AND f.provider_id = s.provider_id LIMIT 1))', v_offers);
        EXECUTE format('SELECT count(*) FROM (SELECT 1 %s LIMIT %s) few', v_offers, p_dense) INTO v_count;
        IF v_count < p_dense THEN
            narrow := concat_ws(' AND ', narrow, format(
                's.provider_id IN (SELECT f.provider_id %1$s UNION ALL'
                ' SELECT s.provider_id FROM provider_search s WHERE s.organization_id = %2$L AND %3$s)',
                v_offers, p_organization, v_own));
        ELSE
            wide := wide || format(' AND ((SELECT true %1$s AND f.provider_id = s.provider_id LIMIT 1) OR %2$s)',
                                   v_offers, v_own);
        END IF;
    END LOOP;
END $$;

-- When an offer is first free from the notice on, and whether the slot engine must be asked; no row: it is not free. The
-- horizon is the end of a local day, so it is surely not reached within a whole number of days from now, and surely passed
-- a day later, but for two hours because clocks change. Minutes since 1970.
-- (OFFSET 0 keeps PostgreSQL from computing each step again wherever it is used.)
CREATE FUNCTION search_free_start(
    p_now integer, p_from integer, p_to integer, p_duration integer, p_party integer, p_is_stale boolean,
    notice_minutes integer, horizon_days integer, duration_minutes integer, longest_minutes integer, largest_party integer,
    covered_to integer, firsts integer[], lasts integer[], steps integer[]
) RETURNS TABLE (start integer, asks boolean)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.start, t.asks
    FROM (SELECT greatest(p_from, p_now + notice_minutes) AS low,
                 least(p_to, p_now + horizon_days * 1440 + 1560) AS high,
                 p_now + horizon_days * 1440 - 120 AS far OFFSET 0) b
    CROSS JOIN LATERAL (SELECT width_bucket(b.low - 1, lasts) + 1 AS run OFFSET 0) x
    CROSS JOIN LATERAL (
        SELECT CASE WHEN firsts[x.run] >= b.low THEN firsts[x.run]
                    ELSE firsts[x.run] + (b.low - firsts[x.run] + steps[x.run] - 1) / steps[x.run] * steps[x.run]
               END AS start OFFSET 0) y
    CROSS JOIN LATERAL (
        SELECT y.start, p_is_stale OR b.low < b.high AND (
            COALESCE(duration_minutes <> p_duration, false) OR COALESCE(y.start >= b.far, false)
            OR y.start IS NULL AND covered_to < b.high) AS asks OFFSET 0) t
    WHERE p_is_stale
       OR (t.start < b.high OR t.start IS NULL AND t.asks) AND p_party <= largest_party
          AND (p_duration IS NULL OR p_duration BETWEEN duration_minutes AND longest_minutes);
END;

-- The few rows of offer_outlook at these places (as this very statement sees them), each provider once. All at once,
-- by a plan that is kept: to make it anew takes as long as to run it.
CREATE FUNCTION search_free_few(
    p_rows tid[], p_now integer, p_at timestamptz, p_from integer, p_to integer, p_duration integer, p_party integer,
    p_everything boolean, p_providers uuid[], p_services uuid[],
    OUT providers uuid[], OUT asks boolean[], OUT soonest integer[], OUT service_ids uuid[], OUT services text[]
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    SELECT COALESCE(array_agg(o.provider_id), '{}'), array_agg(o.asks), array_agg(o.soonest), array_agg(o.service_id),
           array_agg(o.services)
    INTO providers, asks, soonest, service_ids, services
    FROM (
        SELECT k.provider_id, bool_or(t.asks) AS asks, min(t.start) FILTER (WHERE NOT t.asks) AS soonest,
               (array_agg(k.service_id ORDER BY t.start, k.service_id) FILTER (WHERE NOT t.asks))[1] AS service_id,
               CASE WHEN bool_or(t.asks) THEN array_agg(k.service_id)::text END AS services
        FROM offer_outlook k
        CROSS JOIN LATERAL search_free_start(
            p_now, p_from, p_to, p_duration, p_party,
            p_everything OR k.known_until <= p_at OR k.provider_id = ANY(p_providers) OR k.service_id = ANY(p_services),
            k.notice_minutes, k.horizon_days, k.duration_minutes, k.longest_minutes, k.largest_party, k.covered_to,
            k.firsts, k.lasts, k.steps
        ) t
        WHERE k.ctid = ANY(p_rows)
        GROUP BY 1
    ) o;
END $$;

-- The providers who are free, with `soonest` (a minute since 1970) and the service of it, or for whom `asks` says that the
-- slot engine must be asked, about `services`. Where they are few: these themselves, as arrays, or (with p_offer) a select
-- of them, not grouped yet. Else `is_few` is false, and the select is for looking at one provider after the other.
-- p_offer: a condition on offer f and service v, or null. p_services: of these, or of any.
CREATE FUNCTION search_free_sql(
    p_organization uuid, p_now timestamptz, p_from integer, p_to integer, p_duration integer, p_party integer,
    p_services uuid[], p_offer text, p_dense integer, OUT statement text, OUT is_few boolean,
    OUT providers uuid[], OUT asks boolean[], OUT soonest integer[], OUT service_ids uuid[], OUT services text[]
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    c_most_events CONSTANT integer := 2000;
    v_now CONSTANT integer := ceil(extract(epoch FROM p_now) / 60);
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
    -- Rows that have a start on one of the days by what is known, and rows of which not enough is known.
    v_where := format('k.organization_id = %L AND (k.days && %L::integer[] OR k.covered_to < %s OR %s)%s', p_organization,
        ARRAY(SELECT generate_series(greatest(p_from, v_now) / 1440, (p_to - 1) / 1440)), p_to, v_stale,
        CASE WHEN p_services IS NULL THEN '' ELSE format(' AND k.service_id = ANY(%L::uuid[])', p_services) END);
    EXECUTE format('SELECT ARRAY(SELECT k.ctid FROM offer_outlook k WHERE %s LIMIT %s)', v_where, p_dense) INTO v_rows;
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

-- The page of search_providers where all who may be free are few, and are given: o.provider_id, whether they must be asked
-- about, and so on. Each is looked up by itself, by a plan that is kept: to make it anew takes as long as to run it.
-- p_scores: of relevance. p_point, p_chord: a circle. What is null is not asked.
CREATE FUNCTION search_few(
    p_organization uuid, p_is_staff boolean, p_is_active boolean, p_venue uuid, p_rating double precision,
    p_languages text[], p_point cube, p_chord double precision, p_sort text, p_falling boolean, p_backward boolean,
    p_size integer, p_unsure integer, p_after text, p_after_id uuid, p_before text, p_before_id uuid,
    p_providers uuid[], p_asks boolean[], p_soonest integer[], p_service_ids uuid[], p_services text[], p_scores integer[]
) RETURNS TABLE (
    key text, is_sure boolean, distance_km double precision, service_id uuid, soonest integer, duration_minutes integer,
    price_minor bigint, services uuid[], found provider
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    -- Bounds as the order has them from small to large.
    v_low CONSTANT text := CASE WHEN p_falling THEN p_before ELSE p_after END;
    v_low_id CONSTANT uuid := CASE WHEN p_falling THEN p_before_id ELSE p_after_id END;
    v_high CONSTANT text := CASE WHEN p_falling THEN p_after ELSE p_before END;
    v_high_id CONSTANT uuid := CASE WHEN p_falling THEN p_after_id ELSE p_before_id END;
    v_is_name CONSTANT boolean := p_sort = 'name';
    v_is_time CONSTANT boolean := p_sort = 'created';
    v_is_whole CONSTANT boolean := p_sort IN ('price', 'soonest', 'relevance');
BEGIN
    RETURN QUERY
    WITH hit AS (
        SELECT s.provider_id, s.position, o.asks, o.soonest, o.service_id, o.services, i.name, i.time, i.number,
               p_sort = 'soonest' AND o.asks AS is_apart
        FROM unnest(p_providers, p_asks, p_soonest, p_service_ids, p_services, p_scores)
             AS o (provider_id, asks, soonest, service_id, services, score)
        CROSS JOIN LATERAL (SELECT s.* FROM provider_search s WHERE s.provider_id = o.provider_id OFFSET 0) s
        CROSS JOIN LATERAL (
            SELECT CASE WHEN v_is_name THEN s.name END AS name, CASE WHEN v_is_time THEN s.created_at END AS time,
                   CASE p_sort WHEN 'rating' THEN s.rating WHEN 'distance' THEN s.position <-> p_point
                               WHEN 'soonest' THEN o.soonest WHEN 'relevance' THEN o.score
                               WHEN 'price' THEN (SELECT CASE WHEN p_falling THEN a.falling_minor ELSE a.rising_minor END
                                                  FROM provider_price a WHERE a.provider_id = s.provider_id)
                   END AS number OFFSET 0) i
        WHERE s.organization_id = p_organization AND (p_is_staff OR s.is_visible)
          AND (p_is_active IS NULL OR s.is_active = p_is_active) AND (p_venue IS NULL OR s.venue_id = p_venue)
          AND (p_rating IS NULL OR s.rating >= p_rating) AND (p_languages IS NULL OR s.languages && p_languages)
          AND (p_point IS NULL OR (s.position <-> p_point) <= p_chord)
    ), ranked AS (
        SELECT h.*, row_number() OVER rising AS place, count(*) OVER (PARTITION BY h.is_apart) AS size
        FROM hit h
        WHERE h.is_apart
           OR (v_low IS NULL OR CASE WHEN v_is_name THEN (h.name, h.provider_id) > (v_low, v_low_id)
                                     WHEN v_is_time THEN (h.time, h.provider_id) > (v_low::timestamptz, v_low_id)
                                     ELSE (h.number, h.provider_id) > (v_low::double precision, v_low_id) END)
              AND (v_high IS NULL OR CASE WHEN v_is_name THEN (h.name, h.provider_id) < (v_high, v_high_id)
                                          WHEN v_is_time THEN (h.time, h.provider_id) < (v_high::timestamptz, v_high_id)
                                          ELSE (h.number, h.provider_id) < (v_high::double precision, v_high_id) END)
        WINDOW rising AS (PARTITION BY h.is_apart ORDER BY h.name, h.time, h.number, h.provider_id)
    ), page AS (
        SELECT r.*, w.turn FROM ranked r
        CROSS JOIN LATERAL (
            SELECT CASE WHEN p_falling <> p_backward AND NOT r.is_apart THEN r.size + 1 - r.place ELSE r.place END AS turn OFFSET 0) w
        WHERE w.turn <= CASE WHEN r.is_apart THEN p_unsure + 1 ELSE p_size END
    )
    SELECT COALESCE(g.name, g.time::text, CASE WHEN v_is_whole THEN g.number::bigint::text ELSE g.number::text END),
           NOT g.asks,
           CASE WHEN p_point IS NOT NULL
                THEN 2 * 6371.0088 * asin(least(1, (g.position <-> p_point) / (2 * 6371.0088))) END,
           g.service_id, g.soonest, t.duration_minutes, t.price_minor, CASE WHEN g.asks THEN g.services::uuid[] END, x.p
    FROM page g
    CROSS JOIN LATERAL (SELECT p FROM provider p WHERE p.id = g.provider_id OFFSET 0) x
    LEFT JOIN LATERAL (
        SELECT COALESCE(f.duration_minutes, v.duration_minutes) AS duration_minutes,
               price_of_offer(v.price_type, v.price_minor, f.price_minor, v.duration_minutes, f.duration_minutes) AS price_minor
        FROM offer f JOIN service v ON v.id = f.service_id
        WHERE f.provider_id = g.provider_id AND f.service_id = g.service_id OFFSET 0
    ) t ON true
    ORDER BY NOT g.is_apart, g.turn;
END $$;

-- A condition on provider_search s, that the provider offers one of these services (null: any), and that p_offer holds
-- for it: of offer f and service v, or null.
CREATE FUNCTION search_offer_sql(p_services uuid[], p_offer text, p_dense integer) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_count integer := 0;
    v_offers text := format('FROM offer f WHERE f.provider_id = s.provider_id AND f.is_active%s', 
                            ' AND f.service_id = ANY(' || quote_literal(p_services) || '::uuid[])');
BEGIN
    IF p_offer IS NOT NULL THEN
        RETURN format(' AND EXISTS (SELECT 1 FROM offer f JOIN service v ON v.id = f.service_id'
                      ' WHERE f.provider_id = s.provider_id AND %s)', p_offer);
    END IF;
    SELECT count(*) INTO v_count FROM (
        SELECT 1 FROM offer f WHERE f.service_id = ANY(p_services) AND f.is_active LIMIT p_dense) few;
    -- With a limit the planner cannot turn it round and collect all of them first.
    RETURN CASE WHEN v_count < p_dense THEN format(' AND EXISTS (SELECT 1 %s)', v_offers)
                ELSE format(' AND (SELECT true %s LIMIT 1)', v_offers) END;
END $$;

-- A page of everybody in an order that has an index of its own, from a place on (itself excluded; null: from the
-- beginning). p_falling: the order in which it is read. Nothing else is asked, so its plans can be kept: to make one takes
-- longer than to read the page. They have to be told so, for it cannot be seen from them that the page is short; and for
-- the same reason each row is looked up by itself.
DO $do$
DECLARE
    v_branches text;
BEGIN
    SELECT string_agg(format($branch$
        WHEN %1$L THEN RETURN QUERY
            SELECT g.key, x.p FROM (
                SELECT s.provider_id, s.%2$s::text AS key FROM provider_search s
                WHERE s.organization_id = p_organization AND (s.is_visible OR p_is_staff)
                  AND (s.%2$s, s.provider_id) %3$s (COALESCE(p_from::%4$s, %5$s), COALESCE(p_from_id, %6$L))
                ORDER BY s.%2$s%7$s, s.provider_id%7$s LIMIT p_size
            ) g CROSS JOIN LATERAL (SELECT p FROM provider p WHERE p.id = g.provider_id OFFSET 0) x;$branch$,
        k.sort || ' ' || w.is_falling, k.field, CASE WHEN w.is_falling THEN '<' ELSE '>' END, k.kind,
        CASE WHEN w.is_falling THEN k.beyond ELSE k.before END,
        CASE WHEN w.is_falling THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff' ELSE '00000000-0000-0000-0000-000000000000' END,
        CASE WHEN w.is_falling THEN ' DESC' ELSE '' END), '') INTO v_branches
    FROM (VALUES
        ('name', 'name', 'text COLLATE "C"', $$''$$, $$repeat(U&'\+10FFFF', 201)$$),  -- names have 200 characters at most
        ('created', 'created_at', 'timestamptz', $$'-infinity'$$, $$'infinity'$$),
        ('rating', 'rating', 'float8', $$'-infinity'$$, $$'infinity'$$)
    ) k (sort, field, kind, before, beyond) CROSS JOIN (VALUES (false), (true)) w (is_falling);
    EXECUTE format($function$
        CREATE FUNCTION search_everybody(
            p_organization uuid, p_is_staff boolean, p_sort text, p_falling boolean, p_size integer, p_from text, p_from_id uuid
        ) RETURNS TABLE (key text, found provider)
        LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_generic_plan AS $body$
        BEGIN
            CASE p_sort || ' ' || p_falling%s
            END CASE;
        END $body$ $function$, v_branches);
END $do$;

-- A page of providers, in order, and what the searcher learns with each. It looks past row-level security, under which
-- PostgreSQL may not use the indexes of `%`, `<->` and `&&` (they are not leakproof): so it acts as turnero_system, and
-- each of its statements names the organization.
--
-- p_wanted: venueId, serviceId, category, text, isActive, latitude, longitude, radiusKm, minimumRating, languages,
-- minimumMinor, maximumMinor, and for free time fromMinute, toMinute (since 1970, the end excluded), durationMinutes,
-- partySize. What is missing or null is not asked. Conditions on services hold for one and the same service.
-- p_sort: name, created, rating, distance, price, soonest, relevance, or count. Bounds are keys as text, exclusive.
--
-- is_sure false: whether and when the provider is free must be asked of the slot engine, about service_ids. In the order `soonest` these
-- come first, at most p_unsure + 1 of them whatever the bounds; in the others in their place. `count`: the sure ones
-- are one row, with their number as its key; the others follow, at most p_unsure + 1.
-- No such organization: raises no_data_found. A text without words: raises invalid_parameter_value.
CREATE FUNCTION search_providers(
    p_organization uuid, p_user uuid, p_now timestamptz, p_wanted jsonb, p_sort text, p_falling boolean,
    p_backward boolean, p_size integer, p_unsure integer,
    p_after text, p_after_id uuid, p_before text, p_before_id uuid
) RETURNS TABLE (
    role text, own_provider_id uuid, provider_id uuid, sort_key text, is_sure boolean, distance_km double precision,
    service_id uuid, soonest_minute integer, duration_minutes integer, price_minor bigint, service_ids uuid[],
    currency text, found provider
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c_dense CONSTANT integer := 1500;  -- of so many, walking in order and looking at each beats collecting them all
    c_price CONSTANT text :=
        'price_of_offer(v.price_type, v.price_minor, f.price_minor, v.duration_minutes, f.duration_minutes)';
    w record;
    v_currency text;
    v_role text;
    v_own uuid;
    v_is_staff boolean;
    v_point text;
    v_chord double precision;
    v_services uuid[];  -- null: any
    v_by_price boolean;
    v_offer text;
    v_narrow text;
    v_wide text;
    v_ids uuid[];
    v_score text;
    v_free text;
    v_is_few boolean;
    v_free_providers uuid[];
    v_free_asks boolean[];
    v_free_soonest integer[];
    v_free_service_ids uuid[];
    v_free_services text[];
    v_scores integer[];
    v_rest text;
    v_from text := 'provider_search s';
    v_where text := format('s.organization_id = %L', p_organization);
    v_columns text := 'true AS is_sure, NULL::uuid AS service_id, NULL::integer AS soonest, NULL::uuid[] AS services';
    v_id text := 's.provider_id';
    v_key text;
    v_kind text;
    v_order text := CASE WHEN p_falling <> p_backward THEN ' DESC' ELSE '' END;
    v_bounds text := '';
    v_hits text;
BEGIN
    SELECT o.currency INTO v_currency FROM organization o WHERE o.id = p_organization;
    IF NOT FOUND THEN
        RAISE no_data_found USING MESSAGE = 'no such organization';
    END IF;
    IF p_user IS NOT NULL THEN
        SELECT m.role INTO v_role FROM membership m WHERE m.organization_id = p_organization AND m.user_id = p_user;
        SELECT p.id INTO v_own FROM provider p
        WHERE p.organization_id = p_organization AND p.user_id = p_user AND p.is_active;
    END IF;
    v_is_staff := v_role IS NOT NULL;
    IF p_wanted = '{}' AND p_sort IN ('name', 'created', 'rating')
       AND (CASE WHEN p_backward THEN p_after ELSE p_before END) IS NULL THEN
        RETURN QUERY SELECT v_role, v_own, (g.found).id, g.key, true, NULL::double precision, NULL::uuid, NULL::integer,
                            NULL::integer, NULL::bigint, NULL::uuid[], v_currency, g.found
        FROM search_everybody(
            p_organization, v_is_staff, p_sort, p_falling <> p_backward, p_size,
            CASE WHEN p_backward THEN p_before ELSE p_after END, CASE WHEN p_backward THEN p_before_id ELSE p_after_id END
        ) g;
        RETURN;
    END IF;
    SELECT * INTO w FROM jsonb_to_record(p_wanted) AS w (
        "venueId" uuid, "serviceId" uuid, category text, text text, "isActive" boolean, latitude double precision,
        longitude double precision, "radiusKm" double precision, "minimumRating" double precision, languages text[],
        "minimumMinor" bigint, "maximumMinor" bigint, "fromMinute" integer, "toMinute" integer,
        "durationMinutes" integer, "partySize" integer);

    -- What is asked of the provider.
    IF w.latitude IS NOT NULL THEN
        v_point := format('%L::cube', earth_point(w.latitude, w.longitude));
        v_chord := 2 * 6371.0088 * sin(least(w."radiusKm" / (2 * 6371.0088), pi() / 2)) + 0.000001;
    END IF;
    v_where := concat_ws(' AND ', v_where,
        CASE WHEN NOT v_is_staff THEN 's.is_visible' END,
        's.is_active = ' || quote_literal(w."isActive") || '::boolean',
        's.venue_id = ' || quote_literal(w."venueId") || '::uuid',
        's.rating >= ' || quote_literal(w."minimumRating") || '::float8',
        's.position <@ cube_enlarge(' || v_point || ', ' || quote_literal(v_chord) || '::float8, 3)',
        '(s.position <-> ' || v_point || ') <= ' || quote_literal(v_chord) || '::float8');
    v_narrow := 's.languages && ' || quote_literal(w.languages) || '::text[]';
    IF w.text IS NOT NULL THEN
        IF text_words(w.text) = '{}' THEN
            RAISE invalid_parameter_value USING MESSAGE = 'no words in the text';
        END IF;
        SELECT NULLIF(concat_ws(' AND ', v_narrow, t.narrow), ''), t.wide, t.score INTO v_narrow, v_wide, v_score
        FROM search_text_sql(p_organization, w.text, v_is_staff, c_dense) t;
        v_where := v_where || v_wide;
    END IF;

    -- What is asked of a service that they offer.
    IF w."serviceId" IS NOT NULL OR w.category IS NOT NULL THEN
        v_services := ARRAY(
            SELECT t.service_id FROM service_search t JOIN service v ON v.id = t.service_id
            WHERE t.organization_id = p_organization AND (v.is_active OR v_is_staff)
              AND (w."serviceId" IS NULL OR t.service_id = w."serviceId")
              AND (w.category IS NULL OR t.category = fold_text(w.category)));
    END IF;
    v_by_price := w."minimumMinor" IS NOT NULL OR w."maximumMinor" IS NOT NULL;
    v_offer := concat_ws(' AND ', 'f.is_active',
        CASE WHEN NOT v_is_staff THEN 'v.is_active' END,
        'f.service_id = ANY(' || quote_literal(v_services) || '::uuid[])',
        c_price || ' >= ' || w."minimumMinor",
        c_price || ' <= ' || w."maximumMinor");

    IF w."fromMinute" IS NOT NULL THEN
        SELECT t.statement, t.is_few, t.providers, t.asks, t.soonest, t.service_ids, t.services
        INTO v_free, v_is_few, v_free_providers, v_free_asks, v_free_soonest, v_free_service_ids, v_free_services
        FROM search_free_sql(
            p_organization, p_now, w."fromMinute", w."toMinute", w."durationMinutes", COALESCE(w."partySize", 1),
            v_services, CASE WHEN v_by_price THEN v_offer END, c_dense) t;
    END IF;
    IF v_free_providers IS NOT NULL AND p_sort <> 'count' AND (p_sort <> 'price' OR v_services IS NULL) THEN
        IF w.text IS NOT NULL THEN
            EXECUTE format(
                'SELECT COALESCE(array_agg(o.provider_id), %L), array_agg(o.asks), array_agg(o.soonest), array_agg(o.service_id),'
                ' array_agg(o.services), array_agg(round(1000 * (%s))::integer)'
                ' FROM unnest($1, $2, $3, $4, $5) AS o (provider_id, asks, soonest, service_id, services)'
                ' CROSS JOIN LATERAL (SELECT s.* FROM provider_search s WHERE s.provider_id = o.provider_id OFFSET 0) s'
                ' WHERE s.organization_id = %L%s%s', '{}', v_score, p_organization, ' AND ' || v_narrow, v_wide)
            INTO v_free_providers, v_free_asks, v_free_soonest, v_free_service_ids, v_free_services, v_scores
            USING v_free_providers, v_free_asks, v_free_soonest, v_free_service_ids, v_free_services;
        END IF;
        RETURN QUERY SELECT v_role, v_own, (g.found).id, g.key, g.is_sure, g.distance_km, g.service_id, g.soonest,
                            g.duration_minutes, g.price_minor, g.services, v_currency, g.found
        FROM search_few(
            p_organization, v_is_staff, w."isActive", w."venueId", w."minimumRating", w.languages,
            CASE WHEN v_point IS NOT NULL THEN earth_point(w.latitude, w.longitude) END, v_chord, p_sort, p_falling, p_backward,
            p_size, p_unsure, p_after, p_after_id, p_before, p_before_id, v_free_providers, v_free_asks, v_free_soonest,
            v_free_service_ids, v_free_services, v_scores) g;
        RETURN;
    ELSIF v_narrow IS NOT NULL AND v_is_few THEN
        v_where := v_where || ' AND ' || v_narrow;
    ELSIF v_narrow IS NOT NULL THEN
        -- How many there are decides how to go on, and no statistics tell it of rare words.
        EXECUTE format('SELECT ARRAY(SELECT s.provider_id FROM provider_search s WHERE s.organization_id = %L AND %s LIMIT %s)',
                       p_organization, v_narrow, c_dense) INTO v_ids;
        v_where := v_where || CASE WHEN cardinality(v_ids) < c_dense THEN format(' AND s.provider_id = ANY(%L::uuid[])', v_ids)
                                   ELSE ' AND ' || v_narrow END;
    END IF;

    -- Where the order and the free time come from.
    v_key := CASE p_sort WHEN 'name' THEN 's.name' WHEN 'created' THEN 's.created_at' WHEN 'rating' THEN 's.rating'
                         WHEN 'distance' THEN format('(s.position <-> %s)', v_point) WHEN 'soonest' THEN 'o.soonest'
                         WHEN 'relevance' THEN format('round(1000 * (%s))::integer', v_score)
                         WHEN 'price' THEN 'a.key' ELSE '0' END;
    -- (bigint for all whole numbers: a cursor that was tampered with may name any.)
    v_kind := CASE p_sort WHEN 'name' THEN 'text COLLATE "C"' WHEN 'created' THEN 'timestamptz' WHEN 'rating' THEN 'float8'
                          WHEN 'distance' THEN 'float8' ELSE 'bigint' END;
    IF p_sort = 'price' AND (v_services IS NOT NULL OR v_by_price) THEN
        -- The lowest of the services that are asked for.
        v_from := v_from || format(
            ' JOIN (SELECT f.provider_id, COALESCE(min(%s), %s) AS key FROM offer f JOIN service v ON v.id = f.service_id'
            ' WHERE f.organization_id = %L AND %s GROUP BY 1) a ON a.provider_id = s.provider_id',
            c_price, CASE WHEN p_falling THEN -1 ELSE 9007199254740992 END, p_organization, v_offer);
    ELSIF p_sort = 'price' THEN
        v_key := CASE WHEN p_falling THEN 'a.falling_minor' ELSE 'a.rising_minor' END;
        v_id := 'a.provider_id';
        v_from := v_from || ' JOIN provider_price a ON a.provider_id = s.provider_id';
        v_where := v_where || format(' AND a.organization_id = %L', p_organization);
    ELSIF w."fromMinute" IS NULL AND (v_services IS NOT NULL OR v_by_price) THEN
        v_where := v_where || search_offer_sql(v_services, CASE WHEN v_by_price THEN v_offer END, c_dense);
    END IF;
    IF w."fromMinute" IS NOT NULL THEN
        v_columns := 'NOT o.asks AS is_sure, o.service_id, o.soonest, CASE WHEN o.asks THEN o.services END AS services';
        v_rest := substr(v_from, length('provider_search s') + 1);
        v_from := CASE
            -- From the few to who they are: by what it expects of words and places, PostgreSQL would walk the whole town.
            WHEN v_is_few THEN format(
                '(%s OFFSET 0) o CROSS JOIN LATERAL (SELECT s.* FROM provider_search s'
                ' WHERE s.provider_id = o.provider_id OFFSET 0) s%s',
                COALESCE(v_free || ' GROUP BY 1',
                         'SELECT o.provider_id, o.asks, o.soonest, o.service_id, o.services::uuid[]'
                         ' FROM unnest($1, $2, $3, $4, $5) AS o (provider_id, asks, soonest, service_id, services)'),
                v_rest)
            WHEN v_key IN ('o.soonest', 'a.key', '0')
            THEN format('%s JOIN (%s GROUP BY 1) o ON o.provider_id = s.provider_id', v_from, v_free)
            ELSE format('%s CROSS JOIN LATERAL (%s AND k.provider_id = s.provider_id GROUP BY 1) o', v_from, v_free) END;
    END IF;

    -- The page.
    IF p_after IS NOT NULL THEN
        v_bounds := format(' AND (%s, %s) %s (%L::%s, %L::uuid)', v_key, v_id,
                           CASE WHEN p_falling THEN '<' ELSE '>' END, p_after, v_kind, p_after_id);
    END IF;
    IF p_before IS NOT NULL THEN
        v_bounds := v_bounds || format(' AND (%s, %s) %s (%L::%s, %L::uuid)', v_key, v_id,
                                       CASE WHEN p_falling THEN '>' ELSE '<' END, p_before, v_kind, p_before_id);
    END IF;
    v_hits := format('SELECT s.provider_id, %s AS key, s.position, %s FROM %s WHERE %s', v_key, v_columns, v_from, v_where);
    v_hits := CASE
        WHEN p_sort = 'count' THEN format(
            'WITH hit AS MATERIALIZED (%s) SELECT NULL::uuid AS provider_id, count(*)::integer AS key,'
            ' NULL::cube AS position, true AS is_sure, NULL::uuid AS service_id, NULL::integer AS soonest,'
            ' NULL::uuid[] AS services'
            ' FROM hit WHERE is_sure'
            ' UNION ALL (SELECT * FROM hit WHERE NOT is_sure ORDER BY provider_id LIMIT %s)', v_hits, p_unsure + 1)
        WHEN p_sort = 'soonest' THEN format(
            'WITH hit AS MATERIALIZED (%s) (SELECT * FROM hit WHERE NOT is_sure ORDER BY provider_id LIMIT %s)'
            ' UNION ALL (SELECT * FROM hit o WHERE is_sure%s ORDER BY key%s, provider_id%s LIMIT %s)',
            v_hits, p_unsure + 1, replace(v_bounds, '(o.soonest, s.provider_id)', '(key, provider_id)'),
            v_order, v_order, p_size)
        ELSE format('%s%s ORDER BY %s%s, %s%s LIMIT %s', v_hits, v_bounds, v_key, v_order, v_id, v_order, p_size) END;
    RETURN QUERY EXECUTE format(
        'SELECT %L::text, %L::uuid, g.provider_id, g.key::text, g.is_sure, %s,'
        ' g.service_id, g.soonest, COALESCE(f.duration_minutes, v.duration_minutes), %s, g.services,'
        ' %L::text, p'
        ' FROM (%s) g LEFT JOIN provider p ON p.id = g.provider_id'
        ' LEFT JOIN offer f ON f.provider_id = g.provider_id AND f.service_id = g.service_id'
        ' LEFT JOIN service v ON v.id = g.service_id'
        ' ORDER BY %sg.key%s, g.provider_id%s',
        v_role, v_own,
        CASE WHEN v_point IS NULL THEN 'NULL::float8'
             ELSE format('2 * 6371.0088 * asin(least(1, (g.position <-> %s) / (2 * 6371.0088)))', v_point) END,
        c_price, v_currency, v_hits,
        CASE WHEN p_sort IN ('soonest', 'count') THEN 'g.is_sure, ' END, v_order, v_order)
        USING v_free_providers, v_free_asks, v_free_soonest, v_free_service_ids, v_free_services;
END $$;

DO $$
DECLARE
    t text;
BEGIN
    GRANT CREATE ON SCHEMA public TO turnero_system;
    FOREACH t IN ARRAY ARRAY[
        'outlooks_overtaken(uuid, bigint, bigint, integer)',
        'search_words_like(uuid, text, integer)',
        'search_text_sql(uuid, text, boolean, integer)',
        'search_offer_sql(uuid[], text, integer)',
        'search_free_start(integer, integer, integer, integer, integer, boolean, integer, integer, integer, integer, integer,'
        ' integer, integer[], integer[], integer[])',
        'search_free_few(tid[], integer, timestamptz, integer, integer, integer, integer, boolean, uuid[], uuid[])',
        'search_free_sql(uuid, timestamptz, integer, integer, integer, integer, uuid[], text, integer)',
        'search_few(uuid, boolean, boolean, uuid, double precision, text[], cube, double precision, text, boolean, boolean,'
        ' integer, integer, text, uuid, text, uuid, uuid[], boolean[], integer[], uuid[], text[], integer[])',
        'search_everybody(uuid, boolean, text, boolean, integer, text, uuid)',
        'search_providers(uuid, uuid, timestamptz, jsonb, text, boolean, boolean, integer, integer, text, uuid, text, uuid)'
    ] LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', t);
        EXECUTE format('ALTER FUNCTION %s OWNER TO turnero_system', t);
    END LOOP;
    REVOKE CREATE ON SCHEMA public FROM turnero_system;
END $$;
GRANT EXECUTE ON FUNCTION
    search_providers(uuid, uuid, timestamptz, jsonb, text, boolean, boolean, integer, integer, text, uuid, text, uuid)
    TO turnero_app;
