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
from app.domain.instants import at_minute
from app.domain.live_state import (
    AllocationEvent,
    AvailabilityCause,
    AvailabilityChange,
    AvailabilityState,
    BusyMap,
    ViewConfig,
)
from app.domain.live_views import computed, lapsed, live_claims, moved, refreshed
from app.domain.masks import bits, lowest
from app.domain.plan import Slot, axis
from app.domain.slot_list import SlotGroup, cut_group, slots_of_groups
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
    "next_tick",
    "reload",
    "start",
    "tick",
    "undo",
]

Step = tuple[AvailabilityState, AvailabilityChange | None]

# ── the fold ──────────────────────────────────────────────────────────────────────────────────────────


def start(config: ViewConfig, busy: BusyMap, now: datetime) -> AvailabilityState:
    """The state computed from nothing. Folding events must lead to the same. Of a visit: TooManyCombinations."""
    return computed(config, busy, now)


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
    bit = lowest(state.any_free())
    earliest = None if bit is None else at_minute(first + bit)
    plans, rules = tuple(state.config.all_plans()), state.config.rules(state.now)
    return next_boundary(plans, live_claims(state.busy), state.config.window, rules, earliest)


def reload(
    state: AvailabilityState,
    config: ViewConfig,
    now: datetime,
    cause: AvailabilityCause,
    busy: BusyMap | None = None,
) -> Step:
    """Another schedule, price, set of people or resources, or other blocked times.

    `busy` is needed when a subject came in or blocked times are others; else the known stays.
    """
    causes: list[AvailabilityCause] = []
    current = _pass_time(state, now, causes)
    following = start(config, current.busy if busy is None else busy, current.now)
    before, after = _by_start(state.slots()), _by_start(following.slots())
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


# ── steps ─────────────────────────────────────────────────────────────────────────────────────────────


def _take(state: AvailabilityState, event: AllocationEvent) -> AvailabilityState:
    known = state.busy.get(event.subject_id)
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
    with_event = replace(state, busy={**state.busy, event.subject_id: claims})
    return refreshed(with_event, event.subject_id, touched, state.now)


def _pass_time(state: AvailabilityState, now: datetime, causes: list[AvailabilityCause]) -> AvailabilityState:
    """The state at `now`. Time never goes back: an event that was numbered late is taken at the state's own instant."""
    if now <= state.now:
        return state
    released = lapsed(state, now)
    _note(causes, AvailabilityCause.RELEASED, state, released)
    later = moved(released, now)
    _note(causes, AvailabilityCause.TIME, released, later)
    return replace(later, now=now)


# ── differences ───────────────────────────────────────────────────────────────────────────────────────


def _note(
    causes: list[AvailabilityCause], cause: AvailabilityCause, before: AvailabilityState, after: AvailabilityState
) -> None:
    """Remember the cause, once, if it changed anything."""
    if cause not in causes and before is not after and _changed(before, after):
        causes.append(cause)


def _changed(before: AvailabilityState, after: AvailabilityState) -> int:
    """The starts at which slots differ."""
    certain, possible = 0, 0
    for old, new in zip(before.views, after.views, strict=True):
        if old is not new:
            certain |= old.free ^ new.free
            if old.served != new.served:
                for low, high in zip_longest(old.served, new.served, fillvalue=0):
                    possible |= (low ^ high) & new.free
    if before.visits is not after.visits:
        possible |= _any_difference(before.visits, after.visits)
    possible &= ~certain
    if not possible:
        return certain
    had, has = _by_start(_part(before, possible)), _by_start(_part(after, possible))
    first, _ = axis(before.config.window)
    for bit in bits(possible):
        starts_at = at_minute(first + bit)
        if had.get(starts_at) != has.get(starts_at):
            certain |= 1 << bit
    return certain


def _any_difference(before: Sequence[SlotGroup], after: Sequence[SlotGroup]) -> int:
    """The starts at which somebody takes part in a visit before or after, but not both."""
    had, has = (
        {(one.duration_minutes, one.price_minor, who): mask for one in groups for who, mask in one.people}
        for groups in (before, after)
    )
    return reduce(or_, (had.get(key, 0) ^ has.get(key, 0) for key in had.keys() | has.keys()), 0)


def _difference(
    before: AvailabilityState, after: AvailabilityState, causes: Sequence[AvailabilityCause]
) -> AvailabilityChange | None:
    """Between two states of one view."""
    changed = _changed(before, after)
    if not changed:
        return None
    origin, _ = axis(before.config.window)
    had, has = before.any_free() & changed, after.any_free() & changed
    return AvailabilityChange(
        opened=tuple(at_minute(origin + bit) for bit in bits(has & ~had)),
        closed=tuple(at_minute(origin + bit) for bit in bits(had & ~has)),
        updated=tuple(_part(after, changed)),
        causes=tuple(causes),
    )


def _part(state: AvailabilityState, starts: int) -> list[Slot]:
    """The slots of these starts."""
    shift = lowest(starts)
    if shift is None:
        return []
    # Changes lie close together: work on the stretch from the first one on, not on the whole window.
    cut = starts >> shift
    groups = [part for group in state.groups() if (part := cut_group(group, shift, cut)).people]
    return slots_of_groups(groups, axis(state.config.window)[0] + shift)


def _by_start(found: Iterable[Slot]) -> dict[datetime, list[Slot]]:
    by_start: dict[datetime, list[Slot]] = {}
    for slot in found:
        by_start.setdefault(slot.starts_at, []).append(slot)
    return by_start
