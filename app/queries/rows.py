"""Reading by id, and lists below several parents at once. Row-level security decides whose rows they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, SQLColumnExpression, Uuid, any_, func, literal, select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.models.base import Identified
from app.queries.pagination import LIST_LIMIT

R = TypeVar("R", bound=Identified)


IdColumn = SQLColumnExpression[UUID] | SQLColumnExpression[UUID | None]


def one_of(column: IdColumn, ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Is it among these? One parameter however many there are, so that the statement stays the same."""
    return column == any_(literal(list(ids), ARRAY(Uuid)))


async def get_row(tx: Tx, model: type[R], row_id: UUID) -> R:
    """One statement. Raises NotFound."""
    return _found((await tx.execute(select(model).where(model.id == row_id))).scalar_one_or_none())


async def lock_row(tx: Tx, model: type[R], row_id: UUID) -> R:
    """The row as it is once nobody else changes it, until this transaction ends. One statement. Raises NotFound."""
    statement = select(model).where(model.id == row_id).with_for_update(key_share=True)
    return _found((await tx.execute(statement.execution_options(populate_existing=True))).scalar_one_or_none())


async def list_rows(tx: Tx, model: type[R], ids: Sequence[UUID]) -> dict[UUID, R]:
    """Those that exist, by id. One statement."""
    rows = (await tx.execute(select(model).where(one_of(model.id, ids)))).scalars()
    return {row.id: row for row in rows}


async def require_rows(tx: Tx, model: type[R], ids: Sequence[UUID]) -> dict[UUID, R]:
    """All of them, or NotFound. At most one statement."""
    rows = await list_rows(tx, model, ids) if ids else {}
    if len(rows) < len(set(ids)):
        raise NotFound
    return rows


async def list_below(
    tx: Tx,
    model: type[R],
    parent: SQLColumnExpression[UUID],
    source: Select[Any],
    order: Sequence[SQLColumnExpression[Any]],
) -> Mapping[UUID, list[R]]:
    """For each parent the first rows of `source` (joins and conditions on `model`): LIST_LIMIT. One statement."""
    place = func.row_number().over(partition_by=parent, order_by=[*order, model.id])
    ranked = source.with_only_columns(
        model.id.label("id"), parent.label("parent"), place.label("place"), maintain_column_froms=True
    ).subquery()
    rows = await tx.execute(
        select(model, ranked.c.parent)
        .join(ranked, ranked.c.id == model.id)
        .where(ranked.c.place <= LIST_LIMIT)
        .order_by(ranked.c.parent, ranked.c.place)
    )
    found: dict[UUID, list[R]] = {}
    for row, parent_id in rows:
        found.setdefault(parent_id, []).append(row)
    return found


def _found(row: R | None) -> R:
    if row is None:
        raise NotFound
    return row
