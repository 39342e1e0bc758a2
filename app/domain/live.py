"""A stream of availability as a pure fold: state and event in, new state and what changed out.

The state holds who is busy and, for each plan, the mask of free starts. An event or the passing of time touches a few
spans of that mask, and only those are computed again. The same events in the same order always give the same state, so
a client that comes back is served by undoing events to its cursor and replaying them (`undo`, `start`, `apply`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import reduce
from operator import or_
from uuid import UUID

from app.domain.busy import Busy
from app.domain.instants import at_minute, day_bounds, local_date, minute_ceil
from app.domain.masks import Span, bits, lowest, ones, span_mask
from app.domain.slots import (
    ProviderPlan,
    Slot,
    SlotRules,
    Window,
    axis,
    blocked_mask,
    blocked_span,
    bookable_range,
    count_slots,
    fits_mask,
    next_boundary,
    slots_of_masks,
)


class AvailabilityCause(StrEnum):
    """Why free slots changed. Names as in the contract."""

    HELD = "held"
    RELEASED = "released"
    BOOKED = "booked"
    CANCELLED = "cancelled"
    RESCHEDULED = "rescheduled"
    SCHEDULE = "schedule"
    CAPACITY = "capacity"
    RESOURCE = "resource"
    PRICE = "price"
    EXTERNAL_BUSY = "external_busy"
    TIME = "time"


BusyMap = Mapping[UUID, Mapping[UUID, Busy]]
"""Provider id → allocation id → claim. Lapsed holds may stay in it; they take no time."""


@dataclass(frozen=True, slots=True)
class AllocationEvent:
    """One allocation went from `before` to `after` (None: it did not, or does no longer, exist).

    Claimed: None → claim. Extended or confirmed: claim → claim. Released: claim → None.
    """

    provider_id: UUID
    allocation_id: UUID
    before: Busy | None
    after: Busy | None
    cause: AvailabilityCause


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """What a client looks at, apart from claims and time. One plan for each provider."""

    plans: tuple[ProviderPlan, ...]
    window: Window
    notice_minutes: int = 0
    maximum_advance_days: int = 365

    def rules(self, now: datetime) -> SlotRules:
        return SlotRules(now, self.notice_minutes, self.maximum_advance_days)


@dataclass(frozen=True, slots=True)
class PlanView:
    """One plan's masks over the view's window; `free` has bits in `low` … `high` - 1 only (notice and horizon)."""

    plan: ProviderPlan
    fits: int
    free: int
    low: int
    high: int
    next_day_at: datetime
    """The provider's next midnight, when the horizon moves on."""


@dataclass(frozen=True, slots=True)
class AvailabilityState:
    """All that is known at `now`."""

    config: ViewConfig
    busy: BusyMap
    views: tuple[PlanView, ...]
    now: datetime

    def slots(self) -> list[Slot]:
        """Every free slot, in order: the body of a snapshot."""
        return slots_of_masks([(view.plan, view.free) for view in self.views], self.config.window)

    def count(self) -> int:
        """How many slots there are, without making them."""
        return count_slots((view.plan, view.free) for view in self.views)

    def starts(self) -> list[datetime]:
        """The same as bare starts."""
        first, _ = axis(self.config.window)
        return [at_minute(first + bit) for bit in bits(_any_free(self.views))]


@dataclass(frozen=True, slots=True)
class AvailabilityChange:
    """What a client has to do: forget the slots of `closed` starts, and for each start in `updated` replace its slots
    by those given there. `opened` starts had none before; their slots are in `updated` too. All rising.
    """

    opened: tuple[datetime, ...]
    closed: tuple[datetime, ...]
    updated: tuple[Slot, ...]
    causes: tuple[AvailabilityCause, ...]


Step = tuple[AvailabilityState, AvailabilityChange | None]

# ── the fold ──────────────────────────────────────────────────────────────────────────────────────────


def start(config: ViewConfig, busy: BusyMap, now: datetime) -> AvailabilityState:
    """The state computed from nothing. Folding events must lead to the same."""
    views = tuple(_view(config, plan, busy.get(plan.provider_id, {}), now) for plan in config.plans)
    kept = {plan.provider_id: dict(busy.get(plan.provider_id, {})) for plan in config.plans}
    return AvailabilityState(config, kept, views, now)


def apply(state: AvailabilityState, event: AllocationEvent, now: datetime) -> Step:
    """One event, at `now` or at the state's own instant if that is later. Repeating an event changes nothing."""
    return apply_all(state, (event,), now)


