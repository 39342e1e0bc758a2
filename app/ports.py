"""Everything outside, as Protocols. `app.adapters` implements them; the roots choose which."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo


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

    def attach(self, installation_id: UUID) -> None:
        """Say whose events these are: several installations may share one server. Until then it is unavailable."""

    async def publish(self, events: Sequence[tuple[int, bytes]]) -> None:
        """Append (position, body) pairs. Positions rise; one that is already there is passed over.

        Raises StreamUnavailable.
        """

    async def last_position(self) -> int:
        """The highest position ever appended; 0 when there is none. Raises StreamUnavailable."""

    async def reset(self) -> None:
        """Forget everything, so that lower positions can be appended again. Raises StreamUnavailable."""

    def follow(self, after: int) -> AsyncGenerator[Sequence[tuple[int, bytes]], None]:
        """Batches of (position, body) that come after `after`, as they arrive; an empty one after each second without.

        What was forgotten is missing from them. Raises StreamUnavailable.
        """

    async def ring(self) -> None:
        """Tell the relay that something was committed. Never raises, never waits."""

    def rings(self) -> AsyncGenerator[None, None]:
        """One item when it begins to listen, then one for each ring. Raises StreamUnavailable."""


class StreamUnavailable(Exception):
    """The event stream does not answer."""


class JobQueue(Protocol):
    """Wakes a worker for a job that is already committed in the `job` table. Losing it costs delay alone."""

    def attach(self, installation_id: UUID) -> None:
        """Say whose jobs these are. Until then it is unavailable."""

    async def wake(self, jobs: Sequence[tuple[UUID, int]]) -> None:
        """Call one worker for each (job id, fence); calling twice for one fence is calling once.

        Raises QueueUnavailable; the workers' own poll finds the job all the same.
        """

    async def serve(self, start: Callable[[UUID], Awaitable[None]], answers: Callable[[], None]) -> None:
        """Answer calls until cancelled: `start` is awaited with each job's id, and should return once it runs.

        `answers` is called now and then while the queue does. Raises QueueUnavailable.
        """


class QueueUnavailable(Exception):
    """The queue does not answer."""


class RateLimiter(Protocol):
    """Counts events in fixed windows."""

    async def hit(self, key: str, *, limit: int, window_s: int) -> int | None:
        """Count one. None when within the limit, else the seconds until the window ends. A limit of 0 never refuses."""

    async def give_back(self, key: str, *, window_s: int) -> None:
        """Take one back of what was counted with this key and window. Never raises."""

    async def forget(self, key: str, *, window_s: int) -> None:
        """Back to zero, for what was counted with this key and window. Never raises."""


@dataclass(frozen=True, slots=True)
class FeedUnchanged:
    """The calendar is as it was when its validators were given."""


@dataclass(frozen=True, slots=True)
class FeedContents:
    """A calendar's bytes, and the validators that its server gave for them."""

    body: bytes
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class FeedProblem:
    """Why there is nothing. `reason` is for a person; it shows nothing of what the address answered.

    `is_refused`: this will not mend by itself. `retry_after`: the server asked for so much patience.
    """

    reason: str
    is_refused: bool = False
    retry_after: timedelta | None = None


class CalendarFetcher(Protocol):
    """Fetches calendars from addresses that strangers typed in."""

    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> FeedUnchanged | FeedContents | FeedProblem:
        """Never raises, ends within a deadline, and never connects to an address that is not public (unless set)."""


@dataclass(frozen=True, slots=True)
class CalendarBusy:
    """When somebody is busy: sorted spans in UTC that do not touch. `warning`, for a person: what was left out."""

    spans: tuple[tuple[datetime, datetime], ...]
    warning: str | None = None


class CalendarReader(Protocol):
    """Works out when the owner of a calendar is busy."""

    async def read(self, body: bytes, home: ZoneInfo, window: tuple[datetime, datetime]) -> CalendarBusy | FeedProblem:
        """What touches the window, whole, in bounded time and memory. `home`: zone of all-day events."""


class FactsCache(Protocol):
    """Bytes by key, shared by processes, for a while. Losing any of it costs speed alone. Nothing here raises.

    Who reads checks what comes back: it may be old, and somebody else may have written it.
    """

    async def get(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """In the order of the keys; None: it does not answer."""

    async def put(self, key: str, value: bytes, ttl_s: int) -> bool:
        """Was it taken?"""

    async def keep(self, key: str, ttl_s: int) -> bool:
        """Keep what is there for so much longer. Is it there?"""


class PresenceBoard(Protocol):
    """Where processes note for one another what their clients look at. Notes fade by themselves. Nothing here raises.

    A subject is a provider, a service or an account. What is noted of it are counts by short texts.
    """

    async def asked(self, mine: Collection[UUID], among: Collection[UUID]) -> frozenset[UUID] | None:
        """Note that this process asks about `mine`; those `among` the others that any process asks about.

        None: the board does not answer.
        """

    async def tell(self, process_id: UUID, counts: Mapping[UUID, Mapping[str, int]]) -> bool:
        """Put these counts of one process in the place of its former ones, of these subjects; empty: it has none.

        Were they taken?
        """

    async def read(self, subjects: Collection[UUID]) -> Mapping[UUID, Mapping[str, int]] | None:
        """The counts of all processes added up, of subjects that have any. None: the board does not answer."""
