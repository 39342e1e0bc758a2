"""Who looks at a slot through a channel: whenever they come back, and to whichever process, nothing is told that was
different before, and what many ask is read once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from app.core.database import Tx
from app.core.ids import IdKind, decode_id
from app.domain.live import AvailabilityCause
from app.domain.live_codec import Cursor
from app.domain.live_update import EventKind
from app.ports import StreamUnavailable
from app.resolvers.context import RequestContext, Services
from app.resolvers.live_slot_session import PlacesWanted
from app.resolvers.slot_watch import slot_channel
from tests.classes import make_class
from tests.factories import make
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi, log_statements
from tests.fixtures_live import Guest, RunningRelay, before, in_time
from tests.journey import rows_of
from tests.listening import until
from tests.shop import Shop, at
from tests.slot_watching import Looker, process, the_slot

TEN = at(3, 10)
MANY = 40


class CountingDatabase:
    """How many read at once."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.reading = self.most = 0

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Tx]:
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            async with self._database.snapshot() as tx:
                yield tx
        finally:
            self.reading -= 1


async def test_who_has_seen_more_than_this_process_is_told_nothing_of_before(
    running: RunningApi, late: Services, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    wanted, here = the_slot(shop), process(running)
    await late.feed.wait_for(await relay.catch_up())
    there = await Looker().join(late, wanted)
    one = await Looker().join(here, wanted)
    held = await guest.hold(TEN)
    await until(lambda: len(one.updates) == 2)
    back = await Looker(cursor=one.cursor).join(late, wanted)
    assert back.updates == []
    await until(lambda: len(there.updates) == 2)
    await guest.release(held)
    await until(lambda: len(there.updates) == 3)
    assert (there.statuses(), back.statuses()) == (["free", "held", "free"], ["free"])


async def test_a_snapshot_says_where_it_is_of(
    running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    """A cursor that would stay at the last change could be too old to come back with, though nothing was missed."""
    wanted, here = the_slot(shop), process(running)
    one = await Looker().join(here, wanted)
    for minutes in (60, 90):
        await guest.hold(TEN + timedelta(minutes=minutes))
    position = await relay.catch_up()
    await here.feed.wait_for(position)
    async with asyncio.timeout(30):
        while True:  # until the channel has looked at what the process has heard of
            two = await Looker().join(here, wanted)
            assert two.cursor is not None
            if Cursor.decode(two.cursor).position >= position:
                break
            await asyncio.sleep(0.01)
    assert one.statuses() == two.statuses() == ["free"]


async def test_a_channel_that_rested_begins_anew(running: RunningApi, guest: Guest, shop: Shop) -> None:
    """What happened while nobody looked is told to nobody who comes later."""
    wanted, here = the_slot(shop), process(running)
    channel = await slot_channel(RequestContext(services=here, request_id="test"), wanted, None)
    first, second = Looker(), Looker()
    first.told(*await channel.join(first, None))
    channel.leave(first)
    await guest.release(await guest.hold(TEN))
    await guest.hold(TEN + timedelta(hours=2))
    second.told(*await channel.join(second, None))
    channel.leave(second)
    again = await channel.join(second, second.cursor)
    assert [update.look.status.value for update in again] == []
    channel.leave(second)


async def test_many_come_back_to_one_class_and_one_reads(
    running: RunningApi, client: GraphQLClient, relay: RunningRelay
) -> None:
    yoga = await make_class(client, running.api.services)
    session = await yoga.at(at(3, 9))
    wanted = PlacesWanted(decode_id(IdKind.SESSION, session["id"]), 2)
    gone = await Looker().join(process(running), wanted)
    await yoga.held(session["id"], 3)
    await until(lambda: len(gone.updates) == 2)
    here = process(running)
    await here.feed.wait_for(await relay.catch_up())
    channel = await slot_channel(RequestContext(services=here, request_id="test"), wanted, None)
    for cursor, kinds in ((gone.cursor, []), (gone.updates[0].cursor, [EventKind.RESYNC])):
        log, stop = log_statements(here.database)
        try:
            openings = await asyncio.gather(*(channel.join(Looker(), cursor) for _ in range(MANY)))
            assert len(log) <= 40, "it is read for each of them"
        finally:
            stop()
        assert [[update.kind for update in opening] for opening in openings] == [kinds] * MANY


async def test_those_who_come_back_share_what_they_missed(running: RunningApi, guest: Guest, shop: Shop) -> None:
    wanted, here = the_slot(shop), process(running)
    one = await Looker().join(process(running), wanted)
    cursor = one.cursor
    await guest.release(await guest.hold(TEN))
    await until(lambda: len(one.updates) == 3)
    crowd = await asyncio.gather(*(Looker(cursor=cursor).join(here, wanted) for _ in range(MANY)))
    assert {tuple(looker.statuses()) for looker in crowd} == {("held", "free")}
    for number in (0, 1):
        assert {id(looker.updates[number]) for looker in crowd} == {id(crowd[0].updates[number])}


async def test_a_change_of_all_prices_leaves_the_pool_to_others(
    running: RunningApi, client: GraphQLClient, shop: Shop
) -> None:
    database = CountingDatabase(running.api.services.database)
    here = process(running, database=database)
    lookers = [await Looker().join(here, the_slot(shop, TEN + timedelta(hours=hour))) for hour in range(10)]
    database.most = 0
    owner = client.signed_in(shop.owner.token)
    await make(owner, "updateService", serviceId=shop.service_id, priceMinor=2_500)
    await until(lambda: all(len(looker.updates) == 2 for looker in lookers))
    assert {looker.updates[1].look.slot.price_minor for looker in lookers if looker.updates[1].look.slot} == {2_500}
    assert database.most <= 4


async def test_while_nothing_gets_a_number_few_wait_for_it(
    running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    """No relay runs: one who comes back waits half a second, and those after them do not."""
    wanted = the_slot(shop)
    await relay.catch_up()
    await relay.pause()
    await guest.hold(TEN)
    gone = await Looker().join(process(running), wanted)
    assert gone.cursor is not None
    own = Cursor.decode(gone.cursor)
    assert own.seen
    here = process(running)
    there = await Looker().join(here, wanted)
    begun = time.monotonic()
    for number in range(10):
        cursor = replace(own, at=own.at + timedelta(microseconds=number % 5)).encode()
        back = await Looker(cursor=cursor).join(here, wanted)
        assert ([update.kind for update in back.updates], back.statuses()) == ([EventKind.RESYNC], ["held"])
    assert time.monotonic() - begun < 3
    relay.start()
    await guest.hold(TEN + timedelta(hours=6))
    await here.feed.wait_for(await relay.catch_up())
    await asyncio.sleep(0.05)
    assert there.statuses() == back.statuses() == ["held"]
    again = await Looker(cursor=replace(own, at=own.at + timedelta(microseconds=9)).encode()).join(here, wanted)
    assert again.updates == []


async def test_a_session_comes_within_reach_at_midnight(
    running: RunningApi, client: GraphQLClient, relay: RunningRelay, clock: MovableClock
) -> None:
    assert relay is not None
    yoga = await make_class(client, running.api.services)
    session = await yoga.at(at(3, 9))
    reach = "UPDATE activity SET maximum_advance_days = 2, session_horizon_days = 2 WHERE id = :id RETURNING 1"
    await rows_of(yoga.shop, reach, id=yoga.activity_uuid)
    wanted = PlacesWanted(decode_id(IdKind.SESSION, session["id"]), 1)

    async def pass_midnight(_number: int, moment_s: int) -> None:
        clock.move_to(at(1, 0) - timedelta(seconds=moment_s / 2))
        looker = await Looker().join(process(running), wanted)
        before(at(1, 0), clock.now())
        await until(lambda: len(looker.updates) == 2)
        assert looker.statuses() == ["closed", "free"]
        assert looker.updates[1].cause is AvailabilityCause.TIME
        fresh = await Looker().join(process(running), wanted)
        assert fresh.updates[0].look == looker.updates[1].look

    await in_time(pass_midnight)


async def test_who_comes_back_to_a_process_that_hears_nothing_does_not_wait_for_the_others(
    *,
    running: RunningApi,
    late: Services,
    guest: Guest,
    shop: Shop,
    relay: RunningRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted, here = the_slot(shop), process(running)
    await late.feed.wait_for(await relay.catch_up())
    await Looker().join(late, wanted)
    one = await Looker().join(here, wanted)
    await late.feed.stop()
    await guest.hold(TEN)
    await until(lambda: len(one.updates) == 2)
    monkeypatch.setattr(late.feed, "wait_for", partial(late.feed.wait_for, timeout_s=0.4))
    own = Cursor.decode(one.updates[1].cursor)
    cursors = [replace(own, at=own.at + timedelta(microseconds=number // 2)).encode() for number in range(16)]
    begun = time.monotonic()
    found = await asyncio.gather(*(Looker(cursor=one).join(late, wanted) for one in cursors), return_exceptions=True)
    assert {type(error) for error in found} == {StreamUnavailable}
    assert time.monotonic() - begun < 2.6, "eight, one after another, would take longer"
