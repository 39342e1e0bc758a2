"""Calendars of all kinds → when their owner is busy."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters import calendar_reader
from app.adapters.calendar_reader import ChildCalendarReader, read_calendar
from app.domain.busy_calendar import Budget, CalendarRefused, Span, busy_spans
from app.ports import CalendarBusy, FeedProblem

HOME = ZoneInfo("America/New_York")
WINDOW = (datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 2, 5, tzinfo=UTC))


def calendar(*events: str, head: str = "") -> bytes:
    """Each event as lines between `;;`."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", *head.split(";;")]
    for event in events:
        lines += ["BEGIN:VEVENT", *event.split(";;"), "END:VEVENT"]
    return "\r\n".join(filter(None, [*lines, "END:VCALENDAR", ""])).encode()


def spans(*events: str, head: str = "") -> list[str]:
    """`MM-DDTHH:MM/MM-DDTHH:MM` in UTC, of 2027."""
    return shown(read_calendar(calendar(*events, head=head), HOME, WINDOW).spans)


def shown(found: tuple[Span, ...]) -> list[str]:
    return ["/".join(f"{instant:%m-%dT%H:%M}" for instant in span) for span in found]


ONE = "DTSTART:20270305T100000Z;;DTEND:20270305T110000Z"
ONE_SPAN = ["03-05T10:00/03-05T11:00"]
WEEKLY = "DTSTART;TZID=America/New_York:20270305T090000;;DTEND;TZID=America/New_York:20270305T100000;;UID:w"
WEEKLY_RULE = WEEKLY + ";;RRULE:FREQ=WEEKLY"
MADRID = (
    "BEGIN:VTIMEZONE;;TZID:Ours;;BEGIN:STANDARD;;DTSTART:19701025T030000;;TZOFFSETFROM:+0200;;TZOFFSETTO:+0100;;"
    "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU;;END:STANDARD;;BEGIN:DAYLIGHT;;DTSTART:19700329T020000;;"
    "TZOFFSETFROM:+0100;;TZOFFSETTO:+0200;;RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;;END:DAYLIGHT;;END:VTIMEZONE"
)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ONE, ONE_SPAN),
        ("DTSTART:20270305T100000Z;;DURATION:PT1H", ONE_SPAN),
        ("DTSTART:20270305T100000Z;;DURATION:P1DT1H30M", ["03-05T10:00/03-06T11:30"]),
        ("DTSTART:20270305T100000Z;;DURATION:P2W", ["03-05T10:00/03-19T10:00"]),
        # what takes no time
        ("DTSTART:20270305T100000Z", []),
        ("DTSTART:20270305T100000Z;;DTEND:20270305T100000Z", []),
        ("DTSTART:20270305T100000Z;;DTEND:20270305T090000Z", []),
        ("DTSTART:20270305T100000Z;;DURATION:-PT1H", []),
        # what does not block
        (ONE + ";;STATUS:CANCELLED", []),
        (ONE + ";;TRANSP:TRANSPARENT", []),
        (ONE + ";;X-MICROSOFT-CDO-BUSYSTATUS:FREE", []),
        (ONE + ";;STATUS:TENTATIVE;;TRANSP:OPAQUE;;X-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE", ONE_SPAN),
        # zones
        ("DTSTART;TZID=Europe/Madrid:20270705T100000;;DURATION:PT1H", ["07-05T08:00/07-05T09:00"]),
        ("DTSTART;TZID=Romance Standard Time:20270705T100000;;DURATION:PT1H", ["07-05T08:00/07-05T09:00"]),
        (
            'DTSTART;TZID="/citadel.org/20210210_1/Europe/Madrid":20270705T100000;;DURATION:PT1H',
            ["07-05T08:00/07-05T09:00"],
        ),
        ("DTSTART;TZID=No/Such:20270705T100000;;DURATION:PT1H", ["07-05T14:00/07-05T15:00"]),
        ("DTSTART;TZID=../../etc/passwd:20270705T100000;;DURATION:PT1H", ["07-05T14:00/07-05T15:00"]),
        ("DTSTART:20270705T100000;;DURATION:PT1H", ["07-05T14:00/07-05T15:00"]),
        # a time that clocks jump over, one that occurs twice, and nights of 23 and 25 hours
        ("DTSTART:20270314T023000;;DURATION:PT1H", ["03-14T07:30/03-14T08:30"]),
        ("DTSTART:20271107T013000;;DURATION:PT1H", ["11-07T05:30/11-07T06:30"]),
        ("DTSTART:20270313T120000;;DURATION:P1D", ["03-13T17:00/03-14T16:00"]),
        ("DTSTART:20270313T120000;;DURATION:PT24H", ["03-13T17:00/03-14T17:00"]),
        # all day: days of the provider, be they 23 or 25 hours long
        ("DTSTART;VALUE=DATE:20270305", ["03-05T05:00/03-06T05:00"]),
        ("DTSTART;VALUE=DATE:20270305;;DTEND;VALUE=DATE:20270307", ["03-05T05:00/03-07T05:00"]),
        ("DTSTART;VALUE=DATE:20270305;;DTEND;VALUE=DATE:20270305", ["03-05T05:00/03-06T05:00"]),
        ("DTSTART;VALUE=DATE:20270314", ["03-14T05:00/03-15T04:00"]),
        ("DTSTART;VALUE=DATE:20271107", ["11-07T04:00/11-08T05:00"]),
        # at and across the edges of the window
        ("DTSTART:20260101T000000Z;;DTEND:20270102T000000Z", ["01-01T00:00/01-02T00:00"]),
        ("DTSTART:20261231T230000Z;;DTEND:20270101T000000Z", []),
        ("DTSTART:20280205T000000Z;;DTEND:20280206T000000Z", []),
        ("DTSTART:20500101T000000Z;;DTEND:20500102T000000Z;;RRULE:FREQ=DAILY", []),
        # folded, lower case, with tabs
        ("dtstart:2027\r\n 0305T10\r\n\t0000Z;;dtend:20270305T110000Z;;description:a\r\n b", ONE_SPAN),
        # alarms inside
        (ONE + ";;BEGIN:VALARM;;TRIGGER:-PT15M;;DTSTART:20270101T000000Z;;DURATION:PT15M;;END:VALARM", ONE_SPAN),
    ],
)
def test_one_event(event: str, expected: list[str]) -> None:
    assert spans(event) == expected


