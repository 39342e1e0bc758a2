"""Subscriptions and queries over one WebSocket: the protocol graphql-transport-ws
(https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverWebSocket.md), on bare ASGI.

Nothing a client sends ends otherwise than with a documented close code:
4400 a message that the protocol does not know · 4401 no connection_init yet · 4403 token invalid, or over ·
4406 subprotocol missing · 4408 no connection_init, or no sign of life, in time · 4409 an id in use twice ·
4429 a second connection_init, or too many sockets · 1008 a thousand messages at once · 1009 message too large ·
1011 a fault of ours · 1012 the server restarts · 1013 something that we need is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, cast, runtime_checkable

import structlog

from app.core.live_metrics import LIVE
from app.core.outages import describe
from app.domain.errors import RateLimited, Unauthenticated
from app.web.clients import Visit, is_own_id
from app.web.event_stream import Receive, Send
from app.web.graphql.errors import is_outage
from app.web.graphql.http import sane_request_id
from app.web.graphql.messages import SocketClose, read_id, read_message, too_many
from app.web.graphql.operations import Operations, SocketSetup, encode
from app.web.graphql.outlet import Outlet, SocketGone

log = structlog.get_logger(__name__)

__all__ = ["Socket", "SocketClose", "SocketSetup"]

_CLEANUP_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 2.0
_PING = b'{"type":"ping"}'


@runtime_checkable
class Stays(Protocol):
    """A context that wants to know how long its socket is open."""

    def stay(self) -> Callable[[], None] | None:
        """The socket was acknowledged: what comes back is called when it ends."""


class Socket:
    """One connection. There may be many thousands, so each has as little as it can do with: it is read by the task that
    the server made for it, one clock wakes them all, and what listens to a channel has no task."""

    __slots__ = (
        "_acknowledged",
        "_address",
        "_asgi_send",
        "_backlog",
        "_close",
        "_deadline",
        "_expires_at",
        "_headers",
        "_initialised",
        "_is_over",
        "_last_seen",
        "_left",
        "_next_ping",
        "_operations",
        "_outlet",
        "_reader",
        "_receive",
        "_setup",
        "_was_woken",
        "due",
    )

    def __init__(
        self,
        setup: SocketSetup,
        *,
        headers: Mapping[str, str],
        address: str | None,
        receive: Receive,
        send: Send,
        outlet: Outlet,
    ) -> None:
        now = asyncio.get_running_loop().time()
        self._setup = setup
        self._headers = headers
        self._address = address
        self._receive = receive
        self._asgi_send = send
        self._outlet = outlet
        outlet.on_full = self._filled
        outlet.on_gone = self._gone
        self._operations = Operations(setup, outlet, self._context, self.finish)
        self._initialised = False
        self._acknowledged = False
        self._deadline = now + setup.options.init_timeout_s
        self._last_seen = now
        self._next_ping = 0.0
        self._backlog: tuple[float, int] | None = None
        """Since when the client took nothing, and the bytes that wait for it."""
        self._expires_at: datetime | None = None
        self._reader: asyncio.Task[None] | None = None
        self._was_woken = False
        self._is_over = False
        self._close: SocketClose | None = None
        self.due: float | None = None
        self._left: Callable[[], None] | None = None

    @property
    def visit(self) -> Visit | None:
        """What counts this socket for its client."""
        return self._operations.visit

    @visit.setter
    def visit(self, visit: Visit) -> None:
        self._operations.visit = visit

    def count_operations(self) -> int:
        return len(self._operations)

    def finish(self, close: SocketClose | None) -> None:
        """End the socket; None when the client left by itself. The first call counts."""
        if self._is_over:
            return
        self._is_over, self._close, self.due = True, close, None
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._was_woken = True
            self._reader.cancel()

    async def run(self) -> None:
        """Serve until either side ends it. Leaves no task behind."""
        self._reader = asyncio.current_task()
        self._setup.alarms.set(self, self._deadline)
        try:
            await self._serve()
        finally:
            self.finish(None)
            if self._left is not None:
                self._left()
            await self._clean_up()
            self._let_go()

    def _let_go(self) -> None:
        """The clock may know it until the moment for which it was set: not with the connection and all that."""
        self._reader = self._left = None
        self._receive = self._asgi_send = self._outlet = self._operations = self._headers = cast("Any", None)

    async def _serve(self) -> None:
        try:
            await self._read()
        except SocketClose as close:
            self.finish(close)
        except (SocketGone, OSError):
            self.finish(None)
        except asyncio.CancelledError:
            reader = self._reader
            if not self._was_woken or reader is None or reader.uncancel() > 0:
                raise  # the server's doing, not ours
        except Exception as error:
            log.error("socket.failed", part="read", exc_info=error)
            self.finish(SocketClose(1011, "Internal server error"))

    async def _clean_up(self) -> None:
        tasks = self._operations.end()
        self._outlet.end()
        await self._send_close()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=_CLEANUP_TIMEOUT_S)
            if stuck:
                log.error("socket.tasks_stuck", count=len(stuck))

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, message: dict[str, object]) -> None:
        """Waits while the client is slow. Raises SocketGone."""
        await self._outlet.send(encode(message))

    async def _send_close(self) -> None:
        close = self._close
        if close is None:
            self._outlet.drop()
            return
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._outlet.flush()
                await self._asgi_send({"type": "websocket.close", "code": close.code, "reason": close.reason})
        except TimeoutError:
            self._outlet.abort()
        except (OSError, RuntimeError):  # gone already
            self._outlet.drop()

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────

    def look(self, now: float) -> float | None:
        """What is due by now: a ping, or the end. Gives when to look again."""
        if self._is_over:
            return None
        if not self._acknowledged:
            if now < self._deadline:
                return self._deadline
            self.finish(SocketClose(4408, "Connection initialisation timeout"))
            return None
        try:
            return min(self._look_at_silence(now), self._look_at_backlog(now), self._look_at_token(now))
        except SocketClose as close:
            self.finish(close)
            return None

    def _look_at_silence(self, now: float) -> float:
        options = self._setup.options
        silent_until = self._last_seen + options.idle_timeout_s
        if now >= silent_until:
            raise SocketClose(4408, f"No sign of life for {options.idle_timeout_s:g} s")
        if now >= self._next_ping:
            self._outlet.write(_PING)  # not if it has more to read already
            self._next_ping = now + options.ping_interval_s
        return min(self._next_ping, silent_until)

    def _look_at_backlog(self, now: float) -> float:
        if self._backlog is None:
            return float("inf")
        since, before = self._backlog
        waiting = self._outlet.waiting_bytes()
        if not self._outlet.is_full:
            self._backlog = None
            return float("inf")
        if waiting < before:
            self._backlog = now, waiting
            since = now
        elif now >= since + self._setup.options.send_timeout_s:
            LIVE.closed_slow += 1
            log.info("socket.closed_slow", waiting_bytes=waiting)
            raise SocketClose(4408, "Reading too slowly")
        return since + self._setup.options.send_timeout_s

    def _look_at_token(self, now: float) -> float:
        if self._expires_at is None:
            return float("inf")
        left_s = (self._expires_at - self._setup.options.now()).total_seconds()
        if left_s <= 0:
            raise SocketClose(4403, "Forbidden: the access token has expired")
        return now + left_s

    def _filled(self) -> None:
        """The client takes no more for now."""
        if self._backlog is None and not self._is_over:
            now = asyncio.get_running_loop().time()
            self._backlog = now, self._outlet.waiting_bytes()
            self._setup.alarms.set(self, now + self._setup.options.send_timeout_s)

    def _gone(self) -> None:
        self.finish(None)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_over:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                self.finish(None)
                return
            self._last_seen = loop.time()
            await self._handle(read_message(event, self._setup.options.max_body_bytes))

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
                if not self._acknowledged:
                    raise SocketClose(4401, "Unauthorized: send connection_init first")
                await self._operations.start(message)
            case "complete":
                self._operations.stop(read_id(message))
            case _:
                raise SocketClose(4400, "Invalid message: unknown type")

    async def _initialise(self, message: dict[str, object]) -> None:
        if self._initialised:
            raise SocketClose(4429, "Too many initialisation requests")
        self._initialised = True
        own_id = self._read_init(message.get("payload"))
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
        if isinstance(context, Stays):
            self._left = context.stay()
        await self._send({"type": "connection_ack"})
        self._acknowledged = True
        now = asyncio.get_running_loop().time()
        self._next_ping = now + self._setup.options.ping_interval_s
        due = self.look(now)
        if due is not None:
            self._setup.alarms.set(self, due)

    def _read_init(self, payload: object) -> str | None:
        """Take the sign-in; gives what the client calls itself. Raises SocketClose."""
        if not isinstance(payload, dict):
            return None
        given = next((value for name, value in payload.items() if name.lower() == "authorization"), None)
        if given is not None:
            if not isinstance(given, str):
                raise SocketClose(4403, "Forbidden: authorization must be `Bearer …`")
            self._headers = {**self._headers, "authorization": given}
        own_id = payload.get("clientId")
        if own_id is not None and not (isinstance(own_id, str) and is_own_id(own_id)):
            raise SocketClose(4400, "Invalid message: clientId must have 1 to 64 letters, digits, - or _")
        return own_id

    async def _context(self, request_id: str) -> object:
        """A fresh context: nothing remembered for one operation may answer a later one."""
        try:
            return await self._setup.context_factory(self._headers, self._address, request_id, "websocket")
        except Unauthenticated:
            raise SocketClose(4403, "Forbidden: the access token is not valid") from None
