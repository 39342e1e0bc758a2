"""Wall clocks on the axis of minutes: where a zone's offset stays the same, local times are a plain sum."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.instants import EPOCH, at_minute
from app.domain.schedule import DAY_MINUTES

_EPOCH_DAY = EPOCH.date().toordinal()


class Stretch(NamedTuple):
    """`low` <= minute < `high` (since 1970); the wall shows the minute `minute + offset`, counted likewise."""

    low: int
    high: int
    offset: int

    def days(self, before: int = 0) -> Iterator[tuple[date, int]]:
        """The local dates that it touches, and as many before, each with the minute since 1970 of its 0:00 on the wall
        (which may lie outside the stretch, or never have been there)."""
        first = (self.low + self.offset) // DAY_MINUTES - before
        last = (self.high - 1 + self.offset) // DAY_MINUTES
        for number in range(first, last + 1):
            yield date.fromordinal(_EPOCH_DAY + number), number * DAY_MINUTES - self.offset


@lru_cache(maxsize=1_024)  # the same few windows are asked for again and again
def wall_stretches(tz: ZoneInfo, first: int, past: int) -> tuple[Stretch, ...]:
    """The minutes `first` … `past` - 1 in stretches of one offset, rising. Offsets with seconds count downwards."""
    found: list[Stretch] = []
    low, offset = first, _offset(tz, first)
    for day_end in range(first + DAY_MINUTES, past + DAY_MINUTES, DAY_MINUTES):
        end = min(day_end, past - 1)
        if _offset(tz, end) == offset:
            continue
        change = _change(tz, max(low, day_end - DAY_MINUTES), end, offset)
        found.append(Stretch(low, change, offset))
        low, offset = change, _offset(tz, end)
    if low < past:
        found.append(Stretch(low, past, offset))
    return tuple(found)


def _offset(tz: ZoneInfo, minute: int) -> int:
    offset = at_minute(minute).astimezone(tz).utcoffset()
    assert offset is not None
    return (offset.days * 86_400 + offset.seconds) // 60


def _change(tz: ZoneInfo, low: int, high: int, offset: int) -> int:
    """The first minute with another offset: `low` has this one, `high` the other. No zone changes twice in a day."""
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(tz, middle) == offset:
            low = middle
        else:
            high = middle
    return high
