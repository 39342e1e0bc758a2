"""Plans: what is read at once, what never is, and how much memory and time they may take."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import strawberry
from graphql import GraphQLError, GraphQLObjectType, is_object_type

from app.schema.root import schema as product
from app.web.graphql import ErrorDescription, GraphQLEngine, Limits
from app.web.graphql import compiled as compiled_module
from app.web.graphql.readings import reading_of

CALLS: list[str] = []


async def _later(text: str) -> str:
    return text


@strawberry.interface
class Thing:
    title: str


@strawberry.type
class Book(Thing):
    pages: int | None = None

    @strawberry.field
    def loud_title(self) -> str:
        CALLS.append(self.title)
        return self.title.upper()

    @strawberry.field
    def itself(self) -> Book:
        return self

    @strawberry.field
    def eventual_title(self) -> str:
        return _later(self.title)  # type: ignore[return-value]


@dataclass
class Film:
    """Has all that a book has, but is none."""

    title: str
    pages: int | None = None


@strawberry.type
class Query:
    @strawberry.field
    def books(self) -> list[Book]:
        return [Book(title="one", pages=1), Book(title="two")]

    @strawberry.field
    def chosen(self, ids: list[strawberry.ID] | None = None) -> list[Book]:
        return [Book(title=one) for one in ids or ()]

    @strawberry.field
    def mixed_up(self) -> list[Book | None]:
        return [Book(title="fine"), Film(title="no book")]  # type: ignore[list-item]

    @strawberry.field
    def broken(self) -> list[Book | None]:
        return [Book(title="fine"), Book(title=None)]  # type: ignore[arg-type]


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def one(self) -> AsyncGenerator[Book, None]:
        yield Book(title="event")


SCHEMA = strawberry.Schema(Query, subscription=Subscription)
WIDE = Limits(depth=200, aliases=2_000, tokens=20_000, cost=10**6, overlaps=10**9, directives=1_000)


def _describe(error: GraphQLError, request_id: str) -> ErrorDescription:  # noqa: ARG001
    return ErrorDescription(error.message, {})


def engine(**more: Any) -> GraphQLEngine:
    return GraphQLEngine(
        SCHEMA._schema,
        execution_context_class=SCHEMA.execution_context_class,
        limits=WIDE,
        introspection=True,
        suggestions=False,
        describe_error=_describe,
        **more,
    )


async def ask(engine: GraphQLEngine, query: str, name: str | None = None, /, **variables: object) -> bytes:
    result = await engine.execute(engine.accept(query, name, variables), None)
    return msgspec.json.encode(engine.result(result, "request"))


async def same(query: str, name: str | None = None, /, **variables: object) -> bytes:
    """The answer, which is the same by graphql-core, while it is compiled, and compiled."""
    compiled = engine()
    answers = {await ask(engine(compiled=False), query, name, **variables)}
    answers |= {await ask(compiled, query, name, **variables) for _ in range(3)}
    (answer,) = answers
    return answer


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The parts that were read at once; None for each that could not be."""
    parts: list[object] = []
    attempt = compiled_module._attempt

    def noted(*arguments: Any) -> Any:
        parts.append(attempt(*arguments))
        return parts[-1]

    monkeypatch.setattr(compiled_module, "_attempt", noted)
    return parts


# ── what is read at once ─────────────────────────────────────────────────────────────────────────────────────


def test_the_libraries_wrappers_are_recognised() -> None:
    """Else answers would be right, but slow: what `readings` knows of the library has changed."""
    types = [one for one in product._schema.type_map.values() if is_object_type(one) and not one.name.startswith("__")]
    fields = [one for type_ in types for one in type_.fields.values() if not one.args]
    assert sum(reading_of(one) is not None for one in fields) > 0.8 * len(fields)
    for name in ("AvailabilityDay", "Slot", "PageInfo"):
        type_ = product._schema.type_map[name]
        assert isinstance(type_, GraphQLObjectType)
        assert all(reading_of(one) for one in type_.fields.values()), name


async def test_a_list_is_read_in_one_piece(reads: list[object]) -> None:
    compiled = engine()
    for _ in range(3):
        answer = await ask(compiled, "{ books { title pages itself { loudTitle } } }")
    assert answer == (
        b'{"data":{"books":[{"title":"one","pages":1,"itself":{"loudTitle":"ONE"}},'
        b'{"title":"two","pages":null,"itself":{"loudTitle":"TWO"}}]}}'
    )
    assert len(reads) == 2
    assert None not in reads


async def test_a_method_is_called_once_where_all_is_well() -> None:
    compiled = engine()
    for _ in range(3):
        CALLS.clear()
        await ask(compiled, "{ books { loudTitle } }")
        assert CALLS == ["one", "two"]


async def test_what_a_method_leaves_for_later_is_awaited(reads: list[object]) -> None:
    """And nothing else is left behind, which would be a warning."""
    assert b'"eventualTitle":"one"' in await same("{ books { eventualTitle } }")
    gc.collect()
    assert None in reads


async def test_errors_are_those_of_graphql_core(reads: list[object]) -> None:
    answer = msgspec.json.decode(await same("{\n broken { title } }"))
    assert answer["data"] == {"broken": [{"title": "fine"}, None]}
    (error,) = answer["errors"]
    assert error["path"] == ["broken", 1, "title"]
    assert error["locations"] == [{"line": 2, "column": 11}]
    assert reads == [None, None]


