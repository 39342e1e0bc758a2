"""What a source has told lately, and the events behind it: who comes back soon is served without the database."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from app.domain.live_codec import RESTART
from app.queries.event import Event

U = TypeVar("U")

UPDATES_KEPT = 256
CURSORS_KEPT = 1_000
OPENINGS_KEPT = 64
"""Of those who came back with equal cursors; there are many after a restart."""
OPENED_KEPT = 4_000
"""Updates in all of them: each may be as long as a replay."""
EVENTS_KEPT = 2_000


class History(Generic[U]):
    """Every event of the source after `floor` is here, as far as the source has come."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.number = 0
        """How many updates have been told."""
        self._events: deque[Event] = deque()
        self._updates: deque[U] = deque()
        self._numbers: dict[str, int] = {}
        """After how many updates a client stands that has this cursor."""
        self._openings: OrderedDict[str, tuple[tuple[U, ...], int]] = OrderedDict()
        self._opened = 0
        """Updates in all openings."""

    # ── updates ──────────────────────────────────────────────────────────────────────────────────────

    def told(self, cursor: str, update: U) -> None:
        self.number += 1
        self._updates.append(update)
        self.stands(cursor)
        if len(self._updates) > UPDATES_KEPT:
            self._updates.popleft()

    def stands(self, cursor: str) -> None:
        """Who has this cursor has been told everything."""
        if cursor != _NOWHERE:
            self._numbers[cursor] = self.number
            if len(self._numbers) > CURSORS_KEPT:
                del self._numbers[next(iter(self._numbers))]

    def opened(self, after: str, updates: Sequence[U], number: int) -> None:
        """Who came back with the cursor `after` was told these, and had then what all had after `number` updates."""
        self._opened += len(updates) - len(self._openings.pop(after, ((), 0))[0])
        self._openings[after] = tuple(updates), number
        while len(self._openings) > OPENINGS_KEPT or (self._opened > OPENED_KEPT and len(self._openings) > 1):
            _, (gone, _) = self._openings.popitem(last=False)
            self._opened -= len(gone)

    def missed(self, after: str) -> list[U] | None:
        """What comes after this cursor. None: it is not known here."""
        known = self._openings.get(after)
        if known is not None:
            first, number = known
        elif after in self._numbers:
            first, number = (), self._numbers[after]
        else:
            return None
        later = self.since(number)
        return None if later is None else [*first, *later]

    def since(self, number: int) -> list[U] | None:
        """All after the first `number` updates. None: they are not kept any more."""
        skipped = number - (self.number - len(self._updates))
        if skipped < 0:
            return None
        return list(islice(self._updates, skipped, None))

    # ── events ───────────────────────────────────────────────────────────────────────────────────────

    def happened(self, event: Event) -> None:
        """The next one that has a number."""
        self._events.append(event)
        if len(self._events) > EVENTS_KEPT:
            gone = self._events.popleft().position
            assert gone is not None
            self.floor = gone

    def extend(self, floor: int, events: Iterable[Event]) -> None:
        """With what the database told: all numbered events after `floor`, in order. Those that are here stay."""
        if floor < self.floor:
            older = [event for event in events if event.position is not None and event.position <= self.floor]
            self._events.extendleft(reversed(older))
            self.floor = floor

    def after(self, position: int) -> list[Event]:
        """All later ones; `position` is not below `floor`."""
        found: list[Event] = []
        for event in reversed(self._events):
            if event.position is not None and event.position <= position:
                break
            found.append(event)
        found.reverse()
        return found


_NOWHERE = RESTART.encode()
