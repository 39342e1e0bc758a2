"""The cache that processes share: one contract for Valkey and for the twin of the tests, and a server that is away."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.adapters import valkey_patience
from app.adapters.facts_cache import ValkeyFactsCache
from app.adapters.valkey import connect
from app.ports import FactsCache
from tests.adapters.facts_twin import MemoryFacts
from tests.jobs.loops import until
from tests.jobs.valkey_server import ValkeyServer

NOWHERE = "unix:///nonexistent/valkey.sock"


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(params=["valkey", "twin"])
def cache(request: pytest.FixtureRequest, client: Redis) -> FactsCache:
    return ValkeyFactsCache(client) if request.param == "valkey" else MemoryFacts()


async def test_what_is_put_is_had_back_in_the_order_asked(cache: FactsCache) -> None:
    one, two, three = (uuid4().hex for _ in range(3))
    assert await cache.get([one]) == [None]
    assert await cache.put(one, b"\x00\xffone", 60)
    assert await cache.put(two, b"", 60)
    assert await cache.get([two, three, one]) == [b"", None, b"\x00\xffone"]
    assert await cache.put(one, b"anew", 60)
    assert await cache.get([one]) == [b"anew"]


async def test_it_is_forgotten_unless_it_is_kept(cache: FactsCache) -> None:
    short, kept = uuid4().hex, uuid4().hex
    await cache.put(short, b"x", 1)
    await cache.put(kept, b"x", 1)
    assert await cache.keep(kept, 60)
    assert not await cache.keep(uuid4().hex, 60)

    async def is_forgotten() -> bool:
        return await cache.get([short]) == [None]

    await until(is_forgotten)
    assert await cache.get([kept]) == [b"x"]


async def test_keys_are_apart_from_those_of_others(client: Redis) -> None:
    key = uuid4().hex
    await ValkeyFactsCache(client).put(key, b"x", 60)
    assert await client.get(f"turnero:facts:{key}") == b"x"
    assert 0 < await client.ttl(f"turnero:facts:{key}") <= 60


async def test_without_a_server_nothing_is_had_and_nothing_raised() -> None:
    client = connect(NOWHERE)
    cache = ValkeyFactsCache(client)
    with capture_logs() as lines:
        assert await cache.get(["a"]) is None
        assert await cache.put("a", b"x", 60) is False
        assert await cache.keep("a", 60) is False
    assert [line["event"] for line in lines] == ["facts_cache.away"]
    await client.aclose()


async def test_a_server_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey_patience, "REST_S", 0.3)
    with ValkeyServer() as server:
        client = connect(server.url)
        cache = ValkeyFactsCache(client)
        assert await cache.put("a", b"x", 60)
        server.pause()
        assert await cache.get(["a"]) is None
        began = time.monotonic()
        assert [await cache.get(["a"]) for _ in range(20)] == [None] * 20
        assert time.monotonic() - began < 1.5
        server.resume()

        async def is_back() -> bool:
            return await cache.get(["a"]) == [b"x"]

        await until(is_back)
        await client.aclose()
