"""The web application around its routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.enums import ScopeType
from litestar.types import ASGIApp, ControllerRouterHandler

from app.web.failures import answer_failure

Drain = Callable[[float], Awaitable[None]]
Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


class WebApplication(Litestar):
    """Litestar, with a shorter way to addresses that are asked for all the time.

    What is asked for from the pages of other origins takes the usual way, through the headers that those pages need.
    Sockets need none: whoever serves them looks at the origin. `drain(seconds)` is for the server: called when it has
    stopped listening, it ends what would not end by itself.
    """

    def __init__(
        self,
        shortcuts: Mapping[str, ASGIApp],
        socket_shortcuts: Mapping[str, ASGIApp],
        drain: Drain | None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._shortcuts = dict(shortcuts)
        self._socket_shortcuts = dict(socket_shortcuts)
        self.drain = drain

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == ScopeType.HTTP:
            shortcut = self._shortcuts.get(scope["path"])
            if shortcut is not None and not any(name == b"origin" for name, _ in scope["headers"]):
                await shortcut(scope, receive, send)
                return
        elif scope["type"] == ScopeType.WEBSOCKET:
            shortcut = self._socket_shortcuts.get(scope["path"])
            if shortcut is not None:
                await shortcut(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def web_application(
    routes: Sequence[ControllerRouterHandler],
    *,
    allowed_origins: Sequence[str],
    lifespan: Sequence[Lifespan] = (),
    shortcuts: Mapping[str, ASGIApp] | None = None,
    socket_shortcuts: Mapping[str, ASGIApp] | None = None,
    drain: Drain | None = None,
) -> Litestar:
    """Routes that pages of these origins may call, with failures answered alike.

    Shortcuts are among the routes too, by their whole path; they answer for their failures themselves.
    """
    return WebApplication(
        shortcuts or {},
        socket_shortcuts or {},
        drain,
        route_handlers=routes,
        lifespan=list(lifespan),
        cors_config=CORSConfig(
            allow_origins=list(allowed_origins),
            allow_methods=["GET", "POST", "OPTIONS"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "X-Client-Id",
                "X-Request-Id",
            ],
            expose_headers=["Retry-After", "X-Request-Id"],
            max_age=86_400,
        ),
        exception_handlers={Exception: answer_failure},
        openapi_config=None,
        logging_config=None,
    )
