"""The server around the API, and how it ends: nothing new, then the streams, then what is under way, then itself.

See docs/adr/0029.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import multiprocess

from app.core.pauses import keep_pauses_short

LINGER_S = 1.0
"""Connections that clients keep open for further requests are told to close by the answer to the next one. Those that
have none in this time are closed: a request sent in that very moment would be lost."""
SILENT_CLIENT_MS = 60_000
"""A connection whose other side acknowledges nothing, or takes no bytes, for so long is given up by the system."""
SWEEP_TICKS = 100
"""Tenths of a second. A new connection has once to twice that time to send the head of its first request."""
_TICK_S = 0.05

Drain = Callable[[float], Awaitable[None]]


class DrainingServer(uvicorn.Server):
    """Ends in `config.timeout_graceful_shutdown` seconds at most: first it stops listening, and lets go of what would
    never end by itself. An application's `drain(seconds)` ends its sockets and streams.

    While it runs, it closes connections that never get so far as to ask for something.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._silent: set[object] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        keep_pauses_short()

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_TICKS == 0:
            self._sweep()
        return await super().on_tick(counter)

    def _sweep(self) -> None:
        """Close what had said nothing at the last sweep, and has not said enough since."""
        silent: set[object] = set()
        for connection in self.server_state.connections:
            if isinstance(connection, HttpToolsProtocol) and getattr(connection, "cycle", None) is None:
                if connection in self._silent:
                    connection.transport.close()
                else:
                    silent.add(connection)
        self._silent = silent

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        grace_s = self.config.timeout_graceful_shutdown or 0
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_s
        # Whoever else holds the listening socket goes on accepting; what waits in its queue is not lost.
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        parts = [loop.create_task(self._linger())]
        drain: Drain | None = getattr(self.config.loaded_app, "drain", None)
        if drain is not None:
            parts.append(asyncio.ensure_future(drain(grace_s)))
        await self._wait(parts, deadline)
        self.config.timeout_graceful_shutdown = max(1, int(deadline - loop.time()))
        await super().shutdown(sockets)

    async def _wait(self, parts: list[asyncio.Task[None]], deadline: float) -> None:
        """Until they are done, it is time, or somebody presses Ctrl-C again."""
        loop = asyncio.get_running_loop()
        waiting = set(parts)
        while waiting and loop.time() < deadline and not self.force_exit:
            _, waiting = await asyncio.wait(waiting, timeout=_TICK_S)
        for part in waiting:
            part.cancel()

    async def _linger(self) -> None:
        until = asyncio.get_running_loop().time() + LINGER_S
        # Nothing tells when the last of them is gone.
        while self.server_state.connections and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S)


class DrainingProcess(multiprocess.Process):
    """One of several that share a listening socket."""

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = DrainingServer(self.config)
        return self._server


def serve(config: uvicorn.Config, listener: socket.socket) -> bool:
    """Serve until SIGTERM or SIGINT. False when it could not start.

    With several workers, SIGHUP puts a new one in the place of each, one after another, without refusing anybody.
    """
    give_up_silent_clients(listener)
    if config.workers > 1:
        # The library's supervisor makes its processes by this name, and has no other way in.
        multiprocess.Process = DrainingProcess  # type: ignore[misc]
        multiprocess.Multiprocess(config, sockets=[listener]).run()
        return True
    # The library raises the signal again when all is done: to have ended as one was told is no failure.
    signal.signal(signal.SIGTERM, _ended_as_told)
    server = DrainingServer(config)
    server.run(sockets=[listener])
    return server.started


def _ended_as_told(_number: int, _frame: FrameType | None) -> None:
    pass


def give_up_silent_clients(listener: socket.socket) -> None:
    """For every connection that it will accept, where the system can do that."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and listener.family in {socket.AF_INET, socket.AF_INET6}:
        with suppress(OSError):
            listener.setsockopt(socket.IPPROTO_TCP, option, SILENT_CLIENT_MS)
