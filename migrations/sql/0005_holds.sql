-- A hold keeps its price with its explanation. The forms before stay for processes of the release before, and hold
-- without one; a later migration drops them. Calls name every argument of one form or the other.

-- As in 0002, with `p_quote`, the price as `domain.price_quote_codec` writes it, and the promo code that it counts with.
CREATE FUNCTION hold_slot(
    p_hold uuid, p_allocation uuid, p_organization uuid, p_service uuid, p_provider uuid,
    p_starts timestamptz, p_ends timestamptz, p_buffer_before integer, p_buffer_after integer, p_ttl interval,
    p_party_size integer, p_price bigint, p_currency text,
    p_user uuid, p_address text, p_user_limit integer, p_address_limit integer,
    p_together jsonb, p_items jsonb, p_quote jsonb, p_promo uuid,
    OUT outcome text, OUT expires_at timestamptz, OUT retry_after timestamptz, OUT lapsed_bookings uuid[], OUT refused uuid
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_claimed boolean;
    v_expires timestamptz;
BEGIN
    lapsed_bookings := '{}';
    IF p_user_limit > 0 OR p_address_limit > 0 THEN
        SELECT l.outcome, l.retry_after INTO outcome, retry_after
        FROM hold_limits(p_user, p_address, p_user_limit, p_address_limit) l;
        IF outcome IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;
    IF p_together IS NULL THEN
        v_expires := turnero_now() + p_ttl;
        SELECT c.claimed, c.lapsed_bookings INTO v_claimed, lapsed_bookings FROM claim_time(
            p_allocation, p_organization, p_provider,
            tstzrange(p_starts - make_interval(mins => p_buffer_before),
                      p_ends + make_interval(mins => p_buffer_after), '[)'),
            p_starts, p_ends, 'held', p_hold, NULL, v_expires, 'HELD') c;
        IF NOT v_claimed THEN
            outcome := 'taken';
            refused := p_provider;
            RETURN;
        END IF;
    ELSE
        SELECT c.outcome, c.refused, c.expires_at, c.lapsed_bookings INTO outcome, refused, v_expires, lapsed_bookings
        FROM claim_together(p_organization, p_together, 'held', p_hold, NULL, p_ttl, 'HELD') c;
        IF outcome <> 'claimed' THEN
            RETURN;
        END IF;
    END IF;
    INSERT INTO hold (id, organization_id, status, service_id, provider_id, starts_at, ends_at, buffer_before_minutes,
                      buffer_after_minutes, expires_at, party_size, price_minor, currency, user_id, address, items, quote,
                      promo_code_id)
    VALUES (p_hold, p_organization, 'active', p_service, p_provider, p_starts, p_ends, p_buffer_before,
            p_buffer_after, v_expires, p_party_size, p_price, p_currency, p_user, p_address, p_items, p_quote, p_promo);
    outcome := 'held';
    expires_at := v_expires;
END $$;

CREATE OR REPLACE FUNCTION hold_slot(
    p_hold uuid, p_allocation uuid, p_organization uuid, p_service uuid, p_provider uuid,
    p_starts timestamptz, p_ends timestamptz, p_buffer_before integer, p_buffer_after integer, p_ttl interval,
    p_party_size integer, p_price bigint, p_currency text,
    p_user uuid, p_address text, p_user_limit integer, p_address_limit integer,
    p_together jsonb, p_items jsonb,
    OUT outcome text, OUT expires_at timestamptz, OUT retry_after timestamptz, OUT lapsed_bookings uuid[], OUT refused uuid
)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.* FROM hold_slot(
        p_hold, p_allocation, p_organization, p_service, p_provider, p_starts, p_ends, p_buffer_before, p_buffer_after,
        p_ttl, p_party_size, p_price, p_currency, p_user, p_address, p_user_limit, p_address_limit, p_together, p_items,
        NULL::jsonb, NULL::uuid) h
$$;

-- As in 0002, with the price and its code.
CREATE FUNCTION hold_places(
    p_hold uuid, p_claim uuid, p_organization uuid, p_session uuid, p_places integer, p_ttl interval, p_price bigint,
    p_currency text, p_user uuid, p_address text, p_user_limit integer, p_address_limit integer, p_quote jsonb,
    p_promo uuid,
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
    SELECT c.claimed, c.lapsed_bookings INTO v_claimed, lapsed_bookings FROM claim_places(
        p_claim, p_organization, p_session, p_places, 'held', p_hold, NULL, v_expires, 'HELD', false) c;
    IF NOT v_claimed THEN
        outcome := 'taken';
        RETURN;
    END IF;
    INSERT INTO hold (id, organization_id, status, session_id, starts_at, ends_at, buffer_before_minutes,
                      buffer_after_minutes, expires_at, party_size, price_minor, currency, user_id, address, quote,
                      promo_code_id)
    SELECT p_hold, p_organization, 'active', s.id, s.starts_at, s.ends_at, 0, 0, v_expires, p_places, p_price,
           p_currency, p_user, p_address, p_quote, p_promo
    FROM activity_session s WHERE s.id = p_session;
    outcome := 'held';
    expires_at := v_expires;
END $$;

CREATE OR REPLACE FUNCTION hold_places(
    p_hold uuid, p_claim uuid, p_organization uuid, p_session uuid, p_places integer, p_ttl interval, p_price bigint,
    p_currency text, p_user uuid, p_address text, p_user_limit integer, p_address_limit integer,
    OUT outcome text, OUT expires_at timestamptz, OUT retry_after timestamptz, OUT lapsed_bookings uuid[]
)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.* FROM hold_places(
        p_hold, p_claim, p_organization, p_session, p_places, p_ttl, p_price, p_currency, p_user, p_address, p_user_limit,
        p_address_limit, NULL::jsonb, NULL::uuid) h
$$;