def apply_all(state: AvailabilityState, events: Iterable[AllocationEvent], now: datetime) -> Step:
    """Several events in their order, told as one change; None when nothing is different in the end."""
    causes: list[AvailabilityCause] = []
    current = _pass_time(state, now, causes)
    for event in events:
        following = _take(current, event)
        _note(causes, event.cause, current, following)
        current = following
    return current, _difference(state, current, causes)


def tick(state: AvailabilityState, now: datetime) -> Step:
    """Time alone: holds that lapsed (RELEASED), notice and horizon (TIME)."""
    return apply_all(state, (), now)


def next_tick(state: AvailabilityState) -> datetime | None:
    """When to tick next: the earliest instant at which time alone may change something."""
    first, _ = axis(state.config.window)
    bit = lowest(_any_free(state.views))
    earliest = None if bit is None else at_minute(first + bit)
    claims = {provider: by_id.values() for provider, by_id in state.busy.items()}
    return next_boundary(state.config.plans, claims, state.config.window, state.config.rules(state.now), earliest)


def reload(
    state: AvailabilityState,
    config: ViewConfig,
    now: datetime,
    cause: AvailabilityCause,
    busy: BusyMap | None = None,
) -> Step:
    """Another schedule, price or set of providers. `busy` is needed when a provider came in; else the known stays."""
    causes: list[AvailabilityCause] = []
    current = _pass_time(state, now, causes)
    following = start(config, current.busy if busy is None else busy, current.now)
    before, after = _by_start(state), _by_start(following)
    if _by_start(current) != after:
        causes.append(cause)
    updated = [slot for starts_at, found in after.items() if before.get(starts_at) != found for slot in found]
    opened = tuple(starts_at for starts_at in after if starts_at not in before)
    closed = tuple(starts_at for starts_at in before if starts_at not in after)
    if not (updated or closed):
        return following, None
    return following, AvailabilityChange(opened, closed, tuple(updated), tuple(causes))


def undo(busy: BusyMap, events_desc: Iterable[AllocationEvent]) -> dict[UUID, dict[UUID, Busy]]:
    """Who was busy before the events, given newest first. The map that comes in stays as it is."""
    earlier = {provider: dict(by_id) for provider, by_id in busy.items()}
    for event in events_desc:
        by_id = earlier.setdefault(event.provider_id, {})
        if event.before is None:
            by_id.pop(event.allocation_id, None)
        else:
            by_id[event.allocation_id] = event.before
    return earlier


# ── one plan ──────────────────────────────────────────────────────────────────────────────────────────


def _view(config: ViewConfig, plan: ProviderPlan, claims: Mapping[UUID, Busy], now: datetime) -> PlanView:
    low, high = bookable_range(plan, config.window, config.rules(now))
    fits = fits_mask(plan, config.window)
    blocked = blocked_mask(plan, claims.values(), config.window, now)
    next_day_at = day_bounds(local_date(now, plan.time_zone), plan.time_zone)[1]
    return PlanView(plan, fits, fits & ~blocked & (ones(high - low) << low), low, high, next_day_at)


def _again(view: PlanView, claims: Iterable[Busy], first: int, now: datetime, span: Span) -> PlanView:
    """The same view with the starts of `span` (minutes since 1970) computed anew."""
    low, high = max(span[0] - first, view.low), min(span[1] - first, view.high)
    if low >= high:
        return view
    # Instants are compared before minutes are made of them: most claims are far away.
    plan = view.plan
    from_utc = at_minute(first + low - plan.buffer_before)
    to_utc = at_minute(first + high + plan.duration_minutes + plan.buffer_after)
    near = (
        blocked_span(plan, claim)
        for claim in claims
        if claim.busy_from < to_utc and claim.busy_to > from_utc and claim.is_live(now)
        if claim.busy_from < claim.busy_to
    )
    origin = first + low
    width = high - low
    blocked = span_mask(((start - origin, end - origin) for start, end in near), width)
    fresh = view.fits >> low & ones(width) & ~blocked
    free = view.free & ~(ones(width) << low) | fresh << low
    return view if free == view.free else replace(view, free=free)


# ── steps ─────────────────────────────────────────────────────────────────────────────────────────────


def _take(state: AvailabilityState, event: AllocationEvent) -> AvailabilityState:
    known = state.busy.get(event.provider_id)
    if known is None:
        return state  # nobody of this view
    before = known.get(event.allocation_id)
    if before == event.after:
        return state
    claims = dict(known)
    if event.after is None:
        del claims[event.allocation_id]
    else:
        claims[event.allocation_id] = event.after
    touched = [claim for claim in (before, event.after) if claim is not None]
    views = _refreshed(state, event.provider_id, claims, touched, state.now)
    return replace(state, busy={**state.busy, event.provider_id: claims}, views=views)


