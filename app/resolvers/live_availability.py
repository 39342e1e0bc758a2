"""The live twin of the availability query: a snapshot, then every change, resumable by cursor without gap or repeat.

The stream is a fold over events (app.domain.live): nothing is diffed against the database while it runs, so a change is
told from its event alone. A change of configuration (hours, price, who offers it) reads everything once more. All who
look at the same thing share one fold (app.resolvers.live_source). It is read as a guest reads it, whoever looks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from app.core.database import Tx
from app.domain import live
from app.domain.errors import BadInput, DomainError, NotFound
from app.domain.limits import claims_window
from app.domain.live import AllocationEvent, AvailabilityCause, AvailabilityChange, AvailabilityState, ViewConfig
from app.domain.live_codec import ALLOCATION_EVENTS, event_of_payload
from app.domain.live_update import AvailabilityUpdate, EventKind, merge_updates
from app.domain.search import AvailabilitySearch
from app.domain.slots import ProviderPlan, Window
from app.domain.visits import visit_claims_window
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.busy import BusyByProvider, list_busy
from app.queries.event import Event
from app.queries.tenancy import Door
from app.queries.visit import VisitPlan, get_visit_plan
from app.resolvers.context import RequestContext
from app.resolvers.live_entrance import CLOCK_SKEW, REPLAY_LIMIT, can_resume, read_cursor
from app.resolvers.live_kind import Kind, Reading
from app.resolvers.live_source import LONGEST_WAIT_S

__all__ = [
    "CLOCK_SKEW",
    "CONFIGURATION_EVENTS",
    "LONGEST_WAIT_S",
    "REPLAY_LIMIT",
    "AvailabilityKind",
    "AvailabilityUpdate",
    "EventKind",
    "can_resume",
    "read_cursor",
]

Plan: TypeAlias = ServicePlan | VisitPlan
Shown: TypeAlias = tuple[AvailabilityState, str]
"""With the currency."""

CONFIGURATION_EVENTS = {
    "schedule.published": None,
    "exception.changed": None,
    "time_off.changed": AvailabilityCause.SCHEDULE,
    "provider.updated": None,
    "service.updated": None,
    "offer.updated": None,
    "external_busy.changed": AvailabilityCause.EXTERNAL_BUSY,
    "resource.changed": AvailabilityCause.RESOURCE,
    "prices.changed": None,
}
"""Events after which everything is read once more, and the cause that is told (None: what the difference says)."""


@dataclass(frozen=True, slots=True)
class ReadAvailability(Reading):
    search: AvailabilitySearch
    plan: Plan
    busy: BusyByProvider

    def config(self, now: datetime) -> ViewConfig:
        search, plan = self.search, self.plan
        if isinstance(plan, VisitPlan):
            rules = plan.rules(now)
            return ViewConfig((), search.window(), rules.notice_minutes, rules.maximum_advance_days, items=plan.plans())
        return ViewConfig(
            plans=plan.plans(search.duration_minutes),
            window=search.window(),
            notice_minutes=plan.notice_minutes,
            maximum_advance_days=plan.maximum_advance_days,
        )


class AvailabilityKind(Kind[ReadAvailability, Shown, AvailabilityChange, AvailabilityUpdate]):
    def __init__(self, reader: RequestContext, search: AvailabilitySearch) -> None:
        """`reader` is nobody. The search was checked."""
        self._reader = reader
        self.search = search

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self._reader.read(Door.SERVICE, self.search.service_id) as (tx, _):
            yield tx

    async def subjects(self) -> frozenset[UUID]:
        async with self.transaction() as tx:
            plan, refusal = await read_plan(tx, self.search)
        if refusal is not None:
            raise refusal
        return plan.subjects

    async def read(self) -> ReadAvailability:
        async with self.transaction() as tx:
            return await read_availability(tx, self.search, self._reader)

    def begin(self, reading: ReadAvailability, now: datetime) -> Shown:
        return live.start(reading.config(now), reading.busy, now), reading.plan.currency

    def reload(
        self, view: Shown, reading: ReadAvailability, now: datetime, types: Collection[str]
    ) -> tuple[Shown, AvailabilityChange | None]:
        return reloaded(view, reading, now, types, self._reader.for_event())

    # ── folding ──────────────────────────────────────────────────────────────────────────────────────

    def is_configuration(self, event: Event) -> bool:
        return event.type in CONFIGURATION_EVENTS

    def fold(self, view: Shown, event: Event, now: datetime) -> tuple[Shown, AvailabilityChange | None]:
        if event.type not in ALLOCATION_EVENTS:
            return view, None
        state, change = live.apply(view[0], allocation_event(event), now)
        return (state, view[1]), change

    def tick(self, view: Shown, now: datetime) -> tuple[Shown, AvailabilityChange | None]:
        state, change = live.tick(view[0], now)
        return (state, view[1]), change

    def next_tick(self, view: Shown) -> datetime | None:
        return live.next_tick(view[0])

    def rewound(self, view: Shown, undone: Sequence[Event], redone: Sequence[Event], at: datetime) -> Shown:
        return rewound(view[0], undone, redone, at), view[1]

    def instant(self, view: Shown) -> datetime:
        return view[0].now

    def looks_alike(self, view: Shown, later: Shown) -> bool:
        return live.looks_alike(view[0], later[0])

    def people(self, view: Shown, *, is_whole: bool = False) -> int:
        return people_of(view[0].config, is_whole=is_whole)

    def crowd(self, reading: ReadAvailability) -> int:
        return people_of(reading.config(self._reader.now()), is_whole=True)

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self, view: Shown, cursor: str) -> AvailabilityUpdate:
        state, currency = view
        slots = tuple(state.slots(self._reader.for_event().spend_slots))
        return AvailabilityUpdate(EventKind.SNAPSHOT, cursor, tuple(state.starts()), (), slots, (), currency)

    def change(self, view: Shown, change: AvailabilityChange, cursor: str) -> AvailabilityUpdate:
        return AvailabilityUpdate(
            EventKind.CHANGE, cursor, change.opened, change.closed, change.updated, change.causes, view[1]
        )

    def as_resync(self, snapshot: AvailabilityUpdate) -> AvailabilityUpdate:
        return replace(snapshot, kind=EventKind.RESYNC)

    def merge(self, earlier: AvailabilityUpdate, later: AvailabilityUpdate) -> AvailabilityUpdate:
        return merge_updates(earlier, later)

    def is_empty(self, update: AvailabilityUpdate) -> bool:
        return update.is_empty


# ── shared with a whole venue ─────────────────────────────────────────────────────────────────────────


def allocation_event(event: Event) -> AllocationEvent:
    return event_of_payload(event.type, event.subject_id, event.payload)


def people_of(config: ViewConfig, *, is_whole: bool = False) -> int:
    """How many people a step may have to look at: of a visit all; of one service, only when all is computed anew."""
    return sum(map(len, config.places if is_whole else config.items))


async def read_availability(tx: Tx, search: AvailabilitySearch, reader: RequestContext) -> ReadAvailability:
    """Two statements, and one of prices; a third where somebody who was asked for is hidden by now.

    Raises NotFound; BadInput for a visit that costs too much to compute, before its claims are read.
    """
    plan, refusal = await read_plan(tx, search)
    reading = ReadAvailability(plan.position, plan.unnumbered_here, plan.subjects, refusal, search, plan, {})
    reader.for_event().spend_slots(reading.config(reader.now()).work())
    known = _claims_window(search, plan)
    return replace(reading, busy=await list_busy(tx, plan.busy_subjects, known.from_utc, known.to_utc))


async def read_plan(tx: Tx, search: AvailabilitySearch) -> tuple[Plan, DomainError | None]:
    """What is offered, and why nobody may begin to look at it. Who looks already sees that nothing is free.

    Raises NotFound.
    """
    try:
        plan = await _plan(tx, search, hidden_is_missing=True)
    except NotFound as hidden:
        return await _plan(tx, search, hidden_is_missing=False), hidden
    services = plan.services if isinstance(plan, VisitPlan) else (plan,)
    if not all(service.is_active for service in services):
        return plan, NotFound()
    if isinstance(plan, VisitPlan):
        errors = plan.faults(search.party_size)
    else:
        errors = plan.faults(search.duration_minutes, search.party_size)
    return plan, BadInput(errors.found) if errors.found else None


async def _plan(tx: Tx, search: AvailabilitySearch, *, hidden_is_missing: bool) -> Plan:
    dates = (search.from_date, search.to_date)
    if search.items:
        return await get_visit_plan(
            tx,
            search.items,
            search.provider_ids,
            *dates,
            hidden_is_missing=hidden_is_missing,
            inactive_is_missing=False,
        )
    return await get_service_plan(
        tx, search.service_id, search.provider_ids, *dates, hidden_is_missing=hidden_is_missing
    )


def _claims_window(search: AvailabilitySearch, plan: Plan) -> Window:
    if isinstance(plan, VisitPlan):
        return visit_claims_window(plan.plans(), search.window())
    return claims_window(plan.plans(search.duration_minutes), search.window())


def reloaded(
    view: Shown, reading: ReadAvailability, now: datetime, types: Collection[str], reader: RequestContext
) -> tuple[Shown, AvailabilityChange | None]:
    """Everything read once more: what is different is one change."""
    before, config = view[0], reading.config(now)
    told = [cause for type_ in types if (cause := CONFIGURATION_EVENTS.get(type_)) is not None]
    cause = told[0] if told else _cause(before.config, config)
    state, change = live.reload(before, config, now, cause, reading.busy, spend=reader.spend_slots)
    return (state, reading.plan.currency), change


def rewound(
    state: AvailabilityState, undone: Sequence[Event], redone: Sequence[Event], at: datetime
) -> AvailabilityState:
    claims = [allocation_event(event) for event in undone if event.type in ALLOCATION_EVENTS]
    busy = live.redo(
        live.undo(state.busy, reversed(claims)),
        (allocation_event(event) for event in redone if event.type in ALLOCATION_EVENTS),
    )
    return live.start(state.config, busy, at)


def _cause(before: ViewConfig, after: ViewConfig) -> AvailabilityCause:
    """PRICE where nothing but prices changed; hours, lengths, notices and people are SCHEDULE."""
    return AvailabilityCause.PRICE if _without_prices(after) == _without_prices(before) else AvailabilityCause.SCHEDULE


def _without_prices(config: ViewConfig) -> ViewConfig:
    def free_of_charge(plans: Iterable[ProviderPlan]) -> tuple[ProviderPlan, ...]:
        return tuple(replace(plan, price_minor=None, tariff=None) for plan in plans)

    return replace(config, plans=free_of_charge(config.plans), items=tuple(map(free_of_charge, config.items)))
