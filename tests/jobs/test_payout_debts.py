"""Refunds and disputes around a payout: before it is sent, while it is sent, and after."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.checkout.payout import execute_reversal, plan_all_reversals
from app.commands.payout_reversal import fail_reversal, plan_reversals
from app.commands.payout_send import begin_payout
from app.models import Payout
from tests.paying import Paying
from tests.payouts import FEE, PRICE, SHARE, Earner, make_earner
from tests.shop import at


@pytest.fixture
async def earner(paying: Paying) -> Earner:
    return await make_earner(paying)


async def items(earner: Earner) -> list[tuple[int, int]]:
    """(amount, reversed) of all payouts."""
    query = (
        "SELECT i.amount_minor, i.reversed_minor FROM payout_item i JOIN payout o ON o.id = i.payout_id"
        " WHERE o.provider_id = :id ORDER BY o.id, i.booking_id"
    )
    return [(row["amount_minor"], row["reversed_minor"]) for row in await earner.paying.rows(query, id=earner.provider)]


# ── before ────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_refunded_before_is_not_paid_out(earner: Earner) -> None:
    first, second = await earner.completed(at(2, 10), at(2, 11))
    await earner.refund(first)
    await earner.refund(second, PRICE // 2)
    earner.wait()
    assert (await earner.paid_out()).amount_minor == SHARE // 2
    refunds, fees = PRICE + PRICE // 2, FEE // 2
    assert await earner.balances() == {
        "customer": -2 * PRICE,
        "refunds": refunds,
        "platform_fee": fees,
        "paid_out": SHARE // 2,
    }


async def test_a_payout_that_is_not_sent_yet_is_called_off_and_planned_anew(earner: Earner) -> None:
    first, _ = await earner.given(at(2, 10), at(2, 11))
    earner.wait()
    payout = await earner.planned()
    assert payout.amount_minor == 2 * SHARE
    await earner.returned(first)
    await earner.send(payout)
    cancelled, anew = await earner.payouts()
    assert (cancelled["status"], "refunded" in cancelled["failure"]) == ("cancelled", True)
    assert (anew["status"], anew["amount_minor"], anew["number"]) == ("scheduled", SHARE, 2)
    await earner.paying.work("execute_payout")
    assert await earner.received() == SHARE
    assert await earner.owed() == 0


async def test_a_refund_in_the_middle_of_sending_is_a_debt(earner: Earner) -> None:
    [made] = await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    async with earner.checkout.within(None) as tx:
        assert await begin_payout(tx, payout.id, earner.now()) is not None
    await earner.returned(made)
    await earner.send(payout)
    assert (await earner.payout(payout.id))["status"] == "sent"
    assert await earner.owed() == -SHARE
    await earner.take_back()
    assert await earner.received() == 0
    assert await earner.balances() == {"customer": -PRICE, "refunds": PRICE}


async def test_refund_and_plan_at_once(earner: Earner) -> None:
    """Whichever comes first, the books and the processor agree, and nothing is paid that went back."""
    starts = [at(2, hour) for hour in range(8, 12)]
    made = await earner.given(*starts)
    earner.wait()
    await earner.at_once(*(earner.returned(one) for one in made[:2]), *(earner.plan() for _ in range(2)))
    await earner.paying.work("execute_payout")
    for payout in await earner.payouts():
        assert payout["status"] in {"sent", "cancelled"}, payout
    await earner.take_back()
    await earner.paying.work("execute_payout", "execute_payout_reversal")
    assert await earner.received() == 2 * SHARE
    assert await earner.owed() == 0


# ── after ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refund_after_the_payout_takes_the_transfer_back(earner: Earner, paying: Paying) -> None:
    first, _ = await earner.completed(at(2, 10), at(2, 11))
    earner.wait()
    await earner.paid_out()
    await earner.refund(first, PRICE // 2)
    assert await earner.owed() == -SHARE // 2
    assert len(await earner.take_back()) == 1
    assert await earner.received() == 2 * SHARE - SHARE // 2
    assert await earner.owed() == 0
    assert await items(earner) == [(SHARE, SHARE // 2), (SHARE, 0)]
    assert await earner.take_back() == []
    await paying.pass_on()  # the processor tells of the reversal, which is ours
    assert await earner.owed() == 0


async def test_the_reversal_is_made_once(earner: Earner, paying: Paying) -> None:
    [made] = await earner.given(at(2, 10))
    earner.wait()
    await earner.paid_out()
    await earner.returned(made)
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/transfers/*/reversals", times=2)
    found = await earner.at_once(earner.take_back(), earner.take_back(), earner.take_back())
    assert sum(len(one) for one in found) == 1, found
    assert await earner.owed() == -SHARE
    await paying.work("execute_payout_reversal", later=timedelta(hours=1))
    assert await earner.owed() == 0
    assert await earner.received() == 0
    await paying.pass_on()
    assert await earner.balances() == {"customer": -PRICE, "refunds": PRICE}


async def test_what_cannot_be_taken_back_is_settled_by_the_next_payout(earner: Earner, paying: Paying) -> None:
    [made] = await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.paid_out()
    # The provider's bank has it already: nothing is left in the account.
    await paying.sandbox.v1.payouts.create_async(
        {"amount": SHARE, "currency": "usd"}, {"stripe_account": payout.account_id}
    )
    await earner.returned(made)
    assert len(await earner.take_back()) == 1
    assert await earner.owed() == -SHARE
    assert await earner.take_back() == []  # not again and again
    assert await earner.plan() is None
    await earner.given(at(10, 10), at(10, 11))
    earner.wait()
    assert (await earner.paid_out()).amount_minor == SHARE
    assert await items(earner) == [(SHARE, 0), (-SHARE, 0), (SHARE, 0), (SHARE, 0)]
    assert await earner.owed() == 0
    assert await earner.received() == 2 * SHARE


async def test_a_debt_alone_is_no_payout(earner: Earner, paying: Paying) -> None:
    [made] = await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.paid_out()
    await paying.sandbox.v1.payouts.create_async(
        {"amount": SHARE, "currency": "usd"}, {"stripe_account": payout.account_id}
    )
    await earner.returned(made)
    await earner.given(at(10, 10))
    earner.wait()
    assert await earner.plan() is None  # 9.00 owed, 9.00 to pay
    assert len(await earner.payouts()) == 1


async def test_one_taken_back_at_the_processor_counts(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10), at(2, 11))
    earner.wait()
    payout = await earner.paid_out()
    transfer = (await earner.payout(payout.id))["processor_id"]
    await paying.sandbox.v1.transfers.reversals.create_async(transfer, {"amount": SHARE + 100})
    for _ in range(2):
        await paying.pass_on()
    assert await items(earner) == [(SHARE, SHARE), (SHARE, 100)]
    assert await earner.owed() == SHARE + 100  # owed again, and paid again
    assert (await earner.paid_out()).amount_minor == SHARE + 100


async def test_the_sweep_finds_the_debts(earner: Earner, paying: Paying) -> None:
    [made] = await earner.given(at(2, 10))
    earner.wait()
    await earner.paid_out()
    await earner.returned(made)
    assert await plan_all_reversals(earner.checkout) >= 1
    await paying.work("execute_payout_reversal")
    assert await earner.owed() == 0


# ── disputes ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_dispute_freezes_the_booking_until_it_is_decided(earner: Earner) -> None:
    first, _ = await earner.completed(at(2, 10), at(2, 11))
    dispute = await earner.dispute(first)
    earner.wait()
    assert (await earner.paid_out()).amount_minor == SHARE
    assert await earner.plan() is None
    await earner.decide(dispute, "won")
    assert (await earner.paid_out()).amount_minor == SHARE
    assert await earner.received() == 2 * SHARE


async def test_a_lost_dispute_is_never_paid_out(earner: Earner) -> None:
    [made] = await earner.completed(at(2, 10))
    await earner.decide(await earner.dispute(made), "lost")
    earner.wait()
    assert await earner.plan() is None
    assert await earner.owed() == 0


async def test_a_dispute_over_a_part_freezes_the_rest(earner: Earner, paying: Paying) -> None:
    [made] = await earner.completed(at(2, 10))
    await earner.refund(made, PRICE // 2)
    partly = """
        UPDATE payment SET disputes = jsonb_build_object('dp_1', jsonb_build_object('phase', 'open', 'excess', 0,
            'shares', jsonb_build_object('version', 1))) WHERE organization_id = :id RETURNING 1
    """
    assert await paying.rows(partly, id=earner.shop.organization_uuid)
    earner.wait()
    assert await earner.owed() == SHARE // 2
    assert await earner.plan() is None
    await paying.rows(
        "UPDATE payment SET disputes = '{}' WHERE organization_id = :id RETURNING 1", id=earner.shop.organization_uuid
    )
    assert (await earner.paid_out()).amount_minor == SHARE // 2


async def test_one_opened_before_the_transfer_calls_it_off(earner: Earner) -> None:
    first, _ = await earner.completed(at(2, 10), at(2, 11))
    earner.wait()
    payout = await earner.planned()
    await earner.dispute(first)
    await earner.send(payout)
    statuses = [(row["status"], row["amount_minor"]) for row in await earner.payouts()]
    assert statuses == [("cancelled", 2 * SHARE), ("scheduled", SHARE)]


async def refused_for_lack_of_funds(earner: Earner, payout: Payout) -> None:
    """Certainly not sent, and tried again later."""
    sandbox = earner.paying.sandbox
    drained = await sandbox.account()
    await sandbox.control(f"accounts/{drained}/state", state="onboarded")
    there = await sandbox.balance(currency="usd")
    await sandbox.v1.transfers.create_async({"amount": there, "currency": "usd", "destination": drained})
    await earner.send(payout)
    row = await earner.payout(payout.id)
    assert (row["status"], row["failure_code"], row["is_unanswered"]) == ("sending", "balance_insufficient", False)
    await sandbox.paid(currency="usd")


@pytest.mark.parametrize("what", ["dispute", "refund"])
async def test_what_was_refused_so_far_is_called_off_like_what_was_never_asked_for(earner: Earner, what: str) -> None:
    first, _ = await earner.completed(at(2, 10), at(2, 11))
    earner.wait()
    payout = await earner.planned()
    await refused_for_lack_of_funds(earner, payout)
    await getattr(earner, what)(first)
    await earner.paying.work("execute_payout", later=timedelta(hours=1))
    statuses = [(row["status"], row["amount_minor"]) for row in await earner.payouts()]
    assert statuses == [("cancelled", 2 * SHARE), ("sent", SHARE)]
    assert await earner.received() == SHARE


async def test_one_opened_after_the_payout_is_taken_back_only_when_it_is_lost(earner: Earner) -> None:
    [made] = await earner.completed(at(2, 10))
    earner.wait()
    await earner.paid_out()
    dispute = await earner.dispute(made)
    assert await earner.owed() == -SHARE
    assert await earner.take_back() == []
    await earner.decide(dispute, "lost")
    assert len(await earner.take_back()) == 1
    assert await earner.owed() == 0
    assert await earner.received() == 0


async def test_one_that_was_won_before_the_service_is_paid_out_in_time(earner: Earner, paying: Paying) -> None:
    """Nothing of it was released with the service; it becomes the provider's when the dispute is won."""
    start = at(2, 10)
    made = await earner.paid(start)
    dispute = await earner.dispute(made)
    paying.api.clock.move_to(start + timedelta(minutes=31))
    await earner.owner.stepped(made, "COMPLETED")
    await earner.decide(dispute, "won")
    assert await earner.owed() == SHARE
    assert await earner.plan() is None
    earner.wait()
    assert (await earner.paid_out()).amount_minor == SHARE


