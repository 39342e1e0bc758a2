"""What resolvers could give, right and wrong, for any schema: the same for the same seed and place in an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from random import Random
from types import CoroutineType
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

from app.domain.slots import Slot
from app.web.graphql.readings import Attribute, reading_of

NEST = 6
KINDS = ("leaves", "nulls", "lookalikes", "anything")
START = datetime(2026, 3, 4, 13, tzinfo=UTC)


class Odd:
    """Nothing that a schema knows; it looks the same in every run."""

    def __repr__(self) -> str:
        return "odd"


class FailedObject(Exception):
    """Stands for an object, and is an error."""


class LateObject:
    right: object = None

    def __await__(self) -> Generator[Any, None, object]:
        yield from asyncio.sleep(0).__await__()
        return self.right


class MadeUpObject:
    """Whatever is asked for, it has."""

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class TextLike(str):
    __slots__ = ()


def _failing() -> Iterator[object]:
    yield "one"
    raise RuntimeError("a generator broke")


async def _later(value: object) -> object:
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


ODDITIES: tuple[Callable[[], object], ...] = (
    lambda: None,
    Odd,
    lambda: RuntimeError("as a value"),
    lambda: TextLike("text"),
    lambda: 2**31,
    lambda: True,
    lambda: 1.5,
    lambda: float("nan"),
    lambda: "text",
    lambda: "",
    lambda: b"bytes",
    list,
    lambda: [None],
    lambda: ("text", 1),
    lambda: {"id": "in a mapping", "name": "n", "amount": "1"},
    lambda: iter(["a", "b"]),
    _failing,
    lambda: {3},
    lambda: _later("later"),
    lambda: _later(RuntimeError("failed later")),
    lambda: datetime(2026, 3, 4),  # noqa: DTZ001 - has no zone
    lambda: "\ud800",
)
VALUES: dict[str, tuple[Callable[[], object], ...]] = {
    "Int": (lambda: 2**30, lambda: -(2**30), lambda: 0, lambda: -(2**31), lambda: 2**31 - 1, lambda: 7),
    "Float": (lambda: 0.5, lambda: -1e300, lambda: 3, lambda: -0.0),
    "Boolean": (lambda: True, lambda: False),
    "DateTime": (
        lambda: START,
        lambda: START.astimezone(timezone(timedelta(hours=-3))),
        lambda: START + timedelta(microseconds=1),
    ),
    "Date": (lambda: date(2026, 3, 4), lambda: START),
    "Minor": (lambda: 0, lambda: 2**53, lambda: -1),
    "ID": (lambda: "plain", lambda: 7, lambda: UUID(int=7)),
    "Cents": (lambda: Decimal("1.50"), lambda: Decimal("1E+6"), lambda: Decimal("NaN")),
    "Anything": (lambda: {"key": [None, 1.5, "text"]}, lambda: [[]], lambda: "text", lambda: 0),
}
NEAR: dict[str, tuple[Callable[[], object], ...]] = {
    "Int": (lambda: 2**31, lambda: -(2**31) - 1, lambda: True, lambda: 1.0, lambda: 1.5, lambda: "7", lambda: ""),
    "Float": (lambda: float("nan"), lambda: float("inf"), lambda: True, lambda: "0.5", lambda: 10**400),
    "Boolean": (lambda: 0, lambda: 1, lambda: "true", lambda: float("nan")),
    "String": (lambda: 1, lambda: True, lambda: b"", lambda: TextLike("text"), Odd),
    "ID": (lambda: 1.0, lambda: True, lambda: b"", lambda: TextLike("text"), lambda: 2**70),
    "Size": (lambda: "SMALL", lambda: "s", lambda: 2, lambda: []),
}
"""Not of these types, though some pass."""
TEXTS = ("", "plain", 'quoted "\\', "Zoë \N{PILE OF POO}", "line\nbreak\x7f\u2028", "x" * 200)
PRIVATE: tuple[Callable[[], object], ...] = (
    lambda: [Slot(START, START + timedelta(minutes=30), (UUID(int=1),), 1, 100)],
    list,
    lambda: "USD",
    lambda: UUID(int=7),
    Odd,
)


class World:
    """The values of one seed. `strange` is how many of a thousand are not what the schema promises.

    Most worlds have one kind of strangeness alone: where all is strange, what is at the top hides what is below.
    """

    def __init__(self, schema: GraphQLSchema, seed: int, strange: int) -> None:
        self._schema = schema
        self._seed = seed
        self._strange = self._failing = strange
        self._kind = KINDS[seed % len(KINDS)]
        if self._kind in ("leaves", "lookalikes"):  # these stay among themselves
            self._strange *= 4
        self._coroutines: list[CoroutineType[Any, Any, Any]] = []
        self._object_types = [
            one
            for one in schema.type_map.values()
            if is_object_type(one) and "strawberry-definition" in one.extensions and one is not schema.query_type
        ]

    def value(self, info: GraphQLResolveInfo[Any]) -> object:
        """For the field that is being resolved. Raises RuntimeError now and then."""
        random = Random(f"{self._seed} {info.path.as_list()}")
        if random.randrange(1_000) < self._failing:
            raise RuntimeError(f"no value for {info.path.as_list()}")
        return self._value(random, info.return_type, NEST)

    def event(self, number: int, type_: GraphQLOutputType) -> object:
        return self._value(Random(f"{self._seed} event {number}"), type_, NEST)

    def _value(self, random: Random, type_: Any, nest: int) -> object:
        if self._may_be_strange(type_, nest) and random.randrange(1_000) < self._strange:
            return self._oddity(random, type_, nest)
        if is_non_null_type(type_):
            type_ = type_.of_type
        elif random.randrange(100) < 15 or nest <= 0:
            return None
        if is_list_type(type_):
            items = [
                self._value(random, type_.of_type, nest - 1) for _ in range(random.randint(0, 3) if nest > 0 else 0)
            ]
            return tuple(items) if random.randrange(10) == 0 else items
        if is_abstract_type(type_):
            type_ = random.choice(self._schema.get_possible_types(type_))
        return self._object(random, type_, nest) if is_object_type(type_) else _leaf(random, type_)

    def _oddity(self, random: Random, type_: GraphQLOutputType, nest: int) -> object:
        """What a field should not have; mostly something that is nearly right."""
        if self._kind == "nulls":
            return None
        nullable = get_nullable_type(type_)
        near = NEAR.get(getattr(nullable, "name", ""), ())
        if near and random.randrange(8):
            return random.choice(near)()
        if is_object_type(nullable) and nest > 0 and (self._kind == "lookalikes" or random.randrange(2)):
            return self._lookalike(random, nullable, nest)
        oddity = random.choice(ODDITIES)()
        if isinstance(oddity, CoroutineType):
            self._coroutines.append(oddity)
        return oddity

    def _may_be_strange(self, type_: GraphQLOutputType, nest: int) -> bool:
        nullable = get_nullable_type(type_)
        match self._kind:
            case "leaves":
                return is_leaf_type(nullable)
            case "lookalikes":
                return is_object_type(nullable) and nest > 0
            case _:
                return True

    def _lookalike(self, random: Random, type_: GraphQLObjectType, nest: int) -> object:
        """Is of another type, or an error, or something to be awaited, or of no known class, but has what is needed."""
        if random.randrange(3) == 0:
            return self._object(random, random.choice(self._object_types), nest)
        right = self._object(random, type_, nest)
        made = random.choice((FailedObject, LateObject, MadeUpObject, Odd))()
        made.__dict__.update(getattr(right, "__dict__", {}))
        if isinstance(made, LateObject):
            made.right = right
        return made

    def close(self) -> None:
        """At the end, for the coroutines that nobody awaited because of an error beside them."""
        for coroutine in self._coroutines:
            coroutine.close()

    def _object(self, random: Random, type_: GraphQLObjectType, nest: int) -> object:
        made = type_.extensions["strawberry-definition"].origin
        found = made.__new__(made)
        for name in getattr(made, "__dataclass_fields__", {}):
            object.__setattr__(found, name, random.choice(PRIVATE)())
        for field in type_.fields.values():
            reading = reading_of(field)
            is_missing = self._kind == "anything" and random.randrange(1_000) < self._strange // 4
            if isinstance(reading, Attribute) and not is_missing:
                object.__setattr__(found, reading.name, self._value(random, field.type, nest - 1))
        return found


def _leaf(random: Random, type_: Any) -> object:
    if isinstance(type_, GraphQLEnumType):
        members: type[Enum] = type_.wrapped_cls  # type: ignore[attr-defined]
        member = random.choice([*members])
        return member.value if random.randrange(10) == 0 else member
    if type_.name in VALUES:
        return random.choice(VALUES[type_.name])()
    return random.choice(TEXTS)


@contextmanager
def worlds_instead_of_resolvers(schema: GraphQLSchema) -> Iterator[None]:
    """Within, roots and fields that need a resolver are given their values by the World that is the context."""
    kept: list[tuple[GraphQLField, Any, Any]] = []
    for type_ in schema.type_map.values():
        if is_object_type(type_) and not type_.name.startswith("__"):
            for field in type_.fields.values():
                if type_ is schema.query_type or reading_of(field) is None:
                    kept.append((field, field.resolve, field.subscribe))
                    _replace(field)
    try:
        yield
    finally:
        for field, resolve, subscribe in kept:
            field.resolve, field.subscribe = resolve, subscribe


def _replace(field: GraphQLField) -> None:
    async def resolve_later(_source: object, info: GraphQLResolveInfo[Any], **_arguments: object) -> object:
        await asyncio.sleep(0)
        return info.context.value(info)

    def resolve(_source: object, info: GraphQLResolveInfo[Any], **_arguments: object) -> object:
        return info.context.value(info)

    async def events(
        _source: object, info: GraphQLResolveInfo[Any], **_arguments: object
    ) -> AsyncGenerator[object, None]:
        for number in range(3):
            yield info.context.event(number, field.type)

    if field.subscribe is not None:
        field.subscribe = events
        return
    is_async = getattr(field.resolve, "__name__", "") == "_async_resolver"
    field.resolve = resolve_later if is_async else resolve
