"""The server around the API, and how it ends: nothing new, then the streams, then what is under way, then itself.

See docs/adr/0029.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from multiprocessing import parent_process
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import multiprocess

from app.core.pauses import keep_pauses_short

LINGER_S = 1.0
"""Connections that clients keep open for further requests are told to close by the answer to the next one. Those that
have none in this time are closed: a request sent in that very moment would be lost."""
SILENT_CLIENT_MS = 60_000
"""A connection whose other side acknowledges nothing, or takes no bytes, for so long is given up by the system."""
SWEEP_TICKS = 100
"""Tenths of a second. A connection has once to twice that time to send the head of a request: of its first one from the
beginning, of a later one from its first byte."""
_TICK_S = 0.05
_ENDINGS = frozenset({signal.SIGINT, signal.SIGTERM})

Drain = Callable[[float], Awaitable[None]]


class Connections(set[Any]):
    """Those that are open. It tells when the last of them is gone."""

    def __init__(self) -> None:
        super().__init__()
        self._gone = asyncio.Event()

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        self._gone.set()

    def remove(self, connection: Any) -> None:
        super().remove(connection)
        self._gone.set()

    async def none_left(self) -> None:
        while self:
            self._gone.clear()
            await self._gone.wait()


class DrainingServer(uvicorn.Server):
    """Ends in `config.timeout_graceful_shutdown` seconds at most: first it stops listening, and lets go of what would
    never end by itself. An application's `drain(seconds)` ends its sockets and streams.

    While it runs, it closes connections that never get so far as to ask for something.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._connections = Connections()
        self.server_state.connections = self._connections
        self._silent: dict[object, object] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        keep_pauses_short()

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_TICKS == 0:
            self._sweep()
        return await super().on_tick(counter)

    def _sweep(self) -> None:
        """Close what had not asked for anything at the last sweep, and has not said enough since."""
        silent: dict[object, object] = {}
        for connection in self.server_state.connections:
            if isinstance(connection, HttpToolsProtocol) and _owes_a_head(connection):
                answered = connection.cycle
                if connection in self._silent and self._silent[connection] is answered:
                    connection.transport.close()
                else:
                    silent[connection] = answered
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
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._connections.none_left()


def _owes_a_head(connection: HttpToolsProtocol) -> bool:
    """Has it asked for nothing yet, or begun to ask again? One that is only kept open has a timer of the library's."""
    cycle: Any = connection.cycle
    return cycle is None or (cycle.response_complete and connection.timeout_keep_alive_task is None)


class DrainingProcess(multiprocess.Process):
    """One of several that share a listening socket."""

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = DrainingServer(self.config)
        return self._server

    def start(self) -> None:
        super().start()
        # Its end of the pipe is its own alone: who asks one that dies in that moment hears so, and need not wait.
        self.child_conn.close()

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        _follow_parent(within_s=(self.config.timeout_graceful_shutdown or 0) + 1)
        # That of a terminal reaches all: it is for the parent to say what follows.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        super().target(sockets)


def _follow_parent(within_s: float) -> None:
    """In a child: end as if told to when the parent is gone, however it went; at once when that takes too long."""
    parent = parent_process()
    if parent is None:
        return

    def wait_for_end() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(within_s)
        os._exit(1)

    threading.Thread(target=wait_for_end, name="parent", daemon=True).start()


class Workers(multiprocess.Multiprocess):
    """The process above several: it holds the listening socket, and puts a new one in the place of each that dies."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config, sockets=[listener])
        self.should_exit = _Ending(self.signal_queue)


class _Ending(threading.Event):
    """Set as soon as the process is told to end: in the middle of a replacement its signals are not looked at."""

    def __init__(self, signals: Sequence[int]) -> None:
        super().__init__()
        self._signals = signals

    def is_set(self) -> bool:
        return super().is_set() or not _ENDINGS.isdisjoint(self._signals)


def serve(config: uvicorn.Config, listener: socket.socket) -> bool:
    """Serve until SIGTERM or SIGINT. False when it could not start.

    With several workers, SIGHUP puts a new one in the place of each, one after another, without refusing anybody. With
    one it is an end like the others.
    """
    give_up_silent_clients(listener)
    if config.workers > 1:
        # The library's supervisor makes its processes by this name, and has no other way in.
        multiprocess.Process = DrainingProcess  # type: ignore[misc]
        workers = Workers(config, listener)
        workers.run()
        return all(process.exitcode != STARTUP_FAILURE for process in workers.processes)
    # The library raises the signal again when all is done: to have ended as one was told is no failure.
    signal.signal(signal.SIGTERM, _ended_as_told)
    server = DrainingServer(config)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup's
        signal.signal(signal.SIGHUP, server.handle_exit)
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
