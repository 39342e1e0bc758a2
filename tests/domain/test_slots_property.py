"""The mask engine against brute force, on random worlds around every style of clock change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.masks import bits
from tests.domain import properties

Check = Callable[[int], None]
PROPERTIES: dict[Check, int] = {
    properties.check_starts_equal_brute_force: 700,
    properties.check_slots_equal_brute_force: 450,
    properties.check_free_slots_keep_the_rules: 250,
    properties.check_reasons_are_true: 300,
    properties.check_visits_equal_brute_force: 220,
    properties.check_visits_can_be_held: 180,
}
"""Examples of each in an ordinary run. `make faults` takes many more."""


def name_of(check: Check) -> str:
    return check.__name__.removeprefix("check_")


def run(check: Check, examples: int, profile: settings) -> int:
    """How many examples it was."""
    ran = 0

    def counted(seed: int) -> None:
        nonlocal ran
        ran += 1
        check(seed)

    settings(profile, max_examples=examples, deadline=None)(given(st.integers(0, 2**64))(counted))()
    return ran


@pytest.mark.parametrize("check", PROPERTIES, ids=name_of)
def test_engine(check: Check) -> None:
    assert run(check, PROPERTIES[check], settings()) >= PROPERTIES[check]


def test_examples_are_enough() -> None:
    assert sum(PROPERTIES.values()) >= 2_000


@given(st.integers(0, 2**90), st.integers(0, 1_000))
def test_bits(mask: int, first: int) -> None:
    assert bits(mask, first) == [first + bit for bit in range(91) if mask >> bit & 1]
