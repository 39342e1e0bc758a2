"""One execution for many: each update of a channel is executed once and encoded once for all who may share it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Hashable, Iterable
from contextvars import Context, copy_context
from types import TracebackType
from typing import Protocol

import msgspec
import structlog
from graphql import ExecutionResult

from app.core.live_metrics import LIVE
from app.web.graphql.engine import GraphQLEngine, LiveOperation

log = structlog.get_logger(__name__)

KEPT_BYTES = 32_000_000
"""Of encoded updates that are kept for those who come later or read slowly, in one process."""
_MOST_MERGED = 64

_encode = msgspec.json.Encoder().encode


class Waiter(Protocol):
    """Who waits for an update to be encoded."""

    def go_on(self) -> None: ...


class _Ready:
    """A waiter of the kind that has a task."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def go_on(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


class Encoded:
    """An update as the client gets it. Without `tail` and `error` it is still being executed."""

    __slots__ = ("error", "tail", "trace", "update", "waiters")

    def __init__(self, update: object) -> None:
        self.update = update
        self.tail: bytes | None = None
        self.error: Exception | None = None
        self.trace: TracebackType | None = None
        """Where the error came from."""
        self.waiters: list[Waiter] = []


class Broadcast:
    """Operations of equal keys. The first one's context is used for all: their rights are equal."""

    def __init__(self, registry: Broadcasts, operation: LiveOperation, request_id: str) -> None:
        self.channel = operation.stream.channel
        self.request_id = request_id
        self.last: Encoded | None = None
        """What was encoded last: most ask for that."""
        self.listeners = 0
        self._registry = registry
        self._operation = operation
        self._context: Context = copy_context()
        self._known: dict[int, Encoded] = {}
        self._pending: list[Encoded] = []
        self._worker: asyncio.Task[None] | None = None
        self._merging: object = None
        self._merged: dict[int, tuple[object, object]] = {}
        self._described: tuple[Exception, bytes] | None = None

    @property
    def key(self) -> Hashable | None:
        return self._operation.key

    def encoded(self, update: object) -> Encoded:
        """The update as all get it; executed now if it was not before."""
        found = self._known.get(id(update))  # it holds the update, so nothing else has its id
        if found is None:
            found = self._known[id(update)] = Encoded(update)
            if self._pending:
                self._pending.append(found)
            else:
                self._begin(found)
        else:
            self._registry.used(found)
        return found

    def merge(self, earlier: object, later: object) -> object:
        """As the channel does it: once for all who are behind by the same."""
        if self._merging is not later:
            self._merging = later
            self._merged.clear()
        known = self._merged.get(id(earlier))
        if known is None:
            known = earlier, self.channel.merge(earlier, later)
            LIVE.merged += 1
            if len(self._merged) < _MOST_MERGED:
                self._merged[id(earlier)] = known
        return known[1]

    def describe(self, error: Exception) -> bytes:
        """What ended the channel, as an error's payload; logged once for all."""
        if self._described is None or self._described[0] is not error:
            described = self._registry.engine.describe_exception(error, self.request_id)
            self._described = error, _encode([described])
        return self._described[1]

    def leave(self) -> None:
        """One listener fewer. Without any it ends."""
        self.listeners -= 1
        if self.listeners:
            return
        self._registry.drop(self, self._known.values())
        if self._worker is not None:
            # After it has begun: what it is to await would otherwise be awaited by nobody.
            asyncio.get_running_loop().call_soon(self._worker.cancel)
        self._pending.clear()
        self._known.clear()
        self._merged.clear()
        self._merging = self.last = None

    def forget(self, encoded: Encoded) -> None:
        """For the registry: there is no room for it any more."""
        if self._known.get(id(encoded.update)) is encoded:
            del self._known[id(encoded.update)]
        if self.last is encoded:
            self.last = None

    # ── executing ────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, encoded: Encoded) -> None:
        # In the context of who came first, so that what is logged carries a request id.
        result = self._context.copy().run(self._execute, encoded)
        if result is not None:
            self._pending.append(encoded)
            self._worker = asyncio.create_task(self._work(encoded, result), context=self._context.copy())

    def _execute(self, encoded: Encoded) -> Awaitable[ExecutionResult] | None:
        """What is still to be awaited, if anything."""
        LIVE.executions += 1
        try:
            result = self._operation.execute(self._operation.stream.to_event(encoded.update))
            if isinstance(result, Awaitable):
                return result
            self._finish(encoded, result)
        except Exception as error:
            self._fail(encoded, error)
        return None

    async def _work(self, first: Encoded, begun: Awaitable[ExecutionResult]) -> None:
        """One after another, so that a slow resolver does not start more and more of them."""
        await self._await(first, begun)
        while self._pending:
            # Those who are told may ask for the next one, which waits behind this one; or they are the last to leave.
            self._tell(self._pending[0])
            if len(self._pending) <= 1:
                break
            del self._pending[0]
            result = self._execute(self._pending[0])
            if result is not None:
                await self._await(self._pending[0], result)
        self._pending.clear()
        self._worker = None

    async def _await(self, encoded: Encoded, result: Awaitable[ExecutionResult]) -> None:
        try:
            self._finish(encoded, await result)
        except Exception as error:
            self._fail(encoded, error)

    def _finish(self, encoded: Encoded, result: ExecutionResult) -> None:
        encoded.tail = _encode(self._registry.engine.result(result, self.request_id)) + self._registry.ending
        if self.listeners:
            self.last = encoded
            self._registry.keep(self, encoded)

    def _fail(self, encoded: Encoded, error: Exception) -> None:
        encoded.error, encoded.trace = error, error.__traceback__  # kept, so that it is one failure for all

    def _tell(self, encoded: Encoded) -> None:
        waiters, encoded.waiters = encoded.waiters, []
        for waiter in waiters:
            waiter.go_on()


