"""One execution for many: what is executed, when, for whom it ends, and what a slow reader gets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from app.core.live_metrics import LIVE
from app.domain.errors import NotFound
from app.web.graphql import sink
from app.web.graphql.broadcast import Broadcasts
from tests.web.graphql_server import until
from tests.web.listening import Client, Listener, listening
from tests.web.live_world import WORLD, Board, Update, World, live_engine

ENGINE = live_engine()
LINES = 'subscription($after:String){board(name:"x",after:$after){kind number lines}}'


@pytest.fixture(autouse=True)
async def world() -> AsyncIterator[World]:
    WORLD.__init__()  # type: ignore[misc]
    yield WORLD
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "Broadcast." in str(task.get_coro())]
    assert (LIVE.open_broadcasts, LIVE.open_operations) == (0, 0)


@pytest.fixture
def broadcasts() -> Broadcasts:
    return Broadcasts(ENGINE)


async def several(broadcasts: Broadcasts, query: str, count: int, viewer: str | None = None) -> list[Listener]:
    return [await listening(ENGINE, broadcasts, query, viewer) for _ in range(count)]


def close(*listeners: Listener) -> None:
    for listener in listeners:
        listener.sink.close()
        listener.sink.close()  # again is harmless
    assert not any(board.listeners for board in WORLD.boards.values())


def events(listener: Listener) -> list[dict[str, Any]]:
    return [payload["data"]["board"] for payload in listener.payloads]


# ── executing ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_one_execution_for_all(world: World, broadcasts: Broadcasts) -> None:
    executed = LIVE.executions
    listeners = await several(broadcasts, LINES, 20)
    assert (LIVE.executions - executed, len(broadcasts)) == (1, 1)  # the snapshot is one object for all of them
    world.board("x").say("hello")
    assert LIVE.executions - executed == 2
    first = events(listeners[0])
    assert first == [
        {"kind": "SNAPSHOT", "number": 0, "lines": []},
        {"kind": "CHANGE", "number": 1, "lines": ["hello"]},
    ]
    assert all(events(listener) == first for listener in listeners)
    close(*listeners)
    assert len(broadcasts) == 0


async def test_everybody_begins_where_he_left(world: World, broadcasts: Broadcasts) -> None:
    board = world.board("x")
    for line in "abc":
        board.say(line)
    listeners = [await listening(ENGINE, broadcasts, LINES, variables={"after": after}) for after in ("0", "2", "3")]
    board.say("d")
    assert [[event["number"] for event in events(listener)] for listener in listeners] == [[1, 2, 3, 4], [3, 4], [4]]
    assert len(broadcasts) == 1
    close(*listeners)


async def test_resolvers_are_called_once_for_one_person(world: World, broadcasts: Broadcasts) -> None:
    query = 'subscription{board(name:"x"){viewer}}'
    listeners = [*await several(broadcasts, query, 3, "ana"), *await several(broadcasts, query, 3, "ben")]
    assert world.calls == 2
    world.board("x").say("hello")
    assert world.calls == 4
    assert [event["viewer"] for listener in listeners for event in events(listener)] == ["ana"] * 6 + ["ben"] * 6
    close(*listeners)


async def test_each_event_has_a_context_of_its_own(world: World, broadcasts: Broadcasts) -> None:
    (listener,) = await several(broadcasts, 'subscription{board(name:"x"){viewer}}', 1, "ana")
    executor = listener.operation.execute.args[0]  # type: ignore[attr-defined]
    assert executor.context_value.events == 1
    world.board("x").say("hello")
    assert executor.context_value.events == 2
    close(listener)


async def test_an_error_is_made_and_logged_once(world: World, broadcasts: Broadcasts) -> None:
    executed = LIVE.executions
    with structlog.testing.capture_logs() as lines:
        listeners = await several(broadcasts, 'subscription{board(name:"x"){number broken}}', 5, "ana")
        world.board("x").say("hello")
    assert [line["request_id"] for line in lines if line["event"] == "graphql.failed"] == ["request of ana"] * 2
    assert LIVE.executions - executed == 2
    for listener in listeners:
        for payload in listener.payloads:
            assert payload["data"] is None
            assert payload["errors"][0]["extensions"] == {"code": "INTERNAL", "requestId": "request of ana"}
    close(*listeners)


async def test_an_update_that_cannot_be_told_ends_it_for_all(world: World, broadcasts: Broadcasts) -> None:
    listeners = await several(broadcasts, LINES, 5)
    executed = LIVE.executions
    with structlog.testing.capture_logs() as lines:
        world.board("x").say("explode")
        await until(lambda: all(listener.overs for listener in listeners))
    assert LIVE.executions - executed == 1
    assert [line["event"] for line in lines] == ["graphql.failed"]
    for listener in listeners:
        assert listener.overs[0] is not None
        assert b"INTERNAL" in listener.overs[0]
        assert b"hunter2" not in listener.overs[0]
    close(*listeners)
    assert len(broadcasts) == 0


async def test_slow_resolvers_keep_the_order_and_hold_up_nobody_else(world: World, broadcasts: Broadcasts) -> None:
    slow = await several(broadcasts, 'subscription{board(name:"x"){slowly}}', 3, "ana")
    (quick,) = await several(broadcasts, LINES, 1, "ana")
    board = world.board("x")
    for line in "abc":
        board.say(line)
    assert [event["number"] for event in events(quick)] == [0, 1, 2, 3]
    await asyncio.sleep(0)
    assert world.calls == 1  # one after another, not all at once
    world.gate.set()
    await until(lambda: all(len(listener.payloads) == 4 for listener in slow))
    for listener in slow:
        assert [event["slowly"] for event in events(listener)] == [f"{n} for ana" for n in range(4)]
    assert world.calls == 4
    assert board.merges == 0  # it is not the clients that were slow
    close(*slow, quick)


@pytest.mark.parametrize("at_once", [True, False])
async def test_leaving_ends_what_is_under_way(world: World, broadcasts: Broadcasts, at_once: bool) -> None:
    listeners = await several(broadcasts, 'subscription{board(name:"x"){slowly}}', 2, "ana")
    if not at_once:
        await asyncio.sleep(0)
        assert world.calls == 1
    close(*listeners)
    # The fixture looks for tasks, too; a coroutine that nobody awaits is an error.
    await until(lambda: not [task for task in asyncio.all_tasks() if "Broadcast." in str(task.get_coro())])


async def test_who_is_told_may_leave(world: World, broadcasts: Broadcasts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one leaves from within the telling of what was under way."""
    listener = await listening(ENGINE, broadcasts, 'subscription{board(name:"x"){slowly}}', "ana")

    def leave(_head: bytes, _tail: bytes = b"") -> bool:
        listener.sink.close()
        return True

    monkeypatch.setattr(listener.client, "write", leave)
    world.gate.set()
    await until(lambda: len(broadcasts) == 0)
    close(listener)


