"""When the services of a venue are free, live: one fold for all of them, so that one cursor is enough."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from app.core.database import Tx
from app.domain import live
from app.domain.errors import BadInput, DomainError, FieldErrors, NotFound
from app.domain.limits import claims_window
from app.domain.live import AvailabilityChange, AvailabilityState
from app.domain.live_codec import ALLOCATION_EVENTS
from app.domain.live_update import AvailabilityUpdate, EventKind
from app.domain.live_venue import VenueSearch, VenueUpdate, as_kind, merge_venue_updates
from app.domain.search import AvailabilitySearch
from app.queries.availability import PROVIDER_LIMIT, ServicePlan, get_service_plans
from app.queries.busy import list_busy
from app.queries.event import Event
from app.queries.tenancy import Door
from app.queries.venue import get_venue, list_providers_at
from app.resolvers.context import RequestContext
from app.resolvers.live_availability import (
    CONFIGURATION_EVENTS,
    ReadAvailability,
    allocation_event,
    people_of,
    reloaded,
    rewound,
)
from app.resolvers.live_kind import Kind, Reading

View: TypeAlias = tuple[tuple[AvailabilityState, str], ...]
"""Of each service, in the order in which they were asked for; with the currency. All are of the same instant."""
Changes: TypeAlias = dict[int, AvailabilityChange]
"""By the place of the service."""


@dataclass(frozen=True, slots=True)
class ReadVenue(Reading):
    services: tuple[ReadAvailability, ...]


class VenueKind(Kind[ReadVenue, View, Changes, VenueUpdate]):
    def __init__(self, reader: RequestContext, search: VenueSearch) -> None:
        """`reader` is nobody. The search was checked."""
        self._reader = reader
        self.search = search

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self._reader.read(Door.VENUE, self.search.venue_id) as (tx, _):
            yield tx

    async def subjects(self) -> frozenset[UUID]:
        async with self.transaction() as tx:
            plans, refusal = await self._plans(tx)
        if refusal is not None:
            raise refusal
        return self._subjects(plans)

    def _subjects(self, plans: Sequence[ServicePlan]) -> frozenset[UUID]:
        return frozenset((self.search.venue_id,)).union(*(plan.subjects for plan in plans))

    async def _plans(self, tx: Tx) -> tuple[list[ServicePlan], DomainError | None]:
        """Raises NotFound for a service that is none of this organization's."""
        search = self.search
        people = await list_providers_at(tx, search.venue_id, PROVIDER_LIMIT)
        wanted = [(service_id, people) for service_id in search.service_ids]
        plans = await get_service_plans(tx, wanted, search.from_date, search.to_date)
        try:
            await get_venue(tx, search.venue_id, for_staff=False)
        except NotFound as hidden:
            return plans, hidden
        if not all(plan.is_active for plan in plans):
            return plans, NotFound()
        errors = FieldErrors()
        for plan in plans:
            for violation in plan.faults(None, search.party_size).found:
                if violation not in errors.found:
                    errors.add(violation.path, violation.message)
        return plans, BadInput(errors.found) if errors.found else None

    async def read(self) -> ReadVenue:
        async with self.transaction() as tx:
            plans, refusal = await self._plans(tx)
            windows = [claims_window(plan.plans(None), self.search.window()) for plan in plans]
            subjects = dict.fromkeys(subject for plan in plans for subject in plan.busy_subjects)
            from_at, to_at = min(one.from_utc for one in windows), max(one.to_utc for one in windows)
            busy = await list_busy(tx, subjects, from_at, to_at)
        position, followed = plans[0].position, self._subjects(plans)
        seen = frozenset(event_id for event_id, subject in plans[0].unnumbered if subject in followed)
        services = tuple(
            ReadAvailability(position, seen, followed, refusal, self._search_of(plan), plan, busy) for plan in plans
        )
        return ReadVenue(position, seen, followed, refusal, services)

    def _search_of(self, plan: ServicePlan) -> AvailabilitySearch:
        search = self.search
        return AvailabilitySearch(
            plan.service_id, None, search.from_date, search.to_date, search.time_zone, None, search.party_size
        )

    def begin(self, reading: ReadVenue, now: datetime) -> View:
        return tuple((live.start(one.config(now), one.busy, now), one.plan.currency) for one in reading.services)

    def reload(
        self, view: View, reading: ReadVenue, now: datetime, types: Collection[str]
    ) -> tuple[View, Changes | None]:
        reader = self._reader.for_event()
        return _gathered(
            [reloaded(before, one, now, types, reader) for before, one in zip(view, reading.services, strict=True)]
        )

    # ── folding ──────────────────────────────────────────────────────────────────────────────────────

    def is_configuration(self, event: Event) -> bool:
        return event.type in CONFIGURATION_EVENTS or event.type == "venue.updated"

    def fold(self, view: View, event: Event, now: datetime) -> tuple[View, Changes | None]:
        if event.type not in ALLOCATION_EVENTS:
            return view, None
        claim = allocation_event(event)
        return _gathered([_with_currency(live.apply(state, claim, now), currency) for state, currency in view])

    def tick(self, view: View, now: datetime) -> tuple[View, Changes | None]:
        return _gathered([_with_currency(live.tick(state, now), currency) for state, currency in view])

    def next_tick(self, view: View) -> datetime | None:
        due = (live.next_tick(state) for state, _ in view)
        return min((instant for instant in due if instant is not None), default=None)

    def rewound(self, view: View, undone: Sequence[Event], redone: Sequence[Event], at: datetime) -> View:
        return tuple((rewound(state, undone, redone, at), currency) for state, currency in view)

    def instant(self, view: View) -> datetime:
        return view[0][0].now

    def looks_alike(self, view: View, later: View) -> bool:
        return all(live.looks_alike(one, other) for (one, _), (other, _) in zip(view, later, strict=True))

    def people(self, view: View, *, is_whole: bool = False) -> int:
        return sum(people_of(state.config, is_whole=is_whole) for state, _ in view)

    def crowd(self, reading: ReadVenue) -> int:
        now = self._reader.now()
        return sum(people_of(one.config(now), is_whole=True) for one in reading.services)

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self, view: View, cursor: str) -> VenueUpdate:
        spend = self._reader.for_event().spend_slots  # of all services together
        kind, parts = EventKind.SNAPSHOT, []
        for service_id, (state, currency) in zip(self.search.service_ids, view, strict=True):
            slots = tuple(state.slots(spend))
            update = AvailabilityUpdate(kind, cursor, tuple(state.starts()), (), slots, (), currency)
            parts.append((service_id, update))
        return VenueUpdate(kind, cursor, tuple(parts))

    def change(self, view: View, change: Changes, cursor: str) -> VenueUpdate:
        kind, parts = EventKind.CHANGE, []
        for place, one in change.items():
            told = (one.opened, one.closed, one.updated, one.causes)
            update = AvailabilityUpdate(kind, cursor, *told, view[place][1])
            parts.append((self.search.service_ids[place], update))
        return VenueUpdate(kind, cursor, tuple(parts))

    def as_resync(self, snapshot: VenueUpdate) -> VenueUpdate:
        return as_kind(snapshot, EventKind.RESYNC)

    def merge(self, earlier: VenueUpdate, later: VenueUpdate) -> VenueUpdate:
        return merge_venue_updates(earlier, later)

    def is_empty(self, update: VenueUpdate) -> bool:
        return update.is_empty


def _with_currency(
    step: tuple[AvailabilityState, AvailabilityChange | None], currency: str
) -> tuple[tuple[AvailabilityState, str], AvailabilityChange | None]:
    state, change = step
    return (state, currency), change


def _gathered(
    steps: Sequence[tuple[tuple[AvailabilityState, str], AvailabilityChange | None]],
) -> tuple[View, Changes | None]:
    changes = {place: change for place, (_, change) in enumerate(steps) if change is not None}
    return tuple(shown for shown, _ in steps), changes or None
