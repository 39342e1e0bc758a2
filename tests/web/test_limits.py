"""Limits on documents: what is counted, and that counting is linear in the length of the document."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from graphql import build_schema, get_introspection_query, parse

from app.web.graphql import GraphQLEngine, Limits, describe_error
from app.web.graphql.documents import DocumentCache
from app.web.graphql.engine import RequestRefused
from app.web.graphql.measure import measure
from tests.web.graphql_server import engine_for_tests

MOST_STEPS = 250_000
"""Calls and returns: a document within the limits takes up to 115,000, and a walk that doubles has no end."""


@contextmanager
def few_steps() -> Iterator[None]:
    """Counts what Python does instead of measuring how long it takes, so that a busy machine fails nothing."""
    steps = 0

    def count(*_event: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
    assert steps < MOST_STEPS, steps


SCHEMA = build_schema("""
    type Query { node: Node  nodes: [Node!]!  page(first: Int = 20, last: Int): Page!  plain(first: Int): [Node!]!
                 wide(first: Int = 7): Page!  name: String }
    type Node { id: ID  name: String  child: Node  children: [Node!]!  page(first: Int, last: Int): Page! }
    type Page { edges: [Edge!]!  nodes: [Node!]!  pageInfo: Info!  totalCount: Int! }
    type Edge { node: Node!  cursor: String }
    type Info { hasNextPage: Boolean }
