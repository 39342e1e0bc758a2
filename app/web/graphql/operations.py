"""The operations of one socket, from `subscribe` to `complete`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog
from graphql import ExecutionResult, OperationType

from app.core.live_metrics import LIVE
from app.web.clients import Visit, too_many_operations
from app.web.graphql.alarms import Alarms
from app.web.graphql.bodies import BadRequest, GraphQLRequest, read_request
from app.web.graphql.broadcast import Broadcasts
from app.web.graphql.engine import GraphQLEngine, LiveOperation, RequestRefused, formatted_request_errors
from app.web.graphql.http import sane_request_id
from app.web.graphql.messages import SocketClose, read_id
from app.web.graphql.options import ContextFactory, TransportOptions
from app.web.graphql.outlet import Outlet, SocketGone
from app.web.graphql.sink import Listening, Sink

MakeContext = Callable[[str], Awaitable[object]]
"""Request id → a fresh context. Raises SocketClose, and what the maker of contexts does."""

encode = msgspec.json.Encoder().encode

MOST_LEAVING = 20
"""Operations of one socket that count no more and whose tasks are not over yet, before nothing more is begun on it."""


@dataclass(frozen=True, slots=True)
class SocketSetup:
    """What all sockets of one address have in common."""

    engine: GraphQLEngine
    context_factory: ContextFactory
    options: TransportOptions
    alarms: Alarms
    broadcasts: Broadcasts


class Operations:
    """Each has a task while it runs, but for one that listens to a channel. `finish` ends the socket."""

    __slots__ = ("_context", "_finish", "_leaving", "_outlet", "_running", "_setup", "visit")

    def __init__(
        self, setup: SocketSetup, outlet: Outlet, context: MakeContext, finish: Callable[[SocketClose], None]
    ) -> None:
        self._setup = setup
        self._outlet = outlet
        self._context = context
        self._finish = finish
        self._running: dict[str, asyncio.Task[None] | Sink] = {}
        self._leaving: set[asyncio.Task[None]] | None = None
        self.visit: Visit | None = None
        """What counts them for their client."""

    def __len__(self) -> int:
        return len(self._running)

    def end(self) -> list[asyncio.Task[None]]:
        """End them all. Gives the tasks that are still to come to their ends."""
        tasks = [*(self._leaving or ())]
        for operation_id in tuple(self._running):
            operation = self._forget(operation_id)
            if isinstance(operation, Sink):
                operation.close()
            elif operation is not None:
                tasks.append(operation)
        for task in tasks:
            task.cancel()
        return tasks

    async def start(self, message: dict[str, object]) -> None:
        """Begin what a `subscribe` asks for. Raises SocketClose, SocketGone."""
        operation_id = read_id(message)
        while self._leaving and len(self._leaving) >= MOST_LEAVING:  # one who takes no answers asks no more
            await asyncio.wait(self._leaving, return_when=asyncio.FIRST_COMPLETED)
        if operation_id in self._running:
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
        self._running[operation_id] = asyncio.create_task(self._operate(operation_id, request))
        LIVE.open_operations += 1

    def _forget(self, operation_id: str) -> asyncio.Task[None] | Sink | None:
        """Its id is free from here on."""
        operation = self._running.pop(operation_id, None)
        if operation is not None:
            LIVE.open_operations -= 1
        return operation

    def stop(self, operation_id: str) -> None:
        """The client does not want it any more. One that is not there is left alone."""
        operation = self._forget(operation_id)
        if isinstance(operation, Sink):
            operation.close()
        elif operation is not None:
            operation.cancel()
            self._await_end(operation)

    def _release(self, operation_id: str) -> bool:
        """Free the id, before the client hears that it is free. False: it is not this operation's any more."""
        task = asyncio.current_task()
        if task is None or self._running.get(operation_id) is not task:
            return False
        self._forget(operation_id)
        self._await_end(task)
        return True

    def _await_end(self, task: asyncio.Task[None]) -> None:
        if self._leaving is None:
            self._leaving = set()
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _operate(self, operation_id: str, request: GraphQLRequest) -> None:
        request_id = sane_request_id(None)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._run_operation(operation_id, request, request_id)
            except SocketGone:
                return
            except SocketClose as close:
                self._finish(close)
            except RequestRefused as refused:
                await self._fail(operation_id, formatted_request_errors(refused.errors))
            except Exception as error:
                await self._fail(operation_id, [self._setup.engine.describe_exception(error, request_id)])
            finally:
                self._release(operation_id)

    async def _fail(self, operation_id: str, errors: list[dict[str, object]]) -> None:
        """An `error` ends the operation by itself; the protocol wants no `complete` after it.

        Of one that the client has ended it hears no more: the id may be another operation's by now.
        """
        if self._release(operation_id):
            with suppress(SocketGone):
                await self._send_error(operation_id, errors)

    async def _run_operation(self, operation_id: str, request: GraphQLRequest, request_id: str) -> None:
        call = self._setup.engine.accept(request.query, request.operation_name, request.variables)
        if call.kind is OperationType.MUTATION:
            # A socket that drops would cancel it half way, and nobody would know whether it was done.
            text = "Mutations are not taken over a WebSocket: send them by HTTP POST to this same address."
            await self._fail(operation_id, [_error(text, code="BAD_INPUT")])
            return
        context = await self._context(request_id)
        if call.kind is OperationType.QUERY:
            async with asyncio.timeout(self._setup.options.query_timeout_s):
                result = await self._setup.engine.execute(call, context)
            await self._send_next(operation_id, result, request_id)
        else:
            source = await self._setup.engine.listen(call, context)
            if isinstance(source, LiveOperation):
                await self._listen(operation_id, source, request_id)
                return
            if isinstance(source, ExecutionResult):
                await self._fail(operation_id, self._setup.engine.describe(source.errors or [], request_id))
                return
            async with aclosing(source):
                async for result in source:
                    await self._send_next(operation_id, result, request_id)
        if self._release(operation_id):
            await self._send({"id": operation_id, "type": "complete"})

    async def _send_next(self, operation_id: str, result: ExecutionResult, request_id: str) -> None:
        await self._send({"id": operation_id, "type": "next", "payload": self._setup.engine.result(result, request_id)})

    async def _listen(self, operation_id: str, operation: LiveOperation, request_id: str) -> None:
        """Hand the operation over to a sink, which needs no task. Raises what the channel does."""
        head = b'{"id":%b,"type":"next","payload":' % encode(operation_id)
        sink = Sink(Listening(self._setup.broadcasts, operation, request_id), self._outlet, head)
        sink.on_over = partial(self._over, operation_id)
        await sink.join()
        if self._running.get(operation_id) is asyncio.current_task():
            self._running[operation_id] = sink
        else:  # it was over with its opening
            sink.close()

    def _over(self, operation_id: str, errors: bytes | None) -> None:
        self._forget(operation_id)
        end: dict[str, object] = {"id": operation_id, "type": "complete"}
        self._write(end if errors is None else {**end, "type": "error", "payload": msgspec.Raw(errors)})

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, message: dict[str, object]) -> None:
        """Waits while the client is slow, so that each operation has one message under way. Raises SocketGone."""
        await self._outlet.send(encode(message))

    async def _send_error(self, operation_id: str, errors: list[dict[str, object]]) -> None:
        await self._send({"id": operation_id, "type": "error", "payload": errors})

    def _write(self, message: dict[str, object]) -> None:
        """As soon as there is room, without anybody waiting for it."""
        encoded = encode(message)
        if not self._outlet.write(encoded):
            self._outlet.wait(lambda: _put(self._outlet, encoded))


def _put(outlet: Outlet, message: bytes) -> None:
    outlet.put(message, b"")


def _error(text: str, **extensions: object) -> dict[str, object]:
    return {"message": text, "extensions": extensions}
