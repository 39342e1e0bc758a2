"""The straight way to a single root field, and requests that are remembered: the answers are graphql-core's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from random import Random
from typing import Any

import msgspec
import pytest
import strawberry
from graphql import GraphQLError, GraphQLObjectType

from app.schema.root import schema as product
from app.web.graphql import ErrorDescription, GraphQLEngine, Limits
from app.web.graphql.bodies import read_body
from app.web.graphql.compiled import CompiledExecutor
from app.web.graphql.documents import Call
from app.web.graphql.engine import RequestRefused, formatted_request_errors
from app.web.graphql.readings import resolver_of
from app.web.graphql.templates import template
from tests.web.random_documents import random_operations

WIDE = Limits(depth=100, aliases=1_000, tokens=20_000, cost=10**6, overlaps=10**9, directives=1_000)


@strawberry.enum
class Colour(Enum):
    RED = "r"
    BLUE = 2


@strawberry.input
class Part:
    name: str | None = "none"
    sizes: list[int] = strawberry.field(default_factory=lambda: [1])
    inner: list[Part] | None = strawberry.UNSET


@strawberry.input
class Wish:
    part: Part
    day: date | None = None
    at: datetime | None = None
    colour: Colour = Colour.RED
    ids: list[strawberry.ID] | None = None


@strawberry.type
class Thing:
    text: str
    maybe: int | None = None

    @strawberry.field
    async def later(self) -> str:
        await asyncio.sleep(0)
        return self.text.upper()

    @strawberry.field
    def broken(self) -> int:
        return int(self.text)


def _give(how: str | None, text: str) -> Any:
    match how:
        case "none":
            return None
        case "fails":
            raise RuntimeError(text)
        case "refuses":
            raise GraphQLError("refused", extensions={"code": "NO"})
        case "other":
            return 5
        case "late":
            return asyncio.sleep(0, Thing(text=text))
        case _:
            return Thing(text=text)


@strawberry.type
class Query:
    @strawberry.field
    async def thing(self, info: strawberry.Info[Any, None], how: str | None = None, number: int = 3) -> Thing:
        await asyncio.sleep(0)
        return _give(how, f"{info.field_name} {info.path.key} {number} {info.context}")  # type: ignore[no-any-return]

    @strawberry.field
    async def maybe_thing(self, how: str | None, colour: Colour | None = Colour.BLUE) -> Thing | None:
        return _give(how, repr(colour))  # type: ignore[no-any-return]

    @strawberry.field
    async def granted(
        self, wish: Wish, more: list[Part] | None = None, ids: list[strawberry.ID] | None = None
    ) -> Thing:
        """Says what it was given, and then changes all of it."""
        text = repr((wish, more, ids))
        for part in (wish.part, *(more or ())):
            part.sizes.append(77)
            part.name = "changed"
            if part.inner:
                part.inner.clear()
        wish.ids = (wish.ids or []) + [strawberry.ID("x")]
        (more or []).clear()
        (ids or []).append(strawberry.ID("y"))
        return Thing(text=text)

    @strawberry.field
    async def things(self, how: list[str]) -> list[Thing | None]:
        return [_give(one, "t") for one in how]

    @strawberry.field
    def quick(self) -> str:
        return "quick"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def change(self, secret: str) -> str:
        return secret


SCHEMA = strawberry.Schema(Query, mutation=Mutation)


def _describe(error: GraphQLError, request_id: str) -> ErrorDescription:  # noqa: ARG001
    return ErrorDescription(error.message, {"cause": repr(error.original_error)})


def _engine(**more: Any) -> GraphQLEngine:
    return GraphQLEngine(
        SCHEMA._schema,
        execution_context_class=SCHEMA.execution_context_class,
        limits=WIDE,
        introspection=True,
        suggestions=False,
        describe_error=_describe,
        **more,
    )


@dataclass(slots=True)
class Gate:
    """An engine as the HTTP handler uses it."""

    engine: GraphQLEngine
    recalled: int = 0

    async def ask(self, body: bytes) -> bytes:
        try:
            call = self._call(body)
            result = await self.engine.execute(call, "context")
        except RequestRefused as refused:
            return msgspec.json.encode(formatted_request_errors(refused.errors))
        return msgspec.json.encode(self.engine.result(result, "request"))

    def _call(self, body: bytes) -> Call:
        call = self.engine.recall(body)
        if call is not None:
            self.recalled += 1
            return call
        request = read_body(body)
        call = self.engine.accept(request.query, request.operation_name, request.variables)
        self.engine.remember(body, call)
        return call


@pytest.fixture
def straight(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the root fields that were gone to straight."""
    names: list[str] = []
    go = CompiledExecutor._go_straight

    def noted(self: CompiledExecutor, way: Any) -> Any:
        names.append(way.name)
        return go(self, way)

    monkeypatch.setattr(CompiledExecutor, "_go_straight", noted)
    return names


