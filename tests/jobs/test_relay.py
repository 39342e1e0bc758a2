"""The relay's order, in the presence of slow commits, several relays and servers that come and go."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from app.adapters.valkey import Valkey
from app.commands.relay import number_events
from app.core.database import Database, Tx
from app.core.ids import new_id
from app.jobs import relay
from app.jobs.relay import Relay
from app.queries.event import decode_event, last_position
from tests.jobs.ground import Ground, rows, write_event, write_events
from tests.jobs.loops import beside, until
from tests.jobs.valkey_server import ValkeyServer


async def number_all(database: Database) -> int:
    total = 0
    while True:
        count = (await number_events(database)).count
        if count == 0:
            return total
        total += count


async def numbered(database: Database, after: int = 0) -> list[tuple[int, int]]:
    """(position, number) in order."""
    query = "SELECT position, (payload ->> 'number')::int FROM outbox_event WHERE position > :after ORDER BY position"
    return [(row[0], row[1]) for row in await rows(database, query, after=after)]


async def test_positions_are_contiguous_from_one(database: Database, ground: Ground) -> None:
    await write_events(database, ground, ground.provider, range(25))
    assert (await number_events(database, batch=10)).count == 10
    assert await number_all(database) == 15
    assert await numbered(database) == [(n + 1, n) for n in range(25)]
    async with database.transaction() as tx:
        assert await last_position(tx) == 25


async def test_nothing_to_do_leaves_the_state_alone(database: Database, ground: Ground) -> None:
    await write_events(database, ground, ground.provider, range(3))
    await number_all(database)
    before = await rows(database, "SELECT xmin::text, * FROM relay_state")
    assert await number_all(database) == 0
    assert [row[2:] for row in await rows(database, "SELECT xmin::text, * FROM relay_state")] == [
        row[2:] for row in before
    ]


async def test_a_slow_commit_is_not_skipped(database: Database, ground: Ground) -> None:
    async with AsyncExitStack() as slow:
        tx = await slow.enter_async_context(database.transaction())
        slow_id = await write_event(tx, ground, new_id(), 100)
        await write_events(database, ground, ground.provider, range(5))
        assert await number_all(database) == 0, "an older transaction is open"
        seen_so_far = await numbered(database)
    assert seen_so_far == []
    await number_all(database)
    found = await rows(database, "SELECT position FROM outbox_event WHERE id = :id", id=slow_id)
    assert found == [(1,)]
    assert [position for position, _ in await numbered(database)] == [1, 2, 3, 4, 5, 6]


async def test_a_reader_by_position_misses_nothing(database: Database, ground: Ground) -> None:
    """Writers whose commits overtake each other; a reader that never looks back."""
    writers = 8
    each = 30
    dice = random.Random(7)

    async def write(writer: int) -> None:
        for turn in range(each):
            async with database.transaction() as tx:
                await write_event(tx, ground, ground.provider, writer * each + turn)
                await asyncio.sleep(dice.random() * 0.01)

    seen: list[int] = []

    async def read() -> None:
        position = 0
        while len(seen) < writers * each:
            await number_all(database)
            query = (
                "SELECT position, (payload ->> 'number')::int FROM outbox_event WHERE position > :p ORDER BY position"
            )
            for place, number in await rows(database, query, p=position):
                assert place == position + 1
                position = place
                seen.append(number)
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await asyncio.gather(read(), *(write(writer) for writer in range(writers)))
    assert sorted(seen) == list(range(writers * each))
    for writer in range(writers):
        own = [number for number in seen if number // each == writer]
        assert own == sorted(own), "one writer's events stay in order"


async def test_two_changes_of_one_object_keep_their_order(database: Database, ground: Ground) -> None:
    """The object's lock decides. A transaction may be old and get the lock late; its event still comes after."""
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(database.transaction())
        await rows_in(old, "SELECT pg_current_xact_id()")
        bystander = await stack.enter_async_context(database.transaction())
        await rows_in(bystander, "SELECT pg_current_xact_id()")
        async with database.transaction() as young:
            await rows_in(young, "SELECT id FROM provider FOR UPDATE")
            await write_event(young, ground, ground.provider, 1)
        await rows_in(old, "SELECT id FROM provider FOR UPDATE")
        await write_event(old, ground, ground.provider, 2)
        await old.commit()
        await number_all(database)
        early = await numbered(database)
        await bystander.commit()
    await number_all(database)
    assert early == [], "the second may not be numbered before the first"
    assert [number for _, number in await numbered(database)] == [1, 2]


