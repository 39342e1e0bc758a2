-- Search of providers: what is searched by, kept exact by triggers; when each offer is next free, kept by the worker;
-- and the one function that reads both (docs/adr/0010).

CREATE EXTENSION IF NOT EXISTS btree_gin;
CREATE EXTENSION IF NOT EXISTS cube;
CREATE EXTENSION IF NOT EXISTS fuzzystrmatch;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS unaccent;

-- ── what is searched by ──────────────────────────────────────────────────────────────────────────────

-- `Ñandú` → `nandu`, `Łódź` → `lodz`: NFKD takes accents off, unaccent knows the letters that have none to take off.
CREATE FUNCTION fold_text(p_text text) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT casefold(unaccent('unaccent', regexp_replace(normalize(p_text, NFKD), U&'[\0300-\036F\0591-\05C7]', '', 'g'))
                    COLLATE pg_unicode_fast)
$$;

-- The words of a text in their order, folded, without the punctuation around them; of very long ones the beginning.
CREATE FUNCTION text_words(p_text text) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT ARRAY(
        SELECT part.word FROM regexp_split_to_table(fold_text(p_text), '\s+') WITH ORDINALITY AS split (piece, n),
               left(btrim(split.piece, '.,;:!?()[]{}<>"''«»¿¡'), 100) AS part (word)
        WHERE part.word <> '' ORDER BY split.n)
$$;

-- A place on the globe as a point in kilometres from its centre: distances need no special case at poles or date line.
CREATE FUNCTION earth_point(p_latitude double precision, p_longitude double precision) RETURNS cube
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT cube(ARRAY[6371.0088 * cosd(p_latitude) * cosd(p_longitude),
                      6371.0088 * cosd(p_latitude) * sind(p_longitude),
                      6371.0088 * sind(p_latitude)])
$$;

