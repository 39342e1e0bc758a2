-- The ledger: double entry, append-only. `app.domain.ledger` says what each account holds.

CREATE TABLE ledger_journal (
    kind TEXT NOT NULL,
    reference TEXT NOT NULL,
    currency TEXT NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT ledger_journal_pkey PRIMARY KEY (id),
    CONSTRAINT ledger_journal_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT ledger_journal_reference_key UNIQUE (organization_id, kind, reference),
    CONSTRAINT ledger_journal_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

CREATE TABLE ledger_entry (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    journal_id UUID NOT NULL,
    booking_id UUID NOT NULL,
    account TEXT NOT NULL,
    payee_id UUID,
    amount_minor BIGINT NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT ledger_entry_pkey PRIMARY KEY (id),
    CONSTRAINT ledger_entry_account_check CHECK (account IN (
        'customer', 'processor_clearing', 'escrow', 'platform_fee', 'tax', 'provider_payable', 'organization', 'paid_out',
        'cash', 'refunds', 'disputes', 'processor_fees')),
    CONSTRAINT ledger_entry_amount_check CHECK (amount_minor <> 0),
    CONSTRAINT ledger_entry_payee_check CHECK ((payee_id IS NOT NULL) = (account IN ('provider_payable', 'paid_out'))),
    CONSTRAINT ledger_entry_account_key UNIQUE NULLS NOT DISTINCT (journal_id, booking_id, account, payee_id),
    CONSTRAINT ledger_entry_journal_id_fkey FOREIGN KEY(journal_id) REFERENCES ledger_journal (id),
    CONSTRAINT ledger_entry_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT ledger_entry_payee_id_fkey FOREIGN KEY(payee_id) REFERENCES provider (id),
    CONSTRAINT ledger_entry_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX ledger_entry_booking_id_idx ON ledger_entry (booking_id);
CREATE INDEX ledger_entry_payee_id_idx ON ledger_entry (payee_id, booking_id) WHERE payee_id IS NOT NULL;

-- What was written stays: neither right nor owner can change it. A mistake is put right by another journal.
SELECT protect_table(t) FROM unnest(ARRAY['ledger_journal', 'ledger_entry']) AS t;
REVOKE UPDATE ON ledger_journal, ledger_entry FROM turnero_app, turnero_system;

CREATE FUNCTION refuse_ledger_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: put a mistake right with another journal', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_journal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();
CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();

-- At the end of the transaction, when all entries are there.
CREATE FUNCTION check_ledger_sums() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_sum numeric;
BEGIN
    SELECT sum(e.amount_minor) INTO v_sum FROM ledger_entry e
    WHERE e.journal_id = NEW.journal_id AND e.booking_id = NEW.booking_id;
    IF v_sum <> 0 THEN
        RAISE EXCEPTION 'journal % does not add up to zero for booking %: %', NEW.journal_id, NEW.booking_id, v_sum
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_entry_sums AFTER INSERT ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_ledger_sums();

-- A journal and its entries, in one statement; nothing when it was posted before (same kind and reference).
CREATE FUNCTION post_journal(p_id uuid, p_organization uuid, p_kind text, p_reference text, p_currency text, p_entries jsonb)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_journal (id, organization_id, kind, reference, currency)
    VALUES (p_id, p_organization, p_kind, p_reference, p_currency)
    ON CONFLICT ON CONSTRAINT ledger_journal_reference_key DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO ledger_entry (journal_id, organization_id, booking_id, account, payee_id, amount_minor)
    SELECT p_id, p_organization, e.booking_id, e.account, e.payee_id, e.amount_minor
    FROM jsonb_to_recordset(p_entries) AS e (booking_id uuid, account text, amount_minor bigint, payee_id uuid);
    RETURN true;
END $$;
