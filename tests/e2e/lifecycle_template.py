"""Copies of a shop: all its rows with ids of their own, in a few milliseconds, so that each example has a new one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.core.ids import new_id
from tests.shop import Person, Shop

_KEEPS_ITS_OWN = ("audit_entry", "booking_transition", "idempotency_key", "job", "outbox_event")
"""Tables whose rows tell how the first shop was made."""
_UNIQUE = ("embed_key", "slug")
"""Columns that no two shops may share."""

_TABLES = """
    SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attgenerated = ''
    GROUP BY c.relname
    HAVING bool_or(a.attname = 'organization_id') OR c.relname = 'organization'
    ORDER BY c.relname
"""
_LAST = """
    SELECT (SELECT COALESCE(max(id), 0) FROM audit_entry) AS audit,
           (SELECT COALESCE(max(id), 0) FROM booking_transition) AS transition,
           (SELECT COALESCE(max(id), 0) FROM outbox_event) AS event
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """One example's shop. The numbers and `first_id`: what the example writes comes after them."""

    organization: UUID
    venue: UUID
    providers: tuple[UUID, ...]
    services: tuple[UUID, ...]
    """A plain one; one with buffers, a room and an approval."""
    activities: tuple[UUID, ...]
    """One that nobody leads; one that takes the time of the first provider."""
    owner: Person
    account: Person
    """A customer who is signed in."""
    first_id: UUID
    last_audit: int
    last_transition: int
    last_event: int


@dataclass(frozen=True, slots=True)
class Template:
    """`script`: inserts the rows. `ids`: all that are to be exchanged in it."""

    shop: Shop
    account: Person
    activities: tuple[UUID, ...]
    script: str
    ids: re.Pattern[str]

    @classmethod
    async def read(cls, connection: asyncpg.Connection, shop: Shop, account: Person) -> Template:
        """Of a shop that has nothing but its catalogue."""
        statements, ids = [], {str(shop.organization_uuid)}
        for table, columns in await connection.fetch(_TABLES):
            if table in _KEEPS_ITS_OWN:
                continue
            key = "id" if table == "organization" else "organization_id"
            rows = await connection.fetch(
                f"SELECT to_jsonb(t)::text AS row, to_jsonb(t) ->> 'id' AS id FROM {table} t WHERE {key} = $1",
                shop.organization_uuid,
            )
            if rows:
                ids |= {row["id"] for row in rows if row["id"] is not None}
                statements.append(_insert(table, columns, [row["row"] for row in rows]))
        activities = await connection.fetch(
            "SELECT id FROM activity WHERE organization_id = $1 ORDER BY id", shop.organization_uuid
        )
        return cls(
            shop,
            account,
            tuple(row["id"] for row in activities),
            ";\n".join(statements),
            re.compile("|".join(sorted(ids))),
        )

    async def copy(self, connection: asyncpg.Connection, number: int) -> Ground:
        """The shop of this number, from 1 on."""
        script = self.ids.sub(lambda found: _id_of(found[0], number), self.script).replace("{number}", str(number))
        async with connection.transaction():
            # Triggers have done their work: what they wrote is among the rows.
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(script)
        last = await connection.fetchrow(_LAST)
        assert last is not None

        def of(ids: Sequence[UUID]) -> tuple[UUID, ...]:
            return tuple(UUID(_id_of(str(one), number)) for one in ids)

        shop = self.shop
        [organization, venue] = of([shop.organization_uuid, shop.venue_uuid])
        return Ground(
            organization=organization,
            venue=venue,
            providers=of(shop.provider_uuids),
            services=of(shop.service_uuids),
            activities=of(self.activities),
            owner=shop.owner,
            account=self.account,
            first_id=new_id(),
            last_audit=last["audit"],
            last_transition=last["transition"],
            last_event=last["event"],
        )


def _insert(table: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    """With a number for what must be unique."""
    names = ", ".join(columns)
    shown = ", ".join(f"{name} || '-{{number}}'" if name in _UNIQUE else name for name in columns)
    literal = "[" + ", ".join(rows).replace("'", "''") + "]"
    return f"INSERT INTO {table} ({names}) SELECT {shown} FROM jsonb_populate_recordset(NULL::{table}, '{literal}')"


def _id_of(template_id: str, number: int) -> str:
    """The same time and order, another tail."""
    return f"{template_id[:28]}{int(template_id[28:], 16) ^ number:08x}"
