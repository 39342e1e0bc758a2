"""People and rooms without an application: rows as the tables' owner writes them, and claims of their time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from app.core.ids import new_id

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
HALF_HOUR = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Ground:
    """Sorted ids. Foreign keys are not what is tested, so what they name need not be there."""

    url: str
    organization: UUID
    people: tuple[UUID, ...]
    units: tuple[UUID, ...]

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """As the owner, in whose transactions nobody checks foreign keys; statements commit by themselves."""
        connection = await asyncpg.connect(self.url, server_settings={"session_replication_role": "replica"})
        try:
            yield connection
        finally:
            await connection.close()


async def make_ground(url: str, people: int = 2, units: int = 2) -> Ground:
    ground = Ground(url, uuid4(), *(tuple(sorted(new_id() for _ in range(number))) for number in (people, units)))
    async with ground.connect() as connection:
        await add_ground(connection, ground)
    return ground


async def add_ground(connection: Connection, ground: Ground) -> None:
    resource = uuid4()
    await connection.execute(
        "INSERT INTO organization (id, slug, name, currency, locale) VALUES ($1, $2, 'Shop', 'USD', 'en')",
        ground.organization,
        str(ground.organization),
    )
    await connection.executemany(
        "INSERT INTO provider (id, organization_id, venue_id, name) VALUES ($1, $2, $2, 'Somebody')",
        [(one, ground.organization) for one in ground.people],
    )
    await connection.execute(
        "INSERT INTO resource (id, organization_id, venue_id, name, kind, quantity)"
        " VALUES ($1, $2, $2, 'Room', 'room', 9)",
        resource,
        ground.organization,
    )
    await connection.executemany(
        "INSERT INTO resource_unit (id, organization_id, resource_id, number) VALUES ($1, $2, $3, $4)",
        [(one, ground.organization, resource, number) for number, one in enumerate(ground.units, 1)],
    )


def person(subject: UUID, start: datetime, length: timedelta = HALF_HOUR) -> dict[str, Any]:
    return {"subject": str(subject), **_times(start, length)}


def need(units: Iterable[UUID], start: datetime, quantity: int = 1, length: timedelta = HALF_HOUR) -> dict[str, Any]:
    return {"quantity": quantity, "units": [str(unit) for unit in units], **_times(start, length)}


def limit(subject: UUID, start: datetime, end: datetime, most: int) -> dict[str, Any]:
    return {"subject": str(subject), "from": start.isoformat(), "to": end.isoformat(), "most": most}


def _times(start: datetime, length: timedelta) -> dict[str, str]:
    end = start + length
    return {
        "startsAt": start.isoformat(),
        "endsAt": end.isoformat(),
        "busyFrom": start.isoformat(),
        "busyTo": end.isoformat(),
    }


async def claim(
    connection: Connection,
    ground: Ground,
    claims: Iterable[dict[str, Any]],
    needs: Iterable[dict[str, Any]] = (),
    *,
    limits: Iterable[dict[str, Any]] = (),
) -> asyncpg.Record:
    """Hold it all for an hour."""
    wanted = json.dumps({"claims": list(claims), "needs": list(needs), "limits": list(limits)})
    row = await connection.fetchrow(
        "SELECT * FROM claim_together($1, $2::text::jsonb, 'held', $3, NULL, interval '1 hour', 'HELD')",
        ground.organization,
        wanted,
        uuid4(),
    )
    assert row is not None
    return row


async def put(
    connection: Connection,
    ground: Ground,
    subject: UUID,
    start: datetime,
    end: datetime,
    *,
    expires_in: timedelta | None = timedelta(hours=1),
    hold: UUID | None = None,
    booking: UUID | None = None,
) -> UUID:
    """A row of the table: held, or booked when it never expires."""
    allocation = uuid4()
    await connection.execute(
        """
        INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, hold_id, booking_id,
                                expires_at)
        VALUES ($1, $2, $3, tstzrange($4, $5), $4, $5, CASE WHEN $6::interval IS NULL THEN 'booked' ELSE 'held' END, $7,
                $8, clock_timestamp() + $6)
        """,
        allocation,
        ground.organization,
        subject,
        start,
        end,
        expires_in,
        hold,
        booking if expires_in is not None else booking or uuid4(),
    )
    return allocation


async def live(connection: Connection, *subjects: UUID) -> list[tuple[UUID, datetime, datetime]]:
    """Who is taken from when to when, in order."""
    rows = await connection.fetch(
        "SELECT subject_id, lower(busy) AS low, upper(busy) AS high FROM allocation"
        " WHERE subject_id = ANY ($1) AND status <> 'released' ORDER BY subject_id, busy",
        list(subjects),
    )
    return [(row["subject_id"], row["low"], row["high"]) for row in rows]
