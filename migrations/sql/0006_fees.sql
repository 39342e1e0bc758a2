-- Cash, balances, saved methods, fees, and payments that are authorized first.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

-- `balance_required_at_check_in`: who still owes something is not checked in. `card_required_for_arrival`: a booking that
-- is paid on arrival needs a card that its fees could be charged to.
ALTER TABLE payment_settings
    ADD COLUMN balance_required_at_check_in BOOLEAN DEFAULT 'false' NOT NULL,
    ADD COLUMN card_required_for_arrival BOOLEAN DEFAULT 'false' NOT NULL;

-- `uncounted_minor`: what of `paid_minor` does not count towards the price: fees, cash that was handed back, and money that
-- landed too late. `has_saved_method`: its fees can be charged to what its customer saved.
ALTER TABLE booking
    ADD COLUMN uncounted_minor BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN has_saved_method BOOLEAN DEFAULT 'false' NOT NULL;
ALTER TABLE booking
    ADD CONSTRAINT booking_uncounted_check CHECK (uncounted_minor BETWEEN 0 AND paid_minor) NOT VALID;

-- `capture`: manual ones are authorized first and taken once somebody accepted the booking (`accepted_by`), before
-- `authorized_until`. `consent`: what its payer agreed to, where the method is kept for fees (`customer_ref` and
-- `method_ref`: the processor's names of both). `keeper_id`: the provider who has the cash; none: the venue's till.
ALTER TABLE payment
    ADD COLUMN capture TEXT DEFAULT 'automatic' NOT NULL,
    ADD COLUMN consent JSONB,
    ADD COLUMN customer_ref TEXT,
    ADD COLUMN method_ref TEXT,
    ADD COLUMN accepted_by JSONB,
    ADD COLUMN authorized_until TIMESTAMP WITH TIME ZONE,
    ADD COLUMN keeper_id UUID,
    DROP CONSTRAINT payment_kind_check,
    DROP CONSTRAINT payment_processor_check,
    DROP CONSTRAINT payment_amount_check;
ALTER TABLE payment
    ADD CONSTRAINT payment_kind_check CHECK (kind IN ('booking', 'balance', 'fee', 'setup', 'cash')) NOT VALID,
    ADD CONSTRAINT payment_processor_check CHECK (processor IN ('stripe', 'mercadopago', 'cash')) NOT VALID,
    ADD CONSTRAINT payment_amount_check CHECK (amount_minor > 0 OR (kind = 'setup' AND amount_minor = 0)) NOT VALID,
    ADD CONSTRAINT payment_capture_check CHECK (capture IN ('automatic', 'manual')) NOT VALID,
    ADD CONSTRAINT payment_cash_check CHECK ((kind = 'cash') = (processor = 'cash')) NOT VALID,
    ADD CONSTRAINT payment_keeper_id_fkey FOREIGN KEY (keeper_id) REFERENCES provider (id) NOT VALID;
-- There are none of these kinds yet, so that these are built from nothing.
CREATE UNIQUE INDEX payment_live_kind_idx ON payment (booking_id, kind)
    WHERE kind IN ('balance', 'setup') AND status IN ('created', 'open', 'failed', 'authorized', 'processing');

-- `excess_minor`: what was given back at the processor beyond all that was left of the payment by our books.
ALTER TABLE refund
    ADD COLUMN excess_minor BIGINT DEFAULT '0' NOT NULL,
    DROP CONSTRAINT refund_cause_check;
ALTER TABLE refund
    ADD CONSTRAINT refund_cause_check CHECK (cause IN ('policy', 'staff', 'late_payment', 'outside', 'fee', 'correction')) NOT VALID,
    ADD CONSTRAINT refund_excess_check CHECK (excess_minor BETWEEN 0 AND amount_minor) NOT VALID;

-- Who pays again later, as the processor knows them.
CREATE TABLE processor_customer (
    customer_id UUID NOT NULL,
    processor TEXT NOT NULL,
    organization_id UUID NOT NULL,
    processor_id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT processor_customer_pkey PRIMARY KEY (customer_id, processor),
    CONSTRAINT processor_customer_processor_check CHECK (processor IN ('stripe', 'mercadopago')),
    CONSTRAINT processor_customer_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customer (id),
    CONSTRAINT processor_customer_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

-- What a customer owes for cancelling late, or for not coming. `kept_minor` of what was paid, `charge_minor` by the saved
-- method: `payment_id`. `attempts`: how often the bank said no.
CREATE TABLE booking_fee (
    booking_id UUID NOT NULL,
    cause TEXT NOT NULL,
    currency TEXT NOT NULL,
    kept_minor BIGINT NOT NULL,
    charge_minor BIGINT NOT NULL,
    status TEXT NOT NULL,
    payment_id UUID,
    attempts INTEGER DEFAULT '0' NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE,
    failure TEXT,
    reason TEXT,
    settled_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT booking_fee_pkey PRIMARY KEY (id),
    CONSTRAINT booking_fee_cause_check CHECK (cause IN ('late_cancellation', 'no_show')),
    CONSTRAINT booking_fee_amount_check CHECK (kept_minor >= 0 AND charge_minor >= 0 AND kept_minor + charge_minor > 0),
    CONSTRAINT booking_fee_status_check CHECK (status IN ('kept', 'due', 'charged', 'owed', 'waived', 'returned')),
    CONSTRAINT booking_fee_payment_check CHECK ((payment_id IS NOT NULL) = (charge_minor > 0)),
    CONSTRAINT booking_fee_payment_id_key UNIQUE (payment_id),
    CONSTRAINT booking_fee_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT booking_fee_payment_id_fkey FOREIGN KEY(payment_id) REFERENCES payment (id),
    CONSTRAINT booking_fee_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
-- A booking has one fee at a time, whatever it went through.
CREATE UNIQUE INDEX booking_fee_live_idx ON booking_fee (booking_id)
    WHERE status IN ('kept', 'due', 'charged', 'owed');
CREATE INDEX booking_fee_booking_id_idx ON booking_fee (booking_id);
CREATE INDEX booking_fee_organization_idx ON booking_fee (organization_id, created_at, id);

SELECT protect_table(t) FROM unnest(ARRAY['processor_customer', 'booking_fee']) AS t;

-- What a booking has is held again until `p_until`: its payment failed after it was accepted. The caller has its row.
CREATE FUNCTION hold_booking_claims(p_booking uuid, p_until timestamptz) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_claim place_claim;
    v_count integer;
BEGIN
    WITH taken AS (
        UPDATE allocation a SET status = 'held', expires_at = p_until
        WHERE a.booking_id = p_booking AND a.status = 'booked'
        RETURNING a.*
    ), told AS (
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        SELECT t.organization_id, 'allocation.claimed', t.subject_id,
               allocation_payload(t.id, t.starts_at, t.ends_at, t.busy, t.expires_at, 'HELD')
        FROM taken t
    )
    SELECT count(*) INTO v_count FROM taken;
    FOR v_claim IN
        UPDATE place_claim c SET status = 'held', expires_at = p_until
        WHERE c.booking_id = p_booking AND c.status = 'booked'
        RETURNING c.*
    LOOP
        PERFORM tell_claim(v_claim, 'HELD');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
