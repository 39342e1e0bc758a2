"""What addresses outside of /graphql answer when they fail: JSON with a code; the cause goes to the log alone."""

from __future__ import annotations

from typing import Any

import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException
from litestar.exceptions.responses import create_exception_response

from app.core.outages import describe
from app.domain.errors import Unavailable
from app.web.graphql.errors import MASKED_MESSAGE, is_outage
from app.web.graphql.http import sane_request_id

log = structlog.get_logger(__name__)


def answer_failure(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """503 when something that we need is away, else a masked 500; both as `{"error", "code", "requestId"}`.

    What was wrong with the request itself keeps its status.
    """
    if isinstance(error, HTTPException) and error.status_code < 500:
        return create_exception_response(request, error)
    request_id = sane_request_id(request.headers.get("x-request-id"))
    # The path alone: the query string of a calendar holds its token.
    facts = {"request_id": request_id, "path": request.url.path, "error": describe(error)[:500]}
    if is_outage(error):
        log.warning("http.unavailable", **facts)
        return _answer(503, Unavailable().message, "UNAVAILABLE", request_id)
    log.error("http.failed", **facts, exc_info=error)
    return _answer(500, MASKED_MESSAGE, "INTERNAL", request_id)


def _answer(status: int, message: str, code: str, request_id: str) -> Response[Any]:
    return Response(
        {"error": message, "code": code, "requestId": request_id},
        status_code=status,
        media_type=MediaType.JSON,
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-Id": request_id},
    )
