"""Valkey (or Redis 7 and later): the event stream, the relay's doorbell, rate limits.

Nothing here is the only copy of anything. The server may be flushed or restarted at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError, ResponseError

from app.adapters.facts_cache import ValkeyFactsCache
from app.adapters.job_queue import ArqJobQueue
from app.adapters.valkey_presence import ValkeyPresence
from app.ports import StreamUnavailable

log = structlog.get_logger(__name__)

COMMAND_TIMEOUT_S = 1.0
"""Longer than any command of ours takes; a server that needs more is as good as gone."""
PUBLISH_TIMEOUT_S = 5.0
"""For a thousand events."""
PING_EVERY_S = 5.0
DEAF_AFTER_S = 12.0
"""A subscription that nothing was heard of for so long is dead, though its connection may look open."""
CONNECTIONS = 20
STREAM_LENGTH = 100_000
"""Events the stream keeps, about. Readers further behind read PostgreSQL."""
FOLLOW_BATCH = 500
SILENCE_S = 1.0
"""After so long without an event, a follower is given an empty batch."""
LOCAL_KEYS = 10_000
"""Counters kept in the process while the server is away."""

FAILURES = (RedisError, OSError, asyncio.TimeoutError)
_BODY = b"e"


@dataclass(slots=True)
class _Installation:
    """Whose keys these are, once that is known."""

    id: UUID | None = None

    def key(self, name: str) -> str:
        """Raises StreamUnavailable before it is known."""
        if self.id is None:
            raise StreamUnavailable("it is not known yet whose events these are")
        return f"turnero:{self.id}:{name}"


class Valkey:
    """One server and our connections to it. Nothing is opened before it is used.

    `url`: redis://…, rediss://… or unix://PATH?db=0.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = connect(url)
        self._stream = ValkeyEventStream(self._client)

    def event_stream(self) -> ValkeyEventStream:
        return self._stream

    def rate_limiter(self) -> ValkeyRateLimiter:
        return ValkeyRateLimiter(self._client)

    def facts_cache(self) -> ValkeyFactsCache:
        return ValkeyFactsCache(self._client)

    def presence(self) -> ValkeyPresence:
        return ValkeyPresence(self._client)

    def job_queue(self) -> ArqJobQueue:
        return ArqJobQueue(self._url)

    async def ping(self) -> bool:
        """Does it answer within a second?"""
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                return bool(await self._client.ping())
        except FAILURES:
            return False

    async def close(self) -> None:
        """Close all connections."""
        await self._stream.close()
        with suppress(*FAILURES):
            await self._client.aclose()


