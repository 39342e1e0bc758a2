"""What kinds of things can be watched have to know; how all of them are watched is in `live_source`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from app.core.database import Tx
from app.domain.errors import DomainError
from app.queries.event import Event, LogState, events_of_others, events_of_subjects, log_state


@dataclass(frozen=True, slots=True)
class Reading:
    """What one snapshot of the database says.

    `subjects`: whose events change it; `seen`: those of their events that are in it although they have no number yet;
    `refusal`: why nobody may begin to look at it (those who look already go on).
    """

    position: int
    seen: frozenset[int]
    subjects: frozenset[UUID]
    refusal: DomainError | None


R = TypeVar("R", bound=Reading)
V = TypeVar("V")
C = TypeVar("C")
U = TypeVar("U")


class Kind(ABC, Generic[R, V, C, U]):
    """R is read; V, a view of it at an instant, is immutable; C is what changed; U is what clients are told.

    What computes may run in a thread.
    """

    is_public: bool = True
    """Nothing of what is told depends on who listens."""

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[Tx]:
        """A read-only transaction inside the organization. Raises NotFound."""

    async def log_state(self) -> LogState:
        """One statement."""
        async with self.transaction() as tx:
            return await log_state(tx)

    async def missed(self, subjects: Collection[UUID], position: int, limit: int) -> tuple[LogState, list[Event]]:
        """Where the log stands, and the events after a position, in order, those without a number last.

        Two statements.
        """
        async with self.transaction() as tx:
            return await log_state(tx), await events_of_subjects(tx, subjects, position, limit=limit)

    async def strangers(self, subjects: Collection[UUID], ids: Collection[int]) -> set[int]:
        """Those of these ids that are events of others. One statement."""
        async with self.transaction() as tx:
            return await events_of_others(tx, ids, subjects)

    def told(self) -> frozenset[UUID]:
        """Where it is not public: by which its viewer hears of their own rights."""
        return frozenset()

    async def check(self) -> None:
        """Before each event, where it is not public: may it still be seen? Raises NotFound."""

    @abstractmethod
    async def subjects(self) -> frozenset[UUID]:
        """Whom to listen to, before anything is read. Raises NotFound, BadInput."""

    @abstractmethod
    async def read(self) -> R:
        """Raises NotFound when nobody may see it any more."""

    @abstractmethod
    def begin(self, reading: R, now: datetime) -> V:
        """The view of what was read."""

    @abstractmethod
    def reload(self, view: V, reading: R, now: datetime, types: Collection[str]) -> tuple[V, C | None]:
        """After events of these types that cannot be folded: what is different since the view."""

    # ── folding ──────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def is_configuration(self, event: Event) -> bool:
        """Must everything be read once more after it?"""

    @abstractmethod
    def fold(self, view: V, event: Event, now: datetime) -> tuple[V, C | None]:
        """`now` is the view's own instant where that is later. None: nothing that is shown has changed."""

    @abstractmethod
    def tick(self, view: V, now: datetime) -> tuple[V, C | None]:
        """Time alone."""

    @abstractmethod
    def next_tick(self, view: V) -> datetime | None:
        """When time alone may change what is shown."""

    @abstractmethod
    def rewound(self, view: V, undone: Sequence[Event], redone: Sequence[Event], at: datetime) -> V:
        """The view at another place and instant: without some events that it has, with some that it has not."""

    @abstractmethod
    def instant(self, view: V) -> datetime:
        """That the view is of."""

    @abstractmethod
    def looks_alike(self, view: V, later: V) -> bool:
        """Do both show the same?"""

    @abstractmethod
    def people(self, view: V, *, is_whole: bool = False) -> int:
        """How much work a step is, or something that looks at all of it: of many people it is done in a thread."""

    @abstractmethod
    def crowd(self, reading: R) -> int:
        """The same of what was read, to make a view of it."""

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def snapshot(self, view: V, cursor: str) -> U:
        """Raises BadInput when it is too large."""

    @abstractmethod
    def change(self, view: V, change: C, cursor: str) -> U: ...

    @abstractmethod
    def as_resync(self, snapshot: U) -> U: ...

    @abstractmethod
    def merge(self, earlier: U, later: U) -> U:
        """One update that leaves a client where the two in succession would."""

    @abstractmethod
    def is_empty(self, update: U) -> bool:
        """A change that tells nothing."""
