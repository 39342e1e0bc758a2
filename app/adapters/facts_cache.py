"""FactsCache on Valkey. A server that is away is left alone for a moment, so that searches do not wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

T = TypeVar("T")

TIMEOUT_S = 0.25
"""Reading PostgreSQL instead takes a few milliseconds."""
REST_S = 2.0

_FAILURES = (RedisError, OSError, asyncio.TimeoutError)


class ValkeyFactsCache:
    def __init__(self, client: Redis) -> None:
        self._client = client
        self._away_until = 0.0
        self._is_away = False

    async def get(self, keys: Sequence[str]) -> list[bytes | None] | None:
        return await self._ask(lambda: self._client.mget([_name(key) for key in keys]))

    async def put(self, key: str, value: bytes, ttl_s: int) -> bool:
        return bool(await self._ask(lambda: self._client.set(_name(key), value, ex=ttl_s)))

    async def keep(self, key: str, ttl_s: int) -> bool:
        return bool(await self._ask(lambda: self._client.expire(_name(key), ttl_s)))

    async def _ask(self, command: Callable[[], Awaitable[T]]) -> T | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await command()
        except _FAILURES as error:
            self._away_until = time.monotonic() + REST_S
            if not self._is_away:
                log.warning("facts_cache.away", error=f"{type(error).__name__}: {error}")
            self._is_away = True
            return None
        self._is_away = False
        return answer


def _name(key: str) -> str:
    return f"turnero:facts:{key}"
