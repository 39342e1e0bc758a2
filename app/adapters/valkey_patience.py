"""How caches and boards ask Valkey: a server that is away is left alone for a moment, and nobody fails of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

T = TypeVar("T")

REST_S = 2.0

_FAILURES = (RedisError, OSError, asyncio.TimeoutError)


class Patience:
    """`outage` names what is logged once when the server goes away."""

    def __init__(self, outage: str, timeout_s: float) -> None:
        self._outage = outage
        self._timeout_s = timeout_s
        self._away_until = 0.0
        self._is_away = False

    async def ask(self, command: Callable[[], Awaitable[T]]) -> T | None:
        """None: the server is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await command()
        except _FAILURES as error:
            self._away_until = time.monotonic() + REST_S
            if not self._is_away:
                log.warning(self._outage, error=f"{type(error).__name__}: {error}")
            self._is_away = True
            return None
        self._is_away = False
        return answer
