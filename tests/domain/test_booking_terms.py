"""Terms in words, deadlines and the times of the day of service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.booking import BookingStatus
from app.domain.booking_terms import answer_deadline, cancellation_in_words, length_in_words
from app.domain.refund import NOTHING_AFTER_NOTICE, Fee, RefundPolicy
from app.domain.service_times import ServiceTimes, service_times

S = BookingStatus
NOW = datetime(2026, 3, 4, 18, 0, tzinfo=UTC)
T = [NOW + timedelta(minutes=minutes) for minutes in range(8)]


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(1_440, "1 day"), (2_160, "36 hours"), (90, "90 minutes"), (60, "1 hour"), (10_080, "1 week"), (1, "1 minute")],
)
def test_lengths(minutes: int, words: str) -> None:
    assert length_in_words(minutes) == words


def test_cancelling_in_words() -> None:
    assert cancellation_in_words(NOTHING_AFTER_NOTICE, 0) == (
        "Cancelling is free of charge until the start. After that nothing of what was paid is given back."
        " If nobody comes, nothing of what was paid is given back."
    )
    policy = RefundPolicy(late_refund_bps=10_000, late_fee=Fee(1_250), no_show_refund_bps=3_333)
    assert cancellation_in_words(policy, 120) == (
        "Cancelling is free of charge until 2 hours before the start. After that all that was paid is given back,"
        " and at least 12.5 % of the price is owed. If nobody comes, 33.33 % of what was paid is given back."
    )


def test_an_answer_is_due_before_the_start() -> None:
    assert answer_deadline(NOW, 24, NOW + timedelta(days=3)) == NOW + timedelta(days=1)
    assert answer_deadline(NOW, 24, NOW + timedelta(hours=2)) == NOW + timedelta(hours=2)


def test_a_day_of_service() -> None:
    steps = [
        (None, S.PENDING, T[0]),
        (S.PENDING, S.CONFIRMED, T[0]),
        (S.CONFIRMED, S.CHECKED_IN, T[1]),
        (S.CHECKED_IN, S.IN_PROGRESS, T[2]),
        (S.IN_PROGRESS, S.COMPLETED, T[3]),
        (S.COMPLETED, S.REFUNDED, T[4]),
    ]
    assert service_times(steps) == ServiceTimes(T[1], T[2], T[3])


def test_corrections_take_back_what_they_correct() -> None:
    missed = [(S.CONFIRMED, S.NO_SHOW, T[1]), (S.NO_SHOW, S.CHECKED_IN, T[2])]
    assert service_times(missed) == ServiceTimes(checked_in_at=T[2])
    came = [(S.CONFIRMED, S.CHECKED_IN, T[1]), (S.CHECKED_IN, S.COMPLETED, T[2]), (S.COMPLETED, S.NO_SHOW, T[3])]
    assert service_times(came) == ServiceTimes(no_show_at=T[3])
