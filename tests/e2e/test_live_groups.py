"""Who watches a session sees a party grow and shrink, and a private group take it whole."""

from __future__ import annotations

import pytest

from tests.classes import Class, make_class
from tests.e2e.test_live_session import watching
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import RunningRelay
from tests.groups import booked_as, change
from tests.live_client import live_socket
from tests.schema import operations as op
from tests.shop import at


@pytest.fixture
async def yoga(running: RunningApi, client: GraphQLClient, relay: RunningRelay) -> Class:
    assert relay is not None
    return await make_class(client, running.api.services)


async def test_a_party_that_grows_and_shrinks(running: RunningApi, yoga: Class) -> None:
    session = await yoga.at(at(3, 9))
    made = await booked_as(yoga, await yoga.held(session["id"], 3))
    async with watching(running.socket_url, session["id"]) as watch, live_socket(running.socket_url) as socket:
        assert (await watch.next("SNAPSHOT"))[0] == 7
        booking = await socket.subscribe(op.WATCH_BOOKING, id=made.id, token=made.token)
        assert (await booking.next())["kind"] == "SNAPSHOT"
        await change(yoga.client, "addParticipants", made, unnamed=2)
        assert await watch.next() == (5, "BOOKED")
        told = await booking.next()
        assert (told["type"], told["booking"]["partySize"]) == ("booking.participants_added", 5)
        await change(yoga.client, "removeParticipants", made, unnamed=4)
        assert await watch.next() == (9, "CANCELLED")
        assert (await booking.next())["type"] == "booking.participants_removed"


async def test_a_private_group(running: RunningApi, yoga: Class) -> None:
    session = await yoga.at(at(3, 9))
    async with watching(running.socket_url, session["id"]) as watch:
        assert (await watch.next("SNAPSHOT"))[0] == 10
        held = await yoga.held(session["id"], 6, isPrivate=True)
        assert await watch.next() == (0, "HELD")
        await yoga.staff("changeSessionCapacity", session["id"], capacity=12)
        await yoga.guest.release(held)
        remaining, causes = 0, set()
        while remaining == 0:
            remaining, cause = await watch.next()
            causes.add(cause)
        assert (remaining, causes >= {"RELEASED"}) == (12, True)
