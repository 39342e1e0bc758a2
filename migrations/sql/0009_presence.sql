-- Presence: who may be told to be online.

-- A lock that is not had at once would queue every request behind this migration.
SET LOCAL lock_timeout = '5s';

ALTER TABLE provider ADD COLUMN shows_presence BOOLEAN DEFAULT 'true' NOT NULL;
