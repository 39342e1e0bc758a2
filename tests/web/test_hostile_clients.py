"""Clients that send without end and read nothing: what they cost stays small, and nothing of them stays behind."""

from __future__ import annotations

import asyncio
import gc
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from app.domain.errors import NotFound
from app.web.clients import ClientLimits
from app.web.frames import HIGH_WATER_BYTES, MOST_MESSAGES, FrameProtocol
from app.web.graphql import TransportOptions
from app.web.graphql.websocket import Socket
from tests.web.graphql_server import (
    RunningServer,
    close_code,
    initialise,
    receive_json,
    running_server,
    subscribe,
    until,
)
from tests.web.live_world import WORLD, live_engine

KINDS = pytest.mark.parametrize("ws", [FrameProtocol, "websockets-sansio"], ids=["frames", "asgi"])
PATIENT = TransportOptions(client_limits=ClientLimits(0, 0, operations_per_client=20), send_timeout_s=60)


@asynccontextmanager
async def deaf(server: RunningServer) -> AsyncIterator[tuple[ClientConnection, Socket]]:
    """A client that reads nothing after it was acknowledged, with little room on the way to it; and who serves it."""
    plain = sockets.socket()
    plain.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    plain.connect(("127.0.0.1", server.port))
    plain.setblocking(False)
    protocols = [Subprotocol("graphql-transport-ws")]
    async with connect(f"ws://127.0.0.1:{server.port}/graphql", sock=plain, subprotocols=protocols) as client:
        await initialise(client)
        (served,) = server.transport.sockets._sockets
        transport: Any = served._receive.__self__.transport  # type: ignore[attr-defined]
        transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 4_096)
        client.transport.pause_reading()
        yield client, served
        client.transport.abort()


async def test_pings_without_end_are_not_all_answered() -> None:
    """Frames of the kind that the server answers by itself, before anybody counts."""
    pings = b"".join(Frame(Opcode.PING, b"x" * 125).serialize(mask=True) for _ in range(500))
    async with running_server(PATIENT, ws=FrameProtocol) as server, deaf(server) as (client, served):
        for _ in range(16):
            client.transport.write(pings)
            await asyncio.sleep(0)
        await until(lambda: client.transport.get_write_buffer_size() == 0)
        await asyncio.sleep(0.05)
        assert served._outlet.waiting_bytes() < HIGH_WATER_BYTES + 300_000  # of one read


@KINDS
async def test_refused_operations_of_one_who_reads_nothing_are_not_heaped_up(ws: Any) -> None:
    """Each has ended when its refusal waits to be sent; so none of them counts as under way."""
    WORLD.__init__()  # type: ignore[misc]
    async with running_server(PATIENT, engine=live_engine(), ws=ws) as server:
        before = set(asyncio.all_tasks())
        async with deaf(server) as (client, served):
            await subscribe(client, "a", 'subscription{board(name:"x"){lines}}')
            await until(lambda: len(WORLD.board("x").listeners) == 1)
            while not served._outlet.is_full:
                WORLD.board("x").say("x" * 10_000)
                await asyncio.sleep(0)
            asking = asyncio.create_task(ask_in_vain(client, 1_000))
            await asyncio.sleep(0.5)
            assert len(asyncio.all_tasks() - before) < 60
            asking.cancel()
        await until(lambda: server.transport.sockets.open_sockets == 0)
        await until(lambda: not operations_left())


async def ask_in_vain(client: ClientConnection, times: int) -> None:
    for number in range(times):
        await client.send(message("subscribe", str(number), "{nothing}"))
        await asyncio.sleep(0)  # each arrives by itself


def message(kind: str, operation_id: str, query: str | None = None) -> str:
    payload = {} if query is None else {"payload": {"query": query}}
    return msgspec.json.encode({"type": kind, "id": operation_id, **payload}).decode()


def operations_left() -> list[Any]:
    return [task for task in asyncio.all_tasks() if "_operate" in str(task.get_coro())]


async def test_an_operation_that_its_client_ended_says_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it opens: however it takes its end, its id may be another's. And such ends are not heaped up."""
    WORLD.__init__()  # type: ignore[misc]

    async def join(_listener: Any, _after: str | None) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.02)
            raise NotFound from None

    monkeypatch.setattr(WORLD.board("x"), "join", join)
    async with running_server(PATIENT, engine=live_engine()) as server, server.socket() as client:
        await initialise(client)
        most = 0
        for _ in range(60):
            await subscribe(client, "a", 'subscription{board(name:"x"){lines}}')
            await asyncio.sleep(0)
            await client.send(message("complete", "a"))
            await asyncio.sleep(0)
            most = max(most, len(operations_left()))
        assert most <= 21
        await subscribe(client, "a", "{hello}")
        assert await receive_json(client) == {"id": "a", "type": "next", "payload": {"data": {"hello": "hello world"}}}
        assert await receive_json(client) == {"id": "a", "type": "complete"}
        await until(lambda: not operations_left())
        await client.send('{"type":"ping"}')
        assert await receive_json(client) == {"type": "pong"}


async def test_thousands_of_small_messages_at_once_are_no_conversation() -> None:
    """What arrives in one piece is taken apart at once: small messages take many times the memory of their bytes."""
    pings = Frame(Opcode.TEXT, b'{"type":"ping"}').serialize(mask=True)
    async with running_server(PATIENT, ws=FrameProtocol) as server:
        async with deaf(server) as (client, served):
            while not served._outlet.is_full:
                served._outlet.put(b'{"type":"ping","payload":', b'{"x":"%b"}}' % (b"x" * 10_000))
                await asyncio.sleep(0)
            waiting: asyncio.Queue[Any] = served._receive.__self__.queue  # type: ignore[attr-defined]
            client.transport.write(pings * 4_000)
            await until(lambda: waiting.qsize() > MOST_MESSAGES)
            await asyncio.sleep(0.1)
            assert waiting.qsize() <= MOST_MESSAGES + 5
        await until(lambda: server.transport.sockets.open_sockets == 0)
        async with server.socket() as client:
            await initialise(client)
            client.transport.write(pings * 500)
            for _ in range(500):
                assert await receive_json(client) == {"type": "pong"}
            client.transport.write(pings * 4_000)
            assert await close_code(client) == (1008, "Too many messages at once")


@KINDS
async def test_those_who_come_and_go_leave_little_behind(ws: Any) -> None:
    """The clock knows each until the moment for which it was set, but not what it was made of."""
    async with running_server(PATIENT, ws=ws) as server:
        for _ in range(20):
            async with server.socket() as client:
                await initialise(client)
        await until(lambda: server.transport.sockets.open_sockets == 0)
        for _ in range(50):  # the last of them may still be on its way out
            await asyncio.sleep(0.05)
            gc.collect()
            made = [one for one in gc.get_objects() if isinstance(one, WebSocketsSansIOProtocol)]
            left = [one for one in made if one.config is server.server.config]  # not those of other tests
            if len(left) <= 2:
                break
        assert len(left) <= 2
