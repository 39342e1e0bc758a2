"""Random valid documents over any schema, with the variables to send: aliases, fragments, directives, arguments."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_composite_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
)

Composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType

DEPTH = 5
TEXTS = ("", "a", "Zoë", "\N{PILE OF POO}", '"quoted"\\', "line\nbreak", "prv_0", "x" * 300)
LITERALS: dict[str, tuple[str, ...]] = {
    "Int": ("0", "-1", "7", "2147483647", "-2147483648"),
    "Float": ("0.5", "-1", "1e300"),
    "Boolean": ("true", "false"),
    "DateTime": ('"2026-03-04T10:00:00Z"', '"2199-12-31T23:59:59.999999+14:00"', '"1970-01-02T00:00:00-03:00"'),
    "Date": ('"2026-03-04"', '"1970-01-01"', '"2199-12-31"'),
    "TimeZone": ('"UTC"', '"America/Argentina/Buenos_Aires"'),
    "LocalTime": ('"00:00"', '"24:00"', '"09:30"'),
    "Minor": ("0", "-9007199254740991", "125000"),
}
ABSURD: tuple[object, ...] = (None, -1, 2**40, 1.5, "", "9999-12-31", "9999-12-31T23:59:59Z", [], {}, True, "\u2028")
"""Sent as variables: nearly always the request is refused."""


@dataclass(slots=True)
class Operation:
    """`text` has the operation of that name, and its fragments."""

    name: str
    text: str
    variables: dict[str, object]

    def turned(self, random: Random) -> Operation:
        """The same, with other conditions."""
        turned = {
            name: random.random() < 0.5 if isinstance(value, bool) else value for name, value in self.variables.items()
        }
        return Operation(self.name, self.text, turned)


def random_operations(schema: GraphQLSchema, random: Random) -> list[Operation]:
    """All of one document, whose text is theirs together. Their variables have the same names, but other types."""
    return [Operations(schema, random, name).operation() for name in ("A", "B")[: 1 + (random.random() < 0.15)]]


@dataclass(slots=True)
class Operations:
    """Makes one operation from a random source."""

    schema: GraphQLSchema
    random: Random
    name: str
    _count: int = 0
    _fragments: list[str] = field(default_factory=list)
    _spreadable: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _declared: list[str] = field(default_factory=list)
    _variables: dict[str, object] = field(default_factory=dict)

    def operation(self) -> Operation:
        roots = [self.schema.query_type] * 6 + [self.schema.mutation_type, self.schema.subscription_type]
        root = self.random.choice([one for one in roots if one is not None])
        keyword = {self.schema.mutation_type: "mutation", self.schema.subscription_type: "subscription"}.get(
            root, "query"
        )
        depth = self.random.randint(2, DEPTH)
        if keyword == "subscription":
            name, chosen = self.random.choice([*root.fields.items()])
            body = f"{{ {self._field(root, name, chosen, depth)} }}"
        else:
            body = self._selection(root, depth)
        declared = f"({', '.join(self._declared)})" if self._declared else ""
        text = "\n".join([f"{keyword} {self.name}{declared} {body}", *self._fragments])
        return Operation(self.name, text, self._variables)

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _chance(self, percent: int) -> bool:
        return self.random.random() * 100 < percent

    def _selection(self, parent: Composite, depth: int) -> str:
        parts = [self._part(parent, depth) for _ in range(self.random.randint(1, 5 if depth > 2 else 3))]
        return "{ " + " ".join(parts) + " }"

    def _part(self, parent: Composite, depth: int) -> str:
        dice = self.random.random()
        if dice < 0.08:
            return f"{self._alias(40)}__typename{self._directives()}"
        if depth > 0 and (dice < 0.2 or (isinstance(parent, GraphQLUnionType) and dice < 0.9)):
            return self._fragment(parent, depth)
        if isinstance(parent, GraphQLUnionType):
            return f"{self._alias(30)}__typename"
        fields = [
            (name, one) for name, one in parent.fields.items() if depth > 1 or is_leaf_type(get_named_type(one.type))
        ]
        if not fields:
            return f"{self._alias(30)}__typename"
        name, chosen = self.random.choice(fields)
        return self._field(parent, name, chosen, depth)

    def _field(self, parent: Composite, name: str, chosen: GraphQLField, depth: int) -> str:
        named = get_named_type(chosen.type)
        # A name of its own, unless all that it can meet under the plain one says the same.
        alias = self._alias(30 if not chosen.args and not is_composite_type(named) and self._is_same(name) else 100)
        arguments = [
            f"{argument_name}: {self._argument(argument)}"
            for argument_name, argument in chosen.args.items()
            if is_required_argument(argument) or self._chance(60)
        ]
        given = f"({', '.join(arguments)})" if arguments else ""
        below = f" {self._selection(named, depth - 1)}" if isinstance(named, Composite) else ""
        once = f"{alias}{name}{given}{'' if parent is self.schema.subscription_type else self._directives()}{below}"
        if isinstance(named, Composite) and parent is not self.schema.subscription_type and self._chance(10):
            # Merged with its like.
            return f"{once} {alias}{name}{given}{self._directives()} {self._selection(named, 1)}"
        return once

    def _is_same(self, name: str) -> bool:
        """Is a field of that name of one type, and without arguments, wherever it occurs?"""
        holders = (GraphQLObjectType, GraphQLInterfaceType)
        composites = [one for one in self.schema.type_map.values() if isinstance(one, holders)]
        fields = [one.fields[name] for one in composites if name in one.fields]
        return len({str(one.type) for one in fields}) == 1 and not any(one.args for one in fields)

    def _alias(self, percent: int) -> str:
        return f"{self._new('a')}: " if self._chance(percent) else ""

    def _fragment(self, parent: Composite, depth: int) -> str:
        types = [parent]
        if not isinstance(parent, GraphQLObjectType):
            types += self.schema.get_possible_types(parent)
        else:
            types += parent.interfaces
        condition = self.random.choice(types)
        if self._chance(30) and self._spreadable[condition.name]:
            return f"...{self.random.choice(self._spreadable[condition.name])}{self._directives()}"
        body = self._selection(condition, depth - 1)
        if self._chance(50):
            written = f" on {condition.name}" if condition is not parent or self._chance(50) else ""
            return f"...{written}{self._directives()} {body}"
        name = self._new(f"{self.name}_fragment")
        self._fragments.append(f"fragment {name} on {condition.name} {body}")
        self._spreadable[condition.name].append(name)
        return f"...{name}{self._directives()}"

    def _directives(self) -> str:
        return "".join(f" @{name}(if: {self._condition()})" for name in ("skip", "include") if self._chance(8))

    def _condition(self) -> str:
        if self._chance(50):
            return self.random.choice(("true", "false"))
        name = self._new("v")
        if self._chance(30):
            self._declared.append(f"${name}: Boolean = {self.random.choice(('true', 'false'))}")
            if self._chance(50):
                self._variables[name] = self._chance(50)
        else:
            self._declared.append(f"${name}: Boolean!")
            self._variables[name] = self._chance(50)
        return f"${name}"

    def _argument(self, argument: GraphQLArgument | GraphQLInputField) -> str:
        if self._chance(60):
            return self._literal(argument.type, DEPTH)
        name = self._new("v")
        self._declared.append(f"${name}: {argument.type}")
        if self._chance(3):
            self._variables[name] = self.random.choice(ABSURD)
        elif is_required_argument(argument) or self._chance(80):  # type: ignore[arg-type]
            self._variables[name] = _to_json(self._literal_value(argument.type, DEPTH))
        return f"${name}"

    def _literal(self, type_: GraphQLInputType, depth: int) -> str:
        return _to_literal(self._literal_value(type_, depth))

    def _literal_value(self, type_: GraphQLInputType, depth: int) -> Any:
        """Texts of literals, in lists and dictionaries; None for null."""
        if is_non_null_type(type_):
            return self._literal_value(type_.of_type, depth)
        if not is_non_null_type(type_) and depth < DEPTH and self._chance(10):
            return None
        return self._present(type_, depth)

    def _present(self, type_: GraphQLInputType, depth: int) -> Any:
        if is_list_type(type_):
            return [self._inner(type_.of_type, depth) for _ in range(self.random.randint(0, 2))]
        if isinstance(type_, GraphQLEnumType):
            return Literal(self.random.choice([*type_.values]))
        if isinstance(type_, GraphQLInputObjectType):
            return self._input_object(type_, depth)
        named: Any = type_
        if named.name in LITERALS:
            return Literal(self.random.choice(LITERALS[named.name]))
        return Literal(_quoted(self.random.choice(TEXTS)))

    def _inner(self, type_: GraphQLInputType, depth: int) -> Any:
        return self._present(type_.of_type, depth) if is_non_null_type(type_) else self._literal_value(type_, depth - 1)

    def _input_object(self, type_: GraphQLInputObjectType, depth: int) -> Any:
        if type_.is_one_of:
            name, chosen = self.random.choice([*type_.fields.items()])
            return {name: self._present(_nullable(chosen.type), depth - 1)}
        return {
            name: self._inner(one.type, depth - 1)
            for name, one in type_.fields.items()
            if is_required_input_field(one) or (depth > 0 and self._chance(50))
        }


class Literal(str):
    """A value as it is written in a document."""

    __slots__ = ()


def _nullable(type_: GraphQLInputType) -> GraphQLInputType:
    return type_.of_type if is_non_null_type(type_) else type_


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _to_literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_to_literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_to_literal, value)) + "]"
    return str(value)


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _to_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_to_json(one) for one in value]
    return None if value is None else _meaning(str(value))


def _meaning(literal: str) -> object:
    """A literal as JSON has it. JSON knows no enums: they are texts."""
    return literal if literal[:1].isupper() else json.loads(literal)
