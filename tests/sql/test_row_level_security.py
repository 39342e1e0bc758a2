"""A foreign tenant at SQL level: whatever the code above does, PostgreSQL keeps organizations apart.

The tables come from the catalog, so that a new one cannot be forgotten: without a row to try it on, the test fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

OWNERS_ONLY = {"job"}
"""Requests may only add to these; the worker alone reads them."""
APPEND_ONLY = {"audit_entry", "booking_transition", "ledger_entry", "ledger_journal"}
COLUMN = "organization_id"


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organization with one row of every table that belongs to one."""

    organization_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class World:
    """`admin` is the owner of the tables, without row-level security."""

    admin: asyncpg.Connection[asyncpg.Record]
    url: str
    ours: Tenant
    theirs: Tenant


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    admin = await asyncpg.connect(database_url)
    try:
        yield World(admin, database_url, await _tenant(admin), await _tenant(admin))
    finally:
        await admin.close()


@pytest.fixture
async def app(world: World) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection as requests have it, bound to our organization, in a transaction of its own."""
    connection = await asyncpg.connect(world.url, server_settings={"role": "turnero_app"})
    transaction = connection.transaction()
    await transaction.start()
    await bind(connection, world.ours.organization_id, world.ours.user_id)
    try:
        yield connection
    finally:
        await connection.close()


async def bind(
    connection: asyncpg.Connection[asyncpg.Record], organization_id: UUID | None, user_id: UUID | None = None
) -> None:
    await connection.execute(
        "SELECT set_config('app.organization_id', $1, true), set_config('app.user_id', $2, true)",
        str(organization_id or ""),
        str(user_id or ""),
    )


async def _tenant(admin: asyncpg.Connection[asyncpg.Record]) -> Tenant:
    """Foreign keys are not what is tested: the rows need only be there."""
    tenant = Tenant(uuid4(), uuid4())
    async with admin.transaction():
        await admin.execute("SET LOCAL session_replication_role = replica")
        await admin.execute(
            "INSERT INTO user_account (id, email, password_hash, name) VALUES ($1, $2, '-', 'Someone')",
            tenant.user_id,
            f"{tenant.user_id}@example.com",
        )
        await admin.execute(
            "INSERT INTO organization (id, slug, name, currency, locale) VALUES ($1, $2, 'Shop', 'ARS', 'en')",
            tenant.organization_id,
            str(tenant.organization_id),
        )
        for table in await tenant_tables(admin):
            await insert(admin, table, tenant)
    return tenant


async def tenant_tables(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    rows = await connection.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = $1"
        " AND NOT a.attisdropped ORDER BY 1",
        COLUMN,
    )
    return [row["relname"] for row in rows]


VALUES = {
    "waitlist_entry.windows": "'{[2026-01-01,2026-01-02)}'",
    "waitlist_entry.service_id": "gen_random_uuid()",
    "activity_session.starts_at": "now()",
    "activity_session.ends_at": "now() + interval '1 hour'",
    "activity_session.status": "'open'",
    "blocked_time.kind": "'time_off'",
    "blocked_time.starts_at": "now()",
    "blocked_time.ends_at": "now() + interval '1 hour'",
    "bulk_change.action": "'cancel'",
    "bulk_change.provider_id": "gen_random_uuid()",
    "bulk_change.starts_from": "now()",
    "bulk_change.starts_before": "now() + interval '1 hour'",
    "place_claim.status": "'released'",
    "resource.kind": "'room'",
    "resource_need.resource_ids": "ARRAY[gen_random_uuid()]",
    "schedule_exception.days": "daterange('2026-01-01', '2026-01-02')",
    "schedule_exception.kind": "'closed'",
    "booking.service_id": "gen_random_uuid()",
    "booking.provider_id": "gen_random_uuid()",
    "booking.hold_id": "gen_random_uuid()",
    "booking_series.service_id": "gen_random_uuid()",
    "hold.service_id": "gen_random_uuid()",
    "hold.provider_id": "gen_random_uuid()",
    "allocation.busy": "tstzrange(now(), now() + interval '1 hour')",
    "allocation.starts_at": "now()",
    "allocation.ends_at": "now() + interval '1 hour'",
    "allocation.status": "'released'",
    "booking.ends_at": "now() + interval '1 hour'",
    "booking.starts_at": "now()",
    "booking.status": "'confirmed'",
    "booking_participant.status": "'expected'",
    "booking.payment_method": "'pay_on_arrival'",
    "booking.payment_status": "'unpaid'",
    "hold.status": "'released'",
    "membership.role": "'staff'",
    "schedule_version.effective": "daterange('2026-01-01', NULL)",
    "service.price_type": "'fixed'",
    "payment.kind": "'booking'",
    "payment.processor": "'stripe'",
    "payment.status": "'cancelled'",
    "refund.cause": "'staff'",
    "refund.status": "'failed'",
    "price_rule.rate_bps": "1",
    "promo_code.rate_bps": "1",
    "promo_code.currency": "'USD'",
    "promo_use.discount_minor": "1",
    "price_offer.currency": "'USD'",
    "price_offer.valid_until": "now()",
    "booking_fee.cause": "'no_show'",
    "booking_fee.status": "'waived'",
    "booking_fee.charge_minor": "0",
    "processor_customer.processor": "'stripe'",
    "ledger_journal.currency": "'USD'",
    "ledger_entry.account": "'escrow'",
    "payout.status": "'cancelled'",
    "payout_account.country": "'AR'",
    "payout_account.processor": "'stripe'",
    "payout_reversal.cause": "'debt'",
    "payout_reversal.status": "'failed'",
    "reconciliation_run.processor": "'books'",
    "reconciliation_run.finished_at": "now()",
    "reconciliation_run.outcome": "'done'",
    "reconciliation_difference.processor": "'books'",
}
"""Where a column does not take just any value of its type."""
OF_TYPE = {
    "uuid": "gen_random_uuid()",
    "text": "gen_random_uuid()::text",
    "integer": "30",
    "bigint": "30",
    "double precision": "3",
    "boolean": "true",
    "jsonb": "'{}'",
    "bytea": "'\\x00'",
    "timestamp with time zone": "now()",
    "timestamptz": "now()",
}


async def insert(
    connection: asyncpg.Connection[asyncpg.Record], table: str, tenant: Tenant, *, returning: bool = False
) -> list[asyncpg.Record]:
    """One row, with something in each column that needs it."""
    columns = await connection.fetch(
        "SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a"
        " WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped"
        " AND (a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' OR $1 || '.' || a.attname = ANY($3))"
        " AND a.attname <> $2",
        table,
        COLUMN,
        list(VALUES),
    )
    names, values = [COLUMN], ["$1"]
    for column in columns:
        key = f"{table}.{column['name']}"
        names.append(column["name"])
        is_user = column["name"] == "user_id"
        values.append(f"'{tenant.user_id}'" if is_user else VALUES.get(key) or OF_TYPE[column["type"]])
    suffix = f" RETURNING {COLUMN}" if returning else ""
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(values)}){suffix}"
    return await connection.fetch(statement, tenant.organization_id)


async def count(connection: asyncpg.Connection[asyncpg.Record], table: str, tenant: Tenant) -> int:
    found = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {COLUMN} = $1", tenant.organization_id)
    assert isinstance(found, int)
    return found


async def affected(connection: asyncpg.Connection[asyncpg.Record], statement: str, *arguments: Any) -> int | None:
    """How many rows it changed; None when PostgreSQL refuses it for want of a right. The transaction goes on."""
    try:
        async with connection.transaction():
            status = await connection.execute(statement, *arguments)
    except asyncpg.InsufficientPrivilegeError:
        return None
    last = status.split()[-1]
    return int(last) if last.isdigit() else 0


async def refused(connection: asyncpg.Connection[asyncpg.Record], statement: str, *arguments: Any) -> bool:
    return await affected(connection, statement, *arguments) is None


async def test_every_table_is_forced(world: World) -> None:
    rows = await world.admin.fetch(
        "SELECT relname, relrowsecurity AND relforcerowsecurity AS forced FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'alembic_version'"
    )
    assert [row["relname"] for row in rows if not row["forced"]] == []
    assert len(await tenant_tables(world.admin)) >= 16


async def test_ours_is_seen_and_theirs_is_not(world: World, app: asyncpg.Connection[asyncpg.Record]) -> None:
    for table in await tenant_tables(world.admin):
        assert await count(world.admin, table, world.theirs) >= 1, f"no row to try {table} on"
        if table in OWNERS_ONLY:
            assert await refused(app, f"SELECT 1 FROM {table}"), table
            continue
        assert await count(app, table, world.ours) >= 1, table
        assert await count(app, table, world.theirs) == 0, table
        assert await app.fetchval(f"SELECT count(*) FROM {table} WHERE {COLUMN} <> $1", world.ours.organization_id) == 0


async def test_theirs_cannot_be_changed(world: World, app: asyncpg.Connection[asyncpg.Record]) -> None:
    for table in await tenant_tables(world.admin):
        for statement in (
            f"UPDATE {table} SET {COLUMN} = {COLUMN} WHERE {COLUMN} = $1",
            f"DELETE FROM {table} WHERE {COLUMN} = $1",
        ):
            assert not await affected(app, statement, world.theirs.organization_id), statement


async def test_nothing_can_be_put_among_theirs(world: World, app: asyncpg.Connection[asyncpg.Record]) -> None:
    for table in await tenant_tables(world.admin):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with app.transaction():
                await insert(app, table, world.theirs)
        if not await refused(app, f"UPDATE {table} SET {COLUMN} = {COLUMN} WHERE false"):
            moved = f"UPDATE {table} SET {COLUMN} = $1 WHERE {COLUMN} = $2"
            arguments = (world.theirs.organization_id, world.ours.organization_id)
            assert await refused(app, moved, *arguments), f"a row of {table} can be given away"


async def test_unbound_sees_nothing(world: World, app: asyncpg.Connection[asyncpg.Record]) -> None:
    await bind(app, None)
    for table in await tenant_tables(world.admin):
        if table not in OWNERS_ONLY:
            for tenant in (world.ours, world.theirs):
                assert await count(app, table, tenant) == 0, table
    for table in ("organization", "user_account"):
        assert await app.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_never_bound_sees_nothing(world: World) -> None:
    """As a connection is before its first transaction: the setting does not exist at all."""
    connection = await asyncpg.connect(world.url, server_settings={"role": "turnero_app"})
    try:
        for table in await tenant_tables(world.admin):
            if table not in OWNERS_ONLY:
                assert await count(connection, table, world.theirs) == 0, table
    finally:
        await connection.close()


async def test_a_binding_ends_with_its_transaction(world: World, app: asyncpg.Connection[asyncpg.Record]) -> None:
    await app.execute("COMMIT")
    assert await count(app, "venue", world.ours) == 0


async def test_people_see_themselves_and_where_they_work(world: World, app: asyncpg.Connection[asyncpg.Record]) -> None:
    assert await app.fetchval("SELECT array_agg(id) FROM user_account") == [world.ours.user_id]
    assert await app.fetchval("SELECT array_agg(id) FROM organization") == [world.ours.organization_id]
    # A member of theirs who is bound to none sees their own membership there, and no other row.
    await bind(app, None, world.theirs.user_id)
    assert await count(app, "membership", world.theirs) == 1
    assert await app.fetchval("SELECT array_agg(id) FROM organization") == [world.theirs.organization_id]
    assert await count(app, "membership", world.ours) == 0
    assert await count(app, "venue", world.theirs) == 0


async def test_being_a_member_elsewhere_changes_nothing_there(
    world: World, app: asyncpg.Connection[asyncpg.Record]
) -> None:
    """What a policy lets someone see of theirs, while bound to ours or to none, it does not let them change."""
    for bound in (None, world.ours.organization_id):
        await bind(app, bound, world.theirs.user_id)
        for table, column in (("membership", "organization_id"), ("organization", "id")):
            for statement in (
                f"UPDATE {table} SET created_at = now() WHERE {column} = $1",
                f"DELETE FROM {table} WHERE {column} = $1",
            ):
                assert not await affected(app, statement, world.theirs.organization_id), statement


async def test_what_is_written_stays_written(world: World, app: asyncpg.Connection[asyncpg.Record]) -> None:
    for table in sorted(APPEND_ONLY | {"outbox_event"}):
        assert await refused(app, f"UPDATE {table} SET {COLUMN} = {COLUMN}"), table
        assert await refused(app, f"DELETE FROM {table}"), table
        assert await refused(app, f"TRUNCATE {table}"), table
    for table in sorted(APPEND_ONLY):
        # Not even the owner of the tables can do it by mistake.
        for statement in (f"UPDATE {table} SET {COLUMN} = {COLUMN}", f"DELETE FROM {table}"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await world.admin.execute(statement)


async def test_requests_own_nothing(world: World, app: asyncpg.Connection[asyncpg.Record]) -> None:
    owned = await world.admin.fetchval(
        "SELECT count(*) FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid"
        " WHERE r.rolname = 'turnero_app' AND d.deptype = 'o'"
    )
    assert owned == 0
    role = await world.admin.fetchrow(
        "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = $1",
        "turnero_app",
    )
    assert role is not None
    assert not any(role.values())
    assert await refused(app, "CREATE TABLE mine (id int)")
    assert await refused(app, "ALTER TABLE venue DISABLE ROW LEVEL SECURITY")
    assert await refused(app, "DROP POLICY tenant ON venue")
