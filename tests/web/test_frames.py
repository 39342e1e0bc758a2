"""Ready frames: what they look like on the wire, their place among other messages, and what of uvicorn they rest on."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from typing import Any, cast

import msgspec
import pytest
import structlog
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from app.core.live_metrics import LIVE
from app.web import frames
from app.web.clients import ClientLimits
from app.web.frames import EXTENSION, HIGH_WATER_BYTES, FrameProtocol, frames_of, text_header
from app.web.graphql import TransportOptions, websocket
from app.web.graphql.alarms import Alarms
from app.web.graphql.outlet import FrameOutlet, SocketGone
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
from tests.web.live_world import WORLD, live_engine

KINDS = pytest.mark.parametrize("ws", [FrameProtocol, "websockets-sansio"], ids=["frames", "asgi"])
LINES = 'subscription{board(name:"x"){kind number lines}}'
UNLIMITED = ClientLimits(0, 0, 0)
SLOW = TransportOptions(client_limits=UNLIMITED, send_timeout_s=0.4)


def live_server(ws: Any, options: TransportOptions | None = None) -> Any:
    WORLD.__init__()  # type: ignore[misc]
    return running_server(options or TransportOptions(client_limits=UNLIMITED), engine=live_engine(), ws=ws)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 4_095, 4_096, 4_097, 65_535, 65_536, 200_000])
def test_the_header_is_that_of_a_text_frame(size: int) -> None:
    frame = Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)
    assert text_header(size) + b"x" * size == frame


def test_what_uvicorn_is() -> None:
    """`FrameProtocol` overrides steps of a class that is not public. Another uvicorn: read that class again, see that
    `app/web/frames.py` still does what it says, then note the new digest here."""
    source = inspect.getsource(WebSocketsSansIOProtocol)
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    assert (uvicorn.__version__, digest) == ("0.54.0", "0bbcec98938432f7")


def test_another_server_has_no_frames() -> None:
    assert frames_of({"type": "websocket"}) is None
    assert frames_of({"extensions": None}) is None
    assert frames_of({"extensions": {EXTENSION: object()}}) is None


@KINDS
async def test_all_sizes_arrive_in_order_between_other_messages(ws: Any) -> None:
    async with live_server(ws) as server, server.socket() as socket:
        await initialise(socket)
        await subscribe(socket, 'é"1', LINES)
        assert (await receive_json(socket))["payload"]["data"]["board"]["kind"] == "SNAPSHOT"
        board = WORLD.board("x")
        sizes = [1, 20, 30, 1_000, 3_990, 4_000, 4_096, 60_000, 65_400, 65_500, 200_000]
        for size in sizes:
            board.say("é" * size)
            await send_json(socket, {"type": "ping", "payload": {"after": size}})
            await asyncio.sleep(0.01)
        got = [await receive_json(socket) for _ in range(2 * len(sizes))]
        lines = [m["payload"]["data"]["board"]["lines"][0] for m in got if m["type"] == "next"]
        assert [len(line) for line in lines] == sizes
        assert set("".join(lines)) == {"é"}
        assert {m["id"] for m in got if m["type"] == "next"} == {'é"1'}
        assert [m["payload"]["after"] for m in got if m["type"] == "pong"] == sizes


@KINDS
async def test_many_sockets_have_no_tasks_of_their_own(ws: Any) -> None:
    async with live_server(ws) as server:
        sockets = [await server.socket() for _ in range(20)]
        for socket in sockets:
            await initialise(socket)
            await subscribe(socket, "a", LINES)
            await receive_json(socket)
        assert (LIVE.open_sockets, LIVE.open_operations, LIVE.open_broadcasts) == (20, 20, 1)
        running = [str(task.get_coro()) for task in asyncio.all_tasks()]
        assert not [name for name in running if "Operations" in name or "Outlet" in name or "Broadcast" in name]
        delivered = LIVE.deliveries
        WORLD.board("x").say("hello")
        assert LIVE.deliveries - delivered == 20
        for socket in sockets:
            assert (await receive_json(socket))["payload"]["data"]["board"]["lines"] == ["hello"]
            await socket.close()
        await until(lambda: (LIVE.open_sockets, LIVE.open_operations, LIVE.open_broadcasts) == (0, 0, 0))
        assert WORLD.board("x").listeners == {}


@KINDS
async def test_an_operation_that_listens_from_start_to_end(ws: Any) -> None:
    async with live_server(ws) as server, server.socket() as socket:
        await initialise(socket)
        for _ in range(2):
            await subscribe(socket, "a", LINES)
            await receive_json(socket)
            await send_json(socket, {"id": "a", "type": "complete"})
        await until(lambda: not WORLD.board("x").listeners)
        await subscribe(socket, "a", LINES)
        await receive_json(socket)
        WORLD.board("x").end()
        assert await receive_json(socket) == {"id": "a", "type": "complete"}
        await subscribe(socket, "a", 'subscription{board(name:"missing"){kind}}')
        refused = await receive_json(socket)
        assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "NOT_FOUND")
        await subscribe(socket, "a", "{hello}")
        assert (await receive_json(socket))["payload"] == {"data": {"hello": "hello world"}}
    await until(lambda: (LIVE.open_operations, LIVE.open_broadcasts) == (0, 0))


async def test_nobody_is_written_to_before_those_who_wait() -> None:
    class Transport:
        """As much of a connection as an outlet looks at."""

        is_full = True
        disconnected = False
        on_change: Any = None

        def __init__(self) -> None:
            self.written: list[bytes] = []

        def write_text(self, head: bytes, tail: bytes) -> bool:
            self.written.append(head + tail)
            return True

    transport = Transport()
    outlet = FrameOutlet(cast("Any", transport))
    refused: list[bool] = []

    def turn(number: int) -> None:
        outlet.put(b"turn", b"%d" % number)
        refused.append(outlet.write(b"and more"))

    for number in range(3):
        outlet.wait(lambda number=number: turn(number))  # type: ignore[misc]
    sent = asyncio.create_task(outlet.send(b"sent"))
    await asyncio.sleep(0)
    transport.is_full = False
    transport.on_change()
    await sent
    assert transport.written == [b"turn0", b"turn1", b"turn2", b"sent"]
    assert refused == [False] * 3
    assert outlet.write(b"now")
    outlet.end()
    with pytest.raises(SocketGone):
        await outlet.send(b"too late")


# ── clients that do not read ─────────────────────────────────────────────────────────────────────────────────


async def fill(server: RunningServer, name: str) -> int:
    """Say so much that the one who does not read has to wait. How many lines that took."""
    for count in range(1, 400):
        WORLD.board(name).say("x" * 100_000)
        await asyncio.sleep(0)
        if any(socket._outlet.is_full for socket in server.transport.sockets._sockets):
            return count
    raise AssertionError("all of it went somewhere")


@KINDS
async def test_a_slow_reader_misses_nothing_and_holds_up_nobody(ws: Any) -> None:
    async with live_server(ws) as server, server.socket() as slow, server.socket() as quick:
        for socket in (slow, quick):
            await initialise(socket)
            await subscribe(socket, "a", LINES)
            await receive_json(socket)
        slow.transport.pause_reading()
        board = WORLD.board("x")
        merged = LIVE.merged
        reading = asyncio.create_task(read_lines(quick, until_line="end"))
        await fill(server, "x")
        for number in range(20):
            board.say(str(number))
        board.say("end")
        assert await reading == board.lines
        assert LIVE.merged > merged
        slow.transport.resume_reading()
        assert await read_lines(slow, until_line="end") == board.lines


async def read_lines(socket: Any, until_line: str) -> list[str]:
    lines: list[str] = []
    async with asyncio.timeout(60):
        while until_line not in lines:
            event = msgspec.json.decode(await socket.recv())["payload"]["data"]["board"]
            lines = event["lines"] if event["kind"] == "SNAPSHOT" else lines + event["lines"]
    return lines


@KINDS
async def test_one_who_takes_nothing_is_closed(ws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "_CLOSE_TIMEOUT_S", 0.2)
    async with live_server(ws, SLOW) as server, server.socket() as slow, server.socket() as quick:
        for socket in (slow, quick):
            await initialise(socket)
            await subscribe(socket, "a", LINES)
            await receive_json(socket)
        slow.transport.pause_reading()
        closed = LIVE.closed_slow
        reading = asyncio.create_task(read_lines(quick, until_line="end"))
        await fill(server, "x")
        await until(lambda: LIVE.closed_slow == closed + 1)
        WORLD.board("x").say("end")
        assert await reading == WORLD.board("x").lines
        assert len(WORLD.board("x").listeners) == 1
        await until(lambda: server.transport.sockets.open_sockets == 1)
        slow.transport.abort()


@KINDS
async def test_one_who_asks_and_never_listens_is_not_read_either(ws: Any) -> None:
    """What he sends waits on his own side: neither his questions nor the answers are heaped up here."""
    options = TransportOptions(client_limits=UNLIMITED, send_timeout_s=60)
    async with live_server(ws, options) as server, server.socket() as socket:
        await initialise(socket)
        socket.transport.pause_reading()
        ping = msgspec.json.encode({"type": "ping", "payload": {"text": "x" * 100_000}}).decode()

        async def ask() -> None:
            while True:
                await socket.send(ping)

        asking = asyncio.create_task(ask())
        (served,) = server.transport.sockets._sockets
        await until(lambda: served._outlet.is_full)
        await asyncio.sleep(0.1)
        assert served._outlet.waiting_bytes() < HIGH_WATER_BYTES + 110_000
        assert len(served._outlet._turns or ()) <= 1
        assert served._receive.__self__.queue.qsize() <= 4  # of one read
        asking.cancel()
        socket.transport.abort()


async def test_one_who_takes_a_little_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it takes counts, though its buffer is never empty."""
    async with live_server(FrameProtocol, SLOW) as server, server.socket() as socket:
        await initialise(socket)
        await subscribe(socket, "a", LINES)
        await receive_json(socket)
        socket.transport.pause_reading()
        await fill(server, "x")
        (served,) = server.transport.sockets._sockets
        waiting = iter(range(served._outlet.waiting_bytes() - 1, 0, -1))
        monkeypatch.setattr(FrameProtocol, "waiting_bytes", lambda _self: next(waiting))
        closed = LIVE.closed_slow
        await asyncio.sleep(2.5 * SLOW.send_timeout_s)
        assert (LIVE.closed_slow, server.transport.sockets.open_sockets) == (closed, 1)
        socket.transport.abort()


