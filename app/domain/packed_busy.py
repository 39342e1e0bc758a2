"""Taken time as the hot read path has it: whole minutes, and objects only where they are needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from app.domain.busy import Busy
from app.domain.instants import at_minute, minute_ceil, minute_floor
from app.domain.masks import Span


class PackedBusy(Collection[Busy]):
    """What takes the time of one subject.

    `lows` and `highs`: minutes since 1970, outward, of what never lapses. `details`: holds, and everything of those
    whose bookings are limited, since these are counted by their starts.
    """

    __slots__ = ("details", "highs", "lows")

    def __init__(self, lows: Sequence[int], highs: Sequence[int], details: tuple[Busy, ...] = ()) -> None:
        self.lows = lows
        self.highs = highs
        self.details = details

    def spans(self, before: int, after: int, now: datetime) -> list[Span]:
        """The live ones in minutes, each begun `before` earlier and ended `after` later."""
        spans = [(low - before, high + after) for low, high in zip(self.lows, self.highs, strict=True)]
        if self.details:
            spans += [
                (minute_floor(claim.busy_from) - before, minute_ceil(claim.busy_to) + after)
                for claim in self.details
                if claim.is_live(now)
            ]
        return spans

    def __len__(self) -> int:
        return len(self.lows) + len(self.details)

    def __iter__(self) -> Iterator[Busy]:
        for low, high in zip(self.lows, self.highs, strict=True):
            yield Busy(at_minute(low), at_minute(high))
        yield from self.details

    def __contains__(self, claim: object) -> bool:
        return any(claim == one for one in self)
