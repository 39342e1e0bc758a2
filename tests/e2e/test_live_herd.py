"""Many come back at once, to a process that lags or remembers nothing: what all of them need is asked once."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain import live
from app.domain.live_codec import Cursor
from app.domain.live_update import AvailabilityUpdate
from app.resolvers import live_entrance
from app.resolvers.context import Services
from app.resolvers.live_hub import LiveHub
from app.resolvers.slot_fold import SlotUpdate
from tests.fixtures_api import GraphQLClient, RunningApi, log_statements, make_settings, serve
from tests.fixtures_live import Guest, RunningRelay
from tests.listening import Listener, answered, search_in, until
from tests.shop import Shop, at, make_shop
from tests.slot_watching import Looker, the_slot

DAY = at(3, 0)
TEN = at(3, 10)
MANY = 40
TO_BEGIN = 5
"""Statements: whom to listen to (enter, plan), what there is (enter, plan, claims)."""


async def test_cursors_that_are_ahead_of_the_process(
    running: RunningApi, late: Services, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    search = search_in(shop, DAY)
    await late.feed.wait_for(await relay.catch_up())
    await Listener().join(late.live.availability(late, search))
    await guest.hold(TEN)
    position = await relay.catch_up()
    shown, cursor = await answered(running.api.services, search)
    own = Cursor.decode(cursor)
    assert own.position == position
    cursors = [replace(own, at=own.at + timedelta(microseconds=number)).encode() for number in range(MANY)]
    channel = late.live.availability(late, search)
    log, stop = log_statements(late.database)
    try:
        crowd = [Listener(shown=dict(shown)) for _ in cursors]
        await asyncio.gather(*(one.join(channel, cursor) for one, cursor in zip(crowd, cursors, strict=True)))
        assert len(log) <= 6, "each of them asks where the log stands"
    finally:
        stop()
    assert [one.updates for one in crowd] == [[]] * MANY


async def test_cursors_that_are_too_old(
    running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = replace(running.api.services, live=LiveHub())
    search = search_in(shop, DAY)
    _, cursor = await answered(services, search)
    own = Cursor.decode(cursor)
    for number in range(3):
        await guest.hold(TEN + timedelta(hours=number))
    await services.feed.wait_for(await relay.catch_up())
    monkeypatch.setattr(live_entrance, "REPLAY_LIMIT", 2)
    cursors = [replace(own, at=own.at + timedelta(microseconds=number)).encode() for number in range(MANY)]
    channel = services.live.availability(services, search)
    log, stop = log_statements(services.database)
    try:
        crowd = [Listener() for _ in cursors]
        await asyncio.gather(*(one.join(channel, cursor) for one, cursor in zip(crowd, cursors, strict=True)))
        assert len(log) <= TO_BEGIN + 3, "each of them asks what it missed"
    finally:
        stop()
    shown, _ = await answered(services, search)
    assert [(one.resyncs, one.shown == shown) for one in crowd] == [(1, True)] * MANY
    services.live.close()


async def test_who_is_told_apart_is_told_in_time(
    database_url: str, redis_url: str, client: GraphQLClient, relay: RunningRelay
) -> None:
    """No relay runs: somebody has seen a hold that the others have not heard of. For them it lapses, too."""
    async with serve(make_settings(database_url, redis_url, hold_ttl_s=2)) as quick:
        services, shop = quick.api.services, await make_shop(quick.api.services)
        search = search_in(shop, DAY)
        await services.feed.wait_for(await relay.catch_up())
        channel = services.live.availability(services, search)
        there, apart = Listener(), Listener()
        await there.join(channel)
        await relay.pause()
        await Guest(GraphQLClient(client.http, quick.graphql_url), shop).hold(TEN)
        shown, cursor = await answered(services, search)
        apart.remember(shown, cursor)
        await apart.join(channel, cursor)
        assert not apart.updates
        await until(lambda: bool(apart.updates))
        assert [update.causes[0].name for update in apart.updates] == ["RELEASED"]
        assert apart.shown == there.shown
        channel.leave(there)
        channel.leave(apart)


async def test_a_long_replay_lets_others_go_on(
    running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = replace(running.api.services, live=LiveHub())
    search = search_in(shop, DAY)
    before, cursor = await answered(services, search)
    for number in range(3):
        await guest.hold(TEN + timedelta(hours=number))
    await services.feed.wait_for(await relay.catch_up())
    folded_in: set[int] = set()

    def noted(*arguments: Any) -> live.Step:
        folded_in.add(threading.get_ident())
        return applied(*arguments)

    applied = live.apply
    monkeypatch.setattr(live, "apply", noted)
    monkeypatch.setattr(live_entrance, "EVENTS_AT_ONCE", 2)
    listener = Listener(shown=dict(before))
    await listener.join(services.live.availability(services, search), cursor)
    assert len(listener.updates) == 3
    assert threading.get_ident() not in folded_in
    services.live.close()


class Turns:
    """Did the loop do something else between two calls?"""

    def __init__(self) -> None:
        self.went_on: list[bool] = []
        self._did = True

    def note(self) -> None:
        self.went_on.append(self._did)
        self._did = False
        asyncio.get_running_loop().call_soon(setattr, self, "_did", True)


async def test_others_go_on_while_many_events_are_told(late: Services, guest: Guest, shop: Shop) -> None:
    """They come at once when Valkey was away; each of them may have thousands of listeners."""
    of_list, of_slot = Turns(), Turns()

    class Noting(Listener):
        def told(self, update: AvailabilityUpdate) -> None:
            super().told(update)
            of_list.note()

    class NotingLooker(Looker):
        def told(self, update: SlotUpdate) -> None:
            super().told(update)
            of_slot.note()

    await Noting().join(late.live.availability(late, search_in(shop, DAY)))
    await NotingLooker().join(late, the_slot(shop))
    for _ in range(2):
        await guest.release(await guest.hold(TEN))
    await until(lambda: len(of_list.went_on) == len(of_slot.went_on) == 5)
    assert of_list.went_on == of_slot.went_on == [True] * 5
