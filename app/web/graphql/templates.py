"""Values that are made once and used again and again: whoever changes what it was given changes no other's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from graphql import GraphQLInputObjectType, GraphQLInputType, is_list_type, is_non_null_type

Make = Callable[[], Any]

_FIXED = frozenset({type(None), bool, int, float, str, date, datetime, time, timedelta, Decimal, UUID})
"""Classes of which no value ever changes."""


class Unfit(Exception):
    """A value of which no copies are made."""


def template(values: Mapping[str, Any]) -> Callable[[], dict[str, Any]] | None:
    """Makes such values anew; None where they are not made of lists, plain dataclasses and what never changes.

    It keeps the values for itself: from here on they are given to nobody else.
    """
    try:
        fixed, made = _parts(values)
    except (Unfit, RecursionError):
        return None
    return lambda: _join(fixed, made)


def _parts(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, Make]]]:
    """What is the same for all, and what is made for each."""
    fixed: dict[str, Any] = {}
    made: list[tuple[str, Make]] = []
    for name, value in values.items():
        make = _maker(value)
        fixed[name] = value if make is None else None  # keeps its place
        if make is not None:
            made.append((name, make))
    return fixed, made


def _join(fixed: dict[str, Any], made: list[tuple[str, Make]]) -> dict[str, Any]:
    values = fixed.copy()
    for name, make in made:
        values[name] = make()
    return values


def _maker(value: Any) -> Make | None:
    """None for a value that never changes. Raises Unfit."""
    kind = type(value)
    if kind is list:
        return _list_maker(value)
    if is_dataclass(kind) and getattr(value, "__dict__", None) is not None and not hasattr(kind, "__slots__"):
        fixed, made = _parts(value.__dict__)

        def make() -> Any:
            copy = object.__new__(kind)
            copy.__dict__.update(_join(fixed, made))
            return copy

        return make
    if not _never_changes(value):
        raise Unfit
    return None


def _never_changes(value: Any) -> bool:
    """Something that is alone of its kind is its own copy, such as the member of an enum."""
    return type(value) in _FIXED or deepcopy(value) is value


def _list_maker(values: list[Any]) -> Make:
    makers = [_maker(value) for value in values]
    if not any(makers):
        return values.copy
    return lambda: [value if make is None else make() for value, make in zip(values, makers, strict=True)]


def is_shareable(type_: GraphQLInputType, value: Any) -> bool:
    """May a coerced variable be used for several requests? Lists and input objects are only read, leaves given away."""
    if is_non_null_type(type_):
        type_ = type_.of_type
    if value is None:
        return True
    if is_list_type(type_):
        return all(is_shareable(type_.of_type, one) for one in value)
    if isinstance(type_, GraphQLInputObjectType):
        given = ((field.type, value.get(field.out_name or name)) for name, field in type_.fields.items())
        return all(is_shareable(type_, one) for type_, one in given)
    return _never_changes(value)
