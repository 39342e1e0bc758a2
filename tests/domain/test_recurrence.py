"""Rules of recurrence: what they give, how they end, and that no text keeps anybody busy."""

from __future__ import annotations

import datetime as clock
import time
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from types import SimpleNamespace
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule as library
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.instants import resolve_local
from app.domain.recurrence import (
    MAXIMUM_DATES,
    REACH_DAYS,
    Frequency,
    RecurrenceRule,
    check_rule,
    occurrences,
    parse_rule,
    rule_dates,
)

BERLIN = ZoneInfo("Europe/Berlin")
MADRID_START = datetime(2026, 1, 5, 9, tzinfo=UTC)  # a Monday, 10:00 in Berlin


def starts(text: str, first: datetime = MADRID_START, tz: ZoneInfo = BERLIN, *excepted: date) -> list[datetime]:
    return [one.starts_at for one in occurrences(parse_rule(text), excepted, first, tz)]


def test_a_year_of_weeks_keeps_its_wall_clock_over_both_changes() -> None:
    found = starts("FREQ=WEEKLY;COUNT=52")
    assert len(found) == 52
    assert {one.astimezone(BERLIN).strftime("%a %H:%M") for one in found} == {"Mon 10:00"}
    assert {one.hour for one in found} == {8, 9}


def test_a_time_that_is_skipped_and_one_that_comes_twice() -> None:
    daily = parse_rule("FREQ=DAILY;COUNT=3")
    skipped = occurrences(daily, (), resolve_local(date(2026, 3, 28), 150, BERLIN), BERLIN)
    assert [one.is_skipped for one in skipped] == [False, True, False]
    assert skipped[1].starts_at.astimezone(BERLIN).strftime("%H:%M") == "03:00"
    twice = occurrences(daily, (), resolve_local(date(2026, 10, 24), 150, BERLIN), BERLIN)
    assert [one.is_skipped for one in twice] == [False] * 3
    assert twice[1].starts_at == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="second time"):
        occurrences(daily, (), datetime(2026, 10, 25, 1, 30, tzinfo=UTC), BERLIN)


def test_a_month_that_lacks_the_day_is_passed_over() -> None:
    first = resolve_local(date(2026, 1, 31), 600, BERLIN)
    assert [one.astimezone(BERLIN).month for one in starts("FREQ=MONTHLY;COUNT=4", first)] == [1, 3, 5, 7]


def test_exceptions_leave_out_what_the_count_counts() -> None:
    found = occurrences(parse_rule("FREQ=WEEKLY;COUNT=4"), {date(2026, 1, 12)}, MADRID_START, BERLIN)
    assert [(one.index, one.day.day) for one in found] == [(1, 5), (2, 19), (3, 26)]
    with pytest.raises(InvalidInput, match="leave no date"):
        occurrences(parse_rule("FREQ=DAILY;COUNT=1"), {date(2026, 1, 5)}, MADRID_START, BERLIN)


def test_until_is_included_as_a_date_and_as_an_instant() -> None:
    assert len(starts("FREQ=DAILY;UNTIL=20260107")) == 3
    assert len(starts("FREQ=DAILY;UNTIL=20260107T090000Z")) == 3
    assert len(starts("FREQ=DAILY;UNTIL=20260107T085959Z")) == 2


