"""All who look at the same thing share one source: one reading, one fold, one object of each update."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain import live
from app.domain.errors import BadInput, NotFound
from app.domain.live_codec import Cursor
from app.domain.live_update import EventKind
from app.domain.presence import look_of_search
from app.resolvers import live_source
from app.resolvers.context import Services
from app.resolvers.event_feed import QUEUE_LIMIT
from app.resolvers.live_hub import LiveHub
from tests.factories import make
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi, log_statements
from tests.fixtures_live import Guest, RunningRelay, publish
from tests.listening import Listener, answered, search_in, until, until_it_shows
from tests.shop import Shop, at

DAY = at(3, 0)
TEN = at(3, 10)
MANY = 200


@pytest.fixture
def services(running: RunningApi) -> Iterator[Services]:
    """As another process has them: with sources of its own."""
    own = replace(running.api.services, live=LiveHub())
    yield own
    own.live.close()


async def heard(services: Services, relay: RunningRelay) -> None:
    """Everything has a number, and the process knows of it."""
    await services.feed.wait_for(await relay.catch_up())
    await asyncio.sleep(0.02)


async def test_many_come_and_one_reads(
    services: Services, guest: Guest, shop: Shop, relay: RunningRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = search_in(shop, DAY)
    folds: list[Any] = []

    def counted(*arguments: Any) -> live.Step:
        folds.append(arguments)
        return applied(*arguments)

    applied = live.apply
    monkeypatch.setattr(live, "apply", counted)
    await heard(services, relay)
    log, stop = log_statements(services.database)
    try:
        crowd = [Listener() for _ in range(MANY)]
        await asyncio.gather(*(one.join(services.live.availability(services, search)) for one in crowd))
        read = len(log)
    finally:
        stop()
    # Whom to listen to: enter, plan. What there is: enter, plan, claims.
    assert read == 5
    assert {id(one.updates[0]) for one in crowd} == {id(crowd[0].updates[0])}
    await guest.hold(TEN)
    await guest.hold(TEN + timedelta(hours=1))
    shown, _ = await answered(services, search)
    await until_it_shows(crowd[-1], shown)
    assert len(folds) == 2
    for number in (1, 2):
        assert {id(one.updates[number]) for one in crowd} == {id(crowd[0].updates[number])}

    # Each comes back to what it missed, without a look into the database.
    log, stop = log_statements(services.database)
    try:
        for place, cursor in enumerate((*(update.cursor for update in crowd[0].updates), None)):
            late = Listener(shown=dict(crowd[0].past[place][1]) if cursor else {})
            await late.join(services.live.availability(services, search), cursor)
            assert late.shown == shown
            assert late.updates == (crowd[0].updates[place + 1 :] if cursor else late.updates)
        assert len(log) == 0
    finally:
        stop()


async def test_after_a_restart_many_come_back_and_one_replays(
    services: Services, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    search = search_in(shop, DAY)
    await heard(services, relay)
    before, cursor = await answered(services, search)
    for minute in (0, 60, 120):
        held = await guest.hold(TEN + timedelta(minutes=minute))
    await guest.release(held)
    await heard(services, relay)
    log, stop = log_statements(services.database)
    try:
        crowd = [Listener(shown=dict(before)) for _ in range(MANY)]
        await asyncio.gather(*(one.join(services.live.availability(services, search), cursor) for one in crowd))
        read = len(log)
    finally:
        stop()
    assert read == 5 + 3  # besides: enter, where the log stands, what was missed
    assert [update.causes[0].name for update in crowd[0].updates] == ["HELD", "HELD", "HELD", "RELEASED"]
    for number in range(4):
        assert {id(one.updates[number]) for one in crowd} == {id(crowd[0].updates[number])}
    shown, _ = await answered(services, search)
    assert all(one.shown == shown and not one.resyncs for one in crowd)


async def test_a_burst_becomes_one_update(services: Services, guest: Guest, shop: Shop, relay: RunningRelay) -> None:
    search = search_in(shop, DAY)
    hub = services.live
    at_once, slowly, late = Listener(), Listener(), Listener()
    await at_once.join(hub.availability(services, search))
    paced = hub.availability(services, search, 500)
    assert paced is hub.availability(services, search, 500)
    await slowly.join(paced)
    await relay.pause()
    for minute in (0, 60, 120, 180):
        held = await guest.hold(TEN + timedelta(minutes=minute))
    await guest.release(held)
    relay.start()
    await heard(services, relay)
    shown, _ = await answered(services, search)
    await until_it_shows(at_once, shown)
    assert len(at_once.updates) == 6
    # The first change is told at once; on a slow machine half a second may be over by now.
    assert len(slowly.updates) in {2, 3}
    # Somebody comes in the midst of it: the others are told what waits, and nobody hears of anything twice.
    await late.join(paced)
    assert slowly.shown == late.shown == shown
    assert len(slowly.updates) == 3
    last = slowly.updates[-1]
    assert ([cause.name for cause in last.causes], last.cursor) == (["HELD", "RELEASED"], at_once.updates[-1].cursor)
    await asyncio.sleep(0.55)
    assert [len(slowly.updates), len(late.updates)] == [3, 1]
    await guest.release(await guest.hold(TEN + timedelta(hours=5)))
    await until(lambda: slowly.cursor == at_once.cursor and len(at_once.updates) == 8)
    assert slowly.shown == at_once.shown == late.shown

    # One who lags gets everything as it is; what waits for the others is told before.
    whole = paced.resync()
    assert (whole.kind, {slot.starts_at for slot in whole.updated}) == (EventKind.RESYNC, set(slowly.shown))
    paced.leave(slowly)
    paced.leave(late)
    paced.leave(late)
    for pace in (-1, 501, 2**31 - 1):
        with pytest.raises(BadInput) as refused:
            hub.availability(services, search, pace)
        assert [one.path for one in refused.value.violations] == ["coalesceMs"]


async def test_a_source_ends_after_its_last_listener_and_can_begin_again(
    services: Services, guest: Guest, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_source, "LINGER_S", 0.05)
    search = search_in(shop, DAY, days=2)
    channel = services.live.availability(services, search)
    one, two = Listener(), Listener()
    await one.join(channel)
    await two.join(channel)
    assert list(services.live.looks()) == [(look_of_search(search), 2)]
    channel.leave(one)
    channel.leave(two)
    assert list(services.live.looks()) == []
    await asyncio.sleep(0.15)
    await guest.hold(TEN)
    assert len(one.updates) == 1
    await two.join(channel, two.cursor)
    shown, _ = await answered(services, search)
    await until_it_shows(two, shown)
    assert two.resyncs == 0
    services.live.close()
    assert two.has_ended
    assert two.error is not None


async def test_who_cannot_follow_and_what_cannot_be_read(
    services: Services, client: GraphQLClient, guest: Guest, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = search_in(shop, DAY)
    channel = services.live.availability(services, search)
    one, two = Listener(), Listener()
    await one.join(channel)
    await two.join(services.live.availability(services, search, 100))
    # The feed lost its place: everybody gets everything.
    [subscription] = {each for group in services.feed._subscriptions.values() for each in group} & {
        source.run.subscription for source in services.live._running
    }
    assert QUEUE_LIMIT
    subscription.cut_off(services.feed.position)
    await guest.hold(TEN)
    shown, _ = await answered(services, search)
    for listener in (one, two):
        await until_it_shows(listener, shown)
        assert listener.resyncs == 1
    # Off: who looks sees that nothing is free any more; nobody else may begin to look.
    owner = client.signed_in(shop.owner.token)
    await make(owner, "deactivateService", serviceId=shop.service_id)
    await until_it_shows(one, {})
    with pytest.raises(NotFound):
        await Listener().join(channel)
    await make(owner, "reactivateService", serviceId=shop.service_id)
    await until_it_shows(one, shown)

    async def away(*_arguments: Any) -> Any:
        raise OSError("the database is away")

    monkeypatch.setattr("app.resolvers.live_availability.read_plan", away)
    await publish(client, shop, [])
    await until(lambda: one.has_ended and two.has_ended)
    assert one.has_ended
    assert two.has_ended
    assert isinstance(one.error, OSError)
    with pytest.raises(OSError, match="away"):
        await Listener().join(channel)
    monkeypatch.undo()
    fresh = Listener()
    await fresh.join(channel)
    assert fresh.shown == {}


async def test_who_comes_finds_what_time_has_changed(
    services: Services, guest: Guest, shop: Shop, clock: MovableClock
) -> None:
    """However late a timer is: what is due is told before anybody comes in."""
    search = search_in(shop, DAY)
    channel = services.live.availability(services, search)
    before, cursor = await answered(services, search)
    one, two = Listener(), Listener(shown=dict(before))
    await one.join(channel)
    await guest.hold(TEN)
    await until(lambda: len(one.updates) == 2)
    clock.move(timedelta(minutes=11))
    await two.join(channel, cursor)
    assert [update.causes[0].name for update in two.updates] == ["HELD", "RELEASED"]
    told = [(update.opened, update.closed, update.causes) for update in one.updates[1:]]
    assert told == [(update.opened, update.closed, update.causes) for update in two.updates]
    assert one.shown == two.shown == before


async def test_cursors_of_events_that_never_were(services: Services, guest: Guest, shop: Shop) -> None:
    """Ids of no event of ours are forgotten; what they stand for is told like anything else."""
    search = search_in(shop, DAY)
    channel = services.live.availability(services, search)
    shown, cursor = await answered(services, search)
    own = Cursor.decode(cursor)
    strange = [
        replace(own, seen=own.seen | {1, 2**62}),
        replace(own, at=own.at + timedelta(seconds=9)),
        replace(own, seen=own.seen | {2**63 - 1}),
    ]
    listeners = []
    for one in strange:
        listener = Listener(shown=dict(shown))
        await listener.join(channel, one.encode())
        assert listener.updates == []
        listeners.append(listener)
    await guest.hold(TEN)
    shown, _ = await answered(services, search)
    for listener in listeners:
        await until_it_shows(listener, shown)
        assert (len(listener.updates), listener.resyncs) == (1, 0)
    for hostile in (replace(own, position=2**63 - 1), replace(own, at=own.at + timedelta(days=1)), Cursor(0, own.at)):
        listener = Listener()
        await listener.join(channel, hostile.encode())
        assert [update.kind for update in listener.updates] in ([EventKind.RESYNC], [EventKind.SNAPSHOT]), hostile
        assert listener.shown == shown