async def test_what_waits_for_a_client_is_bounded() -> None:
    async with live_server(FrameProtocol) as server, server.socket() as socket:
        await initialise(socket)
        await subscribe(socket, "a", 'subscription{board(name:"x"){lines}}')
        await subscribe(socket, "b", 'subscription{board(name:"x"){number}}')
        for _ in range(2):
            await receive_json(socket)
        socket.transport.pause_reading()
        await fill(server, "x")
        (served,) = server.transport.sockets._sockets
        for _ in range(300):
            WORLD.board("x").say("y" * 1_000)
        assert served._outlet.waiting_bytes() < HIGH_WATER_BYTES + 110_000  # what came before it was full
        for operation in served._operations._running.values():
            assert len(operation._waiting or ()) <= 1
        socket.transport.abort()


# ── pings and ends, by one clock for all ─────────────────────────────────────────────────────────────────────


async def test_the_clock_wakes_each_in_time() -> None:
    loop, looked = asyncio.get_running_loop(), []

    class Sleeper:
        due: float | None = None

        def __init__(self, name: str, *more: float) -> None:
            self.name, self.more = name, list(more)

        def look(self, now: float) -> float | None:
            looked.append((self.name, round(now - began, 2)))
            if self.name == "bad":
                raise RuntimeError("password=hunter2")
            return began + self.more.pop(0) if self.more else None

    began = loop.time()
    alarms = Alarms()
    one, two, three, bad = Sleeper("one", 0.06), Sleeper("two"), Sleeper("three"), Sleeper("bad")
    alarms.set(one, began + 0.04)
    alarms.set(two, began + 0.3)
    alarms.set(two, began + 0.02)  # sooner
    alarms.set(two, began + 0.25)  # it is looked at before that
    alarms.set(three, began + 0.03)
    alarms.set(bad, began + 0.03)
    three.due = None  # it wants to be left alone
    with structlog.testing.capture_logs():  # to print the traceback would take longer than it may
        await until(lambda: len(looked) >= 4)
    assert [name for name, _ in looked] == ["two", "bad", "one", "one"]
    assert all(at >= due for (_, at), due in zip(looked, (0.02, 0.03, 0.04, 0.06), strict=True))
    await asyncio.sleep(0.25)
    assert len(looked) == 4


@KINDS
async def test_pings_and_silence(ws: Any) -> None:
    options = TransportOptions(ping_interval_s=0.05, idle_timeout_s=0.8, client_limits=UNLIMITED)
    async with live_server(ws, options) as server, server.socket() as awake, server.socket() as silent:
        for socket in (awake, silent):
            await initialise(socket)
        for _ in range(8):
            assert await receive_json(awake) == {"type": "ping"}
            await send_json(awake, {"type": "pong"})
        assert await close_code(silent) == (4408, "No sign of life for 0.8 s")


def test_constants_fit() -> None:
    assert frames._COPIED_BYTES < HIGH_WATER_BYTES
