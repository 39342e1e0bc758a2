"""Inputs as the library builds them, with what is the same for every request worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

import strawberry
from graphql import GraphQLInputObjectType, get_nullable_type, is_leaf_type
from strawberry.relay import GlobalID
from strawberry.schema.name_converter import NameConverter
from strawberry.types.arguments import InputContext, convert_argument
from strawberry.types.base import StrawberryContainer, StrawberryMaybe, StrawberryObjectDefinition


def prepare_inputs(schema: strawberry.Schema) -> None:
    """To be called when the schema is whole: of each input type, which fields it has and what they are called.

    The library looks both up again for every value that it is given. Types with a field of a kind that it treats in its
    own way are left to it.
    """
    for known in schema.schema_converter.type_map.values():
        definition, made = known.definition, known.implementation
        if isinstance(definition, StrawberryObjectDefinition) and isinstance(made, GraphQLInputObjectType):
            kinds = [field.resolve_type(type_definition=definition) for field in definition.fields]
            if definition.from_input is None and not any(map(_is_special, kinds)):
                definition.from_input = _builder(definition, made, schema.config.name_converter)


def _is_special(kind: object) -> bool:
    """Values that may be absent, and ids with a type in them, are wrapped where other leaves are not."""
    while isinstance(kind, StrawberryContainer) and not isinstance(kind, StrawberryMaybe):
        kind = kind.of_type
    return isinstance(kind, StrawberryMaybe) or kind is GlobalID


def _builder(
    definition: StrawberryObjectDefinition, made: GraphQLInputObjectType, names: NameConverter
) -> Callable[[type, Mapping[str, Any], InputContext], Any]:
    fields = []
    absent: dict[str, None] = {}
    for field in definition.fields:
        name = names.from_field(field)
        is_ready = is_leaf_type(get_nullable_type(made.fields[name].type))  # leaves are read when variables are
        fields.append((name, field.python_name, field.resolve_type(type_definition=definition), is_ready))
        if field.default_value is MISSING and field.default_factory is MISSING:
            absent[field.python_name] = None

    def build(type_: type, value: Mapping[str, Any], context: InputContext) -> Any:
        given: dict[str, Any] = {**absent}
        for name, attribute, kind, is_ready in fields:
            if name in value:
                one = value[name]
                given[attribute] = one if is_ready else _converted(one, kind, name, context)
        return type_(**given)

    return build


def _converted(value: Any, kind: Any, name: str, context: InputContext) -> Any:
    return convert_argument(
        value, kind, context.scalar_registry, context.config, context.info, path=(*context.path, name)
    )
