"""One answer of `text/event-stream` (https://html.spec.whatwg.org/multipage/server-sent-events.html), on bare ASGI.

This is the writing side. What is written comes ready from elsewhere, as frames of bytes; only one of them is under way
to a client at a time, so a slow reader holds up its own source and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from app.core.chance import between

log = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

EVENT_STREAM = "text/event-stream"
COMMENT = b":\n\n"
"""Clients pass it over; it keeps proxies from taking a quiet stream for a dead one."""
_CLEANUP_TIMEOUT_S = 5.0
_HEADERS = {
    "content-type": f"{EVENT_STREAM}; charset=utf-8",
    # Nothing on the way may keep, gather or compress it: an event is of use at once or not at all.
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
    "vary": "accept",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds."""

    comment_every_s: float = 15.0
    send_timeout_s: float = 30.0
    """A client that takes no bytes for so long loses its source. Its stream ends as soon as it reads on."""
    retry_s: tuple[float, float] = (1.0, 4.0)
    """How long clients wait before they come back, when a stream is cut: each of them another time between these."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Expiry:
    """When a stream has to end by itself, and what its client is told then."""

    at: datetime
    last_words: bytes


def event_frame(data: bytes, *, event: str, cursor: str | None = None) -> bytes:
    """One event. `data` has no line ends: JSON as it is encoded here. Lines end in LF alone: some clients look for
    two of them."""
    id_line = b"" if cursor is None else f"id: {cursor}\n".encode("ascii")
    return b"%bevent: %b\ndata: %b\n\n" % (id_line, event.encode("ascii"), data)


def retry_frame(between_s: tuple[float, float]) -> bytes:
    """Tells the client how long to wait before it comes back."""
    return b"retry: %d\n\n" % round(between(*between_s) * 1_000)


class _Gone(Exception):
    """The client left."""


class _Stuck(Exception):
    """The client does not read."""


class EventStream:
    """One such answer. `run` serves it; `finish` and `restart` end it from outside."""

    def __init__(self, receive: Receive, send: Send, pace: Pace, expiry: Expiry | None = None) -> None:
        self._receive = receive
        self._asgi_send = send
        self._pace = pace
        self._expiry = expiry
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[bytes | None] = self._loop.create_future()
        self._is_writing = asyncio.Lock()
        self._written_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None

    def finish(self, last_words: bytes = b"") -> None:
        """End it with these frames. The first call counts."""
        self._set_end(last_words)

    def restart(self) -> None:
        """Cut it short: the client should come again, and say where it stood."""
        self._set_end(b": try again\n" + retry_frame(self._pace.retry_s))

    def _set_end(self, last_words: bytes | None) -> None:
        """None: the client left."""
        if not self._end.done():
            self._end.set_result(last_words)

    async def run(self, frames: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> None:
        """Serve until the frames are over, the client leaves, or `finish`. Closes `frames`, leaves no task behind."""
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in {**_HEADERS, **headers}.items()]
        await self._asgi_send({"type": "http.response.start", "status": 200, "headers": pairs})
        listening = self._loop.create_task(self._listen())
        writing = self._loop.create_task(self._write_all(frames))
        tasks = [listening, writing]
        self._tick()
        try:
            last_words = await self._end
            if last_words is not None:
                writing.cancel()
                await asyncio.wait([writing], timeout=_CLEANUP_TIMEOUT_S)
                closing = self._loop.create_task(self._close(last_words))
                tasks.append(closing)
                # A client that does not read holds its connection until it reads or goes, and counts for so long.
                await asyncio.wait([listening, closing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._set_end(None)
            if self._timer is not None:
                self._timer.cancel()
            if self._comment is not None:
                tasks.append(self._comment)
            for task in tasks:
                task.cancel()
            _, stuck = await asyncio.wait(tasks, timeout=_CLEANUP_TIMEOUT_S)
            if stuck:
                log.error("stream.tasks_stuck", count=len(stuck))

    async def _listen(self) -> None:
        with suppress(OSError):
            while (await self._receive())["type"] != "http.disconnect":
                pass
        self._set_end(None)

    async def _write_all(self, frames: AsyncGenerator[bytes, None]) -> None:
        try:
            async with aclosing(frames):
                await self._write(retry_frame(self._pace.retry_s))
                async for frame in frames:
                    await self._write(frame)
        except _Gone:
            self._set_end(None)
        except _Stuck:
            self.restart()
        except Exception as error:
            log.error("stream.failed", exc_info=error)
            self.restart()
        else:
            self.finish()

    async def _write(self, frame: bytes) -> None:
        """Raises _Gone, _Stuck."""
        async with self._is_writing:
            try:
                async with asyncio.timeout(self._pace.send_timeout_s):
                    await self._asgi_send({"type": "http.response.body", "body": frame, "more_body": True})
            except TimeoutError:
                raise _Stuck from None
            except OSError:
                raise _Gone from None
            self._written_at = self._loop.time()

    async def _close(self, last_words: bytes) -> None:
        with suppress(OSError):
            await self._asgi_send({"type": "http.response.body", "body": last_words, "more_body": False})

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _tick(self) -> None:
        if self._end.done():
            return
        wait_s = self._pace.comment_every_s
        if self._expiry is not None:
            left_s = (self._expiry.at - self._pace.now()).total_seconds()
            if left_s <= 0:
                self.finish(self._expiry.last_words)
                return
            wait_s = min(wait_s, left_s)
        quiet_s = self._loop.time() - self._written_at
        if quiet_s >= self._pace.comment_every_s:
            if not self._is_writing.locked():
                self._comment = self._loop.create_task(self._write_comment())
            quiet_s = 0.0
        self._timer = self._loop.call_later(max(0.001, min(wait_s, self._pace.comment_every_s - quiet_s)), self._tick)

    async def _write_comment(self) -> None:
        with suppress(_Gone, _Stuck):  # whoever writes the next event finds out
            await self._write(COMMENT)
