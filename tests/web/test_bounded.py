"""An answer that grows out of all proportion is given up, however cheap its document looked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLObjectType, GraphQLSchema, build_schema

from app.web.graphql import GraphQLEngine, Limits, describe_error

WIDTH = 30
OBJECTS = 1_000


class _Tree:
    """Each node has `WIDTH` nodes below it; how many of them were looked at is counted."""

    def __init__(self) -> None:
        self.seen = 0

    def nodes(self, *_: Any) -> list[_Tree]:
        self.seen += 1
        return [self] * WIDTH

    def same(self, *_: Any) -> _Tree:
        self.seen += 1
        return self


@pytest.fixture
def tree() -> _Tree:
    return _Tree()


@pytest.fixture
def schema(tree: _Tree) -> GraphQLSchema:
    schema = build_schema(
        """
        type Query { nodes: [Node!]!  maybe: [Node!] }
        type Subscription { nodes: [Node!]! }
        type Node { nodes: [Node!]!  names: [String!]!  same: Node! }
        """
    )

    async def events(*_: Any) -> AsyncGenerator[_Tree, None]:
        for _event in range(3):
            yield tree

    def fields(name: str) -> dict[str, Any]:
        type_ = schema.type_map[name]
        assert isinstance(type_, GraphQLObjectType)
        return dict(type_.fields)

    for name in ("Query", "Node", "Subscription"):
        fields(name)["nodes"].resolve = tree.nodes
    fields("Query")["maybe"].resolve = tree.nodes
    fields("Node")["same"].resolve = tree.same
    fields("Node")["names"].resolve = lambda *_: ["a"] * OBJECTS * 2
    fields("Subscription")["nodes"].subscribe = events
    return schema


def engine(schema: GraphQLSchema, *, compiled: bool) -> GraphQLEngine:
    return GraphQLEngine(
        schema,
        execution_context_class=None,
        limits=Limits(objects=OBJECTS),
        introspection=True,
        suggestions=False,
        describe_error=describe_error,
        compiled=compiled,
    )


async def ask(schema: GraphQLSchema, query: str, *, compiled: bool = True) -> ExecutionResult:
    gate = engine(schema, compiled=compiled)
    return await gate.execute(gate.accept(query, None, {}), None)


@pytest.mark.parametrize("compiled", [True, False])
async def test_lists_in_lists_are_given_up(schema: GraphQLSchema, tree: _Tree, compiled: bool) -> None:
    result = await ask(schema, "{ nodes { nodes { nodes { nodes { __typename } } } } }", compiled=compiled)
    assert result.data is None
    assert result.errors is not None
    assert (result.errors[0].extensions or {})["code"] == "TOO_COMPLEX"
    assert (result.errors[0].extensions or {})["limit"] == "objects"
    assert "1000 objects" in result.errors[0].message
    assert tree.seen <= OBJECTS


@pytest.mark.parametrize("compiled", [True, False])
async def test_what_hangs_on_each_item_is_given_up(schema: GraphQLSchema, tree: _Tree, compiled: bool) -> None:
    """A short list in a list is nothing; ten objects below each of its items are."""
    below = " ".join(f"s{number}: same {{ __typename }}" for number in range(10))
    result = await ask(schema, f"{{ nodes {{ nodes {{ {below} }} }} }}", compiled=compiled)
    assert result.data is None
    assert result.errors is not None
    assert (result.errors[0].extensions or {})["limit"] == "objects"
    assert "2000 objects" in result.errors[0].message
    assert tree.seen <= 2 * OBJECTS + 1


async def test_within_the_limit_all_is_answered(schema: GraphQLSchema) -> None:
    result = await ask(schema, "{ nodes { nodes { __typename } } }")
    assert (result.errors, len((result.data or {})["nodes"])) == (None, WIDTH)


async def test_texts_do_not_count(schema: GraphQLSchema) -> None:
    assert (await ask(schema, "{ nodes { names } }")).errors is None


async def test_what_may_be_missing_is_missing(schema: GraphQLSchema) -> None:
    result = await ask(schema, "{ maybe { nodes { nodes { __typename } } } nodes { __typename } }")
    assert result.errors is not None
    assert {(error.extensions or {})["limit"] for error in result.errors} == {"objects"}


async def test_each_event_has_a_limit_of_its_own(schema: GraphQLSchema) -> None:
    gate = engine(schema, compiled=True)
    stream = await gate.subscribe(gate.accept("subscription { nodes { nodes { __typename } } }", None, {}), None)
    assert not isinstance(stream, ExecutionResult)
    assert [result.errors async for result in stream] == [None, None, None]
