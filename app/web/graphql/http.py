"""GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/): one request, one JSON answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from os import urandom
from typing import Any

import msgspec
import structlog
from graphql import OperationType

from app.domain.errors import DomainError, RateLimited, Unauthenticated, Violation
from app.web.address import client_address
from app.web.clients import Clients
from app.web.event_stream import EVENT_STREAM, Receive, Send
from app.web.graphql.bodies import BadRequest, GraphQLRequest, read_body, read_query_string
from app.web.graphql.broadcast import Broadcasts
from app.web.graphql.documents import Call
from app.web.graphql.engine import GraphQLEngine, RequestRefused, formatted_request_errors
from app.web.graphql.event_stream import EventStreams, ForeignOrigin, result_frames
from app.web.graphql.options import ContextFactory, Scope, TransportOptions, header_map
from app.web.graphql.patience import ClientGone, TookTooLong, Watch

log = structlog.get_logger(__name__)

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
HTML = "text/html"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STATUS_OF_CODE = {"UNAUTHENTICATED": 401, "RATE_LIMITED": 429, "UNAVAILABLE": 503, "INTERNAL": 500, "FORBIDDEN": 403}


@dataclass(slots=True)
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


class HttpHandler:
    """Answers the HTTP requests of one GraphQL address."""

    def __init__(
        self,
        engine: GraphQLEngine,
        context_factory: ContextFactory,
        options: TransportOptions,
        clients: Clients,
        broadcasts: Broadcasts,
    ) -> None:
        self._engine = engine
        self._streams = EventStreams(engine, context_factory, options, clients, broadcasts)
        self._context_factory = context_factory
        self._options = options
        self._mutations: set[asyncio.Task[bytes]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = header_map(scope)
        request_id = sane_request_id(headers.get("x-request-id"))
        structlog.contextvars.bind_contextvars(request_id=request_id)  # each request is a task: nothing to undo
        watch = Watch()
        try:
            answer = await self._answer(scope, headers, request_id, receive, watch)
            if isinstance(answer, Call):
                watch.close()
                await self._streams.serve(answer, scope, headers, request_id, receive=receive, send=send)
                return
        except ClientGone:
            return
        except ForeignOrigin:
            answer = _error_answer(403, [_FOREIGN], headers, {})
        except HttpRefusal as refusal:
            log.info("graphql.refused", status=refusal.status, errors=refusal.errors)
            answer = _error_answer(refusal.status, refusal.errors, headers, refusal.headers)
        except Exception as error:
            answer = self._failure(error, headers, request_id)
        finally:
            watch.close()
        await _send_answer(send, answer, request_id)

    async def drain(self, timeout_s: float) -> None:
        """Wait for the mutations whose clients are gone."""
        if self._mutations:
            await asyncio.wait(set(self._mutations), timeout=timeout_s)

    async def _answer(
        self, scope: Scope, headers: Mapping[str, str], request_id: str, receive: Receive, watch: Watch
    ) -> HttpAnswer | Call:
        """The answer, or the subscription whose stream it is."""
        method = scope["method"]
        if method not in ("POST", "GET"):
            return _answer_other_method(method)
        render_ide = self._options.render_ide if method == "GET" else None
        media = negotiate(headers.get("accept"), html=render_ide is not None)
        if media is None:
            raise HttpRefusal(406, f"This address answers with {GRAPHQL_RESPONSE}, {JSON} or {EVENT_STREAM}.")
        if media == HTML and render_ide is not None:
            page, page_headers = render_ide()
            return HttpAnswer(200, page, HTML, {name.lower(): value for name, value in page_headers.items()})
        try:
            call = await self._call(scope, headers, receive, watch)
            _check_kind(call, method, headers.get("accept"))
            if call.kind is OperationType.SUBSCRIPTION:
                return call
            address = client_address(scope, self._options.trusted_proxies)
            work = self._work(call, headers, address, request_id)
            if call.kind is OperationType.MUTATION:
                return _result_answer(200, await self._to_its_end(work), media)
            with watch.over(self._options.query_timeout_s, receive):
                return _result_answer(200, await work, media)
        except RequestRefused as refused:
            status = 400 if media == GRAPHQL_RESPONSE else 200
            return _result_answer(status, _encode({"errors": formatted_request_errors(refused.errors)}), media)
        except TookTooLong:
            message = f"The query took longer than {self._options.query_timeout_s:g} s. Ask for less at once."
            raise HttpRefusal(503, message, code="UNAVAILABLE") from None

    async def _call(self, scope: Scope, headers: Mapping[str, str], receive: Receive, watch: Watch) -> Call:
        if scope["method"] == "GET":
            return self._accept(partial(read_query_string, scope["query_string"]))
        _check_content_type(headers.get("content-type"))
        try:
            with watch.over(self._options.body_timeout_s):
                raw = await _read_limited(headers, receive, self._options.max_body_bytes)
        except TookTooLong:
            raise HttpRefusal(408, "The request's body did not arrive in time.", headers=_CLOSE) from None
        call = self._engine.recall(raw)
        if call is None:
            call = self._accept(partial(read_body, raw))
            self._engine.remember(raw, call)
        return call

    def _accept(self, read: Callable[[], GraphQLRequest]) -> Call:
        try:
            request = read()
        except BadRequest as bad:
            raise HttpRefusal(400, bad.message, violations=bad.violations) from None
        return self._engine.accept(request.query, request.operation_name, request.variables)

    async def _work(self, call: Call, headers: Mapping[str, str], address: str | None, request_id: str) -> bytes:
        context = await self._context_factory(headers, address, request_id, "http")
        return _encode(self._engine.result(await self._engine.execute(call, context), request_id))

    async def _to_its_end(self, work: Coroutine[Any, Any, bytes]) -> bytes:
        """A mutation is not given up half way, whatever its client does."""
        task = asyncio.create_task(work)
        self._mutations.add(task)
        task.add_done_callback(self._mutation_done)
        return await asyncio.shield(task)

    def _mutation_done(self, task: asyncio.Task[bytes]) -> None:
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
        if code == "UNAVAILABLE":
            headers["retry-after"] = "1"
        status = _STATUS_OF_CODE.get(str(code), 400 if isinstance(error, DomainError) else 500)
        return _error_answer(status, [described], asked, headers)


def _result_answer(status: int, body: bytes, media: str) -> HttpAnswer:
    return HttpAnswer(status, result_frames(body) if media == EVENT_STREAM else body, media)


_CLOSE = {"connection": "close"}
_FOREIGN: dict[str, object] = {
    "message": "Pages of this origin may not open streams here.",
    "extensions": {"code": "FORBIDDEN", "rule": "allowed_origins"},
}
_ALLOW = {"allow": "GET, POST, OPTIONS"}


def _answer_other_method(method: str) -> HttpAnswer:
    if method == "OPTIONS":
        return HttpAnswer(204, b"", "", _ALLOW)
    raise HttpRefusal(405, f"{method[:20]} is not supported: use POST or GET.", headers=_ALLOW)


def _error_answer(
    status: int, errors: list[dict[str, object]], asked: Mapping[str, str], headers: Mapping[str, str]
) -> HttpAnswer:
    media = negotiate(asked.get("accept"), html=False)
    if media is None or media == EVENT_STREAM:
        media = JSON
    return HttpAnswer(status, _encode({"errors": errors}), media, headers)


def sane_request_id(given: str | None) -> str:
    """The caller's own id when it is short and plain, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return urandom(12).hex()


