"""One timer for many sockets: a task for each would cost more memory than the socket."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)


_SHORTEST_S = 0.001
"""Between two looks at the same one."""


class Watched(Protocol):
    """What wants to be looked at, at one moment at a time. Times are those of the loop's clock, in seconds."""

    due: float | None
    """When it will be looked at. None: never. Only `Alarms` sets it, and who wants to be left alone (to None)."""

    def look(self, now: float) -> float | None:
        """Do what is due; gives the next moment."""


class Alarms:
    """Looks at each when it is due, never before. To be used within one event loop."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Watched]] = []
        self._number = count()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0

    def set(self, one: Watched, at: float) -> None:
        """Look at it then, or sooner where that was arranged already."""
        self._note(one, at)
        if self._timer is None or at < self._rings_at:
            self._arm()

    def _note(self, one: Watched, at: float) -> None:
        if one.due is None or at < one.due:
            one.due = at
            heappush(self._entries, (at, next(self._number), one))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._entries:
            self._rings_at = self._entries[0][0]
            self._timer = asyncio.get_running_loop().call_at(self._rings_at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._entries and self._entries[0][0] <= now:
            at, _, one = heappop(self._entries)
            if one.due != at:  # it was arranged otherwise since
                continue
            one.due = None
            try:
                following = one.look(now)
            except Exception as error:  # one of them must not silence the others
                log.error("alarm.failed", exc_info=error)
                continue
            if following is not None:
                self._note(one, max(following, now + _SHORTEST_S))
        self._arm()
