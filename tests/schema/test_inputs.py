"""Inputs are built as the library builds them, only sooner."""

from __future__ import annotations

from datetime import datetime
from random import Random
from typing import Any

import pytest
import strawberry
from graphql import GraphQLInputObjectType, coerce_input_value
from strawberry.relay import GlobalID
from strawberry.types.arguments import convert_argument
from strawberry.types.base import StrawberryObjectDefinition

from app.schema.inputs import prepare_inputs
from app.schema.root import schema
from tests.web.random_documents import Operations, _to_json

INPUTS = {
    name: known
    for name, known in schema.schema_converter.type_map.items()
    if isinstance(known.implementation, GraphQLInputObjectType)
}
ROUNDS = 20


def _definition(name: str) -> StrawberryObjectDefinition:
    definition = INPUTS[name].definition
    assert isinstance(definition, StrawberryObjectDefinition)
    return definition


def _built(definition: StrawberryObjectDefinition, value: object) -> Any:
    converter = schema.schema_converter
    return convert_argument(value, definition.origin, converter.scalar_registry, schema.config, None, path=("input",))


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_every_input_of_the_schema(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    definition, made = _definition(name), INPUTS[name].implementation
    assert isinstance(made, GraphQLInputObjectType)
    assert definition.from_input is not None
    writer = Operations(schema._schema, Random(name), "A")
    values = [coerce_input_value(_to_json(writer._present(made, 4)), made) for _ in range(ROUNDS)]
    found = [_built(definition, value) for value in values]
    for other in INPUTS:
        monkeypatch.setattr(_definition(other), "from_input", None)
    expected = [_built(definition, value) for value in values]
    assert found == expected
    assert [repr(one) for one in found] == [repr(one) for one in expected]  # what is unset, and of which class


@strawberry.input
class Plain:
    at: datetime | None = None


@strawberry.input
class MayBeAbsent:
    text: strawberry.Maybe[str]


@strawberry.input
class WithId:
    ids: list[GlobalID]


@strawberry.type
class SameQuery:
    @strawberry.field
    def same(self, plain: Plain, absent: MayBeAbsent, id: WithId) -> str:
        return repr((plain, absent, id))


def test_what_the_library_wraps_is_left_to_it() -> None:
    made = strawberry.Schema(SameQuery)
    document = '{ same(plain: {}, absent: {text: "a"}, id: {ids: ["VHlwZTox"]}) }'
    before = made.execute_sync(document)
    prepare_inputs(made)
    prepared = {
        name: known.definition.from_input is not None
        for name, known in made.schema_converter.type_map.items()
        if isinstance(known.definition, StrawberryObjectDefinition) and known.definition.is_input
    }
    assert prepared == {"Plain": True, "MayBeAbsent": False, "WithId": False}
    assert before.errors is None
    assert made.execute_sync(document).data == before.data
