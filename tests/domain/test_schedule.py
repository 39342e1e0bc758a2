"""Weekly hours: what is refused, where, and what they add up to."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import schedule
from app.domain.errors import Violation
from app.domain.schedule import (
    Interval,
    WeeklyHours,
    check_weekly,
    parse_local_time,
    sorted_weekly,
    weekly_from_json,
    weekly_hours,
    weekly_to_json,
)
from tests.domain.worlds import random_week


def hours(weekday: int, *opened: str, breaks: tuple[str, ...] = ()) -> WeeklyHours:
    return weekly_hours(weekday, [times(text) for text in opened], [times(text) for text in breaks])


def times(text: str) -> tuple[int, int]:
    start, _, end = text.partition("-")
    return parse_local_time(start), parse_local_time(end)


def paths(*days: WeeklyHours) -> list[str]:
    return [violation.path for violation in check_weekly(days, 15)]


def test_no_work_is_spent_on_more_than_a_day_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_inside", pytest.fail)
    many = [(20 * 60, 4 * 60)] * 5_000
    day = weekly_hours(0, many, many)
    assert [one.path for one in check_weekly([day], 15)] == ["input.weekly.0.open"]
    assert [one.path for one in check_weekly([weekly_hours(0, many[:1], many)], 15)] == ["input.weekly.0.breaks"]


def test_local_times() -> None:
    assert [parse_local_time(text) for text in ("00:00", "09:30", "23:59", "24:00")] == [0, 570, 1_439, 1_440]
    for bad in ("", "9:30", "24:01", "25:00", "12:60", "12.30", "12:30:00", "1\u0662:30", "12:30\n", " 12:30"):
        with pytest.raises(ValueError, match="HH:MM"):
            parse_local_time(bad)


def test_an_ordinary_week_and_an_empty_one_pass() -> None:
    assert paths(*(hours(day, "09:00-13:00", "14:00-18:00", breaks=("10:30-10:45",)) for day in range(6))) == []
    assert paths() == []
    assert paths(hours(0)) == []
    assert paths(hours(0, "00:00-24:00"), hours(1, "00:00-24:00")) == []


def test_an_end_before_the_start_crosses_midnight() -> None:
    night = hours(4, "20:00-04:00", breaks=("23:30-00:15", "01:00-01:30"))
    assert night.open == (Interval(1_200, 1_680),)
    assert night.breaks == (Interval(1_410, 1_455), Interval(1_500, 1_530))
    assert paths(night) == []


def test_touching_openings_join() -> None:
    assert paths(hours(0, "09:00-12:00", "12:00-15:00", breaks=("11:30-12:30",))) == []
    assert paths(hours(6, "20:00-24:00"), hours(0, "00:00-04:00")) == []


def test_what_is_refused_and_where() -> None:
    assert paths(hours(0, "09:00-09:00")) == ["input.weekly.0.open.0.end"]
    assert paths(hours(0, "24:00-08:00")) == ["input.weekly.0.open.0.start"]
    assert paths(hours(0, "09:00-12:00"), hours(0, "14:00-15:00")) == ["input.weekly.1.weekday"]
    assert paths(WeeklyHours(7, ())) == ["input.weekly.0.weekday"]
    assert paths(hours(0, "09:00-12:00", "11:59-15:00")) == ["input.weekly.0.open.1"]
    assert paths(hours(0, "11:59-15:00", "09:00-18:00")) == ["input.weekly.0.open.0"]
    assert paths(hours(0, "09:00-12:00", breaks=("12:00-12:30",))) == ["input.weekly.0.breaks.0"]
    assert paths(hours(0, "09:00-12:00", "13:00-15:00", breaks=("11:30-13:30",))) == ["input.weekly.0.breaks.0"]
    assert paths(hours(0, "09:00-12:00", breaks=("10:00-11:00", "10:59-11:30"))) == ["input.weekly.0.breaks.1"]
    assert paths(hours(0, "09:00-12:00", breaks=("10:00-10:00",))) == ["input.weekly.0.breaks.0.end"]
    assert paths(WeeklyHours(0, (Interval(0, 1_441),))) == ["input.weekly.0.open.0.end"]
    assert paths(hours(0, *(f"{hour:02d}:{m}-{hour:02d}:{m + 10}" for hour in range(13) for m in (10, 30)))) == [
        "input.weekly.0.open"
    ]


def test_nights_run_into_the_next_weekday_and_sunday_into_monday() -> None:
    assert paths(hours(0, "22:00-02:00"), hours(1, "01:00-05:00")) == ["input.weekly.1.open.0"]
    assert paths(hours(1, "01:00-05:00"), hours(0, "22:00-02:00")) == ["input.weekly.0.open.0"]
    assert paths(hours(6, "22:00-02:00"), hours(0, "01:00-05:00")) == ["input.weekly.1.open.0"]
    assert paths(hours(6, "22:00-01:00"), hours(0, "01:00-05:00")) == []


def test_slot_intervals() -> None:
    for minutes in (0, -5, 1_441):
        assert check_weekly([], minutes) == [Violation("input.slotIntervalMinutes", "must be 1 to 1440 minutes")]
    assert check_weekly([], 1) == check_weekly([], 1_440) == []


@given(st.integers(0, 2**32))
def test_weeks_come_back_from_json(seed: int) -> None:
    week = random_week(Random(seed))
    assert weekly_from_json(weekly_to_json(week)) == week
    shuffled = list(week)
    Random(seed + 1).shuffle(shuffled)
    assert sorted_weekly(shuffled) == sorted_weekly(week)
    assert check_weekly(sorted_weekly(shuffled), 15) == []


@given(
    st.lists(
        st.builds(
            weekly_hours,
            st.integers(-1, 7),
            st.lists(st.tuples(st.integers(0, 1_440), st.integers(0, 1_440)), max_size=3),
            st.lists(st.tuples(st.integers(0, 1_440), st.integers(0, 1_440)), max_size=2),
        ),
        max_size=4,
    )
)
def test_what_passes_never_overlaps(days: list[WeeklyHours]) -> None:
    if check_weekly(days, 15):
        return
    taken: set[int] = set()
    for day in days:
        opened: set[int] = set()
        for interval in day.open:
            minutes = {(day.weekday * 1_440 + m) % 10_080 for m in range(interval.start_minute, interval.end_minute)}
            assert not minutes & taken
            taken |= minutes
            opened |= minutes
        for pause in day.breaks:
            minutes = {(day.weekday * 1_440 + m) % 10_080 for m in range(pause.start_minute, pause.end_minute)}
            assert minutes <= opened
            opened -= minutes
