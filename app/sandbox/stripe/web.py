"""The ASGI application, and the connections that a fault can reset."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.sandbox.mercadopago import PREFIX as MERCADOPAGO
from app.sandbox.mercadopago.api import MercadoPagoApi
from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe.api import Answer, Api, ApiRequest, Dropped
from app.sandbox.stripe.background import Background
from app.sandbox.stripe.control import Control
from app.sandbox.stripe.endpoints import configure
from app.sandbox.stripe.faults import Faults
from app.sandbox.stripe.store import Store
from app.sandbox.stripe.work import Work

log = structlog.get_logger(__name__)
LARGEST_BODY = 1_000_000
_TRANSPORT = "sandbox.transport"


class ResettableProtocol(HttpToolsProtocol):
    """Uvicorn's, which tells the application the connection of each request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


class StripeApp:
    """`/v1` speaks Stripe's API, `/mercadopago` MercadoPago's; `/_sandbox` is for people and tests.

    Starts and ends with the server's lifespan.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._faults = Faults()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            # A WebSocket is refused before it opens.
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        try:
            self._start()
        except Exception as error:
            log.error("sandbox.start_failed", exc_info=error)
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        running = asyncio.create_task(self._background.run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await self._background.close()
        self._store.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _start(self) -> None:
        self._store = Store(self._settings.data_path)
        self._background = Background(self._store, self._settings, self._faults)
        self._api = Api(self._store, self._settings, self._faults, self._background.wake)
        self._mercadopago = MercadoPagoApi(self._store, self._settings, self._faults, self._background.wake)
        self._control = Control(self._store, self._settings, self._faults)
        with self._store.transaction():
            for endpoint in self._settings.endpoints:
                configure(Work(self._store, self._settings, self._faults), endpoint)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _body(receive)
        if body is None:
            await _send(send, Answer(413, b'{"error":{"message":"The body is too large."}}', {}), scope["method"])
            return
        # The last of several headers with one name, decoded so that no byte fails.
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request = ApiRequest(scope["method"], scope["path"], scope["query_string"], headers, body)
        try:
            answer = await self._route(request)
        except Dropped:
            await _reset(scope, receive)
            return
        await _send(send, answer, scope["method"])

    async def _route(self, request: ApiRequest) -> Answer:
        if request.path in {"/", "/_sandbox"}:
            return Answer(303, b"", {"Location": "/_sandbox/"})
        if request.path.startswith(f"{MERCADOPAGO}/"):
            return await self._mercadopago.answer(request)
        if not request.path.startswith("/_sandbox/"):
            return await self._api.answer(request)
        try:
            answer = self._control.answer(request)
        except Exception as error:
            log.error("sandbox.page_failed", path=request.path, exc_info=error)
            return Answer(500, b"Something went wrong; the log says what.\n", {"Content-Type": "text/plain"})
        self._background.wake()
        return answer


async def _body(receive: Any) -> bytes | None:
    """None if it is too large; the rest is read, so that the answer arrives."""
    parts, size, is_more = [], 0, True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= LARGEST_BODY:
            parts.append(chunk)
        is_more = message.get("more_body", False)
    return None if size > LARGEST_BODY else b"".join(parts)


async def _send(send: Any, answer: Answer, method: str) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})


async def _reset(scope: Any, receive: Any) -> None:
    """End the connection at once, by a reset where the system can. Under another server: by an error."""
    extension = scope.get("extensions", {}).get(_TRANSPORT)
    if extension is None:
        raise Dropped
    transport = extension["transport"]
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
