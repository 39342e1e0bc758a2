"""Where one socket's messages go out: in order, as fast as the client takes them, and fair among its operations."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

from app.web.event_stream import Send
from app.web.frames import HIGH_WATER_BYTES, FrameProtocol

Turn = Callable[[], None]


class SocketGone(Exception):
    """The socket is closed or closing: there is nobody to send to."""


class Outlet(ABC):
    """Who cannot write at once waits for its turn, and writes one message then: `put`, which does not look at turns."""

    __slots__ = ("_turns", "is_over", "on_full", "on_gone")

    def __init__(self) -> None:
        self._turns: deque[Turn] | None = None
        self.is_over = False
        self.on_full: Callable[[], None] | None = None
        """Told when the client stops to take what is written."""
        self.on_gone: Callable[[], None] | None = None

    @property
    @abstractmethod
    def is_full(self) -> bool: ...

    @abstractmethod
    def waiting_bytes(self) -> int:
        """What was written and the client has not taken, as far as is known."""

    @abstractmethod
    def put(self, head: bytes, tail: bytes) -> bool:
        """Write one message of two pieces (UTF-8). False: there is no room. To nobody it is written at once."""

    @abstractmethod
    async def flush(self) -> None:
        """Until all that was written has been handed over to the server."""

    @abstractmethod
    def drop(self) -> None:
        """Forget what was not handed over."""

    @abstractmethod
    def abort(self) -> None:
        """That, and end the connection without waiting for the client, if there is a way."""

    def write(self, head: bytes, tail: bytes = b"") -> bool:
        """As `put`, but not before those who wait."""
        return not self._turns and self.put(head, tail)

    def wait(self, turn: Turn) -> None:
        """Call it once when there is room, after those who wait already. Not at all when the socket ends first."""
        if self._turns is None:
            self._turns = deque()
        self._turns.append(turn)

    async def send(self, message: bytes) -> None:
        """Write, as soon as there is room. Raises SocketGone."""
        if self.is_over:
            raise SocketGone
        if self.write(message):
            return
        written = asyncio.get_running_loop().create_future()

        def turn() -> None:
            if not written.done():  # else nobody wants to send it any more
                written.set_result(self.put(message, b""))

        self.wait(turn)
        await written
        if self.is_over:
            raise SocketGone

    def end(self) -> None:
        """What was put is written, and nothing more. Those who wait are not called: the socket ends them."""
        self.is_over = True
        self._turns = None
        self.on_full = self.on_gone = None

    def _grant(self) -> None:
        while self._turns and not self.is_full:
            self._turns.popleft()()


class FrameOutlet(Outlet):
    """Straight to the transport, where the server is ours."""

    __slots__ = ("_frames",)

    def __init__(self, frames: FrameProtocol) -> None:
        super().__init__()
        self._frames = frames
        frames.on_change = self._changed

    @property
    def is_full(self) -> bool:
        return self._frames.is_full

    def waiting_bytes(self) -> int:
        return self._frames.waiting_bytes()

    def write(self, head: bytes, tail: bytes = b"") -> bool:
        frames = self._frames
        if self._turns or frames.is_full:
            return False
        if not self.is_over:
            frames.write_text(head, tail)
        return True

    def put(self, head: bytes, tail: bytes) -> bool:
        if self._frames.is_full:
            return False
        if not self.is_over:
            self._frames.write_text(head, tail)
        return True

    async def flush(self) -> None:
        """It is there already."""

    def drop(self) -> None:
        """There is nothing."""

    def abort(self) -> None:
        self._frames.abort()

    def end(self) -> None:
        super().end()
        self._frames.on_change = None

    def _changed(self) -> None:
        if self._frames.disconnected:
            told = self.on_gone
        elif self._frames.is_full:
            told = self.on_full
        else:
            told = self._grant
        if told is not None:
            told()


class AsgiOutlet(Outlet):
    """By ASGI's own `send`, with any server. What it does not take at once waits in a queue of a few messages."""

    __slots__ = ("_bytes", "_pump", "_queue", "_send")

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._pump: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        return self._bytes >= HIGH_WATER_BYTES

    def waiting_bytes(self) -> int:
        return self._bytes

    def put(self, head: bytes, tail: bytes) -> bool:
        if self.is_full:
            return False
        if self.is_over:
            return True
        self._queue.append(head + tail)
        self._bytes += len(self._queue[-1])
        if self._pump is None:
            self._pump = asyncio.create_task(self._run())
        if self._bytes >= HIGH_WATER_BYTES and self.on_full is not None:
            self.on_full()
        return True

    async def flush(self) -> None:
        if self._pump is not None:
            await asyncio.wait([self._pump])

    def drop(self) -> None:
        self._queue.clear()
        if self._pump is not None:
            self._pump.cancel()

    def abort(self) -> None:
        self.drop()

    async def _run(self) -> None:
        try:
            while self._queue:
                message: Any = {"type": "websocket.send", "text": self._queue[0].decode()}
                await self._send(message)
                self._bytes -= len(self._queue.popleft())
                self._grant()
        except (OSError, RuntimeError):  # the client left, or the close overtook us
            told = self.on_gone
            if told is not None:
                told()
        finally:
            self._pump = None
