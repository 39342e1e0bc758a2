-- What part 3 is built on: each organization's terms of payment, and the money of holds and bookings.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

-- No row: the defaults. Shares are in basis points (hundredths of a percent).
CREATE TABLE payment_settings (
    organization_id UUID NOT NULL,
    processor TEXT DEFAULT 'stripe' NOT NULL,
    accepts_pay_now BOOLEAN DEFAULT 'true' NOT NULL,
    accepts_pay_on_arrival BOOLEAN DEFAULT 'true' NOT NULL,
    payment_window_minutes INTEGER DEFAULT '30' NOT NULL,
    tax_bps INTEGER DEFAULT '0' NOT NULL,
    tax_included BOOLEAN DEFAULT 'true' NOT NULL,
    deposit_bps INTEGER,
    late_refund_bps INTEGER DEFAULT '0' NOT NULL,
    late_fee_bps INTEGER DEFAULT '0' NOT NULL,
    no_show_refund_bps INTEGER DEFAULT '0' NOT NULL,
    no_show_fee_bps INTEGER DEFAULT '0' NOT NULL,
    guest_fee_bps INTEGER,
    member_fee_bps INTEGER,
    payout_delay_days INTEGER DEFAULT '7' NOT NULL,
    payout_minimum_minor BIGINT DEFAULT '0' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT payment_settings_pkey PRIMARY KEY (organization_id),
    CONSTRAINT payment_settings_processor_check CHECK (processor IN ('stripe', 'mercadopago')),
    CONSTRAINT payment_settings_method_check CHECK (accepts_pay_now OR accepts_pay_on_arrival),
    CONSTRAINT payment_settings_window_check CHECK (payment_window_minutes BETWEEN 5 AND 1440),
    CONSTRAINT payment_settings_shares_check CHECK (
        tax_bps BETWEEN 0 AND 10000 AND deposit_bps BETWEEN 1 AND 10000
        AND late_refund_bps BETWEEN 0 AND 10000 AND late_fee_bps BETWEEN 0 AND 10000
        AND no_show_refund_bps BETWEEN 0 AND 10000 AND no_show_fee_bps BETWEEN 0 AND 10000
        AND guest_fee_bps BETWEEN 0 AND 10000 AND member_fee_bps BETWEEN 0 AND 10000
    ),
    CONSTRAINT payment_settings_payout_check
        CHECK (payout_delay_days BETWEEN 0 AND 365 AND payout_minimum_minor BETWEEN 0 AND 9007199254740991),
    CONSTRAINT payment_settings_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
SELECT protect_table('payment_settings');

-- The quote that was locked, as `domain.price_quote_codec` writes it; none: made before there were quotes.
ALTER TABLE hold ADD COLUMN quote JSONB, ADD COLUMN promo_code_id UUID;

-- `policy`: the terms of cancelling that were in force. `paid_minor` counts what ever arrived, cash included.
ALTER TABLE booking
    ADD COLUMN quote JSONB,
    ADD COLUMN policy JSONB,
    ADD COLUMN promo_code_id UUID,
    ADD COLUMN paid_minor BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN refunded_minor BIGINT DEFAULT '0' NOT NULL;
ALTER TABLE booking
    ADD CONSTRAINT booking_paid_check CHECK (paid_minor >= 0 AND refunded_minor BETWEEN 0 AND paid_minor);