async def test_what_is_kept_is_bounded(world: World) -> None:
    broadcasts = Broadcasts(ENGINE, kept_bytes=20_000)
    listeners = await several(broadcasts, LINES, 2)
    for _ in range(20):
        world.board("x").say("y" * 1_000)
        assert broadcasts._bytes <= 20_000
    assert 1 < len(broadcasts._kept) < 8
    others = [await listening(ENGINE, broadcasts, LINES + " " * n) for n in range(1, 10)]
    assert broadcasts._bytes <= 20_000 or len(broadcasts._kept) == 1
    broadcast = listeners[0].sink._broadcast
    assert (broadcast.last, len(broadcast._known)) == (None, 0)  # driven out by the snapshots of the others
    close(*listeners, *others)
    assert (broadcasts._bytes, len(broadcasts._kept)) == (0, 0)


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [None, NotFound()])
async def test_the_channel_ends(world: World, broadcasts: Broadcasts, error: Exception | None) -> None:
    listeners = await several(broadcasts, LINES, 3)
    listeners[0].client.stop()
    world.board("x").say("last words")
    world.board("x").end(error)
    for listener in listeners[1:]:
        assert [event["lines"] for event in events(listener)] == [[], ["last words"]]
        assert len(listener.overs) == 1
        assert (listener.overs[0] is None) == (error is None)
    assert listeners[0].overs == []  # it gets the last words first
    listeners[0].client.read()
    assert [event["lines"] for event in events(listeners[0])] == [[], ["last words"]]
    assert len(listeners[0].overs) == 1
    close(*listeners)


async def test_a_channel_that_refuses_leaves_nothing_behind(broadcasts: Broadcasts) -> None:
    with pytest.raises(NotFound):
        await listening(ENGINE, broadcasts, 'subscription{board(name:"missing"){kind}}')
    assert len(broadcasts) == 0


# ── slow readers ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_for_a_slow_reader_all_waits_as_one(world: World, broadcasts: Broadcasts) -> None:
    slow, other, quick = await several(broadcasts, LINES, 3)
    slow.client.stop()
    other.client.stop()
    board = world.board("x")
    executed, merged = LIVE.executions, LIVE.merged
    for number in range(1, 11):
        board.say(str(number))
    assert [event["number"] for event in events(quick)] == list(range(11))
    assert board.merges == LIVE.merged - merged == 9  # once for both
    slow.client.read()
    other.client.read()
    assert events(slow) == events(other) == [events(quick)[0], {
        "kind": "CHANGE", "number": 10, "lines": [str(number) for number in range(1, 11)]
    }]  # fmt: skip
    # Each change when it was told, and each merged one when somebody looked whether it could be written.
    assert LIVE.executions - executed <= 20
    close(slow, other, quick)


