"""How many sockets and streams one client may have, and what a client is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from app.domain.errors import BadInput, RateLimited
from app.web.clients import ENDS_PER_SECOND, ClientLimits, Clients, Restarting, read_own_id
from app.web.event_stream import EVENT_STREAM
from app.web.graphql import TransportOptions
from tests.web.graphql_server import (
    RunningServer,
    close_code,
    receive_json,
    running_server,
    send_json,
    subscribe,
    until,
)

LIMITS = ClientLimits(connections_per_client=2, connections_per_address=6, operations_per_client=3)


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(TransportOptions(client_limits=LIMITS)) as running:
        yield running


async def opened(server: RunningServer, stack: AsyncExitStack, **payload: str) -> ClientConnection:
    """A socket, acknowledged or refused."""
    socket = await stack.enter_async_context(server.socket())
    await send_json(socket, {"type": "connection_init", "payload": payload})
    return socket


async def streamed(server: RunningServer, stack: AsyncExitStack, own_id: str | None = None, **headers: str) -> Any:
    """The answer to one who asks for a stream."""
    asked = {"query": "subscription{ticks}", **({"clientId": own_id} if own_id else {})}
    wanted = {"accept": EVENT_STREAM, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await stack.enter_async_context(server.client.stream("GET", "/graphql", params=asked, headers=wanted))


async def is_acknowledged(socket: ClientConnection) -> bool:
    return bool((await receive_json(socket))["type"] == "connection_ack")


async def test_of_a_signed_in_user_sockets_and_streams_count_together(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        first = await opened(server, stack, authorization="Bearer ana")
        assert await is_acknowledged(first)
        assert (await streamed(server, stack, authorization="Bearer ana")).status_code == 200
        third = await opened(server, stack, authorization="Bearer ana")
        assert await close_code(third) == (
            4429,
            "Too many sockets and streams: at most 2 for one client. Try again in 5 s",
        )
        refused = await streamed(server, stack, authorization="Bearer ana")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        await refused.aread()
        [error] = refused.json()["errors"]
        assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfterSeconds": 5}
        assert await is_acknowledged(await opened(server, stack, authorization="Bearer ben"))
        await first.close()
        await until(lambda: len(server.transport.clients) == 2)
        assert await is_acknowledged(await opened(server, stack, authorization="Bearer ana"))
    await until(lambda: len(server.transport.clients) == 0)


async def test_tablets_behind_one_address_count_each_for_itself(server: RunningServer) -> None:
    """Nobody is signed in: those who name themselves are told apart, the others only bounded by their address."""
    async with AsyncExitStack() as stack:
        for own_id in ("tablet-1", "tablet-1", "tablet-2"):
            assert await is_acknowledged(await opened(server, stack, clientId=own_id))
        assert (await close_code(await opened(server, stack, clientId="tablet-1")))[0] == 4429
        await until(lambda: len(server.transport.clients) == 3)
        assert (await streamed(server, stack, x_client_id="tablet-1")).status_code == 429
        assert (await streamed(server, stack, "tablet-2")).status_code == 200
        for _ in range(2):
            assert await is_acknowledged(await opened(server, stack))
        seventh = await stack.enter_async_context(server.socket())
        code, reason = await close_code(seventh)
        assert (code, reason.startswith("Too many sockets and streams: at most 6 for one address")) == (4429, True)
        assert (await streamed(server, stack)).status_code == 429


async def test_an_own_id_does_not_make_one_user_another(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        for token in ("ana", "ana", "ben", "ben"):
            assert await is_acknowledged(
                await opened(server, stack, authorization=f"Bearer {token}", clientId="the-same")
            )
        refused = await opened(server, stack, authorization="Bearer ana", clientId="the-same")
        assert (await close_code(refused))[0] == 4429


async def test_operations_of_a_client_count_on_all_its_sockets(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        one, two = [await opened(server, stack, authorization="Bearer ana") for _ in range(2)]
        assert await is_acknowledged(one)
        assert await is_acknowledged(two)
        for operation_id in "ab":
            await subscribe(one, operation_id, "subscription{ticks}")
            await receive_json(one)
        await subscribe(two, "c", "subscription{ticks}")
        await receive_json(two)
        await subscribe(two, "d", "subscription{ticks}")
        refused = await receive_json(two)
        assert (refused["id"], refused["type"]) == ("d", "error")
        assert refused["payload"][0]["extensions"] == {"code": "RATE_LIMITED", "retryAfterSeconds": 5}
        await send_json(one, {"id": "a", "type": "complete"})
        await send_json(one, {"type": "ping"})
        assert await receive_json(one) == {"type": "pong"}
        await subscribe(two, "d", "subscription{ticks}")
        assert (await receive_json(two))["type"] == "next"


@pytest.mark.parametrize("own_id", ["", "x" * 65, "a b", "é", "a\0", 5, ["a"]])
async def test_ids_that_are_none(server: RunningServer, own_id: Any) -> None:
    async with server.socket() as socket:
        await send_json(socket, {"type": "connection_init", "payload": {"clientId": own_id}})
        assert (await close_code(socket))[0] == 4400


@pytest.mark.parametrize("query", [b"clientId=a%20b", b"clientId=%C3%A9", b"clientId=" + b"x" * 65, b"clientId=%00"])
def test_ids_of_streams_that_are_none(query: bytes) -> None:
    with pytest.raises(BadInput):
        read_own_id({}, query)
    assert read_own_id({"x-client-id": "a"}, query) == "a"
    assert read_own_id({}, b"query=x&clientId=b-1") == "b-1"
    assert read_own_id({}, b"") is None


async def test_a_stream_with_an_id_that_is_none(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        refused = await streamed(server, stack, x_client_id="a b")
        assert refused.status_code == 400
        await refused.aread()
        assert refused.json()["errors"][0]["extensions"]["violations"][0]["path"] == "clientId"


def test_the_books_are_even_in_the_end() -> None:
    clients = Clients(LIMITS)
    with ExitStack() as stack:
        visits = [stack.enter_context(clients.visit("10.0.0.1", lambda: None)) for _ in range(6)]
        with pytest.raises(RateLimited), clients.visit("10.0.0.1", lambda: None):
            pass
        with clients.visit(None, lambda: None), clients.visit("10.0.0.2", lambda: None):
            visits[0].identify("u", None)
            visits[1].identify("u", None)
            with pytest.raises(RateLimited):
                visits[2].identify("u", None)
            visits[2].identify("u", "mine")
            assert len(clients) == 8
    assert len(clients) == 0
    assert not clients._per_address
    assert not clients._per_client


async def test_the_end_is_spread() -> None:
    """As many as come in one tenth of a second, one after another; and not longer than allowed."""
    clients, ended = Clients(), []
    loop = asyncio.get_running_loop()
    count = ENDS_PER_SECOND // 10
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(clients.visit(None, lambda: ended.append(loop.time())))
        began = loop.time()
        await clients.drain(10)
        assert len(ended) == count
        assert ended[count // 2] - began > 0.03
        assert ended[-1] - began > 0.08
        assert all(earlier <= later for earlier, later in pairwise(ended))
        with pytest.raises(Restarting), clients.visit(None, lambda: None):
            pass
        took = []
        for _ in range(5):  # the machine may have something else to do at one of these moments
            ended.clear()
            began = loop.time()
            await clients.drain(0)
            assert len(ended) == count
            took.append(loop.time() - began)
        assert min(took) < 0.05
