"""Runs of starts are the starts, and few."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.outlook import outlook_of


@given(st.sets(st.integers(0, 65 * 1_440)))
def test_nothing_is_lost_or_added(starts: set[int]) -> None:
    rising = sorted(starts)
    found = outlook_of(rising)
    assert found.starts() == rising
    assert found.days == sorted({minute // 1_440 for minute in rising})
    assert found.firsts == sorted(found.firsts)
    # What the database's binary search relies on.
    assert all(last < first for last, first in zip(found.lasts, found.firsts[1:], strict=False))
    assert all(step >= 1 for step in found.steps)


def test_a_week_of_office_hours_is_a_run_a_day() -> None:
    starts = [day * 1_440 + 540 + 15 * n for day in range(7) for n in range(32)]
    assert len(outlook_of(starts).firsts) == 7
    assert outlook_of([]) == outlook_of(())
    assert outlook_of([5]).starts() == [5]
