"""What a live source knows while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from app.domain.errors import DomainError
from app.queries.event import LogState
from app.resolvers.event_feed import Subscription
from app.resolvers.live_history import History
from app.resolvers.live_lane import Lane
from app.resolvers.live_place import Place

V = TypeVar("V")
U = TypeVar("U")


@dataclass(slots=True, eq=False)
class Apart(Generic[V, U]):
    """A listener for whom events are new that the others have, or the other way round, since they had no number when
    its state was read. It is told for itself until they have one."""

    lane: Lane[U]
    view: V
    place: Place


@dataclass(slots=True, eq=False)
class Run(Generic[V, U]):
    """A source while somebody listens. `view`, `place` and `history` change together, and `view` itself never."""

    view: V
    place: Place
    history: History[U]
    subscription: Subscription
    subjects: frozenset[UUID]
    refusal: DomainError | None
    since: datetime
    """No event came, and nothing that is shown has changed, since this instant."""
    due: datetime | None = None
    """When time alone may change something."""
    is_busy: bool = False
    """Events that were taken from the subscription are not folded yet."""
    snapshot: U | None = None
    resync: U | None = None
    log: LogState | None = None
    """As somebody last asked for it."""
    lost: int = -1
    """Whoever stands here, or before it, is told all anew."""
    strangers: set[int] = field(default_factory=set)
    """Ids in cursors that are of events of others: the query looks at more than we follow."""


class Keeper(Protocol):
    """Keeps the sources that run."""

    def begins(self, source: Any) -> None: ...

    def wakes(self, source: Any) -> None:
        """Somebody comes while it lingers."""

    def gains(self) -> None:
        """One of the sources has a listener more."""

    def rests(self, source: Any) -> None:
        """Nobody listens any more; it lingers."""

    def ended(self, source: Any) -> None: ...
