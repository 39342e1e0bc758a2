"""Windows of time that somebody waits for, and what triggers say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.domain.errors import FieldErrors
from app.domain.waitlist import (
    OpenedHours,
    OpenedPlaces,
    OpenedTime,
    TimeWindow,
    check_windows,
    joined,
    line_of,
    read_openings,
    within,
)

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
ONE = UUID(int=1)


def window(first: float, last: float) -> TimeWindow:
    return TimeWindow(NOON + timedelta(hours=first), NOON + timedelta(hours=last))


def test_windows_that_meet_are_one() -> None:
    assert joined([window(3, 4), window(0, 1), window(1, 2), window(0.5, 1.5)]) == [window(0, 2), window(3, 4)]
    assert within([window(0, 2), window(3, 4)], window(1, 3)) == [window(1, 2)]


@pytest.mark.parametrize(
    ("windows", "path"),
    [
        ([], "windows"),
        ([window(0, 1)] * 11, "windows"),
        ([window(1, 1)], "windows.0.to"),
        ([window(2, 1)], "windows.0.to"),
        ([window(-2, 0)], "windows.0.to"),
        ([window(24 * 365, 24 * 366 + 1)], "windows.0.to"),
        ([window(0, 24 * 31), window(24 * 40, 24 * 71 + 1)], "windows"),
    ],
)
def test_windows_that_cannot_be(windows: list[TimeWindow], path: str) -> None:
    errors = FieldErrors()
    check_windows(windows, NOON, errors, "windows")
    assert path in [violation.path for violation in errors.found]


def test_windows_that_can() -> None:
    errors = FieldErrors()
    check_windows([window(-1, 24 * 31), window(24 * 335, 24 * 365)], NOON, errors, "windows")
    assert errors.found == []


def test_what_triggers_say() -> None:
    said = [
        f"waitlist.places {ONE} {ONE}",
        f"waitlist.hours {ONE}",
        f"waitlist.time {ONE} {ONE} 2026-03-04T12:00:00+00:00 2026-03-04T13:00:00+00:00",
        "something else",
        "",
    ]
    bounds = window(0, 1)
    found = read_openings(said)
    assert found == [OpenedPlaces(ONE, ONE), OpenedHours(ONE), OpenedTime(ONE, ONE, bounds.from_at, bounds.to_at)]
    assert read_openings(map(str, found)) == found


def test_a_line_is_nothing_else() -> None:
    assert line_of(ONE) != ONE
    assert line_of(ONE) == line_of(UUID(int=1))
