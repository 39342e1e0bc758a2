"""Event streams that listen to what many share: failures that are everybody's, and clients that leave early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog

from app.core.live_metrics import LIVE
from app.web.clients import ClientLimits
from app.web.event_stream import EVENT_STREAM
from app.web.graphql import TransportOptions
from app.web.graphql.broadcast import Broadcasts
from tests.event_reader import Told, told_by
from tests.web.graphql_server import RunningServer, running_server, until
from tests.web.listening import listening
from tests.web.live_world import WORLD, live_engine

LINES = 'subscription{board(name:"x"){kind lines}}'


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    WORLD.__init__()  # type: ignore[misc]
    async with running_server(TransportOptions(client_limits=ClientLimits(0, 0, 0)), engine=live_engine()) as running:
        yield running
    assert (LIVE.open_broadcasts, len(running.transport.clients)) == (0, 0)


async def streamed(server: RunningServer, stack: AsyncExitStack) -> Told:
    asked = server.client.stream("GET", "/graphql", params={"query": LINES}, headers={"accept": EVENT_STREAM})
    return told_by(await stack.enter_async_context(asked))


async def test_what_fails_for_all_is_logged_once(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        told = [await streamed(server, stack) for _ in range(4)]
        for one in told:
            await one.next()
        with structlog.testing.capture_logs() as lines:
            WORLD.board("x").say("explode")
            for one in told:
                payload = await one.payload()
                assert payload["errors"][0]["extensions"]["code"] == "INTERNAL"
                assert await one.next() == ("complete", None)
        assert [line["event"] for line in lines] == ["graphql.failed"]


async def test_what_fails_for_all_does_not_grow_with_their_number() -> None:
    """An error that is raised again remembers each time where from, with all that was there."""
    WORLD.__init__()  # type: ignore[misc]
    engine = live_engine()
    broadcasts = Broadcasts(engine)
    listeners = [await listening(engine, broadcasts, LINES) for _ in range(30)]
    with structlog.testing.capture_logs() as lines:
        WORLD.board("x").say("explode")
        await until(lambda: all(listener.overs for listener in listeners))
    (line,) = lines
    assert 2 <= depth(line["exc_info"]) < 12


def depth(error: BaseException) -> int:
    count, trace = 0, error.__traceback__
    while trace is not None:
        count, trace = count + 1, trace.tb_next
    return count


async def test_leaving_while_it_opens_leaves_nothing(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    opening: list[Any] = []

    async def join(listener: Any, _after: str | None) -> Any:
        opening.append(listener)
        try:
            await asyncio.sleep(60)
        finally:
            opening.remove(listener)

    monkeypatch.setattr(WORLD.board("x"), "join", join)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await streamed(server, stack)
        await until(lambda: len(opening) == 3)
        assert (LIVE.open_broadcasts, len(server.transport.clients)) == (1, 3)
    await until(lambda: (len(opening), LIVE.open_broadcasts, len(server.transport.clients)) == (0, 0, 0))
