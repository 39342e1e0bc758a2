"""Schedules of other systems, as they are."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.errors import InvalidInput
from app.domain.schedule import Interval
from app.domain.schedule_import import read_schedule_json

SOURCE: dict[str, Any] = {
    "operatingDays": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"],
    "startTime": "09:00",
    "endTime": "22:00",
    "slotInterval": 60,
    "customHours": {"Saturday": {"enabled": True, "startTime": "10:00", "endTime": "23:00"}},
}


def hours(value: Any) -> dict[int, tuple[int, int]]:
    """Start and end minute by weekday."""
    return {day.weekday: _pair(day.open) for day in read_schedule_json(value).weekly}


def _pair(opened: tuple[Interval, ...]) -> tuple[int, int]:
    (only,) = opened
    return only.start_minute, only.end_minute


def refused(value: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        read_schedule_json(value)
    return {violation.path: violation.message for violation in caught.value.violations}


def test_the_documents_schedule() -> None:
    assert read_schedule_json(SOURCE).slot_interval_minutes == 60
    assert hours(SOURCE) == {**dict.fromkeys(range(5), (540, 1320)), 5: (600, 1380)}


def test_what_is_tolerated() -> None:
    plain = {name: value for name, value in SOURCE.items() if name != "customHours"}
    assert hours(plain) == dict.fromkeys(range(6), (540, 1320))
    assert hours({**SOURCE, "customHours": None}) == hours(plain)
    lower = {**SOURCE, "operatingDays": ["monday", "TUESDAY"], "customHours": {"monday": {**_custom("12:00", "13:00")}}}
    assert hours(lower) == {0: (720, 780), 1: (540, 1320)}
    off = {**SOURCE, "customHours": {"Saturday": {"enabled": False, "startTime": "nonsense"}}}
    assert hours(off) == hours(plain)
    night = {**SOURCE, "startTime": "18:00", "endTime": "02:00", "customHours": {}}
    assert hours(night)[0] == (1080, 1560)
    midnight = {**SOURCE, "startTime": "18:00", "endTime": "00:00", "customHours": {}}
    assert hours(midnight)[0] == (1080, 1440)
    # Enabled hours of a day that is not listed open it; nothing else is needed then.
    assert hours({"operatingDays": [], "slotInterval": 30, "customHours": {"Sunday": _custom("10:00", "24:00")}}) == {
        6: (600, 1440)
    }


def _custom(start: str, end: str) -> dict[str, Any]:
    return {"enabled": True, "startTime": start, "endTime": end}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"operatingDays": "Monday"}, "input.schedule.operatingDays"),
        ({"operatingDays": ["Monday", "Lunes"]}, "input.schedule.operatingDays.1"),
        ({"operatingDays": ["Monday", "monday"]}, "input.schedule.operatingDays.1"),
        ({"operatingDays": ["Monday"] * 500}, "input.schedule.operatingDays"),
        ({"operatingDays": [7]}, "input.schedule.operatingDays.0"),
        ({"operatingDays": ["Mon\x00day"]}, "input.schedule.operatingDays.0"),
        ({"operatingDays": [], "customHours": {}}, "input.schedule.operatingDays"),
        ({"startTime": "9:00"}, "input.schedule.startTime"),
        ({"startTime": 9}, "input.schedule.startTime"),
        ({"startTime": None}, "input.schedule.startTime"),
        ({"endTime": "25:00"}, "input.schedule.endTime"),
        ({"endTime": "09:00"}, "input.schedule.endTime"),
        ({"slotInterval": "60"}, "input.schedule.slotInterval"),
        ({"slotInterval": 0}, "input.schedule.slotInterval"),
        ({"slotInterval": True}, "input.schedule.slotInterval"),
        ({"slotInterval": 60.5}, "input.schedule.slotInterval"),
        ({"slotInterval": 1441}, "input.schedule.slotInterval"),
        ({"customHours": []}, "input.schedule.customHours"),
        ({"customHours": {"Samstag": {}}}, "input.schedule.customHours"),
        ({"customHours": {"Saturday": None}}, "input.schedule.customHours.Saturday"),
        (
            {"customHours": {"Saturday": {**_custom("10:00", "23:00"), "enabled": "yes"}}},
            "input.schedule.customHours.Saturday.enabled",
        ),
        (
            {"customHours": {"Saturday": {"enabled": True, "startTime": "10:00"}}},
            "input.schedule.customHours.Saturday.endTime",
        ),
        (
            {"customHours": {"Saturday": {**_custom("10:00", "23:00"), "capacity": 4}}},
            "input.schedule.customHours.Saturday",
        ),
        (
            {"customHours": {"Saturday": _custom("10:00", "23:00"), "saturday": _custom("10:00", "23:00")}},
            "input.schedule.customHours.saturday",
        ),
        ({"timezone": "UTC"}, "input.schedule"),
    ],
)
def test_everything_else_is_refused_at_its_place(change: dict[str, Any], path: str) -> None:
    assert path in refused({**SOURCE, **change})


@pytest.mark.parametrize("value", [None, [], "schedule", 7, True])
def test_not_even_an_object(value: Any) -> None:
    assert list(refused(value)) == ["input.schedule"]


def test_a_night_that_runs_into_the_next_day() -> None:
    night = {**SOURCE, "endTime": "03:00", "customHours": {"Tuesday": _custom("02:00", "10:00")}}
    assert "input.schedule.customHours.Tuesday.endTime" in refused(night)


def test_all_that_is_wrong_at_once() -> None:
    wrong = {"operatingDays": ["Funday"], "startTime": "x", "endTime": "y", "slotInterval": -1, "customHours": 3}
    assert set(refused(wrong)) == {
        f"input.schedule.{name}" for name in ("operatingDays.0", "startTime", "endTime", "slotInterval", "customHours")
    }
