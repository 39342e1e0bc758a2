"""What several subscriptions take and tell."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypedDict

import strawberry

from app.domain.live import AvailabilityCause
from app.domain.live_update import AvailabilityUpdate, EventKind
from app.schema.slot import Slot

strawberry.enum(EventKind, description="SNAPSHOT begins, CHANGE follows; RESYNC: forget what you had, take this.")

CoalesceMs = Annotated[
    int,
    strawberry.argument(
        description="0 to 500: changes that come within so many milliseconds of the last one told become one."
    ),
]

OPENED = "SNAPSHOT and RESYNC: all free starts. CHANGE: those that became free."
CLOSED = "CHANGE: starts that are free no more."
UPDATED = "The slots of `opened`, and those still free whose providers, places or price changed."
CAUSES = "Of a CHANGE, each once."


class FreeStarts(TypedDict):
    """What is told of the free starts of one thing, as the fields of an event have it."""

    opened: list[datetime]
    closed: list[datetime]
    updated: list[Slot]
    causes: list[AvailabilityCause]


def free_starts(update: AvailabilityUpdate) -> FreeStarts:
    return FreeStarts(
        opened=list(update.opened),
        closed=list(update.closed),
        updated=[Slot.from_domain(slot, update.currency) for slot in update.updated],
        causes=list(update.causes),
    )
