"""Ranges instead of numbers, and what counts as looking."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from app.core.tokens import TokenSigner
from app.domain.presence import Look, LookKind, look_of_search, range_of, text_of, viewers
from app.domain.search import AvailabilitySearch, VisitItem

DAY = date(2026, 3, 4)
ONE, TWO, CUT, DYE = (UUID(int=number) for number in range(1, 5))
SEARCH = AvailabilitySearch(CUT, None, DAY, DAY, ZoneInfo("UTC"), None, 1)


def test_every_number_has_one_range_that_it_lies_in() -> None:
    told = [range_of(count) for count in range(100)]
    assert list(dict.fromkeys(told)) == [(0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, None)]
    assert all(low <= count <= (high or count) for count, (low, high) in enumerate(told))


@pytest.mark.parametrize(
    ("changes", "subjects"),
    [
        ({}, {CUT}),
        ({"provider_ids": (ONE, TWO)}, {ONE, TWO}),
        ({"items": (VisitItem(CUT, ONE), VisitItem(DYE))}, {ONE, DYE}),
        ({"items": (VisitItem(CUT), VisitItem(DYE)), "provider_ids": (TWO,)}, {TWO}),
        ({"to_date": DAY + timedelta(days=6)}, {CUT}),
        ({"to_date": DAY + timedelta(days=7)}, None),
        ({"to_date": DAY - timedelta(days=1)}, None),
        ({"to_date": date.max, "from_date": date.min}, None),
        ({"provider_ids": tuple(uuid4() for _ in range(51))}, None),
    ],
)
def test_what_a_list_looks_at(changes: dict[str, object], subjects: set[object] | None) -> None:
    look = look_of_search(replace(SEARCH, **changes))  # type: ignore[arg-type]
    assert (None if look is None else look.subjects) == subjects


def test_a_look_is_noted_for_each_day() -> None:
    look = Look(LookKind.SLOT, frozenset({ONE}), date(2026, 2, 27), date(2026, 3, 1))
    assert list(look.texts()) == ["s2026-02-27", "s2026-02-28", "s2026-03-01"]
    assert list(replace(look, first=date.max, last=date.max).texts()) == ["s9999-12-31"]


def test_a_list_and_one_of_its_slots_are_one_viewer() -> None:
    listed, slot = text_of(LookKind.LIST, DAY), text_of(LookKind.SLOT, DAY)
    counts = {CUT: {listed: 3}, ONE: {listed: 1, slot: 2}, TWO: {listed: 9}}
    assert viewers(counts, (ONE, CUT), DAY) == 4
    assert viewers({ONE: {slot: 2, listed: 1}}, (ONE, CUT), DAY) == 2
    assert viewers(counts, (ONE, CUT), DAY + timedelta(days=1)) == 0


def test_a_coin_is_fair_and_nobody_foresees_it() -> None:
    mine, others = (TokenSigner(letter * 32, timedelta(hours=1)) for letter in "ab")
    falls = [mine.coin(ONE, 700_000, window) for window in range(400)]
    assert falls == [mine.coin(ONE, 700_000, window) for window in range(400)]
    assert 120 < sum(falls) < 280
    assert falls != [others.coin(ONE, 700_000, window) for window in range(400)]
    assert falls != [mine.coin(TWO, 700_000, window) for window in range(400)]
