"""The board of presence: one contract for Valkey and for the twin of the tests, and a server that is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from app.adapters import valkey_patience, valkey_presence
from app.adapters.valkey import connect
from app.adapters.valkey_presence import ValkeyPresence
from app.ports import PresenceBoard
from tests.adapters.presence_twin import MemoryBoard
from tests.jobs.loops import until
from tests.jobs.valkey_server import ValkeyServer

TTL_S = 0.5
NOWHERE = "unix:///nonexistent/valkey.sock"


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(params=["valkey", "twin"])
def board(request: pytest.FixtureRequest, client: Redis) -> PresenceBoard:
    return ValkeyPresence(client, TTL_S) if request.param == "valkey" else MemoryBoard(TTL_S)


async def test_processes_are_added_up(board: PresenceBoard) -> None:
    one, other, subject, second = (uuid4() for _ in range(4))
    assert await board.read([subject]) == {}
    assert await board.tell(one, {subject: {"a": 2, "b": 1}, second: {"on": 1}})
    assert await board.tell(other, {subject: {"a": 3}})
    assert await board.read([subject, second]) == {subject: {"a": 5, "b": 1}, second: {"on": 1}}
    # What a process tells takes the place of what it told before.
    assert await board.tell(one, {subject: {"b": 4}, second: {}})
    assert await board.read([subject, second]) == {subject: {"a": 3, "b": 4}}
    assert await board.read([]) == {}


async def test_a_process_that_dies_is_gone_by_itself(board: PresenceBoard) -> None:
    dead, alive, subject = (uuid4() for _ in range(3))
    await board.tell(dead, {subject: {"a": 5}})
    for _ in range(3):
        await asyncio.sleep(TTL_S / 2.5)
        await board.tell(alive, {subject: {"a": 1}})
    assert await board.read([subject]) == {subject: {"a": 1}}


async def test_questions_are_heard_by_all_and_fade(board: PresenceBoard) -> None:
    wanted, unwanted = uuid4(), uuid4()
    assert await board.asked((), [wanted]) == frozenset()
    assert await board.asked([wanted], ()) == frozenset()
    assert await board.asked((), [unwanted, wanted]) == frozenset({wanted})

    async def is_forgotten() -> bool:
        return await board.asked((), [wanted]) == frozenset()

    await until(is_forgotten)


async def test_nothing_stays(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key has an end, what dead processes left in a living hash is taken out, and questions are bounded."""
    monkeypatch.setattr(valkey_presence, "ASKED_LIMIT", 5)
    board, subject, dead = ValkeyPresence(client, 0.8), uuid4(), uuid4()
    await board.tell(dead, {subject: {"a": 1}})
    key = f"turnero:presence:{subject}"
    server: Any = client  # its types do not say which answers are awaited
    assert 0 < await client.ttl(key) <= 2
    await server.hset(key, "noise", "nonsense")
    await asyncio.sleep(0.85)
    await board.tell(uuid4(), {subject: {"a": 1}})
    assert await board.read([subject]) == {subject: {"a": 1}}
    assert await server.hlen(key) == 1
    await board.asked([uuid4() for _ in range(50)], ())
    assert await client.zcard("turnero:presence:asked") == 5
    assert 0 < await client.ttl("turnero:presence:asked") <= 2


async def test_without_a_server_nothing_is_known_and_nothing_raised() -> None:
    client = connect(NOWHERE)
    board = ValkeyPresence(client)
    assert await board.asked([uuid4()], [uuid4()]) is None
    assert await board.tell(uuid4(), {uuid4(): {"a": 1}}) is False
    assert await board.read([uuid4()]) is None
    await client.aclose()


async def test_a_server_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey_presence, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(valkey_patience, "REST_S", 0.3)
    with ValkeyServer() as server:
        client, subject = connect(server.url), uuid4()
        board = ValkeyPresence(client)
        assert await board.tell(uuid4(), {subject: {"a": 1}})
        server.pause()
        began = time.monotonic()
        assert [await board.read([subject]) for _ in range(20)] == [None] * 20
        assert time.monotonic() - began < 3
        server.resume()

        async def is_back() -> bool:
            return await board.read([subject]) == {subject: {"a": 1}}

        await until(is_back)
        await client.aclose()
