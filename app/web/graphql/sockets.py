"""Who may open a socket, and how many; each one is then served by `Socket`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from app.core.live_metrics import LIVE
from app.web.address import address_bucket, client_address
from app.web.frames import frames_of
from app.web.graphql.alarms import Alarms
from app.web.graphql.broadcast import Broadcasts
from app.web.graphql.engine import GraphQLEngine
from app.web.graphql.http import Receive, Send
from app.web.graphql.options import ContextFactory, Scope, TransportOptions, header_map
from app.web.graphql.outlet import AsgiOutlet, FrameOutlet
from app.web.graphql.websocket import Socket, SocketClose, SocketSetup

SUBPROTOCOL = "graphql-transport-ws"


class SocketHandler:
    """Serves the sockets of one GraphQL address."""

    def __init__(self, engine: GraphQLEngine, context_factory: ContextFactory, options: TransportOptions) -> None:
        self._options = options
        self._setup = SocketSetup(engine, context_factory, options, Alarms(), Broadcasts(engine))
        self._sockets: set[Socket] = set()
        self._per_address: Counter[str] = Counter()

    @property
    def open_sockets(self) -> int:
        return len(self._sockets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        headers = header_map(scope)
        address = client_address(scope, self._options.trusted_proxies)
        bucket = address_bucket(address) if address else ""
        with suppress(OSError):  # the client left meanwhile
            refusal = self._refusal(scope, headers, bucket)
            if refusal is not None:
                await _refuse(scope, send, refusal)
                return
            frames = frames_of(scope)
            outlet = AsgiOutlet(send) if frames is None else FrameOutlet(frames)
            # Nobody asks for those of the handshake again.
            kept = {name: value for name, value in headers.items() if not name.startswith("sec-websocket-")}
            socket = Socket(self._setup, headers=kept, address=address, receive=receive, send=send, outlet=outlet)
            self._sockets.add(socket)
            LIVE.open_sockets += 1
            self._per_address[bucket] += 1
            try:
                await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
                await socket.run()
            finally:
                self._sockets.discard(socket)
                LIVE.open_sockets -= 1
                self._per_address[bucket] -= 1
                if not self._per_address[bucket]:
                    del self._per_address[bucket]

    def close_all(self) -> None:
        """The server is going down: clients should come back to another."""
        for socket in list(self._sockets):
            socket.finish(SocketClose(1012, "Service restart"))

    def _refusal(self, scope: Scope, headers: Mapping[str, str], bucket: str) -> SocketClose | None:
        if not origin_allowed(headers, self._options.allowed_origins):
            return SocketClose(403, "Origin not allowed")
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
            return SocketClose(4406, "Subprotocol not acceptable: use graphql-transport-ws")
        most = self._options.max_sockets_per_address
        if most and bucket and self._per_address[bucket] >= most:
            return SocketClose(4429, f"Too many sockets: at most {most} for one client")
        return None


def origin_allowed(headers: Mapping[str, str], allowed: Sequence[str]) -> bool:
    """Programs send no Origin. A page may connect to the host that served it, and from the origins allowed."""
    origin = headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    try:
        return urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        return False


async def _refuse(scope: Scope, send: Send, refusal: SocketClose) -> None:
    """Browsers see the code only of a socket that was accepted; a foreign page gets none at all (HTTP 403)."""
    if refusal.code != 403:
        offered = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": offered})
    await send({"type": "websocket.close", "code": refusal.code, "reason": refusal.reason})
