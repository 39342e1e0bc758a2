"""The adapters against a real Valkey, present and absent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from uuid import UUID

import pytest
from redis.asyncio import Redis

from app.adapters.valkey import LocalWindows, Valkey, connect
from app.core.ids import new_id
from app.ports import QueueUnavailable, StreamUnavailable
from tests.jobs.loops import beside, until
from tests.jobs.valkey_server import ValkeyServer

NOWHERE = "unix:///nonexistent/valkey.sock"


@pytest.fixture
async def valkey(redis_url: str) -> AsyncIterator[Valkey]:
    valkey = Valkey(redis_url)
    valkey.event_stream().attach(new_id())
    yield valkey
    await valkey.close()


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


async def as_many(seen: int, wanted: int) -> bool:
    return seen >= wanted


async def first_batch(batches: AsyncGenerator[Sequence[tuple[int, bytes]], None]) -> list[tuple[int, bytes]]:
    async with aclosing(batches):
        async for batch in batches:
            if batch:
                return list(batch)
    raise AssertionError("it ended")


# ── stream ────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_published_is_followed_in_order(valkey: Valkey) -> None:
    stream = valkey.event_stream()
    await stream.publish([(n, str(n).encode()) for n in range(1, 1_001)])
    seen: list[tuple[int, bytes]] = []
    async with aclosing(stream.follow(10)) as batches:
        async for batch in batches:
            if not batch:
                break
            seen.extend(batch)
    assert seen == [(n, str(n).encode()) for n in range(11, 1_001)]
    assert await stream.last_position() == 1_000


async def test_what_is_there_already_is_passed_over(valkey: Valkey) -> None:
    stream = valkey.event_stream()
    await stream.publish([(1, b"a"), (2, b"b")])
    await stream.publish([(1, b"again"), (2, b"again"), (3, b"c")])
    assert await first_batch(stream.follow(0)) == [(1, b"a"), (2, b"b"), (3, b"c")]


async def test_a_follower_hears_while_it_waits(valkey: Valkey) -> None:
    stream = valkey.event_stream()
    waiting = asyncio.create_task(first_batch(stream.follow(0)))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await stream.publish([(1, b"a")])
    assert await waiting == [(1, b"a")]
    assert time.monotonic() - began < 10


async def test_silence_is_told_each_second(valkey: Valkey) -> None:
    async with aclosing(valkey.event_stream().follow(0)) as batches:
        began = time.monotonic()
        assert list(await anext(batches)) == []
    assert 0.8 < time.monotonic() - began < 30


async def test_a_stream_can_begin_anew(valkey: Valkey) -> None:
    stream = valkey.event_stream()
    await stream.publish([(500, b"a")])
    await stream.reset()
    assert await stream.last_position() == 0
    await stream.publish([(1, b"b")])
    assert await first_batch(stream.follow(0)) == [(1, b"b")]


async def test_installations_do_not_hear_each_other(redis_url: str) -> None:
    one, other = Valkey(redis_url), Valkey(redis_url)
    one.event_stream().attach(new_id())
    other.event_stream().attach(new_id())
    await one.event_stream().publish([(1, b"a")])
    assert await other.event_stream().last_position() == 0
    await one.close()
    await other.close()


async def test_without_a_server_a_stream_says_so_and_a_ring_is_lost() -> None:
    valkey = Valkey(NOWHERE)
    stream = valkey.event_stream()
    await stream.ring()
    with pytest.raises(StreamUnavailable):
        await stream.last_position()
    stream.attach(new_id())
    await stream.ring()
    with pytest.raises(StreamUnavailable):
        await stream.publish([(1, b"a")])
    with pytest.raises(StreamUnavailable):
        await first_batch(stream.follow(0))
    async with aclosing(stream.rings()) as rings:
        with pytest.raises(StreamUnavailable):
            await anext(rings)
    assert await valkey.ping() is False
    await valkey.close()


async def test_rings_are_heard_and_bursts_merge(valkey: Valkey) -> None:
    stream = valkey.event_stream()
    heard = 0

    async def listen() -> None:
        nonlocal heard
        async for _ in stream.rings():
            heard += 1

    async with beside(listen()):
        await until(lambda: as_many(heard, 1))  # it says when it begins to listen
        await asyncio.gather(*(stream.ring() for _ in range(500)))
        await until(lambda: as_many(heard, 2))
        await asyncio.sleep(0.3)
        assert heard <= 50


async def test_a_ring_waits_for_nobody(server: ValkeyServer) -> None:
    valkey = Valkey(server.url)
    stream = valkey.event_stream()
    stream.attach(new_id())
    assert await valkey.ping()
    server.pause()
    began = time.monotonic()
    for _ in range(100):
        await stream.ring()
    assert time.monotonic() - began < 10
    with pytest.raises(StreamUnavailable):
        await stream.publish([(1, b"a")])
    server.resume()
    assert await valkey.ping()
    await valkey.close()


async def test_a_restarted_server_is_used_again(server: ValkeyServer) -> None:
    valkey = Valkey(server.url)
    stream = valkey.event_stream()
    stream.attach(new_id())
    await stream.publish([(1, b"a")])
    server.kill()
    assert not await valkey.ping()
    server.start()
    await stream.publish([(2, b"b")])
    assert await first_batch(stream.follow(0)) == [(2, b"b")]
    await valkey.close()


async def test_waiting_tasks_hear_their_cancellation(redis_url: str) -> None:
    """A client with command time-outs loses some of these in Python 3.11, and then a process never ends."""
    client = connect(redis_url)

    async def work() -> None:
        while True:
            await client.ping()

    for turn in range(300):
        task = asyncio.create_task(work())
        await asyncio.sleep(0.0005 * (turn % 7))
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=30)
        assert done, "it went on as if nothing had been"
    await client.aclose()


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────


async def test_hits_are_counted_together_and_refused_beyond_the_limit(redis_url: str) -> None:
    key = f"test:{new_id()}"
    one, other = Valkey(redis_url), Valkey(redis_url)
    hits = [await limiter.hit(key, limit=3, window_s=60) for limiter in (one.rate_limiter(), other.rate_limiter())]
    hits.append(await one.rate_limiter().hit(key, limit=3, window_s=60))
    assert hits == [None, None, None]
    left = await other.rate_limiter().hit(key, limit=3, window_s=60)
    assert left is not None
    assert 55 <= left <= 60
    await one.close()
    await other.close()


async def test_a_window_ends(valkey: Valkey) -> None:
    limiter, began, hits = valkey.rate_limiter(), float("-inf"), []
    while time.monotonic() - began > 0.9:  # both in one window, however slow the machine is
        key, began = f"test:{new_id()}", time.monotonic()
        hits = [await limiter.hit(key, limit=1, window_s=1) for _ in range(2)]
    assert hits == [None, 1]
    await asyncio.sleep(1.1)
    assert await limiter.hit(key, limit=1, window_s=1) is None


async def test_a_limit_of_zero_never_refuses(valkey: Valkey) -> None:
    limiter = valkey.rate_limiter()
    assert [await limiter.hit("zero", limit=0, window_s=60) for _ in range(5)] == [None] * 5


async def test_exactly_the_limit_passes_at_once(valkey: Valkey) -> None:
    limiter, key = valkey.rate_limiter(), f"test:{new_id()}"
    hits = await asyncio.gather(*(limiter.hit(key, limit=7, window_s=60) for _ in range(40)))
    assert hits.count(None) == 7


async def test_what_is_forgotten_counts_anew(valkey: Valkey) -> None:
    for limiter in (valkey.rate_limiter(), Valkey(NOWHERE).rate_limiter()):
        key = f"test:{new_id()}"
        assert [await limiter.hit(key, limit=1, window_s=60) is None for _ in range(2)] == [True, False]
        await limiter.forget(key, window_s=60)
        assert await limiter.hit(key, limit=1, window_s=60) is None


async def test_what_is_given_back_does_not_count(valkey: Valkey, redis_url: str) -> None:
    for limiter in (valkey.rate_limiter(), Valkey(NOWHERE).rate_limiter()):
        key = f"test:{new_id()}"
        await limiter.give_back(key, window_s=60)  # nothing was counted: it is no credit
        for _ in range(3):
            assert await limiter.hit(key, limit=1, window_s=60) is None
            await limiter.give_back(key, window_s=60)
        assert [await limiter.hit(key, limit=1, window_s=60) is None for _ in range(2)] == [True, False]
    client = Redis.from_url(redis_url)
    assert [await client.ttl(one) for one in await client.keys("turnero:limit:*") if await client.ttl(one) < 0] == []
    await client.aclose()


async def test_keys_are_not_stored_in_the_clear(valkey: Valkey, redis_url: str) -> None:
    await valkey.rate_limiter().hit("eve@example.com \ud800", limit=1, window_s=60)
    client = Redis.from_url(redis_url)
    assert not [key async for key in client.scan_iter() if b"example" in key]
    await client.aclose()


async def test_limits_hold_in_the_process_without_a_server() -> None:
    valkey = Valkey(NOWHERE)
    limiter = valkey.rate_limiter()
    began = time.monotonic()
    hits = [await limiter.hit("k", limit=2, window_s=60) for _ in range(50)]
    assert hits.count(None) == 2
    assert set(hits[2:]) <= set(range(50, 61))
    assert time.monotonic() - began < 10
    await valkey.close()


async def test_a_server_that_stands_still_delays_few(server: ValkeyServer) -> None:
    valkey = Valkey(server.url)
    limiter = valkey.rate_limiter()
    server.pause()
    began = time.monotonic()
    hits = [await limiter.hit("k", limit=2, window_s=60) for _ in range(20)]
    assert hits.count(None) == 2
    assert time.monotonic() - began < 5
    server.resume()
    await valkey.close()


def test_counters_of_the_process_are_bounded() -> None:
    windows = LocalWindows(100)
    for number in range(1_000):
        windows.count(str(number), 60, now=0.0)
    assert windows.count("999", 60, now=1.0) == (2, 59.0)
    assert windows.count("0", 60, now=1.0) == (1, 60.0)
    assert windows.count("999", 60, now=61.0) == (1, 60.0)


# ── queue ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_each_call_is_answered_once_by_one_of_those_who_serve(redis_url: str) -> None:
    queue = Valkey(redis_url).job_queue()
    queue.attach(new_id())
    jobs = [new_id() for _ in range(50)]
    answered: list[UUID] = []

    async def start(job_id: UUID) -> None:
        answered.append(job_id)

    async with beside(queue.serve(start, lambda: None), queue.serve(start, lambda: None)):
        await queue.wake([(job_id, 0) for job_id in jobs])
        await until(lambda: as_many(len(answered), len(jobs)))
        assert sorted(answered) == sorted(jobs)
        await queue.wake([(jobs[0], 1), (jobs[0], 1)])
        await until(lambda: as_many(len(answered), len(jobs) + 1))
        await asyncio.sleep(0.3)
    assert len(answered) == len(jobs) + 1, "a later attempt is called for again; twice at once is once"
    await queue.close()


async def test_a_call_that_fails_ends_nothing(redis_url: str) -> None:
    queue = Valkey(redis_url).job_queue()
    queue.attach(new_id())
    answered: list[UUID] = []

    async def start(job_id: UUID) -> None:
        answered.append(job_id)
        if len(answered) == 1:
            raise RuntimeError("not now")

    async def have_answered(count: int) -> bool:
        return len(answered) >= count

    async with beside(queue.serve(start, lambda: None)):
        for count in (1, 2):
            await queue.wake([(new_id(), 0)])
            await until(partial(have_answered, count))
    assert len(answered) == 2
    await queue.close()


async def test_a_queue_says_when_its_server_goes(server: ValkeyServer) -> None:
    queue = Valkey(server.url).job_queue()

    async def start(_job_id: UUID) -> None: ...

    with pytest.raises(QueueUnavailable):
        await queue.wake([(new_id(), 0)])
    queue.attach(new_id())
    serving = asyncio.create_task(queue.serve(start, lambda: None))
    await asyncio.sleep(0.3)
    server.kill()
    with pytest.raises(QueueUnavailable):
        await asyncio.wait_for(serving, 60)
    with pytest.raises(QueueUnavailable):
        await queue.wake([(new_id(), 0)])
    server.start()
    await queue.wake([(new_id(), 0)])
    await queue.close()


async def test_a_queue_whose_server_stands_still_is_left(server: ValkeyServer) -> None:
    queue = Valkey(server.url).job_queue()
    queue.attach(new_id())

    async def start(_job_id: UUID) -> None: ...

    serving = asyncio.create_task(queue.serve(start, lambda: None))
    await asyncio.sleep(0.3)
    server.pause()
    with pytest.raises(QueueUnavailable):
        await asyncio.wait_for(serving, 60)
    server.resume()
    await queue.close()
