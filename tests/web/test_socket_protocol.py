"""graphql-transport-ws where clients are odd, but within the rules of WebSockets; and where they are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from app.web.availability_stream import availability_routes
from app.web.clients import ClientLimits
from app.web.event_stream import EVENT_STREAM
from app.web.graphql import TransportOptions
from tests.web.graphql_server import (
    RunningServer,
    close_code,
    initialise,
    receive_json,
    running_server,
    send_json,
    subscribe,
    until,
)

HELLO = {"data": {"hello": "hello world"}}


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[RunningServer]:
    limits = ClientLimits(connections_per_client=2, connections_per_address=0)
    async with running_server(TransportOptions(client_limits=limits)) as running:
        yield running


async def hello(socket: Any, operation_id: str) -> None:
    """The operation's whole answer, and nothing before it."""
    assert await receive_json(socket) == {"id": operation_id, "type": "next", "payload": HELLO}
    assert await receive_json(socket) == {"id": operation_id, "type": "complete"}


async def test_a_message_in_pieces_is_one_message(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        whole = '{"type":"subscribe","id":"ñ","payload":{"query":"{hello}"}}'.encode()
        pieces = [whole[:25], whole[25:26], b"", whole[26:]]  # also in the middle of a character
        for number, piece in enumerate(pieces):
            opcode = Opcode.CONT if number else Opcode.TEXT
            socket.transport.write(Frame(opcode, piece, fin=number == len(pieces) - 1).serialize(mask=True))
            socket.transport.write(Frame(Opcode.PING, b"between").serialize(mask=True))
        await hello(socket, "ñ")


@pytest.mark.parametrize("text", [b'{"type":"ping\xff"}', b'{"type":"ping","payload":{"a":"\xed\xa0\x80"}}', b"\xc3"])
async def test_text_that_is_none_is_1007(server: RunningServer, text: bytes) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        socket.transport.write(Frame(Opcode.TEXT, text).serialize(mask=True))
        assert (await close_code(socket))[0] == 1007


async def test_a_frame_beyond_all_bounds_is_1009_before_it_is_read(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        socket.transport.write(bytes((0x81, 0x80 | 127)) + (1 << 40).to_bytes(8, "big") + b"mask")
        assert (await close_code(socket))[0] == 1009


async def test_ids_are_given_back_as_they_were(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        for operation_id in ("\0", '"}', "a\r\n\r\nb", "\u2028", "😀" * 128, " "):
            await subscribe(socket, operation_id, "{hello}")
            await hello(socket, operation_id)


async def test_an_id_is_free_as_soon_as_its_operation_is_over(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        for _ in range(3):
            await subscribe(socket, "a", "subscription{ticks}")
            assert (await receive_json(socket))["type"] == "next"
            await send_json(socket, {"id": "a", "type": "complete"})
            await subscribe(socket, "a", "{hello}")
            await hello(socket, "a")
            await subscribe(socket, "a", "{nothing}")
            assert (await receive_json(socket))["type"] == "error"
        for _ in range(5):  # before it has begun
            await subscribe(socket, "a", "subscription{ticks}")
            await send_json(socket, {"id": "a", "type": "complete"})
        await send_json(socket, {"id": "unheard of", "type": "complete"})
        await subscribe(socket, "a", "{hello}")
        await hello(socket, "a")
    await until(lambda: server.witness.streams_open == 0)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["graphql-ws"], None),
        (["graphql-ws", "graphql-transport-ws"], "graphql-transport-ws"),
        (["GRAPHQL-TRANSPORT-WS"], None),
    ],
)
async def test_the_old_protocol_is_not_spoken(server: RunningServer, offered: list[str], chosen: str | None) -> None:
    names = [Subprotocol(name) for name in offered]
    async with connect(f"ws://127.0.0.1:{server.port}/graphql", subprotocols=names) as socket:
        assert socket.subprotocol == chosen
        if chosen is None:
            assert (await close_code(socket))[0] == 4406
        else:
            await initialise(socket)


@pytest.mark.parametrize("path", ["/", "/availability/x/stream", "/nothing"])
async def test_sockets_elsewhere_are_refused(path: str, caplog: pytest.LogCaptureFixture) -> None:
    options = TransportOptions()

    async def nothing(*_: object) -> Any: ...

    async with running_server(options, more_routes=[*availability_routes(nothing, None, options)]) as server:  # type: ignore[arg-type]
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{server.port}{path}", subprotocols=[Subprotocol("graphql-transport-ws")])
        assert 400 <= refused.value.response.status_code < 500
    assert not [record for record in caplog.records if record.exc_info]


# ── whatever becomes of a client, its place is free again ────────────────────────────────────────────────────


async def test_no_way_out_keeps_a_place(server: RunningServer) -> None:
    clients = server.transport.clients
    await until(lambda: len(clients) == 0)

    async def streamed(query: str, **headers: str) -> int:
        named = {"accept": EVENT_STREAM, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = await server.client.get("/graphql", params={"query": query}, headers=named)
        return answer.status_code

    for token in ("Bearer ana", "Bearer unknown", "Bearer outage", "Bearer broken"):
        async with server.socket() as socket:
            await send_json(socket, {"type": "connection_init", "payload": {"authorization": token}})
            with suppress(ConnectionClosed):
                await subscribe(socket, "a", "subscription{ticks}")
                await receive_json(socket)
        await streamed("subscription{count(to:1)}", authorization=token)
        await streamed("subscription{nothing}", authorization=token)
        await streamed("subscription{breaks}", authorization=token)
    for headers in ({"x_client_id": "a b"}, {"origin": "https://elsewhere.example"}, {"authorization": "Basic x"}):
        await streamed("subscription{count(to:1)}", **headers)
    async with AsyncExitStack() as stack:
        for _ in range(4):  # two of them one too many
            socket = await stack.enter_async_context(server.socket())
            await send_json(socket, {"type": "connection_init", "payload": {"authorization": "Bearer ana"}})
        await until(lambda: len(clients) == 2)
        assert await streamed("subscription{count(to:1)}", authorization="Bearer ana") == 429
    for how in ("close", "abort", "legacy"):
        socket = await server.socket(subprotocol=None if how == "legacy" else "graphql-transport-ws")
        if how == "abort":
            socket.transport.abort()
        await socket.close()
    await until(lambda: len(clients) == 0)
    assert (dict(clients._per_address), clients._per_client, server.transport.sockets.open_sockets) == ({}, {}, 0)
    await asyncio.sleep(0)
    assert server.witness.streams_open == 0
