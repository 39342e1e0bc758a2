"""The live fold: whatever happens in whatever order, folding equals computing anew, and undoing is exact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import live_views
from app.domain.busy import Busy, BusyKind
from app.domain.instants import zone
from app.domain.live import (
    AllocationEvent,
    AvailabilityCause,
    AvailabilityChange,
    AvailabilityState,
    ViewConfig,
    apply,
    apply_all,
    next_tick,
    reload,
    start,
    tick,
    undo,
)
from app.domain.schedule import ScheduleVersion, weekly_hours
from app.domain.slots import ProviderPlan, Slot, Window, slots
from app.domain.visits import visit_slots
from tests.domain.worlds import (
    VisitWorld,
    World,
    provider_id,
    random_busy,
    random_plan,
    random_visit_world,
    random_world,
)

Claims = dict[UUID, dict[UUID, Busy]]


@dataclass
class Client:
    """Does with changes what the docstring of AvailabilityChange tells it to do."""

    shown: dict[datetime, list[Slot]] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Iterable[Slot]) -> Client:
        client = cls()
        for slot in snapshot:
            client.shown.setdefault(slot.starts_at, []).append(slot)
        return client

    def take(self, change: AvailabilityChange | None) -> None:
        if change is None:
            return
        assert change.causes
        assert len(set(change.causes)) == len(change.causes)
        for starts_at in change.closed:
            del self.shown[starts_at]
        assert not set(change.opened) & set(self.shown)
        told = Client.of(change.updated).shown
        assert set(change.opened) <= set(told)
        assert set(told) <= set(self.shown) | set(change.opened)
        assert all(self.shown.get(starts_at) != found for starts_at, found in told.items())  # no news is not told
        self.shown.update(told)


def config_of(world: World | VisitWorld) -> ViewConfig:
    rules = world.rules
    if isinstance(world, VisitWorld):
        return ViewConfig((), world.window, rules.notice_minutes, rules.maximum_advance_days, world.items)
    return ViewConfig(world.plans, world.window, rules.notice_minutes, rules.maximum_advance_days)


def snapshot_of(busy: Claims, config: ViewConfig, now: datetime) -> list[Slot]:
    """Straight from the engine, without any state."""
    claims = {subject: list(by_id.values()) for subject, by_id in busy.items()}
    if config.items:
        return visit_slots(config.items, claims, config.window, config.rules(now))
    return slots(config.plans, claims, config.window, config.rules(now))


def numbered(world: World | VisitWorld) -> Claims:
    return {
        subject: {UUID(int=1_000 * index + number): claim for number, claim in enumerate(claims)}
        for index, (subject, claims) in enumerate(world.busy.items())
    }


def random_event(rng: Random, config: ViewConfig, busy: Claims, now: datetime) -> AllocationEvent:
    """Of a provider or of a resource unit."""
    subject = rng.choice(sorted(busy))
    known = busy[subject]
    what = rng.random()
    if known and what < 0.55:
        allocation_id = rng.choice(sorted(known))
        before = known[allocation_id]
        if what < 0.3:
            return AllocationEvent(subject, allocation_id, before, None, AvailabilityCause.CANCELLED)
        if what < 0.45:
            booked = Busy(before.busy_from, before.busy_to, BusyKind.BOOKED, before.starts_at, before.ends_at)
            return AllocationEvent(subject, allocation_id, before, booked, AvailabilityCause.BOOKED)
        longer = Busy(
            before.busy_from,
            before.busy_to,
            BusyKind.HELD,
            before.starts_at,
            before.ends_at,
            now + timedelta(minutes=rng.randint(1, 20)),
        )
        return AllocationEvent(subject, allocation_id, before, longer, AvailabilityCause.HELD)
    claim = random_busy(rng, config.window, now)
    return AllocationEvent(subject, UUID(int=rng.getrandbits(64)), None, claim, AvailabilityCause.HELD)


def occur(busy: Claims, event: AllocationEvent) -> None:
    by_id = busy.setdefault(event.subject_id, {})
    if event.after is None:
        by_id.pop(event.allocation_id, None)
    else:
        by_id[event.allocation_id] = event.after


def same(state: AvailabilityState, other: AvailabilityState) -> bool:
    return (
        [(view.free, view.served) for view in state.views] == [(view.free, view.served) for view in other.views]
        and state.slots() == other.slots()
        and state.busy == other.busy
        and state.now == other.now
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_folding_equals_computing_anew_and_replays_from_any_cursor(seed: int) -> None:
    check_folding(random_world(seed), seed)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_folding_a_visit_equals_computing_anew(seed: int) -> None:
    check_folding(random_visit_world(seed), seed)


def check_folding(world: World | VisitWorld, seed: int) -> None:
    rng = Random(seed)
    config = config_of(world)
    now = world.rules.now
    busy = numbered(world)
    state = start(config, busy, now)
    client = Client.of(state.slots())
    assert state.slots() == snapshot_of(busy, config, now)
    spent: list[int] = []
    assert len(state.slots(spent.append)) <= sum(spent)
    assert state.starts() == list(client.shown)
    history: list[tuple[AllocationEvent, datetime]] = []
    past: list[tuple[AvailabilityState, dict[datetime, list[Slot]]]] = [(state, dict(client.shown))]

    for _ in range(20):
        now += timedelta(seconds=rng.choice((0, 0, 1, 30, 600, 40_000)))
        event = random_event(rng, config, busy, now)
        occur(busy, event)
        history.append((event, now))
        state, change = apply(state, event, now)
        client.take(change)
        assert same(state, start(config, busy, now))
        assert client.shown == Client.of(state.slots()).shown
        assert apply(state, event, now) == (state, None)  # once more: nothing
        past.append((state, dict(client.shown)))

    # A client that left after any event comes back: undo from the present, then replay.
    cursor = rng.randint(0, len(history))
    then, shown = past[cursor]
    earlier = undo(busy, [event for event, _ in reversed(history[cursor:])])
    resumed = start(config, earlier, then.now)
    assert same(resumed, then)
    returning = Client(dict(shown))
    for event, at in history[cursor:]:
        resumed, change = apply(resumed, event, at)
        returning.take(change)
    assert same(resumed, state)
    assert returning.shown == client.shown
    # … or is told everything as one change.
    at_once, change = apply_all(then, [event for event, _ in history[cursor:]], now)
    assert same(at_once, state)
    merged = Client(dict(shown))
    merged.take(change)
    assert merged.shown == client.shown


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_time_alone_changes_nothing_before_the_next_tick(seed: int) -> None:
    check_time(random_world(seed), seed)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_time_alone_changes_no_visit_before_the_next_tick(seed: int) -> None:
    check_time(random_visit_world(seed), seed)


def check_time(world: World | VisitWorld, seed: int) -> None:
    rng = Random(seed)
    config = config_of(world)
    busy = numbered(world)
    state = start(config, busy, world.rules.now)
    client = Client.of(state.slots())
    for _ in range(12):
        due = next_tick(state)
        if due is None:
            late = state.now + timedelta(days=rng.randint(1, 400))
            assert snapshot_of(busy, config, late) == state.slots()
            return
        assert due > state.now
        just_before = max(state.now, due - timedelta(microseconds=1))
        assert snapshot_of(busy, config, just_before) == state.slots()
        state, change = tick(state, due + timedelta(seconds=rng.choice((0, 0, 3, 900))))
        client.take(change)
        assert same(state, start(config, busy, state.now))
        assert client.shown == Client.of(state.slots()).shown


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_a_new_configuration_is_told_as_one_change(seed: int) -> None:
    rng = Random(seed)
    world = random_world(seed)
    config = config_of(world)
    busy = numbered(world)
    state = start(config, busy, world.rules.now)
    client = Client.of(state.slots())
    newcomer = random_plan(rng, 77, world.plans[0].time_zone.key, world.window.from_utc.date())
    plans = (*world.plans[1:], newcomer)
    other = ViewConfig(plans, world.window, rng.choice((0, 600)), rng.choice((1, 365)))
    with_newcomer = {**busy, provider_id(77): {UUID(int=5): random_busy(rng, world.window, world.rules.now)}}
    later = world.rules.now + timedelta(minutes=rng.randint(0, 60))
    state, change = reload(state, other, later, AvailabilityCause.SCHEDULE, with_newcomer)
    client.take(change)
    assert same(state, start(other, with_newcomer, later))
    assert client.shown == Client.of(state.slots()).shown
    assert reload(state, other, later, AvailabilityCause.PRICE)[1] is None


# ── causes, by example ────────────────────────────────────────────────────────────────────────────────

NOW = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)


def one_provider() -> tuple[ViewConfig, UUID]:
    week = tuple(weekly_hours(day, [(540, 720)]) for day in range(7))  # 09:00-12:00
    version = ScheduleVersion(UUID(int=1), date(2026, 1, 1), None, 60, week)
    plan = ProviderPlan(provider_id(1), zone("UTC"), (version,), 60)
    window = Window(datetime(2026, 5, 4, tzinfo=UTC), datetime(2026, 5, 6, tzinfo=UTC))
    return ViewConfig((plan,), window, notice_minutes=60, maximum_advance_days=365), plan.provider_id


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 5, 4, hour, minute, tzinfo=UTC)


def test_a_hold_closes_a_start_and_its_lapse_opens_it_again() -> None:
    config, provider = one_provider()
    state = start(config, {}, NOW)
    held = Busy(at(10), at(11), BusyKind.HELD, at(10), at(11), NOW + timedelta(minutes=10))
    state, change = apply(
        state, AllocationEvent(provider, UUID(int=7), None, held, AvailabilityCause.HELD), NOW + timedelta(seconds=1)
    )
    assert change == AvailabilityChange((), (at(10),), (), (AvailabilityCause.HELD,))
    assert next_tick(state) == NOW + timedelta(minutes=10)
    state, change = tick(state, NOW + timedelta(minutes=10))
    assert change is not None
    assert (change.opened, change.closed, change.causes) == ((at(10),), (), (AvailabilityCause.RELEASED,))
    assert change.updated == (Slot(at(10), at(11), (provider,), 1, None),)
    # The sweeper's event comes later and tells nothing new.
    state, change = apply(
        state,
        AllocationEvent(provider, UUID(int=7), held, None, AvailabilityCause.RELEASED),
        NOW + timedelta(minutes=11),
    )
    assert change is None
    assert state.busy[provider] == {}


def test_an_event_computes_only_what_it_touches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a month: the hour of the hold and those from which a start would reach into it."""
    config, provider = one_provider()
    month = replace(config, window=replace(config.window, to_utc=config.window.from_utc + timedelta(days=31)))
    state = start(month, {}, NOW)
    computed: list[tuple[int, int]] = []
    untaken_in = live_views._untaken_in

    def noted(*given: Any) -> int:
        computed.append(given[-1])
        return untaken_in(*given)

    monkeypatch.setattr(live_views, "_untaken_in", noted)
    held = Busy(at(10), at(11), BusyKind.HELD, at(10), at(11), NOW + timedelta(minutes=10))
    event = AllocationEvent(provider, UUID(int=7), None, held, AvailabilityCause.HELD)
    state, change = apply(state, event, NOW + timedelta(seconds=1))
    assert change is not None
    [(low, high)] = computed
    assert 9 * 60 <= low < high <= 11 * 60


