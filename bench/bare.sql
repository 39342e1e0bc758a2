-- What createBooking writes, as one call: the peer that the API is held against. Not part of the product.

CREATE FUNCTION bench_book(p_hold uuid, p_booking uuid, p_customer uuid, p_item uuid) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    h hold%ROWTYPE;
    v_number text := next_booking_number();
BEGIN
    SELECT * INTO h FROM hold WHERE id = p_hold AND status = 'active' AND expires_at > turnero_now() FOR NO KEY UPDATE;
    INSERT INTO customer (id, organization_id, name, email) VALUES (p_customer, h.organization_id, 'Ana', 'ana@example.com');
    WITH taken AS (
        UPDATE allocation SET status = 'booked', booking_id = p_booking, expires_at = NULL
        WHERE hold_id = p_hold AND status = 'held'
        RETURNING *, old.expires_at AS held_until
    )
    INSERT INTO outbox_event (organization_id, type, subject_id, payload)
    SELECT organization_id, 'allocation.confirmed', subject_id,
           allocation_payload(id, starts_at, ends_at, busy, held_until, 'BOOKED')
    FROM taken;
    UPDATE hold SET status = 'consumed' WHERE id = p_hold;
    INSERT INTO booking (id, organization_id, number, confirmation_code, status, starts_at, ends_at, time_zone,
                         party_size, provider_id, service_id, customer_id, hold_id, price_minor, currency,
                         payment_status, payment_method, cancellable_until, cancellation_notice_minutes,
                         requires_approval)
    VALUES (p_booking, h.organization_id, v_number, upper(right(replace(p_booking::text, '-', ''), 12)), 'confirmed',
            h.starts_at, h.ends_at, 'UTC', h.party_size, h.provider_id, h.service_id, p_customer, p_hold, h.price_minor,
            h.currency, 'unpaid', 'pay_on_arrival', h.starts_at - interval '1 day', 1440, false);
    INSERT INTO booking_item (id, organization_id, booking_id, position, service_id, provider_id, starts_at, ends_at,
                              buffer_before_minutes, buffer_after_minutes, price_minor)
    VALUES (p_item, h.organization_id, p_booking, 1, h.service_id, h.provider_id, h.starts_at, h.ends_at, 0, 0,
            h.price_minor);
    PERFORM journal(
        h.organization_id,
        '{"actor": "guest", "actor_id": null, "channel": "api", "address": null, "user_agent": null, "request_id": null}',
        jsonb_build_array(
            jsonb_build_object('booking_id', p_booking, 'from_status', NULL, 'to_status', 'pending', 'reason', NULL),
            jsonb_build_object('booking_id', p_booking, 'from_status', 'pending', 'to_status', 'confirmed',
                               'reason', NULL)),
        jsonb_build_array(jsonb_build_object('action', 'booking.created', 'subject_id', p_booking,
            'after', jsonb_build_object('status', 'confirmed', 'number', v_number, 'startsAt', h.starts_at))),
        jsonb_build_array(
            jsonb_build_object('type', 'booking.created', 'subject_id', p_booking, 'payload', '{"version": 1}'::jsonb),
            jsonb_build_object('type', 'booking.confirmed', 'subject_id', p_booking,
                               'payload', '{"version": 1}'::jsonb)));
    RETURN v_number;
END $$;
GRANT EXECUTE ON FUNCTION bench_book(uuid, uuid, uuid, uuid) TO turnero_app;
