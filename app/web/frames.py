"""Our server's WebSockets: uvicorn's, with a way to write a message at once that many get alike.

ASGI's `send` is a coroutine that makes a message out of a dictionary, for each client anew. Here the bytes that all get
go to the transport as they are, behind a header, in order with all that goes the usual way. An application finds this
in the connection's scope, under `extensions`; with any other server it is not there.
"""

from __future__ import annotations

from asyncio import BaseTransport, Transport
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

EXTENSION = "turnero.frames"
HIGH_WATER_BYTES = 32_768
"""What a client has not taken yet, before nothing more is written to it."""
MOST_MESSAGES = 1_000
"""Of one client, before the application has taken the first of them. Each takes many times the memory of its bytes."""
_COPIED_BYTES = 4_096
"""Up to here it costs less to join two pieces than to hand over two."""
_MEDIUM = Struct("!BBH").pack
_LARGE = Struct("!BBQ").pack
_TEXT = 0x81
"""A whole message of text."""


_SHORT = tuple(bytes((_TEXT, size)) for size in range(126))


def text_header(size: int) -> bytes:
    """What a server's frame of so many bytes begins with: it is not masked."""
    if size < 126:
        return _SHORT[size]
    return _MEDIUM(_TEXT, 126, size) if size < 65_536 else _LARGE(_TEXT, 127, size)


class FrameProtocol(WebSocketsSansIOProtocol):
    """One connection. The application that found it sets `on_change`, which is told when `is_full` may be another, and
    when the connection is lost."""

    is_full = False
    on_change: Callable[[], None] | None = None

    def write_text(self, head: bytes, tail: bytes) -> bool:
        """Write one message of two pieces (UTF-8). False, and nothing is written: the connection ends, or has ended."""
        transport = self.transport
        if self.close_sent or self.disconnected or transport.is_closing():
            return False
        size = len(head) + len(tail)
        if 126 <= size <= _COPIED_BYTES:
            transport.write(_MEDIUM(_TEXT, 126, size) + head + tail)
        elif size < 126:
            transport.write(_SHORT[size] + head + tail)
        else:
            transport.writelines((text_header(size) + head, tail))
        return True

    def waiting_bytes(self) -> int:
        """What the client has not taken yet, as far as this process knows."""
        return self.transport.get_write_buffer_size()

    def abort(self) -> None:
        """End the connection without waiting for the client to take anything more."""
        self.transport.abort()

    # ── uvicorn's own, with a few things more ────────────────────────────────────────────────────────────────

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        cast("Transport", transport).set_write_buffer_limits(high=HIGH_WATER_BYTES)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        # The application begins to run in the next step of the loop.
        if self.response.status_code == 101:
            cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":
            # Nobody asks for the handshake again, and there may be many connections.
            self.request = self.response = cast("Any", None)

    def handle_ping(self) -> None:
        """One who pings and takes no answers gets none, else they would be heaped up here."""
        pongs = self.conn.data_to_send()
        if not self.is_full:
            self.transport.write(b"".join(pongs))

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        if self.queue.qsize() > MOST_MESSAGES and self.conn.close_sent is None:
            self.conn.send_close(1008, "Too many messages at once")
            self.handle_parser_exception()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_full = True
        if self.on_change is not None:
            self.on_change()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.is_full = False
        if self.on_change is not None:
            self.on_change()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        told, self.on_change = self.on_change, None
        if told is not None:
            told()


def frames_of(scope: Mapping[str, Any]) -> FrameProtocol | None:
    """The connection behind a scope, if the server is ours."""
    found = (scope.get("extensions") or {}).get(EXTENSION)
    return found if isinstance(found, FrameProtocol) else None
