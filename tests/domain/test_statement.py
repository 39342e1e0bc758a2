"""Rows of a statement: what a spreadsheet must not take for a formula, and local times."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime

import pytest

from app.domain.instants import zone
from app.domain.ledger import JournalKind
from app.domain.statement import (
    HEADER,
    StatementLine,
    check_period,
    closing_row,
    csv_row,
    guarded,
    line_row,
    opening_row,
)

DAY = date(2026, 3, 8)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", " @x"])
def test_what_begins_a_formula_is_text(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "TRN-2026-000001", "a=1", "1-2", "Ana", "ñ", "'=1"])
def test_other_text_stays(text: str) -> None:
    assert guarded(text) == text


@pytest.mark.parametrize("cells", [("a", 'b"c', "d,e"), ("line\nbreak", "", "ñ😀")])
def test_cells_come_back(cells: tuple[str, ...]) -> None:
    row = csv_row(cells)
    assert row.endswith("\r\n")
    assert next(csv.reader(io.StringIO(row, newline=""))) == list(cells)


def _cells(row: str) -> list[str]:
    return next(csv.reader([row]))


def test_a_line_has_the_local_time_of_its_day() -> None:
    """Clocks go forward in New York on this day."""
    tz = zone("America/New_York")
    before, after = (datetime(2026, 3, 8, hour, 30, tzinfo=UTC) for hour in (6, 7))
    times = [
        _cells(line_row(StatementLine(at, "released", "TRN-1", None, 900), 900, "USD", tz))[0] for at in (before, after)
    ]
    assert times == ["2026-03-08T01:30:00-05:00", "2026-03-08T03:30:00-04:00"]


def test_a_line_says_what_it_was() -> None:
    line = StatementLine(datetime(2026, 3, 8, tzinfo=UTC), "payout_asked", "=BOOKING", 3, -1_050)
    assert _cells(line_row(line, -50, "JPY", zone("UTC"))) == [
        "2026-03-08T00:00:00+00:00",
        "Payout",
        "'=BOOKING",
        "3",
        "-1050",
        "-50",
        "JPY",
    ]
    assert len(_cells(opening_row(5, "USD", DAY))) == len(HEADER) == len(_cells(closing_row(5, "USD", DAY)))


def test_every_kind_of_journal_can_be_written() -> None:
    for kind in JournalKind:
        line = StatementLine(datetime(2026, 3, 8, tzinfo=UTC), kind.value, "TRN-1", None, 1)
        assert _cells(line_row(line, 1, "USD", zone("UTC")))[1]


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (date(2026, 3, 2), date(2026, 3, 1), "before"),
        (date(2026, 1, 1), date(2027, 1, 2), "366 days"),
        (date(1970, 1, 1), date(2200, 1, 1), "366 days"),
    ],
)
def test_a_period_is_a_year_at_most(first: date, last: date, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        check_period(first, last)


def test_a_leap_year_is_a_year() -> None:
    check_period(date(2028, 1, 1), date(2028, 12, 31))
