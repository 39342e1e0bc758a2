"""Shapes → Python functions that read a whole answer from the objects behind it.

The functions take the usual case only: values of the exact types that a leaf expects, lists and tuples, objects of
plain classes. At anything else they raise, also where the answer would be an error: graphql-core then does that part
from the beginning, so its rules on nulls, errors and odd values are kept by nobody but itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from types import CoroutineType, SimpleNamespace
from typing import Any, NoReturn
from uuid import UUID

import msgspec
from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLSchema,
    GraphQLString,
    Undefined,
)
from graphql.pyutils import is_awaitable

from app.domain.instants import format_instant
from app.web.graphql.readings import Attribute
from app.web.graphql.shapes import Either, Leaf, Many, One, Part, Shape, TypeName

Read = Callable[[Any], Any]

_SIMPLE = frozenset({str, int, float, bool, datetime, date, time, UUID, Decimal})
"""Types whose values are neither missing nor awaitable nor errors: coercing them is all that is left to do."""
_JSON = frozenset({str, int, float, bool, list, dict})
_MOST_CLASSES = 2_000


class Unusual(Exception):
    """A value that the functions do not take."""


def refuse() -> NoReturn:
    raise Unusual


def drop(made: CoroutineType[Any, Any, Any]) -> NoReturn:
    """Refuse what a method gave. It will be called again, so nobody is going to await this."""
    made.close()
    raise Unusual


def _is_plain(kind: type) -> bool:
    """Is an object of this class just that: no error, nothing to await, no attributes made up as they are asked for?"""
    if issubclass(kind, Exception) or kind in (type(None), type(Undefined)):
        return False
    return (
        not hasattr(kind, "__await__")
        and not hasattr(kind, "__getattr__")
        and (kind.__getattribute__ is object.__getattribute__)
    )


class PlainClasses:
    """Classes seen so far whose objects may be read."""

    def __init__(self) -> None:
        self.known: set[type] = set()

    def check(self, value: Any) -> None:
        """Raises Unusual."""
        kind = value.__class__
        if kind is not type(value) or not _is_plain(kind):
            refuse()
        if len(self.known) < _MOST_CLASSES:
            self.known.add(kind)


class Writer:
    """Writes the functions of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._classes = PlainClasses()
        self._leaves: dict[Leaf, tuple[str, dict[str, Any]]] = {}

    def read(self, shape: Shape) -> Read:
        """Value → answer, ready to be encoded; objects become structs. Raises anything where it is not as usual."""
        return _Page(self).finish(shape)

    def read_parts(self, parts: tuple[Part, ...]) -> Read:
        """Object → these entries of its answer, as a dictionary. Raises as `read` does."""
        return _Page(self).finish_parts(parts)

    def leaf(self, leaf: Leaf) -> tuple[str, dict[str, Any]]:
        """An expression for the answer from `{0}`, and what is named in it."""
        found = self._leaves.get(leaf)
        if found is None:
            found = self._leaves[leaf] = _leaf(leaf, f"{leaf.type.name}_{'null' if leaf.nullable else 'must'}")
        return found

    def base(self) -> dict[str, Any]:
        """Names that every function may use."""
        return {
            "known": self._classes.known,
            "check": self._classes.check,
            "refuse": refuse,
            "drop": drop,
            "made": CoroutineType,
        }

    def chooser(self, either: Either, reads: dict[str, Read]) -> Read:
        """For an abstract type: finds out what the object is, and reads it as that."""
        resolve: Any = either.type.resolve_type
        info = SimpleNamespace(schema=self._schema, field_name=either.field_name, is_awaitable=is_awaitable)
        type_, known, check = either.type, self._classes.known, self._classes.check

        def choose(value: Any) -> Any:
            if value.__class__ not in known:
                check(value)
            return reads[resolve(value, info, type_)](value)

        return choose


_IS_TEXT = "{0}.__class__ is str"
_PASSES_AS_IT_IS: dict[Callable[[Any], Any], str] = {
    str: _IS_TEXT,
    GraphQLString.coerce_output_value: _IS_TEXT,
    GraphQLID.coerce_output_value: _IS_TEXT,
    int: "{0}.__class__ is int",
    # Most of those that it takes, compared in the way that Python does fastest.
    GraphQLInt.coerce_output_value: "{0}.__class__ is int and {0} <= 1073741823 and {0} >= -1073741823",
    GraphQLBoolean.coerce_output_value: "{0} is True or {0} is False",
    GraphQLFloat.coerce_output_value: "{0}.__class__ is float and {0} - {0} == 0.0",  # only of a finite one it is zero
}
"""For a function that coerces: when it gives back just what it was given."""
_MAKES_TEXT_OF: dict[Callable[[Any], Any], type] = {format_instant: datetime, date.isoformat: date}
"""For a function that coerces: of what class it makes text, always."""


