"""A slot that is looked at: folding its events shows what computing anew shows, and what the engine says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.busy import Busy, BusyKind
from app.domain.live import AllocationEvent, AvailabilityCause, ViewConfig
from app.domain.slot_watch import (
    ALTERNATIVES,
    SlotState,
    SlotStatus,
    WatchedSlot,
    apply,
    look,
    next_tick,
    start,
    tick,
)
from tests.domain.test_live import Claims, config_of, numbered, occur, random_event, snapshot_of
from tests.domain.worlds import random_visit_world, random_world

_INSTANT = timedelta(microseconds=1)


def random_watch(rng: Random, config: ViewConfig, busy: Claims) -> WatchedSlot:
    """A start that somebody may have, of some of the people; some of the claims are the viewer's own."""
    free = snapshot_of({}, config, config.window.from_utc - timedelta(days=1))
    starts_at = rng.choice(free).starts_at if free else config.window.from_utc
    claims = sorted(id_ for by_id in busy.values() for id_ in by_id)
    own = frozenset(rng.sample(claims, min(len(claims), rng.randint(0, 2))))
    if rng.random() < 0.4:
        return WatchedSlot(starts_at, config, None, own)
    some = replace(config, plans=config.plans[:1], items=tuple(plans[:1] for plans in config.items))
    return WatchedSlot(starts_at, some, config, own)


def without(busy: Claims, watched: WatchedSlot, *kinds: BusyKind) -> Claims:
    return {
        subject: {id_: claim for id_, claim in by_id.items() if id_ not in watched.own and claim.kind not in kinds}
        for subject, by_id in busy.items()
    }


def check_truth(state: SlotState, busy: Claims) -> None:
    """The status and the alternatives are what the engine says of the same claims."""
    watched, now, seen = state.watched, state.now, look(state)

    def starts(config: ViewConfig, *kinds: BusyKind) -> set[object]:
        return {slot.starts_at for slot in snapshot_of(without(busy, watched, *kinds), config, now)}

    free = starts(watched.chosen)
    held, booked = BusyKind.HELD, BusyKind.BOOKED
    in_time = watched.starts_at >= now + timedelta(minutes=watched.chosen.notice_minutes)
    if seen.status is not SlotStatus.YOURS:
        assert (seen.status is SlotStatus.FREE) == (watched.starts_at in free)
        assert (seen.status is SlotStatus.PASSED) == (not in_time)
    if seen.status is SlotStatus.HELD:
        assert watched.starts_at in starts(watched.chosen, held)
    if seen.status is SlotStatus.TAKEN:
        assert watched.starts_at not in starts(watched.chosen, held)
        assert watched.starts_at in starts(watched.chosen, held, booked)
    if seen.status is SlotStatus.CLOSED:
        assert watched.starts_at not in starts(watched.chosen, held, booked)
    others = free | (starts(watched.anyone) if watched.anyone is not None else set())
    told = [slot.starts_at for slot in seen.alternatives]
    if seen.status in {SlotStatus.FREE, SlotStatus.YOURS}:
        assert told == []
    else:
        assert len(set(told)) == len(told) == min(ALTERNATIVES, len(others))
        assert set(told) <= others


def own_event(rng: Random, watched: WatchedSlot, busy: Claims, now: datetime) -> AllocationEvent | None:
    """Now and then the viewer's own hold comes to lie on the slot, or is held for longer."""
    mine = [(subject, id_, c) for subject, by_id in busy.items() for id_, c in by_id.items() if id_ in watched.own]
    if not mine or rng.random() < 0.6:
        return None
    subject, id_, claim = rng.choice(sorted(mine, key=lambda one: one[:2]))
    span = watched.starts_at, watched.starts_at + timedelta(minutes=rng.randint(10, 60))
    held = Busy(*span, BusyKind.HELD, *span, now + timedelta(minutes=rng.randint(1, 20)))
    return AllocationEvent(subject, id_, claim, held, AvailabilityCause.HELD)


def check_watching(config: ViewConfig, busy: Claims, seed: int) -> None:
    rng = Random(seed)
    watched = random_watch(rng, config, busy)
    now = config.window.from_utc - timedelta(days=rng.choice((0, 2)))
    state = start(watched, busy, now)
    for _ in range(8):
        check_truth(state, busy)
        due = next_tick(state)
        if due is not None:
            assert look(start(watched, busy, due - _INSTANT)) == look(state), "time alone changed it before it was due"
        now = max(now, state.now) + timedelta(seconds=rng.choice((0, 0, 1, 600, 40_000)))
        state, _ = tick(state, now)
        event = own_event(rng, watched, busy, now) or random_event(rng, config, busy, now)
        occur(busy, event)
        state = apply(state, event)
        assert look(state) == look(start(watched, busy, now))
        assert look(apply(state, event)) == look(state)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_folding_shows_what_computing_anew_shows(seed: int) -> None:
    world = random_world(seed)
    check_watching(config_of(world), numbered(world), seed)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_so_it_does_of_a_visit(seed: int) -> None:
    world = random_visit_world(seed)
    check_watching(config_of(world), numbered(world), seed)