def _refreshed(
    state: AvailabilityState, provider_id: UUID, claims: Mapping[UUID, Busy], touched: Sequence[Busy], now: datetime
) -> tuple[PlanView, ...]:
    first, _ = axis(state.config.window)
    views = list(state.views)
    for index, view in enumerate(views):
        if view.plan.provider_id == provider_id:
            for claim in touched:
                view = _again(view, claims.values(), first, now, blocked_span(view.plan, claim))  # noqa: PLW2901
            views[index] = view
    return tuple(views)


def _pass_time(state: AvailabilityState, now: datetime, causes: list[AvailabilityCause]) -> AvailabilityState:
    """The state at `now`. Time never goes back: an event that was numbered late is taken at the state's own instant."""
    if now <= state.now:
        return state
    released = _lapse(state, now)
    _note(causes, AvailabilityCause.RELEASED, state, released)
    moved = _move_bounds(released, now)
    _note(causes, AvailabilityCause.TIME, released, moved)
    return replace(moved, now=now)


def _lapse(state: AvailabilityState, now: datetime) -> AvailabilityState:
    for provider_id, claims in state.busy.items():
        lapsed = [c for c in claims.values() if c.expires_at is not None and state.now < c.expires_at <= now]
        if lapsed:
            state = replace(state, views=_refreshed(state, provider_id, claims, lapsed, now))
    return state


def _move_bounds(state: AvailabilityState, now: datetime) -> AvailabilityState:
    first, past = axis(state.config.window)
    length = past - first
    views: list[PlanView] = []
    for view in state.views:
        low = max(view.low, _notice_bit(first, state.config.notice_minutes, now))
        high, next_day_at = view.high, view.next_day_at
        if now >= next_day_at:
            high = bookable_range(view.plan, state.config.window, state.config.rules(now))[1]
            next_day_at = day_bounds(local_date(now, view.plan.time_zone), view.plan.time_zone)[1]
        if (low, high, next_day_at) == (view.low, view.high, view.next_day_at):
            views.append(view)
            continue
        low = min(low, length)
        moved = replace(view, free=view.free >> low << low, low=low, high=high, next_day_at=next_day_at)
        claims = state.busy[view.plan.provider_id].values()
        views.append(_again(moved, claims, first, now, (first + view.high, first + high)))
    return replace(state, views=tuple(views))


def _notice_bit(first: int, notice_minutes: int, now: datetime) -> int:
    return max(0, minute_ceil(now + timedelta(minutes=notice_minutes)) - first)


# ── differences ───────────────────────────────────────────────────────────────────────────────────────


def _any_free(views: Iterable[PlanView]) -> int:
    return reduce(or_, (view.free for view in views), 0)


def _note(
    causes: list[AvailabilityCause], cause: AvailabilityCause, before: AvailabilityState, after: AvailabilityState
) -> None:
    """Remember the cause, once, if it changed anything."""
    if cause in causes or before is after:
        return
    if any(old.free != new.free for old, new in zip(before.views, after.views, strict=True)):
        causes.append(cause)


def _difference(
    before: AvailabilityState, after: AvailabilityState, causes: Sequence[AvailabilityCause]
) -> AvailabilityChange | None:
    """Between two states of one view."""
    pairs = zip(before.views, after.views, strict=True)
    changed = reduce(or_, (old.free ^ new.free for old, new in pairs if old is not new), 0)
    shift = lowest(changed)
    if shift is None:
        return None
    # Changes lie close together: work on the stretch from the first one on, not on the whole window.
    changed >>= shift
    origin = axis(before.config.window)[0] + shift
    had = _any_free(before.views) >> shift & changed
    has = _any_free(after.views) >> shift & changed
    stretch = Window(at_minute(origin), after.config.window.to_utc)
    return AvailabilityChange(
        opened=tuple(at_minute(origin + bit) for bit in bits(has & ~had)),
        closed=tuple(at_minute(origin + bit) for bit in bits(had & ~has)),
        updated=tuple(slots_of_masks([(v.plan, v.free >> shift & changed) for v in after.views], stretch)),
        causes=tuple(causes),
    )


def _by_start(state: AvailabilityState) -> dict[datetime, list[Slot]]:
    found: dict[datetime, list[Slot]] = {}
    for slot in state.slots():
        found.setdefault(slot.starts_at, []).append(slot)
    return found