AT = ["03-05T14:00/03-05T15:00", "03-12T14:00/03-12T15:00", "03-19T13:00/03-19T14:00", "03-26T13:00/03-26T14:00"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        # nine o'clock stays nine o'clock when clocks change, on 14 March
        (WEEKLY_RULE + ";COUNT=3", [AT[0], AT[1], AT[2]]),
        (WEEKLY_RULE + ";UNTIL=20270312T140000Z", [AT[0], AT[1]]),
        (WEEKLY_RULE + ";UNTIL=20270312T135959Z", [AT[0]]),
        (WEEKLY_RULE + ";UNTIL=20270312", [AT[0], AT[1]]),
        (WEEKLY_RULE + ";COUNT=9;UNTIL=20270306", [AT[0]]),
        (WEEKLY_RULE + ";COUNT=2;;EXDATE;TZID=America/New_York:20270305T090000", [AT[1]]),
        (WEEKLY_RULE + ";COUNT=2;;EXDATE:20270312T140000Z,20270101T000000Z", [AT[0]]),
        (WEEKLY_RULE + ";COUNT=2;;EXDATE;VALUE=DATE:20270312", [AT[0]]),
        (WEEKLY + ";;RDATE;TZID=America/New_York:20270306T090000", [AT[0], "03-06T14:00/03-06T15:00"]),
        (
            WEEKLY + ";;RDATE;VALUE=PERIOD:20270306T100000Z/PT2H,20270307T100000Z/20270307T103000Z",
            [AT[0], "03-06T10:00/03-06T12:00", "03-07T10:00/03-07T10:30"],
        ),
        # the first day counts although the rule does not have it
        (WEEKLY_RULE + ";BYDAY=MO;UNTIL=20270308", [AT[0], "03-08T14:00/03-08T15:00"]),
        ("DTSTART;VALUE=DATE:20270305;;RRULE:FREQ=DAILY;UNTIL=20270306T000000Z", ["03-05T05:00/03-07T05:00"]),
        (
            "DTSTART;VALUE=DATE:20270305;;RRULE:FREQ=DAILY;COUNT=3;;EXDATE;VALUE=DATE:20270306",
            ["03-05T05:00/03-06T05:00", "03-07T05:00/03-08T05:00"],
        ),
        ("DTSTART;VALUE=DATE:20240229;;RRULE:FREQ=YEARLY", []),
        # began long ago, and counts from there
        (
            "DTSTART:20000101T100000Z;;DURATION:PT1H;;RRULE:FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=326",
            ["01-31T10:00/01-31T11:00", "02-28T10:00/02-28T11:00"],
        ),
        # an occurrence that began before the window and reaches into it
        ("DTSTART:20251231T120000Z;;DURATION:P2D;;RRULE:FREQ=YEARLY;COUNT=2", ["12-31T12:00/01-02T12:00"]),
        # each is longer than the pause to the next
        ("DTSTART:20270305T100000Z;;DURATION:P2D;;RRULE:FREQ=DAILY;COUNT=3", ["03-05T10:00/03-09T10:00"]),
        (WEEKLY + ";;STATUS:CANCELLED;;RRULE:FREQ=WEEKLY", []),
    ],
)
def test_repeated(event: str, expected: list[str]) -> None:
    assert spans(event) == expected