@pytest.fixture
def gates() -> tuple[Gate, Gate]:
    return Gate(_engine(compiled=False)), Gate(_engine())


def _body(query: str, **variables: object) -> bytes:
    return msgspec.json.encode({"query": query, "variables": variables})


# One that is given as a value is an error, and nobody awaits it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .*was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ASKED = (
    "{ thing { text maybe } }",
    "{ other: thing(number: 4) { t: text ...F later } } fragment F on Thing { maybe __typename }",
    "{ thing { broken text } }",
    *(f'{{ thing(how: "{how}") {{ text }} }}' for how in ("none", "fails", "refuses", "other", "late")),
    *(f'{{ maybeThing(how: "{how}") {{ text }} }}' for how in ("none", "fails", "refuses", "other", "late", "fine")),
    "{ maybeThing(how: null, colour: RED) { text } }",
    "{ maybeThing(how: null, colour: null) { text } }",
    '{ things(how: ["a", "none", "fails"]) { text } }',
    '{ things(how: ["a", "none", "other"]) { text } }',
    '{ granted(wish: {part: {}}, more: [{name: null, sizes: [], inner: [{}]}], ids: ["a"]) { text } }',
    '{ granted(wish: {part: {inner: null}, day: "2026-03-04", at: "2026-03-04T10:00:00Z", colour: BLUE}) { text } }',
    "{ thing @skip(if: true) { text } }",
    "{ quick }",
    "{ thing { text } quick }",
    "{ __typename }",
    "{ __schema { queryType { name } } }",
)


@pytest.mark.parametrize("query", ASKED)
async def test_answers_are_those_of_graphql_core(gates: tuple[Gate, Gate], straight: list[str], query: str) -> None:
    plain, compiled = gates
    expected = await plain.ask(_body(query))
    for _ in range(4):
        assert await compiled.ask(_body(query)) == expected
    assert compiled.recalled == 3
    is_single = "quick" not in query and "__typename }" not in query[:20] and "__schema" not in query
    assert bool(straight) is (is_single and "skip" not in query)


GRANTED = """query ($wish: Wish!, $more: [Part!], $ids: [ID!] = ["d"]) {
  granted(wish: $wish, more: $more, ids: $ids) { text }
}"""


async def test_nobody_gets_what_another_has_changed(gates: tuple[Gate, Gate], straight: list[str]) -> None:
    plain, compiled = gates
    part = {"name": "p", "sizes": [1, 2], "inner": [{"sizes": [3]}]}
    body = _body(GRANTED, wish={"part": part, "ids": ["a"], "day": "2026-03-04"}, more=[part, {}])
    for asked in (body, _body(GRANTED, wish={"part": {}})):
        expected = {await plain.ask(asked) for _ in range(3)}
        assert {await compiled.ask(asked) for _ in range(5)} == expected
        assert len(expected) == 1
    assert len(straight) == 8
    call = compiled.engine.recall(body)
    assert call is not None
    assert call.arguments, "else this test shows nothing"


