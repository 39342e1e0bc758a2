"""Those who hear of one source at one pace: at once, or no more often than their `coalesceMs`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from app.resolvers.live_channel import Listener

U = TypeVar("U")


class Source(Protocol[U]):
    """What a lane needs of the source that it belongs to."""

    @property
    def is_public(self) -> bool: ...

    async def enter(self, lane: Lane[U], listener: Listener[U], after: str | None) -> Sequence[U]: ...

    def leave(self, lane: Lane[U], listener: Listener[U]) -> None: ...

    def merge(self, earlier: U, later: U) -> U: ...

    def is_empty(self, update: U) -> bool: ...

    def resync(self) -> U: ...


class Lane(Generic[U]):
    """A channel (`live_channel.Channel`).

    With a pace, the first change of a quiet time is told at once, and what follows within the pace is merged and told
    at its end: nobody waits for a change that comes alone, and nobody hears of more than one in that time.
    """

    def __init__(self, source: Source[U], pace_s: float = 0.0) -> None:
        self._source = source
        self._pace_s = pace_s
        self._listeners: dict[Listener[U], None] = {}
        self._pending: U | None = None
        self._timer: asyncio.TimerHandle | None = None

    # ── as a channel ─────────────────────────────────────────────────────────────────────────────────

    @property
    def is_public(self) -> bool:
        return self._source.is_public

    async def join(self, listener: Listener[U], after: str | None) -> Sequence[U]:
        return await self._source.enter(self, listener, after)

    def leave(self, listener: Listener[U]) -> None:
        self._source.leave(self, listener)

    def merge(self, earlier: U, later: U) -> U:
        return self._source.merge(earlier, later)

    def resync(self) -> U:
        """What waits is told to everybody first: it is part of what this one gets."""
        self.flush()
        return self._source.resync()

    # ── for the source ───────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        return len(self._listeners)

    def __bool__(self) -> bool:
        """Also a lane that nobody is in is one."""
        return True

    def admit(self, listener: Listener[U]) -> None:
        """One who has everything as of now. The others are told what waits, so that nobody gets a part twice."""
        self.flush()
        self._listeners[listener] = None

    def dismiss(self, listener: Listener[U]) -> None:
        self._listeners.pop(listener, None)
        if not self._listeners:
            self._rest()

    def tell(self, update: U) -> None:
        if self._timer is not None:
            self._pending = update if self._pending is None else self._source.merge(self._pending, update)
            return
        self._say(update)
        if self._pace_s:
            self._timer = asyncio.get_running_loop().call_later(self._pace_s, self._due)

    def flush(self) -> None:
        """Tell what waits now."""
        update, self._pending = self._pending, None
        if update is not None and not self._source.is_empty(update):
            self._say(update)

    def end(self, error: Exception | None) -> None:
        self.flush()
        listeners, self._listeners = self._listeners, {}
        self._rest()
        for listener in listeners:
            listener.ended(error)

    def _say(self, update: U) -> None:
        for listener in tuple(self._listeners):
            if listener in self._listeners:  # another one's being told may have made it leave
                listener.told(update)

    def _due(self) -> None:
        self._timer = None
        update, self._pending = self._pending, None
        if update is not None and not self._source.is_empty(update):
            self.tell(update)

    def _rest(self) -> None:
        self._pending = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