SERIES = WEEKLY_RULE + ";COUNT=4"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "RECURRENCE-ID:20270312T140000Z;;DTSTART:20270313T100000Z;;DURATION:PT30M",
            [AT[0], "03-13T10:00/03-13T10:30", *AT[2:]],
        ),
        (
            "RECURRENCE-ID;TZID=America/New_York:20270312T090000;;DTSTART:20270312T140000Z;;STATUS:CANCELLED",
            [AT[0], *AT[2:]],
        ),
        ("RECURRENCE-ID;VALUE=DATE:20270312;;DTSTART:20270312T140000Z;;TRANSP:TRANSPARENT", [AT[0], *AT[2:]]),
        # moved out of the window, and into it from before
        ("RECURRENCE-ID:20270312T140000Z;;DTSTART:20290312T140000Z;;DURATION:PT1H", [AT[0], *AT[2:]]),
        # of no occurrence: it takes place all the same
        ("RECURRENCE-ID:20270401T100000Z;;DTSTART:20270401T100000Z;;DURATION:PT1H", [*AT, "04-01T10:00/04-01T11:00"]),
        (
            "RECURRENCE-ID;RANGE=THISANDFUTURE:20270312T140000Z;;DTSTART:20270313T150000Z;;DURATION:PT2H",
            [AT[0], "03-13T15:00/03-13T17:00", "03-20T14:00/03-20T16:00", "03-27T14:00/03-27T16:00"],
        ),
        ("RECURRENCE-ID;RANGE=THISANDFUTURE:20270312T140000Z;;DTSTART:20270312T140000Z;;STATUS:CANCELLED", AT[:1]),
    ],
)
def test_changed_occurrences(override: str, expected: list[str]) -> None:
    assert spans(SERIES, override + ";;UID:w") == expected
    assert spans(override + ";;UID:w", SERIES) == expected, "in any order"


def test_the_later_sequence_counts() -> None:
    changed = "UID:w;;RECURRENCE-ID:20270312T140000Z;;DTSTART:20270313T1{}0000Z;;DURATION:PT1H;;SEQUENCE:{}"
    found = spans(SERIES, changed.format(1, 3), changed.format(2, 2))
    assert found == [AT[0], "03-13T11:00/03-13T12:00", *AT[2:]]
    assert spans(ONE + ";;UID:a;;SEQUENCE:1", ONE + ";;UID:a;;SEQUENCE:2;;STATUS:CANCELLED") == []


def test_only_single_occurrences_of_somebody_elses_series() -> None:
    assert spans(ONE + ";;UID:a;;RECURRENCE-ID:20270305T100000Z") == ONE_SPAN


