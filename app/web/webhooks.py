"""`POST /webhooks/{processor}`: kept and answered at once; the work is a job's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from app.gateway import BadSignature, Delivery

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 1_000_000
"""Far above any event."""

Receive = Callable[[str, Delivery], Awaitable[bool]]
"""(processor, delivery) → was it new? Raises BadSignature."""


def webhook_routes(receive: Receive, processors: frozenset[str]) -> list[HTTPRouteHandler]:
    """For each processor that has a key here; others are not found.

    2xx: kept. 400: not the processor's, or altered. 5xx: not kept, so that the processor sends it again.
    """

    @post("/webhooks/{processor:str}", include_in_schema=False, status_code=200, request_max_body_size=MAX_BODY_BYTES)
    async def take(request: Request[Any, Any, Any], processor: FromPath[str]) -> Response[bytes]:
        if processor not in processors:
            return _said("Not found", 404)
        delivery = Delivery(
            body=await request.body(),
            headers={name.lower(): value for name, value in request.headers.items()},
            query=request.scope["query_string"].decode("latin-1"),
        )
        try:
            is_new = await receive(processor, delivery)
        except BadSignature as bad:
            log.warning("webhook.refused", processor=processor, reason=str(bad))
            return _said("Bad signature", 400)
        return _said("Kept" if is_new else "Known", 200)

    return [take]


def _said(text: str, status: int) -> Response[bytes]:
    return Response(
        f"{text}\n".encode(), status_code=status, media_type="text/plain", headers={"Cache-Control": "no-store"}
    )
