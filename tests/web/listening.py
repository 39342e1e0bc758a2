"""Listeners without a socket: what a client would have got, and a client that takes it or does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.web.graphql import GraphQLEngine
from app.web.graphql.broadcast import Broadcasts
from app.web.graphql.engine import LiveOperation
from app.web.graphql.outlet import Outlet
from app.web.graphql.sink import Listening, Sink
from tests.web.graphql_server import RequestContext, Witness


class Client(Outlet):
    """Takes everything until it `stops`; then nothing, until it `reads` again."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[dict[str, Any]] = []
        self.is_stopped = False

    @property
    def is_full(self) -> bool:
        return self.is_stopped

    def waiting_bytes(self) -> int:
        return 0

    def put(self, head: bytes, tail: bytes) -> bool:
        if self.is_stopped:
            return False
        self.got.append(msgspec.json.decode(head + tail))
        return True

    async def flush(self) -> None: ...

    def drop(self) -> None: ...

    def abort(self) -> None: ...

    def stop(self) -> None:
        self.is_stopped = True

    def read(self, messages: int | None = None) -> None:
        """Take what waits: everything, or so many messages."""
        self.is_stopped = False
        while self._turns and (messages is None or messages > 0):
            self._turns.popleft()()
            messages = None if messages is None else messages - 1
        self.is_stopped = messages is not None

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [message["payload"] for message in self.got]


def context_of(viewer: str | None) -> RequestContext:
    headers = {} if viewer is None else {"authorization": viewer}
    return RequestContext(Witness(), headers, None, f"request of {viewer}", "websocket")


@dataclass
class Listener:
    """One operation of one client."""

    client: Client
    sink: Sink
    operation: LiveOperation
    overs: list[bytes | None] = field(default_factory=list)

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return self.client.payloads


async def listening(
    engine: GraphQLEngine,
    broadcasts: Broadcasts,
    query: str,
    viewer: str | None = None,
    *,
    variables: Mapping[str, object] | None = None,
    client: Client | None = None,
) -> Listener:
    operation = await engine.listen(engine.accept(query, None, variables or {}), context_of(viewer))
    assert isinstance(operation, LiveOperation), operation
    client = client or Client()
    sink = Sink(Listening(broadcasts, operation, f"request of {viewer}"), client, b'{"payload":')
    listener = Listener(client, sink, operation)
    sink.on_over = listener.overs.append
    await sink.join()
    return listener
