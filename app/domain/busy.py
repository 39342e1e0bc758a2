"""Time that is taken: claims of holds and bookings, buffers included, time off, and busy times of other calendars."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class BusyKind(StrEnum):
    """Who has it. Values are those of the allocation table's status, and of the kinds of blocked time."""

    HELD = "held"
    BOOKED = "booked"
    TIME_OFF = "time_off"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class Busy:
    """One claim on a provider or a resource unit, half open: `busy_from` is taken, `busy_to` is not.

    The range includes the claim's own buffers; `starts_at`/`ends_at` is the service inside it (None: the whole range).
    Time off and external busy times have no buffers of their own. A claim with `expires_at` lapses at that very
    instant, whether or not anyone swept it up yet. `booking_id` and `note` (why time off was taken) are for staff.
    """

    busy_from: datetime
    busy_to: datetime
    kind: BusyKind = BusyKind.BOOKED
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    expires_at: datetime | None = None
    booking_id: UUID | None = field(default=None, compare=False)
    note: str | None = field(default=None, compare=False)

    @property
    def is_claim(self) -> bool:
        """Is it a hold or a booking, which counts towards limits?"""
        return self.kind is BusyKind.BOOKED or self.kind is BusyKind.HELD

    def is_live(self, now: datetime) -> bool:
        """Does it still take its time at `now`?"""
        return self.expires_at is None or self.expires_at > now

    def service_range(self) -> tuple[datetime, datetime]:
        """The service alone, without buffers."""
        return self.starts_at or self.busy_from, self.ends_at or self.busy_to


BusyBySubject = Mapping[UUID, Collection[Busy]]
"""Who is busy when, by provider or resource unit. A subject without an entry is free."""
