"""The state machine, word for word, and what people read out."""

from __future__ import annotations

import os

import pytest

from app.domain.booking import (
    CODE_ALPHABET,
    OCCUPYING,
    TRANSITIONS,
    BookingStatus,
    confirmation_code,
    occupies,
    table_faults,
)

S = BookingStatus
SPECIFIED = """
pending            → confirmed awaiting_provider payment_failed cancelled expired
payment_failed     → pending cancelled expired
awaiting_provider  → confirmed cancelled expired payment_failed
confirmed          → checked_in in_progress completed cancelled no_show awaiting_provider
checked_in         → in_progress completed cancelled
in_progress        → completed cancelled
completed          → refunded no_show
cancelled          → refunded
no_show            → refunded checked_in
expired            → confirmed refunded
refunded           →
"""


def test_the_table_is_the_specified_one() -> None:
    specified = {}
    for line in SPECIFIED.strip().splitlines():
        start, _, targets = line.partition("→")
        specified[S(start.strip())] = frozenset(S(target) for target in targets.split())
    assert dict(TRANSITIONS) == specified


def test_the_check_at_import_sees_every_kind_of_fault() -> None:
    table = dict(TRANSITIONS)
    assert table_faults(table) == []
    assert table_faults({k: v for k, v in table.items() if k is not S.EXPIRED}) == ["EXPIRED has no row"]
    assert "NO_SHOW is a dead end" in table_faults({**table, S.NO_SHOW: frozenset()})
    assert "REFUNDED should be terminal" in table_faults({**table, S.REFUNDED: frozenset({S.PENDING})})
    assert "CHECKED_IN leads to itself" in table_faults({**table, S.CHECKED_IN: frozenset({S.CHECKED_IN})})
    unreachable = {k: v - {S.IN_PROGRESS} for k, v in table.items()}
    assert table_faults(unreachable) == ["IN_PROGRESS is never reached"]


def test_what_occupies_time() -> None:
    assert frozenset(BookingStatus) - OCCUPYING == {S.CANCELLED, S.EXPIRED, S.NO_SHOW, S.REFUNDED}
    assert occupies(S.PAYMENT_FAILED)
    assert not occupies(S.NO_SHOW)


def test_confirmation_codes() -> None:
    assert len(CODE_ALPHABET) == len(set(CODE_ALPHABET)) == 32
    assert not set("01OI") & set(CODE_ALPHABET)
    assert confirmation_code(bytes(8)) == "22222222"
    assert confirmation_code(bytes([31] * 8)) == confirmation_code(bytes([255] * 20)) == "ZZZZZZZZ"
    assert len(confirmation_code(os.urandom(8))) == 8
    with pytest.raises(ValueError, match="8 random bytes"):
        confirmation_code(b"short")