# ── what is not known to have come back ───────────────────────────────────────────────────────────────


async def test_a_reversal_whose_answer_was_lost_is_not_given_up_for_a_refused_key(
    earner: Earner, paying: Paying
) -> None:
    """It was made. Were it given up, the next one would take the same money a second time."""
    first, _ = await earner.given(at(2, 10), at(2, 11))
    earner.wait()
    await earner.paid_out()
    await earner.returned(first)
    async with earner.checkout.within(earner.shop.organization_uuid) as tx:
        [asked] = await plan_reversals(tx, earner.provider, "USD", earner.now())
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/transfers/*/reversals", times=2)
    await execute_reversal(earner.checkout, asked)
    assert await earner.received() == SHARE
    await paying.sandbox.control("faults", kind="error", match="* /v1/transfers*", status=401)
    await execute_reversal(earner.checkout, asked)
    await execute_reversal(replace(earner.checkout, gateways={}), asked)
    await paying.sandbox.http.delete("/_sandbox/faults")
    [row] = await paying.rows("SELECT status FROM payout_reversal WHERE id = :id", id=asked)
    assert row["status"] == "created"
    earner.wait(timedelta(days=2))
    await earner.take_back()
    await paying.work("execute_payout_reversal")
    assert await earner.received() == SHARE
    assert await earner.owed() == 0


async def test_a_reversal_that_was_given_up_and_was_made_counts_once(earner: Earner, paying: Paying) -> None:
    first, _ = await earner.given(at(2, 10), at(2, 11))
    earner.wait()
    await earner.paid_out()
    await earner.returned(first)
    async with earner.checkout.within(earner.shop.organization_uuid) as tx:
        [asked] = await plan_reversals(tx, earner.provider, "USD", earner.now())
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/transfers/*/reversals", times=2)
    await execute_reversal(earner.checkout, asked)
    async with earner.checkout.within(earner.shop.organization_uuid) as tx:
        await fail_reversal(tx, asked, "refused", earner.now())
    for _ in range(2):
        await paying.pass_on()
        assert await earner.owed() == 0
    assert await earner.received() == SHARE
    assert await items(earner) == [(SHARE, SHARE), (SHARE, 0)]
