"""Ids at the edge: TypeIDs out, UUIDs in. An id of the wrong kind is BAD_INPUT and names the expected prefix."""

from __future__ import annotations

from uuid import UUID

import strawberry

from app.core.ids import IdKind, WrongId, decode_id, encode_id
from app.domain.errors import BadInput


def public_id(kind: IdKind, value: UUID) -> strawberry.ID:
    return strawberry.ID(encode_id(kind, value))


def read_id(kind: IdKind, value: str, path: str) -> UUID:
    """Raises BadInput at `path`."""
    try:
        return decode_id(kind, value)
    except WrongId as wrong:
        raise BadInput.at(path, str(wrong)) from None


def read_optional_id(kind: IdKind, value: str | None, path: str) -> UUID | None:
    return None if value is None else read_id(kind, value, path)


def read_ids(kind: IdKind, values: list[strawberry.ID], path: str, *, most: int = 200) -> tuple[UUID, ...]:
    """Each id once, in the order given. Raises BadInput, also for more than `most`."""
    if len(values) > most:
        raise BadInput.at(path, f"names {len(values)} ids; at most {most} are allowed")
    found = (read_id(kind, value, f"{path}.{index}") for index, value in enumerate(values))
    return tuple(dict.fromkeys(found))
