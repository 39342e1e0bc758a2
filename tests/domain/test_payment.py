"""The payment's states, and what a processor shows: the same in the end, in whatever order and however often."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.booking import PaymentStatus
from app.domain.payment import (
    TRANSITIONS,
    DisputePhase,
    IntentPhase,
    Move,
    MoveKind,
    RefundPhase,
    SeenDispute,
    SeenIntent,
    SeenRefund,
    merge,
    moves,
    payment_status,
)
from app.domain.state_table import reachable, state_table_faults
from tests.domain.prices import NOW

P = IntentPhase
S = PaymentStatus
TOTAL = 10_000


def seen(phase: IntentPhase, minute: int = 0, **changes: Any) -> SeenIntent:
    return replace(SeenIntent("pi_1", NOW + timedelta(minutes=minute), phase, TOTAL), **changes)


def history(rng: Random) -> list[SeenIntent]:
    """What a processor shows of one intent, after each thing that happens to it."""
    shown = [seen(P.CREATED)]

    def happens(**changes: Any) -> None:
        shown.append(replace(shown[-1], seen_at=shown[-1].seen_at + timedelta(minutes=1), **changes))

    for _ in range(rng.randint(0, 3)):
        happens(phase=rng.choice((P.NEEDS_ACTION, P.PROCESSING)), decline_code=None)
        happens(phase=P.FAILED, decline_code="card_declined")
    if rng.random() < 0.2:
        happens(phase=P.CANCELLED)
        return shown
    if rng.random() < 0.5:
        happens(phase=P.AUTHORIZED, decline_code=None)
        if rng.random() < 0.2:
            happens(phase=P.CANCELLED)
            return shown
    captured = rng.choice((TOTAL, rng.randint(1, TOTAL)))
    happens(phase=P.SUCCEEDED, captured_minor=captured, decline_code=None)
    _returns(rng, captured, shown)
    return shown


def _returns(rng: Random, left: int, shown: list[SeenIntent]) -> None:
    refunds: dict[str, SeenRefund] = {}
    disputes: dict[str, SeenDispute] = {}

    def happens() -> None:
        now = shown[-1]
        shown.append(
            replace(
                now,
                seen_at=now.seen_at + timedelta(minutes=1),
                refunds=tuple(refunds[key] for key in sorted(refunds)),
                disputes=tuple(disputes[key] for key in sorted(disputes)),
            )
        )

    for number in range(rng.randint(0, 3)):
        amount = rng.randint(1, max(1, left))
        if amount > left:
            return
        left -= amount
        if rng.random() < 0.6:
            name = f"re_{number}"
            for phase in rng.choice(
                (
                    (RefundPhase.PENDING, RefundPhase.SUCCEEDED),
                    (RefundPhase.PENDING, RefundPhase.FAILED),
                    tuple(RefundPhase),
                )
            ):
                refunds[name] = SeenRefund(name, amount, phase)
                happens()
        else:
            name = f"dp_{number}"
            outcome: tuple[DisputePhase, ...] = rng.choice(
                ((DisputePhase.LOST,), (DisputePhase.WON,), (DisputePhase.LOST, DisputePhase.WON), ())
            )
            for dispute_phase in (DisputePhase.OPEN, *outcome):
                disputes[name] = SeenDispute(name, amount, dispute_phase)
                happens()


def fold(answers: list[SeenIntent]) -> SeenIntent:
    known = None
    for answer in answers:
        known = merge(known, answer)
    assert known is not None
    return known


EFFECTS = {
    MoveKind.CAPTURED: {"captured": 1},
    MoveKind.REFUND_ASKED: {"asked": 1},
    MoveKind.REFUND_SETTLED: {"asked": -1, "returned": 1},
    MoveKind.REFUND_FAILED: {"asked": -1},
    MoveKind.REFUND_BOUNCED: {"returned": -1},
    MoveKind.DISPUTE_OPENED: {"disputed": 1},
    MoveKind.DISPUTE_LOST: {"disputed": -1, "returned": 1},
    MoveKind.DISPUTE_REOPENED: {"disputed": 1, "returned": -1},
    MoveKind.DISPUTE_WON: {"disputed": -1},
}


def booked(answers: list[SeenIntent]) -> dict[str, int]:
    """What the moves of all merges add up to."""
    sums: Counter[str] = Counter()
    known = None
    for answer in answers:
        merged = merge(known, answer)
        for move in moves(known, merged):
            for name, sign in EFFECTS[move.kind].items():
                sums[name] += sign * move.amount_minor
                assert sums[name] >= 0
        known = merged
    return {name: amount for name, amount in sums.items() if amount}


@given(st.integers(0, 2**48))
def test_any_order_and_any_number_of_answers_end_in_the_same_state(seed: int) -> None:
    rng = Random(seed)
    shown = history(rng)
    in_order = fold(shown)
    assert in_order == fold([shown[-1]])  # the last one says everything
    jumbled = [shown[-1], *(rng.choice(shown) for _ in range(rng.randint(0, 12)))]
    rng.shuffle(jumbled)
    assert fold(jumbled) == in_order
    assert booked(jumbled) == booked(shown)
    assert merge(in_order, in_order) == in_order
    one, other, third = (rng.choice(shown) for _ in range(3))
    assert merge(one, other) == merge(other, one)
    assert merge(merge(one, other), third) == merge(one, merge(other, third))


@given(st.integers(0, 2**48))
def test_states_only_take_steps_of_the_table(seed: int) -> None:
    rng = Random(seed)
    states = [payment_status([known], TOTAL) for known in history(rng)]
    assert states[0] is S.UNPAID
    for earlier, later in pairwise(states):
        assert later is earlier or later in TRANSITIONS[earlier], f"{earlier} → {later}"


def test_a_late_answer_changes_nothing() -> None:
    paid = seen(P.SUCCEEDED, 5, captured_minor=TOTAL)
    assert merge(paid, seen(P.FAILED, 9, decline_code="card_declined")) == paid
    assert merge(paid, seen(P.CANCELLED, 9)) == paid
    assert merge(seen(P.FAILED, 5), seen(P.PROCESSING, 4)).phase is P.FAILED
    assert merge(seen(P.FAILED, 5), seen(P.PROCESSING, 6)).phase is P.PROCESSING
    assert merge(None, paid) == paid
    with pytest.raises(ValueError, match="two intents"):
        merge(paid, replace(paid, id="pi_2"))


def test_moves_that_were_missed_are_booked_in_their_order() -> None:
    refund, dispute = SeenRefund("re_1", 400, RefundPhase.SUCCEEDED), SeenDispute("dp_1", 600, DisputePhase.LOST)
    late = seen(P.SUCCEEDED, captured_minor=TOTAL, refunds=(refund,), disputes=(dispute,))
    assert moves(None, late) == (
        Move(MoveKind.CAPTURED, "pi_1", TOTAL),
        Move(MoveKind.REFUND_ASKED, "re_1", 400),
        Move(MoveKind.REFUND_SETTLED, "re_1", 400),
        Move(MoveKind.DISPUTE_OPENED, "dp_1", 600),
        Move(MoveKind.DISPUTE_LOST, "dp_1", 600),
    )
    assert moves(late, late) == ()
    assert moves(None, seen(P.AUTHORIZED)) == ()


@pytest.mark.parametrize(
    ("intents", "status"),
    [
        ([], S.UNPAID),
        ([seen(P.NEEDS_ACTION)], S.UNPAID),
        ([seen(P.PROCESSING)], S.PROCESSING),
        ([seen(P.AUTHORIZED)], S.AUTHORIZED),
        ([seen(P.FAILED)], S.FAILED),
        ([seen(P.FAILED), seen(P.CREATED)], S.UNPAID),
        ([seen(P.CANCELLED)], S.UNPAID),
        ([seen(P.SUCCEEDED, captured_minor=3_000)], S.PARTIALLY_PAID),
        ([seen(P.SUCCEEDED, captured_minor=3_000), seen(P.FAILED)], S.PARTIALLY_PAID),
        ([seen(P.SUCCEEDED, captured_minor=3_000), seen(P.SUCCEEDED, captured_minor=7_000)], S.PAID),
    ],
)
def test_the_state_of_a_booking_with_several_attempts(intents: list[SeenIntent], status: PaymentStatus) -> None:
    assert payment_status(intents, TOTAL) is status


def test_cash_and_what_costs_nothing() -> None:
    assert payment_status([], 0) is S.PAID
    assert payment_status([], TOTAL, cash_minor=TOTAL) is S.PAID
    assert payment_status([], TOTAL, cash_minor=TOTAL, cash_returned_minor=1) is S.PARTIALLY_REFUNDED
    assert payment_status([], TOTAL, cash_minor=TOTAL, cash_returned_minor=TOTAL) is S.REFUNDED
    deposit = seen(P.SUCCEEDED, captured_minor=3_000)
    assert payment_status([deposit], TOTAL, cash_minor=7_000) is S.PAID


def test_the_table() -> None:
    assert set(TRANSITIONS) == set(S)
    assert reachable(TRANSITIONS, S.UNPAID) == frozenset(S)
    assert S.UNPAID not in reachable(TRANSITIONS, S.PAID)  # money that came in is never forgotten
    broken = {**TRANSITIONS, S.UNPAID: frozenset({S.UNPAID}), S.DISPUTED: frozenset()}
    faults = state_table_faults(broken, S, S.UNPAID, frozenset())
    assert {"UNPAID leads to itself", "PAID is never reached", "DISPUTED is a dead end"} <= set(faults)
