"""Running endless loops beside a test, and waiting for what they bring about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run them while the block runs. Fails when one ended, since none may."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield tasks
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
                raise AssertionError("a loop ended")
    finally:
        for task in tasks:
            task.cancel()
        _, deaf = await asyncio.wait(tasks, timeout=10)
        for task in deaf:
            task.print_stack()
        assert not deaf, "a loop does not let itself be cancelled"


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 40.0) -> float:
    """Seconds until it became true. Fails when it does not."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < timeout_s, "it did not come about"
        await asyncio.sleep(0.02)
    return time.monotonic() - began
