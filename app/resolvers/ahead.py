"""Streams that are read one item ahead: to know how they begin before anybody is answered, and to merge bursts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """One reader's view of a stream. Closing it closes the stream."""

    def __init__(self, source: AsyncGenerator[T, None]) -> None:
        self._source = source
        self._next = asyncio.create_task(self._read())

    async def _read(self) -> T:
        return await anext(self._source)

    async def is_ready(self, timeout_s: float | None = None) -> bool:
        """Has the stream said something, or ended? Waits for it, but not longer than this."""
        return bool((await asyncio.wait([self._next], timeout=timeout_s))[0])

    async def check(self, timeout_s: float | None) -> None:
        """Wait as `is_ready` does. Raises what the stream raised instead of saying something."""
        if await self.is_ready(timeout_s):
            error = self._next.exception()
            if error is not None and not isinstance(error, StopAsyncIteration):
                raise error

    def has_failed(self) -> bool:
        """Of a stream that is ready: is what comes next its end, or an error?"""
        return self._next.exception() is not None

    async def take(self) -> T:
        """The next item. Raises StopAsyncIteration at the end, and what the stream raised."""
        item = await self._next
        self._next = asyncio.create_task(self._read())
        return item

    async def close(self) -> None:
        self._next.cancel()
        await asyncio.wait([self._next])
        if not self._next.cancelled():
            self._next.exception()  # nobody wants it any more
        await self._source.aclose()


async def coalesced(
    source: Ahead[T], wait_s: float, *, may_wait: Callable[[T], bool], merge: Callable[[T, T], T | None]
) -> AsyncGenerator[T, None]:
    """What comes within `wait_s` of an update that may wait, merged with it. Closes the source.

    `merge` gives None for two that cancel each other out. An end, or an error, comes after what was said before it.
    """
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                update: T | None = await source.take()
            except StopAsyncIteration:
                return
            until = loop.time() + wait_s
            while wait_s and (update is None or may_wait(update)):
                if not await source.is_ready(max(0.0, until - loop.time())) or source.has_failed():
                    break
                later = await source.take()
                update = later if update is None else merge(update, later)
            if update is not None:
                yield update
    finally:
        await source.close()