class Broadcasts:
    """All of one process and one transport. `ending` follows each answer on the wire."""

    def __init__(self, engine: GraphQLEngine, *, ending: bytes = b"}", kept_bytes: int = KEPT_BYTES) -> None:
        self.engine = engine
        self.ending = ending
        self._by_key: dict[Hashable, Broadcast] = {}
        self._kept: OrderedDict[int, tuple[Broadcast, Encoded]] = OrderedDict()
        self._bytes = 0
        self._most_bytes = kept_bytes

    def __len__(self) -> int:
        return len(self._by_key)

    def enter(self, operation: LiveOperation, request_id: str) -> Broadcast:
        """The broadcast for this operation, with one listener more; whoever enters has to leave."""
        broadcast = None if operation.key is None else self._by_key.get(operation.key)
        if broadcast is None:
            broadcast = Broadcast(self, operation, request_id)
            LIVE.open_broadcasts += 1
            if operation.key is not None:
                self._by_key[operation.key] = broadcast
        broadcast.listeners += 1
        return broadcast

    async def payload(self, broadcast: Broadcast, update: object) -> bytes:
        """The update encoded, without the ending; for one who waits for it. Raises what executing it raised."""
        encoded = broadcast.encoded(update)
        if encoded.tail is None and encoded.error is None:
            ready = _Ready()
            encoded.waiters.append(ready)
            await ready.wait()
        if encoded.error is not None:
            raise encoded.error.with_traceback(encoded.trace)  # it is raised for many, and would grow with each
        LIVE.deliveries += 1
        return (encoded.tail or b"").removesuffix(self.ending)

    def drop(self, broadcast: Broadcast, known: Iterable[Encoded]) -> None:
        """Nobody listens to it any more."""
        LIVE.open_broadcasts -= 1
        for encoded in known:
            if self._kept.pop(id(encoded), None) is not None:
                self._bytes -= _weight(encoded)
        if broadcast.key is not None:
            del self._by_key[broadcast.key]

    def keep(self, broadcast: Broadcast, encoded: Encoded) -> None:
        """Keep it until there is no room; the last one always."""
        self._kept[id(encoded)] = broadcast, encoded
        self._bytes += _weight(encoded)
        while self._bytes > self._most_bytes and len(self._kept) > 1:
            self._evict(next(iter(self._kept)))

    def used(self, encoded: Encoded) -> None:
        """It goes after the others."""
        if id(encoded) in self._kept:
            self._kept.move_to_end(id(encoded))

    def _evict(self, key: int) -> None:
        broadcast, encoded = self._kept.pop(key)
        self._bytes -= _weight(encoded)
        broadcast.forget(encoded)


def _weight(encoded: Encoded) -> int:
    """Bytes, with a guess at what the update itself takes."""
    return 500 + 3 * len(encoded.tail or b"")
