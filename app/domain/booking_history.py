"""What a booking was at an instant, read from its audit backwards; and what of an entry each may see.

Each change of a booking writes one audit entry with the version that it made and, of all that it changed, the values
before and after. So the booking as it is, with the later changes taken back, is the booking as it was: nothing has to
be kept twice, and a column that comes later is in it from its first day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from app.domain import instants


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """One audit entry of a booking; `before` none: it was made by it. Values as JSON has them."""

    at: datetime
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]


PEOPLE = "participants"
"""Of a state: those of the party who have a name, as the audit keeps them, in the order they got it."""


def state_at(current: Mapping[str, Any], changes: Sequence[RecordedChange], at: datetime) -> dict[str, Any]:
    """The fields of `current` as they were. `changes`: all of the booking, in the order in which they were written.

    A change that waited for another one's lock may carry the earlier instant: it counts from when the other did.
    """
    state = dict(current)
    for change, effective in reversed(list(_in_effect(changes))):
        if effective <= at:
            break
        if PEOPLE in state:
            state[PEOPLE] = _people_before(state[PEOPLE], (change.before or {}).get(PEOPLE), change.after.get(PEOPLE))
        for name, value in (change.before or {}).items():
            if name == PEOPLE:
                continue
            if name == "items":
                state["items"] = _items_before(state.get("items", ()), value)
            elif name in state:
                state[name] = read_value(name, value)
    return state


def _in_effect(changes: Iterable[RecordedChange]) -> Iterable[tuple[RecordedChange, datetime]]:
    latest: datetime | None = None
    for change in changes:
        latest = change.at if latest is None else max(latest, change.at)
        yield change, latest


def _items_before(items: Iterable[Mapping[str, Any]], before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    were = {one["position"]: {name: read_value(name, value) for name, value in one.items()} for one in before}
    return [{**item, **were.get(item["position"], {})} for item in items]


def _people_before(
    people: Iterable[Mapping[str, Any]],
    before: Iterable[Mapping[str, Any]] | None,
    after: Iterable[Mapping[str, Any]] | None,
) -> list[Mapping[str, Any]]:
    """An entry names only those whom it is about: who is new in it was not there."""
    were = {one["id"]: one for one in before or ()}
    new = {one["id"] for one in after or ()} - were.keys()
    return [{**one, **were.get(one["id"], {})} for one in people if one["id"] not in new]


_INSTANTS = frozenset({"starts_at", "ends_at", "expires_at", "cancellable_until"})


def read_value(name: str, value: Any) -> Any:
    """As the model has it: what JSON keeps as text is an instant or an id again."""
    if value is None:
        return None
    if name in _INSTANTS:
        return instants.parse_instant(value)
    return UUID(value) if name.endswith("_id") else value


# ── who sees what ─────────────────────────────────────────────────────────────────────────────────────


class Shown(Enum):
    """How a field of the audit leaves: as it is, as the name of an enum, or as a public id."""

    PLAIN = "plain"
    NAME = "name"
    ID = "id"


OPEN_FIELDS: Mapping[str, Shown] = {
    "status": Shown.NAME,
    "number": Shown.PLAIN,
    "starts_at": Shown.PLAIN,
    "ends_at": Shown.PLAIN,
    "time_zone": Shown.PLAIN,
    "party_size": Shown.PLAIN,
    "provider_id": Shown.ID,
    "service_id": Shown.ID,
    "session_id": Shown.ID,
    "customer_id": Shown.ID,
    "price_minor": Shown.PLAIN,
    "currency": Shown.PLAIN,
    "payment_status": Shown.NAME,
    "payment_method": Shown.NAME,
    "paid_minor": Shown.PLAIN,
    "refunded_minor": Shown.PLAIN,
    "expires_at": Shown.PLAIN,
    "cancellable_until": Shown.PLAIN,
    "requires_approval": Shown.PLAIN,
    "reschedules": Shown.PLAIN,
    "notes": Shown.PLAIN,
    "items": Shown.PLAIN,
}
"""What a customer sees of changes to their own booking. The rest of an entry is for those who work there."""

_NOT_A_FIELD = frozenset({"version"})


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, by its column's name, as JSON has it."""

    field: str
    before: Any
    after: Any


def changes_of(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, *, for_staff: bool
) -> list[FieldChange]:
    """What an entry says, in the order of its fields' names; nothing that did not change."""
    was, became = before or {}, after or {}
    return [
        FieldChange(name, was.get(name), became.get(name))
        for name in sorted(was.keys() | became.keys())
        if name not in _NOT_A_FIELD and was.get(name) != became.get(name) and (for_staff or name in OPEN_FIELDS)
    ]


def shown_value(name: str, value: Any, public_id: Callable[[str, UUID], str]) -> Any:
    """As clients know it. `public_id`: (column, id) → its public form; what it does not know, it leaves."""
    if value is None:
        return None
    if name == "items":
        return [{_camel(key): shown_value(key, part, public_id) for key, part in one.items()} for one in value]
    match OPEN_FIELDS.get(name):
        case Shown.NAME:
            return str(value).upper()
        case Shown.ID:
            return public_id(name, UUID(value))
        case _:
            return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def shown_name(name: str) -> str:
    """`starts_at` → `startsAt`; what was never a column stays as it is."""
    return _camel(name)
