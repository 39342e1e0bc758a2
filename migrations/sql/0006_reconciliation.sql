-- Reconciliation: runs that compare our books with a processor's, and what they found different.

SET LOCAL lock_timeout = '5s';

-- One run at a time for each processor (`books`: the check of our own books): the live one has its lease.
-- `organization_id`: only this organization's objects were looked at; `is_regular`: it goes on where the one before it
-- ended. The window is of the processor's objects, by when
-- they were made; `reached`: how far of it is done.
CREATE TABLE reconciliation_run (
    id UUID NOT NULL,
    processor TEXT NOT NULL,
    organization_id UUID,
    is_regular BOOLEAN NOT NULL,
    window_start TIMESTAMP WITH TIME ZONE NOT NULL,
    window_end TIMESTAMP WITH TIME ZONE NOT NULL,
    reached TIMESTAMP WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    compared INTEGER DEFAULT '0' NOT NULL,
    found INTEGER DEFAULT '0' NOT NULL,
    healed INTEGER DEFAULT '0' NOT NULL,
    error TEXT,
    CONSTRAINT reconciliation_run_pkey PRIMARY KEY (id),
    CONSTRAINT reconciliation_run_processor_check CHECK (processor IN ('stripe', 'mercadopago', 'books')),
    CONSTRAINT reconciliation_run_outcome_check CHECK (outcome IN ('done', 'failed', 'abandoned')),
    CONSTRAINT reconciliation_run_finished_check CHECK ((finished_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT reconciliation_run_window_check CHECK (reached BETWEEN window_start AND window_end),
    CONSTRAINT reconciliation_run_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE UNIQUE INDEX reconciliation_run_live_idx ON reconciliation_run (processor) WHERE finished_at IS NULL;
CREATE INDEX reconciliation_run_last_idx ON reconciliation_run (processor, started_at);

ALTER TABLE reconciliation_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconciliation_run FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON reconciliation_run TO turnero_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON reconciliation_run TO turnero_system;
-- When it last ran is every administrator's to know; how much it found in all is not.
CREATE POLICY tenant ON reconciliation_run FOR SELECT TO turnero_app
    USING (organization_id IS NULL OR organization_id = (SELECT app_organization_id()));
GRANT SELECT (id, processor, organization_id, started_at, finished_at, outcome, window_start, window_end)
    ON reconciliation_run TO turnero_app;

-- One open row for each difference, however many runs see it. `subject`: what is compared as a whole (`payment:…`,
-- `payout:…`, `transfer:…`, `booking:…`). Without an organization it is none's, and no request sees it.
CREATE TABLE reconciliation_difference (
    id UUID NOT NULL,
    processor TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    organization_id UUID,
    booking_id UUID,
    our_kind TEXT,
    our_id UUID,
    their_id TEXT,
    ours JSONB NOT NULL,
    theirs JSONB NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    times_seen INTEGER DEFAULT '1' NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    resolution TEXT,
    note TEXT,
    resolved_by JSONB,
    CONSTRAINT reconciliation_difference_pkey PRIMARY KEY (id),
    CONSTRAINT reconciliation_difference_processor_check CHECK (processor IN ('stripe', 'mercadopago', 'books')),
    CONSTRAINT reconciliation_difference_resolution_check CHECK (resolution IN ('healed', 'gone', 'accepted')),
    CONSTRAINT reconciliation_difference_resolved_check CHECK ((resolved_at IS NULL) = (resolution IS NULL)),
    CONSTRAINT reconciliation_difference_accepted_check CHECK (resolution <> 'accepted' OR note IS NOT NULL),
    CONSTRAINT reconciliation_difference_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE UNIQUE INDEX reconciliation_difference_open_idx
    ON reconciliation_difference (processor, subject, kind, their_id) NULLS NOT DISTINCT WHERE resolved_at IS NULL;
CREATE INDEX reconciliation_difference_subject_idx ON reconciliation_difference (processor, subject, kind);
CREATE INDEX reconciliation_difference_organization_idx ON reconciliation_difference (organization_id, id)
    WHERE resolved_at IS NULL;
SELECT protect_table('reconciliation_difference');
REVOKE INSERT ON reconciliation_difference FROM turnero_app;

-- Notes a difference: a new row, or the open one seen again. What a person has accepted stays accepted as long as both
-- sides say what they said then. Gives `new`, `open` or `accepted`.
CREATE FUNCTION see_difference(
    p_id uuid, p_processor text, p_kind text, p_subject text, p_organization uuid, p_booking uuid, p_our_kind text,
    p_our_id uuid, p_their_id text, p_ours jsonb, p_theirs jsonb
) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_last reconciliation_difference;
BEGIN
    -- Two runs may not see the same subject at once; a person may accept it meanwhile.
    SELECT * INTO v_last FROM reconciliation_difference d
    WHERE d.processor = p_processor AND d.subject = p_subject AND d.kind = p_kind
      AND d.their_id IS NOT DISTINCT FROM p_their_id
    ORDER BY d.id DESC LIMIT 1 FOR UPDATE;
    IF v_last.id IS NOT NULL AND (v_last.resolved_at IS NULL OR (
        v_last.resolution = 'accepted' AND v_last.ours = p_ours AND v_last.theirs = p_theirs)) THEN
        UPDATE reconciliation_difference d
        SET last_seen_at = turnero_now(), times_seen = d.times_seen + 1, ours = p_ours, theirs = p_theirs
        WHERE d.id = v_last.id;
        RETURN CASE WHEN v_last.resolved_at IS NULL THEN 'open' ELSE 'accepted' END;
    END IF;
    INSERT INTO reconciliation_difference
        (id, processor, kind, subject, organization_id, booking_id, our_kind, our_id, their_id, ours, theirs)
    SELECT p_id, p_processor, p_kind, p_subject, o.id, p_booking, p_our_kind, p_our_id, p_their_id, p_ours, p_theirs
    FROM (SELECT) AS one LEFT JOIN organization o ON o.id = p_organization;
    RETURN 'new';
END $$;

-- What may still move. Payments are as young as this revision: there are few to look through.
CREATE INDEX payment_unsettled_idx ON payment (processor, id)
    WHERE status IN ('created', 'open', 'failed', 'authorized', 'processing');
CREATE INDEX payment_disputed_idx ON payment (processor, id) WHERE disputes <> '{}';
CREATE INDEX refund_unsettled_idx ON refund (payment_id) WHERE status IN ('created', 'pending');