def test_all_day_occurrence_named_by_its_midnight() -> None:
    series = "UID:d;;DTSTART;VALUE=DATE:20270305;;RRULE:FREQ=DAILY;COUNT=2"
    changed = "UID:d;;RECURRENCE-ID;TZID=Europe/Madrid:20270306T000000;;DTSTART;VALUE=DATE:20270306;;STATUS:CANCELLED"
    assert spans(series, changed) == ["03-05T05:00/03-06T05:00"]


def test_floating_times_are_of_the_calendars_zone() -> None:
    event = "DTSTART:20270705T100000;;DURATION:PT1H"
    assert spans(event, head="X-WR-TIMEZONE:Europe/Madrid") == ["07-05T08:00/07-05T09:00"]
    assert spans(event, head="X-WR-TIMEZONE:Nowhere") == ["07-05T14:00/07-05T15:00"]
    assert spans("DTSTART;VALUE=DATE:20270305", head="X-WR-TIMEZONE:Europe/Madrid") == ["03-05T05:00/03-06T05:00"]


def test_a_zone_of_the_calendars_own() -> None:
    event = "DTSTART;TZID=Ours:20270{}05T100000;;DURATION:PT1H"
    assert spans(event.format(7), head=MADRID) == ["07-05T08:00/07-05T09:00"]
    assert spans(event.format(2), head=MADRID) == ["02-05T09:00/02-05T10:00"]
    endless = MADRID.replace("YEARLY;BYMONTH=3;BYDAY=-1SU", "SECONDLY")
    assert spans(event.format(7), head=endless) == ["07-05T14:00/07-05T15:00"], "is none: as if it had no zone"
    assert spans(event.format(7), head="BEGIN:VTIMEZONE;;TZID:Ours;;END:VTIMEZONE") == ["07-05T14:00/07-05T15:00"]
    known = MADRID.replace("TZID:Ours", "TZID:Asia/Tokyo")
    tokyo = spans("DTSTART;TZID=Asia/Tokyo:20270705T100000;;DURATION:PT1H", head=known)
    assert tokyo == ["07-05T01:00/07-05T02:00"], "known names mean what they mean everywhere"


def test_joined() -> None:
    times = [(10, 11), (11, 12), (14, 16), (15, 17), (14, 15), (9, 10)]
    events = [f"UID:{n};;DTSTART:20270305T{a:02}0000Z;;DTEND:20270305T{b:02}0000Z" for n, (a, b) in enumerate(times)]
    assert spans(*events) == ["03-05T09:00/03-05T12:00", "03-05T14:00/03-05T17:00"]


