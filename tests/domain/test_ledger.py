"""Every way that money can go, and books that are right after each step."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ledger import (
    Account,
    Entry,
    Journal,
    JournalKind,
    booking_balances,
    journal,
    ledger_faults,
    owed_by_booking,
    provider_balance,
)
from app.domain.ledger_journals import BookingBooks, PayoutBooks, PayoutPart, payout_parts
from app.domain.shares import shares_of
from tests.domain.money_world import MoneyWorld
from tests.domain.prices import PROVIDERS

A = Account
ANA, BRUNO, _ = PROVIDERS
FIRST, SECOND = UUID(int=1), UUID(int=2)
PRICE = shares_of(1_000, 1_700, {ANA: 7_300})
BOOKS = BookingBooks(FIRST, "ARS")


def balances(*journals: Journal) -> dict[Account, int]:
    assert ledger_faults(journals) == []
    return booking_balances([entry for one in journals for entry in one.entries], FIRST)


def test_the_life_of_a_payment() -> None:
    paid = BOOKS.captured(10_000)
    assert balances(paid) == {A.CUSTOMER: -10_000, A.ESCROW: 10_000}
    given = BOOKS.released(PRICE)
    assert balances(paid, given) == {
        A.CUSTOMER: -10_000,
        A.PLATFORM_FEE: 1_000,
        A.TAX: 1_700,
        A.PROVIDER_PAYABLE: 7_300,
    }
    payout = PayoutBooks(ANA, "ARS", (PayoutPart(FIRST, 7_300),))
    asked = (paid, given, payout.asked())
    assert balances(*asked)[A.PROCESSOR_CLEARING] == 7_300
    assert balances(*asked, payout.failed()) == balances(paid, given)
    settled = (*asked, payout.settled())
    assert balances(*settled) == {A.CUSTOMER: -10_000, A.PLATFORM_FEE: 1_000, A.TAX: 1_700, A.PAID_OUT: 7_300}


def test_refunds_before_and_after_the_payout() -> None:
    part = PRICE.take(5_000)
    before = (BOOKS.captured(10_000), BOOKS.refund_asked(part, is_released=False))
    assert balances(*before) == {A.CUSTOMER: -10_000, A.ESCROW: 5_000, A.PROCESSOR_CLEARING: 5_000}
    assert balances(*before, BOOKS.refund_settled(5_000)) == {A.CUSTOMER: -10_000, A.ESCROW: 5_000, A.REFUNDS: 5_000}
    payout = PayoutBooks(ANA, "ARS", (PayoutPart(FIRST, 7_300),))
    after = (
        BOOKS.captured(10_000),
        BOOKS.released(PRICE),
        payout.asked(),
        payout.settled(),
        BOOKS.refund_asked(PRICE, is_released=True),
        BOOKS.refund_settled(10_000),
    )
    assert balances(*after) == {A.CUSTOMER: -10_000, A.REFUNDS: 10_000, A.PROVIDER_PAYABLE: -7_300, A.PAID_OUT: 7_300}
    returned = payout.transfer_reversed([PayoutPart(FIRST, 5_000)])
    entries = [entry for one in (*after, returned) for entry in one.entries]
    assert owed_by_booking(entries, ANA) == {FIRST: -2_300}
    assert provider_balance(entries, ANA) == -2_300


def test_a_debt_is_settled_by_the_next_payout() -> None:
    assert payout_parts({FIRST: -2_300, SECOND: 7_300}) == (PayoutPart(FIRST, -2_300), PayoutPart(SECOND, 7_300))
    payout = PayoutBooks(ANA, "ARS", payout_parts({FIRST: -2_300, SECOND: 7_300}))
    assert payout.total_minor == 5_000
    assert payout.settled().total(A.PAID_OUT) == 5_000
    assert payout_parts({FIRST: -2_300, SECOND: 2_300}) == ()
    assert payout_parts({FIRST: -1}) == payout_parts({}) == ()
    assert payout_parts({FIRST: 499}, 500) == ()
    assert payout_parts({FIRST: 500}, 500) == (PayoutPart(FIRST, 500),)
    assert payout_parts({FIRST: 1_234, SECOND: 3}, step=10) == (PayoutPart(FIRST, 1_230),)
    assert payout_parts({FIRST: 9}, step=10) == ()
    with pytest.raises(ValueError, match="pays something out"):
        PayoutBooks(ANA, "ARS", ())


def test_cash_that_a_provider_keeps_is_paid_out_already() -> None:
    paid = BOOKS.cash_paid(PRICE, ANA)
    assert balances(paid) == {
        A.CUSTOMER: -10_000,
        A.PLATFORM_FEE: 1_000,
        A.TAX: 1_700,
        A.PROVIDER_PAYABLE: -2_700,
        A.PAID_OUT: 10_000,
    }
    assert balances(paid, BOOKS.cash_returned(PRICE, ANA)) == {A.CUSTOMER: -10_000, A.REFUNDS: 10_000}
    in_the_till = BOOKS.cash_paid(PRICE, None)
    assert balances(in_the_till) == {A.CUSTOMER: -10_000, A.CASH: 10_000}
    assert balances(in_the_till, BOOKS.cash_returned(PRICE.take(1), None))[A.REFUNDS] == 1


def test_a_no_show_fee_and_a_late_payment() -> None:
    assert balances(BOOKS.fee_charged(PRICE)) == {
        A.CUSTOMER: -10_000,
        A.PLATFORM_FEE: 1_000,
        A.TAX: 1_700,
        A.PROVIDER_PAYABLE: 7_300,
    }
    late = BOOKS.late_payment(10_000)
    assert balances(late) == {A.CUSTOMER: -10_000, A.PROCESSOR_CLEARING: 10_000}
    assert balances(late, BOOKS.refund_settled(10_000)) == {A.CUSTOMER: -10_000, A.REFUNDS: 10_000}
    assert balances(late, BOOKS.late_payment_rebooked(10_000)) == balances(BOOKS.captured(10_000))


def test_disputes() -> None:
    given = (BOOKS.captured(10_000), BOOKS.released(PRICE))
    opened = BOOKS.dispute_opened(PRICE, is_released=True)
    assert balances(*given, opened) == {A.CUSTOMER: -10_000, A.DISPUTES: 10_000}
    assert balances(*given, opened, BOOKS.dispute_won(PRICE, is_released=True)) == balances(*given)
    lost = (*given, opened, BOOKS.dispute_lost(10_000))
    assert balances(*lost) == {A.CUSTOMER: -10_000, A.REFUNDS: 10_000}
    assert balances(*lost, BOOKS.dispute_reopened(10_000)) == balances(*given, opened)
    fee = BOOKS.processor_fee(1_500)
    assert balances(*lost, fee) == {
        A.CUSTOMER: -10_000,
        A.PLATFORM_FEE: -1_500,
        A.PROCESSOR_FEES: 1_500,
        A.REFUNDS: 10_000,
    }
    assert balances(*given, BOOKS.processor_fee(1_500, ANA))[A.PROVIDER_PAYABLE] == 5_800
    assert balances(*lost, fee, BOOKS.processor_fee(-1_500)) == balances(*lost)
    early = (BOOKS.captured(10_000), BOOKS.dispute_opened(PRICE, is_released=False))
    assert balances(*early, BOOKS.dispute_won(PRICE, is_released=True)) == balances(*given)  # given meanwhile


def test_a_dispute_of_what_went_back_already_is_the_platforms_loss() -> None:
    back = PRICE.take(4_000)
    before = (BOOKS.captured(10_000), BOOKS.refund_asked(back, is_released=False), BOOKS.refund_settled(4_000))
    opened = BOOKS.dispute_opened(PRICE - back, is_released=False, excess_minor=4_000)
    assert balances(*before, opened)[A.PLATFORM_FEE] == -4_000
    lost = balances(*before, opened, BOOKS.dispute_lost(6_000, 4_000))
    assert lost == {A.CUSTOMER: -10_000, A.PLATFORM_FEE: -4_000, A.REFUNDS: 10_000, A.PROCESSOR_FEES: 4_000}


@given(st.integers(0, 2**48))
def test_any_legal_sequence_keeps_the_books_right(seed: int) -> None:
    world = MoneyWorld(Random(seed))
    for _ in range(40):
        written = len(world.journals)
        world.step()
        if len(world.journals) == written:
            continue
        entries = world.entries
        assert sum(entry.amount_minor for entry in entries) == 0
        for account, expected in world.expected_totals().items():
            assert sum(entry.amount_minor for entry in entries if entry.account is account) == expected >= 0
        for payee in PROVIDERS:
            assert provider_balance(entries, payee) == world.expected_owed(payee)
    assert ledger_faults(world.journals) == []


def test_faults_are_named() -> None:
    def taken(account: Account, target: Account) -> Journal:
        return Journal(JournalKind.CAPTURED, "ARS", (Entry(FIRST, account, -5), Entry(FIRST, target, 5)))

    assert ledger_faults([taken(A.ESCROW, A.TAX)]) == [f"booking {FIRST}: escrow is negative in ARS: -5"]
    [too_much] = ledger_faults([taken(A.TAX, A.REFUNDS)])
    assert too_much == f"booking {FIRST}: 5 ARS went back of 0 that was paid"
    assert "less than nothing" in ledger_faults([taken(A.TAX, A.CUSTOMER)])[0]
    assert "more ARS moved" in ledger_faults([taken(A.PROCESSOR_CLEARING, A.TAX)])[0]


def test_a_journal_that_does_not_add_up_cannot_be() -> None:
    for entries in (
        (Entry(FIRST, A.ESCROW, 5),),
        (Entry(FIRST, A.ESCROW, 5), Entry(SECOND, A.CUSTOMER, -5)),
        (Entry(FIRST, A.ESCROW, 0),),
        (Entry(FIRST, A.ESCROW, 5), Entry(FIRST, A.ESCROW, -5)),
        (Entry(FIRST, A.PROVIDER_PAYABLE, 5), Entry(FIRST, A.CUSTOMER, -5)),
        (Entry(FIRST, A.ESCROW, 5, ANA), Entry(FIRST, A.CUSTOMER, -5)),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            Journal(JournalKind.CAPTURED, "ARS", entries)
    netted = journal(JournalKind.CAPTURED, "ARS", [Entry(FIRST, A.ESCROW, 5), Entry(FIRST, A.ESCROW, -5)])
    assert netted.entries == ()
    for amount in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            BOOKS.captured(amount)
