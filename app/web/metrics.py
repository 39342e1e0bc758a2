"""`GET /metrics`, in Prometheus's text format, of the process that answers."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_200_OK, HTTP_404_NOT_FOUND

from app.core.metrics import CONTENT_TYPE

_NO_STORE = {"cache-control": "no-store"}
_PROXIED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def metrics_routes(exposition: Callable[[], bytes], token: str | None) -> list[HTTPRouteHandler]:
    """With a token: whoever sends it. Without: programs on this machine, unless a proxy passed the request on.

    Everybody else is told that there is nothing here.
    """

    @get("/metrics", include_in_schema=False)
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        if not (_has_token(request, token) if token is not None else _is_local(request)):
            return Response(b"", status_code=HTTP_404_NOT_FOUND, headers=_NO_STORE, media_type="text/plain")
        return Response(exposition(), status_code=HTTP_200_OK, headers=_NO_STORE, media_type=CONTENT_TYPE)

    return [metrics]


def _has_token(request: Request[Any, Any, Any], token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _is_local(request: Request[Any, Any, Any]) -> bool:
    if any(name in request.headers for name in _PROXIED):
        return False
    client = request.scope.get("client")
    if client is None:
        return True  # a Unix socket
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False
