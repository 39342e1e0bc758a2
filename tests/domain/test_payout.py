"""States of payouts and accounts, when a failed one is tried again, what is taken back, and how it is explained."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given

from app.domain.ledger_journals import PayoutPart
from app.domain.payout import (
    LIVE_PAYOUTS,
    MOST_ATTEMPTS,
    PAYOUT_TRANSITIONS,
    PayoutAccountStatus,
    PayoutStatus,
    account_status,
    explain_payout,
    retry_delay,
    taken_back,
)
from tests.domain.prices import seeded


def test_what_is_sent_or_called_off_is_over() -> None:
    over = {status for status, targets in PAYOUT_TRANSITIONS.items() if not targets}
    assert over == {PayoutStatus.SENT, PayoutStatus.CANCELLED} == set(PayoutStatus) - LIVE_PAYOUTS


def test_it_is_tried_less_and_less_often_and_then_by_a_person() -> None:
    delays = [retry_delay(attempts) for attempts in range(1, MOST_ATTEMPTS)]
    assert all(delays)
    assert delays == sorted(delays, key=lambda delay: delay or timedelta(0))
    # A processor forgets a key after a day.
    assert sum((delay for delay in delays if delay), timedelta(0)) < timedelta(hours=24)
    assert retry_delay(MOST_ATTEMPTS) is None


@pytest.mark.parametrize(
    ("submitted", "receives", "pays", "reason", "status"),
    [
        (False, False, False, None, PayoutAccountStatus.ONBOARDING),
        (True, True, True, None, PayoutAccountStatus.ACTIVE),
        (True, False, False, "requirements.past_due", PayoutAccountStatus.RESTRICTED),
        (True, True, False, None, PayoutAccountStatus.RESTRICTED),
        (True, False, False, "rejected.fraud", PayoutAccountStatus.REJECTED),
    ],
)
def test_the_state_of_an_account(
    submitted: bool, receives: bool, pays: bool, reason: str | None, status: PayoutAccountStatus
) -> None:
    found = account_status(
        details_submitted=submitted, can_receive=receives, payouts_enabled=pays, disabled_reason=reason
    )
    assert found is status


def _left(rng: Random) -> tuple[list[tuple[UUID, int]], int]:
    return [(UUID(int=n), rng.randint(0, 500)) for n in range(rng.randint(0, 6))], rng.randint(0, 2_000)


@given(seeded(_left))
def test_nothing_is_taken_back_twice(case: tuple[list[tuple[UUID, int]], int]) -> None:
    left, amount = case
    parts = taken_back(left, amount)
    most = dict(left)
    assert all(0 < part.amount_minor <= most[part.booking_id] for part in parts)
    assert sum(part.amount_minor for part in parts) == min(amount, sum(most.values()))


def test_it_is_taken_in_order() -> None:
    one, two = UUID(int=1), UUID(int=2)
    assert taken_back([(one, 100), (two, 100)], 150) == (PayoutPart(one, 100), PayoutPart(two, 50))


def test_it_is_explained() -> None:
    day = date(2026, 3, 2)
    assert explain_payout([900], "USD", day, day, 7) == (
        "9.00 USD for 1 booking that ended on 2026-03-02, paid out from 7 days after."
    )
    assert explain_payout([900, -400, 850], "USD", day, date(2026, 3, 5), 7) == (
        "17.50 USD for 2 bookings that ended from 2026-03-02 to 2026-03-05, paid out from 7 days after; less 4.00 USD "
        "owed for 1 booking since a refund or a dispute."
    )
