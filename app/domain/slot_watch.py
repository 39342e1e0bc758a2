"""One slot as somebody looks at it: can it be had, why not, and what could be had instead. A pure fold, as `live`.

Claims of the viewer's own hold are no conflict: they are kept apart, and nothing else is computed from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from app.domain import live
from app.domain.busy import Busy, BusyKind
from app.domain.free_times import FreeSlots, for_nothing
from app.domain.instants import MAXIMUM_INSTANT, MINIMUM_INSTANT, minute_ceil, minute_floor
from app.domain.live import AllocationEvent, AvailabilityCause, AvailabilityState, BusyMap, ViewConfig
from app.domain.live_views import computed
from app.domain.masks import around
from app.domain.plan import Slot, Window, axis
from app.domain.slots import by_price, nearest
from app.domain.visit_masks import TooManyCombinations

ALTERNATIVES = 5
REACH = timedelta(days=3)
"""How far around the slot alternatives are looked for."""
_MINUTE = timedelta(minutes=1)
_INSTANT = timedelta(microseconds=1)


class SlotStatus(StrEnum):
    """How things stand with a slot. Values are those of the schema, in lower case.

    HELD may come free again by itself. PASSED: it is too soon for the notice now, or has begun.
    """

    FREE = "free"
    YOURS = "yours"
    HELD = "held"
    TAKEN = "taken"
    PASSED = "passed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SlotLook:
    """What somebody sees. `slot`: with its price, where it is free or the viewer's own."""

    status: SlotStatus
    slot: Slot | None = None
    alternatives: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchedSlot:
    """What is looked at: the wanted people, and (where somebody was named) everyone else who does the same.

    `own`: ids of the viewer's own allocations.
    """

    starts_at: datetime
    chosen: ViewConfig
    anyone: ViewConfig | None
    own: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class SlotState:
    """All that is known at `chosen.now`."""

    watched: WatchedSlot
    chosen: AvailabilityState
    anyone: AvailabilityState | None
    own: Mapping[UUID, Busy]

    @property
    def now(self) -> datetime:
        return self.chosen.now

    def has_own(self) -> bool:
        """Does the viewer hold, or have, this very slot?"""
        starts_at = self.watched.starts_at
        return any(c.is_live(self.now) and c.service_range()[0] == starts_at for c in self.own.values())


def window_around(starts_at: datetime) -> Window:
    """Where free starts are known."""
    return Window(max(starts_at - REACH, MINIMUM_INSTANT), min(starts_at + REACH + _MINUTE, MAXIMUM_INSTANT))


# ── the fold ──────────────────────────────────────────────────────────────────────────────────────────


def start(watched: WatchedSlot, busy: BusyMap, now: datetime) -> SlotState:
    """From nothing. `busy` may have the own claims in it."""
    others = {
        subject: {id_: c for id_, c in claims.items() if id_ not in watched.own} for subject, claims in busy.items()
    }
    own = {id_: c for claims in busy.values() for id_, c in claims.items() if id_ in watched.own}
    anyone = None if watched.anyone is None else live.start(watched.anyone, others, now)
    return SlotState(watched, live.start(watched.chosen, others, now), anyone, own)


def apply(state: SlotState, event: AllocationEvent) -> SlotState:
    """One event, at the state's own instant; repeating it changes nothing. May raise TooManyCombinations (visits)."""
    if event.allocation_id in state.watched.own:
        own = {id_: claim for id_, claim in state.own.items() if id_ != event.allocation_id}
        if event.after is not None:
            own[event.allocation_id] = event.after
        return replace(state, own=own)
    chosen, _ = live.apply(state.chosen, event, state.now)
    anyone = None if state.anyone is None else live.apply(state.anyone, event, state.now)[0]
    return replace(state, chosen=chosen, anyone=anyone)


def tick(state: SlotState, now: datetime) -> tuple[SlotState, AvailabilityCause]:
    """Time alone, and what to call it: RELEASED where a hold ran out, else TIME."""
    causes: set[AvailabilityCause] = set()
    chosen, change = live.tick(state.chosen, now)
    causes.update(change.causes if change is not None else ())
    anyone = state.anyone
    if anyone is not None:
        anyone, change = live.tick(anyone, now)
        causes.update(change.causes if change is not None else ())
    lapsed = any(c.is_live(state.now) and not c.is_live(now) for c in state.own.values())
    is_released = lapsed or AvailabilityCause.RELEASED in causes
    cause = AvailabilityCause.RELEASED if is_released else AvailabilityCause.TIME
    return replace(state, chosen=chosen, anyone=anyone), cause


