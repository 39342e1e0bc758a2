-- Promo codes, and prices by quote.
--
-- Locks: what a use of a code locks comes last in its transaction, after booking, time and customer, so that nobody who
-- holds a code's row waits for anything but another code.

SET LOCAL lock_timeout = '5s';

-- `code` is in normal form (`domain.promo`). Exactly one of `rate_bps` and `amount_minor` is above zero; `at_most_minor`:
-- most that is taken off. `service_ids`, `activity_ids`: what it lowers; both empty: everything. `uses`: of bookings that
-- stand; `kept_uses`: so many stand although the limit is lower, because it was lowered or a late payment came.
CREATE TABLE promo_code (
    code TEXT NOT NULL,
    note TEXT,
    rate_bps INTEGER DEFAULT '0' NOT NULL,
    amount_minor BIGINT DEFAULT '0' NOT NULL,
    at_most_minor BIGINT,
    currency TEXT NOT NULL,
    minimum_minor BIGINT DEFAULT '0' NOT NULL,
    service_ids UUID[] DEFAULT '{}' NOT NULL,
    activity_ids UUID[] DEFAULT '{}' NOT NULL,
    first_booking_only BOOLEAN DEFAULT 'false' NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE,
    valid_until TIMESTAMP WITH TIME ZONE,
    total_limit INTEGER,
    customer_limit INTEGER,
    uses INTEGER DEFAULT '0' NOT NULL,
    kept_uses INTEGER DEFAULT '0' NOT NULL,
    is_active BOOLEAN DEFAULT 'true' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT promo_code_pkey PRIMARY KEY (id),
    CONSTRAINT promo_code_code_key UNIQUE (organization_id, code),
    CONSTRAINT promo_code_discount_check CHECK ((rate_bps > 0) <> (amount_minor > 0)
        AND rate_bps BETWEEN 0 AND 10000 AND amount_minor >= 0 AND at_most_minor > 0 AND minimum_minor >= 0),
    CONSTRAINT promo_code_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT promo_code_validity_check CHECK (valid_from < valid_until),
    CONSTRAINT promo_code_limits_check CHECK (total_limit > 0 AND customer_limit > 0),
    CONSTRAINT promo_code_uses_check CHECK (
        uses >= 0 AND (total_limit IS NULL OR uses <= greatest(total_limit, kept_uses))),
    CONSTRAINT promo_code_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

-- One for each booking that was made with a code. `returned_at`: it counts no more, the booking came to nothing.
CREATE TABLE promo_use (
    booking_id UUID NOT NULL,
    promo_code_id UUID NOT NULL,
    customer_id UUID NOT NULL,
    discount_minor BIGINT NOT NULL,
    organization_id UUID NOT NULL,
    returned_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT promo_use_pkey PRIMARY KEY (booking_id),
    CONSTRAINT promo_use_discount_check CHECK (discount_minor > 0),
    CONSTRAINT promo_use_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT promo_use_promo_code_id_fkey FOREIGN KEY(promo_code_id) REFERENCES promo_code (id),
    CONSTRAINT promo_use_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customer (id),
    CONSTRAINT promo_use_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX promo_use_promo_code_id_idx ON promo_use (promo_code_id, customer_id) WHERE returned_at IS NULL;
CREATE INDEX promo_use_customer_id_idx ON promo_use (customer_id);

-- NOT VALID: no row has one yet, and looking at all of them would stop the bookings meanwhile.
ALTER TABLE booking ADD CONSTRAINT booking_promo_code_id_fkey
    FOREIGN KEY (promo_code_id) REFERENCES promo_code (id) NOT VALID;

-- A price that staff name for one customer. `hold_id`, `booking_id`: what it was last used for.
CREATE TABLE price_offer (
    service_id UUID NOT NULL,
    provider_id UUID,
    customer_name TEXT NOT NULL,
    customer_email TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    duration_minutes INTEGER,
    message TEXT,
    valid_until TIMESTAMP WITH TIME ZONE NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL,
    answered_at TIMESTAMP WITH TIME ZONE,
    access_version INTEGER DEFAULT '1' NOT NULL,
    hold_id UUID,
    booking_id UUID,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT price_offer_pkey PRIMARY KEY (id),
    CONSTRAINT price_offer_amount_check CHECK (amount_minor >= 0),
    CONSTRAINT price_offer_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT price_offer_duration_check CHECK (duration_minutes BETWEEN 1 AND 1440),
    CONSTRAINT price_offer_status_check CHECK (status IN ('open', 'accepted', 'declined', 'withdrawn')),
    CONSTRAINT price_offer_use_check CHECK (hold_id IS NULL OR status = 'accepted'),
    CONSTRAINT price_offer_service_id_fkey FOREIGN KEY(service_id) REFERENCES service (id),
    CONSTRAINT price_offer_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT price_offer_hold_id_fkey FOREIGN KEY(hold_id) REFERENCES hold (id),
    CONSTRAINT price_offer_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT price_offer_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX price_offer_organization_id_idx ON price_offer (organization_id, id);

SELECT protect_table(t) FROM unnest(ARRAY['promo_code', 'promo_use', 'price_offer']) AS t;

-- How often a customer used a code, and how many bookings of theirs stand or stood: who has the account or the e-mail
-- address (none: the account's). Nobody else counts for them until this transaction ends: the locks are those of
-- `count_customer_bookings`, in its order. Only bookings in these states count as earlier ones.
CREATE FUNCTION count_promo_customer(
    p_organization uuid, p_promo uuid, p_user uuid, p_email text, p_statuses text[],
    OUT by_customer bigint, OUT earlier_bookings bigint
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_email text := COALESCE(
        p_email,
        (SELECT c.email FROM customer c WHERE c.organization_id = p_organization AND c.user_id = p_user),
        (SELECT u.email FROM user_account u WHERE u.id = p_user));
    v_customers uuid[];
BEGIN
    IF p_user IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('customer:' || p_organization || ':user:' || p_user, 0));
    END IF;
    IF v_email IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('customer:' || p_organization || ':email:' || v_email, 0));
    END IF;
    SELECT COALESCE(array_agg(c.id), '{}') INTO v_customers FROM customer c
    WHERE c.organization_id = p_organization AND (c.user_id = p_user OR c.email = v_email);
    SELECT count(*) INTO by_customer FROM promo_use u
    WHERE u.promo_code_id = p_promo AND u.customer_id = ANY (v_customers) AND u.returned_at IS NULL;
    SELECT count(*) INTO earlier_bookings FROM booking b
    WHERE b.customer_id = ANY (v_customers) AND b.status = ANY (p_statuses);
END $$;

-- One use more, for a booking that is being made. False: the code was used up, or switched off, a moment ago.
CREATE FUNCTION take_promo_use(p_organization uuid, p_promo uuid, p_booking uuid, p_customer uuid, p_discount bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE promo_code p SET uses = p.uses + 1
    WHERE p.id = p_promo AND p.is_active AND (p.total_limit IS NULL OR p.uses < p.total_limit);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO promo_use (organization_id, booking_id, promo_code_id, customer_id, discount_minor)
    VALUES (p_organization, p_booking, p_promo, p_customer, p_discount);
    INSERT INTO outbox_event (organization_id, type, subject_id, payload)
    VALUES (p_organization, 'promo_code.used', p_promo, jsonb_build_object('bookingId', p_booking));
    RETURN true;
END $$;

-- A use follows its booking, whatever changes that. It comes back when the booking expires, or is cancelled before
-- anything was paid; and counts again, beyond any limit, when a late payment brings the booking back.
CREATE FUNCTION follow_promo_booking() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_promo uuid;
    v_event text;
BEGIN
    IF NEW.status = 'expired' OR (NEW.status = 'cancelled' AND NEW.paid_minor = 0) THEN
        UPDATE promo_use u SET returned_at = turnero_now() WHERE u.booking_id = NEW.id AND u.returned_at IS NULL
        RETURNING u.promo_code_id INTO v_promo;
        UPDATE promo_code p SET uses = p.uses - 1 WHERE p.id = v_promo;
        v_event := 'promo_code.use_returned';
    ELSIF OLD.status = 'expired' AND NEW.status <> 'refunded' THEN
        UPDATE promo_use u SET returned_at = NULL WHERE u.booking_id = NEW.id AND u.returned_at IS NOT NULL
        RETURNING u.promo_code_id INTO v_promo;
        UPDATE promo_code p SET uses = p.uses + 1, kept_uses = greatest(p.kept_uses, p.uses + 1) WHERE p.id = v_promo;
        v_event := 'promo_code.used';
    END IF;
    IF v_promo IS NOT NULL THEN
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        VALUES (NEW.organization_id, v_event, v_promo, jsonb_build_object('bookingId', NEW.id));
    END IF;
    RETURN NULL;
END $$;

-- Deferred, so that the code's row is locked last.
CREATE CONSTRAINT TRIGGER booking_promo_use AFTER UPDATE ON booking
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.promo_code_id IS NOT NULL AND OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION follow_promo_booking();
