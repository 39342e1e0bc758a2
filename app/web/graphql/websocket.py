"""Subscriptions and queries over one WebSocket: the protocol graphql-transport-ws
(https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverWebSocket.md), on bare ASGI.

Nothing a client sends ends otherwise than with a documented close code:
4400 a message that the protocol does not know · 4401 no connection_init yet · 4403 token invalid, or over ·
4406 subprotocol missing · 4408 no connection_init, or no sign of life, in time · 4409 an id in use twice ·
4429 a second connection_init, or too many sockets · 1009 message too large · 1011 a fault of ours ·
1012 the server restarts · 1013 something that we need is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from datetime import datetime

import msgspec
import structlog
from graphql import ExecutionResult, OperationType

from app.core.outages import describe
from app.domain.errors import RateLimited, Unauthenticated
from app.web.clients import Visit, is_own_id, too_many_operations
from app.web.event_stream import Receive, Send
from app.web.graphql.bodies import BadRequest, GraphQLRequest, decode_json, read_request
from app.web.graphql.engine import GraphQLEngine, RequestRefused, formatted_request_errors
from app.web.graphql.errors import is_outage
from app.web.graphql.http import sane_request_id
from app.web.graphql.options import ContextFactory, TransportOptions

log = structlog.get_logger(__name__)

MAX_ID = 128
_CLEANUP_TIMEOUT_S = 5.0


class SocketClose(Exception):
    """Ends the socket. `reason` is cut to the 123 bytes that a close frame has room for."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason.encode(errors="replace")[:123].decode(errors="ignore")


class SocketGone(Exception):
    """The socket is closed or closing: there is nobody to send to."""


