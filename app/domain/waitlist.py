"""The waitlist: what can be waited for, for how long, and what the triggers of the database say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from app.domain.errors import FieldErrors

WINDOWS_MAXIMUM = 10
WINDOW_LONGEST = timedelta(days=62)
"""All windows of an entry together: so much is looked through whenever something could be offered."""
FURTHEST = timedelta(days=366)
PROVIDERS_MAXIMUM = 20
PRIORITY_MAXIMUM = 100
ENTRIES_OF_CUSTOMER = 10
"""Live ones of one customer in an organization."""
SESSIONS_MAXIMUM = 500
"""Most sessions that the windows of one entry may have: they are looked at together when it joins."""


class WaitlistStatus(StrEnum):
    """Values are those of the database. ACCEPTED: the offer was booked. LEFT: by its owner or the staff."""

    WAITING = "waiting"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    LEFT = "left"
    ENDED = "ended"


LIVE = frozenset({WaitlistStatus.WAITING, WaitlistStatus.OFFERED})


class WaitlistEnd(StrEnum):
    """Why an entry ended by itself. Values are those of the database."""

    PAST = "past"
    DECLINED = "declined"
    LAPSED = "lapsed"
    SESSION_CANCELLED = "session_cancelled"


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Starts from one instant on, before another."""

    from_at: datetime
    to_at: datetime


def check_windows(windows: Sequence[TimeWindow], now: datetime, errors: FieldErrors, path: str) -> None:
    """Some, each the right way round, not over yet, within reach, and not too much together."""
    if not 1 <= len(windows) <= WINDOWS_MAXIMUM:
        errors.add(path, f"must be 1 to {WINDOWS_MAXIMUM} ranges of time")
        return
    for index, window in enumerate(windows):
        if window.to_at <= window.from_at:
            errors.add(f"{path}.{index}.to", "must be after from")
        elif window.to_at <= now:
            errors.add(f"{path}.{index}.to", "is over already")
        elif window.to_at > now + FURTHEST:
            errors.add(f"{path}.{index}.to", f"must be at most {FURTHEST.days} days ahead")
    if sum((window.to_at - window.from_at for window in windows), timedelta()) > WINDOW_LONGEST:
        errors.add(path, f"must be at most {WINDOW_LONGEST.days} days in all")


def joined(windows: Iterable[TimeWindow]) -> list[TimeWindow]:
    """The same times in order; those that meet are one."""
    found: list[TimeWindow] = []
    for window in sorted(windows, key=lambda one: one.from_at):
        if found and window.from_at <= found[-1].to_at:
            found[-1] = TimeWindow(found[-1].from_at, max(found[-1].to_at, window.to_at))
        else:
            found.append(window)
    return found


def within(windows: Iterable[TimeWindow], bounds: TimeWindow) -> list[TimeWindow]:
    """What of them lies within bounds."""
    cut = (TimeWindow(max(one.from_at, bounds.from_at), min(one.to_at, bounds.to_at)) for one in windows)
    return [one for one in cut if one.from_at < one.to_at]


def line_of(subject_id: UUID) -> UUID:
    """Whose events tell that a position may have changed: of an activity or a service. As the SQL function has it."""
    return UUID(hashlib.md5(f"waitlist:{subject_id}".encode(), usedforsecurity=False).hexdigest())


# ── what opened ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OpenedPlaces:
    """Places of a session."""

    organization_id: UUID
    session_id: UUID

    def __str__(self) -> str:
        return f"waitlist.places {self.organization_id} {self.session_id}"


@dataclass(frozen=True, slots=True)
class OpenedTime:
    """Time of a provider or of a resource unit, with its buffers."""

    organization_id: UUID
    subject_id: UUID
    from_at: datetime
    to_at: datetime

    def __str__(self) -> str:
        bounds = f"{self.from_at.isoformat()} {self.to_at.isoformat()}"
        return f"waitlist.time {self.organization_id} {self.subject_id} {bounds}"


@dataclass(frozen=True, slots=True)
class OpenedHours:
    """Time of an organization that nobody names: by other hours, or by another service."""

    organization_id: UUID

    def __str__(self) -> str:
        return f"waitlist.hours {self.organization_id}"


Opening: TypeAlias = OpenedPlaces | OpenedTime | OpenedHours
"""Written as a string it is what `read_openings` reads."""


def read_openings(said: Iterable[str]) -> list[Opening]:
    """What the triggers `note_opened_places`, `note_opened_time` and `note_opened_hours` say. Other notices are none of
    ours."""
    found: list[Opening] = []
    for line in said:
        match line.split():
            case ["waitlist.places", organization, session]:
                found.append(OpenedPlaces(UUID(organization), UUID(session)))
            case ["waitlist.hours", organization]:
                found.append(OpenedHours(UUID(organization)))
            case ["waitlist.time", organization, subject, from_at, to_at]:
                bounds = datetime.fromisoformat(from_at), datetime.fromisoformat(to_at)
                found.append(OpenedTime(UUID(organization), UUID(subject), *bounds))
    return found