async def test_one_who_is_far_behind_gets_a_snapshot(world: World, broadcasts: Broadcasts) -> None:
    slow, quick = await several(broadcasts, LINES, 2)
    slow.client.stop()
    board, resyncs = world.board("x"), LIVE.resyncs
    for number in range(sink.MOST_MERGES + 30):
        board.say(str(number))
    assert board.merges == sink.MOST_MERGES
    slow.client.read()
    assert events(slow)[1:] == [{"kind": "SNAPSHOT", "number": len(board.lines), "lines": board.lines}]
    assert LIVE.resyncs - resyncs == 1
    board.say("and on")
    assert events(slow)[-1] == events(quick)[-1] == {"kind": "CHANGE", "number": len(board.lines), "lines": ["and on"]}
    close(slow, quick)


async def test_one_who_is_behind_for_long_gets_a_snapshot(
    world: World, broadcasts: Broadcasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    (slow,) = await several(broadcasts, LINES, 1)
    slow.client.stop()
    board = world.board("x")
    board.say("a")
    monkeypatch.setattr(sink, "RESYNC_AFTER_S", 0)
    board.say("b")
    slow.client.read()
    assert events(slow)[1:] == [{"kind": "SNAPSHOT", "number": 2, "lines": ["a", "b"]}]
    close(slow)


async def test_operations_of_one_client_take_turns(world: World, broadcasts: Broadcasts) -> None:
    client = Client()
    listeners = [
        await listening(ENGINE, broadcasts, 'subscription{board(name:"' + name + '"){lines}}', client=client)
        for name in "xyz"
    ]
    client.stop()
    for name in "xyz":
        for number in range(3):
            world.board(name).say(f"{name}{number}")
    reply = asyncio.create_task(client.send(b'{"payload":{"data":{"board":{"lines":"reply"}}}}'))
    await asyncio.sleep(0)
    got = len(client.got)
    client.read(1)
    world.board("x").say("x3")  # it goes behind the others
    client.read()
    await reply
    texts = [payload["data"]["board"]["lines"] for payload in client.payloads[got:]]
    assert texts == [["x0", "x1", "x2"], ["y0", "y1", "y2"], ["z0", "z1", "z2"], "reply", ["x3"]]
    close(*listeners)


async def test_merging_that_fails_ends_it_for_the_slow_one_alone(
    world: World, broadcasts: Broadcasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_board: Board, _earlier: Update, _later: Update) -> Update:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(Board, "merge", fail)
    slow, quick = await several(broadcasts, LINES, 2)
    slow.client.stop()
    for line in "abc":
        world.board("x").say(line)
    with structlog.testing.capture_logs():
        await until(lambda: len(slow.overs) == 1)
    assert [event["lines"] for event in events(quick)] == [[], ["a"], ["b"], ["c"]]
    assert quick.overs == []
    close(slow, quick)


@pytest.mark.parametrize("seed", range(8))
async def test_random_clients_see_every_line_once(
    world: World, broadcasts: Broadcasts, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients stop and read, come and go, and resolvers take their time: each has in the end what was written."""
    monkeypatch.setattr(sink, "MOST_MERGES", 4)
    chance = random.Random(seed)
    board = world.board("x")
    queries = ('subscription{board(name:"x"){kind number lines}}', 'subscription{board(name:"x"){kind lines slowly}}')
    present: list[Listener] = []
    for step in range(150):
        what = chance.random()
        if what < 0.1 or not present:
            present.append(await listening(ENGINE, broadcasts, chance.choice(queries), chance.choice(("ana", None))))
        elif what < 0.15:
            present.pop(chance.randrange(len(present))).sink.close()
        elif what < 0.3:
            chance.choice(present).client.stop()
        elif what < 0.45:
            chance.choice(present).client.read(chance.choice((None, 1)))
        elif what < 0.5:
            world.gate.set() if chance.random() < 0.7 else world.gate.clear()
        elif what < 0.6:
            await asyncio.sleep(0)
        else:
            board.say(str(step))
    world.gate.set()
    for listener in present:
        listener.client.read()
    await until(lambda: all(seen(listener) == board.lines for listener in present))
    close(*present)
    assert len(broadcasts) == 0


def seen(listener: Listener) -> list[str]:
    lines: list[str] = []
    for event in events(listener):
        lines = event["lines"] if event["kind"] == "SNAPSHOT" else lines + event["lines"]
    return lines
