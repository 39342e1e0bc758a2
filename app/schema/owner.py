"""Whose hours they are, by id."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from uuid import UUID

from app.core.ids import IdKind
from app.domain.errors import BadInput
from app.queries.schedule import OwnerKind
from app.schema.ids import read_id

_KINDS = MappingProxyType(
    {IdKind.PROVIDER: OwnerKind.PROVIDER, IdKind.ACTIVITY: OwnerKind.ACTIVITY, IdKind.VENUE: OwnerKind.VENUE}
)


def read_owner(value: str, path: str, allowed: Sequence[IdKind]) -> tuple[OwnerKind, UUID]:
    """Raises BadInput at `path` for an id of none of these kinds."""
    prefix = value.rpartition("_")[0]
    kind = next((one for one in allowed if one.value == prefix), None)
    if kind is None:
        raise BadInput.at(path, "expected an id that begins with " + " or ".join(f"{one.value}_" for one in allowed))
    return _KINDS[kind], read_id(kind, value, path)
