"""An entry of the waitlist, live: its position, its offer, its end, and what a client missed."""

from __future__ import annotations

import pytest

from tests.classes import Class, make_class
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import RunningRelay
from tests.live_client import LiveStream, OperationFailed, live_socket
from tests.shop import at
from tests.waiting import ENTRY, waiting

WATCH = f"""
subscription ($id: ID, $token: String, $after: String) {{
  waitlistEntry(id: $id, accessToken: $token, after: $after) {{ kind cursor type entry {{ {ENTRY} }} }} }}
"""


@pytest.fixture
async def yoga(running: RunningApi, client: GraphQLClient, relay: RunningRelay) -> Class:
    assert relay is not None
    return await make_class(client, running.api.services, capacity=1)


async def told(stream: LiveStream) -> tuple[str, str, int | None]:
    event = await stream.next()
    return event["type"], event["entry"]["status"], event["entry"]["position"]


async def test_from_the_end_of_the_line_to_an_offer(running: RunningApi, client: GraphQLClient, yoga: Class) -> None:
    session = await yoga.at(at(3, 9))
    booked = await yoga.booked(session["id"])
    first, second = [await waiting(client, sessionId=session["id"]) for _ in range(2)]
    async with live_socket(running.socket_url) as socket:
        stream = await socket.subscribe(WATCH, token=second.token)
        snapshot = await stream.next()
        assert (snapshot["kind"], snapshot["entry"]["position"]) == ("SNAPSHOT", 2)
        await stream.nothing()
        await yoga.guest.cancel(booked, accessToken=booked.token)
        assert await told(stream) == ("waitlist.moved", "WAITING", 1)
        await first.decline(await first.offered())
        assert await told(stream) == ("waitlist.offered", "OFFERED", None)
        await stream.nothing()
        await second.accept(yoga.shop, await second.offered())
        assert await told(stream) == ("waitlist.accepted", "ACCEPTED", None)
        again = await socket.subscribe(WATCH, token=second.token, after=snapshot["cursor"])
        types = [(await again.next())["type"] for _ in range(3)]
        assert types == ["waitlist.offered", "waitlist.accepted", "waitlist.moved"]


async def test_a_stranger_hears_nothing(running: RunningApi, client: GraphQLClient, yoga: Class) -> None:
    session = await yoga.at(at(3, 9))
    await yoga.booked(session["id"])
    first, second = [await waiting(client, sessionId=session["id"]) for _ in range(2)]
    for variables in ({"id": first.id}, {"id": first.id, "token": second.token}, {"token": "nonsense"}):
        async with live_socket(running.socket_url) as socket:
            stream = await socket.subscribe(WATCH, **variables)
            with pytest.raises(OperationFailed) as failed:
                await stream.next()
            assert failed.value.code == "NOT_FOUND"
