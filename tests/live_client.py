"""A client of graphql-transport-ws, and a screen that believes what it is told and checks that it fits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")
WAIT_S = 30.0
QUIET_S = 0.4


class OperationFailed(Exception):
    """The server answered with `error`."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(str(errors))
        self.errors = errors

    @property
    def code(self) -> str:
        code: str = self.errors[0]["extensions"]["code"]
        return code


class SocketLost(Exception):
    """The socket ended under the operation. `code` as in the close frame; 1006 when there was none."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


@dataclass(slots=True)
class LiveStream:
    """One subscription. Its root field's events, in order."""

    socket: LiveSocket
    id: str
    _messages: asyncio.Queue[dict[str, Any] | SocketLost] = field(default_factory=asyncio.Queue)

    async def next(self, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """The next event. Raises TimeoutError, OperationFailed, SocketLost, StopAsyncIteration when completed."""
        async with asyncio.timeout(timeout_s):
            message = await self._messages.get()
        if isinstance(message, SocketLost):
            self._messages.put_nowait(message)
            raise message
        if message["type"] == "error":
            raise OperationFailed(message["payload"])
        if message["type"] == "complete":
            raise StopAsyncIteration
        payload = message["payload"]
        if payload.get("errors"):
            raise OperationFailed(payload["errors"])
        event: dict[str, Any] = next(iter(payload["data"].values()))
        return event

    async def nothing(self, for_s: float = QUIET_S) -> None:
        """Fails when an event comes within that time."""
        with suppress(TimeoutError):
            raise AssertionError(f"nothing was expected: {await self.next(for_s)}")

    async def stop(self) -> None:
        await self.socket.send({"id": self.id, "type": "complete"})

    def take(self, message: dict[str, Any] | SocketLost) -> None:
        self._messages.put_nowait(message)


@dataclass(slots=True)
class LiveSocket:
    """One connection, acknowledged."""

    connection: ClientConnection
    _streams: dict[str, LiveStream] = field(default_factory=dict)
    _count: int = 0

    async def subscribe(self, query: str, **variables: Any) -> LiveStream:
        self._count += 1
        stream = LiveStream(self, f"op{self._count}")
        self._streams[stream.id] = stream
        payload = {"query": query, "variables": variables}
        await self.send({"id": stream.id, "type": "subscribe", "payload": payload})
        return stream

    async def send(self, message: dict[str, Any]) -> None:
        await self.connection.send(json.dumps(message))

    async def read(self) -> None:
        """Hand out what comes, until the socket ends."""
        code = 1006
        try:
            while True:
                message = json.loads(await self.connection.recv())
                if message["type"] == "ping":
                    await self.send({"type": "pong"})
                elif message["id"] in self._streams:
                    self._streams[message["id"]].take(message)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
        finally:
            for stream in self._streams.values():
                stream.take(SocketLost(code))

    def cut(self) -> None:
        """As a cable that is pulled: no close frame, no goodbye."""
        self.connection.transport.abort()


@asynccontextmanager
async def live_socket(url: str, token: str | None = None) -> AsyncIterator[LiveSocket]:
    """Raises OSError or ConnectionClosed when the server does not answer."""
    async with connect(url, subprotocols=[PROTOCOL], max_size=None, close_timeout=1) as connection:
        init: dict[str, Any] = {"type": "connection_init"}
        if token is not None:
            init["payload"] = {"authorization": f"Bearer {token}"}
        await connection.send(json.dumps(init))
        assert json.loads(await connection.recv())["type"] == "connection_ack"
        socket = LiveSocket(connection)
        reader = asyncio.create_task(socket.read())
        try:
            yield socket
        finally:
            reader.cancel()
            await asyncio.wait([reader])


@dataclass(slots=True)
class Screen:
    """What somebody sees who folds the events, with complaints about any that does not fit what was there."""

    starts: set[str] = field(default_factory=set)
    slots: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    cursor: str | None = None
    complaints: list[str] = field(default_factory=list)
    changes: int = 0
    resyncs: int = 0

    def show(self, event: dict[str, Any]) -> None:
        opened, closed = set(event["opened"]), set(event["closed"])
        if event["kind"] == "CHANGE":
            self.changes += 1
            self._check(event, opened, closed)
        else:
            self.resyncs += event["kind"] == "RESYNC"
            self.starts.clear()
            self.slots.clear()
        self.starts = (self.starts - closed) | opened
        for start in closed:
            self.slots.pop(start, None)
        fresh: dict[str, list[dict[str, Any]]] = {}
        for slot in event["updated"]:
            fresh.setdefault(slot["startsAt"], []).append(slot)
        self.slots.update(fresh)
        if set(self.slots) != self.starts:
            self.complaints.append(f"slots without a start, or the other way round: {event}")
        self.cursor = event["cursor"]

    def _check(self, event: dict[str, Any], opened: set[str], closed: set[str]) -> None:
        if opened & self.starts:
            self.complaints.append(f"opened what was open: {event}")
        if closed - self.starts:
            self.complaints.append(f"closed what was not open: {event}")
        if not event["causes"]:
            self.complaints.append(f"a change without a cause: {event}")
        if not (opened or closed or event["updated"]):
            self.complaints.append(f"a change that changes nothing: {event}")

    def shows(self, availability: dict[str, Any]) -> None:
        """Fails unless this is just what the query answers."""
        assert not self.complaints, self.complaints
        days = availability["days"]
        assert sorted(self.starts) == [start for day in days for start in day["starts"]]
        slots: dict[str, list[dict[str, Any]]] = {}
        for day in days:
            for slot in day["slots"]:
                slots.setdefault(slot["startsAt"], []).append(slot)
        assert self.slots == slots
