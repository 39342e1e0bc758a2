"""When a booking was checked in, started, completed or missed: as its steps tell, mistakes left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from app.domain.booking import CORRECTIONS, BookingStatus

_S = BookingStatus
_CAME = (_S.CHECKED_IN, _S.IN_PROGRESS, _S.COMPLETED)


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """None: it did not happen, or was a mistake that somebody put right."""

    checked_in_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    no_show_at: datetime | None = None


def service_times(steps: Iterable[tuple[BookingStatus | None, BookingStatus, datetime]]) -> ServiceTimes:
    """`steps`: (from, to, when), oldest first. A correction takes back what it corrects: who is a no-show after all was
    never there, and who is checked in after all was no no-show."""
    found: dict[BookingStatus, datetime] = {}
    for start, to, at in steps:
        if start is not None and (start, to) in CORRECTIONS:
            for mistake in _CAME if to is _S.NO_SHOW else (_S.NO_SHOW,):
                found.pop(mistake, None)
        found[to] = at
    return ServiceTimes(
        found.get(_S.CHECKED_IN), found.get(_S.IN_PROGRESS), found.get(_S.COMPLETED), found.get(_S.NO_SHOW)
    )
