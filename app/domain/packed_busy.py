"""Taken time as the hot read path has it: whole minutes, and objects only where they are needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from app.domain.busy import Busy
from app.domain.instants import at_minute, minute_ceil, minute_floor
from app.domain.masks import edges_mask, span_mask


class PackedBusy(Collection[Busy]):
    """What takes the time of one subject.

    `lows` and `highs`: minutes since 1970, outward, of what never lapses, each rising: together they tell what is
    taken, but not which low came with which high. `details`: holds, and everything of those whose bookings are
    limited, since these are counted by their starts.
    """

    __slots__ = ("details", "highs", "lows")

    def __init__(self, lows: Sequence[int], highs: Sequence[int], details: tuple[Busy, ...] = ()) -> None:
        self.lows = sorted(lows)
        self.highs = sorted(highs)
        self.details = details

    def mask(self, before: int, after: int, length: int, now: datetime) -> int:
        """The minutes 0 … length-1 that the live ones take, each begun `before` earlier and ended `after` later."""
        taken = edges_mask(self.lows, self.highs, before, after, length)
        if self.details:
            spans = (
                (minute_floor(claim.busy_from) - before, minute_ceil(claim.busy_to) + after)
                for claim in self.details
                if claim.is_live(now)
            )
            taken |= span_mask(spans, length)
        return taken

    def __len__(self) -> int:
        return len(self.lows) + len(self.details)

    def __iter__(self) -> Iterator[Busy]:
        for low, high in zip(self.lows, self.highs, strict=True):
            yield Busy(at_minute(low), at_minute(high))
        yield from self.details

    def __contains__(self, claim: object) -> bool:
        return any(claim == one for one in self)
