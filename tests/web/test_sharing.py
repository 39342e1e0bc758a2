"""Who is served by one execution, and above all who is not: two viewers with different rights never are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from graphql import ExecutionResult

from app.web.graphql import sharing
from app.web.graphql.broadcast import Broadcasts
from app.web.graphql.engine import LiveOperation
from tests.web.graphql_server import until
from tests.web.listening import Listener, context_of, listening
from tests.web.live_world import WORLD, World, live_engine

ENGINE = live_engine()
PLAIN = ("kind", "number", "lines", "rows{text}", "__typename", "n:number", "rows{__typename t:text}")
LOOKING = ("viewer", "rows{seenBy}", "slowly", "w:viewer", "rows{text s:seenBy}")
VIEWERS = (None, "ana", "ben")


@pytest.fixture(autouse=True)
def world() -> Iterator[World]:
    WORLD.__init__()  # type: ignore[misc]
    WORLD.gate.set()
    yield WORLD
    assert not any(board.listeners for board in WORLD.boards.values())


def plain(payloads: object) -> object:
    """As JSON has it: what was compiled is made of structs."""
    return msgspec.json.decode(msgspec.json.encode(payloads))


async def key(query: str, viewer: str | None = None, **variables: object) -> object:
    operation = await ENGINE.listen(ENGINE.accept(query, None, variables), context_of(viewer))
    assert isinstance(operation, LiveOperation), operation
    assert operation.key is not None
    return operation.key


# ── random selections and viewers ────────────────────────────────────────────────────────────────────────────


def random_selection(chance: random.Random, fragments: list[str], depth: int = 0) -> str:
    """Some fields of an event: as they are, switched by a variable, and in fragments of both kinds."""
    parts: list[str] = []
    for _ in range(chance.randint(1, 3)):
        part = chance.choice(PLAIN if chance.random() < 0.6 else LOOKING)
        switch = chance.choice(("", "", "@include(if:$yes)", "@skip(if:$yes)", "@include(if:true)", "@skip(if:true)"))
        if depth < 2 and chance.random() < 0.3:
            inner = random_selection(chance, fragments, depth + 1)
            if chance.random() < 0.5:
                part = f"... on BoardEvent {switch}{{{inner}}}"
            else:
                fragments.append(inner)
                part = f"...F{len(fragments)} {switch}"
        elif switch:
            name, brace, below = part.partition("{")
            part = f"{name} {switch} {brace}{below}"
        parts.append(part)
    return " ".join(parts)


def random_query(chance: random.Random) -> str:
    fragments: list[str] = []
    selection = random_selection(chance, fragments)
    named = "".join(f" fragment F{n} on BoardEvent{{{text}}}" for n, text in enumerate(fragments, 1))
    return f'subscription($yes:Boolean! $after:String){{board(name:"x",after:$after){{kind {selection}}}}}{named}'


async def alone(query: str, viewer: str | None, variables: dict[str, object], updates: int) -> list[dict[str, Any]]:
    """What this viewer gets with nobody to share with: by the way that never shares."""
    stream = await ENGINE.subscribe(ENGINE.accept(query, None, variables), context_of(viewer))
    assert not isinstance(stream, ExecutionResult), stream
    answers = []
    for number in range(updates):
        if number:
            WORLD.board("x").say(f"line {number}")
        answers.append(ENGINE.result(await anext(stream), ""))
    await stream.aclose()
    return answers


async def together(query: str, asked: list[tuple[str | None, bool]], updates: int) -> tuple[list[Listener], Broadcasts]:
    broadcasts = Broadcasts(ENGINE)
    listeners = [await listening(ENGINE, broadcasts, query, viewer, variables={"yes": yes}) for viewer, yes in asked]
    for number in range(1, updates):
        WORLD.board("x").say(f"line {number}")
    await until(lambda: all(len(listener.payloads) == updates for listener in listeners))
    return listeners, broadcasts


async def differences(seeds: range) -> tuple[list[str], int, int]:
    """What somebody got that was not for him; how many listeners there were, and how many executions for them."""
    wrong: list[str] = []
    people = executions = 0
    for seed in seeds:
        chance = random.Random(seed)
        query = random_query(chance)
        if ENGINE.prepare(query).errors:
            continue
        asked = [(viewer, yes) for viewer in VIEWERS for yes in (True, False)] * 2
        chance.shuffle(asked)
        WORLD.boards.clear()
        listeners, broadcasts = await together(query, asked, 3)
        people += len(listeners)
        executions += len({id(listener.sink._broadcast) for listener in listeners})
        got = [plain(listener.payloads) for listener in listeners]
        for listener in listeners:
            listener.sink.close()
        assert len(broadcasts) == 0
        for (viewer, yes), payloads in zip(asked, got, strict=True):
            WORLD.boards.clear()
            if payloads != plain(await alone(query, viewer, {"yes": yes}, 3)):
                wrong.append(f"{viewer} {yes} {query}")
    return wrong, people, executions


async def test_everybody_gets_what_he_would_get_alone() -> None:
    wrong, people, executions = await differences(range(60))
    assert wrong == []
    assert people > 400
    assert executions < people / 2  # each asked twice: at least those two share
    assert executions > people / 12 * 2.5  # and not everybody with everybody


async def test_the_test_above_would_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "is_plain", lambda _executor, _call: True)
    wrong, _, _ = await differences(range(15))
    assert wrong


# ── what is shared, and what is not ──────────────────────────────────────────────────────────────────────────


async def test_plain_selections_of_a_public_channel_are_everybodys() -> None:
    query = 'subscription{board(name:"x"){kind lines rows{text}}}'
    assert await key(query, None) == await key(query, "ana") == await key(query, "ben")


async def test_a_field_that_may_look_is_shared_by_one_person_alone() -> None:
    for query in (
        'subscription{board(name:"x"){kind viewer}}',
        'subscription{board(name:"x"){kind rows{seenBy}}}',
        'subscription{board(name:"x"){kind broken}}',  # a method: who knows where it looks
        'subscription{board(name:"x"){kind ...F}} fragment F on BoardEvent{rows{...G}} fragment G on Line{seenBy}',
    ):
        keys = {await key(query, viewer) for viewer in VIEWERS for _ in range(2)}
        assert len(keys) == len(VIEWERS), query


async def test_a_private_channel_is_shared_by_one_person_alone(world: World) -> None:
    world.board("x").is_public = False
    query = 'subscription{board(name:"x"){kind}}'
    assert len({await key(query, viewer) for viewer in VIEWERS for _ in range(2)}) == len(VIEWERS)


async def test_an_event_made_for_a_viewer_is_his_alone() -> None:
    query = 'subscription{own(name:"x"){lines}}'
    assert await key(query, "ana") != await key(query, "ben")
    assert await key(query, "ana") != await key(query, "ana")


async def test_a_context_that_does_not_say_its_rights_shares_with_nobody(world: World) -> None:
    world.board("x").is_public = False
    call = ENGINE.accept('subscription{board(name:"x"){kind}}', None, {})
    operation = await ENGINE.listen(call, object())
    assert isinstance(operation, LiveOperation)
    assert operation.key is None


async def test_another_channel_or_document_is_another() -> None:
    one = await key('subscription{board(name:"x"){kind}}')
    assert one != await key('subscription{board(name:"y"){kind}}')
    assert one != await key('subscription {board(name:"x"){kind}}')
    several = 'subscription A{board(name:"x"){kind}} subscription B{board(name:"x"){number}}'
    operations = [await ENGINE.listen(ENGINE.accept(several, name, {}), context_of(None)) for name in "AB"]
    assert len({operation.key for operation in operations if isinstance(operation, LiveOperation)}) == 2


AFTER = 'subscription($after:String){board(name:"x",after:$after){kind}}'


async def test_where_one_begins_does_not_matter() -> None:
    assert await key(AFTER) == await key(AFTER, after="1") == await key(AFTER, after=None) == await key(AFTER, other=7)


@pytest.mark.parametrize(
    "query",
    [
        'subscription($after:String){board(name:"x",after:$after){kind numbered(after:$after)}}',
        'subscription($after:String){board(name:"x"){kind numbered(after:$after)}}',
        "subscription($after:String!){board(name:$after,after:$after){kind}}",
        'subscription($after:String){...F} fragment F on Subscription{board(name:"x",after:$after){kind}}',
    ],
)
async def test_unless_it_is_used_for_more(query: str) -> None:
    assert await key(query, after="1") != await key(query, after="2")


async def test_equal_in_python_is_not_equal_here() -> None:
    query = 'subscription($v:Anything){board(name:"x"){kind said(v:$v)}}'
    values: list[object] = [1, 1.0, True, "1", [1], [True], {"a": 1, "b": 2}, None]
    keys = [await key(query, v=value) for value in values]
    assert len(set(keys)) == len(values)
    assert await key(query, v={"b": 2, "a": 1}) == keys[6]
    assert await key(query) != keys[7]  # left out is not null
