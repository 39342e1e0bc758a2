"""Work that is given up when its client leaves, or when it takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

Receive = Callable[[], Awaitable[Any]]

_UNWATCHED_S = 0.05
"""Nearly all work is done sooner than this. Only then it is worth a timer of its own, and a task that waits for the
client to leave."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class TookTooLong(Exception):
    """The time for it is over."""


class Watch:
    """Looks after what a request's task does, one thing after another:

        with watch.over(timeout_s): ...

    The block is cancelled when its time is over, and then raises TookTooLong. Given the request's `receive`, whose
    body has to be read by then, it also hears when the client leaves, and raises ClientGone.
    """

    __slots__ = ("_cancelling", "_deadline", "_is_open", "_listener", "_loop", "_reason", "_receive", "_task", "_timer")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Task[None] | None = None
        self._reason: Exception | None = None
        self._is_open = False
        self._cancelling = 0

    def over(self, timeout_s: float, receive: Receive | None = None) -> Self:
        self._receive = receive
        now = self._loop.time()
        self._deadline = now + timeout_s
        first_look = now + min(_UNWATCHED_S, timeout_s)
        if self._timer is None or self._timer.when() > first_look:
            self.close()
            self._timer = self._loop.call_at(first_look, self._look)
        return self

    def __enter__(self) -> None:
        self._is_open = True
        self._cancelling = self._task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None
        if self._reason is not None:
            reason, self._reason = self._reason, None
            is_ours_alone = self._task.uncancel() <= self._cancelling
            if is_ours_alone and isinstance(error, asyncio.CancelledError):
                raise reason from None

    def close(self) -> None:
        """At the end of the request."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if not self._is_open:
            return
        left_s = self._deadline - self._loop.time()
        if left_s <= 0:
            self._give_up(TookTooLong())
            return
        self._timer = self._loop.call_later(left_s, self._look)
        if self._receive is not None and self._listener is None:
            self._listener = self._loop.create_task(self._listen(self._receive))

    async def _listen(self, receive: Receive) -> None:
        with suppress(OSError):
            while (await receive())["type"] != "http.disconnect":
                pass
        self._give_up(ClientGone())

    def _give_up(self, reason: Exception) -> None:
        if self._is_open and self._reason is None:
            self._reason = reason
            self._task.cancel()