def negotiate(accept: str | None, *, html: bool) -> str | None:
    """The media type of the answer: the one of highest quality, the first among equals; None when there is none.

    Some clients list `text/event-stream` in each request, behind JSON: they get JSON.
    """
    if accept is None:
        return JSON
    return _negotiated(accept, html) if len(accept) <= _LONGEST_REMEMBERED else _negotiate(accept, html)


def _negotiate(accept: str, html: bool) -> str | None:
    if not accept.strip():
        return JSON
    best: tuple[float, str] | None = None
    for name, quality in _listed(accept):
        media = _SPOKEN.get(name)
        if media is None or (media == HTML and not html):
            continue
        if best is None or quality > best[0]:
            best = (quality, media)
    return best[1] if best else None


def takes_stream(accept: str | None) -> bool:
    """Is an event stream among what the client names? One that takes anything has not thought of it."""
    return accept is not None and any(name == EVENT_STREAM for name, _ in _listed(accept))


def _listed(accept: str) -> Iterator[tuple[str, float]]:
    """Each media type that is taken, with its quality."""
    for item in accept.split(",")[:50]:
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        if quality > 0:
            yield name, quality


_LONGEST_REMEMBERED = 300
_negotiated = lru_cache(maxsize=256)(_negotiate)
_SPOKEN = {
    GRAPHQL_RESPONSE: GRAPHQL_RESPONSE,
    JSON: JSON,
    "application/*": JSON,
    "*/*": JSON,
    HTML: HTML,
    EVENT_STREAM: EVENT_STREAM,
}


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.\d{0,3})?", text) else 0.0


def _check_kind(call: Call, method: str, accept: str | None) -> None:
    if call.kind is OperationType.SUBSCRIPTION:
        if takes_stream(accept):
            return
        raise HttpRefusal(
            400,
            f"Subscriptions need `accept: {EVENT_STREAM}`, or a WebSocket (protocol graphql-transport-ws) at this same "
            "address.",
        )
    if method == "GET" and call.kind is not OperationType.QUERY:
        raise HttpRefusal(405, "Mutations need POST.", headers={"allow": "POST"})


def _check_content_type(value: str | None) -> None:
    """Only JSON: a page of another origin cannot send that without asking first, so no form can act for a visitor."""
    if value == JSON:
        return
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


_encode = msgspec.json.Encoder().encode


async def _send_answer(send: Send, answer: HttpAnswer, request_id: str) -> None:
    headers = {
        b"content-length": b"%d" % len(answer.body),
        b"cache-control": b"no-store",
        b"x-content-type-options": b"nosniff",
        b"x-request-id": request_id.encode(),
        b"vary": b"accept",
    }
    for name, value in answer.headers.items():
        headers[name.encode()] = value.encode("latin-1")
    if answer.media_type:
        headers[b"content-type"] = _content_type(answer.media_type)
    await send({"type": "http.response.start", "status": answer.status, "headers": [*headers.items()]})
    await send({"type": "http.response.body", "body": answer.body})


@lru_cache(maxsize=8)
def _content_type(media_type: str) -> bytes:
    return f"{media_type}; charset=utf-8".encode("latin-1")
