"""Who is there, told so that nobody can be followed: ranges instead of numbers, and never more than there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from app.domain.search import AvailabilitySearch

LOOKED_DAYS = 7
"""Whoever has more days before them looks at none in particular."""
LOOKED_SUBJECTS = 50
ASKED_DAYS = 14
ASKED_PROVIDERS = 50
ONLINE = "on"
"""Text under which the board has an account that is signed in."""


class LookKind(StrEnum):
    """What shows the day. The values are part of what the board has."""

    LIST = "l"
    SLOT = "s"


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody's screen shows these days. Subjects: providers, and services where it is of anyone who gives them."""

    kind: LookKind
    subjects: frozenset[UUID]
    first: date
    last: date

    def texts(self) -> Iterator[str]:
        """One for each day, as the board has it."""
        for number in range((self.last - self.first).days + 1):
            yield text_of(self.kind, self.first + timedelta(days=number))


def text_of(kind: LookKind, day: date) -> str:
    return f"{kind.value}{day}"


def look_of_search(search: AvailabilitySearch) -> Look | None:
    """None: so many days that it is a look at none of them."""
    subjects: set[UUID] = set(search.provider_ids or ())
    for item in search.items:
        if item.provider_id is not None:
            subjects.add(item.provider_id)
        elif search.provider_ids is None:
            subjects.add(item.service_id)
    if not subjects:
        subjects.add(search.service_id)
    return look_of_days(subjects, search.from_date, search.to_date)


def look_of_days(subjects: Iterable[UUID], first: date, last: date) -> Look | None:
    """A list of what is free. None: too many days, or too many subjects, to be a look at any of them."""
    looked_at = frozenset(subjects)
    if not 1 <= (last - first).days + 1 <= LOOKED_DAYS or len(looked_at) > LOOKED_SUBJECTS:
        return None
    return Look(LookKind.LIST, looked_at, first, last)


class ViewerRange(NamedTuple):
    """`at_most` none: or more."""

    at_least: int
    at_most: int | None


RANGES = (ViewerRange(0, 0), ViewerRange(1, 2), ViewerRange(3, 5), ViewerRange(6, 10), ViewerRange(11, 20))
MANY = ViewerRange(21, None)


def range_of(count: int) -> ViewerRange:
    return next((one for one in RANGES if one.at_most is not None and count <= one.at_most), MANY)


def viewers(counts: Mapping[UUID, Mapping[str, int]], subjects: Iterable[UUID], day: date) -> int:
    """How many look at somebody's day. Who has a list and one of its slots open counts once."""
    totals = dict.fromkeys(LookKind, 0)
    for subject in subjects:
        for kind in LookKind:
            totals[kind] += counts.get(subject, {}).get(text_of(kind, day), 0)
    return max(totals.values())


@dataclass(frozen=True, slots=True)
class Person:
    """A provider as presence knows them. `account_id` none: nobody is to know whether they are online."""

    provider_id: UUID
    account_id: UUID | None
    service_ids: frozenset[UUID]

    @property
    def looked_at(self) -> tuple[UUID, ...]:
        return (self.provider_id, *self.service_ids)

    @property
    def subjects(self) -> tuple[UUID, ...]:
        return self.looked_at if self.account_id is None else (*self.looked_at, self.account_id)


@dataclass(frozen=True, slots=True)
class PersonPresence:
    """`is_online` and ranges are none where that is not known, or not to be known."""

    provider_id: UUID
    is_online: bool | None
    days: tuple[tuple[date, ViewerRange | None], ...]
