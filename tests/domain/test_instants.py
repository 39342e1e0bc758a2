"""Zones, instants and local times, on the days when clocks misbehave."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.instants import (
    EPOCH,
    at_minute,
    check_instant,
    day_bounds,
    format_instant,
    local_date,
    minute_ceil,
    minute_floor,
    parse_date,
    parse_instant,
    resolve_local,
    zone,
)
from tests.domain.worlds import CHANGES

ALL_ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})


BACK_OVER_MIDNIGHT = {
    "America/St_Johns",
    "Canada/Newfoundland",
    "America/Goose_Bay",
    "America/Moncton",
    "Antarctica/Casey",
}
"""Zones whose clocks, once or more until 2010, went back over midnight after it had passed: see `day_bounds`."""


def utc(year: int, month: int, day: int, *clock: int) -> datetime:
    hours, minutes, seconds, microseconds = (*clock, 0, 0, 0, 0)[:4]
    since = timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=microseconds)
    return datetime(year, month, day, tzinfo=UTC) + since


# ── zones ─────────────────────────────────────────────────────────────────────────────────────────────


def test_every_iana_zone_is_known() -> None:
    assert [zone(name).key for name in ALL_ZONES] == ALL_ZONES


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "posixrules",
        "localtime",
        "Factory",
        "leapseconds",
        "posix/UTC",
        "right/UTC",
        "tzdata.zi",
        "zone.tab",
        "../../etc/passwd",
        "/etc/localtime",
        "America",
        "America/",
        "America//New_York",
        "America/../UTC",
        "./UTC",
        "UTC\x00",
        "UTC\n",
        "America/New York",
        "America/Nowhere",
        "Europe/Zürich",
        "\ud800",
        "A" * 65,
        "A" * 100_000,
        "+03:00",
        "-03",
        "C:\\Windows",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="IANA"):
        zone(name)


# ── instants ──────────────────────────────────────────────────────────────────────────────────────────


def test_instants_are_read_with_their_offset() -> None:
    assert parse_instant("2026-03-04T10:00:00-03:00") == utc(2026, 3, 4, 13)
    assert parse_instant("2026-03-04t10:00:00.123456789z") == utc(2026, 3, 4, 10, 0, 0, 123_456)
    assert parse_instant("2026-03-04T10:00Z") == utc(2026, 3, 4, 10)
    assert parse_instant("1970-01-01T00:00:00Z") == EPOCH
    assert parse_instant("2200-01-01T00:00:00Z") == utc(2200, 1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-03-04",
        "2026-03-04T10:00:00",
        "2026-03-04T10:00:00 -03:00",
        "2026-02-30T10:00:00Z",
        "2026-03-04T24:00:00Z",
        "2026-03-04T23:59:60Z",
        "2026-03-04T10:00:00+25:00",
        "2026-03-04T10:00:00+10:60",
        "2026-W10-3T10:00:00Z",
        "20260304T100000Z",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00.000001Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "2026-03-04T1\u0660:00:00Z",
        "2026-03-04T10:00:00Z\n",
        "2026-03-04T10:00:00." + "1" * 10_000 + "Z",
    ],
)
def test_other_texts_are_no_instants(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_instant(text)


def test_naive_and_absurd_instants_are_refused() -> None:
    assert check_instant(datetime(2026, 3, 4, 10, tzinfo=timezone(timedelta(hours=-3)))) == utc(2026, 3, 4, 13)
    with pytest.raises(ValueError, match="offset"):
        check_instant(datetime(2026, 3, 4))  # noqa: DTZ001
    for hours in (-14, 14):
        for absurd in (date.min, date.max):
            midnight = datetime(absurd.year, absurd.month, absurd.day, tzinfo=timezone(timedelta(hours=hours)))
            with pytest.raises(ValueError, match="between"):
                check_instant(midnight)


@given(st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=st.timezones()))  # noqa: DTZ001
def test_instants_come_back_as_written(value: datetime) -> None:
    written = format_instant(value)
    assert written.endswith("Z")
    assert parse_instant(written) == check_instant(value)


def test_dates() -> None:
    assert parse_date("2026-02-28") == date(2026, 2, 28)
    for bad in (
        "2026-02-29",
        "2026-2-3",
        "20260203",
        "1969-12-31",
        "2200-01-02",
        "202\u0666-03-04",
        "",
        "2026-02-28T00",
    ):
        with pytest.raises(ValueError, match=r"\w"):
            parse_date(bad)


# ── local times ───────────────────────────────────────────────────────────────────────────────────────


def is_local_gap(day: date, minutes: int, tz: zoneinfo.ZoneInfo) -> bool:
    """Is this a local time that clocks jump over? Then it does not come back from UTC."""
    local = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)  # noqa: DTZ001
    return local.replace(tzinfo=tz).astimezone(UTC).astimezone(tz).replace(tzinfo=None, fold=0) != local


def test_a_local_time_in_a_gap_moves_to_its_end() -> None:
    new_york = zone("America/New_York")
    for minute in (120, 121, 150, 179, 180):
        assert resolve_local(date(2026, 3, 8), minute, new_york) == utc(2026, 3, 8, 7)
    assert is_local_gap(date(2026, 3, 8), 120, new_york)
    assert is_local_gap(date(2026, 3, 8), 179, new_york)
    assert not is_local_gap(date(2026, 3, 8), 180, new_york)
    assert not is_local_gap(date(2026, 3, 8), 119, new_york)
    assert not is_local_gap(date(2026, 11, 1), 90, new_york)
    lord_howe = zone("Australia/Lord_Howe")
    assert resolve_local(date(2026, 10, 4), 135, lord_howe) == utc(2026, 10, 3, 15, 30)


def test_an_ambiguous_local_time_is_the_first() -> None:
    assert resolve_local(date(2026, 11, 1), 90, zone("America/New_York")) == utc(2026, 11, 1, 5, 30)
    assert resolve_local(date(2026, 4, 5), 100, zone("Australia/Lord_Howe")) == utc(2026, 4, 4, 14, 40)


def test_local_times_run_past_midnight() -> None:
    baires = zone("America/Argentina/Buenos_Aires")
    assert resolve_local(date(2026, 3, 4), 1_560, baires) == utc(2026, 3, 5, 5)
    assert resolve_local(date(2026, 3, 4), 2_880, baires) == utc(2026, 3, 6, 3)
    for minute in (-1, 2_881):
        with pytest.raises(ValueError, match="2880"):
            resolve_local(date(2026, 3, 4), minute, baires)


def test_days_without_midnight() -> None:
    assert day_bounds(date(2018, 11, 4), zone("America/Sao_Paulo")) == (utc(2018, 11, 4, 3), utc(2018, 11, 5, 2))
    beirut = day_bounds(date(2026, 3, 29), zone("Asia/Beirut"))
    assert beirut == (utc(2026, 3, 28, 22), utc(2026, 3, 29, 21))
    # Havana has midnight twice in November: the day begins with the first.
    assert day_bounds(date(2026, 11, 1), zone("America/Havana")) == (utc(2026, 11, 1, 4), utc(2026, 11, 2, 5))


def test_a_date_that_was_skipped_is_empty() -> None:
    apia = zone("Pacific/Apia")
    assert day_bounds(date(2011, 12, 29), apia) == (utc(2011, 12, 29, 10), utc(2011, 12, 30, 10))
    assert day_bounds(date(2011, 12, 30), apia) == (utc(2011, 12, 30, 10), utc(2011, 12, 30, 10))
    assert day_bounds(date(2011, 12, 31), apia) == (utc(2011, 12, 30, 10), utc(2011, 12, 31, 10))
    assert is_local_gap(date(2011, 12, 30), 720, apia)


def test_zones_of_odd_seconds_do_no_harm() -> None:
    monrovia = zone("Africa/Monrovia")  # 44 minutes and 30 seconds behind until 1972
    start, end = day_bounds(date(1971, 5, 5), monrovia)
    assert (start, end) == (utc(1971, 5, 5, 0, 44, 30), utc(1971, 5, 6, 0, 44, 30))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ALL_ZONES), st.integers(0, 84_000), st.lists(st.integers(0, 2_880), min_size=2, max_size=12))
def test_resolving_keeps_the_order_and_shows_the_time_asked_for(name: str, days: int, minutes: list[int]) -> None:
    tz = zone(name)
    day = date(1970, 1, 1) + timedelta(days=days)
    check_resolving(tz, day, sorted(minutes))


@pytest.mark.parametrize(("name", "day"), CHANGES)
def test_resolving_around_every_style_of_change(name: str, day: date) -> None:
    for shift in (-2, -1, 0, 1):
        check_resolving(zone(name), day + timedelta(days=shift), list(range(0, 2_881, 5)))


def check_resolving(tz: zoneinfo.ZoneInfo, day: date, minutes: list[int]) -> None:
    resolved = [resolve_local(day, minute, tz) for minute in minutes]
    assert resolved == sorted(resolved)
    for minute, instant in zip(minutes, resolved, strict=True):
        wanted = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001
        shown = instant.astimezone(tz).replace(tzinfo=None, fold=0)
        if is_local_gap(day, minute, tz):
            assert shown > wanted
            just_before = (instant - timedelta(seconds=1)).astimezone(tz).replace(tzinfo=None, fold=0)
            assert just_before < wanted
        else:
            assert shown == wanted
            assert instant.astimezone(tz).fold == 0


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ALL_ZONES), st.datetimes(datetime(1970, 1, 3), datetime(2199, 12, 29), timezones=st.just(UTC)))  # noqa: DTZ001
def test_days_meet_and_hold_their_instants(name: str, instant: datetime) -> None:
    tz = zone(name)
    day = local_date(instant, tz)
    start, end = day_bounds(day, tz)
    assert end == day_bounds(day + timedelta(days=1), tz)[0]
    assert start <= instant < end or name in BACK_OVER_MIDNIGHT


def test_no_zone_changes_twice_within_three_days() -> None:
    """`openings` compares offsets two days apart and takes them as steady in between: this is why it may."""
    end = int(utc(2040, 1, 1).timestamp())  # later ones repeat by rule
    for name in ALL_ZONES[::9] + sorted({name for name, _ in CHANGES}):
        tz = zone(name)
        offsets = [datetime.fromtimestamp(t, tz).utcoffset() for t in range(0, end, 24 * 3_600)]
        changes = [index for index, (before, after) in enumerate(pairwise(offsets)) if before != after]
        assert all(later - earlier > 3 for earlier, later in pairwise(changes)), name


def test_minutes() -> None:
    assert minute_floor(utc(1970, 1, 2, 0, 0, 59)) == 1_440 == minute_ceil(utc(1970, 1, 2))
    assert minute_ceil(utc(1970, 1, 2, 0, 0, 0, 1)) == 1_441
    assert at_minute(1_441) == utc(1970, 1, 2, 0, 1)
