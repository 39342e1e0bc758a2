"""What the relay puts on the stream without reading it again, and that nobody's numbers are given twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from app.adapters.valkey import Valkey
from app.commands import relay as commands
from app.commands.relay import BODIES_BYTES, mark_published, number_events
from app.core.database import Database
from app.core.ids import new_id
from app.jobs import relay
from app.jobs.relay import Relay
from app.queries.event import bodies_after, decode_event, events_after, log_state
from tests.jobs.ground import Ground, rows, write_event, write_events
from tests.jobs.loops import beside, until
from tests.jobs.valkey_server import ValkeyServer

_ODD = """
INSERT INTO outbox_event (organization_id, type, subject_id, payload, audience, occurred_at)
VALUES (:organization, 'test.odd', :subject, CAST(:payload AS jsonb), ARRAY[CAST(:subject AS uuid)],
        '2026-03-29T01:00Z')
"""
ODD_PAYLOAD = (
    r'{"text": "\u00fc \ud83d\ude00 \" \\ \u2028", "number": 1.5, "whole": 9007199254740993, "none": null, "in": [{}]}'
)


async def write_odd(database: Database, ground: Ground) -> None:
    values = {"organization": ground.organization, "subject": ground.provider, "payload": ODD_PAYLOAD}
    async with database.transaction() as tx:
        await tx.execute(text(_ODD), values)


async def test_a_body_says_what_the_log_says(database: Database, ground: Ground) -> None:
    await write_events(database, ground, ground.provider, range(2))
    await write_odd(database, ground)
    numbered = await number_events(database)
    assert (numbered.last_position, numbered.count, numbered.is_held_back) == (0, 3, False)
    assert numbered.bodies is not None
    async with database.snapshot() as tx:
        in_the_log = await events_after(tx, 0)
        again = await bodies_after(tx, 0)
    assert [decode_event(body.encode()) for body in numbered.bodies] == in_the_log
    assert [(event.position, body.encode()) for event, body in zip(in_the_log, numbered.bodies, strict=True)] == again
    assert in_the_log[2].audience == (ground.provider,)


async def test_large_bodies_do_not_come_with_the_numbers(database: Database, ground: Ground) -> None:
    """They might not go through while the relay sleeps, and then the statement would not end, with the lock."""
    async with database.transaction() as tx:
        for number in range(20):
            await write_event(tx, ground, ground.provider, number, kind="x" * (BODIES_BYTES // 20))
    numbered = await number_events(database)
    assert (numbered.count, numbered.bodies) == (20, None)
    await write_events(database, ground, ground.provider, [20])
    numbered = await number_events(database)
    assert (numbered.last_position, numbered.count, len(numbered.bodies or ())) == (20, 1, 1)


async def test_large_and_small_are_all_on_the_stream(
    database: Database, ground: Ground, valkey: Valkey, valkey_server: ValkeyServer
) -> None:
    async with beside(Relay(database, valkey.event_stream()).run()):
        for turn in range(6):
            async with database.transaction() as tx:
                for number in range(12):
                    kind = "x" * (BODIES_BYTES // 10 if turn % 2 else 10)
                    await write_event(tx, ground, ground.provider, 12 * turn + number, kind)
            await valkey.event_stream().ring()
            await asyncio.sleep(0.01)
        await until(lambda: all_published(database))
    client = Redis.from_url(valkey_server.url)
    async with database.snapshot() as tx:
        installation = (await log_state(tx)).installation_id
    entries = await client.xrange(f"turnero:{installation}:events")
    await client.aclose()
    assert [decode_event(fields[b"e"]).payload["number"] for _, fields in entries] == list(range(72))


async def test_who_waits_for_an_older_transaction_says_so(database: Database, ground: Ground) -> None:
    async with database.transaction() as old:
        await old.execute(text("SELECT pg_current_xact_id()"))
        await write_events(database, ground, ground.provider, [1])
        held = await number_events(database)
        assert (held.count, held.is_held_back, held.bodies) == (0, True, [])
    assert (await number_events(database)).count == 1
    assert not (await number_events(database)).is_held_back


async def test_a_lock_that_somebody_has_is_passed_over(database: Database, ground: Ground) -> None:
    await write_events(database, ground, ground.provider, [1])
    async with database.transaction() as other:
        await other.execute(text("SELECT last_position FROM relay_state FOR UPDATE"))
        async with asyncio.timeout(5):
            held = await number_events(database)
        assert (held.count, held.is_held_back) == (0, True)
    assert (await number_events(database)).count == 1


async def test_a_snapshot_older_than_another_relays_numbers_gives_none(database: Database, ground: Ground) -> None:
    """The statement began, and somebody else numbered everything before it had the lock."""
    await write_events(database, ground, ground.provider, range(3))
    late = vars(commands)["_NUMBER"].replace(
        "WITH state AS", "WITH late AS MATERIALIZED (SELECT pg_advisory_xact_lock(7)), state AS"
    )
    late = late.replace(
        "SELECT r.last_position FROM relay_state r WHERE", "SELECT r.last_position FROM relay_state r, late WHERE"
    ).replace("FOR UPDATE SKIP", "FOR UPDATE OF r SKIP")

    async def number_late() -> Any:
        return commands.Numbered(*(await database.write_row(late, 10, 0) or ()))

    async def has_begun() -> bool:
        return await rows(database, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") != []

    async with database.transaction() as gate:
        await gate.execute(text("SELECT pg_advisory_xact_lock(7)"))
        slow = asyncio.create_task(number_late())
        await until(has_begun)
        assert (await number_events(database)).count == 3
    overtaken = await slow
    assert (overtaken.last_position, overtaken.count, overtaken.is_held_back) == (0, 0, True)
    assert await rows(database, "SELECT position FROM outbox_event ORDER BY id") == [(1,), (2,), (3,)]
    assert await rows(database, "SELECT last_position FROM relay_state") == [(3,)]


async def test_the_next_numbers_take_the_note_along(database: Database, ground: Ground) -> None:
    await write_events(database, ground, ground.provider, range(3))
    await number_events(database)
    await write_events(database, ground, new_id(), [3])
    assert (await number_events(database, published=3)).published_position == 0
    assert await rows(database, "SELECT last_position, published_position FROM relay_state") == [(4, 3)]
    await mark_published(database, 2)
    assert await rows(database, "SELECT published_position FROM relay_state") == [(3,)]
    await mark_published(database, 4)
    assert await rows(database, "SELECT published_position FROM relay_state") == [(4,)]


async def test_nothing_is_read_again_while_all_goes_well(
    database: Database, ground: Ground, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, read = valkey.event_stream(), []

    async def note_and_read(*asked: Any) -> list[tuple[int, bytes]]:
        read.append(asked)
        return await bodies_after(*asked)

    async with beside(Relay(database, stream).run()):
        await write_events(database, ground, ground.provider, [0])
        await until(lambda: all_published(database))
        monkeypatch.setattr(relay, "bodies_after", note_and_read)
        for number in range(1, 30):
            await write_events(database, ground, ground.provider, [number])
            await stream.ring()
        await until(lambda: all_published(database))
    assert await stream.last_position() == 30
    assert len(read) < 10, "of 29; a relay that believes another to be slow reads, too"


async def all_published(database: Database) -> bool:
    query = (
        "SELECT last_position = published_position AND NOT EXISTS (SELECT FROM outbox_event WHERE position IS NULL)"
        " FROM relay_state"
    )
    return await rows(database, query) == [(True,)]
