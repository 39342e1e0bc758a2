-- Tables of the spine. app/models mirrors them; a test compares the two.

CREATE TABLE idempotency_key (
    organization_id UUID NOT NULL,
    operation TEXT NOT NULL,
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    response JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT idempotency_key_pkey PRIMARY KEY (organization_id, operation, principal, key)
);
CREATE INDEX idempotency_key_created_at_idx ON idempotency_key (created_at);

CREATE TABLE job (
    kind TEXT NOT NULL,
    args JSONB NOT NULL,
    organization_id UUID,
    run_after TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    max_attempts INTEGER DEFAULT '10' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    fence INTEGER DEFAULT '0' NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    failed_at TIMESTAMP WITH TIME ZONE,
    last_error TEXT,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT job_pkey PRIMARY KEY (id)
);
CREATE INDEX job_done_at_idx ON job (done_at);
CREATE INDEX job_due_idx ON job (run_after) WHERE done_at IS NULL AND failed_at IS NULL;

CREATE TABLE organization (
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    currency TEXT NOT NULL,
    locale TEXT NOT NULL,
    country TEXT,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT organization_pkey PRIMARY KEY (id),
    CONSTRAINT organization_slug_key UNIQUE (slug)
);

CREATE TABLE recurring_run (
    job TEXT NOT NULL,
    scheduled_for TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT recurring_run_pkey PRIMARY KEY (job, scheduled_for)
);

CREATE TABLE relay_state (
    id BOOLEAN DEFAULT 'true' NOT NULL,
    installation_id UUID DEFAULT uuidv7() NOT NULL,
    last_position BIGINT DEFAULT '0' NOT NULL,
    published_position BIGINT DEFAULT '0' NOT NULL,
    purged_position BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT relay_state_pkey PRIMARY KEY (id),
    CONSTRAINT relay_state_single_row_check CHECK (id)
);

