"""What a search for providers may ask, and in which orders it answers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.errors import BadInput, FieldErrors
from app.domain.instants import day_bounds
from app.domain.plan import Window
from app.domain.search import MAXIMUM_DAYS, MAXIMUM_PARTY

FURTHEST_KM = 20_038.0
"""Half way round the globe: everywhere."""
LANGUAGES_MAXIMUM = 20
LONGEST_MINUTES = 1_440


@dataclass(frozen=True, slots=True)
class Near:
    """Degrees, and kilometres as the crow flies."""

    latitude: float
    longitude: float
    radius_km: float


@dataclass(frozen=True, slots=True)
class FreeTime:
    """A slot that starts on one of these dates (of `time_zone`, both included). `duration_minutes` none: any length."""

    from_date: date
    to_date: date
    time_zone: ZoneInfo
    duration_minutes: int | None = None
    party_size: int = 1

    def window(self) -> Window:
        """The instants at which it may start."""
        return Window(day_bounds(self.from_date, self.time_zone)[0], day_bounds(self.to_date, self.time_zone)[1])


@dataclass(frozen=True, slots=True)
class ProviderWanted:
    """Each that is given must hold; those about services for one and the same service that the provider offers.

    `text`: each word is, or is nearly, a word or a part of one in the name, the bio, or a service's name or category.
    Prices are in minor units, both included. `languages`: any of these tags, or a tag that refines one.
    """

    venue_id: UUID | None = None
    service_id: UUID | None = None
    category: str | None = None
    text: str | None = None
    is_active: bool | None = None
    near: Near | None = None
    minimum_rating: float | None = None
    languages: tuple[str, ...] | None = None
    minimum_minor: int | None = None
    maximum_minor: int | None = None
    free: FreeTime | None = None


class ProviderSort(StrEnum):
    NAME_ASC = "name_asc"
    NAME_DESC = "name_desc"
    CREATED_ASC = "created_asc"
    RATING_DESC = "rating_desc"
    DISTANCE_ASC = "distance_asc"
    PRICE_ASC = "price_asc"
    PRICE_DESC = "price_desc"
    SOONEST_ASC = "soonest_asc"
    RELEVANCE = "relevance_desc"

    @property
    def key(self) -> str:
        """By what: the part before the direction."""
        return self.value.rpartition("_")[0]

    @property
    def is_falling(self) -> bool:
        return self.value.endswith("_desc")


_SORT_NEEDS = {
    ProviderSort.DISTANCE_ASC: ("near", "filter.near"),
    ProviderSort.SOONEST_ASC: ("free", "filter.availability"),
    ProviderSort.RELEVANCE: ("text", "filter.text"),
}


def check_wanted(wanted: ProviderWanted, sort: ProviderSort | None = None) -> None:
    """Raises BadInput with everything that is wrong at once."""
    errors = FieldErrors()
    if wanted.near is not None:
        _check_near(wanted.near, errors)
    if wanted.minimum_rating is not None and not 0 <= wanted.minimum_rating <= 5:
        errors.add("filter.minimumRating", "must be 0 to 5")
    for path, amount in (("minimumMinor", wanted.minimum_minor), ("maximumMinor", wanted.maximum_minor)):
        if amount is not None and amount < 0:
            errors.add(f"filter.price.{path}", "must not be negative")
    if wanted.minimum_minor is not None and wanted.maximum_minor is not None:  # noqa: SIM102
        if wanted.maximum_minor < wanted.minimum_minor:
            errors.add("filter.price.maximumMinor", "must not be below minimumMinor")
    if wanted.free is not None:
        _check_free(wanted.free, errors)
    needed, path = _SORT_NEEDS.get(sort, ("", "")) if sort is not None else ("", "")
    if needed and sort is not None and getattr(wanted, needed) is None:
        errors.add("sort", f"{sort.name} needs {path}")
    if errors.found:
        raise BadInput(errors.found)


def _check_near(near: Near, errors: FieldErrors) -> None:
    for path, value, limit in (("latitude", near.latitude, 90), ("longitude", near.longitude, 180)):
        if not (math.isfinite(value) and -limit <= value <= limit):
            errors.add(f"filter.near.{path}", f"must be a number of degrees from -{limit} to {limit}")
    if not 0 < near.radius_km <= FURTHEST_KM:
        errors.add("filter.near.radiusKm", f"must be more than 0 and at most {FURTHEST_KM:.0f}, which is everywhere")


def _check_free(free: FreeTime, errors: FieldErrors) -> None:
    days = (free.to_date - free.from_date).days + 1
    if days < 1:
        errors.add("filter.availability.to", "must not be before `from`")
    elif days > MAXIMUM_DAYS:
        errors.add("filter.availability.to", f"asks for {days} days; at most {MAXIMUM_DAYS} at once")
    if free.duration_minutes is not None and not 1 <= free.duration_minutes <= LONGEST_MINUTES:
        errors.add("filter.availability.durationMinutes", f"must be 1 to {LONGEST_MINUTES}")
    if not 1 <= free.party_size <= MAXIMUM_PARTY:
        errors.add("filter.availability.partySize", f"must be 1 to {MAXIMUM_PARTY}")


# ── languages ─────────────────────────────────────────────────────────────────────────────────────────

_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)",
    re.ASCII | re.IGNORECASE,
)
_TAG_LENGTH = 35


def language_tag(value: str) -> str:
    """A BCP 47 tag of language, script, region and variants, in its usual case: `es-AR`. Raises ValueError."""
    match = _TAG.fullmatch(value.strip()) if len(value) <= _TAG_LENGTH else None
    if match is None:
        raise ValueError("is no language tag (BCP 47); use one such as es, es-AR or zh-Hant")
    script, region = match["script"], match["region"]
    parts = [match["language"].lower(), script and script.title(), region and region.upper()]
    return "-".join(part for part in parts if part) + match["variants"].lower()
