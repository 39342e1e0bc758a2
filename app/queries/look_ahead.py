"""The search for a first free slot far ahead: a month at first, then twice as much each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from app.domain.plan import Slot, Window

FIRST_LOOK = timedelta(days=31)


async def look_ahead(
    look: Callable[[Window], Awaitable[Slot | None]], start: datetime, end: datetime, reach: timedelta = FIRST_LOOK
) -> Slot | None:
    """What the first look that finds anything has found, from `start` on up to `end`. A year at once is a lot to read
    for a slot of next week."""
    while start < end:
        part = Window(start, min(start + reach, end))
        slot = await look(part)
        if slot is not None:
            return slot
        start, reach = part.to_utc, 2 * reach
    return None
