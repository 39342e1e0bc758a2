"""What clients of live availability are told, and how two such updates become one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from app.domain.live_state import AvailabilityCause
from app.domain.plan import Slot


class EventKind(StrEnum):
    SNAPSHOT = "snapshot"
    CHANGE = "change"
    RESYNC = "resync"


@dataclass(frozen=True, slots=True)
class AvailabilityUpdate:
    """What one client is told. A RESYNC carries a whole snapshot: forget what you had."""

    kind: EventKind
    cursor: str
    opened: tuple[datetime, ...]
    closed: tuple[datetime, ...]
    updated: tuple[Slot, ...]
    causes: tuple[AvailabilityCause, ...]
    currency: str

    @property
    def is_empty(self) -> bool:
        """A change that tells nothing: what was opened is closed again."""
        return self.kind is EventKind.CHANGE and not (self.opened or self.closed or self.updated)


def merge_updates(earlier: AvailabilityUpdate, later: AvailabilityUpdate) -> AvailabilityUpdate:
    """One update that leaves a client where the two in succession would.

    `updated` may repeat slots that the client has: one that closed and opened again is told as it is now.
    """
    if later.kind is not EventKind.CHANGE:
        return whole(earlier, later)
    by_start = _by_start(earlier.updated)
    for starts_at in later.closed:
        by_start.pop(starts_at, None)
    by_start.update(_by_start(later.updated))
    opened, closed = _joined(earlier, later)
    return AvailabilityUpdate(
        kind=earlier.kind,
        cursor=later.cursor,
        opened=tuple(sorted(opened)),
        closed=tuple(sorted(closed)),
        updated=tuple(slot for starts_at in sorted(by_start) for slot in by_start[starts_at]),
        causes=() if earlier.kind is not EventKind.CHANGE else union(earlier.causes, later.causes),
        currency=later.currency,
    )


def whole(earlier: AvailabilityUpdate, later: AvailabilityUpdate) -> AvailabilityUpdate:
    """`later` has everything. Whoever had nothing yet, and was to begin, still begins."""
    begins = earlier.kind is EventKind.SNAPSHOT and later.kind is EventKind.RESYNC
    return replace(later, kind=EventKind.SNAPSHOT) if begins else later


def _joined(earlier: AvailabilityUpdate, later: AvailabilityUpdate) -> tuple[set[datetime], set[datetime]]:
    """What opened and what closed from before the one to after the other: the same start never twice in a row."""
    opened, closed = set(earlier.opened), set(earlier.closed)
    if earlier.kind is not EventKind.CHANGE:  # everything that is open
        return (opened - set(later.closed)) | set(later.opened), set()
    later_opened, later_closed = set(later.opened), set(later.closed)
    return (opened - later_closed) | (later_opened - closed), (closed - later_opened) | (later_closed - opened)


def _by_start(slots: Iterable[Slot]) -> dict[datetime, list[Slot]]:
    found: dict[datetime, list[Slot]] = {}
    for slot in slots:
        found.setdefault(slot.starts_at, []).append(slot)
    return found


def union(
    earlier: tuple[AvailabilityCause, ...], later: tuple[AvailabilityCause, ...]
) -> tuple[AvailabilityCause, ...]:
    """Each once, in the order in which they came."""
    return tuple(dict.fromkeys((*earlier, *later)))
