"""One operation that listens to a channel: what it is told goes to its client at once, or as soon as there is room."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.live_metrics import LIVE
from app.resolvers.live_channel import WAITING_LIMIT
from app.web.graphql.broadcast import Broadcasts, Encoded
from app.web.graphql.engine import LiveOperation
from app.web.graphql.outlet import Outlet

MOST_MERGES = 50
"""Updates that are merged into one that waits, before a snapshot is less to send."""
RESYNC_AFTER_S = 5.0
"""How long an update waits for its client, before a snapshot tells more."""

Write = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Listening:
    """What a sink begins with."""

    broadcasts: Broadcasts
    operation: LiveOperation
    request_id: str


class Sink:
    """A listener of a channel. A client that reads has nothing waiting here. For one that does not, all waits as one
    update, to which the later ones are merged; beyond a number and a time it gets a snapshot in the place of them.

    `on_over(errors)` is called once, when the channel has ended and the client has got all before that: with the errors
    of a payload, or None. Whoever makes a sink closes it.
    """

    __slots__ = (
        "_after",
        "_awaited",
        "_broadcast",
        "_end",
        "_has_failed",
        "_has_turn",
        "_head",
        "_is_over",
        "_is_resync_due",
        "_merges",
        "_outlet",
        "_since",
        "_waiting",
        "on_over",
    )

    def __init__(self, listening: Listening, outlet: Outlet, head: bytes) -> None:
        self._after = listening.operation.stream.after
        self._broadcast = listening.broadcasts.enter(listening.operation, listening.request_id)
        self._outlet = outlet
        self._head = head
        self.on_over: Callable[[bytes | None], None] | None = None
        self._waiting: deque[Any] | None = None
        self._since = 0.0
        self._merges = 0
        self._is_resync_due = False
        self._has_turn = False
        self._awaited: Encoded | None = None
        self._end: tuple[Exception | None] | None = None
        self._has_failed = False
        self._is_over = False

    async def join(self) -> None:
        """Listen from here on; the opening is written, or waits. Raises what the channel does, having left it."""
        try:
            opening: Sequence[Any] = await self._broadcast.channel.join(self, self._after)
        except BaseException:
            self.close()
            raise
        if opening and not self._is_over:
            self._waiting = deque(opening)
            self._since = time.monotonic()
            self.go_on()

    def close(self) -> None:
        """The client does not want it any more. To be called in any case; again is harmless."""
        if self._is_over:
            return
        self._is_over = True
        self._waiting = None
        self._broadcast.channel.leave(self)
        self._broadcast.leave()

    # ── as the channel's listener ────────────────────────────────────────────────────────────────────────────

    def told(self, update: Any) -> None:
        try:
            if self._waiting is None and not self._is_over:
                encoded = self._broadcast.last
                if encoded is None or encoded.update is not update:
                    encoded = self._broadcast.encoded(update)
                if encoded.tail is not None and self._outlet.write(self._head, encoded.tail):
                    LIVE.deliveries += 1
                    return
            self._keep(update)
        except Exception as error:
            self._fail(error)

    def ended(self, error: Exception | None) -> None:
        if self._end is None:
            self._end = (error,)
            self.go_on()

    # ── what could not be written at once ────────────────────────────────────────────────────────────────────

    def _keep(self, update: Any) -> None:
        if self._is_over or self._has_failed or self._end is not None or self._is_resync_due:
            return
        waiting = self._waiting
        if not waiting:
            self._waiting = deque((update,))
            self._since = time.monotonic()
        elif not self._outlet.is_full and len(waiting) < WAITING_LIMIT:
            waiting.append(update)  # it is not the client that is slow
        elif self._merges < MOST_MERGES and time.monotonic() - self._since < RESYNC_AFTER_S:
            self._merges += 1
            waiting.append(self._broadcast.merge(waiting.pop(), update))
        else:
            waiting.clear()
            self._is_resync_due = True
        self.go_on()

    def go_on(self) -> None:
        """Write what waits, as far as it is encoded and there is room."""
        if not self._has_turn:
            self._write_with(self._outlet.write)

    def _take_turn(self) -> None:
        self._has_turn = False
        self._write_with(self._outlet.put)

    def _write_with(self, write: Write) -> None:
        try:
            while not self._is_over and not self._has_failed:
                if self._is_resync_due and not self._outlet.is_full:
                    self._resync()
                if self._is_resync_due:
                    self._ask_for_turn()
                    return
                if not self._waiting:
                    self._rest()
                    return
                encoded = self._broadcast.encoded(self._waiting[0])
                if encoded.error is not None:
                    self._fail(encoded.error)
                    return
                if encoded.tail is None:
                    self._await(encoded)
                    return
                if not write(self._head, encoded.tail):
                    self._ask_for_turn()
                    return
                LIVE.deliveries += 1
                self._waiting.popleft()
                write = self._outlet.write  # the next one after those of other operations
        except Exception as error:
            self._fail(error)

    def _resync(self) -> None:
        """All as it is now, which nobody could know while the client was not reading."""
        self._waiting = deque((self._broadcast.channel.resync(),))
        self._is_resync_due = False
        self._merges = 0
        self._since = time.monotonic()
        LIVE.resyncs += 1

    def _ask_for_turn(self) -> None:
        self._has_turn = True
        self._outlet.wait(self._take_turn)

    def _await(self, encoded: Encoded) -> None:
        if self._awaited is not encoded:
            self._awaited = encoded
            encoded.waiters.append(self)

    def _rest(self) -> None:
        self._waiting = None
        self._awaited = None
        self._merges = 0
        if self._end is not None:
            self._finish(self._end[0])

    def _fail(self, error: Exception) -> None:
        """Told by the execution, or by the channel's own merging: it ends for this client alone."""
        if not self._is_over and not self._has_failed:
            self._has_failed = True
            # Not at once: the channel may be telling its listeners just now, and this one leaves.
            asyncio.get_running_loop().call_soon(self._finish, error)

    def _finish(self, error: Exception | None) -> None:
        if self._is_over:
            return
        described = None if error is None else self._broadcast.describe(error)
        self.close()
        if self.on_over is not None:
            self.on_over(described)
