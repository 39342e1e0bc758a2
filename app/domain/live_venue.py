"""What clients of a whole venue's live availability ask and are told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.errors import BadInput, FieldErrors
from app.domain.instants import day_bounds
from app.domain.live_update import AvailabilityUpdate, EventKind, merge_updates
from app.domain.search import MAXIMUM_PARTY
from app.domain.slots import Window

VENUE_MAXIMUM_SERVICES = 10
VENUE_MAXIMUM_DAYS = 31


@dataclass(frozen=True, slots=True)
class VenueSearch:
    """Some services of one venue. Dates are local to the customer's `time_zone`, both included."""

    venue_id: UUID
    service_ids: tuple[UUID, ...]
    from_date: date
    to_date: date
    time_zone: ZoneInfo
    party_size: int

    def window(self) -> Window:
        """The instants at which a slot may start."""
        return Window(day_bounds(self.from_date, self.time_zone)[0], day_bounds(self.to_date, self.time_zone)[1])


def check_venue_search(search: VenueSearch) -> None:
    """Raises BadInput with everything that is wrong at once."""
    errors = FieldErrors()
    if not 1 <= len(search.service_ids) <= VENUE_MAXIMUM_SERVICES:
        errors.add("input.serviceIds", f"must name 1 to {VENUE_MAXIMUM_SERVICES} services")
    days = (search.to_date - search.from_date).days + 1
    if days < 1:
        errors.add("input.to", "must not be before `from`")
    elif days > VENUE_MAXIMUM_DAYS:
        errors.add("input.to", f"asks for {days} days; at most {VENUE_MAXIMUM_DAYS} at once")
    if not 1 <= search.party_size <= MAXIMUM_PARTY:
        errors.add("input.partySize", f"must be 1 to {MAXIMUM_PARTY}")
    if errors.found:
        raise BadInput(errors.found)


@dataclass(frozen=True, slots=True)
class VenueUpdate:
    """`services`: of a snapshot every one that was asked for, of a change those that changed. Each has the kind and the
    cursor of the whole."""

    kind: EventKind
    cursor: str
    services: tuple[tuple[UUID, AvailabilityUpdate], ...]

    @property
    def is_empty(self) -> bool:
        return self.kind is EventKind.CHANGE and not self.services


def merge_venue_updates(earlier: VenueUpdate, later: VenueUpdate) -> VenueUpdate:
    """One update that leaves a client where the two in succession would."""
    kind = earlier.kind
    if later.kind is not EventKind.CHANGE:
        if (earlier.kind, later.kind) != (EventKind.SNAPSHOT, EventKind.RESYNC):
            return later
        return as_kind(later, EventKind.SNAPSHOT)
    parts = dict(earlier.services)
    for service_id, update in later.services:
        parts[service_id] = merge_updates(parts[service_id], update) if service_id in parts else update
    told = [(service_id, update) for service_id, update in parts.items() if not update.is_empty]
    return VenueUpdate(kind, later.cursor, _at(told, later.cursor))


def as_kind(update: VenueUpdate, kind: EventKind) -> VenueUpdate:
    services = tuple((service_id, replace(part, kind=kind)) for service_id, part in update.services)
    return VenueUpdate(kind, update.cursor, services)


def _at(
    services: Iterable[tuple[UUID, AvailabilityUpdate]], cursor: str
) -> tuple[tuple[UUID, AvailabilityUpdate], ...]:
    return tuple((service_id, replace(update, cursor=cursor)) for service_id, update in services)
