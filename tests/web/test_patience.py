"""Work that is given up: because of the time it takes, or because its client left. The clock is the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from app.web.graphql.patience import ClientGone, TookTooLong, Watch


class Loop(asyncio.SelectorEventLoop):
    """Its time stands still and can be moved on: what was to happen until then happens at once."""

    moved_s = 0.0

    def time(self) -> float:
        return 1_000.0 + self.moved_s


async def move_on(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    await asyncio.sleep(0)  # what was just started begins before
    loop.moved_s += seconds
    for _ in range(6):
        await asyncio.sleep(0)


class Client:
    """Sends nothing more, and may leave."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[str] = asyncio.Queue()
        self._is_heard = False

    async def receive(self) -> dict[str, str]:
        self._is_heard = True
        return {"type": await self._messages.get()}

    def is_heard(self) -> bool:
        return self._is_heard

    def send(self, type_: str) -> None:
        self._messages.put_nowait(type_)


def in_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(test())

    run.__doc__ = test.__doc__
    return run


async def _work(watch: Watch, done: Awaitable[object], timeout_s: float, client: Client | None = None) -> str:
    with watch.over(timeout_s, client.receive if client else None):
        await done
    return "done"


def started(*blocks: tuple[Awaitable[object], float, Client | None]) -> asyncio.Task[list[str]]:
    """A request's task that does this, one after another."""

    async def request() -> list[str]:
        watch = Watch()
        try:
            return [await _work(watch, *block) for block in blocks]
        finally:
            watch.close()

    return asyncio.create_task(request())


def forever() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@in_time
async def test_what_ends_in_time_is_left_alone() -> None:
    client, end = Client(), forever()
    request = started((end, 10, client))
    await move_on(0.01)
    assert not client.is_heard(), "quick work is not worth a task that listens"
    await move_on(9)
    assert client.is_heard()
    end.set_result(None)
    assert await request == ["done"]
    assert request.cancelling() == 0


@in_time
async def test_what_takes_too_long_is_given_up() -> None:
    work = forever()
    request = started((work, 10, None))
    await move_on(9)
    assert not request.done()
    await move_on(2)
    with pytest.raises(TookTooLong):
        await request
    assert work.cancelled()
    assert request.cancelling() == 0


@in_time
async def test_less_time_than_anybody_would_listen() -> None:
    request = started((forever(), 0.01, None))
    await move_on(0.02)
    with pytest.raises(TookTooLong):
        await request


@in_time
async def test_what_nobody_waits_for_is_given_up() -> None:
    client, work = Client(), forever()
    request = started((work, 10, client))
    await move_on(1)
    client.send("http.request")
    await move_on(0)
    assert not request.done()
    client.send("http.disconnect")
    with pytest.raises(ClientGone):
        await request
    assert work.cancelled()


@in_time
async def test_after_a_slow_body_the_query_is_watched_all_the_same() -> None:
    client, body = Client(), forever()
    request = started((body, 15, None), (forever(), 30, client))
    await move_on(1)
    body.set_result(None)
    await move_on(0)
    await move_on(0.1)
    assert client.is_heard()
    client.send("http.disconnect")
    with pytest.raises(ClientGone):
        await request


@in_time
async def test_after_a_slow_body_the_query_has_its_own_time() -> None:
    body = forever()
    request = started((body, 15, None), (forever(), 5, None))
    await move_on(1)
    body.set_result(None)
    await move_on(0)
    await move_on(4.5)
    assert not request.done()
    await move_on(1)
    with pytest.raises(TookTooLong):
        await request


@in_time
async def test_who_cancels_the_request_itself_is_heard() -> None:
    request = started((forever(), 10, None))
    await move_on(1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


@in_time
async def test_also_when_its_time_is_over_at_the_same_moment() -> None:
    request = started((forever(), 10, None))
    await move_on(1)
    loop = asyncio.get_running_loop()
    loop.call_soon(request.cancel)
    loop.moved_s += 10  # type: ignore[attr-defined]
    with pytest.raises(asyncio.CancelledError):
        await request
