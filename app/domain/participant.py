"""The people of one booking: what is known of each, and how many may come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.domain.errors import InvalidInput, NotAllowed

NAMED_AT_ONCE = 200
"""Most people named in one request."""


class ParticipantStatus(StrEnum):
    """Values are those of the database. Of one person: the booking has a state of its own."""

    EXPECTED = "expected"
    CHECKED_IN = "checked_in"
    NO_SHOW = "no_show"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ParticipantDetails:
    """As checked at the edge: a clean name, a normalized e-mail, an E.164 phone."""

    name: str
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class PartyBounds:
    """How many may come with one booking, as the activity or the service says now."""

    least: int
    most: int


def check_named(named: int, places: int, path: str = "input.participants") -> None:
    """May so many be named, where so many places have nobody's name yet? Raises InvalidInput."""
    if named > places:
        people = "person" if places == 1 else "people"
        raise InvalidInput.at(path, f"may name at most {places} {people} here")


def check_party(before: int, after: int, bounds: PartyBounds) -> None:
    """May a booking's party change so? What is outside the bounds already may come nearer. Raises NotAllowed."""
    if after > bounds.most and after > before:
        raise NotAllowed("maximum_party_size", f"At most {bounds.most} can come with one booking.")
    if after < bounds.least and after < before:
        message = f"At least {bounds.least} have to come with one booking. Cancel the booking if nobody comes."
        raise NotAllowed("minimum_party_size", message)
