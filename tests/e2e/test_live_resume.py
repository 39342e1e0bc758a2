"""Coming back by cursor: nothing missed, nothing twice, or a new snapshot where that cannot be had."""

from __future__ import annotations

import asyncio
import base64
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.commands.purge import purge_events
from app.domain.live_codec import MAXIMUM_SEEN, Cursor
from tests.factories import make
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi
from tests.fixtures_live import Guest, RunningRelay, publish, search_of, watching
from tests.live_client import OperationFailed, Screen, SocketLost, live_socket
from tests.schema import operations as op
from tests.shop import Shop, at, iso, make_shop

DAY = at(3, 0)
TEN = at(3, 10)
CUTS = 50


def screen_of(availability: dict[str, Any]) -> Screen:
    """What the query answered, to be kept up to date from its cursor on."""
    screen = Screen()
    days = availability["days"]
    slots = [slot for day in days for slot in day["slots"]]
    opened = [start for day in days for start in day["starts"]]
    screen.show({"kind": "SNAPSHOT", "opened": opened, "closed": [], "updated": slots, "causes": [], "cursor": ""})
    screen.cursor = availability["cursor"]
    return screen


async def test_the_query_hands_over_to_the_subscription(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY)
    await guest.hold(DAY)
    screen = screen_of(await guest.search(asked))
    held = await guest.hold(TEN)
    await guest.release(held)
    await guest.hold(TEN + timedelta(hours=1))
    async with watching(running.socket_url, asked, screen.cursor) as watcher:
        watcher.screen = screen
        assert [(await watcher.next())["causes"] for _ in range(3)] == [["HELD"], ["RELEASED"], ["HELD"]]
        await guest.hold(TEN)
        await watcher.change("HELD")
        await watcher.stream.nothing()
        screen.shows(await guest.search(asked))