@pytest.mark.parametrize(
    "event",
    [
        *("DTSTART:tomorrow", "DTSTART:20270230T100000Z", "DTSTART:20270305T990000Z", "SUMMARY:a"),
        *(
            ONE + ";;RRULE:FREQ=SOMETIMES",
            ONE + ";;RRULE:COUNT=3",
            ONE + ";;RRULE:FREQ=DAILY;INTERVAL=0",
            ONE + ";;RRULE:FREQ=HOURLY;COUNT=3;BYHOUR=25",
            ONE + ";;RRULE:FREQ=HOURLY;COUNT=3;BYMINUTE=60",
            ONE + ";;RRULE:FREQ=YEARLY;BYMONTH=13",
            ONE + ";;RRULE:FREQ=MONTHLY;BYMONTHDAY=-32",
            ONE + ";;RRULE:",
        ),
        *(ONE + ";;RRULE:FREQ=DAILY;UNTIL=x", ONE + ";;EXDATE:x", ONE + ";;RDATE:/"),
        *(
            "DTSTART:20270305;;DURATION:1H",
            'DTSTART;TZID="a:20270305',
            "DTSTART;;;:x",
            "DTSTART:20270305T100000Z;;DTEND:x",
        ),
        *(
            ONE + ";;RECURRENCE-ID:x",
            ONE + ";;RRULE:FREQ=DAILY;RSCALE=CHINESE",
            "DTSTART:\uff12\uff10270305",
            "DTSTART:\x00",
        ),
        "DTSTART:99991231T235959Z;;DURATION:PT999999999H;;RRULE:FREQ=DAILY;;RECURRENCE-ID;TZID=Asia/Tokyo:00010101T000000",
    ],
)
def test_an_event_that_cannot_be_read_is_left_out_and_told(event: str) -> None:
    found = read_calendar(calendar(ONE + ";;UID:good", event + ";;UID:bad"), HOME, WINDOW)
    assert shown(found.spans) == ONE_SPAN
    assert found.warning == "An event could not be read and blocks no time; see line 8 of the calendar."


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no iCalendar"),
        (b"<!doctype html><html>", "no iCalendar"),
        (b"\xff\xfe\x00\x01", "no iCalendar"),
        (b"BEGIN:VEVENT\r\nEND:VEVENT", "no iCalendar"),
        (b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n" + ONE.replace(";;", "\r\n").encode(), "breaks off"),
        (b"BEGIN:VCALENDAR\r\nEND:VEVENT\r\nEND:VCALENDAR", "line 2 ends what did not begin"),
        (b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\nEND:VCALENDAR", "line 3 ends what did not begin"),
        (b"BEGIN:VCALENDAR\r\n" * 3, "line 2 begins what cannot stand there"),
        (b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VEVENT", "line 3 begins what cannot stand there"),
        (b"BEGIN:VCALENDAR\r\n" + b"BEGIN:X\r\n" * 9_000 + b"END:X\r\n" * 9_000, "begins what cannot stand there"),
        (calendar(*[ONE] * 10_001), "more than 10,000 events"),
        (calendar(ONE + ";;RRULE:FREQ=SECONDLY"), "repeats events too often"),
        (calendar(ONE + ";;RRULE:FREQ=MINUTELY;COUNT=1000000000"), "repeats events too often"),
        (calendar(f"{ONE};;RRULE:FREQ=DAILY;BYMINUTE=0;BYSECOND={','.join(['7'] * 300)}"), "repeats events too often"),
        (calendar("DTSTART:20030101T000000Z;;RRULE:FREQ=HOURLY"), "repeats events too often"),
        (calendar("DTSTART:20270101T000000Z;;DURATION:PT1M;;RRULE:FREQ=HOURLY"), "more than 5,000 separate busy times"),
        (calendar(ONE + ";;RDATE:" + ",".join(["20270305T100000Z"] * 20_001)), "lists more than 20,000 single dates"),
        (calendar(ONE + ";;RDATE:" + "2" * 1_000_001), "line 6 is too long"),
        (calendar(head=";;".join(["BEGIN:VTIMEZONE;;END:VTIMEZONE"] * 201)), "more than 200 time zones"),
        (calendar(head="BEGIN:VTIMEZONE;;" + "TZID:a;;" * 4_001 + "END:VTIMEZONE"), "time zones are too long"),
    ],
)
def test_refused(body: bytes, reason: str) -> None:
    with pytest.raises(CalendarRefused, match=reason):
        read_calendar(body, HOME, WINDOW)


def test_years_of_history_do_not_count() -> None:
    old = "DTSTART:20200305T100000Z;;DTEND:20200305T110000Z"
    assert spans(*[old] * 10_001, ONE) == ONE_SPAN


def test_several_calendars_in_one_stream_and_a_byte_order_mark() -> None:
    other = calendar("DTSTART:20270306T100000Z;;DURATION:PT1H")
    body = b"\xef\xbb\xbf" + calendar(ONE) + b"\r\n" + other
    assert shown(read_calendar(body, HOME, WINDOW).spans) == [*ONE_SPAN, "03-06T10:00/03-06T11:00"]
    assert shown(read_calendar(body.replace(b"\r\n", b"\n"), HOME, WINDOW).spans)[:1] == ONE_SPAN


# ── anything at all ───────────────────────────────────────────────────────────────────────────────────

_DAYS = st.dates(datetime(2026, 11, 1).date(), datetime(2028, 4, 1).date()).map(lambda day: day.strftime("%Y%m%d"))  # noqa: DTZ001
_CLOCK = st.tuples(st.integers(0, 24), st.integers(0, 60)).map(lambda time: f"T{time[0]:02}{time[1]:02}00")
_ZONED = st.sampled_from(["", ";VALUE=DATE", ";TZID=Europe/Madrid", ";TZID=Ours", ";TZID=Lord Howe", ';X="a:b"'])
_STAMPS = st.tuples(_ZONED, _DAYS, st.one_of(st.just(""), _CLOCK), st.sampled_from(["", "Z"])).map(
    lambda parts: f"{parts[0]}:{parts[1]}{parts[2]}{parts[3]}"
)
_RULES = st.tuples(
    st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "X"]),
    st.sampled_from(["", ";COUNT=3", ";COUNT=-1", ";UNTIL=20270401", ";UNTIL=20270401T100000Z", ";INTERVAL=2"]),
    st.sampled_from(
        ["", ";BYDAY=MO,-1FR", ";BYMONTHDAY=31", ";BYHOUR=25", ";BYSETPOS=0", ";WKST=SU", ";BYDAY=MO;BYDAY=TU"]
    ),
).map(lambda parts: f"RRULE:FREQ={''.join(parts)}")
_LINES = st.one_of(
    st.tuples(st.sampled_from(["DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE"]), _STAMPS).map("".join),
    _RULES,
    st.sampled_from(
        [
            "DURATION:PT90M",
            "DURATION:P1W2D",
            "DURATION:P",
            "UID:a",
            "UID:b",
            "SEQUENCE:2",
            "STATUS:CANCELLED",
            "BEGIN:VALARM",
        ]
    ),
    st.text(max_size=30),
)
_EVENTS = st.tuples(_STAMPS, st.lists(_LINES, max_size=7)).map(
    lambda parts: ";;".join([f"DTSTART{parts[0]}", *parts[1]])
)