-- One row for each provider, written by triggers alone. name: folded, which may make it longer, and cut for cursors and
-- indexes. rating: -1 without one. languages: each tag with its prefixes.
CREATE TABLE provider_search (
    provider_id UUID NOT NULL,
    organization_id UUID NOT NULL,
    venue_id UUID NOT NULL,
    is_active BOOLEAN NOT NULL,
    is_visible BOOLEAN NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    words TEXT[] DEFAULT '{}' NOT NULL,
    languages TEXT[] DEFAULT '{}' NOT NULL,
    rating DOUBLE PRECISION NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    position CUBE,
    CONSTRAINT provider_search_pkey PRIMARY KEY (provider_id),
    CONSTRAINT provider_search_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT provider_search_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

-- The lowest price of what a provider offers, twice: without one, last in either order. Apart, for it changes in bulk.
CREATE TABLE provider_price (
    provider_id UUID NOT NULL,
    organization_id UUID NOT NULL,
    rising_minor BIGINT NOT NULL,
    falling_minor BIGINT NOT NULL,
    CONSTRAINT provider_price_pkey PRIMARY KEY (provider_id),
    CONSTRAINT provider_price_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT provider_price_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

-- Names and categories of services. Not part of their providers' rows: renaming one would rewrite thousands.
CREATE TABLE service_search (
    service_id UUID NOT NULL,
    organization_id UUID NOT NULL,
    category TEXT NOT NULL,
    words TEXT[] DEFAULT '{}' NOT NULL,
    CONSTRAINT service_search_pkey PRIMARY KEY (service_id),
    CONSTRAINT service_search_service_id_fkey FOREIGN KEY(service_id) REFERENCES service (id),
    CONSTRAINT service_search_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

-- Every word that was ever in provider_search or service_search: where a misspelt word finds those it may stand for.
CREATE TABLE search_word (
    organization_id UUID NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    CONSTRAINT search_word_pkey PRIMARY KEY (organization_id, word),
    CONSTRAINT search_word_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

-- ── when each offer is free ──────────────────────────────────────────────────────────────────────────

-- Free starts from the day of the calculation to `covered_to`, as runs: firsts[i], then every steps[i] minutes until
-- lasts[i]. Neither notice nor horizon is taken off: they pass with time, and the reader knows the time. `days` are the
-- UTC days that have a start. All in minutes (days) since 1970. It may be believed until `known_until`, when a hold
-- that was counted lapses, and as far as no event came after outlook_state.position.
CREATE TABLE offer_outlook (
    provider_id UUID NOT NULL,
    service_id UUID NOT NULL,
    organization_id UUID NOT NULL,
    known_until TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    covered_to INTEGER DEFAULT '0' NOT NULL,
    marks INTEGER DEFAULT '0' NOT NULL,
    notice_minutes INTEGER DEFAULT '0' NOT NULL,
    horizon_days INTEGER DEFAULT '0' NOT NULL,
    duration_minutes INTEGER DEFAULT '0' NOT NULL,
    longest_minutes INTEGER DEFAULT '0' NOT NULL,
    largest_party INTEGER DEFAULT '0' NOT NULL,
    days INTEGER[] DEFAULT '{}' NOT NULL,
    firsts INTEGER[] DEFAULT '{}' NOT NULL,
    lasts INTEGER[] DEFAULT '{}' NOT NULL,
    steps INTEGER[] DEFAULT '{}' NOT NULL,
    CONSTRAINT offer_outlook_pkey PRIMARY KEY (provider_id, service_id),
    CONSTRAINT offer_outlook_offer_fkey FOREIGN KEY(provider_id, service_id) REFERENCES offer (provider_id, service_id),
    CONSTRAINT offer_outlook_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

-- Events up to `position` are in the outlooks, or have made them unknown. rules: versions of what they were made with.
CREATE TABLE outlook_state (
    id BOOLEAN DEFAULT 'true' NOT NULL,
    position BIGINT DEFAULT '0' NOT NULL,
    rules TEXT DEFAULT '' NOT NULL,
    CONSTRAINT outlook_state_pkey PRIMARY KEY (id),
    CONSTRAINT outlook_state_single_row_check CHECK (id)
);
INSERT INTO outlook_state (position) SELECT last_position FROM relay_state;

-- ── triggers ─────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION refresh_provider_search(p_providers uuid[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO provider_search AS s (provider_id, organization_id, venue_id, is_active, is_visible, name, words,
                                      languages, rating, created_at, position)
    SELECT p.id, p.organization_id, p.venue_id, p.is_active, p.is_active AND v.is_active, left(fold_text(p.name), 200),
           text_words(concat_ws(' ', p.name, p.bio)),
           ARRAY(SELECT DISTINCT array_to_string(part.parts[:n], '-')
                 FROM unnest(p.languages) AS tag, string_to_array(lower(tag), '-') AS part (parts),
                      generate_series(1, cardinality(part.parts)) AS n),
           COALESCE(p.rating, -1), p.created_at, earth_point(v.latitude, v.longitude)
    FROM provider p JOIN venue v ON v.id = p.venue_id
    WHERE p.id = ANY(p_providers)
    ORDER BY p.id
    ON CONFLICT (provider_id) DO UPDATE SET
        venue_id = EXCLUDED.venue_id, is_active = EXCLUDED.is_active, is_visible = EXCLUDED.is_visible,
        name = EXCLUDED.name, words = EXCLUDED.words, languages = EXCLUDED.languages, rating = EXCLUDED.rating,
        position = EXCLUDED.position;
    INSERT INTO search_word (organization_id, word)
    SELECT DISTINCT s.organization_id, w FROM provider_search s, unnest(s.words) AS w WHERE s.provider_id = ANY(p_providers)
    ORDER BY 1, 2 ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION refresh_service_search(p_services uuid[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO service_search AS s (service_id, organization_id, category, words)
    SELECT v.id, v.organization_id, fold_text(v.category), text_words(concat_ws(' ', v.name, v.category, v.subcategory))
    FROM service v WHERE v.id = ANY(p_services)
    ORDER BY v.id
    ON CONFLICT (service_id) DO UPDATE SET category = EXCLUDED.category, words = EXCLUDED.words
        WHERE (s.category, s.words) <> (EXCLUDED.category, EXCLUDED.words);
    INSERT INTO search_word (organization_id, word)
    SELECT DISTINCT s.organization_id, w FROM service_search s, unnest(s.words) AS w WHERE s.service_id = ANY(p_services)
    ORDER BY 1, 2 ON CONFLICT DO NOTHING
$$;

-- As app/domain/pricing.py.
CREATE FUNCTION price_of_offer(
    p_type text, p_base bigint, p_own_base bigint, p_duration integer, p_own_duration integer
) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_type WHEN 'fixed' THEN COALESCE(p_own_base, p_base)
                   WHEN 'hourly' THEN (COALESCE(p_own_base, p_base) * COALESCE(p_own_duration, p_duration) + 30) / 60 END;

CREATE FUNCTION refresh_provider_price(p_providers uuid[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO provider_price AS s (provider_id, organization_id, rising_minor, falling_minor)
    SELECT p.id, p.organization_id, COALESCE(o.lowest, 9007199254740992), COALESCE(o.lowest, -1)
    FROM provider p
    CROSS JOIN LATERAL (
        SELECT min(price_of_offer(v.price_type, v.price_minor, f.price_minor, v.duration_minutes, f.duration_minutes))
            AS lowest
        FROM offer f JOIN service v ON v.id = f.service_id
        WHERE f.provider_id = p.id AND f.is_active AND v.is_active
    ) o
    WHERE p.id = ANY(p_providers)
    ORDER BY p.id
    ON CONFLICT (provider_id) DO UPDATE
        SET rising_minor = EXCLUDED.rising_minor, falling_minor = EXCLUDED.falling_minor
        WHERE s.falling_minor <> EXCLUDED.falling_minor
$$;

-- What these rows are made of is changed by several at once, none of whom sees the others' rows before they commit: so one
-- after the other in each organization. Only changes of the catalogue come here, never bookings.
CREATE FUNCTION lock_search(p_organizations uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_organization uuid;
BEGIN
    FOR v_organization IN SELECT DISTINCT o FROM unnest(p_organizations) AS o ORDER BY o LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('search:' || v_organization, 0));
    END LOOP;
END $$;

CREATE FUNCTION search_follows_provider() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_ids uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.id) INTO v_ids FROM new_rows n;
    ELSE
        SELECT array_agg(n.id) INTO v_ids FROM new_rows n JOIN old_rows o ON o.id = n.id
        WHERE (n.name, n.bio, n.languages, n.rating, n.is_active, n.venue_id)
              IS DISTINCT FROM (o.name, o.bio, o.languages, o.rating, o.is_active, o.venue_id);
    END IF;
    IF v_ids IS NOT NULL THEN
        PERFORM lock_search(ARRAY(SELECT DISTINCT n.organization_id FROM new_rows n));
        PERFORM refresh_provider_search(v_ids);
        IF TG_OP = 'INSERT' THEN
            PERFORM refresh_provider_price(v_ids);
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION search_follows_venue() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM lock_search(ARRAY(SELECT DISTINCT n.organization_id FROM new_rows n));
    PERFORM refresh_provider_search(ARRAY(
        SELECT p.id FROM new_rows n JOIN old_rows o ON o.id = n.id JOIN provider p ON p.venue_id = n.id
        WHERE (n.is_active, n.latitude, n.longitude) IS DISTINCT FROM (o.is_active, o.latitude, o.longitude)));
    RETURN NULL;
END $$;

CREATE FUNCTION search_follows_service() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM lock_search(ARRAY(SELECT DISTINCT n.organization_id FROM new_rows n));
    PERFORM refresh_service_search(ARRAY(SELECT n.id FROM new_rows n));
    IF TG_OP = 'UPDATE' THEN
        PERFORM refresh_provider_price(ARRAY(
            SELECT DISTINCT f.provider_id
            FROM new_rows n JOIN old_rows o ON o.id = n.id JOIN offer f ON f.service_id = n.id AND f.is_active
            WHERE (n.price_minor, n.price_type, n.duration_minutes, n.is_active)
                  IS DISTINCT FROM (o.price_minor, o.price_type, o.duration_minutes, o.is_active)));
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION search_follows_offer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO offer_outlook (provider_id, service_id, organization_id)
        SELECT n.provider_id, n.service_id, n.organization_id FROM new_rows n ON CONFLICT DO NOTHING;
    END IF;
    PERFORM lock_search(ARRAY(SELECT DISTINCT n.organization_id FROM new_rows n));
    PERFORM refresh_provider_price(ARRAY(SELECT DISTINCT n.provider_id FROM new_rows n));
    RETURN NULL;
END $$;

CREATE TRIGGER provider_search_inserted AFTER INSERT ON provider REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION search_follows_provider();
CREATE TRIGGER provider_search_updated AFTER UPDATE ON provider REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION search_follows_provider();
CREATE TRIGGER venue_search_updated AFTER UPDATE ON venue REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION search_follows_venue();
CREATE TRIGGER service_search_inserted AFTER INSERT ON service REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION search_follows_service();
CREATE TRIGGER service_search_updated AFTER UPDATE ON service REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION search_follows_service();
CREATE TRIGGER offer_search_inserted AFTER INSERT ON offer REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION search_follows_offer();
CREATE TRIGGER offer_search_updated AFTER UPDATE ON offer REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION search_follows_offer();

-- What is there already gets its rows in revision 0003.

-- ── indexes ──────────────────────────────────────────────────────────────────────────────────────────

CREATE INDEX provider_search_name_idx ON provider_search (organization_id, name, provider_id);
CREATE INDEX provider_search_created_idx ON provider_search (organization_id, created_at, provider_id);
CREATE INDEX provider_search_rating_idx ON provider_search (organization_id, rating, provider_id);
CREATE INDEX provider_search_venue_idx ON provider_search (venue_id);
CREATE INDEX provider_search_words_idx ON provider_search USING gin (organization_id, words, languages);
CREATE INDEX search_word_like_idx ON search_word USING gin (organization_id, word gin_trgm_ops);
CREATE INDEX provider_search_position_idx ON provider_search USING gist (organization_id, position);
CREATE INDEX provider_price_rising_idx ON provider_price (organization_id, rising_minor, provider_id);
CREATE INDEX provider_price_falling_idx ON provider_price (organization_id, falling_minor, provider_id);
CREATE INDEX service_search_organization_idx ON service_search (organization_id);
CREATE INDEX offer_outlook_service_idx ON offer_outlook (service_id);
CREATE INDEX offer_outlook_days_idx ON offer_outlook USING gin (organization_id, days);
CREATE INDEX offer_outlook_known_idx ON offer_outlook (known_until, organization_id);
CREATE INDEX offer_outlook_covered_idx ON offer_outlook (covered_to, organization_id);

-- ── who may touch what ───────────────────────────────────────────────────────────────────────────────

-- Requests read these; triggers and the worker write them.
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['provider_search', 'provider_price', 'service_search', 'search_word', 'offer_outlook',
                             'outlook_state'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY system ON %I TO turnero_system USING (true) WITH CHECK (true)', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO turnero_system', t);
        IF t <> 'outlook_state' THEN
            EXECUTE format('CREATE POLICY tenant ON %I FOR SELECT TO turnero_app'
                           ' USING (organization_id = (SELECT app_organization_id()))', t);
            EXECUTE format('GRANT SELECT ON %I TO turnero_app', t);
        END IF;
    END LOOP;
    GRANT CREATE ON SCHEMA public TO turnero_system;
    FOREACH t IN ARRAY ARRAY[
        'refresh_provider_search(uuid[])', 'refresh_provider_price(uuid[])', 'refresh_service_search(uuid[])',
        'search_follows_provider()', 'search_follows_venue()', 'search_follows_service()', 'search_follows_offer()'
    ] LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', t);
        EXECUTE format('ALTER FUNCTION %s OWNER TO turnero_system', t);
    END LOOP;
    REVOKE CREATE ON SCHEMA public FROM turnero_system;
END $$;
