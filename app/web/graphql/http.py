"""GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/): one request, one JSON answer."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
from graphql import OperationType

from app.domain.errors import DomainError, RateLimited, Unauthenticated, Violation
from app.web.address import client_address
from app.web.graphql.bodies import BadRequest, GraphQLRequest, read_body, read_query_string
from app.web.graphql.engine import Call, GraphQLEngine, RequestRefused, formatted_request_errors
from app.web.graphql.options import ContextFactory, Scope, TransportOptions, header_map

log = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
HTML = "text/html"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STATUS_OF_CODE = {"UNAUTHENTICATED": 401, "RATE_LIMITED": 429, "UNAVAILABLE": 503, "INTERNAL": 500, "FORBIDDEN": 403}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpRefusal(Exception):
    """An answer that has a status of its own, whatever media type was asked for."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "BAD_INPUT",
        headers: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        extensions: dict[str, object] = {"code": code}
        if violations:
            extensions["violations"] = [{"path": v.path, "message": v.message} for v in violations]
        self.errors: list[dict[str, object]] = [{"message": message, "extensions": extensions}]


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class HttpHandler:
    """Answers the HTTP requests of one GraphQL address."""

    def __init__(self, engine: GraphQLEngine, context_factory: ContextFactory, options: TransportOptions) -> None:
        self._engine = engine
        self._context_factory = context_factory
        self._options = options
        self._mutations: set[asyncio.Task[dict[str, object]]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = header_map(scope)
        request_id = sane_request_id(headers.get("x-request-id"))
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                answer = await self._answer(scope, headers, request_id, receive)
            except ClientGone:
                return
            except HttpRefusal as refusal:
                log.info("graphql.refused", status=refusal.status, errors=refusal.errors)
                answer = _error_answer(refusal.status, refusal.errors, headers, refusal.headers)
            except Exception as error:
                answer = self._failure(error, headers, request_id)
            await _send_answer(send, answer, request_id)

    async def drain(self, timeout_s: float) -> None:
        """Wait for the mutations whose clients are gone."""
        if self._mutations:
            await asyncio.wait(set(self._mutations), timeout=timeout_s)

    async def _answer(self, scope: Scope, headers: Mapping[str, str], request_id: str, receive: Receive) -> HttpAnswer:
        method = scope["method"]
        if method == "OPTIONS":
            return HttpAnswer(204, b"", "", {"allow": "GET, POST, OPTIONS"})
        if method not in {"GET", "POST"}:
            allow = {"allow": "GET, POST, OPTIONS"}
            raise HttpRefusal(405, f"{method[:20]} is not supported: use POST or GET.", headers=allow)
        render_ide = self._options.render_ide if method == "GET" else None
        media = negotiate(headers.get("accept"), html=render_ide is not None)
        if media is None:
            raise HttpRefusal(406, f"This address answers with {GRAPHQL_RESPONSE} or {JSON}.")
        if media == HTML and render_ide is not None:
            page, page_headers = render_ide()
            return HttpAnswer(200, page, HTML, {name.lower(): value for name, value in page_headers.items()})
        request = await self._read(scope, headers, receive)
        try:
            call = self._engine.accept(request.query, request.operation_name, request.variables)
            _check_kind(call, method)
            address = client_address(scope, self._options.trusted_proxies)

            async def work() -> dict[str, object]:
                context = await self._context_factory(headers, address, request_id, "http")
                return self._engine.result(await self._engine.execute(call, context), request_id)

            body = await self._run(call, work(), receive)
        except RequestRefused as refused:
            status = 400 if media == GRAPHQL_RESPONSE else 200
            return HttpAnswer(status, _encode({"errors": formatted_request_errors(refused.errors)}), media)
        return HttpAnswer(200, _encode(body), media)

    async def _read(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> GraphQLRequest:
        try:
            if scope["method"] == "GET":
                return read_query_string(scope["query_string"])
            _check_content_type(headers.get("content-type"))
            async with asyncio.timeout(self._options.body_timeout_s):
                raw = await _read_limited(headers, receive, self._options.max_body_bytes)
            return read_body(raw)
        except BadRequest as bad:
            raise HttpRefusal(400, bad.message, violations=bad.violations) from None
        except TimeoutError:
            raise HttpRefusal(408, "The request's body did not arrive in time.", headers=_CLOSE) from None

    async def _run(
        self, call: Call, work: Coroutine[Any, Any, dict[str, object]], receive: Receive
    ) -> dict[str, object]:
        """Watch for the client to leave: a query is then given up, a mutation goes on to its end."""
        task = asyncio.create_task(work)
        if call.kind is OperationType.MUTATION:
            self._mutations.add(task)
            task.add_done_callback(self._mutation_done)
            return await asyncio.shield(task)
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({task, gone}, timeout=self._options.query_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if gone.done():
                raise ClientGone
            message = f"The query took longer than {self._options.query_timeout_s:g} s. Ask for less at once."
            raise HttpRefusal(503, message, code="UNAVAILABLE")
        finally:
            for started in (task, gone):
                started.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    def _mutation_done(self, task: asyncio.Task[dict[str, object]]) -> None:
        self._mutations.discard(task)
        if not task.cancelled():
            task.exception()  # seen here, also when nobody waits for it

    def _failure(self, error: Exception, asked: Mapping[str, str], request_id: str) -> HttpAnswer:
        """What was raised outside of any field: by the making of the context, or by a fault of ours."""
        described = self._engine.describe_exception(error, request_id)
        extensions = described["extensions"]
        code = extensions.get("code") if isinstance(extensions, dict) else None
        headers: dict[str, str] = {}
        if isinstance(error, Unauthenticated):
            headers["www-authenticate"] = "Bearer"
        if isinstance(error, RateLimited):
            headers["retry-after"] = str(error.retry_after_seconds)
        status = _STATUS_OF_CODE.get(str(code), 400 if isinstance(error, DomainError) else 500)
        return _error_answer(status, [described], asked, headers)


_CLOSE = {"connection": "close"}


def _error_answer(
    status: int, errors: list[dict[str, object]], asked: Mapping[str, str], headers: Mapping[str, str]
) -> HttpAnswer:
    media = negotiate(asked.get("accept"), html=False) or JSON
    return HttpAnswer(status, _encode({"errors": errors}), media, headers)


def sane_request_id(given: str | None) -> str:
    """The caller's own id when it is short and plain, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return secrets.token_hex(12)


def negotiate(accept: str | None, *, html: bool) -> str | None:
    """The media type of the answer: the one of highest quality, the first among equals; None when there is none.

    Types that we do not speak are passed over: some clients list `text/event-stream` in each request.
    """
    if accept is None or not accept.strip():
        return JSON
    best: tuple[float, str] | None = None
    for item in accept.split(",")[:50]:
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        media = _SPOKEN.get(name)
        if media is None or (media == HTML and not html):
            continue
        quality = next((_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, media)
    return best[1] if best else None


_SPOKEN = {GRAPHQL_RESPONSE: GRAPHQL_RESPONSE, JSON: JSON, "application/*": JSON, "*/*": JSON, HTML: HTML}


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.\d{0,3})?", text) else 0.0


def _check_kind(call: Call, method: str) -> None:
    if call.kind is OperationType.SUBSCRIPTION:
        raise HttpRefusal(400, "Subscriptions need a WebSocket (protocol graphql-transport-ws) at this same address.")
    if method == "GET" and call.kind is not OperationType.QUERY:
        raise HttpRefusal(405, "Mutations need POST.", headers={"allow": "POST"})


def _check_content_type(value: str | None) -> None:
    """Only JSON: a page of another origin cannot send that without asking first, so no form can act for a visitor."""
    name, *parameters = (part.strip().lower() for part in (value or "").split(";"))
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    if name != JSON or any(charset not in {"utf-8", "utf8"} for charset in charsets):
        raise HttpRefusal(415, f"Send the request as `content-type: {JSON}`, in UTF-8.", headers={"accept-post": JSON})


async def _read_limited(headers: Mapping[str, str], receive: Receive, most: int) -> bytes:
    declared = headers.get("content-length", "0")
    if len(declared) > 15 or (declared.isdigit() and int(declared) > most):
        raise _too_large(most)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(most: int) -> HttpRefusal:
    return HttpRefusal(413, f"The request is larger than {most} bytes.")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _encode(body: object) -> bytes:
    return msgspec.json.encode(body)


async def _send_answer(send: Send, answer: HttpAnswer, request_id: str) -> None:
    headers = {
        "content-length": str(len(answer.body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-request-id": request_id,
        "vary": "accept",
        **answer.headers,
    }
    if answer.media_type:
        headers["content-type"] = f"{answer.media_type}; charset=utf-8"
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})
