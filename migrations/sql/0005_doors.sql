-- The form of 0002, with the things of this revision.
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
        WHEN 'price_rule' THEN SELECT r.organization_id INTO v_organization FROM price_rule r WHERE r.id = p_id;
        WHEN 'promo_code' THEN SELECT p.organization_id INTO v_organization FROM promo_code p WHERE p.id = p_id;
        WHEN 'price_offer' THEN SELECT o.organization_id INTO v_organization FROM price_offer o WHERE o.id = p_id;
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
