"""The feed: every event once, in order, whatever happens to Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from uuid import UUID

import pytest

from app.adapters.valkey import Valkey
from app.core.database import Database
from app.core.ids import new_id
from app.jobs.relay import Relay
from app.ports import StreamUnavailable
from app.queries.event import Event, events_of_subjects, last_position
from app.resolvers.event_feed import QUEUE_LIMIT, EventFeed, FeedOverflow, Subscription
from tests.jobs.ground import Ground, rows, write_event, write_events
from tests.jobs.loops import beside, until
from tests.jobs.test_relay import all_published
from tests.jobs.valkey_server import ValkeyServer


@pytest.fixture
async def feed(database: Database, valkey_server: ValkeyServer) -> AsyncIterator[EventFeed]:
    """As in a process of its own: with its own connections to Valkey."""
    valkey = Valkey(valkey_server.url)
    feed = EventFeed(database, valkey.event_stream(), poll_s=0.3, silence_s=1.0)
    await feed.start()
    yield feed
    await feed.stop()
    await valkey.close()


async def collect(subscription: Subscription, into: list[Event]) -> None:
    async for batch in subscription:
        into.extend(batch)


async def has_heard(heard: list[Event], count: int) -> bool:
    """At least so many; then a moment passes, in which no other may come."""
    await asyncio.sleep(0.05)
    return len(heard) >= count


def numbers(events: Iterable[Event]) -> list[int]:
    return [event.payload["number"] for event in events]


async def test_subscribers_hear_of_their_subjects_alone(
    database: Database, ground: Ground, valkey: Valkey, feed: EventFeed
) -> None:
    one, other = new_id(), new_id()
    async with (
        beside(Relay(database, valkey.event_stream()).run()),
        feed.subscribe({one}) as first,
        feed.subscribe({one, other}) as both,
    ):
        await write_events(database, ground, one, [1])
        await write_events(database, ground, other, [2])
        await write_events(database, ground, new_id(), [3])
        await write_events(database, ground, one, [4])
        await feed.wait_for(4, 30)
        assert numbers(await first.next(30)) == [1, 4]
        heard = await both.next(30)
    assert numbers(heard) == [1, 2, 4]
    assert [event.position for event in heard] == [1, 2, 4]
    assert {event.organization_id for event in heard} == {ground.organization}
    assert await first.next(0.01) == []


async def test_an_audience_hears_each_event_once(
    database: Database, ground: Ground, valkey: Valkey, feed: EventFeed
) -> None:
    subject, person, other = new_id(), new_id(), new_id()
    async with (
        beside(Relay(database, valkey.event_stream()).run()),
        feed.subscribe((), {person}) as told,
        feed.subscribe({subject}, {person, other}) as both,
        feed.subscribe({person}) as follower,
    ):
        for number, audience in enumerate(([person], None, [other, person, person], [new_id()], [])):
            await rows(
                database,
                "INSERT INTO outbox_event (organization_id, type, subject_id, payload, audience)"
                " VALUES (:organization, 'x', :subject, jsonb_build_object('number', CAST(:number AS integer)), :told)"
                " RETURNING 1",
                organization=ground.organization,
                subject=subject,
                number=number,
                told=audience,
            )
        await feed.wait_for(5, 30)
        heard = await told.next(30)
        assert numbers(heard) == [0, 2]
        assert [event.audience for event in heard] == [(person,), (other, person, person)]
        assert numbers(await both.next(30)) == [0, 1, 2, 3, 4]
        assert await follower.next(0.01) == []  # whom events are about is another thing
    assert not feed._told


async def test_it_begins_at_the_newest_event(database: Database, ground: Ground, valkey: Valkey) -> None:
    async with beside(Relay(database, valkey.event_stream()).run()):
        await write_events(database, ground, ground.provider, range(5))
        await until(lambda: all_published(database))
        feed = EventFeed(database, valkey.event_stream())
        await feed.start()
        async with feed.subscribe({ground.provider}) as subscription:
            assert subscription.position_at_start == 5
            await write_events(database, ground, ground.provider, [5])
            assert numbers(await subscription.next(30)) == [5]
        await feed.stop()


async def test_each_event_once_in_order_while_valkey_is_killed_and_flushed(
    database: Database, ground: Ground, valkey: Valkey, feed: EventFeed, valkey_server: ValkeyServer
) -> None:
    heard: list[Event] = []
    total = 240

    async def disturb() -> None:
        for _ in range(3):
            await asyncio.sleep(0.4)
            valkey_server.kill()
            await asyncio.sleep(0.4)
            valkey_server.start()

    async def write() -> None:
        for number in range(total):
            await write_events(database, ground, ground.provider, [number])
            await asyncio.sleep(0.01)

    relays = [Relay(database, valkey.event_stream()).run() for _ in range(2)]
    async with beside(*relays), feed.subscribe({ground.provider}) as subscription:
        listener = asyncio.create_task(collect(subscription, heard))
        await asyncio.gather(disturb(), write())
        await feed.wait_for(total, 30)
        await until(lambda: has_heard(heard, total))
        listener.cancel()
    assert [event.position for event in heard] == list(range(1, total + 1))
    assert numbers(heard) == list(range(total))


async def test_a_flushed_stream_costs_delay_alone(
    database: Database, ground: Ground, valkey: Valkey, feed: EventFeed, installation: UUID
) -> None:
    stream = valkey.event_stream()
    stream.attach(installation)
    async with beside(Relay(database, stream).run()), feed.subscribe({ground.provider}) as subscription:
        heard: list[Event] = []
        listener = asyncio.create_task(collect(subscription, heard))
        for round_number in range(10):
            await write_events(database, ground, ground.provider, range(round_number * 5, round_number * 5 + 5))
            await stream.reset()
        await feed.wait_for(50, 30)
        await until(lambda: has_heard(heard, 50))
        listener.cancel()
    assert numbers(heard) == list(range(50))
    assert [event.position for event in heard] == list(range(1, 51))


async def test_without_valkey_it_polls_postgresql(
    database: Database, ground: Ground, valkey: Valkey, feed: EventFeed, valkey_server: ValkeyServer
) -> None:
    async with beside(Relay(database, valkey.event_stream()).run()), feed.subscribe({ground.provider}) as subscription:
        valkey_server.kill()
        await write_events(database, ground, ground.provider, range(10))
        await feed.wait_for(10, 30)
        assert numbers(await subscription.next(30)) == list(range(10))
        valkey_server.start()


async def test_a_server_that_stands_still_is_passed_by(
    database: Database, ground: Ground, valkey: Valkey, feed: EventFeed, valkey_server: ValkeyServer
) -> None:
    async with beside(Relay(database, valkey.event_stream()).run()), feed.subscribe({ground.provider}) as subscription:
        await write_events(database, ground, ground.provider, [0])
        assert numbers(await subscription.next(30)) == [0]
        valkey_server.pause()
        try:
            await write_events(database, ground, ground.provider, [1])
            assert numbers(await subscription.next(30)) == [1]
        finally:
            valkey_server.resume()
        await write_events(database, ground, ground.provider, [2])
        assert numbers(await subscription.next(30)) == [2]


async def test_who_is_too_slow_is_told_once(
    database: Database, ground: Ground, valkey: Valkey, feed: EventFeed
) -> None:
    async with beside(Relay(database, valkey.event_stream()).run()), feed.subscribe({ground.provider}) as subscription:
        async with database.transaction() as tx:
            for number in range(QUEUE_LIMIT + 1):
                await write_event(tx, ground, ground.provider, number)
        await feed.wait_for(QUEUE_LIMIT + 1, 60)
        with pytest.raises(FeedOverflow):
            await subscription.next(30)
        assert subscription.position_at_start == QUEUE_LIMIT + 1
        await write_events(database, ground, ground.provider, [7])
        assert numbers(await subscription.next(30)) == [7]


async def test_an_undone_history_cuts_subscribers_off(
    database: Database, ground: Ground, valkey: Valkey, feed: EventFeed
) -> None:
    """A restored backup: positions are given a second time."""
    async with feed.subscribe({ground.provider}) as subscription:
        async with beside(Relay(database, valkey.event_stream()).run()):
            await write_events(database, ground, ground.provider, range(6))
            await feed.wait_for(6, 30)
            assert numbers(await subscription.next(30)) == list(range(6))
        undo = "WITH gone AS (DELETE FROM outbox_event WHERE position > 3) UPDATE relay_state SET {} RETURNING 1"
        await rows(database, undo.format("last_position = 3, published_position = 3"))
        async with beside(Relay(database, valkey.event_stream()).run()):
            with pytest.raises(FeedOverflow):
                await subscription.next(30)
            assert subscription.position_at_start == 3
            await write_events(database, ground, ground.provider, [10, 11])
            assert numbers(await subscription.next(30))[0] == 10


async def test_a_log_that_was_purged_meanwhile_cuts_subscribers_off(database: Database, feed: EventFeed) -> None:
    """And nothing came after it, from which that could be seen."""
    async with feed.subscribe({new_id()}) as subscription:
        before = subscription.position_at_start
        purged = (
            "UPDATE relay_state SET last_position = {0}, published_position = {0}, purged_position = {0} RETURNING 1"
        )
        await rows(database, purged.format(before + 3))
        with pytest.raises(FeedOverflow):
            await subscription.next(30)
        assert feed.position == subscription.position_at_start == before + 3


async def test_an_event_that_only_the_database_can_tell(
    database: Database, ground: Ground, valkey: Valkey, feed: EventFeed, installation: UUID
) -> None:
    """What another version wrote on the stream is read from PostgreSQL."""
    stream = valkey.event_stream()
    stream.attach(installation)
    async with feed.subscribe({ground.provider}) as subscription:
        await stream.publish([(1, b"not ours")])
        async with beside(Relay(database, stream).run()):
            # The relay takes the stream for one of an undone history, or its XADD is refused: either way it is told.
            await write_events(database, ground, ground.provider, [0])
            assert numbers(await subscription.next(30)) == [0]


async def test_a_feed_without_a_database_waits_for_it(valkey: Valkey) -> None:
    nowhere = Database("postgresql://nobody@/nothing?host=/nonexistent", role=None)
    feed = EventFeed(nowhere, valkey.event_stream())
    await feed.start()
    with pytest.raises(StreamUnavailable):
        await feed.wait_for(0, 0.2)
    await feed.stop()
    await nowhere.dispose()


async def test_events_of_subjects_has_numbered_and_waiting_ones(
    database: Database, ground: Ground, valkey: Valkey
) -> None:
    subject = new_id()
    async with beside(Relay(database, valkey.event_stream()).run()):
        await write_events(database, ground, subject, range(4))
        await write_events(database, ground, new_id(), [99])
        async with EventFeedOf(database, valkey) as feed:
            await feed.wait_for(5, 30)
    await write_events(database, ground, subject, [4, 5])
    async with database.snapshot() as tx:
        assert await last_position(tx) == 5
        found = await events_of_subjects(tx, {subject}, 2)
        assert [event.position for event in found] == [3, 4, None, None]
        assert numbers(found) == [2, 3, 4, 5]
        assert numbers(await events_of_subjects(tx, {subject}, 0, limit=3)) == [0, 1, 2]
        assert await events_of_subjects(tx, set(), 0) == []


class EventFeedOf:
    """A feed for the length of a block."""

    def __init__(self, database: Database, valkey: Valkey) -> None:
        self._feed = EventFeed(database, valkey.event_stream())

    async def __aenter__(self) -> EventFeed:
        await self._feed.start()
        return self._feed

    async def __aexit__(self, *_: object) -> None:
        await self._feed.stop()
