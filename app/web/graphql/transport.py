"""One address for HTTP and WebSocket, as a route of the application."""

from __future__ import annotations

import asyncio

from litestar import asgi
from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from app.web.clients import Clients
from app.web.graphql.broadcast import Broadcasts
from app.web.graphql.engine import GraphQLEngine
from app.web.graphql.http import HttpHandler
from app.web.graphql.options import ContextFactory, TransportOptions
from app.web.graphql.sockets import SocketHandler

GRAPHQL_PATH = "/graphql"
_LEAST_GRACE_S = 0.5


class GraphQLTransport:
    """An ASGI application for the scopes `http` and `websocket`. It keeps no state of a request on itself."""

    def __init__(
        self, engine: GraphQLEngine, context_factory: ContextFactory, options: TransportOptions | None = None
    ) -> None:
        chosen = options or TransportOptions()
        self.options = chosen
        self._ends_at: float | None = None
        self.clients = Clients(chosen.client_limits)
        broadcasts = Broadcasts(engine)
        self.http = HttpHandler(engine, context_factory, chosen, self.clients, broadcasts)
        self.sockets = SocketHandler(engine, context_factory, chosen, self.clients, broadcasts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await self.sockets(scope, receive, send)
        else:
            await self.http(scope, receive, send)

    async def drain(self, grace_s: float) -> None:
        """Refuse what is new, and end sockets and streams over at most half of that time: the server goes down."""
        self._ends_at = asyncio.get_running_loop().time() + grace_s
        await self.clients.drain(grace_s / 2)

    async def shutdown(self, timeout_s: float = 4.0) -> None:
        """End what is still open, at once, and let mutations end whose clients left."""
        self.clients.end_all()
        if self._ends_at is not None:
            timeout_s = max(_LEAST_GRACE_S, self._ends_at - asyncio.get_running_loop().time())
        await self.http.drain(timeout_s)


def graphql_routes(transport: GraphQLTransport, path: str = GRAPHQL_PATH) -> list[ASGIRouteHandler]:
    """The route handlers to give to the application, for both scopes of the one path."""

    @asgi(path, copy_scope=True)
    async def graphql(scope: Scope, receive: Receive, send: Send) -> None:
        await transport(scope, receive, send)

    return [graphql]
