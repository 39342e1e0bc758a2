"""Two updates as one: a client ends just where the two in succession would have left it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from random import Random
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.live import AvailabilityCause
from app.domain.live_update import AvailabilityUpdate, EventKind, merge_updates
from app.domain.live_venue import VenueUpdate, merge_venue_updates
from app.domain.plan import Slot

FIRST = datetime(2026, 5, 4, 9, tzinfo=UTC)
Slots = dict[datetime, list[Slot]]


@dataclass
class Shown:
    """Does what an update says, and complains of one that does not fit."""

    slots: Slots = field(default_factory=dict)

    def take(self, update: AvailabilityUpdate) -> None:
        if update.kind is not EventKind.CHANGE:
            self.slots = {}
        assert not set(update.opened) & set(self.slots), "opened what was open"
        assert set(update.closed) <= set(self.slots), "closed what was not open"
        assert not set(update.opened) & set(update.closed)
        for starts_at in update.closed:
            del self.slots[starts_at]
        told: Slots = {}
        for slot in update.updated:
            told.setdefault(slot.starts_at, []).append(slot)
        assert set(update.opened) <= set(told) <= set(self.slots) | set(update.opened)
        assert [*update.opened, *update.closed, *told] == [
            *sorted(update.opened),
            *sorted(update.closed),
            *sorted(told),
        ]
        self.slots.update(told)


def random_slots(rng: Random) -> Slots:
    starts = [FIRST + timedelta(minutes=15 * n) for n in range(6) if rng.random() < 0.5]
    return {
        starts_at: [
            Slot(starts_at, starts_at + timedelta(minutes=30 * k), (UUID(int=k),), 1, rng.choice((1_000, 2_000)))
            for k in range(1, rng.randint(2, 3))
        ]
        for starts_at in starts
    }


def difference(before: Slots, after: Slots, cursor: str, cause: AvailabilityCause) -> AvailabilityUpdate:
    return AvailabilityUpdate(
        EventKind.CHANGE,
        cursor,
        tuple(starts_at for starts_at in after if starts_at not in before),
        tuple(starts_at for starts_at in before if starts_at not in after),
        tuple(slot for starts_at, found in after.items() if before.get(starts_at) != found for slot in found),
        (cause,),
        "USD",
    )


def whole(slots: Slots, kind: EventKind, cursor: str) -> AvailabilityUpdate:
    found = tuple(slot for of_start in slots.values() for slot in of_start)
    return AvailabilityUpdate(kind, cursor, tuple(slots), (), found, (), "USD")


def random_updates(rng: Random, shown: Slots) -> list[AvailabilityUpdate]:
    updates = []
    for number in range(rng.randint(2, 6)):
        after = random_slots(rng)
        if rng.random() < 0.15:
            updates.append(whole(after, EventKind.RESYNC, str(number)))
        else:
            updates.append(difference(shown, after, str(number), rng.choice(list(AvailabilityCause))))
        shown = after
    return updates


def merged_somehow(rng: Random, updates: list[AvailabilityUpdate]) -> AvailabilityUpdate:
    """Neighbours in any order of merging."""
    updates = list(updates)
    while len(updates) > 1:
        at = rng.randrange(len(updates) - 1)
        updates[at : at + 2] = [merge_updates(updates[at], updates[at + 1])]
    return updates[0]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_merged_is_the_same_as_one_after_the_other(seed: int) -> None:
    rng = Random(seed)
    before = random_slots(rng)
    updates = random_updates(rng, before)
    one_by_one, at_once = Shown(dict(before)), Shown(dict(before))
    for update in updates:
        one_by_one.take(update)
    merged = merged_somehow(rng, updates)
    at_once.take(merged)
    assert at_once.slots == one_by_one.slots
    assert merged.cursor == updates[-1].cursor
    last_whole = max((n for n, one in enumerate(updates) if one.kind is not EventKind.CHANGE), default=None)
    if last_whole is None:
        causes = [cause for update in updates for cause in update.causes]
        assert merged.causes == tuple(dict.fromkeys(causes))
    else:
        assert (merged.kind, merged.causes) == (EventKind.RESYNC, ())

    # Who had not even begun begins.
    begun = merged_somehow(rng, [whole(before, EventKind.SNAPSHOT, "0"), *updates])
    assert (begun.kind, begun.closed) == (EventKind.SNAPSHOT, ())
    fresh = Shown()
    fresh.take(begun)
    assert fresh.slots == one_by_one.slots


def test_what_is_undone_is_not_told() -> None:
    rng = Random(1)
    slots = random_slots(rng)
    taken = difference(slots, {}, "1", AvailabilityCause.HELD)
    back = difference({}, slots, "2", AvailabilityCause.RELEASED)
    assert merge_updates(back, taken).is_empty
    again = merge_updates(taken, back)
    assert (again.opened, again.closed, again.cursor) == ((), (), "2")
    assert again.causes == (AvailabilityCause.HELD, AvailabilityCause.RELEASED)
    assert not again.is_empty, "others may be free at these starts now"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_a_venue_is_merged_service_by_service(seed: int) -> None:
    rng = Random(seed)
    services = [UUID(int=n) for n in range(3)]
    shown = {service: random_slots(rng) for service in services}
    snapshot = VenueUpdate(
        EventKind.SNAPSHOT, "0", tuple((one, whole(shown[one], EventKind.SNAPSHOT, "0")) for one in services)
    )
    clients = {service: Shown(dict(shown[service])) for service in services}
    updates = []
    for number in range(1, 5):
        parts = []
        for service in rng.sample(services, rng.randint(1, 3)):
            after = random_slots(rng)
            update = difference(shown[service], after, str(number), AvailabilityCause.BOOKED)
            shown[service] = after
            if not update.is_empty:
                parts.append((service, update))
        updates.append(VenueUpdate(EventKind.CHANGE, str(number), tuple(parts)))
    merged = reduce(merge_venue_updates, updates)
    for service, part in merged.services:
        assert part.cursor == merged.cursor == "4"
        clients[service].take(part)
    assert {service: client.slots for service, client in clients.items()} == shown
    begun = merge_venue_updates(snapshot, merged)
    assert begun.kind is EventKind.SNAPSHOT
    for service, part in begun.services:
        fresh = Shown()
        fresh.take(part)
        assert fresh.slots == shown[service]
