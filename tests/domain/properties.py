"""What must hold in every world, as functions of a seed: a sample runs with the tests, many more in `make faults`."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice, pairwise
from random import Random

from app.domain.explain import explain
from app.domain.free_times import GroupedSlots
from app.domain.instants import at_minute, minute_floor
from app.domain.refusals import why_not
from app.domain.slots import (
    axis,
    first_slot,
    free_masks,
    nearest,
    nearest_slots,
    slots,
    slots_of_masks,
)
from app.domain.visit_masks import visit_masks
from app.domain.visits import assignments, first_visit, visit_slots, why_not_visit
from tests.domain.reference_reasons import Truth
from tests.domain.reference_slots import Day, Minutes, reference_slots, reference_starts, reference_visits
from tests.domain.worlds import free_starts, random_visit_world, random_world

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def check_starts_equal_brute_force(seed: int) -> None:
    world = random_world(seed, providers=1)
    [plan] = world.plans
    assert free_starts(plan, world.busy, world.window, world.rules) == reference_starts(
        plan, world.busy, world.window, world.rules
    )


def check_slots_equal_brute_force(seed: int) -> None:
    world = random_world(seed, providers=4)
    found = slots(world.plans, world.busy, world.window, world.rules)
    assert found == reference_slots(world.plans, world.busy, world.window, world.rules, world.prices)
    assert first_slot(world.plans, world.busy, world.window, world.rules) == (found[0] if found else None)
    masks = free_masks(world.plans, world.busy, world.window, world.rules)
    made = slots_of_masks(masks, world.window, world.rules.now)
    assert GroupedSlots(masks, world.window, world.rules.now).least_slots == len(made) == len(found)
    instant = world.window.from_utc + timedelta(minutes=seed % 4_000 - 500, seconds=seed % 2)
    near = nearest_slots(world.plans, world.busy, world.window, world.rules, instant=instant)
    assert near == nearest(found, instant)


def check_free_slots_keep_the_rules(seed: int) -> None:
    """Without any second engine: each offered start is in hours and on the grid, and meets nobody's time."""
    world = random_world(seed, providers=1)
    [plan] = world.plans
    found = free_starts(plan, world.busy, world.window, world.rules)
    assert all(earlier < later for earlier, later in pairwise(found))
    minutes = Minutes(plan, world.window)
    for start in found:
        end = start + plan.duration_minutes * MINUTE
        assert world.window.from_utc <= start < world.window.to_utc
        assert start >= world.rules.now + world.rules.notice_minutes * MINUTE
        assert minutes.number(start) in minutes.grid
        assert minutes.working.issuperset(range(minutes.number(start), minutes.number(end)))
        low, high = start - plan.buffer_before * MINUTE, end + plan.buffer_after * MINUTE
        for claim in world.busy[plan.provider_id]:
            assert not (claim.is_live(world.rules.now) and claim.busy_from < high and low < claim.busy_to)


def check_reasons_are_true(seed: int) -> None:
    """No reason exactly where a slot is offered; otherwise all that is true of the time, and nothing else."""
    rng = Random(seed)
    world = random_world(seed, providers=1)
    [plan] = world.plans
    free = set(free_starts(plan, world.busy, world.window, world.rules))
    day = Day(plan, world.busy, world.window, world.rules.now)
    truth = Truth(day, world.window)
    first, past = axis(world.window)
    anytime = [at_minute(rng.randrange(first, past)) for _ in range(4)] if past > first else []
    on_grid = [day.minutes.instant(minute) for minute in day.minutes.grid]
    asked = anytime
    for some in (on_grid, truth.nights_taken_away(), sorted(free)):
        inside = [start for start in some if world.window.from_utc <= start < world.window.to_utc]
        asked = asked + rng.sample(inside, min(4, len(inside)))
    for start in asked:
        reasons = explain(plan, start, world.rules, world.busy)
        refusal = why_not(plan, start, world.rules, world.busy)
        assert (not reasons) == (refusal is None) == (start in free)
        if refusal is not None:
            assert (refusal.reason, refusal.message) == (reasons[0].reason, reasons[0].message)
        assert all(one.message and "private" not in one.message for one in reasons)
        assert all(one.from_utc is None or one.to_utc is None or one.from_utc < one.to_utc for one in reasons)
        truth.check(start, world.rules, reasons)
        assert explain(plan, start + rng.randint(1, 59) * SECOND, world.rules, world.busy)  # no start has seconds


def check_visits_equal_brute_force(seed: int) -> None:
    world = random_visit_world(seed)
    found = visit_slots(world.items, world.busy, world.window, world.rules)
    assert found == reference_visits(world.items, world.busy, world.window, world.rules, world.prices)
    assert first_visit(world.items, world.busy, world.window, world.rules) == (found[0] if found else None)
    masks = visit_masks(world.items, world.busy, world.window, world.rules)
    spent: list[int] = []
    assert masks.slots(masks.free, spent.append) == found
    assert masks.least_slots == len({slot.starts_at for slot in found})
    assert masks.least_slots + sum(spent) >= len(found)
    assert all(count >= 0 for count in spent)
    instant = world.window.from_utc + timedelta(minutes=seed % 4_000 - 500, seconds=seed % 2)
    near = masks.nearest(instant, 6)
    assert near == nearest(found, instant)


def check_visits_can_be_held(seed: int) -> None:
    """What is offered can be assigned, what cannot be assigned is not offered, and a refusal says why."""
    rng = Random(seed)
    world = random_visit_world(seed)
    found = visit_slots(world.items, world.busy, world.window, world.rules)
    first, past = axis(world.window)
    offered = {minute_floor(slot.starts_at) for slot in found}
    asked = rng.sample(sorted(offered), min(4, len(offered)))
    if past > first:
        asked += [rng.randrange(first, past) for _ in range(4)]
    for minute in asked:
        start = world.window.from_utc.replace(second=0) + (minute - minute_floor(world.window.from_utc)) * MINUTE
        if start < world.window.from_utc:
            continue
        ways = list(islice(assignments(world.items, start, world.rules, world.busy), 200))
        there = [slot for slot in found if slot.starts_at == start]
        assert bool(ways) == bool(there) == (minute in offered)
        assert (why_not_visit(world.items, start, world.rules, world.busy) is None) == bool(ways)
        assert {way[-1].ends_at for way in ways} == {slot.ends_at for slot in there}
        for way in ways:
            assert way[0].starts_at == start
            assert all(one.ends_at == other.starts_at for one, other in pairwise(way))
            assert all(part.plan in plans for part, plans in zip(way, world.items, strict=True))
