"""A stream of availability as a pure fold: state and event in, new state and what changed out.

The state holds who is busy and, for each plan, the mask of free starts. An event or the passing of time touches a few
spans of that mask, and only those are computed again (`app.domain.live_views`). The same events in the same order
always give the same state, so a client that comes back is served by undoing events to its cursor and replaying them
(`undo`, `start`, `apply`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import reduce
from itertools import zip_longest
from operator import or_
from uuid import UUID

from app.domain.busy import Busy
from app.domain.free_times import Spend, for_nothing
from app.domain.instants import at_minute
from app.domain.live_prices import next_price_change, price_differences
from app.domain.live_state import (
    AllocationEvent,
    AvailabilityCause,
    AvailabilityChange,
    AvailabilityState,
    BusyMap,
    ViewConfig,
)
from app.domain.live_views import computed, lapsed, moved, with_claim
from app.domain.masks import bits, lowest
from app.domain.plan import Slot, axis
from app.domain.slots import next_boundary

__all__ = [
    "AllocationEvent",
    "AvailabilityCause",
    "AvailabilityChange",
    "AvailabilityState",
    "BusyMap",
    "Step",
    "ViewConfig",
    "apply",
    "apply_all",
    "looks_alike",
    "next_tick",
    "redo",
    "reload",
    "start",
    "tick",
    "undo",
]

Step = tuple[AvailabilityState, AvailabilityChange | None]

# ── the fold ──────────────────────────────────────────────────────────────────────────────────────────


def start(config: ViewConfig, busy: BusyMap, now: datetime) -> AvailabilityState:
    """The state computed from nothing. Folding events must lead to the same. Of many people it takes a while."""
    return computed(config, busy, now)


def apply(state: AvailabilityState, event: AllocationEvent, now: datetime) -> Step:
    """One event, at `now` or at the state's own instant if that is later. Repeating an event changes nothing."""
    return apply_all(state, (event,), now)


def apply_all(state: AvailabilityState, events: Iterable[AllocationEvent], now: datetime) -> Step:
    """Several events in their order, told as one change; None when nothing is different in the end.

    Of a visit, this and all that follows may raise TooManyCombinations.
    """
    causes: list[AvailabilityCause] = []
    current = _pass_time(state, now, causes)
    for event in events:
        following = _take(current, event)
        _note(causes, event.cause, current, following)
        current = following
    return current, _difference(state, current, causes)


def tick(state: AvailabilityState, now: datetime) -> Step:
    """Time alone: holds that lapsed (RELEASED), notice, horizon and prices that depend on the lead time (TIME)."""
    return apply_all(state, (), now)


def next_tick(state: AvailabilityState) -> datetime | None:
    """When to tick next: the earliest instant at which time alone may change something."""
    first, _ = axis(state.config.window)
    bit = lowest(state.found.free)
    earliest = None if bit is None else at_minute(first + bit)
    plans, rules = tuple(state.config.all_plans()), state.config.rules(state.now)
    boundary = next_boundary(plans, state.holds, state.config.window, rules, earliest)
    dearer = next_price_change(state) if state.priced else None
    return min((instant for instant in (boundary, dearer) if instant is not None), default=None)


def reload(
    state: AvailabilityState,
    config: ViewConfig,
    now: datetime,
    cause: AvailabilityCause,
    busy: BusyMap | None = None,
    *,
    spend: Spend = for_nothing,
) -> Step:
    """Another schedule, price, set of people or resources, or other blocked times.

    `busy` is needed when a subject came in or blocked times are others; else the known stays. `spend` is told how many
    slots there will be.
    """
    causes: list[AvailabilityCause] = []
    current = _pass_time(state, now, causes)
    following = start(config, current.busy if busy is None else busy, current.now)
    after = _by_start(following.slots(spend))
    before = _by_start(state.slots())
    if _by_start(current.slots()) != after:
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
        by_id = earlier.setdefault(event.subject_id, {})
        if event.before is None:
            by_id.pop(event.allocation_id, None)
        else:
            by_id[event.allocation_id] = event.before
    return earlier


def redo(busy: dict[UUID, dict[UUID, Busy]], events: Iterable[AllocationEvent]) -> dict[UUID, dict[UUID, Busy]]:
    """The same map with the events done, oldest first: who was busy after them."""
    for event in events:
        by_id = busy.setdefault(event.subject_id, {})
        if event.after is None:
            by_id.pop(event.allocation_id, None)
        else:
            by_id[event.allocation_id] = event.after
    return busy


