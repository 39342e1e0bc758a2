"""Balances, transfers, reversals, refunds, payouts and disputes: no cent appears or vanishes."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.running import Sandbox, running


async def test_fees_and_settlement(package_http: stripe.HTTPXClient) -> None:
    now = [1_790_000_000.0]
    async with running(
        package_http, fee_basis_points=150, fee_fixed=25, settlement_s=3_600, clock=lambda: now[0]
    ) as sandbox:
        intent = await sandbox.paid(expand=["latest_charge.balance_transaction"])
        booked = intent.latest_charge.balance_transaction
        assert (booked.amount, booked.fee, booked.net, booked.status) == (10_000, 175, 9_825, "pending")
        assert booked.fee_details[0].type == "stripe_fee"
        account = await sandbox.account()
        with pytest.raises(stripe.InvalidRequestError) as poor:
            await sandbox.v1.transfers.create_async({"amount": 1, "currency": "eur", "destination": account})
        assert poor.value.code == "balance_insufficient"
        # Money that a charge brings can be promised before it is there.
        await sandbox.v1.transfers.create_async(
            {"amount": 8_000, "currency": "eur", "destination": account, "source_transaction": intent.latest_charge.id}
        )
        assert await sandbox.balance(account) == 0
        now[0] += 3_600
        assert (await sandbox.balance(account), await sandbox.balance()) == (8_000, 1_825)
        later = await sandbox.v1.balance_transactions.retrieve_async(booked.id)
        assert later.status == "available"


async def test_transfers_of_a_charge_stay_within_it(sandbox: Sandbox) -> None:
    account = await sandbox.account()
    intent = await sandbox.paid(transfer_group="order_money")
    wish = {"currency": "eur", "destination": account, "source_transaction": intent.latest_charge}
    transfer = await sandbox.v1.transfers.create_async({**wish, "amount": 8_000, "metadata": {"batch": "1"}})
    assert (transfer.transfer_group, transfer.amount_reversed, transfer.reversed) == ("order_money", 0, False)
    for amount in (2_001, 99_999_999):
        with pytest.raises(stripe.InvalidRequestError, match="must not exceed"):
            await sandbox.v1.transfers.create_async({**wish, "amount": amount})
    await sandbox.v1.transfers.create_async({**wish, "amount": 2_000})
    listed = await sandbox.v1.transfers.list_async({"destination": account})
    assert [one.amount for one in listed.data] == [2_000, 8_000]
    payment = await sandbox.v1.charges.retrieve_async(
        transfer.destination_payment, {"expand": ["balance_transaction"]}, {"stripe_account": account}
    )
    assert (payment.source_transfer, payment.balance_transaction.net) == (transfer.id, 8_000)
    with pytest.raises(stripe.InvalidRequestError, match="reverse that instead"):
        await sandbox.v1.refunds.create_async({"charge": payment.id}, {"stripe_account": account})


async def test_a_transfer_is_reversed_in_parts_while_the_money_is_there(sandbox: Sandbox) -> None:
    account = await sandbox.account()
    await sandbox.paid()
    transfer = await sandbox.v1.transfers.create_async({"amount": 8_000, "currency": "eur", "destination": account})
    platform = await sandbox.balance()
    reversal = await sandbox.v1.transfers.reversals.create_async(transfer.id, {"amount": 3_000})
    assert (reversal.amount, reversal.transfer) == (3_000, transfer.id)
    for amount in (5_001, 8_000):
        with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed"):
            await sandbox.v1.transfers.reversals.create_async(transfer.id, {"amount": amount})
    await sandbox.v1.payouts.create_async({"amount": 4_000, "currency": "eur"}, {"stripe_account": account})
    with pytest.raises(stripe.InvalidRequestError) as spent:
        await sandbox.v1.transfers.reversals.create_async(transfer.id)
    assert spent.value.code == "balance_insufficient"
    await sandbox.v1.transfers.reversals.create_async(transfer.id, {"amount": 1_000})
    found = await sandbox.v1.transfers.retrieve_async(transfer.id)
    assert (found.amount_reversed, found.reversed) == (4_000, False)
    assert [one.amount for one in found.reversals.data] == [1_000, 3_000]
    assert await sandbox.balance() == platform + 4_000
    assert await sandbox.balance(account) == 0


async def test_refunds_by_intent_and_by_charge(sandbox: Sandbox) -> None:
    before = await sandbox.balance()
    intent = await sandbox.paid()
    first = await sandbox.v1.refunds.create_async(
        {"payment_intent": intent.id, "amount": 4_000, "reason": "requested_by_customer", "metadata": {"by": "staff"}}
    )
    assert (first.status, first.charge, first.payment_intent) == ("succeeded", intent.latest_charge, intent.id)
    await sandbox.v1.refunds.create_async({"charge": intent.latest_charge, "amount": 1_000})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        await sandbox.v1.refunds.create_async({"payment_intent": intent.id, "amount": 5_001})
    rest = await sandbox.v1.refunds.create_async({"payment_intent": intent.id})
    assert rest.amount == 5_000
    with pytest.raises(stripe.InvalidRequestError) as gone:
        await sandbox.v1.refunds.create_async({"payment_intent": intent.id})
    assert gone.value.code == "charge_already_refunded"
    charge = await sandbox.v1.charges.retrieve_async(intent.latest_charge, {"expand": ["refunds"]})
    assert (charge.refunded, charge.amount_refunded) == (True, 10_000)
    assert [refund.amount for refund in charge.refunds.data] == [5_000, 1_000, 4_000]
    assert await sandbox.balance() == before


async def test_what_was_not_captured_cannot_be_refunded(sandbox: Sandbox) -> None:
    held = await sandbox.paid(capture_method="manual")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox.v1.refunds.create_async({"payment_intent": held.id})
    assert refused.value.code == "payment_intent_unexpected_state"
    with pytest.raises(stripe.InvalidRequestError, match="has not been captured"):
        await sandbox.v1.refunds.create_async({"charge": held.latest_charge})


@pytest.mark.parametrize(
    ("card", "at_first", "at_last"),
    [("pm_card_pendingRefund", "pending", "succeeded"), ("pm_card_refundFail", "succeeded", "failed")],
)
async def test_a_refund_changes_later(package_http: stripe.HTTPXClient, card: str, at_first: str, at_last: str) -> None:
    now = [1_790_000_000.0]
    async with running(package_http, refund_settles_after_s=60, clock=lambda: now[0]) as sandbox:
        intent = await sandbox.paid(payment_method=card)
        refund = await sandbox.v1.refunds.create_async({"payment_intent": intent.id})
        assert (refund.status, await sandbox.balance()) == (at_first, 0)
        now[0] += 60
        await sandbox.paid()  # anything that happens makes it look at the clock
        await sandbox.until("refunds", refund.id, at_last)
        later = await sandbox.v1.refunds.retrieve_async(refund.id)
        assert await sandbox.balance() == (20_000 if at_last == "failed" else 10_000)
        assert hasattr(later, "failure_reason") == (at_last == "failed")


async def test_a_destination_charge_shares_and_takes_back(sandbox: Sandbox) -> None:
    account, before = await sandbox.account(), await sandbox.balance()
    intent = await sandbox.paid(transfer_data={"destination": account}, application_fee_amount=1_500)
    assert (await sandbox.balance(account), await sandbox.balance() - before) == (8_500, 1_500)
    part = await sandbox.v1.refunds.create_async(
        {"payment_intent": intent.id, "amount": 4_000, "reverse_transfer": True, "refund_application_fee": True}
    )
    assert part.transfer_reversal is not None
    assert (await sandbox.balance(account), await sandbox.balance() - before) == (5_100, 900)
    await sandbox.v1.refunds.create_async(
        {"payment_intent": intent.id, "reverse_transfer": True, "refund_application_fee": True}
    )
    assert (await sandbox.balance(account), await sandbox.balance() - before) == (0, 0)
    fees = await sandbox.v1.application_fees.list_async({"charge": intent.latest_charge})
    assert [(fee.amount, fee.refunded) for fee in fees.data] == [(1_500, True)]


async def test_payouts(sandbox: Sandbox) -> None:
    account = await sandbox.account()
    there = {"stripe_account": account}
    await sandbox.paid()
    await sandbox.v1.transfers.create_async({"amount": 5_000, "currency": "eur", "destination": account})
    with pytest.raises(stripe.InvalidRequestError) as poor:
        await sandbox.v1.payouts.create_async({"amount": 5_001, "currency": "eur"}, there)
    assert poor.value.code == "balance_insufficient"
    payout = await sandbox.v1.payouts.create_async({"amount": 5_000, "currency": "eur"}, there)
    assert payout.status == "pending"
    await sandbox.until("payouts", payout.id, "paid", account)
    await sandbox.control(f"payouts/{payout.id}/finish", outcome="failed")
    failed = await sandbox.v1.payouts.retrieve_async(payout.id, {}, there)
    assert (failed.status, failed.failure_code) == ("failed", "could_not_process")
    assert await sandbox.balance(account) == 5_000
    kinds = [one.type for one in (await sandbox.v1.balance_transactions.list_async({}, there)).data]
    assert kinds == ["payout_failure", "payout", "payment"]


async def test_onboarding_is_enforced_when_asked(package_http: stripe.HTTPXClient) -> None:
    async with running(package_http, enforce_onboarding=True) as sandbox:
        account = await sandbox.account(email="ana@example.com")
        found = await sandbox.v1.accounts.retrieve_async(account)
        assert (found.payouts_enabled, found.details_submitted, found.capabilities.transfers) == (
            False,
            False,
            "inactive",
        )
        await sandbox.paid()
        wish = {"amount": 1_000, "currency": "eur", "destination": account}
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await sandbox.v1.transfers.create_async(wish)
        assert refused.value.code == "insufficient_capabilities_for_transfer"
        urls = {"refresh_url": "https://shop.example/again", "return_url": "https://shop.example/done"}
        made = await sandbox.v1.account_links.create_async({"account": account, "type": "account_onboarding", **urls})
        assert "Complete onboarding" in (await sandbox.http.get(made.url)).text
        path = made.url.removeprefix(sandbox.url) + "/finish"
        done = await sandbox.http.post(path, data={"outcome": "complete"})
        assert (done.status_code, done.headers["location"]) == (303, "https://shop.example/done")
        used = await sandbox.http.post(path, data={"outcome": "complete"})
        assert used.headers["location"] == "https://shop.example/again"
        ready = await sandbox.v1.accounts.retrieve_async(account)
        assert (ready.payouts_enabled, ready.requirements.currently_due) == (True, [])
        told = (await sandbox.v1.events.list_async({}, {"stripe_account": account})).data[0]
        assert (told.type, told.account) == ("account.updated", account)
        assert told.data.previous_attributes["payouts_enabled"] is False
        await sandbox.v1.transfers.create_async(wish)
        await sandbox.control(f"accounts/{account}/state", state="restricted")
        with pytest.raises(stripe.InvalidRequestError) as stopped:
            await sandbox.v1.payouts.create_async({"amount": 1, "currency": "eur"}, {"stripe_account": account})
        assert stopped.value.code == "payouts_not_allowed"


async def test_a_disputed_payment(sandbox: Sandbox) -> None:
    before = await sandbox.balance()
    intent = await sandbox.paid(payment_method="pm_card_createDispute")
    dispute = await _first(sandbox, "disputes", {"payment_intent": intent.id})
    assert (dispute.amount, dispute.reason, dispute.status) == (10_000, "fraudulent", "needs_response")
    assert await sandbox.balance() == before - 2_000
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox.v1.refunds.create_async({"payment_intent": intent.id})
    assert refused.value.code == "charge_disputed"
    won = await sandbox.v1.disputes.update_async(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    assert (won.status, [one.net for one in won.balance_transactions]) == ("won", [-12_000, 10_000])
    assert await sandbox.balance() == before + 8_000
    with pytest.raises(stripe.InvalidRequestError, match="takes no more evidence"):
        await sandbox.v1.disputes.close_async(dispute.id)


async def test_disputes_by_hand(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    await sandbox.control(f"charges/{intent.latest_charge}/dispute", reason="product_not_received")
    dispute = await _first(sandbox, "disputes", {"charge": intent.latest_charge})
    assert dispute.reason == "product_not_received"
    again = await sandbox.http.post(f"/_sandbox/charges/{intent.latest_charge}/dispute", json={})
    assert again.status_code == 400
    lost = await sandbox.control(f"disputes/{dispute.id}/decide", outcome="lost")
    assert lost["status"] == "lost"
    asked = await sandbox.paid(payment_method="pm_card_createDisputeInquiry")
    inquiry = await _first(sandbox, "disputes", {"payment_intent": asked.id})
    assert (inquiry.status, inquiry.balance_transactions) == ("warning_needs_response", [])
    refund = await sandbox.v1.refunds.create_async({"payment_intent": asked.id})
    assert refund.status == "succeeded"


async def test_the_balance_is_the_sum_of_its_transactions(package_http: stripe.HTTPXClient) -> None:
    async with running(package_http, fee_basis_points=140, fee_fixed=25) as sandbox:
        account = await sandbox.account()
        for amount in (10_000, 777, 50):
            intent = await sandbox.paid(amount=amount)
            await sandbox.v1.transfers.create_async(
                {
                    "amount": amount // 2,
                    "currency": "eur",
                    "destination": account,
                    "source_transaction": intent.latest_charge,
                }
            )
            await sandbox.v1.refunds.create_async({"payment_intent": intent.id, "amount": amount // 3})
        disputed = await sandbox.paid(payment_method="pm_card_createDispute")
        await _first(sandbox, "disputes", {"payment_intent": disputed.id})
        for holder in (None, account):
            options = {"stripe_account": holder} if holder else {}
            listed = await sandbox.v1.balance_transactions.list_async({"limit": 100}, options)
            assert sum(one.net for one in listed.data) == await sandbox.balance(holder)
            assert all(one.net == one.amount - one.fee for one in listed.data)


async def _first(sandbox: Sandbox, kind: str, query: dict[str, str]) -> Any:
    """The newest object that a task makes in the background."""
    for _ in range(500):
        listed = await getattr(sandbox.v1, kind).list_async(query)
        if listed.data:
            return listed.data[0]
    raise AssertionError(f"no {kind}")
