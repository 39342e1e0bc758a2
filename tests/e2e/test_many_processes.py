"""Any process serves any client: two APIs on one database, each with connections, a feed and caches of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.faults.cutting import cable
from tests.faults.witness import SocketWitness
from tests.fixtures_api import GraphQLClient, RunningApi, make_settings, serve
from tests.fixtures_live import Guest, publish, search_of, watching
from tests.schema import operations as op
from tests.shop import Shop, at

DAY = at(4, 0)
TEN = at(4, 10)
CUTS = 12


@pytest.fixture
async def other(database_url: str, redis_url: str) -> AsyncIterator[RunningApi]:
    async with serve(make_settings(database_url, redis_url)) as api:
        yield api


async def test_what_one_process_did_another_tells_and_a_third_party_goes_on(
    running: RunningApi, other: RunningApi, guest: Guest, shop: Shop, http: httpx.AsyncClient
) -> None:
    """A cursor of one process is good at the other; so are holds, links and access tokens."""
    asked = search_of(shop, DAY)
    elsewhere = Guest(GraphQLClient(http, other.graphql_url), shop)
    async with watching(other.socket_url, asked) as there:
        await there.next("SNAPSHOT")
        held = await guest.hold(TEN)
        assert (await there.change("HELD"))[1]
        there.screen.shows(await guest.search(asked))
    booked = await elsewhere.book(held)
    await guest.cancel(booked)
    await elsewhere.hold(at(4, 12))
    async with watching(running.socket_url, asked, there.screen.cursor) as here:
        here.screen = there.screen
        assert [(await here.next())["causes"] for _ in range(2)] == [["CANCELLED"], ["HELD"]]
        here.screen.shows(await elsewhere.search(asked))
    assert await elsewhere.client.signed_in(shop.owner.token)("{ viewer { id } }")


async def test_what_one_process_has_remembered_of_a_schedule_is_not_older_than_the_other(
    client: GraphQLClient, other: RunningApi, guest: Guest, shop: Shop, http: httpx.AsyncClient
) -> None:
    """Both have answered before, so both remember; then the hours change through one of them."""
    asked = search_of(shop, DAY)
    there = GraphQLClient(http, other.graphql_url)
    for _ in range(2):
        assert (await there(op.AVAILABILITY, {"input": asked}))["days"] == (await guest.search(asked))["days"]
    hours = [{"weekday": day, "open": [{"start": "10:00", "end": "11:00"}]} for day in WEEKDAYS]
    await publish(client, shop, hours)
    found = await there(op.AVAILABILITY, {"input": asked})
    assert [len(day["starts"]) for day in found["days"]] == [3]


WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")


async def test_a_screen_that_is_cut_off_and_comes_to_either_process(
    running: RunningApi, other: RunningApi, guest: Guest, shop: Shop
) -> None:
    """In the middle of frames; each time it resumes at the process that it happens to reach."""
    asked, chance = search_of(shop, DAY), random.Random(3)
    ports = [int(api.url.rpartition(":")[2]) for api in (running, other)]
    async with cable(ports[0], chance, (0.02, 0.1)) as line:
        screen = SocketWitness(f"ws://127.0.0.1:{line.port}/graphql", asked)
        watch = asyncio.create_task(screen.watch())
        await screen.has_begun.wait()
        changes = 0
        async with asyncio.timeout(30):
            while line.cuts < CUTS:
                line.target = ports[line.cuts % 2]
                held = await guest.hold(TEN)
                await guest.release(held)
                changes += 2
            line.is_whole = True
            while len(screen.told) < changes:  # noqa: ASYNC110 (a list that another task fills)
                await asyncio.sleep(0.02)
        watch.cancel()
        await asyncio.wait([watch])
    assert [causes for _, _, causes in screen.told] == [["HELD"], ["RELEASED"]] * (changes // 2)
    assert (screen.screen.resyncs, screen.failures) == (0, [])
    screen.screen.shows(await guest.search(asked))
