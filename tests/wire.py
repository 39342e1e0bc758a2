"""A wire to PostgreSQL that is listened to: which messages a client sends, flight by flight."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_HEADER = 5


@dataclass(frozen=True, slots=True)
class Flight:
    """What one connection sends before it waits: kinds of messages, the last of them a Sync or a query."""

    connection: int
    kinds: str
    said: bytes


@dataclass(slots=True)
class Wire:
    url: str
    flights: list[Flight] = field(default_factory=list)

    def clear(self) -> None:
        self.flights.clear()

    def about(self, value: bytes) -> list[str]:
        """The kinds of all flights on connections on which this was said."""
        connections = {flight.connection for flight in self.flights if value in flight.said}
        return [flight.kinds for flight in self.flights if flight.connection in connections]


@asynccontextmanager
async def wiretapped(database_url: str) -> AsyncIterator[Wire]:
    """A server in front of the one of this URL, which must be on a Unix socket."""
    parts = urlsplit(database_url)
    query = parse_qs(parts.query)
    behind = Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"
    folder = Path(tempfile.mkdtemp(prefix="turnero-wire-"))
    wire = Wire(database_url.replace(query["host"][0], str(folder)))
    tasks: set[asyncio.Task[None]] = set()
    numbers = itertools.count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_unix_connection(str(behind))
        tasks.add(asyncio.create_task(_pass_on(back_reader, writer)))
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await _listen(reader, back_writer, wire, next(numbers))

    server = await asyncio.start_unix_server(serve, str(folder / behind.name))
    try:
        yield wire
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        shutil.rmtree(folder)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire, number: int) -> None:
    try:
        length = await reader.readexactly(4)  # the greeting has no kind
        writer.write(length + await reader.readexactly(int.from_bytes(length) - 4))
        kinds, said = "", b""
        while True:
            header = await reader.readexactly(_HEADER)
            body = await reader.readexactly(int.from_bytes(header[1:]) - 4)
            writer.write(header + body)
            kinds, said = kinds + chr(header[0]), said + body
            if header[:1] in b"SQ":
                wire.flights.append(Flight(number, kinds, said))
                kinds, said = "", b""
    except asyncio.IncompleteReadError:
        writer.close()
