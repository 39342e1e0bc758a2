"""One slot of a service or a visit, live, for whoever is looking at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from app.core.database import Tx
from app.domain import live, slot_watch
from app.domain.errors import BadInput, FieldErrors
from app.domain.instants import local_date
from app.domain.limits import claims_window
from app.domain.live import AvailabilityCause, ViewConfig
from app.domain.live_codec import ALLOCATION_EVENTS, Cursor, event_of_payload
from app.domain.plan import ProviderPlan, Window
from app.domain.presence import Look, LookKind
from app.domain.search import VisitItem, check_wanted
from app.domain.slot_watch import SlotLook, SlotState, WatchedSlot, window_around
from app.domain.visits import visit_claims_window
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.availability_search import aside
from app.queries.busy import BusyByProvider, list_busy
from app.queries.event import Event, events_of_subjects, log_state
from app.queries.own_claims import IsToken, own_allocations
from app.queries.tenancy import Door
from app.queries.visit import VisitPlan, get_visit_plan
from app.resolvers.context import RequestContext
from app.resolvers.live_availability import CONFIGURATION_EVENTS, REPLAY_LIMIT, can_resume
from app.resolvers.live_place import Place
from app.resolvers.slot_fold import Reading, Reconfigured, SlotFold, place_of, reading_of

Plan: TypeAlias = ServicePlan | VisitPlan

_DAY = timedelta(days=1)
MOST_WORK = 6_000
"""Of a visit, in slots."""


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """Which slot. `provider_ids` none: anyone who offers the service. With `items`, `service_id` is the first one's."""

    service_id: UUID
    provider_ids: tuple[UUID, ...] | None
    starts_at: datetime
    duration_minutes: int | None
    party_size: int
    items: tuple[VisitItem, ...] = ()

    def check(self) -> None:
        """What can be said without the service. Raises BadInput."""
        errors = FieldErrors()
        check_wanted(self, errors)
        if errors.found:
            raise BadInput(errors.found)

    @property
    def names_somebody(self) -> bool:
        return self.provider_ids is not None or any(item.provider_id is not None for item in self.items)

    def looked_at(self) -> frozenset[UUID]:
        """Those who are named; the service, where it is of anyone who gives it."""
        if not self.items:
            return frozenset(self.provider_ids or (self.service_id,))
        anyone = self.provider_ids or ()
        named = (((item.provider_id,) if item.provider_id else anyone or (item.service_id,)) for item in self.items)
        return frozenset(subject for subjects in named for subject in subjects)

    def of_anyone(self) -> SlotRequest:
        return replace(self, provider_ids=None, items=tuple(replace(item, provider_id=None) for item in self.items))


@dataclass(slots=True)
class _Fold(SlotFold):
    """A SlotFold over claims."""

    state: SlotState
    place: Place
    currency: str
    subjects: frozenset[UUID]
    """Whom it is of, as presence counts it."""

    @property
    def now(self) -> datetime:
        return self.state.now

    @property
    def people(self) -> int:
        """Those whose steps take a while: of a service, one event touches one of them."""
        return sum(map(len, self.state.watched.chosen.items))

    def look(self) -> SlotLook:
        return slot_watch.look(self.state)

    def looked_at(self) -> Look | None:
        plans = next(self.state.watched.chosen.all_plans(), None)
        if plans is None:
            return None
        day = local_date(self.state.watched.starts_at, plans.time_zone)
        return Look(LookKind.SLOT, self.subjects, day, day)

    def take(self, event: Event) -> AvailabilityCause | None:
        if event.type in CONFIGURATION_EVENTS:
            raise Reconfigured(CONFIGURATION_EVENTS[event.type])
        if event.type not in ALLOCATION_EVENTS:
            return None
        allocation = event_of_payload(event.type, event.subject_id, event.payload)
        self.state = slot_watch.apply(self.state, allocation)
        return allocation.cause

    def pass_time(self, now: datetime) -> AvailabilityCause:
        self.state, cause = slot_watch.tick(self.state, now)
        return cause

    def next_tick(self) -> datetime | None:
        return slot_watch.next_tick(self.state)


