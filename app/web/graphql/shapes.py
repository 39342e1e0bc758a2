"""What a selection will look like as an answer, for those selections that need no resolver of their own.

A shape is the selection laid over the types: fragments opened, `@skip` and `@include` decided, fields merged, as
graphql-core collects them. There is one only if everything below can be read from the objects at once (`readings`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphql import (
    GraphQLAbstractType,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    TypeNameMetaFieldDef,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet

from app.web.graphql.readings import Reading, reading_of, resolves_by_object_alone, tells_by_object_alone

Collect = Callable[[GraphQLObjectType, FieldDetailsList], GroupedFieldSet]
"""The fields of an object below a field, as graphql-core collects them."""


@dataclass(frozen=True, slots=True)
class Leaf:
    type: GraphQLLeafType
    nullable: bool


@dataclass(frozen=True, slots=True)
class Many:
    item: Shape
    nullable: bool


@dataclass(frozen=True, slots=True)
class One:
    type: GraphQLObjectType
    parts: tuple[Part, ...]
    nullable: bool


@dataclass(frozen=True, slots=True)
class Either:
    """An object of one of several types, each with what is selected of it."""

    type: GraphQLAbstractType
    field_name: str
    choices: Mapping[str, One]
    nullable: bool


Shape = Leaf | Many | One | Either


@dataclass(frozen=True, slots=True)
class TypeName:
    """`__typename`."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    reading: Reading
    shape: Shape


@dataclass(frozen=True, slots=True)
class Part:
    """One entry of an answer's object."""

    name: str
    content: TypeName | Field


class NoRoom(Exception):
    """The selections of an operation are too many to be worth their memory."""


class Shaper:
    """Makes the shapes of one operation. `room` is how many more fields they may have together."""

    def __init__(self, schema: GraphQLSchema, collect: Collect, room: int) -> None:
        self._schema = schema
        self._collect = collect
        self.room = room

    def value(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Shape | None:
        """The shape of a field's value; None when it needs resolvers. Raises NoRoom."""
        nullable = not is_non_null_type(type_)
        inner: GraphQLOutputType = type_.of_type if is_non_null_type(type_) else type_
        if is_leaf_type(inner):
            return Leaf(inner, nullable)
        if is_list_type(inner):
            item = self.value(inner.of_type, details)
            return None if item is None else Many(item, nullable)
        if is_object_type(inner):
            return self._one(inner, details, nullable)
        return self._either(inner, details, nullable) if is_abstract_type(inner) else None

    def part(self, parent: GraphQLObjectType, name: str, details: FieldDetailsList) -> Part | None:
        """One entry of an object of that type; None when it needs a resolver. Raises NoRoom."""
        self.room -= 1
        if self.room < 0:
            raise NoRoom
        field = self._schema.get_field(parent, details[0].node.name.value)
        if field is TypeNameMetaFieldDef:
            return Part(name, TypeName(parent.name))
        reading = None if field is None else reading_of(field)
        if field is None or reading is None:
            return None
        shape = self.value(field.type, details)
        return None if shape is None else Part(name, Field(reading, shape))

    def _one(self, type_: GraphQLObjectType, details: FieldDetailsList, nullable: bool) -> One | None:
        if not tells_by_object_alone(type_):
            return None
        parts: list[Part] = []
        for name, below in self._collect(type_, details).items():
            part = self.part(type_, name, below)
            if part is None:
                return None
            parts.append(part)
        return One(type_, tuple(parts), nullable)

    def _either(self, type_: GraphQLAbstractType, details: FieldDetailsList, nullable: bool) -> Either | None:
        if not resolves_by_object_alone(type_):
            return None
        choices: dict[str, One] = {}
        for possible in self._schema.get_possible_types(type_):
            choice = self._one(possible, details, False)
            if choice is None:
                return None
            choices[possible.name] = choice
        return Either(type_, details[0].node.name.value, choices, nullable)
