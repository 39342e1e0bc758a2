"""What all who look at the same thing with equal rights share: one source, from which each of them is told.

A subscription's resolver answers with a `LiveStream`. Whoever serves it may iterate over it like any stream, or join
its channel and tell many listeners at once; both hear the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

U = TypeVar("U")
U_contra = TypeVar("U_contra", contravariant=True)
E = TypeVar("E")

WAITING_LIMIT = 100
"""Updates that wait for one reader before they are merged."""


class Listener(Protocol[U_contra]):
    """Both are called from the event loop, return at once and never raise."""

    def told(self, update: U_contra) -> None:
        """The next update, in order, each once."""

    def ended(self, error: Exception | None) -> None:
        """Nothing comes any more: the thing is over (None), or may not be seen or read (why). The listener has left."""


class Channel(Protocol[U]):
    """Updates are immutable. The same update is the same object for every listener, so that what is made of it
    (an encoded frame) may be remembered by its identity."""

    @property
    def is_public(self) -> bool:
        """Everybody may see all that it tells, and nothing of that depends on who listens."""

    async def join(self, listener: Listener[U], after: str | None) -> Sequence[U]:
        """What this listener gets first: a snapshot, or what it missed since the cursor `after`.

        `listener.told` follows with all that comes later, without gap or repeat; never before this has returned.
        Raises BadInput, NotFound, StreamUnavailable, and then nobody has joined.
        """

    def leave(self, listener: Listener[U]) -> None:
        """Whoever is not there is left alone."""

    def merge(self, earlier: U, later: U) -> U:
        """One update that says the same as two in succession; its cursor is the later one's."""

    def resync(self) -> U:
        """All as of the last update that was told, for one who could not follow."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveStream(Generic[U, E]):
    """What a subscription answers with. `to_event` makes the schema's object of an update, without reading anything.

    Of a public channel `to_event` makes the same for everybody. Give a function that is there once (a class's method),
    not one made for this viewer: only equal ones are served together.
    """

    channel: Channel[U]
    after: str | None
    to_event: Callable[[U], E]

    def __aiter__(self) -> AsyncIterator[E]:
        return self._events()

    async def _events(self) -> AsyncGenerator[E, None]:
        reader = Reader(self.channel)
        try:
            for update in await self.channel.join(reader, self.after):
                yield self.to_event(update)
            async for update in reader:
                yield self.to_event(update)
        finally:
            self.channel.leave(reader)


class Reader(Generic[U]):
    """A listener that is read at the reader's own pace: what it cannot take in time is merged."""

    def __init__(self, channel: Channel[U]) -> None:
        self._channel = channel
        self._waiting: list[U] = []
        self._news = asyncio.Event()
        self._is_over = False
        self._error: Exception | None = None

    def told(self, update: U) -> None:
        if len(self._waiting) >= WAITING_LIMIT:
            update = self._channel.merge(self._waiting.pop(), update)
        self._waiting.append(update)
        self._news.set()

    def ended(self, error: Exception | None) -> None:
        self._is_over, self._error = True, error
        self._news.set()

    def __aiter__(self) -> AsyncIterator[U]:
        return self

    async def __anext__(self) -> U:
        while not self._waiting:
            if self._is_over:
                if self._error is not None:
                    raise self._error.with_traceback(None)  # it is raised for many, and would grow with each
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.pop(0)
