"""Thousands of clients of graphql-transport-ws in one process that costs little: `python -m tests.faults.crowd`.

It is told what to do by a line of JSON and answers with one. Frames are read and written by hand, with a mask of zeros:
what is measured is the server. `Crowd` is the other end of these lines, for benchmarks and fault runs.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import uvloop

PER_ADDRESS = 400
"""Connections from one source address of the loopback: each address has ports of its own."""
AT_ONCE = 100
"""Connections that are being opened."""
MOST_FILES = 50_000
FIRST_EVENT_S = 120.0
LINE_LIMIT = 1 << 28
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


def raise_file_limit() -> None:
    """As far as the system lets us; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else MOST_FILES, hard))


def client_frame(text: bytes) -> bytes:
    """A whole text frame, masked with zeros."""
    size = len(text)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + text


def server_frame(text: bytes) -> bytes:
    size = len(text)
    return (bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")) + text


_INIT = client_frame(b'{"type":"connection_init"}')
_PONG = client_frame(b'{"type":"pong"}')


class Client(asyncio.Protocol):
    """One connection. `stage`: what it waits for; then each `next` is counted, and kept where that is asked for."""

    def __init__(self, crowd: Members) -> None:
        self.crowd = crowd
        self.buffer = b""
        self.is_up = False
        self.count = 0
        self.kept: list[tuple[int, str]] = []
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_news = asyncio.Event()
        self.closed: int | None = None
        """The close code; 1006 for a connection that just ended."""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # the loop's own kind is no subclass of it
        self.transport.write(UPGRADE)

    def data_received(self, data: bytes) -> None:
        self.buffer = buffer = self.buffer + data if self.buffer else data
        if not self.is_up:
            head, separator, rest = buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            if b" 101 " not in head[:20]:
                self.transport.abort()
                return
            self.is_up = True
            self.transport.write(_INIT)
            self.buffer = buffer = rest
        at = 0
        while len(buffer) - at >= 2:
            size, start = buffer[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if len(buffer) < start + size:
                break
            self._take(buffer[at], buffer[start : start + size])
            at = start + size
        self.buffer = buffer[at:]

    def _take(self, head: int, body: bytes) -> None:
        if head == 0x81 and b'"next"' in body[:200]:
            self.count += 1
            self.has_news.set()
            self.crowd.told(self, body)
        elif head == 0x89:
            self.transport.write(bytes([0x8A, 0x80 | len(body)]) + bytes(4) + body)
        elif head == 0x88:
            self.closed = int.from_bytes(body[:2], "big") if len(body) >= 2 else 1005
            self.transport.close()
        elif b'"ping"' in body:
            self.transport.write(_PONG)
        elif b'"connection_ack"' in body:
            if not self.acknowledged.done():
                self.acknowledged.set_result(None)
        else:
            self.crowd.odd.append(body[:500].decode())
            self.has_news.set()

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed = self.closed or 1006
        self.has_news.set()
        if not self.acknowledged.done():
            self.acknowledged.set_exception(ConnectionError(f"closed with {self.closed}"))
            self.acknowledged.exception()
        self.crowd.lost += 1


class Members:
    """All clients of the process, and the commands. Each command's name is a method's, its arguments are named."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.odd: list[str] = []
        self.lost = 0
        self.keeps = False
        self.waiting = 0
        self.each = 0
        self.counts: list[int] = []
        """Of each client, when it was armed."""
        self.first_ns = self.last_ns = 0
        self.body = b""
        self._all_told = asyncio.Event()

    def told(self, client: Client, body: bytes) -> None:
        now = time.monotonic_ns()
        if self.keeps:
            client.kept.append((now, body.decode()))
        if not self.waiting:
            return
        self.waiting -= 1
        self.first_ns = self.first_ns or now
        self.last_ns, self.body = now, body
        if not self.waiting:
            self._all_told.set()

    async def open(self, port: int, count: int, receive_bytes: int | None = None) -> dict[str, Any]:
        """So many more connections, acknowledged. `receive_bytes`: what the system takes for one that does not read."""
        loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            source = (f"127.0.{1 + number // PER_ADDRESS // 250}.{1 + number // PER_ADDRESS % 250}", 0)
            async with gate:
                line = socket.socket()
                line.setblocking(False)
                line.bind(source)
                if receive_bytes is not None:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
                await loop.sock_connect(line, ("127.0.0.1", port))
                _, client = await loop.create_connection(lambda: Client(self), sock=line)
                await client.acknowledged
            self.clients.append(client)

        before = len(self.clients)
        await asyncio.gather(*(one(before + number) for number in range(count)))
        return {"open": len(self.clients)}

    async def subscribe(self, payloads: list[Any], first: int = 0, at_once: int = AT_ONCE) -> dict[str, Any]:
        """Each client from the `first` on, with the payloads in turn; until each has had its first event."""
        gate = asyncio.Semaphore(at_once)
        frames = [
            client_frame(json.dumps({"id": "1", "type": "subscribe", "payload": payload}).encode())
            for payload in payloads
        ]

        async def one(number: int, client: Client) -> None:
            async with gate:
                client.has_news.clear()
                client.transport.write(frames[number % len(frames)])
                async with asyncio.timeout(FIRST_EVENT_S):
                    await client.has_news.wait()

        await asyncio.gather(*(one(number, client) for number, client in enumerate(self.clients[first:])))
        return {"subscribed": len(self.clients) - first, "odd": self.odd[:3], "lost": self.lost}

    async def arm(self, each: int = 1) -> dict[str, Any]:
        """The next so many events of every client are waited for."""
        self.waiting, self.first_ns, self.last_ns = each * len(self.clients), 0, 0
        self.each, self.counts = each, [client.count for client in self.clients]
        self._all_told.clear()
        return {}

    async def arrived(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """When the first of them came and the last, in nanoseconds of the monotonic clock.

        `uneven`: clients that were told more or less than the others.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_told.wait()
        except TimeoutError:
            pass
        told = [client.count - before for client, before in zip(self.clients, self.counts, strict=True)]
        return {
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "missing": self.waiting,
            "uneven": len(told) - told.count(self.each),
            "odd": self.odd[:3],
            "lost": self.lost,
            "body": self.body.decode(),
        }

    async def keep(self) -> dict[str, Any]:
        """From here on keep every event, with its time."""
        self.keeps = True
        return {}

    async def kept(self) -> dict[str, Any]:
        """What each client was told since, in its order."""
        return {"kept": [client.kept for client in self.clients], "odd": self.odd[:3], "lost": self.lost}

    async def stop_reading(self, count: int) -> dict[str, Any]:
        """The first so many read nothing more, not even a ping: as if they had vanished, or were asleep."""
        for client in self.clients[:count]:
            client.transport.pause_reading()
        return {}

    async def ends(self) -> dict[str, Any]:
        """How many have ended, by close code."""
        codes = [client.closed for client in self.clients if client.closed is not None]
        return {"ended": {str(code): codes.count(code) for code in set(codes)}, "of": len(self.clients)}

    async def close(self) -> dict[str, Any]:
        """All connections."""
        for client in self.clients:
            client.transport.abort()
        self.clients.clear()
        await asyncio.sleep(0.2)
        return {}


async def obey() -> None:
    raise_file_limit()
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    members = Members()
    while line := await reader.readline():
        asked = json.loads(line)
        try:
            answer = await getattr(members, asked.pop("do"))(**asked)
        except Exception as error:
            answer = {"failed": repr(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


@dataclass(slots=True)
class Crowd:
    """The process with the clients."""

    process: Process

    async def do(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Raises RuntimeError where it could not."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        await self.process.stdin.drain()
        answer: dict[str, Any] = json.loads(await self.process.stdout.readline() or b'{"failed": "the crowd is gone"}')
        if "failed" in answer:
            raise RuntimeError(f"{what}: {answer['failed']}")
        return answer


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    command = (sys.executable, "-m", "tests.faults.crowd")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=LINE_LIMIT)
    try:
        yield Crowd(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    uvloop.run(obey())