class Socket:
    """One connection: a reader, a timekeeper, and a task for each operation."""

    def __init__(
        self,
        engine: GraphQLEngine,
        context_factory: ContextFactory,
        options: TransportOptions,
        *,
        headers: Mapping[str, str],
        address: str | None,
        receive: Receive,
        send: Send,
    ) -> None:
        self._engine = engine
        self._context_factory = context_factory
        self._options = options
        self._headers = headers
        self._address = address
        self._receive = receive
        self._asgi_send = send
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[SocketClose | None] = self._loop.create_future()
        self._write_lock = asyncio.Lock()
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._initialised = False
        self._acknowledged = asyncio.Event()
        self._last_seen = self._loop.time()
        self._expires_at: datetime | None = None
        self.visit: Visit | None = None
        """What counts this socket for its client."""

    def count_operations(self) -> int:
        return len(self._operations)

    def finish(self, close: SocketClose | None) -> None:
        """End the socket; None when the client left by itself. The first call counts."""
        if not self._end.done():
            self._end.set_result(close)

    async def run(self) -> None:
        """Serve until either side ends it. Leaves no task behind."""
        guards = [asyncio.create_task(self._guarded(part)) for part in ("read", "keep_time")]
        try:
            close = await self._end
            if close is not None:
                await self._send_close(close)
        finally:
            self.finish(None)
            tasks = [*guards, *self._operations.values(), *self._leaving]
            for task in tasks:
                task.cancel()
            _, stuck = await asyncio.wait(tasks, timeout=_CLEANUP_TIMEOUT_S)
            if stuck:
                log.error("socket.tasks_stuck", count=len(stuck))

    async def _guarded(self, part: str) -> None:
        try:
            await (self._read() if part == "read" else self._keep_time())
        except SocketClose as close:
            self.finish(close)
        except (SocketGone, OSError):
            self.finish(None)
        except Exception as error:
            log.error("socket.failed", part=part, exc_info=error)
            self.finish(SocketClose(1011, "Internal server error"))

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, message: dict[str, object]) -> None:
        """One message at a time; waits while the client is slow, so that each operation has one message under way."""
        text = msgspec.json.encode(message).decode()
        async with self._write_lock:
            if self._end.done():
                raise SocketGone
            try:
                async with asyncio.timeout(self._options.send_timeout_s):
                    await self._asgi_send({"type": "websocket.send", "text": text})
            except TimeoutError:
                self.finish(SocketClose(4408, "Reading too slowly"))
                raise SocketGone from None
            except OSError:
                self.finish(None)
                raise SocketGone from None
            except RuntimeError:  # the close frame overtook a message that waited for the client to read
                if not self._end.done():
                    raise
                raise SocketGone from None

    async def _send_close(self, close: SocketClose) -> None:
        with suppress(OSError, TimeoutError, RuntimeError):  # gone already, or not reading
            async with asyncio.timeout(2):
                await self._asgi_send({"type": "websocket.close", "code": close.code, "reason": close.reason})

    async def _send_error(self, operation_id: str, errors: list[dict[str, object]]) -> None:
        await self._send({"id": operation_id, "type": "error", "payload": errors})

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _keep_time(self) -> None:
        options = self._options
        try:
            async with asyncio.timeout(options.init_timeout_s):
                await self._acknowledged.wait()
        except TimeoutError:
            raise SocketClose(4408, "Connection initialisation timeout") from None
        next_ping = self._loop.time() + options.ping_interval_s
        while True:
            now = self._loop.time()
            silent_until = self._last_seen + options.idle_timeout_s
            if now >= silent_until:
                raise SocketClose(4408, f"No sign of life for {options.idle_timeout_s:g} s")
            if now >= next_ping:
                await self._send({"type": "ping"})
                next_ping = now + options.ping_interval_s
            wait_s = min(next_ping, silent_until) - now
            if self._expires_at is not None:
                left_s = (self._expires_at - options.now()).total_seconds()
                if left_s <= 0:
                    raise SocketClose(4403, "Forbidden: the access token has expired")
                wait_s = min(wait_s, left_s)
            await asyncio.sleep(max(wait_s, 0.001))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                self.finish(None)
                return
            self._last_seen = self._loop.time()
            await self._handle(self._decode(event))

    def _decode(self, event: Mapping[str, object]) -> dict[str, object]:
        text = event.get("text")
        if not isinstance(text, str):
            raise SocketClose(4400, "Messages are text")
        raw = text.encode(errors="replace")
        if len(raw) > self._options.max_body_bytes:
            raise SocketClose(1009, f"A message has at most {self._options.max_body_bytes} bytes")
        try:
            decoded = decode_json(raw)
        except BadRequest as bad:
            raise SocketClose(4400, f"Invalid message: {bad.message}") from None
        message = decoded.value
        if not isinstance(message, dict):
            raise SocketClose(4400, "Invalid message: not a JSON object")
        if not decoded.clean and message.get("type") != "subscribe":
            raise SocketClose(4400, "Invalid message: half of a surrogate pair in a text")
        if not isinstance(message.get("payload"), dict | None):
            raise SocketClose(4400, "Invalid message: payload is not an object")
        return message

    async def _handle(self, message: dict[str, object]) -> None:
        match message.get("type"):
            case "connection_init":
                await self._initialise(message)
            case "ping":
                payload = message.get("payload")
                await self._send({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})
            case "pong":
                pass
            case "subscribe":
                await self._start(message)
            case "complete":
                self._stop(_operation_id(message))
            case _:
                raise SocketClose(4400, "Invalid message: unknown type")

    async def _initialise(self, message: dict[str, object]) -> None:
        if self._initialised:
            raise SocketClose(4429, "Too many initialisation requests")
        self._initialised = True
        payload = message.get("payload")
        own_id = payload.get("clientId") if isinstance(payload, dict) else None
        if own_id is not None and not (isinstance(own_id, str) and is_own_id(own_id)):
            raise SocketClose(4400, "Invalid message: clientId must have 1 to 64 letters, digits, - or _")
        if isinstance(payload, dict):
            given = next((value for name, value in payload.items() if name.lower() == "authorization"), None)
            if given is not None:
                if not isinstance(given, str):
                    raise SocketClose(4403, "Forbidden: authorization must be `Bearer …`")
                self._headers = {**self._headers, "authorization": given}
        try:
            context = await self._context(sane_request_id(None))
        except SocketClose:
            raise
        except Exception as error:
            if is_outage(error):
                log.warning("socket.unavailable", error=describe(error))
                raise SocketClose(1013, "Temporarily unavailable. Try again in a moment.") from None
            raise
        if self.visit is not None:
            try:
                self.visit.identify(getattr(context, "user_id", None), own_id)
            except RateLimited as limited:
                raise too_many(limited) from None
        expires_at = getattr(context, "expires_at", None)
        self._expires_at = expires_at if isinstance(expires_at, datetime) else None
        await self._send({"type": "connection_ack"})
        self._acknowledged.set()

    async def _context(self, request_id: str) -> object:
        """A fresh context: nothing remembered for one operation may answer a later one."""
        try:
            return await self._context_factory(self._headers, self._address, request_id, "websocket")
        except Unauthenticated:
            raise SocketClose(4403, "Forbidden: the access token is not valid") from None

    # ── operations ───────────────────────────────────────────────────────────────────────────────────────────

    async def _start(self, message: dict[str, object]) -> None:
        if not self._acknowledged.is_set():
            raise SocketClose(4401, "Unauthorized: send connection_init first")
        operation_id = _operation_id(message)
        if operation_id in self._operations:
            raise SocketClose(4409, f"Subscriber for {operation_id} already exists")
        try:
            request = read_request(message.get("payload"))
        except BadRequest as bad:
            if bad.malformed:
                raise SocketClose(4400, f"Invalid message: {bad.message}") from None
            violations = [{"path": v.path, "message": v.message} for v in bad.violations]
            extensions = {"code": "BAD_INPUT", "violations": violations}
            await self._send_error(operation_id, [{"message": bad.message, "extensions": extensions}])
            return
        if self.visit is not None and not self.visit.has_room():
            limited = too_many_operations(self.visit.clients.limits)
            error = _error(limited.message, code="RATE_LIMITED", retryAfterSeconds=limited.retry_after_seconds)
            await self._send_error(operation_id, [error])
            return
        self._operations[operation_id] = asyncio.create_task(self._operate(operation_id, request))

    def _stop(self, operation_id: str) -> None:
        task = self._operations.pop(operation_id, None)
        if task is not None:
            task.cancel()
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _release(self, operation_id: str) -> None:
        """Free the id, before the client hears that it is free. A later operation's id is left alone."""
        if self._operations.get(operation_id) is asyncio.current_task():
            del self._operations[operation_id]

    async def _operate(self, operation_id: str, request: GraphQLRequest) -> None:
        request_id = sane_request_id(None)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._run_operation(operation_id, request, request_id)
            except SocketGone:
                return
            except SocketClose as close:
                self.finish(close)
            except RequestRefused as refused:
                await self._fail(operation_id, formatted_request_errors(refused.errors))
            except Exception as error:
                await self._fail(operation_id, [self._engine.describe_exception(error, request_id)])
            finally:
                self._release(operation_id)

    async def _fail(self, operation_id: str, errors: list[dict[str, object]]) -> None:
        """An `error` ends the operation by itself; the protocol wants no `complete` after it."""
        self._release(operation_id)
        with suppress(SocketGone):
            await self._send_error(operation_id, errors)

    async def _run_operation(self, operation_id: str, request: GraphQLRequest, request_id: str) -> None:
        call = self._engine.accept(request.query, request.operation_name, request.variables)
        if call.kind is OperationType.MUTATION:
            # A socket that drops would cancel it half way, and nobody would know whether it was done.
            text = "Mutations are not taken over a WebSocket: send them by HTTP POST to this same address."
            await self._fail(operation_id, [_error(text, code="BAD_INPUT")])
            return
        context = await self._context(request_id)
        if call.kind is OperationType.QUERY:
            async with asyncio.timeout(self._options.query_timeout_s):
                result = await self._engine.execute(call, context)
            await self._send_next(operation_id, result, request_id)
        else:
            source = await self._engine.subscribe(call, context)
            if isinstance(source, ExecutionResult):
                await self._fail(operation_id, self._engine.describe(source.errors or [], request_id))
                return
            async with aclosing(source):
                async for result in source:
                    await self._send_next(operation_id, result, request_id)
        self._release(operation_id)
        await self._send({"id": operation_id, "type": "complete"})

    async def _send_next(self, operation_id: str, result: ExecutionResult, request_id: str) -> None:
        await self._send({"id": operation_id, "type": "next", "payload": self._engine.result(result, request_id)})


def too_many(limited: RateLimited) -> SocketClose:
    return SocketClose(4429, f"{limited.message}. Try again in {limited.retry_after_seconds} s")


def _operation_id(message: dict[str, object]) -> str:
    value = message.get("id")
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID:
        raise SocketClose(4400, f"Invalid message: id must be a text of 1 to {MAX_ID} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SocketClose(4400, "Invalid message: half of a surrogate pair in the id") from None
    return value


def _error(text: str, **extensions: object) -> dict[str, object]:
    return {"message": text, "extensions": extensions}
