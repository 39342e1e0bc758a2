"""A FactsCache in memory, which passes the same tests as the real one."""

from __future__ import annotations

import time
from collections.abc import Sequence


class MemoryFacts:
    """`is_away`: as if the server did not answer."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, float]] = {}
        self.is_away = False
        self.gets = 0
        self.puts = 0

    async def get(self, keys: Sequence[str]) -> list[bytes | None] | None:
        self.gets += 1
        return None if self.is_away else [self._value(key) for key in keys]

    async def put(self, key: str, value: bytes, ttl_s: int) -> bool:
        self.puts += 1
        if not self.is_away:
            self.values[key] = (value, time.monotonic() + ttl_s)
        return not self.is_away

    async def keep(self, key: str, ttl_s: int) -> bool:
        value = self._value(key)
        if value is None or self.is_away:
            return False
        self.values[key] = (value, time.monotonic() + ttl_s)
        return True

    def _value(self, key: str) -> bytes | None:
        value, ends_at = self.values.get(key, (b"", 0.0))
        return value if ends_at > time.monotonic() else None
