-- Payouts: who is paid out, what each provider is owed for each booking, and the transfers that pay it.
--
-- Locks: a provider's payout account, then what it is owed by booking, then its payouts. Whoever has a booking's row may
-- come to wait for what is owed for it, never the other way round.

SET LOCAL lock_timeout = '5s';

-- `is_payee`: money could be sent there once, so from then on the price of a booking is the provider's, not the
-- organization's. `seen_at`: when the question left whose answer this is. `held_at`: somebody stopped its payouts.
CREATE TABLE payout_account (
    provider_id UUID NOT NULL,
    processor TEXT NOT NULL,
    country TEXT NOT NULL,
    email TEXT,
    idempotency_key TEXT NOT NULL,
    account_id TEXT,
    details_submitted BOOLEAN DEFAULT 'false' NOT NULL,
    payouts_enabled BOOLEAN DEFAULT 'false' NOT NULL,
    can_receive BOOLEAN DEFAULT 'false' NOT NULL,
    is_payee BOOLEAN DEFAULT 'false' NOT NULL,
    requirements TEXT[] DEFAULT '{}' NOT NULL,
    disabled_reason TEXT,
    seen_at TIMESTAMP WITH TIME ZONE,
    held_at TIMESTAMP WITH TIME ZONE,
    hold_reason TEXT,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT payout_account_pkey PRIMARY KEY (provider_id),
    CONSTRAINT payout_account_processor_check CHECK (processor IN ('stripe', 'mercadopago')),
    CONSTRAINT payout_account_country_check CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT payout_account_receive_check CHECK (NOT can_receive OR (is_payee AND account_id IS NOT NULL)),
    CONSTRAINT payout_account_held_check CHECK ((held_at IS NULL) = (hold_reason IS NULL)),
    CONSTRAINT payout_account_account_id_key UNIQUE (processor, account_id),
    CONSTRAINT payout_account_idempotency_key_key UNIQUE (idempotency_key),
    CONSTRAINT payout_account_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT payout_account_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

-- The balance of `provider_payable` for each booking and provider, kept by the ledger itself. `released_at`: when the
-- last of it became the provider's: the delay of its payout counts from there.
CREATE TABLE provider_payable (
    booking_id UUID NOT NULL,
    payee_id UUID NOT NULL,
    currency TEXT NOT NULL,
    owed_minor BIGINT NOT NULL,
    released_at TIMESTAMP WITH TIME ZONE,
    organization_id UUID NOT NULL,
    CONSTRAINT provider_payable_pkey PRIMARY KEY (booking_id, payee_id),
    CONSTRAINT provider_payable_payee_id_fkey FOREIGN KEY(payee_id) REFERENCES provider (id),
    CONSTRAINT provider_payable_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT provider_payable_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX provider_payable_open_idx ON provider_payable (payee_id, booking_id) WHERE owed_minor <> 0;

-- A transfer to a provider. `account_id`: where it goes, as it was when it was planned, so that the order never changes.
-- `refusals`: how often it was certainly refused; the key of the next call names the count. Until `sending` nobody was
-- asked for anything.
CREATE TABLE payout (
    provider_id UUID NOT NULL,
    number INTEGER NOT NULL,
    processor TEXT NOT NULL,
    account_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    status TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    refusals INTEGER DEFAULT '0' NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    is_unanswered BOOLEAN DEFAULT 'false' NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE,
    processor_id TEXT,
    period_start TIMESTAMP WITH TIME ZONE NOT NULL,
    period_end TIMESTAMP WITH TIME ZONE NOT NULL,
    delay_days INTEGER NOT NULL,
    failure_code TEXT,
    failure TEXT,
    sent_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT payout_pkey PRIMARY KEY (id),
    CONSTRAINT payout_amount_check CHECK (amount_minor > 0),
    CONSTRAINT payout_status_check CHECK (status IN ('scheduled', 'sending', 'sent', 'needs_attention', 'cancelled')),
    CONSTRAINT payout_sent_check CHECK ((status = 'sent') = (processor_id IS NOT NULL)),
    CONSTRAINT payout_number_key UNIQUE (provider_id, currency, number),
    CONSTRAINT payout_processor_id_key UNIQUE (processor, processor_id),
    CONSTRAINT payout_idempotency_key_key UNIQUE (idempotency_key),
    CONSTRAINT payout_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES payout_account (provider_id),
    CONSTRAINT payout_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
-- One at a time: what is wrong with one would be wrong with the next.
CREATE UNIQUE INDEX payout_live_idx ON payout (provider_id, currency)
    WHERE status IN ('scheduled', 'sending', 'needs_attention');
CREATE INDEX payout_sent_at_idx ON payout (processor, sent_at);
CREATE INDEX payout_organization_id_idx ON payout (organization_id, id);
CREATE INDEX payout_next_attempt_idx ON payout (next_attempt_at) WHERE status IN ('scheduled', 'sending');

-- What of a payout is for which booking; negative: a debt that it settles. `reversed_minor`: taken back since, or asked to.
CREATE TABLE payout_item (
    payout_id UUID NOT NULL,
    booking_id UUID NOT NULL,
    amount_minor BIGINT NOT NULL,
    reversed_minor BIGINT DEFAULT '0' NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT payout_item_pkey PRIMARY KEY (payout_id, booking_id),
    CONSTRAINT payout_item_amount_check CHECK (amount_minor <> 0),
    CONSTRAINT payout_item_reversed_check CHECK (reversed_minor BETWEEN 0 AND greatest(amount_minor, 0)),
    CONSTRAINT payout_item_payout_id_fkey FOREIGN KEY(payout_id) REFERENCES payout (id),
    CONSTRAINT payout_item_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT payout_item_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX payout_item_booking_id_idx ON payout_item (booking_id);

-- Money taken back of a payout, for one of its bookings. `processor_id` of one made at the processor may stand for several.
CREATE TABLE payout_reversal (
    payout_id UUID NOT NULL,
    booking_id UUID NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    cause TEXT NOT NULL,
    status TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE,
    processor_id TEXT,
    failure TEXT,
    settled_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT payout_reversal_pkey PRIMARY KEY (id),
    CONSTRAINT payout_reversal_amount_check CHECK (amount_minor > 0),
    CONSTRAINT payout_reversal_cause_check CHECK (cause IN ('debt', 'outside')),
    CONSTRAINT payout_reversal_status_check CHECK (status IN ('created', 'succeeded', 'failed')),
    CONSTRAINT payout_reversal_processor_id_key UNIQUE (payout_id, booking_id, processor_id),
    CONSTRAINT payout_reversal_idempotency_key_key UNIQUE (idempotency_key),
    CONSTRAINT payout_reversal_payout_id_fkey FOREIGN KEY(payout_id, booking_id) REFERENCES payout_item (payout_id, booking_id),
    CONSTRAINT payout_reversal_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE UNIQUE INDEX payout_reversal_live_idx ON payout_reversal (payout_id, booking_id) WHERE status = 'created';

SELECT protect_table(t) FROM unnest(
    ARRAY['payout_account', 'provider_payable', 'payout', 'payout_item', 'payout_reversal']) AS t;
-- What is owed follows from the ledger: nobody writes it.
REVOKE INSERT, UPDATE ON provider_payable FROM turnero_app;

-- Keeps what is owed, and refuses a payout of more than that: whatever two workers read, the second one fails here.
CREATE FUNCTION keep_provider_payable() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_journal ledger_journal;
    v_owed bigint;
BEGIN
    SELECT * INTO STRICT v_journal FROM ledger_journal j WHERE j.id = NEW.journal_id;
    INSERT INTO provider_payable AS p (payee_id, booking_id, currency, owed_minor, released_at, organization_id)
    VALUES (NEW.payee_id, NEW.booking_id, v_journal.currency, NEW.amount_minor,
            CASE WHEN NEW.amount_minor > 0 THEN v_journal.created_at END, NEW.organization_id)
    ON CONFLICT (payee_id, booking_id) DO UPDATE
        SET owed_minor = p.owed_minor + excluded.owed_minor,
            released_at = CASE
                -- What comes back (of a refund that failed, a dispute that was won) does not wait anew.
                WHEN v_journal.kind IN ('released', 'fee_charged', 'cash_paid') OR p.released_at IS NULL
                THEN greatest(p.released_at, excluded.released_at) ELSE p.released_at END
    RETURNING p.owed_minor INTO v_owed;
    IF v_journal.kind = 'payout_asked' AND v_owed <> 0 AND sign(v_owed) = sign(NEW.amount_minor) THEN
        RAISE EXCEPTION 'a payout takes % of booking % that is not owed', abs(v_owed), NEW.booking_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'provider_payable_paid_once';
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION keep_provider_payable() FROM PUBLIC;
CREATE TRIGGER ledger_entry_payable AFTER INSERT ON ledger_entry
    FOR EACH ROW WHEN (NEW.account = 'provider_payable') EXECUTE FUNCTION keep_provider_payable();
INSERT INTO provider_payable (payee_id, booking_id, currency, owed_minor, released_at, organization_id)
SELECT e.payee_id, e.booking_id, j.currency, sum(e.amount_minor),
       max(j.created_at) FILTER (WHERE e.amount_minor > 0),
       e.organization_id
FROM ledger_entry e JOIN ledger_journal j ON j.id = e.journal_id
WHERE e.payee_id IS NOT NULL AND e.account = 'provider_payable'
GROUP BY e.payee_id, e.booking_id, j.currency, e.organization_id;

-- Calendar days in the booking's own zone, by the same clock time: a week that has an hour more or less is still a week.
CREATE FUNCTION payout_due_at(p_released timestamptz, p_days integer, p_zone text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (p_released AT TIME ZONE p_zone + make_interval(days => p_days)) AT TIME ZONE p_zone;

-- Is a dispute open over any payment of the booking?
CREATE FUNCTION is_disputed(p_booking uuid) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (
    SELECT 1 FROM payment p, jsonb_each(p.disputes) AS d
    WHERE p.booking_id = p_booking AND p.disputes <> '{}' AND d.value ->> 'phase' = 'open');

-- The door to a payout's organization.
CREATE FUNCTION enter_payout(p_payout uuid, p_user uuid, p_clock_offset interval)
RETURNS TABLE (organization_id uuid, role text, provider_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT e.* FROM payout p, LATERAL enter_organization('organization', p.organization_id, NULL, p_user, p_clock_offset) e
    WHERE p.id = p_payout
$$;
REVOKE EXECUTE ON FUNCTION enter_payout(uuid, uuid, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enter_payout(uuid, uuid, interval) TO turnero_app, turnero_system;

GRANT CREATE ON SCHEMA public TO turnero_system;
ALTER FUNCTION keep_provider_payable() OWNER TO turnero_system;
ALTER FUNCTION enter_payout(uuid, uuid, interval) OWNER TO turnero_system;
REVOKE CREATE ON SCHEMA public FROM turnero_system;