def test_the_notice_closes_starts_one_by_one() -> None:
    config, _ = one_provider()
    state = start(config, {}, NOW)
    state, change = tick(state, at(8))
    assert change is None  # exactly an hour before: still possible
    assert next_tick(state) == at(8) + timedelta(microseconds=1)
    state, change = tick(state, at(8, 1))
    assert change == AvailabilityChange((), (at(9),), (), (AvailabilityCause.TIME,))


def test_strangers_and_late_events_do_no_harm() -> None:
    config, provider = one_provider()
    state = start(config, {}, NOW)
    claim = Busy(at(10), at(11))
    stranger = AllocationEvent(provider_id(55), UUID(int=1), None, claim, AvailabilityCause.BOOKED)
    assert apply(state, stranger, NOW) == (state, None)
    unknown = AllocationEvent(provider, UUID(int=1), claim, None, AvailabilityCause.CANCELLED)
    assert apply(state, unknown, NOW) == (state, None)
    late, change = apply(
        state, AllocationEvent(provider, UUID(int=1), None, claim, AvailabilityCause.BOOKED), NOW - timedelta(hours=5)
    )
    assert late.now == NOW
    assert change is not None
    assert change.closed == (at(10),)


def test_undo_leaves_its_input_alone() -> None:
    claim = Busy(at(10), at(11))
    busy = {provider_id(1): {UUID(int=1): claim}}
    earlier = undo(busy, [AllocationEvent(provider_id(1), UUID(int=1), None, claim, AvailabilityCause.BOOKED)])
    assert earlier == {provider_id(1): {}}
    assert busy == {provider_id(1): {UUID(int=1): claim}}