@dataclass(frozen=True, slots=True)
class SlotOfTime:
    """A SlotSource: of a service or a visit. `own`: the viewer's own allocations."""

    context: RequestContext
    request: SlotRequest
    own: frozenset[UUID] = field(default=frozenset())

    async def read(self, resume: Cursor | None) -> Reading:
        request, window = self.request, window_around(self.request.starts_at)
        async with self.context.read(Door.SERVICE, request.service_id) as (tx, _):
            plan = await _plan(tx, request, window)
            others = await _plan(tx, request.of_anyone(), window) if request.names_somebody else None
            plans = [plan] if others is None else [plan, others]
            subjects = frozenset(subject for one in plans for subject in one.subjects)
            busy = await _busy(tx, plans, request, window)
            missed = None if resume is None else await self._missed(tx, subjects, resume)
        now = self.context.now()
        watched = WatchedSlot(
            request.starts_at,
            _config(plan, request, window, now),
            None if others is None else _config(others, request, window, now),
            self.own,
        )
        unnumbered = frozenset(id_ for one in plans for id_ in one.unnumbered_here)
        place, at = Place(plan.position, set(unnumbered)), now
        if resume is not None and missed is not None:
            claims = (e for e in reversed(missed) if e.type in ALLOCATION_EVENTS and e.id not in resume.seen)
            busy = live.undo(busy, (event_of_payload(e.type, e.subject_id, e.payload) for e in claims))
            place, at = place_of(resume, missed), resume.at
        people = sum(len(members) for members in watched.chosen.places) + len(subjects)
        state = await aside(people, slot_watch.start, watched, busy, at)
        fold = _Fold(state, place, plan.currency, request.looked_at())
        return reading_of(fold, subjects, plan.position, missed, resume)

    async def _missed(self, tx: Tx, subjects: frozenset[UUID], resume: Cursor) -> list[Event] | None:
        if not can_resume(await log_state(tx), resume, self.context.now()):
            return None
        events = await events_of_subjects(tx, subjects, resume.position, limit=REPLAY_LIMIT + 1)
        fresh = (event for event in events if event.id not in resume.seen)
        too_many = len(events) > REPLAY_LIMIT
        return None if too_many or any(event.type in CONFIGURATION_EVENTS for event in fresh) else events

    async def complete(self, look: SlotLook) -> SlotLook:
        return look

    def reason(self, before: SlotFold, after: SlotFold) -> AvailabilityCause:
        """PRICE where the slot is there as before, but for its price."""
        was, now = before.look().slot, after.look().slot
        if was is not None and now is not None and was._replace(price_minor=now.price_minor) == now:
            return AvailabilityCause.PRICE
        return AvailabilityCause.SCHEDULE


async def open_slot(context: RequestContext, request: SlotRequest, is_token: IsToken | None) -> frozenset[UUID]:
    """May it be looked at? The bearer's own allocations near it. Raises BadInput, NotFound."""
    request.check()
    window = window_around(request.starts_at)
    async with context.read(Door.SERVICE, request.service_id) as (tx, _):
        plan = await _plan(tx, request, window, hidden_is_missing=True)
        errors = _faults(plan, request)
        if errors.found:
            raise BadInput(errors.found)
        if isinstance(plan, VisitPlan) and _config(plan, request, window, context.now()).work() > MOST_WORK:
            raise BadInput.at("input.items", "may be done by too many people; name a provider for some services")
        if is_token is None:
            return frozenset()
        near = Window(request.starts_at - _DAY, request.starts_at + _DAY)
        busy = await _busy(tx, [plan], request, near)
        claims = [id_ for by_id in busy.values() for id_, claim in by_id.items() if claim.is_claim]
        return await own_allocations(tx, claims, is_token)


def _faults(plan: Plan, request: SlotRequest) -> FieldErrors:
    if isinstance(plan, VisitPlan):
        return plan.faults(request.party_size)
    return plan.faults(request.duration_minutes, request.party_size)


async def _plan(tx: Tx, request: SlotRequest, window: Window, *, hidden_is_missing: bool = False) -> Plan:
    """Raises NotFound."""
    dates = window.from_utc.date(), window.to_utc.date()
    if request.items:
        return await get_visit_plan(
            tx,
            request.items,
            request.provider_ids,
            *dates,
            hidden_is_missing=hidden_is_missing,
            inactive_is_missing=hidden_is_missing,
        )
    return await get_service_plan(
        tx, request.service_id, request.provider_ids, *dates, hidden_is_missing=hidden_is_missing
    )


def _config(plan: Plan, request: SlotRequest, window: Window, now: datetime) -> ViewConfig:
    rules = plan.rules(now)
    plans: tuple[ProviderPlan, ...] = ()
    items: tuple[tuple[ProviderPlan, ...], ...] = ()
    if isinstance(plan, VisitPlan):
        items = plan.plans()
    else:
        plans = plan.plans(request.duration_minutes)
    return ViewConfig(plans, window, rules.notice_minutes, rules.maximum_advance_days, items)


async def _busy(tx: Tx, plans: Sequence[Plan], request: SlotRequest, window: Window) -> BusyByProvider:
    """Everybody's claims, as far as they matter in the window. One statement."""
    known = [_claims_window(plan, request, window) for plan in plans]
    subjects = dict.fromkeys(subject for plan in plans for subject in plan.busy_subjects)
    return await list_busy(tx, subjects, min(one.from_utc for one in known), max(one.to_utc for one in known))


def _claims_window(plan: Plan, request: SlotRequest, window: Window) -> Window:
    if isinstance(plan, VisitPlan):
        return visit_claims_window(plan.plans(), window)
    return claims_window(plan.plans(request.duration_minutes), window)