def next_tick(state: SlotState) -> datetime | None:
    """When time alone may change what is seen."""
    found = [live.next_tick(state.chosen), _too_soon_at(state)]
    found += [claim.expires_at for claim in state.own.values()]
    if state.anyone is not None:
        found.append(live.next_tick(state.anyone))
    return min((instant for instant in found if instant is not None and instant > state.now), default=None)


def _too_soon_at(state: SlotState) -> datetime:
    """At exactly the notice it may still be booked."""
    return state.watched.starts_at - timedelta(minutes=state.watched.chosen.notice_minutes) + _INSTANT


# ── what is seen ──────────────────────────────────────────────────────────────────────────────────────


def look(state: SlotState) -> SlotLook:
    """The same state always looks the same."""
    slot = _slot(state)
    if state.has_own():
        return SlotLook(SlotStatus.YOURS, slot)
    if slot is not None:
        return SlotLook(SlotStatus.FREE, slot)
    return SlotLook(_why_not(state), None, _alternatives(state))


def _slot(state: SlotState) -> Slot | None:
    """The cheapest that starts just then."""
    bit = _bit(state)
    if bit is None or not state.chosen.found.free >> bit & 1:
        return None
    return min(state.chosen.found.slots(1 << bit, for_nothing), key=by_price)


def _bit(state: SlotState) -> int | None:
    """None: nothing starts within a minute, or so far away."""
    starts_at = state.watched.starts_at
    first, past = axis(state.watched.chosen.window)
    minute = minute_floor(starts_at)
    return minute - first if minute == minute_ceil(starts_at) and first <= minute < past else None


def _why_not(state: SlotState) -> SlotStatus:
    if state.now >= _too_soon_at(state):
        return SlotStatus.PASSED
    if _bit(state) is None:
        return SlotStatus.CLOSED
    if _is_free_without(state, {BusyKind.HELD}):
        return SlotStatus.HELD
    return SlotStatus.TAKEN if _is_free_without(state, {BusyKind.HELD, BusyKind.BOOKED}) else SlotStatus.CLOSED


def _is_free_without(state: SlotState, kinds: set[BusyKind]) -> bool:
    """If nobody had such claims: computed for that one start alone."""
    starts_at = state.watched.starts_at
    config = replace(state.watched.chosen, window=Window(starts_at, starts_at + _MINUTE))
    rest = {
        subject: {id_: claim for id_, claim in claims.items() if claim.kind not in kinds}
        for subject, claims in state.chosen.busy.items()
    }
    return computed(config, rest, state.now).found.free != 0


def _alternatives(state: SlotState) -> tuple[Slot, ...]:
    """Others at the same time, the nearest starts of the wanted people, then those of anyone; one for each start."""
    starts_at, bit = state.watched.starts_at, _place(state)
    found: dict[datetime, Slot] = {}
    others = state.anyone
    if others is not None:
        same_time = 1 << bit if bit >= 0 else 0
        _add(found, _slots(others.found, others.found.free & same_time), starts_at)
    _add(found, _slots(state.chosen.found, around(state.chosen.found.free, bit, ALTERNATIVES)), starts_at)
    if others is not None:
        _add(found, _slots(others.found, around(others.found.free, bit, ALTERNATIVES)), starts_at)
    return tuple(found.values())


def _place(state: SlotState) -> int:
    first, _ = axis(state.watched.chosen.window)
    return minute_floor(state.watched.starts_at) - first


def _slots(found: FreeSlots, starts: int) -> list[Slot]:
    try:
        return found.slots(starts, for_nothing)
    except TooManyCombinations:
        return []


def _add(known: dict[datetime, Slot], slots: Iterable[Slot], starts_at: datetime) -> None:
    for slot in nearest(slots, starts_at, ALTERNATIVES):
        if len(known) < ALTERNATIVES:
            known.setdefault(slot.starts_at, slot)
