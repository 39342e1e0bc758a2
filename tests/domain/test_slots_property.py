"""The mask engine against brute force, on random worlds around every style of clock change."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.refusals import why_not
from app.domain.slots import first_slot, free_starts, slots
from tests.domain.reference_slots import reference_slots, reference_starts
from tests.domain.worlds import random_world

seeds = st.integers(0, 2**32)


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_free_starts_equal_brute_force(seed: int) -> None:
    world = random_world(seed, providers=1)
    plan = world.plans[0]
    busy = world.busy[plan.provider_id]
    assert free_starts(plan, busy, world.window, world.rules) == reference_starts(plan, busy, world.window, world.rules)


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_slots_of_anyone_equal_brute_force(seed: int) -> None:
    world = random_world(seed)
    found = slots(world.plans, world.busy, world.window, world.rules)
    assert found == reference_slots(world.plans, world.busy, world.window, world.rules)
    assert first_slot(world.plans, world.busy, world.window, world.rules) == (found[0] if found else None)


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_a_start_is_offered_exactly_when_there_is_no_refusal(seed: int) -> None:
    world = random_world(seed, providers=1)
    plan = world.plans[0]
    busy = world.busy[plan.provider_id]
    free = set(free_starts(plan, busy, world.window, world.rules))
    minutes = int((world.window.to_utc - world.window.from_utc).total_seconds() // 60)
    for minute in range(0, minutes, 15):
        start = world.window.from_utc.replace(second=0) + timedelta(minutes=minute)
        if start < world.window.from_utc:
            continue
        assert (why_not(plan, start, world.rules, busy) is None) == (start in free)
    for start in list(free)[:20]:
        assert why_not(plan, start, world.rules, busy) is None