async def test_variables_that_do_not_fit_are_refused_each_time(gates: tuple[Gate, Gate]) -> None:
    plain, compiled = gates
    for wish in ({}, {"part": {"sizes": ["x"]}}, {"part": {}, "day": "soon"}, None):
        expected = await plain.ask(_body(GRANTED, wish=wish))
        for _ in range(3):
            assert await compiled.ask(_body(GRANTED, wish=wish)) == expected


async def test_random_documents(gates: tuple[Gate, Gate], straight: list[str]) -> None:
    plain, compiled = gates
    random = Random(7)
    for _ in range(150):
        for operation in random_operations(SCHEMA._schema, random):
            asked = {"query": operation.text, "operationName": operation.name, "variables": operation.variables}
            body = msgspec.json.encode(asked)
            expected = await plain.ask(body)
            for _ in range(3):
                assert await compiled.ask(body) == expected, asked
    assert len(straight) > 10


def test_the_product_is_recognised() -> None:
    """Else answers would be right, but slower: what `readings` knows of the library has changed."""
    root = product._schema.query_type
    assert isinstance(root, GraphQLObjectType)
    assert [name for name, field in root.fields.items() if resolver_of(field) is None] == []


# ── what is remembered ───────────────────────────────────────────────────────────────────────────────────────


async def test_only_small_queries_are_remembered(gates: tuple[Gate, Gate]) -> None:
    _, gate = gates
    mutation = _body("mutation ($s: String!) { change(secret: $s) }", s="hunter2")
    large = _body("query ($how: [String!]!) { things(how: $how) { text } }", how=["x" * 5_000])
    for body in (mutation, large):
        for _ in range(3):
            assert b"errors" not in await gate.ask(body)
        assert gate.engine.recall(body) is None
    get = _body("{ quick }")
    await gate.ask(get)
    assert gate.engine.recall(get) is not None
    assert gate.engine.recall(get + b" ") is None


async def test_requests_are_forgotten_with_their_document_and_by_number() -> None:
    gate = Gate(_engine(cached_documents=5))
    query = "query ($how: [String!]!) { things(how: $how) { text } }"
    bodies = [_body(query, how=[f"{number}"]) for number in range(20)]
    for body in bodies:
        await gate.ask(body)
    passed = gate.engine._passed
    assert [gate.engine.recall(body) is not None for body in bodies] == [*[False] * 15, *[True] * 5]
    assert len(passed._calls) == len(passed._proven[query].requests) == 5
    for number in range(5):
        for _ in range(2):
            await gate.ask(_body(f"{{ a{number}: quick }}"))
    assert query not in passed.texts
    assert all(gate.engine.recall(body) is None for body in bodies)
    assert len(passed._calls) == 5
    assert passed._calls_bytes == sum(2_000 + 60 * len(body) for body in passed._calls)


async def test_requests_take_a_part_of_the_memory_and_no_document() -> None:
    gate = Gate(_engine(cached_bytes=400_000))
    query = "query ($how: [String!]!) { things(how: $how) { text } }"
    for number in range(200):
        await gate.ask(_body(query, how=[f"{number}"]))
    passed = gate.engine._passed
    assert passed._calls_bytes <= 50_000
    assert query in passed.texts


# ── templates ────────────────────────────────────────────────────────────────────────────────────────────────


def test_templates_are_made_of_what_can_be_copied() -> None:
    values = {
        "a": 1,
        "b": [1, [Part(name="x", sizes=[1])]],
        "c": Colour.RED,
        "d": date(2026, 3, 4),
        "e": strawberry.UNSET,
    }
    make = template(values)
    assert make is not None
    one, other = make(), make()
    assert one == other == values
    assert list(one) == list(values)
    assert one["c"] is Colour.RED
    assert one["e"] is strawberry.UNSET
    one["b"][1][0].sizes.append(2)
    one["b"].append(3)
    assert other == values == make()
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    for unfit in ({"a": 1}, {1}, bytearray(b"x"), [{}], Part(inner=[{}]), object(), deep):  # type: ignore[list-item]
        assert template({"value": unfit}) is None, unfit
