"""`GET /availability/{providerId}/stream`: free slots as a plain event stream, for clients without GraphQL.

What a client did wrong it is told as JSON with a status, before the stream begins. Afterwards a stream only ends: its
client comes back with the id of the last event, and then gets either what it missed or that status.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import parse_qsl

import msgspec
import structlog
from graphql import GraphQLError
from litestar import asgi
from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from app.domain.errors import BadInput, DomainError, NotAllowed, NotFound, RateLimited
from app.web.address import address_bucket, client_address
from app.web.clients import Clients, read_own_id
from app.web.event_stream import EventStream, Pace, event_frame
from app.web.graphql.errors import describe_error
from app.web.graphql.http import sane_request_id
from app.web.graphql.options import TransportOptions, header_map
from app.web.origins import origin_allowed

log = structlog.get_logger(__name__)

_STATUS_OF_CODE = {"NOT_FOUND": 404, "FORBIDDEN": 403, "RATE_LIMITED": 429, "UNAVAILABLE": 503, "INTERNAL": 500}
_MOST_PARAMETERS = 20


class Streamed(Protocol):
    """One event."""

    @property
    def name(self) -> str: ...

    @property
    def cursor(self) -> str: ...

    @property
    def data(self) -> bytes:
        """JSON without line ends."""


class StreamedEvents(Protocol):
    """All that one client is told, in order."""

    def __aiter__(self) -> AsyncIterator[Streamed]: ...

    async def aclose(self) -> None: ...


OpenAvailability = Callable[[str, Mapping[str, str], str | None, str | None, str], Awaitable[StreamedEvents]]
"""(provider, parameters, cursor, network address, request id) → the events. Raises domain errors before the first."""


def availability_routes(
    open_events: OpenAvailability, clients: Clients, options: TransportOptions
) -> list[ASGIRouteHandler]:
    """The one address."""
    handler = _Handler(open_events, clients, options)

    # Litestar's bare ASGI routes know no parameters in their paths, so that the rest of it is read here.
    @asgi("/availability", is_mount=True, copy_scope=True)
    async def availability_stream(scope: Scope, receive: Receive, send: Send) -> None:
        await handler(scope, receive, send)

    return [availability_stream]


class _Handler:
    def __init__(self, open_events: OpenAvailability, clients: Clients, options: TransportOptions) -> None:
        self._open = open_events
        self._clients = clients
        self._options = options
        self._pace = Pace(
            comment_every_s=options.comment_interval_s, send_timeout_s=options.send_timeout_s, now=options.now
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": ""})  # not accepted yet: HTTP 403
            return
        headers = header_map(scope)
        request_id = sane_request_id(headers.get("x-request-id"))
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            provider_id = _provider_id(scope)
            if scope.get("method") != "GET":
                await _refuse(send, 405, {"error": "Use GET.", "code": "BAD_INPUT"}, request_id, {"allow": "GET"})
                return
            await self._serve(provider_id, scope, headers, request_id, receive=receive, send=send)
        except Exception as error:
            status, body, more = _describe(error, request_id)
            await _refuse(send, status, body, request_id, more)

    async def _serve(
        self,
        provider_id: str,
        scope: Scope,
        headers: Mapping[str, str],
        request_id: str,
        *,
        receive: Receive,
        send: Send,
    ) -> None:
        """Raises before anything is sent, or not at all."""
        if not origin_allowed(headers, self._options.allowed_origins):
            raise NotAllowed("allowed_origins", "Pages of this origin may not open streams here.")
        own_id = read_own_id(headers, scope["query_string"])
        parameters = _parameters(scope["query_string"])
        # A browser that comes back sends the header, and has the parameter in its address from the first time still.
        after = headers.get("last-event-id") or parameters.get("lastEventId") or None
        address = client_address(scope, self._options.trusted_proxies)
        stream = EventStream(receive, send, self._pace)
        with self._clients.visit(address_bucket(address) if address else None, stream.restart) as visit:
            visit.identify(None, own_id)
            visit.begin()
            events = await self._open(provider_id, parameters, after, address, request_id)
            try:
                await stream.run(_frames(events), {"x-request-id": request_id})
            finally:
                await events.aclose()


async def _frames(events: StreamedEvents) -> AsyncGenerator[bytes, None]:
    async for event in events:
        yield event_frame(event.data, event=event.name, cursor=event.cursor)


def _provider_id(scope: Scope) -> str:
    """`/{providerId}/stream`, with or without a slash at the end. Raises NotFound for any other path."""
    match scope["path"].removesuffix("/").split("/"):
        case ["", provider_id, "stream"]:
            return str(provider_id)
    raise NotFound


def _parameters(query_string: bytes) -> dict[str, str]:
    """Raises BadInput."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:
        raise BadInput.at("query", "is not valid percent-encoded UTF-8, or has too many parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise BadInput.at(name[:40], "is given twice")
        found[name] = value
    return found


def _describe(error: Exception, request_id: str) -> tuple[int, dict[str, object], dict[str, str]]:
    """Status, body and further headers."""
    described = describe_error(GraphQLError(str(error), original_error=error), request_id)
    code = str(described.extensions.get("code"))
    body: dict[str, object] = {"error": described.message, **described.extensions}
    more: dict[str, str] = {}
    if isinstance(error, RateLimited):
        more["retry-after"] = str(error.retry_after_seconds)
    elif code == "UNAVAILABLE":
        more["retry-after"] = "1"
    status = _STATUS_OF_CODE.get(code, 400 if isinstance(error, DomainError) else 500)
    return status, body, more


async def _refuse(
    send: Send, status: int, body: Mapping[str, object], request_id: str, more: Mapping[str, str]
) -> None:
    content = msgspec.json.encode({**body, "requestId": request_id})
    headers = {
        "content-type": "application/json",
        "content-length": str(len(content)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-request-id": request_id,
        **more,
    }
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": content, "more_body": False})