async def test_two_relays_number_each_event_once(database: Database, ground: Ground, valkey: Valkey) -> None:
    relays = [Relay(database, valkey.event_stream()) for _ in range(3)]
    total = 300

    async def write(first: int) -> None:
        await write_events(database, ground, new_id(), range(first, total, 6))

    async with beside(*(relay.run() for relay in relays)):
        await asyncio.gather(*(write(first) for first in range(6)))
        await until(lambda: all_numbered(database))
        found = await numbered(database)
        assert [position for position, _ in found] == list(range(1, total + 1))
        assert sorted(number for _, number in found) == list(range(total))
        await until(lambda: all_published(database))


async def test_the_stream_has_every_event_once_in_order(
    database: Database, ground: Ground, valkey: Valkey, valkey_server: ValkeyServer, installation: UUID
) -> None:
    async with beside(*(Relay(database, valkey.event_stream()).run() for _ in range(2))):
        await write_events(database, ground, ground.provider, range(40))
        await until(lambda: all_published(database))
    client = Redis.from_url(valkey_server.url)
    entries = await client.xrange(f"turnero:{installation}:events")
    await client.aclose()
    events = [decode_event(fields[b"e"]) for _, fields in entries]
    assert [entry_id for entry_id, _ in entries] == [f"{n}-0".encode() for n in range(1, 41)]
    assert [event.position for event in events] == list(range(1, 41))
    assert [event.payload["number"] for event in events] == list(range(40))
    assert {event.organization_id for event in events} == {ground.organization}


async def test_a_ring_is_heard_at_once(
    database: Database, ground: Ground, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the next look."""
    monkeypatch.setattr(relay, "LOOK_EVERY_S", 3.0)
    stream = valkey.event_stream()
    await write_events(database, ground, ground.provider, [0])
    async with beside(Relay(database, stream).run()):
        await until(lambda: all_published(database))
        waits = []
        for number in range(1, 8):
            await asyncio.sleep(0.03)
            await write_events(database, ground, ground.provider, [number])
            await stream.ring()
            waits.append(await until(lambda: all_numbered(database)))
    assert sorted(waits)[3] < 1.5, waits


async def test_without_valkey_numbers_go_on_and_publishing_resumes(
    database: Database, ground: Ground, valkey: Valkey, valkey_server: ValkeyServer, installation: UUID
) -> None:
    async with beside(Relay(database, valkey.event_stream()).run()):
        await write_events(database, ground, ground.provider, range(5))
        await until(lambda: all_published(database))
        valkey_server.kill()
        await write_events(database, ground, ground.provider, range(5, 10))
        await until(lambda: all_numbered(database))
        assert not await all_published(database)
        valkey_server.start()
        assert await until(lambda: all_published(database)) < 10
    client = Redis.from_url(valkey_server.url)
    ids = [entry_id for entry_id, _ in await client.xrange(f"turnero:{installation}:events")]
    await client.aclose()
    assert ids == [f"{n}-0".encode() for n in range(6, 11)]


async def test_a_stream_of_an_undone_history_is_begun_anew(
    database: Database, ground: Ground, valkey: Valkey, installation: UUID
) -> None:
    stream = valkey.event_stream()
    stream.attach(installation)
    await stream.publish([(500, b"{}")])
    await write_events(database, ground, ground.provider, range(3))
    async with beside(Relay(database, stream).run()):
        await until(lambda: all_published(database))
    assert await stream.last_position() == 3


async def test_it_outlives_a_database_that_throws_everyone_out(
    database: Database, ground: Ground, valkey: Valkey, fresh_database_url: str
) -> None:
    own = Database(fresh_database_url, role="turnero_system", pool_size=4, application_name="doomed")
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'doomed'"
    admin = Database(fresh_database_url, role=None, pool_size=1)
    async with beside(Relay(own, valkey.event_stream()).run()):
        for turn in range(3):
            await write_events(database, ground, ground.provider, [turn])
            await until(lambda: all_published(database))
            await rows(admin, kill)
        await write_events(database, ground, ground.provider, [3])
        assert await until(lambda: all_published(database)) < 10
    await own.dispose()
    await admin.dispose()


async def rows_in(tx: Tx, query: str) -> None:
    await tx.execute(text(query))


async def all_numbered(database: Database) -> bool:
    return await rows(database, "SELECT 1 FROM outbox_event WHERE position IS NULL LIMIT 1") == []


async def all_published(database: Database) -> bool:
    query = (
        "SELECT last_position = published_position AND NOT EXISTS (SELECT FROM outbox_event WHERE position IS NULL)"
        " FROM relay_state"
    )
    return await rows(database, query) == [(True,)]
