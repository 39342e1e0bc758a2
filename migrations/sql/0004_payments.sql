-- Payments by a processor, refunds, and the inbox of what processors tell.
--
-- A payment's state is written under its booking's row lock alone. Locks: booking, payments by id, then time or places.

-- `seen`: all that was ever seen of it at the processor (`domain.payment_codec`); the columns beside it follow from it.
-- `shares`: whose the captured money is; `disputes`: by the processor's id, what each took of them. `is_late`: it landed
-- when the booking was over. `refunded_minor`: what went back or was asked to.
CREATE TABLE payment (
    booking_id UUID NOT NULL,
    kind TEXT NOT NULL,
    processor TEXT NOT NULL,
    status TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    processor_id TEXT,
    charge_id TEXT,
    captured_minor BIGINT DEFAULT '0' NOT NULL,
    refunded_minor BIGINT DEFAULT '0' NOT NULL,
    decline_code TEXT,
    decline_message TEXT,
    idempotency_key TEXT NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    seen JSONB,
    shares JSONB,
    disputes JSONB DEFAULT '{}' NOT NULL,
    is_late BOOLEAN DEFAULT 'false' NOT NULL,
    is_released BOOLEAN DEFAULT 'false' NOT NULL,
    captured_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT payment_pkey PRIMARY KEY (id),
    CONSTRAINT payment_kind_check CHECK (kind IN ('booking', 'balance', 'fee')),
    CONSTRAINT payment_processor_check CHECK (processor IN ('stripe', 'mercadopago')),
    CONSTRAINT payment_status_check CHECK (
        status IN ('created', 'open', 'failed', 'authorized', 'processing', 'succeeded', 'cancelled')),
    CONSTRAINT payment_amount_check CHECK (amount_minor > 0),
    CONSTRAINT payment_refunded_check CHECK (captured_minor >= 0 AND refunded_minor BETWEEN 0 AND captured_minor),
    CONSTRAINT payment_processor_id_key UNIQUE (processor, processor_id),
    CONSTRAINT payment_idempotency_key_key UNIQUE (idempotency_key),
    CONSTRAINT payment_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT payment_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
-- One attempt at a time: nobody pays twice for one booking.
CREATE UNIQUE INDEX payment_live_idx ON payment (booking_id)
    WHERE kind = 'booking' AND status IN ('created', 'open', 'failed', 'authorized', 'processing');
CREATE INDEX payment_booking_id_idx ON payment (booking_id);

-- `shares`: what of the payment's shares goes back.
CREATE TABLE refund (
    booking_id UUID NOT NULL,
    payment_id UUID NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    cause TEXT NOT NULL,
    reason TEXT,
    requested_by JSONB NOT NULL,
    status TEXT NOT NULL,
    shares JSONB NOT NULL,
    processor_id TEXT,
    idempotency_key TEXT NOT NULL,
    failure TEXT,
    settled_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT refund_pkey PRIMARY KEY (id),
    CONSTRAINT refund_amount_check CHECK (amount_minor > 0),
    CONSTRAINT refund_cause_check CHECK (cause IN ('policy', 'staff', 'late_payment', 'outside')),
    CONSTRAINT refund_status_check CHECK (status IN ('created', 'pending', 'succeeded', 'failed')),
    CONSTRAINT refund_payment_id_key UNIQUE (payment_id, processor_id),
    CONSTRAINT refund_idempotency_key_key UNIQUE (idempotency_key),
    CONSTRAINT refund_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT refund_payment_id_fkey FOREIGN KEY(payment_id) REFERENCES payment (id),
    CONSTRAINT refund_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX refund_booking_id_idx ON refund (booking_id);

-- Each event once, by the processor's id. Nothing of it is believed but that something happened to this object.
CREATE TABLE processor_event (
    processor TEXT NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    account TEXT,
    is_live BOOLEAN NOT NULL,
    happened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    processed_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    CONSTRAINT processor_event_pkey PRIMARY KEY (processor, event_id)
);
CREATE INDEX processor_event_received_at_idx ON processor_event (received_at);

SELECT protect_table(t) FROM unnest(ARRAY['payment', 'refund']) AS t;

-- The inbox belongs to no organization: only the worker reads it.
ALTER TABLE processor_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE processor_event FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON processor_event TO turnero_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON processor_event TO turnero_system;

-- Keeps an event and asks for the work it means, once. `p_outcome`: already decided, nothing is to be done. False: it
-- was here before.
CREATE FUNCTION store_processor_event(
    p_processor text, p_event text, p_type text, p_kind text, p_object text, p_account text, p_is_live boolean,
    p_happened timestamptz, p_outcome text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO processor_event (processor, event_id, type, object_kind, object_id, account, is_live, happened_at,
                                 processed_at, outcome)
    VALUES (p_processor, p_event, p_type, p_kind, p_object, p_account, p_is_live, p_happened,
            CASE WHEN p_outcome IS NOT NULL THEN turnero_now() END, p_outcome)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_outcome IS NULL THEN
        INSERT INTO job (id, kind, args, max_attempts)
        VALUES (uuidv7(), 'process_payment_event',
                jsonb_build_object('processor', p_processor, 'eventId', p_event, 'kind', p_kind, 'objectId', p_object), 20);
    END IF;
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION store_processor_event(text, text, text, text, text, text, boolean, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION store_processor_event(text, text, text, text, text, text, boolean, timestamptz, text)
    TO turnero_app, turnero_system;
GRANT CREATE ON SCHEMA public TO turnero_system;
ALTER FUNCTION store_processor_event(text, text, text, text, text, text, boolean, timestamptz, text) OWNER TO turnero_system;
REVOKE CREATE ON SCHEMA public FROM turnero_system;

-- ── time and places of a booking that is being paid ──────────────────────────────────────────────────

-- The held places stay held, now for a booking and until another moment. The caller has the claim's row.
CREATE FUNCTION keep_held_places(p_hold uuid, p_booking uuid, p_expires timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
BEGIN
    UPDATE place_claim c SET booking_id = p_booking, expires_at = p_expires
    WHERE c.hold_id = p_hold AND c.status = 'held'
    RETURNING c.* INTO STRICT v_claim;
    PERFORM tell_claim(v_claim, 'HELD');
END $$;

-- What a booking held until it was paid becomes its own, in place, so that no gap opens. How many claims it were; none:
-- the time is somebody else's by now. The caller has the booking's row.
CREATE FUNCTION confirm_booking_claims(p_booking uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
    v_count integer;
BEGIN
    WITH taken AS (
        UPDATE allocation a SET status = 'booked', expires_at = NULL
        WHERE a.booking_id = p_booking AND a.status = 'held'
        RETURNING a.*, old.expires_at AS held_until
    ), told AS (
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        SELECT t.organization_id, 'allocation.confirmed', t.subject_id,
               allocation_payload(t.id, t.starts_at, t.ends_at, t.busy, t.held_until, 'BOOKED')
        FROM taken t
    )
    SELECT count(*) INTO v_count FROM taken;
    FOR v_claim IN
        UPDATE place_claim c SET status = 'booked', expires_at = NULL
        WHERE c.booking_id = p_booking AND c.status = 'held'
        RETURNING c.*
    LOOP
        PERFORM tell_claim(v_claim, 'BOOKED');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