def test_the_first_start_is_one_of_the_dates() -> None:
    with pytest.raises(InvalidInput, match="the first from there on is 2026-01-06"):
        starts("FREQ=WEEKLY;BYDAY=TU;COUNT=3")
    with pytest.raises(InvalidInput, match="whole minute"):
        starts("FREQ=DAILY;COUNT=3", MADRID_START + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FREQ=SECONDLY;COUNT=3", "DAILY, WEEKLY or MONTHLY"),
        ("FREQ=YEARLY;COUNT=3", "DAILY, WEEKLY or MONTHLY"),
        ("COUNT=3", "DAILY, WEEKLY or MONTHLY"),
        ("FREQ=DAILY", "must end"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "must end"),
        ("FREQ=DAILY;COUNT=105", "COUNT of 1 to 104"),
        ("FREQ=DAILY;COUNT=0", "COUNT of 1 to 104"),
        ("FREQ=DAILY;COUNT=-1", "COUNT of 1 to 104"),
        ("FREQ=DAILY;COUNT=99999999999999999999", "COUNT of 1 to 104"),
        ("FREQ=DAILY;COUNT=3;INTERVAL=0", "INTERVAL of 1 to"),
        ("FREQ=DAILY;COUNT=3;COUNT=4", "COUNT twice"),
        ("FREQ=DAILY;UNTIL=99991231", "too far"),
        ("FREQ=DAILY;UNTIL=20260230", "no calendar has"),
        ("FREQ=DAILY;UNTIL=20260230T1", "must have an UNTIL"),
        ("FREQ=DAILY;UNTIL=20260207T100000", "must have an UNTIL"),
        ("FREQ=DAILY;COUNT=3;BYHOUR=1,2,3", "cannot be booked by"),
        ("FREQ=WEEKLY;COUNT=3;BYDAY=1MO", "by the month only"),
        ("FREQ=WEEKLY;COUNT=3;BYMONTHDAY=1", "RFC 5545 forbids"),
        ("FREQ=MONTHLY;COUNT=3;BYDAY=9MO", "weekdays such as"),
        ("FREQ=MONTHLY;COUNT=3;BYMONTHDAY=0", "BYMONTHDAY of 0"),
        ("FREQ=DAILY;COUNT=3;BYSETPOS=1", "BYSETPOS"),
        ("FREQ=DAILY;COUNT=3;WKST=XX", "WKST"),
        ("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY;COUNT=3", "in one line"),
        ("FREQ=DAILY;COUNT=\uff13", "in one line"),
        ("FREQ=DAILY;COUNT=3\0", "in one line"),
        ("", "no RFC 5545 rule"),
        ("FREQ=DAILY;" + "BYMONTH=1;" * 60, "at most 500"),
    ],
)
def test_hostile_rules_are_told_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_rule(text)


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=300;COUNT=3",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31;UNTIL=21991231",
        "FREQ=DAILY;UNTIL=21991231",
        "FREQ=WEEKLY;INTERVAL=1000;COUNT=104",
        "FREQ=MONTHLY;COUNT=104",
        "FREQ=DAILY;UNTIL=20260104",
    ],
)
def test_what_never_comes_or_never_ends_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidInput):
        starts(text)
    assert time.process_time() - began < 0.5


def test_a_rule_is_written_as_it_is_read() -> None:
    text = "FREQ=MONTHLY;INTERVAL=2;COUNT=5;BYMONTH=1,3;BYMONTHDAY=-1,5;BYDAY=MO,-1FR;BYSETPOS=1;WKST=SU"
    assert parse_rule(text).text() == text
    assert parse_rule("rrule:freq=daily;until=20270101t000000z;").text() == "FREQ=DAILY;UNTIL=20270101T000000Z"
    with pytest.raises(ValueError, match="every"):
        check_rule(RecurrenceRule(Frequency.DAILY, every=0, count=3))


@st.composite
def rules(draw: st.DrawFn) -> str:
    frequency = draw(st.sampled_from(list(Frequency)))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 4))}"]
    named = draw(st.lists(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), max_size=3, unique=True))
    if frequency is Frequency.MONTHLY:
        if draw(st.booleans()):  # all or none: of a mixture the library takes what is in both
            named = [f"{draw(st.sampled_from(['1', '2', '5', '-1', '-5']))}{one}" for one in named]
        month_days = draw(st.lists(st.sampled_from([1, 13, 28, 31, -1, -31]), max_size=3, unique=True))
        parts += [f"BYMONTHDAY={','.join(map(str, month_days))}"] if month_days else []
        if (named or month_days) and draw(st.booleans()):
            parts.append(f"BYSETPOS={draw(st.sampled_from(['1', '-1', '1,-1', '2', '-2,3']))}")
    parts += [f"BYDAY={','.join(named)}"] if named else []
    months = draw(st.lists(st.integers(1, 12), max_size=3, unique=True))
    parts += [f"BYMONTH={','.join(map(str, months))}"] if months else []
    parts.append(f"WKST={draw(st.sampled_from(['MO', 'SU', 'TH']))}")
    return ";".join(parts)


ENDING = SimpleNamespace(**{**vars(clock), "MAXYEAR": 2033})
"""For the library, which looks for a rule's next date as far as the year 9999."""


@settings(max_examples=60, deadline=None)
@given(rules(), st.dates(date(2024, 1, 1), date(2028, 12, 31)))
def test_dates_are_those_of_the_reference(text: str, first: date) -> None:
    begin = datetime(first.year, first.month, first.day)  # noqa: DTZ001 - the reference counts days
    last = begin + timedelta(days=REACH_DAYS)
    with patch.object(library, "datetime", ENDING):
        reference = rrulestr(f"{text};UNTIL={last:%Y%m%dT%H%M%S}", dtstart=begin)
        expected = [one.date() for one in islice(reference, MAXIMUM_DATES)]
    found = list(islice(rule_dates(parse_rule(f"{text};COUNT=104"), first), MAXIMUM_DATES))
    assert found == expected