def looks_alike(state: AvailabilityState, later: AvailabilityState) -> bool:
    """Do two states of one configuration show the same? Nothing is told of what lies between them then."""
    return not _changed(state, later)


# ── steps ─────────────────────────────────────────────────────────────────────────────────────────────


def _take(state: AvailabilityState, event: AllocationEvent) -> AvailabilityState:
    known = state.busy.get(event.subject_id)
    if known is None:
        return state  # nobody of this view
    before = known.get(event.allocation_id)
    if before == event.after:
        return state
    return with_claim(state, event.subject_id, event.allocation_id, event.after)


def _pass_time(state: AvailabilityState, now: datetime, causes: list[AvailabilityCause]) -> AvailabilityState:
    """The state at `now`. Time never goes back: an event that was numbered late is taken at the state's own instant."""
    if now <= state.now:
        return state
    released = lapsed(state, now)
    _note(causes, AvailabilityCause.RELEASED, state, released)
    later = replace(moved(released, now), now=now, holds_at=now)
    _note(causes, AvailabilityCause.TIME, released, later)
    return later


# ── differences ───────────────────────────────────────────────────────────────────────────────────────


def _note(
    causes: list[AvailabilityCause], cause: AvailabilityCause, before: AvailabilityState, after: AvailabilityState
) -> None:
    """Remember the cause, once, if it changed anything."""
    if cause not in causes and before is not after and _changed(before, after):
        causes.append(cause)


def _changed(before: AvailabilityState, after: AvailabilityState) -> int:
    """The starts at which slots differ."""
    certain, possible = _visit_differences(before, after) if before.config.items else _differences(before, after)
    possible &= ~certain
    if not possible:
        return certain
    had, has = _by_start(before.found.slots(possible, for_nothing)), _by_start(after.found.slots(possible, for_nothing))
    first, _ = axis(before.config.window)
    for bit in bits(possible):
        starts_at = at_minute(first + bit)
        if had.get(starts_at) != has.get(starts_at):
            certain |= 1 << bit
    return certain


def _differences(before: AvailabilityState, after: AvailabilityState) -> tuple[int, int]:
    """The starts at which somebody is free before or after, but not both; and those where another number may be."""
    certain, possible = 0, 0
    served: dict[tuple[int, int], int] = {}  # those who need the same have the very same masks
    for old, new in zip(before.views, after.views, strict=True):
        if old is not new:
            certain |= old.free ^ new.free
            key = id(old.served), id(new.served)
            if key not in served:
                levels = zip_longest(old.served, new.served, fillvalue=0)
                served[key] = reduce(or_, (low ^ high for low, high in levels), 0)
            possible |= served[key] & new.free
    for index in after.priced:
        certain |= price_differences(before, after, index)
    return certain, possible


def _visit_differences(before: AvailabilityState, after: AvailabilityState) -> tuple[int, int]:
    """The starts at which the visit is possible before or after, but not both; and those from which it may come to a
    service whose people or prices are others."""
    touched = [0] * len(before.config.items)
    for old, new in zip(before.views, after.views, strict=True):
        if old is not new:
            touched[old.place] |= old.free ^ new.free
    for index in after.priced:
        touched[after.views[index].place] |= price_differences(before, after, index)
    if not any(touched):
        return 0, 0
    old_visit, new_visit = before.visit, after.visit
    from_here = 0
    for place in range(len(touched) - 1, -1, -1):
        ways = (*old_visit.lengths[place].items(), *new_visit.lengths[place].items())
        from_here = reduce(or_, (mask & from_here >> minutes for minutes, mask in ways), touched[place])
    return old_visit.free ^ new_visit.free, from_here & old_visit.free & new_visit.free


def _difference(
    before: AvailabilityState, after: AvailabilityState, causes: Sequence[AvailabilityCause]
) -> AvailabilityChange | None:
    """Between two states of one view."""
    changed = _changed(before, after)
    if not changed:
        return None
    origin, _ = axis(before.config.window)
    had, has = before.found.free & changed, after.found.free & changed
    return AvailabilityChange(
        opened=tuple(at_minute(origin + bit) for bit in bits(has & ~had)),
        closed=tuple(at_minute(origin + bit) for bit in bits(had & ~has)),
        updated=tuple(after.found.slots(changed, for_nothing)),
        causes=tuple(causes),
    )


def _by_start(found: Iterable[Slot]) -> dict[datetime, list[Slot]]:
    by_start: dict[datetime, list[Slot]] = {}
    for slot in found:
        by_start.setdefault(slot.starts_at, []).append(slot)
    return by_start
