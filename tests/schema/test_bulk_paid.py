"""A day that was paid for is cancelled: every amount goes back whole, and nobody pays for what is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.checkout.ending import end_payment_first
from app.checkout.scope import Checkout
from app.jobs import bulk as job
from tests.bulk import Planner, Worker, item_of, results
from tests.journey import ANA, rows_of
from tests.paying import Payer, Paying, ledger_of, owner_of
from tests.shop import at

DAY, NEXT = at(3, 0), at(4, 0)


@pytest.fixture
def owner(payer: Payer, paying: Paying) -> Planner:
    return Planner(owner_of(paying, payer.shop).client, payer.shop)


@pytest.fixture
def worker(paying: Paying) -> Worker:
    known = paying.api.api.services.checkout
    return Worker(paying.worker, Checkout(paying.worker, known.clock, known.gateways, {}, known.return_url))


async def test_paid_payable_and_unpaid(payer: Payer, paying: Paying, owner: Planner, worker: Worker) -> None:
    paid = await payer.paid(paying, at(3, 10))
    payable = await payer.pay_now(at(3, 11), customer={**ANA, "email": "bea@example.com"})
    on_arrival = await payer.booked(at(3, 12))
    plan = await owner.planned(DAY, NEXT)
    assert [item["refund"]["amountMinor"] for item in plan["items"]] == [1_000, 0, 0]
    assert (plan["refund"]["amountMinor"], plan["fee"]["amountMinor"], plan["possible"]) == (1_000, 0, 3)
    await owner.committed(plan)
    await worker.work()
    done = await owner.read(plan)
    assert set(results(done).values()) == {("DONE", None)}
    [intent] = await paying.intents(payable)
    assert intent.status == "canceled"
    await paying.work()
    await paying.pass_on()
    seen = await payer.seen(paid)
    assert [one["amount"]["amountMinor"] for one in seen["refunds"]] == [item_of(plan, paid)["refund"]["amountMinor"]]
    assert (seen["paymentStatus"], seen["refunds"][0]["status"]) == ("REFUNDED", "succeeded")
    assert await ledger_of(owner.client, paid) == {"customer": -1_000, "refunds": 1_000}
    for one in (payable, on_arrival):
        assert (await payer.seen(one))["status"] == "CANCELLED"


@pytest.mark.parametrize("outcome", [None, "lost", "won"])
async def test_disputed(payer: Payer, paying: Paying, owner: Planner, worker: Worker, outcome: str | None) -> None:
    """What a bank holds back or took is not promised back, and does not go back."""
    refund = 1_000 if outcome == "won" else 0
    made = await payer.paid(paying, at(3, 10))
    [intent] = await paying.intents(made)
    await paying.sandbox.control(f"charges/{intent.latest_charge}/dispute")
    if outcome is not None:
        [dispute] = (await paying.sandbox.v1.disputes.list_async({"payment_intent": intent.id})).data
        await paying.sandbox.control(f"disputes/{dispute.id}/decide", outcome=outcome)
    await paying.pass_on()
    plan = await owner.planned(DAY, NEXT)
    assert (plan["refund"]["amountMinor"], plan["possible"]) == (refund, 1)
    await owner.committed(plan)
    await worker.work()
    assert results(await owner.read(plan)) == {made.id: ("DONE", None)}
    seen = await payer.seen(made)
    assert sum(one["amount"]["amountMinor"] for one in seen["refunds"]) == refund


async def test_paid_after_it_was_planned(payer: Payer, paying: Paying, owner: Planner, worker: Worker) -> None:
    """Its state is another one than was looked at: it is left alone, and planned anew with its refund."""
    made = await payer.pay_now(at(3, 10))
    plan = await owner.planned(DAY, NEXT)
    await paying.pay(made)
    await payer.refresh(made)
    await owner.committed(plan)
    await worker.work()
    assert results(await owner.read(plan)) == {made.id: ("SKIPPED", "changed")}
    again = await owner.planned(DAY, NEXT)
    assert again["refund"]["amountMinor"] == 1_000
    await owner.committed(again)
    await worker.work()
    assert results(await owner.read(again)) == {made.id: ("DONE", None)}


async def test_paid_at_the_last_moment(payer: Payer, paying: Paying, owner: Planner, worker: Worker) -> None:
    """The payment landed and nobody here has heard of it: ending it tells, and the booking stands."""
    made = await payer.pay_now(at(3, 10))
    plan = await owner.planned(DAY, NEXT)
    await paying.pay(made)
    await owner.committed(plan)
    await worker.work()
    assert results(await owner.read(plan)) == {made.id: ("SKIPPED", "changed")}
    seen = await payer.seen(made)
    assert (seen["status"], seen["paymentStatus"]) == ("CONFIRMED", "PAID")


async def test_killed_while_a_payment_was_ended(
    payer: Payer, owner: Planner, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the payment changed the booking; that is not taken for somebody's change."""
    made = await payer.pay_now(at(3, 10))
    plan = await owner.planned(DAY, NEXT)
    await owner.committed(plan)
    (job_id,) = await worker.due()
    claim = await worker.claim(job_id)

    async def end_and_die(*arguments: Any, **extra: Any) -> None:
        await end_payment_first(*arguments, **extra)
        raise asyncio.CancelledError

    monkeypatch.setattr(job, "end_payment_first", end_and_die)
    with pytest.raises(asyncio.CancelledError):
        await worker.run(claim)
    monkeypatch.undo()
    assert (await payer.seen(made))["status"] in {"PENDING", "PAYMENT_FAILED"}
    await worker.run(claim)
    assert results(await owner.read(plan)) == {made.id: ("DONE", None)}
    assert (await payer.seen(made))["status"] == "CANCELLED"
    steps = await rows_of(payer.shop, "SELECT to_status FROM booking_transition WHERE to_status = 'cancelled'")
    assert len(steps) == 1


async def test_while_the_processor_is_away(payer: Payer, paying: Paying, owner: Planner, worker: Worker) -> None:
    """The time is given back all the same; a worker ends the payment later."""
    made = await payer.pay_now(at(3, 10))
    plan = await owner.planned(DAY, NEXT)
    await owner.committed(plan)
    await paying.sandbox.control("faults", kind="error", match="POST /v1/payment_intents/*/cancel", status=503)
    await worker.work()
    assert results(await owner.read(plan)) == {made.id: ("DONE", None)}
    await paying.sandbox.http.delete("/_sandbox/faults")
    await paying.work("end_payment")
    [intent] = await paying.intents(made)
    assert intent.status == "canceled"