""")


def engine(*, introspection: bool = True, **limits: int) -> GraphQLEngine:
    return GraphQLEngine(
        SCHEMA,
        execution_context_class=None,
        limits=Limits(**limits),
        introspection=introspection,
        suggestions=False,
        describe_error=describe_error,
    )


def refusals(query: str, *, introspection: bool = True, **limits: int) -> list[str]:
    """Names of the limits that a document breaks."""
    errors = engine(introspection=introspection, **limits).prepare(query).errors
    assert all((error.extensions or {})["code"] == "TOO_COMPLEX" for error in errors), errors
    return [(error.extensions or {})["limit"] for error in errors]


def cost_of(query: str, variables: dict[str, object] | None = None) -> int:
    """The cost that the refusal names when nothing is allowed."""
    gate = engine(cost=0)
    with pytest.raises(RequestRefused) as caught:
        gate._build(gate.accept(query, None, variables or {}), None)
    (error,) = caught.value.errors
    assert error.extensions is not None
    assert str(error.extensions["found"]) in error.message
    found = error.extensions["found"]
    assert isinstance(found, int)
    return found


def nested(depth: int) -> str:
    return "{" + "child{" * (depth - 1) + "name" + "}" * (depth - 1) + "}"


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ("{node{name}}", 1),
        ("{node{child{id name __typename}}}", 2),
        ("{nodes{name}}", 1),
        ("{nodes{child{name}}}", 1 + 5),
        ("{nodes{children{child{name}}}}", 1 + 5 * (1 + 5)),
        ("{page{totalCount}}", 1),
        ("{page{edges{node{name}}}}", 1 + 20 * 2),
        ("{page(first:3){edges{node{name}} pageInfo{hasNextPage}}}", 1 + 1 + 3 * 2),
        ("{page(first:3 last:9){edges{cursor}}}", 1 + 9),
        ("{page(first:1000000){edges{cursor}}}", 1 + 100),
        ("{page(first:99999999999999999999){edges{cursor}}}", 1 + 100),
        ("{page(first:-5){edges{cursor}}}", 1 + 1),
        ("{page(first:null){edges{cursor}}}", 1 + 20),
        ("{wide{edges{cursor}}}", 1 + 7),
        ("{plain(first:4){child{name}}}", 1 + 4),
        ("{page(first:10){nodes{page(first:10){nodes{name}}}}}", 1 + 10 * (1 + 1 + 10)),
        ("{node{...F ...F}} fragment F on Node{child{name}}", 1 + 2),
        ("{page(first:10){...P}} fragment P on Page{nodes{name}}", 1 + 10),
        ("{page(first:10){... {nodes{name}} ... on Page{edges{cursor}}}}", 1 + 20),
    ],
)
def test_cost(query: str, cost: int) -> None:
    assert cost_of(query) == cost


@pytest.mark.parametrize(
    ("variables", "size"),
    [
        ({"n": 3}, 3),
        ({"n": 101}, 100),
        ({"n": -1}, 1),
        ({"n": None}, 20),
        ({}, 20),
        ({"n": "7"}, 100),
        ({"n": 2**70}, 100),
    ],
)
def test_cost_follows_variables(variables: dict[str, object], size: int) -> None:
    query = "query($n:Int){page(first:$n){edges{node{name}}}}"
    assert cost_of(query, variables) == 1 + size * 2


def test_cost_uses_the_default_of_a_variable() -> None:
    assert cost_of("query($n:Int=50){page(first:$n){nodes{name}}}", {}) == 51


def test_one_document_two_answers_by_variables() -> None:
    gate = engine()
    query = "query($n:Int){page(first:$n){nodes{page(first:$n){nodes{name}}}}}"
    gate._build(gate.accept(query, None, {"n": 20}), None)
    with pytest.raises(RequestRefused, match="the limit is 1000"):
        gate._build(gate.accept(query, None, {"n": 50}), None)


def test_cost_is_of_the_operation_that_runs() -> None:
    query = "query A($n:Int){page(first:$n){nodes{name}}} query B{name}"
    gate = engine(cost=10)
    gate._build(gate.accept(query, "B", {}), None)
    with pytest.raises(RequestRefused):
        gate._build(gate.accept(query, "A", {}), None)


def test_depth() -> None:
    assert refusals("{node" + nested(9) + "}") == []
    assert refusals("{node" + nested(10) + "}") == ["depth"]
    assert refusals("{node{...F}} fragment F on Node" + nested(10)) == ["depth"]
    (error,) = engine().prepare("{node" + nested(12) + "}").errors
    assert error.message == "The document nests fields 13 deep; the limit is 10."


def test_aliases_and_directives() -> None:
    assert refusals("{" + " ".join(f"a{i}:name" for i in range(15)) + "}") == []
    assert refusals("{" + " ".join(f"a{i}:name" for i in range(16)) + "}") == ["aliases"]
    assert refusals("{name " + "@include(if:true)" * 51 + "}") == ["directives"]
    fifty = " ".join("... @skip(if:false){name}" for _ in range(50))
    assert refusals("{" + fifty + "}") == []
    assert refusals("query @a {" + fifty + "}") == ["directives"]
    assert "directives" in refusals("{node{...F}} fragment F on Node @a {" + fifty + " ... @skip(if:false){id}}")


def test_tokens() -> None:
    assert refusals("{" + "name " * 998 + "}") == ["overlaps"]
    assert refusals("{" + "name " * 998 + "}", overlaps=2_000_000) == ["validation"]
    assert refusals("{" + "name " * 999 + "}") == ["tokens"]
    assert refusals("#\n" * 1001 + "{name}") == ["tokens"]


def test_nine_aliases_five_deep_are_refused_at_once() -> None:
    query = "name"
    for _ in range(5):
        query = " ".join(f"a{i}:child{{{query}}}" for i in range(2))
    with few_steps():
        assert "aliases" in refusals("{node{" + query + "}}")
        assert "cost" in refusals("{page(first:100){nodes{page(first:100){nodes{page(first:100){nodes{name}}}}}}}")


def doubling_fragments(count: int) -> str:
    """Each fragment spreads the next one twice, so that the document expands to 2^count fields."""
    links = "".join(f"fragment F{i} on Node{{...F{i + 1} child{{...F{i + 1}}}}}" for i in range(count))
    return "{node{...F0}}" + links + f"fragment F{count} on Node{{name}}"


def test_work_is_linear_in_the_document() -> None:
    """Steps, not time: each selection of the text is visited once, however often it is spread."""
    steps = []
    for count in (10, 20, 40, 80):
        document = parse(doubling_fragments(count))
        measured = measure(SCHEMA, document, Limits(), introspection=True)
        steps.append(measured.steps)
        assert measured.errors
    assert steps == [2 + 3 * count + 1 for count in (10, 20, 40, 80)]


def test_evaluation_with_variables_is_linear_too() -> None:
    count = 60
    links = "".join(f"fragment F{i} on Page{{...F{i + 1} ...F{i + 1} }}" for i in range(count))
    query = "query($n:Int){page{...F0}}" + links
    query += f"fragment F{count} on Page{{nodes{{page(first:$n){{totalCount nodes{{id}}}}}}}}"
    with few_steps():
        assert cost_of(query, {"n": 5}) == 1_000_000_000


@pytest.mark.parametrize(
    "query",
    [
        "{node{...A}} fragment A on Node{...A}",
        "{node{...A}} fragment A on Node{child{...B}} fragment B on Node{child{...A}}",
        "{__schema{...A}} fragment A on __Schema{types{fields{type{...B}}}} fragment B on __Type{ofType{...B}}",
        "{node{...Nowhere}}",
        "{nothing{nothing{nothing}}}",
        "fragment A on Nothing{b}",
        "{node{...{...on Nothing{b}}}}",
        "type A{b:Int}",
        "query A{name} query A{name}",
        "{...F}" + "".join(f"fragment F{i} on Query{{...F{i + 1}}}" for i in range(100)),
        "{" + "...{" * 190 + "name" + "}" * 190 + "}",
        "{" + "node{" * 300 + "}" * 300 + "}",
        "{page(first:" + "[" * 150 + "]" * 150 + "){totalCount}}",
    ],
)
def test_documents_that_are_not_valid_are_refused_without_harm(query: str) -> None:
    errors = engine().prepare(query).errors
    assert 0 < len(errors) <= 5
    assert {(error.extensions or {})["code"] for error in errors} <= {"BAD_INPUT", "TOO_COMPLEX"}


@pytest.mark.parametrize(
    "query",
    [
        "{" + "node{name}" * 248 + "}",
        "{" + "name " * 990 + "}",
        "{node{" + "child{child{name}child{name}}" * 90 + "}}",
        "{node{"
        + " ".join(f"...F{i}" for i in range(50))
        + "}}"
        + "".join(f"fragment F{i} on Node{{{'name ' * 10}}}" for i in range(50)),
        doubling_fragments(75),
    ],
)
def test_the_dearest_documents_within_the_tokens_are_cheap(query: str) -> None:
    gate = engine()
    with few_steps():
        gate.prepare(query)


def test_introspection_is_exempt_but_bounded() -> None:
    assert refusals(get_introspection_query(input_value_deprecation=True)) == []
    listing = "types{fields{args{type{name}}}}"
    assert "introspection" in refusals("{" + "".join(f"a{i}:__schema{{{listing * 3}}}" for i in range(15)) + "}")
    deep = "{__schema{types{fields{type{fields{type{fields{type{name}}}}}}}}}"
    assert engine().prepare(deep).errors[0].message == "Maximum introspection depth exceeded"


@pytest.mark.parametrize(
    "query",
    ["{__schema{types{name}}}", '{__type(name:"Node"){name}}', "{...F} fragment F on Query{s:__schema{types{name}}}"],
)
def test_closed_introspection(query: str) -> None:
    (error,) = engine(introspection=False).prepare(query).errors
    assert (error.extensions or {})["code"] == "FORBIDDEN"
    assert engine(introspection=False).prepare("{__typename node{__typename}}").errors == ()


def test_no_suggestions_and_at_most_five_errors() -> None:
    document = engine_for_tests(suggestions=False).prepare("{secretNam hell teem a b c d}")
    assert len(document.errors) == 5
    assert not any("mean" in error.message or "secretName" in error.message for error in document.errors)
    assert "secretName" in engine_for_tests(suggestions=True).prepare("{secretNam}").errors[0].message


def test_documents_are_parsed_once_and_forgotten_in_time() -> None:
    gate = engine_for_tests(cached_documents=20)
    first = gate.prepare("{hello}")
    assert gate.prepare("{hello}") is first
    for number in range(100):
        gate.prepare(f"{{bad{number}}}")
    assert gate.prepare("{hello}") is first, "bad documents must not push out good ones"
    assert len(gate._failed) <= 2
    for number in range(100):
        gate.prepare(f'{{hello(name:"{number}")}}')
    assert gate.prepare("{hello}") is first, "nor may those that never come again"
    assert len(gate._passed) == 20
    for number in range(100):
        for _ in range(2):
            gate.prepare(f'{{hello(name:"{number}")}}')
    assert gate.prepare("{hello}") is not first
    assert len(gate._passed) == 20


def test_strangers_drive_out_each_other_alone() -> None:
    gate = engine_for_tests(cached_documents=20)
    proven = [f'{{hello(name:"p{number}")}}' for number in range(15)]
    known = [gate.prepare(text) for text in proven * 2][:15]
    for number in range(1_000):
        gate.prepare(f'{{hello(name:"{number}")}}')
    assert [gate.prepare(text) for text in proven] == known
    assert all(gate.prepare(text) is document for text, document in zip(proven, known, strict=True))
    assert len(gate._passed) == 20


def test_a_newcomer_has_room_among_proven_ones() -> None:
    """Else nothing that came later would ever be proven."""
    gate = engine_for_tests(cached_documents=20)
    for number in range(20):
        for _ in range(2):
            gate.prepare(f'{{hello(name:"{number}")}}')
    newcomer = gate.prepare("{hello}")
    for number in range(100, 104):
        gate.prepare(f'{{hello(name:"{number}")}}')
    assert gate.prepare("{hello}") is newcomer


def test_the_cache_is_bounded_by_memory() -> None:
    cache = DocumentCache(count=1_000, memory_bytes=10_000_000)
    document = engine_for_tests().prepare("{hello}")
    for number in range(500):
        cache.put(f"{number:04}" + "x" * 1_000, document)
    assert cache.held_bytes <= 10_000_000
    assert 20 < len(cache) < 50
    cache.put("y" * 1_000_000, document)
    assert cache.get("y" * 1_000_000) is None
    assert cache.held_bytes == sum(DocumentCache.weight(query) for query in cache.texts)
