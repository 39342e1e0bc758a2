"""Pages by key: stable while rows come and go, and as cheap at the end of a list as at its beginning."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, func, or_, select

from app.core.database import Tx
from app.domain import instants
from app.domain.errors import BadInput, FieldErrors

PAGE_DEFAULT = 20
PAGE_MAXIMUM = 100
LIST_LIMIT = 200
"""Most items of a plain list below one parent."""
CURSOR_MAXIMUM = 4_096
_INTEGER_LIMIT = 2**63
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SortKey:
    """An order: by `expression`, then by `id`, both rising or both falling. The expression is never null.

    `name` marks the cursors of this order. `kind` is the Python type of the expression: str, int, float or datetime.
    """

    name: str
    expression: SQLColumnExpression[Any]
    id: SQLColumnExpression[UUID]
    kind: type
    descending: bool = False


@dataclass(frozen=True, slots=True)
class PageRequest:
    """At most `size` items; `backward`: the last ones. Bounds are cursors, exclusive."""

    size: int
    backward: bool = False
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in the order of the list, each with its cursor."""

    items: tuple[tuple[T, str], ...]
    has_next: bool
    has_previous: bool


def page_request(
    first: int | None = None, after: str | None = None, last: int | None = None, before: str | None = None
) -> PageRequest:
    """The arguments of a connection. Raises BadInput with every violation."""
    errors = FieldErrors()
    for path, size in (("first", first), ("last", last)):
        if size is not None and not 1 <= size <= PAGE_MAXIMUM:
            errors.add(path, f"must be 1 to {PAGE_MAXIMUM}")
    if first is not None and last is not None:
        errors.add("last", "cannot be combined with first")
    if errors.found:
        raise BadInput(errors.found)
    size = last if last is not None else first
    return PageRequest(PAGE_DEFAULT if size is None else size, last is not None, after, before)


async def fetch_page(tx: Tx, statement: Select[T], key: SortKey, request: PageRequest) -> Page[T]:
    """One page of what `statement` selects: one entity, not sorted, not limited. One statement.

    Raises BadInput for a cursor that is not one of this order.
    """
    bounded = statement.add_columns(key.expression, key.id)
    for path, cursor, beyond in (("after", request.after, True), ("before", request.before, False)):
        if cursor is not None:
            bounded = bounded.where(_beyond(key, *decode_cursor(key.name, key.kind, cursor, path), following=beyond))
    falling = key.descending is not request.backward
    ordered = bounded.order_by(*(part.desc() if falling else part.asc() for part in (key.expression, key.id)))
    rows = (await tx.execute(ordered.limit(request.size + 1))).all()
    more = len(rows) > request.size
    shown = rows[: request.size]
    if request.backward:
        shown = shown[::-1]
    items = tuple((row[0], encode_cursor(key.name, row[1], row[2])) for row in shown)
    if request.backward:
        return Page(items, has_next=request.before is not None, has_previous=more or request.after is not None)
    return Page(items, has_next=more or request.before is not None, has_previous=request.after is not None)


async def count_rows(tx: Tx, statement: Select[Any]) -> int:
    """How many rows the statement has in all. One statement."""
    return (await tx.execute(select(func.count()).select_from(statement.subquery()))).scalar_one()


def _beyond(key: SortKey, value: Any, row_id: UUID, *, following: bool) -> ColumnElement[bool]:
    """Rows that come after (or before) a place of the order."""
    if following is not key.descending:
        return or_(key.expression > value, and_(key.expression == value, key.id > row_id))
    return or_(key.expression < value, and_(key.expression == value, key.id < row_id))


# ── cursors ───────────────────────────────────────────────────────────────────────────────────────────


def encode_cursor(name: str, value: Any, row_id: UUID | str) -> str:
    """A place of the order of this name."""
    plain = instants.format_instant(value) if isinstance(value, datetime) else value
    raw = binascii.b2a_base64(msgspec.json.encode((name, plain, row_id)), newline=False)
    return raw.rstrip(b"=").translate(_URL_SAFE).decode()


def decode_cursor(order: str, kind: type, cursor: str, path: str) -> tuple[Any, UUID]:
    """The place that a cursor names, its value of this kind. What the list did not give out itself raises BadInput."""
    try:
        if not cursor.isascii() or len(cursor) > CURSOR_MAXIMUM:
            raise ValueError
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        name, value, row_id = msgspec.json.decode(raw, type=tuple[str, str | int | float, UUID])
        if name != order:
            raise ValueError
        return _READERS[kind](value), row_id
    except (ValueError, OverflowError, RecursionError, binascii.Error, msgspec.MsgspecError):
        raise BadInput.at(path, "is no cursor of this list in this order") from None


def _text(value: str | int | float) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _integer(value: str | int | float) -> int:
    if not isinstance(value, int) or not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise ValueError
    return value


def _number(value: str | int | float) -> float:
    if isinstance(value, str) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _instant(value: str | int | float) -> datetime:
    return instants.parse_instant(_text(value))


_READERS: Mapping[type, Callable[[str | int | float], Any]] = MappingProxyType(
    {str: _text, int: _integer, float: _number, datetime: _instant}
)
