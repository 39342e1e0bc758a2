"""Reconciliation of payouts: transfers that got lost, came twice, differ, or were made by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.paying import Paying
from tests.payouts import SHARE, Earner, make_earner
from tests.reconciling import Reconciling
from tests.shop import at

AFTER = timedelta(minutes=40)


@pytest.fixture
async def earner(paying: Paying) -> Earner:
    return await make_earner(paying)


@pytest.fixture
def money(earner: Earner, paying: Paying) -> Reconciling:
    return Reconciling(paying, earner.shop)


async def due(earner: Earner) -> Any:
    """A payout that is planned."""
    await earner.completed(at(2, 10))
    earner.wait()
    return await earner.planned()


async def by_hand(earner: Earner, account_id: str, amount: int = SHARE, **more: Any) -> Any:
    wanted = {"amount": amount, "currency": "usd", "destination": account_id, **more}
    return await earner.paying.sandbox.v1.transfers.create_async(wanted)


async def test_sent_as_it_was_meant_nothing_differs(earner: Earner, money: Reconciling) -> None:
    await earner.send(await due(earner))
    done = await money.run()
    assert (done.counts.found, done.counts.compared) == (0, 2)
    assert await money.rows() == []
    assert await money.check() == 0


async def test_one_whose_answer_and_job_got_lost(earner: Earner, money: Reconciling, paying: Paying) -> None:
    payout = await due(earner)
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/transfers", times=2)
    await earner.send(payout)
    assert (await earner.payout(payout.id))["status"] == "sending"
    assert await money.ran() == (1, 1)
    assert await money.said() == [("payout_not_sent", "healed")]
    assert ((await earner.payout(payout.id))["status"], await earner.received()) == ("sent", SHARE)
    assert await money.ran() == (0, 0)


async def test_one_that_was_never_made_is_made_once(earner: Earner, money: Reconciling, paying: Paying) -> None:
    payout = await due(earner)
    await paying.sandbox.control("faults", kind="error", match="POST /v1/transfers", status=503, times=2)
    await earner.send(payout)
    await money.forget_jobs("execute_payout")
    assert await money.ran() == (0, 0)  # it is tried again by itself, for now
    money.wait(AFTER)
    assert await money.ran() == (1, 1)
    assert ((await earner.payout(payout.id))["status"], await earner.received()) == ("sent", SHARE)


async def test_a_second_transfer_under_one_payout(earner: Earner, money: Reconciling, paying: Paying) -> None:
    payout = await due(earner)
    await earner.send(payout)
    second = await by_hand(earner, payout.account_id, metadata={"turnero_transfer": str(payout.id)})
    for _ in range(2):
        assert await money.ran() == (1, 0)
    assert [(row["kind"], row["their_id"]) for row in await money.rows()] == [("payout_twice", second.id)]
    await paying.sandbox.v1.transfers.reversals.create_async(second.id, {})
    assert await money.ran() == (0, 0)
    assert await money.said() == [("payout_twice", "gone")]


async def test_one_made_by_hand_to_a_provider_of_ours(earner: Earner, money: Reconciling, paying: Paying) -> None:
    await earner.paid(at(2, 10))  # money to send
    [row] = await paying.rows("SELECT account_id FROM payout_account WHERE provider_id = :id", id=earner.provider)
    hidden = await by_hand(earner, row["account_id"], 100)
    elsewhere = await paying.sandbox.account()
    await paying.sandbox.control(f"accounts/{elsewhere}/state", state="onboarded")
    await by_hand(earner, elsewhere, 100)
    assert await money.ran() == (1, 0)
    assert await money.ran() == (1, 0)
    assert [(row["kind"], row["their_id"]) for row in await money.rows()] == [("transfer_unknown_here", hidden.id)]
    await paying.sandbox.v1.transfers.reversals.create_async(hidden.id, {"amount": 99})
    assert await money.ran() == (1, 0)
    await paying.sandbox.v1.transfers.reversals.create_async(hidden.id, {})
    assert await money.ran() == (0, 0)


async def test_one_with_the_label_of_no_payout(earner: Earner, money: Reconciling, paying: Paying) -> None:
    await earner.paid(at(2, 10))
    [row] = await paying.rows("SELECT account_id FROM payout_account WHERE provider_id = :id", id=earner.provider)
    made = await by_hand(earner, row["account_id"], 100, metadata={"turnero_transfer": str(uuid4())})
    assert await money.ran() == (1, 0)
    assert [(row["kind"], row["their_id"]) for row in await money.rows()] == [("transfer_unknown_here", made.id)]


async def test_a_reversal_made_by_hand_counts_as_money_back(earner: Earner, money: Reconciling, paying: Paying) -> None:
    payout = await due(earner)
    await earner.send(payout)
    transfer = (await earner.payout(payout.id))["processor_id"]
    await paying.sandbox.v1.transfers.reversals.create_async(transfer, {"amount": 200})
    await paying.collected()
    assert await money.ran() == (1, 1)
    assert await money.said() == [("payout_reversed", "healed")]
    assert await earner.owed() == 200
    assert await money.ran() == (0, 0)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("amount_minor = 899", "payout_amount"),
        ("currency = 'EUR'", "payout_currency"),
        ("account_id = 'acct_other'", "payout_account"),
        ("processor_id = 'tr_nobody_knows'", "payout_missing_there"),
    ],
)
async def test_what_differs_in_a_sent_one(
    earner: Earner, money: Reconciling, paying: Paying, change: str, kind: str
) -> None:
    payout = await due(earner)
    await earner.send(payout)
    await paying.rows(f"UPDATE payout SET {change} WHERE id = :id RETURNING 1", id=payout.id)
    for _ in range(2):
        await money.run()
    said = await money.said()
    assert (kind, None) in said
    assert len(said) == (2 if kind == "payout_missing_there" else 1)  # and the real one is a second
