"""What the transport needs beside the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from app.web.address import IPNetwork
from app.web.clients import ClientLimits

Scope = Mapping[str, Any]
"""An ASGI connection scope, of type `http` or `websocket`."""

RenderPage = Callable[[], tuple[bytes, Mapping[str, str]]]
"""A page and its headers, made anew for each visitor."""


class ContextFactory(Protocol):
    """Makes the context of one operation: who asks, and through which channel (`http` or `websocket`).

    `headers` have lower-case names. Raises Unauthenticated for a token that is not valid. The context may have
    `expires_at: datetime | None`, when its token ends; `user_id`, whom its sockets and streams count for; and
    `for_event()`, which gives a fresh one for an event.
    """

    async def __call__(
        self, headers: Mapping[str, str], client_address: str | None, request_id: str, channel: str
    ) -> object: ...


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """Bounds and policies of the transport. Times are in seconds."""

    max_body_bytes: int = 262_144
    """Largest request body and socket message."""
    trusted_proxies: Sequence[IPNetwork] = ()
    allowed_origins: Sequence[str] = ("*",)
    """Web origins that may open a socket or a stream; the page's own origin always may."""
    render_ide: RenderPage | None = None
    """The page for people who open the address in a browser."""
    body_timeout_s: float = 15.0
    query_timeout_s: float = 30.0
    """A query that takes longer is given up. Mutations are bounded by their transaction."""
    init_timeout_s: float = 5.0
    ping_interval_s: float = 20.0
    idle_timeout_s: float = 60.0
    send_timeout_s: float = 30.0
    """A socket or stream whose client takes no bytes for this long is closed."""
    client_limits: ClientLimits = field(default_factory=ClientLimits)
    """How many sockets and streams, and operations on them."""
    comment_interval_s: float = 15.0
    """An event stream that has nothing to tell says so this often."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def header_map(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name; a repeated one is joined by commas, except that the first Authorization counts."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = str(raw_name, "latin-1").lower(), str(raw_value, "latin-1")
        if name not in headers:
            headers[name] = value
        elif name != "authorization":
            headers[name] = f"{headers[name]}, {value}"
    return headers
