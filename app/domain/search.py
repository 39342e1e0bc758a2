"""What a search for free slots may ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.errors import BadInput, FieldErrors
from app.domain.instants import day_bounds
from app.domain.slots import Window

MAXIMUM_DAYS = 62
MAXIMUM_PARTY = 1_000
MAXIMUM_ITEMS = 5
"""Services of one visit."""


@dataclass(frozen=True, slots=True)
class VisitItem:
    """One service of a visit. `provider_id` none: whoever is free; `duration_minutes` none: each provider's own."""

    service_id: UUID
    provider_id: UUID | None = None
    duration_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class AvailabilitySearch:
    """Dates are local to the customer's `time_zone`, both included. `provider_ids` none: anyone.

    With `items`, several services follow one another without a pause, and `service_id` is that of the first.
    """

    service_id: UUID
    provider_ids: tuple[UUID, ...] | None
    from_date: date
    to_date: date
    time_zone: ZoneInfo
    duration_minutes: int | None
    party_size: int
    items: tuple[VisitItem, ...] = ()

    def window(self) -> Window:
        """The instants at which a slot may start."""
        return Window(day_bounds(self.from_date, self.time_zone)[0], day_bounds(self.to_date, self.time_zone)[1])


def check_search(search: AvailabilitySearch) -> None:
    """Raises BadInput with everything that is wrong at once."""
    errors = FieldErrors()
    days = (search.to_date - search.from_date).days + 1
    if days < 1:
        errors.add("input.to", "must not be before `from`")
    elif days > MAXIMUM_DAYS:
        errors.add("input.to", f"asks for {days} days; at most {MAXIMUM_DAYS} at once")
    check_wanted(search, errors)
    if errors.found:
        raise BadInput(errors.found)


class WantsTime(Protocol):
    """Whoever asks for a service or a visit, whenever that is to be."""

    @property
    def provider_ids(self) -> tuple[UUID, ...] | None: ...

    @property
    def duration_minutes(self) -> int | None: ...

    @property
    def party_size(self) -> int: ...

    @property
    def items(self) -> tuple[VisitItem, ...]: ...


def check_wanted(wanted: WantsTime, errors: FieldErrors) -> None:
    """What can be said of whom and what somebody wants without knowing the service. The caller raises."""
    if wanted.provider_ids is not None and not wanted.provider_ids:
        errors.add("input.providerIds", "must name somebody; leave it out for anyone who offers the service")
    if wanted.duration_minutes is not None and wanted.duration_minutes < 1:
        errors.add("input.durationMinutes", "must be at least 1")
    check_items(wanted.items, errors)
    if not 1 <= wanted.party_size <= MAXIMUM_PARTY:
        errors.add("input.partySize", f"must be 1 to {MAXIMUM_PARTY}")


def check_items(items: Sequence[VisitItem], errors: FieldErrors) -> None:
    """What can be said of a visit without knowing its services. The caller raises."""
    if len(items) > MAXIMUM_ITEMS:
        errors.add("input.items", f"may have at most {MAXIMUM_ITEMS} services in one visit")
    for index, item in enumerate(items):
        if item.duration_minutes is not None and item.duration_minutes < 1:
            errors.add(f"input.items.{index}.durationMinutes", "must be at least 1")


def check_length_and_party(
    *,
    duration_minutes: int | None,
    shortest: int,
    longest: int,
    party_size: int,
    largest_party: int,
    path: str = "input",
) -> FieldErrors:
    """What the service itself allows. The caller raises, as BadInput or InvalidInput.

    `path`: where the length was given (`input`, `input.items.1`); the party is that of the whole input.
    """
    errors = FieldErrors()
    if duration_minutes is not None and not shortest <= duration_minutes <= longest:
        allowed = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
        errors.add(f"{path}.durationMinutes", f"must be {allowed} for this service")
    if not 1 <= party_size <= largest_party:
        errors.add("input.partySize", f"must be 1 to {largest_party} for this service")
    return errors
