-- Rules that change prices, and the terms that every price is computed with.

SET LOCAL lock_timeout = '5s';

-- `price_version`: another one with every change of the organization's price rules or terms; none: there never were any,
-- and the defaults rule. Random, so that a version that was seen once never comes back with other rules, not even after a
-- backup was restored.
ALTER TABLE organization ADD COLUMN price_version UUID;

-- Bounds of what price rules may do: shares of the base price, and amounts for one place.
ALTER TABLE payment_settings
    ADD COLUMN tax_label TEXT DEFAULT 'Tax' NOT NULL,
    ADD COLUMN price_floor_bps INTEGER,
    ADD COLUMN price_ceiling_bps INTEGER,
    ADD COLUMN price_floor_minor BIGINT,
    ADD COLUMN price_ceiling_minor BIGINT,
    ADD CONSTRAINT payment_settings_price_caps_check CHECK (
        price_floor_bps BETWEEN 0 AND 10000 AND price_ceiling_bps BETWEEN 10000 AND 110000
        AND price_floor_minor >= 0 AND price_ceiling_minor >= 0
        AND price_floor_minor <= price_ceiling_minor
    );

-- Conditions that are null or empty always hold. Weekdays: 0 is Monday. Hours: local minutes from midnight. `seasons`:
-- [{"first": date, "last": date, "everyYear": boolean}]. Without services, activities and providers it is about all; else any of them will do.
CREATE TABLE price_rule (
    name TEXT NOT NULL,
    rate_bps INTEGER DEFAULT '0' NOT NULL,
    amount_minor BIGINT DEFAULT '0' NOT NULL,
    at_most_minor BIGINT,
    priority INTEGER DEFAULT '0' NOT NULL,
    is_exclusive BOOLEAN DEFAULT 'false' NOT NULL,
    weekdays INTEGER[] DEFAULT '{}' NOT NULL,
    hours_from INTEGER,
    hours_to INTEGER,
    lead_from_minutes INTEGER,
    lead_to_minutes INTEGER,
    occupancy_from_bps INTEGER,
    occupancy_to_bps INTEGER,
    seasons JSONB DEFAULT '[]' NOT NULL,
    service_ids UUID[] DEFAULT '{}' NOT NULL,
    activity_ids UUID[] DEFAULT '{}' NOT NULL,
    provider_ids UUID[] DEFAULT '{}' NOT NULL,
    is_active BOOLEAN DEFAULT 'true' NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT price_rule_pkey PRIMARY KEY (id),
    CONSTRAINT price_rule_change_check CHECK (
        (rate_bps = 0) <> (amount_minor = 0) AND rate_bps BETWEEN -10000 AND 100000
        AND amount_minor BETWEEN -9007199254740991 AND 9007199254740991 AND at_most_minor >= 0
    ),
    CONSTRAINT price_rule_weekdays_check CHECK (weekdays <@ ARRAY[0, 1, 2, 3, 4, 5, 6]),
    CONSTRAINT price_rule_hours_check CHECK (
        (hours_from IS NULL) = (hours_to IS NULL) AND hours_from BETWEEN 0 AND 1439 AND hours_to BETWEEN 0 AND 1440
    ),
    CONSTRAINT price_rule_bounds_check CHECK (
        lead_from_minutes < lead_to_minutes AND occupancy_from_bps < occupancy_to_bps
        AND occupancy_from_bps BETWEEN 0 AND 10000 AND occupancy_to_bps BETWEEN 1 AND 10001
    ),
    CONSTRAINT price_rule_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX price_rule_organization_id_idx ON price_rule (organization_id, is_active, id);
SELECT protect_table('price_rule');

-- Whoever changes rules or terms, by whatever way: what was computed with the old ones is known to be old.
CREATE FUNCTION change_price_version() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE organization o SET price_version = gen_random_uuid()
    WHERE o.id = CASE WHEN TG_OP = 'DELETE' THEN OLD.organization_id ELSE NEW.organization_id END;
    RETURN NULL;
END $$;
CREATE TRIGGER price_rule_version AFTER INSERT OR UPDATE OR DELETE ON price_rule
    FOR EACH ROW EXECUTE FUNCTION change_price_version();
CREATE TRIGGER payment_settings_version AFTER INSERT OR UPDATE OR DELETE ON payment_settings
    FOR EACH ROW EXECUTE FUNCTION change_price_version();
CREATE FUNCTION touch_payment_settings() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    NEW.updated_at := turnero_now();
    RETURN NEW;
END $$;
CREATE TRIGGER payment_settings_touched BEFORE UPDATE ON payment_settings
    FOR EACH ROW EXECUTE FUNCTION touch_payment_settings();
-- Terms that were there before this revision.
UPDATE organization o SET price_version = gen_random_uuid()
WHERE EXISTS (SELECT FROM payment_settings s WHERE s.organization_id = o.id);