CREATE TABLE user_account (
    email TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    name TEXT NOT NULL,
    locale TEXT DEFAULT 'en' NOT NULL,
    time_zone TEXT DEFAULT 'UTC' NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT user_account_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX user_account_email_key ON user_account (lower(email));

CREATE TABLE worker_heartbeat (
    worker TEXT NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT worker_heartbeat_pkey PRIMARY KEY (worker)
);

CREATE TABLE audit_entry (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    action TEXT NOT NULL,
    subject_id UUID NOT NULL,
    before JSONB,
    after JSONB,
    reason TEXT,
    actor TEXT NOT NULL,
    actor_id UUID,
    channel TEXT NOT NULL,
    address TEXT,
    user_agent TEXT,
    request_id TEXT,
    at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT audit_entry_pkey PRIMARY KEY (id),
    CONSTRAINT audit_entry_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX audit_entry_subject_idx ON audit_entry (subject_id, id);

CREATE TABLE customer (
    user_id UUID,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    phone TEXT,
    locale TEXT,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT customer_pkey PRIMARY KEY (id),
    CONSTRAINT customer_user_id_fkey FOREIGN KEY(user_id) REFERENCES user_account (id),
    CONSTRAINT customer_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE UNIQUE INDEX customer_organization_user_key ON customer (organization_id, user_id);

CREATE TABLE membership (
    user_id UUID NOT NULL,
    role TEXT NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT membership_pkey PRIMARY KEY (id),
    CONSTRAINT membership_organization_user_key UNIQUE (organization_id, user_id),
    CONSTRAINT membership_role_check CHECK (role IN ('owner', 'admin', 'staff')),
    CONSTRAINT membership_user_id_fkey FOREIGN KEY(user_id) REFERENCES user_account (id),
    CONSTRAINT membership_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX membership_user_id_idx ON membership (user_id);

CREATE TABLE outbox_event (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    transaction_id xid8 DEFAULT pg_current_xact_id() NOT NULL,
    type TEXT NOT NULL,
    subject_id UUID NOT NULL,
    payload JSONB NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    position BIGINT,
    organization_id UUID NOT NULL,
    CONSTRAINT outbox_event_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_event_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX outbox_event_occurred_at_idx ON outbox_event (occurred_at);
CREATE UNIQUE INDEX outbox_event_position_key ON outbox_event (position) WHERE position IS NOT NULL;
CREATE INDEX outbox_event_subject_idx ON outbox_event (subject_id, position);
CREATE INDEX outbox_event_unnumbered_idx ON outbox_event (id) WHERE position IS NULL;
CREATE INDEX outbox_event_waiting_idx ON outbox_event (organization_id, id) WHERE position IS NULL;

CREATE TABLE schedule_version (
    owner_id UUID NOT NULL,
    number INTEGER NOT NULL,
    effective DATERANGE NOT NULL,
    slot_interval_minutes INTEGER NOT NULL,
    weekly JSONB NOT NULL,
    published_by UUID,
    published_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    superseded_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT schedule_version_pkey PRIMARY KEY (id),
    CONSTRAINT schedule_version_owner_number_key UNIQUE (owner_id, number),
    CONSTRAINT schedule_version_effective_check CHECK (NOT isempty(effective) AND lower(effective) IS NOT NULL),
    CONSTRAINT schedule_version_slot_interval_check CHECK (slot_interval_minutes BETWEEN 1 AND 1440),
    CONSTRAINT schedule_version_no_overlap EXCLUDE USING gist (owner_id WITH =, effective WITH &&) WHERE (superseded_at IS NULL),
    CONSTRAINT schedule_version_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

CREATE TABLE service (
    name TEXT NOT NULL,
    description TEXT,
    category TEXT NOT NULL,
    subcategory TEXT,
    price_minor BIGINT NOT NULL,
    price_type TEXT NOT NULL,
    duration_minutes INTEGER NOT NULL,
    maximum_duration_minutes INTEGER,
    buffer_before_minutes INTEGER NOT NULL,
    buffer_after_minutes INTEGER NOT NULL,
    advance_notice_minutes INTEGER NOT NULL,
    maximum_advance_days INTEGER NOT NULL,
    cancellation_notice_minutes INTEGER NOT NULL,
    requires_approval BOOLEAN NOT NULL,
    max_group_size INTEGER NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    is_active BOOLEAN DEFAULT 'true' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT service_pkey PRIMARY KEY (id),
    CONSTRAINT service_price_check CHECK (price_minor >= 0),
    CONSTRAINT service_price_type_check CHECK (price_type IN ('fixed', 'hourly', 'custom')),
    CONSTRAINT service_duration_check CHECK (duration_minutes BETWEEN 1 AND 1440),
    CONSTRAINT service_maximum_duration_check CHECK (maximum_duration_minutes >= duration_minutes AND maximum_duration_minutes <= 1440),
    CONSTRAINT service_buffers_check CHECK (buffer_before_minutes BETWEEN 0 AND 1440 AND buffer_after_minutes BETWEEN 0 AND 1440),
    CONSTRAINT service_notices_check CHECK (advance_notice_minutes >= 0 AND cancellation_notice_minutes >= 0),
    CONSTRAINT service_maximum_advance_check CHECK (maximum_advance_days BETWEEN 1 AND 1095),
    CONSTRAINT service_max_group_size_check CHECK (max_group_size >= 1),
    CONSTRAINT service_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX service_organization_id_idx ON service (organization_id, id);

CREATE TABLE venue (
    name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    address TEXT,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION,
    embed_key TEXT NOT NULL,
    is_active BOOLEAN DEFAULT 'true' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT venue_pkey PRIMARY KEY (id),
    CONSTRAINT venue_embed_key_key UNIQUE (embed_key),
    CONSTRAINT venue_latitude_check CHECK (latitude BETWEEN -90 AND 90),
    CONSTRAINT venue_longitude_check CHECK (longitude BETWEEN -180 AND 180),
    CONSTRAINT venue_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX venue_organization_id_idx ON venue (organization_id, id);

CREATE TABLE provider (
    venue_id UUID NOT NULL,
    user_id UUID,
    name TEXT NOT NULL,
    bio TEXT,
    time_zone TEXT,
    rating DOUBLE PRECISION,
    is_active BOOLEAN DEFAULT 'true' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT provider_pkey PRIMARY KEY (id),
    CONSTRAINT provider_rating_check CHECK (rating BETWEEN 0 AND 5),
    CONSTRAINT provider_venue_id_fkey FOREIGN KEY(venue_id) REFERENCES venue (id),
    CONSTRAINT provider_user_id_fkey FOREIGN KEY(user_id) REFERENCES user_account (id),
    CONSTRAINT provider_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX provider_organization_id_idx ON provider (organization_id, id);
CREATE UNIQUE INDEX provider_organization_user_key ON provider (organization_id, user_id);
CREATE INDEX provider_venue_id_idx ON provider (venue_id);

CREATE TABLE hold (
    status TEXT NOT NULL,
    service_id UUID NOT NULL,
    provider_id UUID NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    buffer_before_minutes INTEGER NOT NULL,
    buffer_after_minutes INTEGER NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    extended_at TIMESTAMP WITH TIME ZONE,
    party_size INTEGER NOT NULL,
    price_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    user_id UUID,
    address TEXT,
    token_version INTEGER DEFAULT '1' NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT hold_pkey PRIMARY KEY (id),
    CONSTRAINT hold_status_check CHECK (status IN ('active', 'consumed', 'released', 'expired')),
    CONSTRAINT hold_party_size_check CHECK (party_size >= 1),
    CONSTRAINT hold_price_check CHECK (price_minor >= 0),
    CONSTRAINT hold_service_id_fkey FOREIGN KEY(service_id) REFERENCES service (id),
    CONSTRAINT hold_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT hold_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX hold_address_idx ON hold (address) WHERE status = 'active';
CREATE INDEX hold_expires_at_idx ON hold (expires_at) WHERE status = 'active';
CREATE INDEX hold_user_id_idx ON hold (user_id) WHERE status = 'active';

CREATE TABLE offer (
    provider_id UUID NOT NULL,
    service_id UUID NOT NULL,
    price_minor BIGINT,
    duration_minutes INTEGER,
    is_active BOOLEAN DEFAULT 'true' NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT offer_pkey PRIMARY KEY (provider_id, service_id),
    CONSTRAINT offer_price_check CHECK (price_minor >= 0),
    CONSTRAINT offer_duration_check CHECK (duration_minutes BETWEEN 1 AND 1440),
    CONSTRAINT offer_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT offer_service_id_fkey FOREIGN KEY(service_id) REFERENCES service (id),
    CONSTRAINT offer_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX offer_service_id_idx ON offer (service_id);

CREATE TABLE booking (
    number TEXT NOT NULL,
    confirmation_code TEXT NOT NULL,
    status TEXT NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    time_zone TEXT NOT NULL,
    party_size INTEGER NOT NULL,
    provider_id UUID NOT NULL,
    service_id UUID NOT NULL,
    customer_id UUID NOT NULL,
    hold_id UUID NOT NULL,
    price_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    payment_status TEXT NOT NULL,
    payment_method TEXT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    cancellable_until TIMESTAMP WITH TIME ZONE NOT NULL,
    cancellation_notice_minutes INTEGER NOT NULL,
    requires_approval BOOLEAN NOT NULL,
    notes TEXT,
    access_version INTEGER DEFAULT '1' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT booking_pkey PRIMARY KEY (id),
    CONSTRAINT booking_status_check CHECK (status IN ('pending', 'payment_failed', 'awaiting_provider', 'confirmed', 'checked_in', 'in_progress', 'completed', 'cancelled', 'no_show', 'refunded', 'expired')),
    CONSTRAINT booking_times_check CHECK (starts_at < ends_at),
    CONSTRAINT booking_party_size_check CHECK (party_size >= 1),
    CONSTRAINT booking_price_check CHECK (price_minor >= 0),
    CONSTRAINT booking_payment_method_check CHECK (payment_method IN ('pay_now', 'pay_on_arrival')),
    CONSTRAINT booking_payment_status_check CHECK (payment_status IN ('unpaid', 'authorized', 'processing', 'partially_paid', 'paid', 'partially_refunded', 'refunded', 'failed', 'disputed')),
    CONSTRAINT booking_number_key UNIQUE (number),
    CONSTRAINT booking_confirmation_code_key UNIQUE (organization_id, confirmation_code),
    CONSTRAINT booking_hold_id_key UNIQUE (hold_id),
    CONSTRAINT booking_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT booking_service_id_fkey FOREIGN KEY(service_id) REFERENCES service (id),
    CONSTRAINT booking_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customer (id),
    CONSTRAINT booking_hold_id_fkey FOREIGN KEY(hold_id) REFERENCES hold (id),
    CONSTRAINT booking_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX booking_customer_id_idx ON booking (customer_id);
CREATE INDEX booking_expires_at_idx ON booking (expires_at) WHERE status IN ('pending', 'payment_failed', 'awaiting_provider');
CREATE INDEX booking_organization_id_idx ON booking (organization_id, id);
CREATE INDEX booking_organization_starts_idx ON booking (organization_id, starts_at, id);
CREATE INDEX booking_provider_starts_idx ON booking (provider_id, starts_at);

CREATE TABLE allocation (
    subject_id UUID NOT NULL,
    busy TSTZRANGE NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    status TEXT NOT NULL,
    hold_id UUID,
    booking_id UUID,
    expires_at TIMESTAMP WITH TIME ZONE,
    released_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT allocation_pkey PRIMARY KEY (id),
    CONSTRAINT allocation_status_check CHECK (status IN ('held', 'booked', 'released')),
    CONSTRAINT allocation_busy_check CHECK (NOT isempty(busy) AND lower(busy) IS NOT NULL AND upper(busy) IS NOT NULL AND isfinite(lower(busy)) AND isfinite(upper(busy)) AND lower_inc(busy) AND NOT upper_inc(busy)),
    CONSTRAINT allocation_service_within_busy_check CHECK (starts_at < ends_at AND busy @> tstzrange(starts_at, ends_at)),
    CONSTRAINT allocation_held_expires_check CHECK (status <> 'held' OR expires_at IS NOT NULL),
    CONSTRAINT allocation_booked_for_check CHECK (status <> 'booked' OR booking_id IS NOT NULL),
    CONSTRAINT allocation_no_overlap EXCLUDE USING gist (subject_id WITH =, busy WITH &&) WHERE (status IN ('held', 'booked')),
    CONSTRAINT allocation_hold_id_fkey FOREIGN KEY(hold_id) REFERENCES hold (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT allocation_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT allocation_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX allocation_booking_id_idx ON allocation (booking_id);
CREATE INDEX allocation_held_idx ON allocation (subject_id) WHERE status = 'held';
CREATE INDEX allocation_hold_id_idx ON allocation (hold_id);
CREATE INDEX allocation_subject_starts_idx ON allocation (subject_id, starts_at) INCLUDE (id, organization_id, ends_at, busy, status, expires_at) WHERE status IN ('held', 'booked');

CREATE TABLE booking_item (
    booking_id UUID NOT NULL,
    position INTEGER NOT NULL,
    service_id UUID NOT NULL,
    provider_id UUID NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    buffer_before_minutes INTEGER NOT NULL,
    buffer_after_minutes INTEGER NOT NULL,
    price_minor BIGINT NOT NULL,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT booking_item_pkey PRIMARY KEY (id),
    CONSTRAINT booking_item_position_key UNIQUE (booking_id, position),
    CONSTRAINT booking_item_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT booking_item_service_id_fkey FOREIGN KEY(service_id) REFERENCES service (id),
    CONSTRAINT booking_item_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT booking_item_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);

CREATE TABLE booking_transition (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    booking_id UUID NOT NULL,
    from_status TEXT,
    to_status TEXT NOT NULL,
    reason TEXT,
    actor TEXT NOT NULL,
    actor_id UUID,
    channel TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    organization_id UUID NOT NULL,
    CONSTRAINT booking_transition_pkey PRIMARY KEY (id),
    CONSTRAINT booking_transition_booking_id_fkey FOREIGN KEY(booking_id) REFERENCES booking (id),
    CONSTRAINT booking_transition_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE INDEX booking_transition_booking_id_idx ON booking_transition (booking_id, id);

