"""Time that is taken: the claims of holds and bookings, buffers included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BusyKind(StrEnum):
    """Who has it. Values are those of the allocation table's status."""

    HELD = "held"
    BOOKED = "booked"


@dataclass(frozen=True, slots=True)
class Busy:
    """One claim on a provider, half open: `busy_from` is taken, `busy_to` is not.

    The range includes the claim's own buffers; `starts_at`/`ends_at` is the service inside it (None: the whole range).
    A claim with `expires_at` lapses at that very instant, whether or not anyone swept it up yet.
    """

    busy_from: datetime
    busy_to: datetime
    kind: BusyKind = BusyKind.BOOKED
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    expires_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Does it still take its time at `now`?"""
        return self.expires_at is None or self.expires_at > now

    def service_range(self) -> tuple[datetime, datetime]:
        """The service alone, without buffers."""
        return self.starts_at or self.busy_from, self.ends_at or self.busy_to
