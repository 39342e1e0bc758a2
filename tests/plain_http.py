"""A GraphQL client that costs little, so that it is the server that is loaded and measured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


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
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = head[9:12]
        self.is_ending = b"connection: close" in head.lower()
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await self.reader.readexactly(length)
        if status != b"200":
            raise RuntimeError(f"{status.decode()}: {body[:300]!r}")
        return body


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
