-- Calendars elsewhere whose busy times block a provider. What they say is in blocked_time, kind 'external'.

CREATE TABLE calendar_source (
    provider_id UUID NOT NULL,
    url TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT DEFAULT 'waiting' NOT NULL,
    etag TEXT,
    last_modified TEXT,
    content_hash BYTEA,
    read_in_zone TEXT,
    covered_until TIMESTAMP WITH TIME ZONE,
    requested_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    last_polled_at TIMESTAMP WITH TIME ZONE,
    last_success_at TIMESTAMP WITH TIME ZONE,
    next_poll_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    failures INTEGER DEFAULT '0' NOT NULL,
    last_error TEXT,
    event_count INTEGER DEFAULT '0' NOT NULL,
    created_by UUID,
    removed_at TIMESTAMP WITH TIME ZONE,
    id UUID NOT NULL,
    organization_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT turnero_now() NOT NULL,
    CONSTRAINT calendar_source_pkey PRIMARY KEY (id),
    CONSTRAINT calendar_source_status_check CHECK (status IN ('waiting', 'active', 'failing', 'refused')),
    CONSTRAINT calendar_source_provider_id_fkey FOREIGN KEY(provider_id) REFERENCES provider (id),
    CONSTRAINT calendar_source_organization_id_fkey FOREIGN KEY(organization_id) REFERENCES organization (id)
);
CREATE UNIQUE INDEX calendar_source_provider_url_key ON calendar_source (provider_id, url) WHERE removed_at IS NULL;
CREATE INDEX calendar_source_due_idx ON calendar_source (next_poll_at) WHERE removed_at IS NULL;

SELECT protect_table('calendar_source');

-- Copies of what a calendar said are not kept for ever.
GRANT DELETE ON blocked_time TO turnero_system;
