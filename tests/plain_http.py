"""A GraphQL client that costs little, so that it is the server that is loaded and measured."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx


@dataclass(slots=True)
class Connection:
    """One connection, kept open; one request at a time."""

    host: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_ending: bool = False
    """The server has said that it closes the connection after its last answer."""

    async def post(self, query: str, variables: dict[str, Any]) -> Any:
        """The one root field. Raises RuntimeError on errors."""
        answer = json.loads(await self.exchange(self.request(query, variables)))
        if answer.get("errors"):
            raise RuntimeError(answer["errors"])
        return next(iter(answer["data"].values()))

    def request(self, query: str, variables: dict[str, Any]) -> bytes:
        """As it goes over the wire."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        head = f"POST /graphql HTTP/1.1\r\nhost: {self.host}\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    async def exchange(self, request: bytes) -> bytes:
        """The body of the answer. Raises OSError or EOFError when the connection ends, RuntimeError for no 200."""
        status, body = await self.answer(request)
        if status != 200:
            raise RuntimeError(f"{status}: {body[:300]!r}")
        return body

    async def answer(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises OSError or EOFError when the connection ends."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.is_ending = b"connection: close" in head.lower()
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(head[9:12]), await self.reader.readexactly(length)


async def open_connection(port: int) -> Connection:
    """To this machine. Raises OSError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return Connection(f"127.0.0.1:{port}", reader, writer)


@asynccontextmanager
async def connect(port: int) -> AsyncIterator[Connection]:
    connection = await open_connection(port)
    try:
        yield connection
    finally:
        connection.writer.close()
        await connection.writer.wait_closed()


class PostingClient(httpx.AsyncClient):
    """A client of httpx that posts JSON on connections of its own, at a tenth of the cost: most requests of tests."""

    LONGEST_IDLE_S = 2.0
    """Shorter than the server keeps a connection: a request sent while it closes one would be lost."""
    PATIENCE_S = 30.0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idle: list[tuple[Connection, str, float]] = []

    async def post_json(self, url: str, body: object, headers: Mapping[str, str]) -> Any:
        """What was answered, whatever its status. Raises OSError or EOFError when the connection ends."""
        parts = urlsplit(url)
        payload = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        known = {
            "host": parts.netloc,
            "accept": "*/*",
            "user-agent": "tests",
            "content-type": "application/json",
            "content-length": str(len(payload)),
        }
        lines = [f"{name}: {value}\r\n" for name, value in {**known, **headers}.items()]
        request = f"POST {parts.path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1") + payload
        async with asyncio.timeout(self.PATIENCE_S):
            connection = await self._connection(parts.hostname or "", parts.port or 80, parts.netloc)
            try:
                _, answer = await connection.answer(request)
            except BaseException:
                connection.writer.close()
                raise
        self._idle.append((connection, parts.netloc, time.monotonic()))
        return json.loads(answer)

    async def _connection(self, host: str, port: int, place: str) -> Connection:
        """The one that was used last, or a new one."""
        fresh = time.monotonic() - self.LONGEST_IDLE_S
        while self._idle and self._idle[0][2] < fresh:
            self._idle.pop(0)[0].writer.close()
        for number in reversed(range(len(self._idle))):
            connection, its_place, _ = self._idle[number]
            if its_place == place:
                del self._idle[number]
                if not connection.reader.at_eof():
                    return connection
                connection.writer.close()
        return Connection(place, *await asyncio.open_connection(host, port))

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        for connection, _, _ in self._idle:
            connection.writer.close()
        self._idle.clear()
        await asyncio.sleep(0)  # what was closed is told so
        await super().__aexit__(exc_type, exc_value, traceback)
