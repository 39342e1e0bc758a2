"""What 0002 asks of rows that are there: checked, indexed and filled in while requests go on.

Nothing here is in a transaction as a whole, and each step can be repeated: one that was interrupted is run again.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CONSTRAINTS = (
    ("hold", "hold_session_id_fkey"),
    ("hold", "hold_subject_check"),
    ("booking", "booking_session_id_fkey"),
    ("booking", "booking_subject_check"),
    ("allocation", "allocation_session_id_fkey"),
    ("allocation", "allocation_taken_for_check"),
)
INDEXES = (
    ("hold_session_id_idx", "hold (session_id) WHERE session_id IS NOT NULL"),
    ("booking_session_id_idx", "booking (session_id) WHERE session_id IS NOT NULL"),
    ("allocation_session_id_idx", "allocation (session_id) WHERE session_id IS NOT NULL"),
    ("customer_organization_email_idx", "customer (organization_id, email)"),
)
# One organization at a time, under the lock that its writers take, so that no older row overwrites a newer one.
ROWS_OF_THE_SEARCH = """
DO $$
DECLARE
    v_organization uuid;
BEGIN
    FOR v_organization IN SELECT id FROM organization ORDER BY id LOOP
        PERFORM lock_search(ARRAY[v_organization]);
        PERFORM refresh_provider_search(ARRAY(SELECT id FROM provider WHERE organization_id = v_organization));
        PERFORM refresh_provider_price(ARRAY(SELECT id FROM provider WHERE organization_id = v_organization));
        PERFORM refresh_service_search(ARRAY(SELECT id FROM service WHERE organization_id = v_organization));
        INSERT INTO offer_outlook (provider_id, service_id, organization_id)
        SELECT provider_id, service_id, organization_id FROM offer WHERE organization_id = v_organization
        ON CONFLICT DO NOTHING;
        COMMIT;
    END LOOP;
END $$
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for table, constraint in CONSTRAINTS:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")
        # Building an index concurrently waits for old transactions, and nobody waits for it.
        op.execute("SET lock_timeout = 0")
        for name, definition in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what an interrupted run left is not valid
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
        op.execute("SET lock_timeout = '5s'")
        op.execute(ROWS_OF_THE_SEARCH)


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
