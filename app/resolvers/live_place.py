"""How far a client of a stream has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.domain.live_codec import Cursor
from app.queries.event import Event


@dataclass(slots=True)
class Place:
    """All events up to `position`, and those of `seen` besides."""

    position: int
    seen: set[int]

    def cursor(self, at: datetime) -> str:
        """`at`: the instant that the client's state is of."""
        return self.as_cursor(at).carried()

    def as_cursor(self, at: datetime) -> Cursor:
        return Cursor(self.position, at, frozenset(self.seen))

    def is_new(self, event: Event) -> bool:
        """Move on to this event. False: the client has it already."""
        if event.position is None or event.position <= self.position:
            return False
        self.position = event.position
        if event.id in self.seen:
            self.seen.discard(event.id)
            return False
        return True
