"""Who may open a socket, and how many; each one is then served by `Socket`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from app.core.live_metrics import LIVE
from app.domain.errors import RateLimited
from app.web.address import address_bucket, client_address
from app.web.clients import Clients, Restarting
from app.web.event_stream import Receive, Send
from app.web.frames import frames_of
from app.web.graphql.alarms import Alarms
from app.web.graphql.broadcast import Broadcasts
from app.web.graphql.engine import GraphQLEngine
from app.web.graphql.messages import too_many
from app.web.graphql.options import ContextFactory, Scope, TransportOptions, header_map
from app.web.graphql.outlet import AsgiOutlet, FrameOutlet
from app.web.graphql.websocket import Socket, SocketClose, SocketSetup
from app.web.origins import origin_allowed

SUBPROTOCOL = "graphql-transport-ws"
RESTART = SocketClose(1012, "Service restart. Try again in a moment")


class SocketHandler:
    """Serves the sockets of one GraphQL address."""

    def __init__(
        self,
        engine: GraphQLEngine,
        context_factory: ContextFactory,
        options: TransportOptions,
        clients: Clients,
        broadcasts: Broadcasts,
    ) -> None:
        self._options = options
        self._setup = SocketSetup(engine, context_factory, options, Alarms(), broadcasts)
        self._clients = clients
        self._sockets: set[Socket] = set()

    @property
    def open_sockets(self) -> int:
        return len(self._sockets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        headers = header_map(scope)
        address = client_address(scope, self._options.trusted_proxies)
        with suppress(OSError):  # the client left meanwhile
            refusal = self._refusal(scope, headers)
            if refusal is not None:
                await _refuse(scope, send, refusal)
                return
            frames = frames_of(scope)
            outlet = AsgiOutlet(send) if frames is None else FrameOutlet(frames)
            # Nobody asks for those of the handshake again.
            kept = {name: value for name, value in headers.items() if not name.startswith("sec-websocket-")}
            socket = Socket(self._setup, headers=kept, address=address, receive=receive, send=send, outlet=outlet)
            await self._serve(scope, send, socket, address_bucket(address) if address else None)

    async def _serve(self, scope: Scope, send: Send, socket: Socket, bucket: str | None) -> None:
        try:
            with self._clients.visit(bucket, partial(socket.finish, RESTART), socket.count_operations) as visit:
                socket.visit = visit
                self._sockets.add(socket)
                LIVE.open_sockets += 1
                try:
                    await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
                    await socket.run()
                finally:
                    self._sockets.discard(socket)
                    LIVE.open_sockets -= 1
        except RateLimited as limited:
            await _refuse(scope, send, too_many(limited))
        except Restarting:
            await _refuse(scope, send, RESTART)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> SocketClose | None:
        if not origin_allowed(headers, self._options.allowed_origins):
            return SocketClose(403, "Origin not allowed")
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
            return SocketClose(4406, "Subprotocol not acceptable: use graphql-transport-ws")
        return None


async def _refuse(scope: Scope, send: Send, refusal: SocketClose) -> None:
    """Browsers see the code only of a socket that was accepted; a foreign page gets none at all (HTTP 403)."""
    if refusal.code != 403:
        offered = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": offered})
    await send({"type": "websocket.close", "code": refusal.code, "reason": refusal.reason})
