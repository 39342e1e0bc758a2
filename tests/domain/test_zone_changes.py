"""Free slots are exact across changes of clocks: here two changes of every zone, in `make faults` all of all."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from app.domain.instants import zone
from tests.domain.worlds import CHANGES
from tests.domain.zone_changes import changes_of, check_around, some_changes


def test_slots_around_changes_of_clocks() -> None:
    checked = 0
    for name, change in some_changes():
        check_around(name, change)
        checked += 1
    assert checked > 400


def test_the_strangest_of_all() -> None:
    """Half an hour, a quarter of one, two hours, no midnight, midnight twice, and days that never were."""
    checked = 0
    for name, day in CHANGES:
        near = datetime.combine(day, time(), UTC)
        for change in changes_of(zone(name), near - timedelta(days=3), near + timedelta(days=3)):
            check_around(name, change, examples=3)
            checked += 1
    assert checked > 15
