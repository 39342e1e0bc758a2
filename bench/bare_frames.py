"""The least that a server can do: frames that are ready, written to all who are there. `python -m bench.bare_frames`.

Prints its port. Each line that it reads is the text of a frame, as JSON: it writes that to all, and says when it began.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from tests.faults.crowd import raise_file_limit, server_frame

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
_ACK = server_frame(b'{"type":"connection_ack"}')
_FIRST = server_frame(b'{"id":"1","type":"next","payload":{}}')
open_transports: set[asyncio.Transport] = set()


class Connection(asyncio.Protocol):
    """It knows its clients: first the upgrade, then connection_init, then subscribe."""

    def __init__(self) -> None:
        self.stage = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # the loop's own kind is no subclass of it
        open_transports.add(self.transport)

    def data_received(self, _data: bytes) -> None:
        answers = (ACCEPTED, _ACK, _FIRST)
        if self.stage < len(answers):
            self.transport.write(answers[self.stage])
            self.stage += 1

    def connection_lost(self, _error: Exception | None) -> None:
        open_transports.discard(self.transport)


async def main() -> None:
    raise_file_limit()
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2_048)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await reader.readline():
        frame = server_frame(json.loads(line).encode())
        began_ns = time.monotonic_ns()
        for transport in open_transports:
            transport.write(frame)
        print(began_ns, flush=True)


if __name__ == "__main__":
    uvloop.run(main())
