"""The live twin of the availability query: a snapshot, then every change, resumable by cursor without gap or repeat.

The stream is a fold over events (app.domain.live): nothing is diffed against the database while it runs, so a change is
told from its event alone. A change of configuration (hours, price, who offers it) reads everything once more.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ParamSpec, TypeAlias, TypeVar

from app.core.database import Tx
from app.domain import live
from app.domain.errors import BadInput
from app.domain.free_times import Spend
from app.domain.limits import claims_window
from app.domain.live import AllocationEvent, AvailabilityCause, AvailabilityChange, AvailabilityState, ViewConfig
from app.domain.live_codec import ALLOCATION_EVENTS, Cursor, event_of_payload
from app.domain.search import AvailabilitySearch, check_search
from app.domain.slots import ProviderPlan, Slot, Window
from app.domain.visits import visit_claims_window
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.availability_search import aside, get_plan_of
from app.queries.busy import BusyByProvider, list_busy
from app.queries.event import Event, LogState, events_of_subjects, log_state
from app.queries.tenancy import Door
from app.queries.visit import VisitPlan, get_visit_plan
from app.queries.visit_search import get_visit_plan_of
from app.resolvers.context import RequestContext
from app.resolvers.event_feed import FeedOverflow, Subscription
from app.resolvers.live_place import Place

Plan: TypeAlias = ServicePlan | VisitPlan
P = ParamSpec("P")
R = TypeVar("R")

REPLAY_LIMIT = 2_000
"""Who missed more takes a new snapshot: that is less to send."""
LONGEST_WAIT_S = 3_600.0
CLOCK_SKEW = timedelta(seconds=10)
"""A cursor may come from another process, whose clock is ahead of ours by so much."""
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


class EventKind(StrEnum):
    SNAPSHOT = "snapshot"
    CHANGE = "change"
    RESYNC = "resync"


@dataclass(frozen=True, slots=True)
class AvailabilityUpdate:
    """What one client is told. A RESYNC carries a whole snapshot: forget what you had."""

    kind: EventKind
    cursor: str
    opened: tuple[datetime, ...]
    closed: tuple[datetime, ...]
    updated: tuple[Slot, ...]
    causes: tuple[AvailabilityCause, ...]
    currency: str


@dataclass(slots=True)
class _View:
    """One client's view: the state as of a place in the event log."""

    currency: str
    state: AvailabilityState
    place: Place

    def cursor(self) -> str:
        return self.place.cursor(self.state.now)

    def snapshot(self, kind: EventKind, spend: Spend) -> AvailabilityUpdate:
        """`spend` is told how many slots there are, and may raise."""
        slots = tuple(self.state.slots(spend))
        return AvailabilityUpdate(kind, self.cursor(), tuple(self.state.starts()), (), slots, (), self.currency)

    def change(self, change: AvailabilityChange) -> AvailabilityUpdate:
        return AvailabilityUpdate(
            EventKind.CHANGE,
            self.cursor(),
            change.opened,
            change.closed,
            change.updated,
            change.causes,
            self.currency,
        )

    def fold(self, event: Event, now: datetime) -> AvailabilityUpdate | None:
        self.state, change = live.apply(self.state, _allocation_event(event), now)
        return None if change is None else self.change(change)

    def tick(self, now: datetime) -> AvailabilityUpdate | None:
        self.state, change = live.tick(self.state, now)
        return None if change is None else self.change(change)

    async def aside(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A step of a visit with many people in a thread; of one service it is short."""
        return await aside(sum(map(len, self.state.config.items)), work, *args, **kwargs)


def _allocation_event(event: Event) -> AllocationEvent:
    return event_of_payload(event.type, event.subject_id, event.payload)


async def watch_availability(
    context: RequestContext, search: AvailabilitySearch, after: str | None
) -> AsyncGenerator[AvailabilityUpdate, None]:
    """Raises BadInput, NotFound before the first update."""
    check_search(search)
    resume = read_cursor(after)
    async with context.read(Door.SERVICE, search.service_id) as (tx, _):
        subjects = (await _checked_plan(tx, search, context.now())).subjects
    view: _View | None = None
    has_lost_events, cause = False, None
    while True:
        async with context.services.feed.subscribe(subjects) as subscription:
            # First we listen, then we read: what falls between the two comes twice, and positions tell.
            spend = context.for_event().spend_slots  # of each computation, not of the hours that the stream may last
            plan, busy, missed = await _read(context, search, resume, spend)
            if plan.subjects != subjects:
                subjects = plan.subjects  # somebody began or ceased to offer it: listen to those, then read again
                continue
            fresh = _Fresh(search, plan, busy, context.now(), spend)
            begun: tuple[_View, list[AvailabilityUpdate]]
            if view is None:
                begun = await fresh.aside(_begin, fresh, resume, missed)
            elif has_lost_events:
                begun = await fresh.aside(_snapshot, fresh, EventKind.RESYNC)
            else:
                begun = await fresh.aside(_reconfigure, fresh, view, cause)
            view, updates = begun
            resume = None
            for update in updates:
                yield update
            try:
                async with aclosing(_follow(context, view, subscription)) as following:
                    async for update in following:
                        yield update
            except _ConfigurationChanged as change:
                has_lost_events, cause = False, change.cause
            except FeedOverflow:
                has_lost_events = True


async def _checked_plan(tx: Tx, search: AvailabilitySearch, now: datetime) -> Plan:
    """Raises NotFound, BadInput."""
    return await get_visit_plan_of(tx, search, now) if search.items else await get_plan_of(tx, search, now)


class _ConfigurationChanged(Exception):
    """Hours, prices, lengths, people, resources or blocked times are others now."""

    def __init__(self, cause: AvailabilityCause | None) -> None:
        super().__init__(cause)
        self.cause = cause


async def _follow(
    context: RequestContext, view: _View, subscription: Subscription
) -> AsyncGenerator[AvailabilityUpdate, None]:
    """Events as they come, and the passing of time between them. Ends by _ConfigurationChanged or FeedOverflow."""
    while True:
        batch = await subscription.next(_seconds_until(live.next_tick(view.state), context.now()))
        if not batch:
            update = await view.aside(view.tick, context.now())
            if update is not None:
                yield update
        for event in batch:
            if not view.place.is_new(event):
                continue
            if event.type in CONFIGURATION_EVENTS:
                raise _ConfigurationChanged(CONFIGURATION_EVENTS[event.type])
            if event.type in ALLOCATION_EVENTS:
                update = await view.aside(view.fold, event, context.now())
                if update is not None:
                    yield update


def _seconds_until(instant: datetime | None, now: datetime) -> float:
    if instant is None:
        return LONGEST_WAIT_S
    return min(LONGEST_WAIT_S, max(0.0, (instant - now).total_seconds()))


def read_cursor(after: str | None) -> Cursor | None:
    """Raises BadInput."""
    if after is None:
        return None
    try:
        return Cursor.decode(after)
    except ValueError as wrong:
        raise BadInput.at("after", str(wrong)) from None


async def _read(
    context: RequestContext, search: AvailabilitySearch, resume: Cursor | None, spend: Spend
) -> tuple[Plan, BusyByProvider, list[Event] | None]:
    """All of one snapshot: the plan, the claims, and what a returning client missed (None: too much or too old).

    `spend` is told what it will cost to compute them, before the claims are read.
    """
    async with context.read(Door.SERVICE, search.service_id) as (tx, _):
        plan = await _plan(tx, search)
        spend(_config(search, plan, context.now()).work())
        known = _claims_window(search, plan)
        busy = await list_busy(tx, plan.busy_subjects, known.from_utc, known.to_utc)
        missed = None if resume is None else await _missed(tx, plan, resume, context.now())
    return plan, busy, missed


async def _plan(tx: Tx, search: AvailabilitySearch) -> Plan:
    if search.items:
        dates = (search.from_date, search.to_date)
        return await get_visit_plan(tx, search.items, search.provider_ids, *dates, inactive_is_missing=False)
    return await get_service_plan(tx, search.service_id, search.provider_ids, search.from_date, search.to_date)


def _claims_window(search: AvailabilitySearch, plan: Plan) -> Window:
    if isinstance(plan, VisitPlan):
        return visit_claims_window(plan.plans(), search.window())
    return claims_window(plan.plans(search.duration_minutes), search.window())


async def _missed(tx: Tx, plan: Plan, resume: Cursor, now: datetime) -> list[Event] | None:
    if not can_resume(await log_state(tx), resume, now):
        return None
    events = await events_of_subjects(tx, plan.subjects, resume.position, limit=REPLAY_LIMIT + 1)
    fresh = [event for event in events if event.id not in resume.seen]
    too_many = len(events) > REPLAY_LIMIT
    return None if too_many or any(event.type in CONFIGURATION_EVENTS for event in fresh) else fresh


def can_resume(log: LogState, resume: Cursor, now: datetime) -> bool:
    """Is every event after this cursor still there? No for one of another database, or of a clock that went back."""
    return log.purged_position <= resume.position <= log.last_position and resume.at <= now + CLOCK_SKEW


def _config(search: AvailabilitySearch, plan: Plan, now: datetime) -> ViewConfig:
    if isinstance(plan, VisitPlan):
        rules = plan.rules(now)
        return ViewConfig((), search.window(), rules.notice_minutes, rules.maximum_advance_days, items=plan.plans())
    return ViewConfig(
        plans=plan.plans(search.duration_minutes),
        window=search.window(),
        notice_minutes=plan.notice_minutes,
        maximum_advance_days=plan.maximum_advance_days,
    )


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What was read just now, to make a view of it."""

    search: AvailabilitySearch
    plan: Plan
    busy: BusyByProvider
    now: datetime
    spend: Spend

    def config(self, now: datetime) -> ViewConfig:
        return _config(self.search, self.plan, now)

    async def aside(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """In a thread where there are many people."""
        return await aside(sum(map(len, self.config(self.now).places)), work, *args, **kwargs)


def _begin(fresh: _Fresh, resume: Cursor | None, missed: list[Event] | None) -> tuple[_View, list[AvailabilityUpdate]]:
    """The client's view and what it is told first: a snapshot, or what it missed, each change for itself."""
    if resume is None:
        return _snapshot(fresh, EventKind.SNAPSHOT)
    if missed is None:
        return _snapshot(fresh, EventKind.RESYNC)
    claims = [event for event in missed if event.type in ALLOCATION_EVENTS]
    then = live.undo(fresh.busy, (_allocation_event(event) for event in reversed(claims)))
    state = live.start(fresh.config(resume.at), then, resume.at)
    view = _View(fresh.plan.currency, state, Place(resume.position, set(resume.seen)))
    return view, list(_replay(view, missed, fresh.plan, fresh.now))


def _snapshot(fresh: _Fresh, kind: EventKind) -> tuple[_View, list[AvailabilityUpdate]]:
    plan = fresh.plan
    state = live.start(fresh.config(fresh.now), fresh.busy, fresh.now)
    view = _View(plan.currency, state, Place(plan.position, set(plan.unnumbered_here)))
    return view, [view.snapshot(kind, fresh.spend)]


def _replay(view: _View, missed: Iterable[Event], plan: Plan, now: datetime) -> Iterable[AvailabilityUpdate]:
    """Numbered events now, at the instants when they happened; those not numbered yet come through the feed."""
    for event in missed:
        if view.place.is_new(event) and event.type in ALLOCATION_EVENTS:
            update = view.fold(event, max(view.state.now, event.occurred_at))
            if update is not None:
                yield update
    view.place.position = max(view.place.position, plan.position)
    view.place.seen &= plan.unnumbered_here  # the others have got their numbers, and those are behind us
    update = view.tick(now)
    if update is not None:
        yield update


def _reconfigure(fresh: _Fresh, view: _View, cause: AvailabilityCause | None) -> tuple[_View, list[AvailabilityUpdate]]:
    """Everything read once more: what is different is told as one change."""
    config = fresh.config(fresh.now)
    told = cause or _cause(view.state.config, config)
    view.state, change = live.reload(view.state, config, fresh.now, told, fresh.busy, spend=fresh.spend)
    view.place = Place(fresh.plan.position, set(fresh.plan.unnumbered_here))
    return view, [] if change is None else [view.change(change)]


def _cause(before: ViewConfig, after: ViewConfig) -> AvailabilityCause:
    """PRICE where nothing but prices changed; hours, lengths, notices and people are SCHEDULE."""
    return AvailabilityCause.PRICE if _without_prices(after) == _without_prices(before) else AvailabilityCause.SCHEDULE


def _without_prices(config: ViewConfig) -> ViewConfig:
    def free_of_charge(plans: Iterable[ProviderPlan]) -> tuple[ProviderPlan, ...]:
        return tuple(replace(plan, price_minor=None, tariff=None) for plan in plans)

    return replace(config, plans=free_of_charge(config.plans), items=tuple(map(free_of_charge, config.items)))
