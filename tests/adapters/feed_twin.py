"""Calendars in memory, and a server of raw answers: what stands in for the internet in tests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from app.ports import FeedContents, FeedProblem, FeedUnchanged

Answer = Callable[[bytes], Awaitable[bytes]]
"""Request head → response, as it goes over the wire."""


def etag_of(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


@dataclass(slots=True)
class FeedsInMemory:
    """Implements CalendarFetcher. `asked`: each address with the ETag that was sent for it."""

    bodies: dict[str, bytes | FeedProblem] = field(default_factory=dict)
    has_validators: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> FeedUnchanged | FeedContents | FeedProblem:
        del last_modified
        self.asked.append((url, etag))
        found = self.bodies.get(url, FeedProblem("There is no calendar at this address (status 404).", is_refused=True))
        if isinstance(found, FeedProblem):
            return found
        if not self.has_validators:
            return FeedContents(found)
        return FeedUnchanged() if etag == etag_of(found) else FeedContents(found, etag_of(found))


@dataclass(slots=True)
class WireServer:
    """Answers each path with what the test wrote for it; `requests` are the heads that came."""

    url: str = ""
    answers: dict[str, Answer | bytes] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    is_released: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, path: str, answer: Answer | bytes) -> str:
        """The whole address."""
        self.answers[path] = answer
        return self.url + path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            first = await reader.readexactly(1)
            if first == b"\x16":  # somebody speaks TLS
                raise ConnectionError
            head = first + await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            answer = self.answers.get(head.split(b" ")[1].decode(), b"HTTP/1.1 404 Not Found\r\n\r\n")
            writer.write(answer if isinstance(answer, bytes) else await answer(head))
            await writer.drain()
        writer.close()


@asynccontextmanager
async def wire_server(host: str = "127.0.0.1") -> AsyncIterator[WireServer]:
    wire = WireServer()
    server = await asyncio.start_server(wire.serve, host, 0)
    port = server.sockets[0].getsockname()[1]
    wire.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        yield wire
    finally:
        wire.is_released.set()
        server.close()


def ok(body: bytes, *headers: str) -> bytes:
    """A whole 200 answer."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/calendar", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
