"""Everything outside, as Protocols. `app.adapters` implements them; the roots choose which."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The only source of `now`. `offset` shifts the database's clock alike (see migration function `turnero_now`)."""

    @property
    def offset(self) -> timedelta: ...

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class ShiftedClock:
    """The system's clock, moved by `offset` (zero in production; tests and the demo's past bookings move it)."""

    offset: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


class EventStream(Protocol):
    """The doorbell between processes. Losing it costs delay alone: PostgreSQL keeps every event."""

    async def publish(self, events: Sequence[tuple[int, bytes]]) -> None:
        """Append (position, body) pairs. Positions rise; one that is already there is passed over."""

    def follow(self, after: int) -> AsyncIterator[Sequence[tuple[int, bytes]]]:
        """Batches of (position, body) that come after `after`, as they arrive. Raises StreamUnavailable."""

    async def ring(self) -> None:
        """Tell the relay that something was committed. Never raises."""

    def rings(self) -> AsyncIterator[None]:
        """One item for each ring (bursts merge). Raises StreamUnavailable."""


class StreamUnavailable(Exception):
    """The event stream does not answer."""


class JobQueue(Protocol):
    """Wakes a worker for a job that is already committed in the `job` table."""

    async def wake(self, job_ids: Sequence[str]) -> None:
        """Raises QueueUnavailable; the worker's own poll finds the job all the same."""


class QueueUnavailable(Exception):
    """The queue does not answer."""


class RateLimiter(Protocol):
    """Counts events in fixed windows."""

    async def hit(self, key: str, *, limit: int, window_s: int) -> int | None:
        """Count one. None when within the limit, else the seconds until the window ends. A limit of 0 never refuses."""


class Monitor(Protocol):
    """Deep health of a dependency."""

    async def ping(self) -> bool: ...