async def test_the_hand_over_while_nothing_has_a_number(
    running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    """Events that the query has seen before they were numbered are not told again; those after it are, once."""
    asked = search_of(shop, DAY)
    await relay.catch_up()
    await relay.pause()
    before = await guest.hold(DAY)
    await guest.hold(DAY + timedelta(hours=1))
    screen = screen_of(await guest.search(asked))
    assert screen.cursor is not None
    assert len(Cursor.decode(screen.cursor).seen) >= 2
    await guest.release(before)
    await guest.hold(TEN)
    async with watching(running.socket_url, asked, screen.cursor) as watcher:
        watcher.screen = screen
        await guest.hold(TEN + timedelta(hours=2))
        await watcher.stream.nothing()
        relay.start()
        causes = [(await watcher.next())["causes"][0] for _ in range(3)]
        assert causes == ["RELEASED", "HELD", "HELD"]
        await watcher.stream.nothing()
        screen.shows(await guest.search(asked))
        assert screen.cursor is not None
        assert not Cursor.decode(screen.cursor).seen


async def test_a_snapshot_while_nothing_has_a_number(
    running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    asked = search_of(shop, DAY)
    await relay.catch_up()
    await relay.pause()
    held = await guest.hold(TEN)
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")
        relay.start()
        await watcher.stream.nothing()
        await guest.release(held)
        await watcher.change("RELEASED")
        screen = watcher.screen
        await relay.pause()
    await guest.hold(TEN)
    # Back while still nothing has a number, then once more when it has.
    async with watching(running.socket_url, asked, screen.cursor) as watcher:
        await watcher.stream.nothing()
    relay.start()
    await relay.catch_up()
    async with watching(running.socket_url, asked, screen.cursor) as watcher:
        watcher.screen = screen
        await watcher.change("HELD")
        await watcher.stream.nothing()
        screen.shows(await guest.search(asked))


async def test_more_waits_for_numbers_than_a_cursor_can_carry(
    running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    asked = search_of(shop, DAY)
    await relay.catch_up()
    await relay.pause()

    async def hold_and_release(number: int) -> None:
        for _ in range(MAXIMUM_SEEN // 20 + 1):
            await guest.release(await guest.hold(DAY + timedelta(minutes=45 * number)))

    await asyncio.gather(*(hold_and_release(number) for number in range(10)))
    cursor = (await guest.search(asked))["cursor"]
    async with watching(running.socket_url, asked, cursor) as watcher:
        await watcher.next("RESYNC")
        relay.start()
        await watcher.stream.nothing()
        await guest.hold(TEN)
        await watcher.change("HELD")
        assert watcher.screen.cursor is not None
        watcher.screen.shows(await guest.search(asked))


async def test_what_was_missed_comes_event_by_event(
    running: RunningApi, guest: Guest, shop: Shop, clock: MovableClock
) -> None:
    """A hold that lapsed meanwhile, too."""
    asked = search_of(shop, DAY)
    screen = screen_of(await guest.search(asked))
    booked = await guest.book(await guest.hold(TEN))
    await guest.move(booked, TEN + timedelta(hours=1))
    await guest.cancel(booked)
    await guest.hold(TEN + timedelta(hours=2))
    clock.move(timedelta(minutes=11))
    async with watching(running.socket_url, asked, screen.cursor) as watcher:
        watcher.screen = screen
        causes = [(await watcher.next())["causes"] for _ in range(6)]
        assert causes == [["HELD"], ["RESCHEDULED"], ["RESCHEDULED"], ["CANCELLED"], ["HELD"], ["RELEASED"]]
        await watcher.stream.nothing()
        screen.shows(await guest.search(asked))


async def test_each_cursor_on_the_way_resumes_just_there(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY)
    cursor = (await guest.search(asked))["cursor"]
    for number in range(4):
        held = await guest.hold(TEN + timedelta(hours=number))
    await guest.release(held)
    async with watching(running.socket_url, asked, cursor) as watcher:
        events = [await watcher.stream.next() for _ in range(5)]
    for count, event in enumerate(events, start=1):
        async with watching(running.socket_url, asked, event["cursor"]) as watcher:
            again = [await watcher.stream.next() for _ in range(5 - count)]
            assert again == events[count:]
            await watcher.stream.nothing(0.1)


async def test_a_change_of_configuration_while_away_is_a_resync(
    running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    """At a process that has no source of it any more: one that has tells the change, as to those who stayed."""

    async def heard() -> None:
        await running.api.services.feed.wait_for(await relay.catch_up())
        running.api.services.live.close()

    asked = search_of(shop, DAY)
    owner = client.signed_in(shop.owner.token)
    weekday = DAY.strftime("%A").upper()
    hours = [{"weekday": weekday, "open": [{"start": "09:00", "end": "11:00"}], "breaks": []}]
    for number in range(3):
        cursor = (await guest.search(asked))["cursor"]
        if number == 0:
            await publish(client, shop, hours)
        elif number == 1:
            await make(owner, "updateService", serviceId=shop.service_id, priceMinor=1_700)
        else:
            await make(owner, "createProvider", venueId=shop.venue_id, name="New", serviceIds=[shop.service_id])
        await heard()
        async with watching(running.socket_url, asked, cursor) as watcher:
            await watcher.next("RESYNC")
            watcher.screen.shows(await guest.search(asked))
            await watcher.stream.nothing()
            await guest.release(await guest.hold(TEN))
            await watcher.change("HELD")
            await watcher.change("RELEASED")
    # One of the providers ceases to offer it: heard of although nobody follows that one any more.
    cursor = (await guest.search(asked))["cursor"]
    await make(owner, "deactivateProvider", providerId=shop.provider_id)
    await heard()
    async with watching(running.socket_url, asked, cursor) as watcher:
        await watcher.next("RESYNC")
        watcher.screen.shows(await guest.search(asked))


async def test_the_events_of_others_do_not_make_a_cursor_old(
    running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    asked = search_of(shop, DAY)
    quiet = await make_shop(running.api.services)
    quiet_asked = search_of(quiet, DAY)
    quiet_guest = Guest(client, quiet)
    screen = screen_of(await quiet_guest.search(quiet_asked))
    for _ in range(3):
        await guest.release(await guest.hold(TEN))
    await quiet_guest.hold(TEN)
    async with watching(running.socket_url, quiet_asked, screen.cursor) as watcher:
        watcher.screen = screen
        await watcher.change("HELD")
        await watcher.stream.nothing(0.2)

    # Deleted events do, whoever's they were: nobody can tell any more.
    old = (await guest.search(asked))["cursor"]
    await guest.hold(DAY)
    await relay.catch_up()
    async with relay.database.transaction() as tx:
        # Also those of tests that moved their clock ahead.
        assert await purge_events(tx, timedelta(days=-1_000), batch=1_000_000) > 0
    fresh = (await guest.search(asked))["cursor"]
    async with watching(running.socket_url, asked, old) as watcher:
        await watcher.next("RESYNC")
        watcher.screen.shows(await guest.search(asked))
    await guest.hold(TEN)
    async with watching(running.socket_url, asked, fresh) as watcher:
        event = await watcher.stream.next()
        assert (event["kind"], event["causes"]) == ("CHANGE", ["HELD"])


async def test_cursors_that_are_not_ours(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY)
    own = Cursor.decode((await guest.search(asked))["cursor"])
    of_others = [
        Cursor(own.position + 1_000_000, own.at),
        Cursor(2**63 - 1, own.at, frozenset({1, 2**63 - 1})),
        Cursor(own.position, own.at + timedelta(days=1)),
    ]
    for cursor in of_others:
        async with watching(running.socket_url, asked, cursor.encode()) as watcher:
            await watcher.next("RESYNC")
            watcher.screen.shows(await guest.search(asked))
    ahead = replace(own, at=own.at + timedelta(seconds=3))
    async with watching(running.socket_url, asked, ahead.encode()) as near:
        await near.stream.nothing(0.2)  # another process, whose clock is a little ahead
        held = await guest.hold(TEN)
        assert (await near.stream.next())["causes"] == ["HELD"]
    await guest.release(held)

    def packed(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    hostile = ["", "x", "🙂", "A" * 100_000, packed("1.-1.0."), packed("2.0.0."), packed("1.1.1.0"), packed("1.1e9.1.")]
    hostile += [packed(f"1.{10**30}.1."), packed("1.1.1." + "1," * 5_000 + "1"), "null", packed("1.1.1.g"), "MS4x\n"]
    for text in hostile:
        async with live_socket(running.socket_url) as socket:
            stream = await socket.subscribe(op.WATCH_AVAILABILITY, input=asked, after=text)
            with pytest.raises(OperationFailed) as failed:
                await stream.next()
            assert failed.value.code == "BAD_INPUT", text
            violations = failed.value.errors[0]["extensions"]["violations"]
            assert [violation["path"] for violation in violations] == ["after"], text


@dataclass(slots=True)
class Restless:
    """A subscriber whose cable is pulled again and again."""

    url: str
    asked: dict[str, Any]
    screen: Screen
    events: list[dict[str, Any]] = field(default_factory=list)
    cuts: int = 0

    async def watch(self, chance: random.Random) -> None:
        """Until it was cut CUTS times."""
        while self.cuts < CUTS:
            async with watching(self.url, self.asked, self.screen.cursor) as watcher:
                for _ in range(chance.randint(0, 4)):
                    with suppress(TimeoutError, SocketLost):
                        await self.take(await watcher.stream.next(0.1))
                watcher.stream.socket.cut()
                self.cuts += 1
            await asyncio.sleep(chance.choice((0, 0, 0.02, 0.1)))

    async def take(self, event: dict[str, Any]) -> None:
        self.screen.show(event)
        self.events.append(told(event))


def told(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "cursor"}


async def keep_busy(guest: Guest, chance: random.Random, rest: Restless, rows: list[datetime]) -> None:
    """Hold, release, book, move and cancel, in rows of the day that are this guest's own."""
    while rest.cuts < CUTS:
        first, second = chance.sample(rows, 2)
        held = await guest.hold(first)
        if chance.random() < 0.3:
            await guest.release(held)
            continue
        booked = await guest.book(held)
        if chance.random() < 0.5:
            await guest.move(booked, second)
        await guest.cancel(booked)
        await asyncio.sleep(chance.random() * 0.05)


async def test_a_subscriber_that_is_cut_fifty_times_sees_every_change_once(
    running: RunningApi, client: GraphQLClient, relay: RunningRelay
) -> None:
    """Beside one that is never cut: both are told the very same, in the same order."""
    assert relay is not None
    shop = await make_shop(running.api.services, providers=2)
    guest = Guest(client, shop)
    asked = search_of(shop, DAY)
    chance = random.Random(20_26)
    availability = await guest.search(asked)
    rest = Restless(running.socket_url, asked, screen_of(availability))
    calm = screen_of(availability)
    calm_events: list[dict[str, Any]] = []
    async with watching(running.socket_url, asked, calm.cursor) as steady:
        work = [
            keep_busy(guest, random.Random(n), rest, [DAY + timedelta(minutes=30 * (n * 6 + k)) for k in range(6)])
            for n in range(6)
        ]
        await asyncio.gather(rest.watch(chance), *work)
        # Both providers: then the start is gone, and nothing comes after that.
        for _provider in shop.provider_ids:
            await guest.hold(at(3, 23))
        await relay.catch_up()
        while iso(at(3, 23)) in calm.starts:
            event = await steady.stream.next(20)
            calm.show(event)
            calm_events.append(told(event))
    async with watching(running.socket_url, asked, rest.screen.cursor) as last:
        while iso(at(3, 23)) in rest.screen.starts:
            await rest.take(await last.stream.next(20))
    assert (rest.cuts, rest.screen.resyncs, calm.resyncs) == (CUTS, 0, 0)
    assert len(calm_events) > CUTS
    assert rest.events == calm_events
    found = await guest.search(asked)
    rest.screen.shows(found)
    calm.shows(found)