def connect(url: str) -> Redis:
    """A client that opens connections when they are used.

    Commands have no time-out of their own: the client would use asyncio.wait_for, which in Python 3.11 now and then
    loses the cancellation of a task. Callers wrap them in asyncio.timeout.
    """
    pool = BlockingConnectionPool.from_url(
        url, max_connections=CONNECTIONS, timeout=COMMAND_TIMEOUT_S, socket_connect_timeout=COMMAND_TIMEOUT_S
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def _answering(within_s: float = COMMAND_TIMEOUT_S) -> AsyncIterator[None]:
    """Turns a server's absence or refusal into StreamUnavailable."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except FAILURES as error:
        raise StreamUnavailable(f"{type(error).__name__}: {error}") from error


class ValkeyEventStream:
    """EventStream on a Valkey stream whose ids are `<position>-0`; the doorbell is a channel."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._installation = _Installation()
        self._must_ring = False
        self._ringer: asyncio.Task[None] | None = None

    def attach(self, installation_id: UUID) -> None:
        self._installation.id = installation_id

    async def publish(self, events: Sequence[tuple[int, bytes]]) -> None:
        key = self._installation.key("events")
        async with _answering(PUBLISH_TIMEOUT_S), self._client.pipeline(transaction=False) as pipe:
            for position, body in events:
                pipe.xadd(key, {_BODY: body}, id=f"{position}-0", maxlen=STREAM_LENGTH, approximate=True)
            answers = await pipe.execute(raise_on_error=False)
        for answer in answers:
            # Lower than what is there: somebody else has published it.
            if isinstance(answer, Exception) and "equal or smaller" not in str(answer):
                raise StreamUnavailable(str(answer)) from answer

    async def last_position(self) -> int:
        key = self._installation.key("events")
        async with _answering():
            try:
                found = await self._client.xinfo_stream(key)
            except ResponseError as error:
                if "no such key" in str(error):
                    return 0
                raise
        return _position(found["last-generated-id"])

    async def reset(self) -> None:
        key = self._installation.key("events")
        async with _answering():
            await self._client.delete(key)

    async def follow(self, after: int) -> AsyncGenerator[Sequence[tuple[int, bytes]], None]:
        key = self._installation.key("events")
        while True:
            async with _answering(SILENCE_S + COMMAND_TIMEOUT_S):
                answer = await self._client.xread(
                    {key: f"{after}-0"}, count=FOLLOW_BATCH, block=round(SILENCE_S * 1000)
                )
            batch = [(_position(entry_id), fields[_BODY]) for entry_id, fields in answer[0][1]] if answer else []
            if batch:
                after = batch[-1][0]
            yield batch

    async def ring(self) -> None:
        # In a task, so that no request waits for it; bursts become one ring. Lost, it costs the relay's next look.
        if self._installation.id is None:
            return
        self._must_ring = True
        if self._ringer is None or self._ringer.done():
            self._ringer = asyncio.create_task(self._ring())

    async def _ring(self) -> None:
        while self._must_ring:
            self._must_ring = False
            with suppress(StreamUnavailable):
                async with _answering():
                    await self._client.publish(self._installation.key("ring"), b"")

    async def rings(self) -> AsyncGenerator[None, None]:
        channel = self._installation.key("ring")
        try:
            async with self._client.pubsub() as listener:
                async with asyncio.timeout(COMMAND_TIMEOUT_S):
                    await listener.subscribe(channel)
                async with aclosing(_messages(listener)) as messages:
                    async for kind in messages:
                        if kind != "pong":  # the first message says that it listens
                            yield
        except FAILURES as error:
            raise StreamUnavailable(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Let a ring that is on its way go out."""
        if self._ringer is not None:
            await asyncio.wait([self._ringer], timeout=COMMAND_TIMEOUT_S)


async def _messages(listener: PubSub) -> AsyncGenerator[str, None]:
    """The kind of each message, the answers to our pings included. Raises asyncio.TimeoutError in a long silence."""
    heard_at = asked_at = time.monotonic()
    while True:
        async with asyncio.timeout(SILENCE_S + COMMAND_TIMEOUT_S):
            message = await listener.get_message(timeout=SILENCE_S)
        now = time.monotonic()
        if message is not None:
            heard_at = now
            yield message["type"]
        elif now - heard_at > DEAF_AFTER_S:
            raise TimeoutError("nothing is heard, not even an answer to a ping")
        elif now - asked_at > PING_EVERY_S:
            asked_at = now
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await listener.ping()


def _position(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


@dataclass(slots=True)
class ValkeyRateLimiter:
    """RateLimiter with fixed windows. While the server is away each process counts for itself, from zero."""

    client: Redis
    _local: LocalWindows = field(default_factory=lambda: LocalWindows(LOCAL_KEYS))
    _away_until: float = 0.0
    _is_away: bool = False

    async def hit(self, key: str, *, limit: int, window_s: int) -> int | None:
        if limit <= 0:
            return None
        count, left_s = await self._count(_digest(key, window_s), window_s)
        return None if count <= limit else max(1, math.ceil(left_s))

    async def give_back(self, key: str, *, window_s: int) -> None:
        digest = _digest(key, window_s)
        self._local.give_back(digest)
        if time.monotonic() < self._away_until:
            return
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S), self.client.pipeline(transaction=True) as pipe:
                # One, if the window is over by now: nothing that was never counted is left below zero.
                pipe.set(_limit_key(digest), 1, ex=window_s, nx=True)
                pipe.decr(_limit_key(digest))
                await pipe.execute()
        except FAILURES as error:
            self._note_outage(error)

    async def forget(self, key: str, *, window_s: int) -> None:
        digest = _digest(key, window_s)
        self._local.forget(digest)
        if time.monotonic() < self._away_until:
            return
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await self.client.delete(_limit_key(digest))
        except FAILURES as error:
            self._note_outage(error)

    async def _count(self, digest: str, window_s: int) -> tuple[int, float]:
        if time.monotonic() >= self._away_until:
            try:
                counted = await self._count_together(_limit_key(digest), window_s)
            except FAILURES as error:
                self._note_outage(error)
            else:
                self._is_away = False
                return counted
        return self._local.count(digest, window_s, time.monotonic())

    async def _count_together(self, key: str, window_s: int) -> tuple[int, float]:
        async with asyncio.timeout(COMMAND_TIMEOUT_S), self.client.pipeline(transaction=True) as pipe:
            pipe.set(key, 0, ex=window_s, nx=True)
            pipe.incr(key)
            pipe.pttl(key)
            _, count, left_ms = await pipe.execute()
        return count, left_ms / 1000

    def _note_outage(self, error: BaseException) -> None:
        self._away_until = time.monotonic() + 1.0  # requests need not all wait for a server that does not answer
        if not self._is_away:
            log.warning("limits.counted_in_process", error=repr(error))
        self._is_away = True


def _digest(key: str, window_s: int) -> str:
    """Keys hold e-mails and addresses: the server sees digests, all of one length."""
    return hashlib.blake2b(f"{window_s}:{key}".encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _limit_key(digest: str) -> str:
    return f"turnero:limit:{digest}"


class LocalWindows:
    """Counters of this process, at most `size`; the oldest window goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._windows: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def count(self, key: str, window_s: int, now: float) -> tuple[int, float]:
        """Count one; how many it were in this window, and the seconds until it ends. `now` in monotonic seconds."""
        count, ends_at = self._windows.get(key, (0, 0.0))
        if ends_at <= now:
            self._windows.pop(key, None)
            count, ends_at = 0, now + window_s
        self._windows[key] = (count + 1, ends_at)
        while len(self._windows) > self._size:
            self._windows.popitem(last=False)
        return count + 1, ends_at - now

    def give_back(self, key: str) -> None:
        count, ends_at = self._windows.get(key, (0, 0.0))
        if count > 0:
            self._windows[key] = (count - 1, ends_at)

    def forget(self, key: str) -> None:
        self._windows.pop(key, None)