_ANYTHING = {
    "events": st.lists(_EVENTS, max_size=5),
    "noise": st.binary(max_size=40),
    "zone": st.sampled_from(["Asia/Tehran", "UTC"]),
}


def check_anything(events: list[str], noise: bytes, zone: str) -> None:
    for body in (calendar(*events, head=MADRID), calendar(*events) + noise, calendar(*events)[: -len(noise) or None]):
        try:
            found = read_calendar(body, ZoneInfo(zone), WINDOW)
        except CalendarRefused:
            continue
        bounds = [instant for span in found.spans for instant in span]
        assert bounds == sorted(set(bounds)), "sorted, none empty, none touching"
        assert all(instant.utcoffset() == timedelta(0) for instant in bounds)
        assert all(start < WINDOW[1] and WINDOW[0] < end for start, end in found.spans)


def run_anything(profile: settings) -> None:
    settings(profile, deadline=None)(given(**_ANYTHING)(check_anything))()


def test_refused_or_sorted_and_disjoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps for every hour of the window, not for every minute: `make faults` takes those and more examples."""
    monkeypatch.setattr(
        calendar_reader, "busy_spans", lambda series, window: busy_spans(series, window, Budget(12_000))
    )
    run_anything(settings(max_examples=60))


# ── the child ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_child_reads_the_same() -> None:
    body = calendar(SERIES, "DTSTART:x")
    assert await ChildCalendarReader().read(body, HOME, WINDOW) == read_calendar(body, HOME, WINDOW)
    refused = await ChildCalendarReader().read(b"x", HOME, WINDOW)
    assert refused == FeedProblem("What is at this address is no iCalendar file.", is_refused=True)


async def test_what_never_ends_is_killed() -> None:
    """No day is ever found, so no occurrence is ever counted: nothing but the end of the process stops it."""
    never = "RRULE:FREQ=SECONDLY;COUNT=5000;BYMONTH=2;BYMONTHDAY=30"
    body = calendar(*(f"{ONE};;UID:{number};;{never}" for number in range(50)))
    assert await ChildCalendarReader(deadline_s=1).read(body, HOME, WINDOW) == calendar_reader.TOO_HARD


async def test_a_child_has_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts without our environment, and so without the keys and addresses in it."""
    seen: list[dict[str, str]] = []
    start = asyncio.create_subprocess_exec

    async def spy(*command: str, **options: Any) -> asyncio.subprocess.Process:
        seen.append(options["env"])
        return await start(*command, **options)

    monkeypatch.setitem(os.environ, "TURNERO_SECRET_KEY", "secret")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", spy)
    assert isinstance(await ChildCalendarReader().read(calendar(ONE), HOME, WINDOW), CalendarBusy)
    assert [name for name in seen[0] if name.startswith("TURNERO")] == []
