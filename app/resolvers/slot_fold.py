"""What a slot's channel is made of: a fold over the event log, where it is read from, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.live import AvailabilityCause
from app.domain.live_codec import Cursor
from app.domain.live_update import EventKind
from app.domain.presence import Look
from app.domain.slot_watch import SlotLook
from app.queries.event import Event
from app.resolvers.live_place import Place

PATIENCE = 5
"""How often numbers are waited for where none come."""


@dataclass(frozen=True, slots=True)
class SlotUpdate:
    """All there is to see. `cause` none: of a SNAPSHOT or RESYNC."""

    kind: EventKind
    cursor: str
    look: SlotLook
    currency: str
    cause: AvailabilityCause | None = None


class Reconfigured(Exception):
    """Hours, prices, lengths, people or blocked times are others now: all is read once more. `cause`: where it says."""

    def __init__(self, cause: AvailabilityCause | None) -> None:
        super().__init__(cause)
        self.cause = cause


class SlotFold(Protocol):
    """The state as of a place in the event log. Its steps are pure, and may take a while where `people` are many."""

    place: Place
    currency: str

    @property
    def now(self) -> datetime: ...

    @property
    def people(self) -> int: ...

    def look(self) -> SlotLook: ...

    def looked_at(self) -> Look | None:
        """What presence counts those who watch it for."""

    def take(self, event: Event) -> AvailabilityCause | None:
        """The state after an event, at the state's own instant, and what to call a change. Raises Reconfigured."""

    def pass_time(self, now: datetime) -> AvailabilityCause: ...

    def next_tick(self) -> datetime | None:
        """When time alone may change what is seen."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One snapshot. `fold` is of now, or (with `missed`) of the cursor that was asked for.

    `subjects`: whose events change it. `position`: where the log stood. `missed`: all that have a number since the
    cursor, those among them that it has seen, too; none: nobody resumes there. `is_waiting`: it has seen some that have
    no number yet.
    """

    fold: SlotFold
    subjects: frozenset[UUID]
    position: int
    missed: Sequence[Event] | None = None
    is_waiting: bool = False


class SlotSource(Protocol):
    """Where a slot is read from."""

    async def read(self, resume: Cursor | None) -> Reading:
        """Raises NotFound, BadInput."""

    async def complete(self, look: SlotLook) -> SlotLook:
        """With what the fold does not know, before it is told."""

    def reason(self, before: SlotFold, after: SlotFold) -> AvailabilityCause:
        """Why what was read once more is different."""


@dataclass(frozen=True, slots=True)
class Told:
    """`look`: as the fold knows it. `position`: every event up to there is in it."""

    position: int
    look: SlotLook
    update: SlotUpdate


def is_due(fold: SlotFold, now: datetime) -> bool:
    due = fold.next_tick()
    return due is not None and due <= now


def place_of(resume: Cursor, events: Iterable[Event]) -> Place:
    """Where a returning client stands. Ids that are of no event of ours here are forgotten."""
    return Place(resume.position, {event.id for event in events if event.id in resume.seen})


def reading_of(
    fold: SlotFold, subjects: frozenset[UUID], position: int, missed: Sequence[Event] | None, resume: Cursor | None
) -> Reading:
    """`missed`: all events after the cursor, with and without a number."""
    if missed is None or resume is None:
        return Reading(fold, subjects, position)
    numbered = [event for event in missed if event.position is not None]
    is_waiting = any(event.position is None and event.id in resume.seen for event in missed)
    return Reading(fold, subjects, position, numbered, is_waiting)