async def test_an_object_of_another_type_is_refused(reads: list[object]) -> None:
    answer = msgspec.json.decode(await same("{ mixedUp { title pages __typename } }"))
    assert answer["data"] == {"mixedUp": [{"title": "fine", "pages": None, "__typename": "Book"}, None]}
    assert reads == [None, None]


async def test_a_resolver_that_was_replaced_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    book = SCHEMA._schema.type_map["Book"]
    assert isinstance(book, GraphQLObjectType)
    monkeypatch.setattr(book.fields["title"], "resolve", lambda *_: "replaced")
    assert await same("{ books { title } }") == b'{"data":{"books":[{"title":"replaced"},{"title":"replaced"}]}}'


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = (
    "None",
    "def",
    "lambda",
    "v",
    "x0",
    "known",
    "check",
    "refuse",
    "S1",
    "o1",
    "f0",
    "self",
    "__class__",
    "__dict__",
)


@pytest.mark.parametrize("more", ["", " itself { title }", " ...on Book @skip(if: false) { title }"])
async def test_names_that_clients_choose_are_only_names(more: str) -> None:
    selection = " ".join(f"{name}: title" for name in NAMES)
    answer = msgspec.json.decode(await same(f"{{ books {{ {selection}{more} }} }}"))
    assert {name: answer["data"]["books"][0][name] for name in NAMES} == dict.fromkeys(NAMES, "one")


# ── which plan ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_each_outcome_of_the_conditions_has_its_plan() -> None:
    compiled = engine()
    query = "query($a: Boolean!, $b: Boolean = true) { books { title @skip(if: $a) ...@include(if: $b) { pages } } }"
    for _ in range(3):
        for without_title, with_pages in ((True, True), (False, True), (False, False)):
            answer = msgspec.json.decode(await ask(compiled, query, a=without_title, b=with_pages))
            expected = [*([] if without_title else ["title"]), *(["pages"] if with_pages else [])]
            assert [*answer["data"]["books"][0]] == expected


async def test_operations_of_one_document_do_not_meet() -> None:
    """Their variables of the same name are of different types, of which one cannot be the key of anything."""
    query = "query A($v: Boolean!) { books { title @skip(if: $v) } } query B($v: [ID!]) { chosen(ids: $v) { title } }"
    compiled = engine()
    for _ in range(3):
        assert await ask(compiled, query, "A", v=True) == b'{"data":{"books":[{},{}]}}'
        assert await ask(compiled, query, "B", v=["x"]) == b'{"data":{"chosen":[{"title":"x"}]}}'


async def test_a_condition_that_is_null_is_an_error() -> None:
    query = "query($v: Boolean = true) { books { title @skip(if: $v) } }"
    assert b'"errors"' in await same(query, v=None)
    assert await same(query) == b'{"data":{"books":[{},{}]}}'


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_stream_of_documents_does_not_fill_the_memory() -> None:
    compiled = engine(cached_bytes=200_000)
    for number in range(60):
        for _ in range(2):
            await ask(compiled, f"{{ books {{ a{number}: title pages itself {{ title }} }} }}")
        assert compiled._passed.held_bytes <= 200_000
    assert 2 < len(compiled._passed) < 15, "what is compiled counts"
    weights = sum(compiled._passed.weight(text) for text in compiled._passed.texts)
    assert compiled._passed.held_bytes == weights + sum(compiled._passed._compiled_bytes.values())


async def test_what_one_event_compiled_counts_too() -> None:
    compiled = engine()
    call = compiled.accept("subscription { one { title } }", None, {})
    before = compiled._passed.held_bytes
    source = await compiled.subscribe(call, None)
    assert isinstance(source, AsyncGenerator)
    assert (await anext(source)).errors is None
    await source.aclose()
    assert compiled._passed.held_bytes > before


async def test_a_large_operation_is_looked_at_a_few_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large to be compiled whole; its parts are tried until that has taken long enough."""
    looks = 0

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return reading_of(*arguments)

    monkeypatch.setattr("app.web.graphql.shapes.reading_of", counted)
    monkeypatch.setattr(compiled_module, "MOST_FIELDS", 100)
    monkeypatch.setattr(compiled_module, "MOST_LOOKED_AT", 400)
    fragments = [
        f"fragment F{n} on Book {{ a: itself {{ ...F{n + 1} }} b: itself {{ ...F{n + 1} }} }}" for n in range(8)
    ]
    await same(" ".join(["{ books { ...F0 } }", *fragments, "fragment F8 on Book { title }"]))
    assert 100 < looks <= 400


@pytest.mark.parametrize("depth", [10, 60])
async def test_deep_operations(depth: int) -> None:
    answer = await same("{ books " + depth * "{ itself " + "{ title }" + depth * " }" + " }")
    assert b'{"title":"two"}' in answer


async def test_requests_at_once_share_a_plan() -> None:
    compiled = engine()
    asked = [ask(compiled, "{ books { title } broken { title } }") for _ in range(20)]
    assert len(set(await asyncio.gather(*asked))) == 1


async def test_objects_of_odd_classes_are_left_to_graphql_core(
    reads: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Made:
        """Attributes made up as they are asked for."""

        def __getattr__(self, name: str) -> str:
            return name

    resolved = SCHEMA._schema.type_map["Query"]
    assert isinstance(resolved, GraphQLObjectType)
    monkeypatch.setattr(resolved.fields["books"], "resolve", lambda *_: [Made()])
    assert b'"errors"' in await same("{ books { title pages } }")
    assert reads == [None, None]
