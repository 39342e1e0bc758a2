"""A PresenceBoard in memory, which passes the same tests as the real one."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from uuid import UUID


class MemoryBoard:
    """`is_away`: as if the server did not answer. Several processes share one."""

    def __init__(self, ttl_s: float = 10.0) -> None:
        self.is_away = False
        self.notes: dict[tuple[UUID, UUID], tuple[float, dict[str, int]]] = {}
        self._ttl_s = ttl_s
        self._asked: dict[UUID, float] = {}

    async def asked(self, mine: Collection[UUID], among: Collection[UUID]) -> frozenset[UUID] | None:
        if self.is_away:
            return None
        now = time.monotonic()
        self._asked |= dict.fromkeys(mine, now + self._ttl_s)
        return frozenset(subject for subject in among if self._asked.get(subject, 0.0) > now)

    async def tell(self, process_id: UUID, counts: Mapping[UUID, Mapping[str, int]]) -> bool:
        for subject, texts in counts.items():
            if texts and not self.is_away:
                self.notes[subject, process_id] = (time.monotonic() + self._ttl_s, dict(texts))
            elif not self.is_away:
                self.notes.pop((subject, process_id), None)
        return not self.is_away

    async def read(self, subjects: Collection[UUID]) -> Mapping[UUID, Mapping[str, int]] | None:
        if self.is_away:
            return None
        found: dict[UUID, dict[str, int]] = {}
        for (subject, _), (until, texts) in self.notes.items():
            if subject in subjects and until > time.monotonic():
                known = found.setdefault(subject, {})
                for text, count in texts.items():
                    known[text] = known.get(text, 0) + count
        return found