def _leaf(leaf: Leaf, name: str) -> tuple[str, dict[str, Any]]:
    coerce = leaf.type.coerce_output_value
    names: dict[str, Any] = {f"leaf_{name}": _coercion(coerce, nullable=leaf.nullable)}
    else_ = f"leaf_{name}({{0}})"
    if coerce in _PASSES_AS_IT_IS:
        return f"{{0}} if {_PASSES_AS_IT_IS[coerce]} else {else_}", names
    if coerce in _MAKES_TEXT_OF:
        names |= {f"text_{name}": coerce, f"class_{name}": _MAKES_TEXT_OF[coerce]}
        return f"text_{name}({{0}}) if {{0}}.__class__ is class_{name} else {else_}", names
    members = getattr(leaf.type, "wrapped_cls", None)
    if isinstance(leaf.type, GraphQLEnumType) and isinstance(members, type) and issubclass(members, Enum):
        names[f"enum_{name}"] = members
        names[f"names_{name}"] = {member.name: coerce(member) for member in members}
        return f"names_{name}[{{0}}._name_] if {{0}}.__class__ is enum_{name} else {else_}", names
    return else_, names


def _coercion(coerce: Callable[[Any], Any], *, nullable: bool) -> Read:
    def coerced(value: Any) -> Any:
        if value.__class__ in _SIMPLE:
            answer = coerce(value)
            if answer.__class__ in _JSON:
                return answer
        elif value is None and nullable:
            return None
        refuse()

    return coerced


_CHECK = "if v.__class__ not in known: check(v)"


class _Page:
    """The source of one function and of those that it calls."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._names: dict[str, Any] = writer.base()
        self._lines: list[str] = []
        self._count = 0

    def finish(self, shape: Shape) -> Read:
        return self._compile(self._function(shape))

    def finish_parts(self, parts: tuple[Part, ...]) -> Read:
        body, entries = self._entries(parts)
        pairs = ", ".join(f"{part.name!r}: {entry}" for part, entry in zip(parts, entries, strict=True))
        name = self._define("d", [_CHECK, *body, f"return {{{pairs}}}"])
        return self._compile(name)

    def _compile(self, name: str) -> Read:
        exec(compile("\n".join(self._lines), "<reply>", "exec"), self._names)  # noqa: S102 - made of our own names alone
        read: Read = self._names[name]
        return read

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _define(self, prefix: str, body: list[str]) -> str:
        name = self._name(prefix)
        self._lines += [f"def {name}(v):", *(f" {line}" for line in body)]
        return name

    def _expression(self, shape: Shape, variable: str) -> str:
        if isinstance(shape, Leaf):
            text, names = self._writer.leaf(shape)
            self._names.update(names)
            return text.format(variable)
        call = f"{self._function(shape)}({variable})"
        return f"None if {variable} is None else {call}" if shape.nullable else call

    def _function(self, shape: Shape) -> str:
        """The name of a function for a value that is there."""
        match shape:
            case Leaf():
                return self._define("a", [f"return {self._expression(shape, 'v')}"])
            case One():
                body, answer = self._object(shape, [_CHECK])
                return self._define("o", [*body, f"return {answer}"])
            case Either():
                name = self._name("e")
                reads = {type_name: self._writer.read(choice) for type_name, choice in shape.choices.items()}
                self._names[name] = self._writer.chooser(shape, reads)
                return name
            case Many():
                return self._list(shape.item)

    def _list(self, item: Shape) -> str:
        must_be_list = "if v.__class__ is not list and v.__class__ is not tuple: refuse()"
        if not isinstance(item, One):
            return self._define("m", [must_be_list, f"return [{self._expression(item, 'i')} for i in v]"])
        body, answer = self._object(item, ["if v.__class__ is not last:", f" {_CHECK}", " last = v.__class__"])
        skip = ["if v is None:", " found.append(None)", " continue"] if item.nullable else []
        loop = [f" {line}" for line in (*skip, *body, f"found.append({answer})")]
        return self._define("m", [must_be_list, "found = []", "last = None", "for v in v:", *loop, "return found"])

    def _object(self, shape: One, check_class: list[str]) -> tuple[list[str], str]:
        """Statements, and after them an expression, for the answer of the object `v`."""
        body, entries = self._entries(shape.parts)
        check = list(check_class)
        if shape.type.is_type_of is not None:
            name = self._name("t")
            self._names[name] = shape.type.is_type_of
            check.append(f"if not {name}(v, None): refuse()")
        struct = self._name("S")
        fields = [(f"f{number}", Any) for number in range(len(entries))]
        rename = {f"f{number}": part.name for number, part in enumerate(shape.parts)}
        # No answer holds itself, so the garbage collector has nothing to look for in it.
        self._names[struct] = msgspec.defstruct(struct, fields, rename=rename, gc=False)
        return [*check, *body], f"{struct}({', '.join(entries)})"

    def _entries(self, parts: tuple[Part, ...]) -> tuple[list[str], list[str]]:
        """Statements that read the values of `v`, and an expression for each entry."""
        body: list[str] = []
        entries: list[str] = []
        for number, part in enumerate(parts):
            content = part.content
            if isinstance(content, TypeName):
                entries.append(repr(content.name))
                continue
            if isinstance(content.reading, Attribute):
                body.append(f"x{number} = v.{content.reading.name}")
            else:
                method = self._name("f")
                self._names[method] = content.reading.function
                body += [f"x{number} = {method}(v)", f"if x{number}.__class__ is made: drop(x{number})"]
            entries.append(self._expression(content.shape, f"x{number}"))
        return body, entries
