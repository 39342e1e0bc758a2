"""The checks of the random lives see what is wrong: each kind of damage, done by hand past the product, is found."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Databases
from tests.e2e.lifecycle_invariants import INVARIANTS, faults_of
from tests.e2e.lifecycle_machine import OPERATIONS, Lives, begin
from tests.e2e.lifecycle_promises import Intent, broken_promises
from tests.e2e.lifecycle_rows import Reader, Rows
from tests.e2e.lifecycle_world import make_world

STEPS = (
    ("book_time", (0, 0, 3, 0, 0)),
    ("book_time", (0, 0, 5, 0, 0)),
    ("book_places", (0, 1, 0, 0, 0)),
    ("hold_time", (0, 1, 3, 0)),
    ("hold_places", (0, 0, 0)),
    ("wait_for_places", (0, 1, 1)),
    ("wait_for_places", (0, 1, 1)),
    ("free_what_is_awaited", (0,)),
)
_LATER = "interval '1 hour'"
DAMAGE = {
    "no_overlap": (
        "ALTER TABLE allocation DROP CONSTRAINT allocation_no_overlap",
        "UPDATE allocation SET busy = tstzrange(date_trunc('day', starts_at), ends_at) WHERE booking_id IS NOT NULL",
    ),
    "time_follows_status": ("UPDATE allocation SET status = 'released' WHERE booking_id IS NOT NULL",),
    "items_follow_booking": ("UPDATE booking_item SET price_minor = price_minor + 1",),
    "places_add_up": ("UPDATE activity_session SET taken = taken - 1 WHERE taken > 0",),
    "places_follow_status": ("UPDATE place_claim SET places = places + 1 WHERE booking_id IS NOT NULL",),
    "holds_keep_what_they_say": (
        f"UPDATE allocation SET expires_at = expires_at + {_LATER} WHERE booking_id IS NULL AND hold_id IS NOT NULL",
    ),
    "statuses_follow_the_table": (
        "ALTER TABLE booking_transition DISABLE TRIGGER USER",
        "UPDATE booking_transition SET to_status = 'completed' WHERE from_status IS NOT NULL",
    ),
    "history_is_complete": ("UPDATE booking SET price_minor = price_minor + 1",),
    "changes_are_told": ("DELETE FROM outbox_event WHERE type = 'booking.confirmed'",),
    "money_adds_up": ("UPDATE booking SET paid_minor = 1",),
    "groups_are_whole": ("UPDATE place_claim SET is_private = true",),
    "offers_are_holds": ("UPDATE hold SET status = 'released' WHERE waitlist_entry_id IS NOT NULL",),
    "nobody_is_passed_over": ("UPDATE waitlist_entry SET priority = 5 WHERE status = 'waiting'",),
}
"""Of each invariant what breaks it."""
UNASKED = {
    "starts_at": f"UPDATE booking SET starts_at = starts_at - {_LATER}",
    "price_minor": "UPDATE booking SET price_minor = 1",
    "status": "UPDATE booking SET status = 'cancelled'",
    "provider_id": "UPDATE booking SET provider_id = service_id WHERE service_id IS NOT NULL",
    "what it keeps": "UPDATE place_claim SET expires_at = expires_at + interval '1 minute' WHERE booking_id IS NULL",
    "are gone": "DELETE FROM booking",
}


@pytest.fixture(scope="module")
async def life(databases: Databases, redis_url: str) -> AsyncIterator[Lives]:
    """A shop with bookings of time and places, with holds, and with two who wait, one of whom has an offer."""
    async with make_world(databases.create(), redis_url) as world:
        made = await begin(world)
        for name, numbers in STEPS:
            assert await made.step(OPERATIONS[name], numbers) == []
        yield made


async def test_all_is_well(life: Lives) -> None:
    rows = await Reader(life.world.raw, life.ground).read(life.world.now())
    assert list(faults_of(rows)) == []
    assert (len(rows.bookings), len(rows.holds)) == (4, 7)
    assert {one.__name__ for one in INVARIANTS} == DAMAGE.keys()


@pytest.mark.parametrize("name", DAMAGE)
async def test_damage_is_seen(life: Lives, name: str) -> None:
    rows = await _damaged(life, *DAMAGE[name])
    assert name in {fault.partition(":")[0] for fault in faults_of(rows)}


@pytest.mark.parametrize("what", UNASKED)
async def test_what_nobody_asked_for_is_seen(life: Lives, what: str) -> None:
    before = await _damaged(life)
    assert list(broken_promises(before, before, Intent(), life.promises)) == []
    after = await _damaged(life, UNASKED[what])
    told = list(broken_promises(before, after, Intent(), life.promises))
    assert any(what in one for one in told), told


async def _damaged(life: Lives, *statements: str) -> Rows:
    """As it would be after these, which no trigger notices. Nothing stays of them."""
    raw = life.world.raw
    damage = raw.transaction()
    await damage.start()
    try:
        await raw.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            await raw.execute(statement)
        return await Reader(raw, life.ground).read(life.world.now())
    finally:
        await damage.rollback()
