"""Comparing names as people do: without case and without accents."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, collate, func, literal, literal_column

_COLLATION = "pg_unicode_fast"
"""Full Unicode case folding, built into PostgreSQL, so that no build or locale of the server changes the answer."""
_MARKS: ColumnElement[str] = literal_column("'[\u0300-\u036f\u0591-\u05c7]'")
"""Combining accents, and the points of Hebrew."""
_NOTHING: ColumnElement[str] = literal_column("''")
_EACH: ColumnElement[str] = literal_column("'g'")


def folded(value: SQLColumnExpression[Any] | str) -> ColumnElement[str]:
    """`Ñandú` → `nandu`. What two names have alike when a person would call them the same."""
    given = literal(value, Text) if isinstance(value, str) else value
    plain = func.regexp_replace(func.normalize(given, literal_column("NFKD")), _MARKS, _NOTHING, _EACH, type_=Text)
    return func.casefold(collate(plain, _COLLATION), type_=Text)


def contains_text(column: SQLColumnExpression[Any], wanted: str) -> ColumnElement[bool]:
    """Is `wanted` a part of it? Plain text: no character of it has a meaning of its own."""
    return func.strpos(folded(column), folded(wanted)) > 0


def same_text(column: SQLColumnExpression[Any], wanted: str) -> ColumnElement[bool]:
    return folded(column) == folded(wanted)
