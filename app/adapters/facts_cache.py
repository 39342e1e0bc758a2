"""FactsCache on Valkey. A server that is away is left alone for a moment, so that searches do not wait for it."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from app.adapters.valkey_patience import Patience

TIMEOUT_S = 0.25
"""Reading PostgreSQL instead takes a few milliseconds."""


class ValkeyFactsCache:
    def __init__(self, client: Redis) -> None:
        self._client = client
        self._patience = Patience("facts_cache.away", TIMEOUT_S)

    async def get(self, keys: Sequence[str]) -> list[bytes | None] | None:
        return await self._patience.ask(lambda: self._client.mget([_name(key) for key in keys]))

    async def put(self, key: str, value: bytes, ttl_s: int) -> bool:
        return bool(await self._patience.ask(lambda: self._client.set(_name(key), value, ex=ttl_s)))

    async def keep(self, key: str, ttl_s: int) -> bool:
        return bool(await self._patience.ask(lambda: self._client.expire(_name(key), ttl_s)))


def _name(key: str) -> str:
    return f"turnero:facts:{key}"
