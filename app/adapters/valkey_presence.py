"""PresenceBoard on Valkey: a hash for each subject with a field for each process, gone with the process that wrote it.

When a note ends is measured by the server's own clock, so that those of the processes need not agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

import msgspec
from redis.asyncio import Redis

from app.adapters.valkey_patience import Patience

TTL_S = 10.0
"""Three turns of those who write: one that is late or lost is not missed."""
TIMEOUT_S = 1.0
ASKED_LIMIT = 10_000
"""Subjects that may be asked about at once; those asked about last stay."""
TEXTS_LIMIT = 200
"""Counts of one subject by one process."""

_ASKED = "turnero:presence:asked"
_Note = tuple[float, dict[str, int]]
"""When it ends by the server's clock, and the counts."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[_Note] = msgspec.json.Decoder(_Note)


class ValkeyPresence:
    """A server that is away is left alone for a moment."""

    def __init__(self, client: Redis, ttl_s: float = TTL_S) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._patience = Patience("presence.away", TIMEOUT_S)

    async def asked(self, mine: Collection[UUID], among: Collection[UUID]) -> frozenset[UUID] | None:
        return await self._patience.ask(lambda: self._asked(mine, list(among)))

    async def _asked(self, mine: Collection[UUID], among: list[UUID]) -> frozenset[UUID]:
        now = await self._now()
        async with self._client.pipeline(transaction=False) as pipe:
            if mine:
                pipe.zadd(_ASKED, {subject.hex: now + self._ttl_s for subject in mine})
                pipe.zremrangebyscore(_ASKED, "-inf", now)
                pipe.zremrangebyrank(_ASKED, 0, -ASKED_LIMIT - 1)
                pipe.expire(_ASKED, round(self._ttl_s) + 1)
            if among:
                pipe.zmscore(_ASKED, [subject.hex for subject in among])
            answers = await pipe.execute()
        scores = answers[-1] if among else []
        return frozenset(subject for subject, score in zip(among, scores, strict=False) if (score or 0.0) > now)

    async def tell(self, process_id: UUID, counts: Mapping[UUID, Mapping[str, int]]) -> bool:
        return bool(await self._patience.ask(lambda: self._tell(process_id.hex, counts)))

    async def _tell(self, process: str, counts: Mapping[UUID, Mapping[str, int]]) -> bool:
        until = await self._now() + self._ttl_s
        async with self._client.pipeline(transaction=False) as pipe:
            for subject, texts in counts.items():
                key = _key(subject)
                if texts:
                    pipe.hset(key, process, _encoder.encode((until, dict(list(texts.items())[:TEXTS_LIMIT]))).decode())
                    pipe.expire(key, round(self._ttl_s) + 1)
                else:
                    pipe.hdel(key, process)
            await pipe.execute()
        return True

    async def read(self, subjects: Collection[UUID]) -> Mapping[UUID, Mapping[str, int]] | None:
        return await self._patience.ask(lambda: self._read(list(subjects)))

    async def _read(self, subjects: list[UUID]) -> dict[UUID, dict[str, int]]:
        now = await self._now()
        async with self._client.pipeline(transaction=False) as pipe:
            for subject in subjects:
                pipe.hgetall(_key(subject))
            answers = await pipe.execute()
        found: dict[UUID, dict[str, int]] = {}
        stale: list[tuple[UUID, str]] = []
        for subject, notes in zip(subjects, answers, strict=True):
            for process, body in notes.items():
                until, counts = _read_note(body)
                if until <= now:
                    stale.append((subject, process.decode()))
                    continue
                known = found.setdefault(subject, {})
                for text, count in counts.items():
                    known[text] = known.get(text, 0) + count
        await self._forget(stale)
        return found

    async def _forget(self, stale: list[tuple[UUID, str]]) -> None:
        """Of processes that are gone, while others keep the hash alive."""
        if stale:
            async with self._client.pipeline(transaction=False) as pipe:
                for subject, process in stale:
                    pipe.hdel(_key(subject), process)
                await pipe.execute()

    async def _now(self) -> float:
        seconds, microseconds = await self._client.time()
        return float(seconds + microseconds / 1_000_000)


def _key(subject: UUID) -> str:
    return f"turnero:presence:{subject}"


def _read_note(body: bytes) -> _Note:
    """What cannot be read has ended."""
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError:
        return 0.0, {}
