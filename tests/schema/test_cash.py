"""Cash: taken for what is due and never more, handed back, and in the books."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from app.domain.membership import Role
from tests.fees import Desk, balance_of, booked_with, deposited, intent_of, seen, with_deposit
from tests.fixtures_api import log_statements
from tests.journey import Visitor, account, audit_of, colleague, rows_of
from tests.paying import GOOD, Payer, Paying, ledger_of, owner_of
from tests.schema.test_refund_booking import give_back
from tests.shop import at, make_shop


@pytest.fixture
def desk(payer: Payer, paying: Paying) -> Desk:
    return Desk(owner_of(paying, payer.shop).client)


async def test_paid_on_arrival_becomes_paid(payer: Payer, desk: Desk) -> None:
    made = await payer.booked(at(2, 10))
    assert (await seen(payer, made))["amountDue"] == {"amountMinor": 1_000}
    first = await desk.take(made, 400)
    assert (first["paymentStatus"], first["amountDue"]) == ("PARTIALLY_PAID", {"amountMinor": 600})
    second = await desk.take(made)
    assert (second["status"], second["paymentStatus"], second["amountDue"]) == (
        "CONFIRMED",
        "PAID",
        {"amountMinor": 0},
    )
    assert await ledger_of(desk.client, made) == {"customer": -1_000, "cash": 1_000}
    assert (await desk.take(made))["rule"] == "nothing_due"
    entries = [one for one in await audit_of(payer.shop, made) if one["action"] == "booking.cash_paid"]
    assert [one["after"]["cashMinor"] for one in entries] == [400, 600]
    told = await rows_of(payer.shop, "SELECT type FROM outbox_event WHERE type = 'payment.cash_received'")
    assert len(told) == 2


async def test_never_more_than_is_due(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(2, 10))
    for amount in (0, -1, 701, 2**53 - 1, -(2**53) + 1):
        refused = await desk.take(made, amount)
        assert [one["path"] for one in refused["violations"]] == ["input.amountMinor"], amount
    assert refused["violations"]
    assert (await desk.take(made, 700))["paymentStatus"] == "PAID"


async def test_the_same_request_twice_is_one_payment(payer: Payer, desk: Desk) -> None:
    made, key = await payer.booked(at(2, 10)), str(uuid4())
    answers = await asyncio.gather(*(desk.take(made, 400, idempotencyKey=key) for _ in range(3)))
    assert {one["amountDue"]["amountMinor"] for one in answers} == {600}
    assert (await desk.take(made, 300, idempotencyKey=key))["__typename"] == "IdempotencyConflict"
    assert (await desk.take(made, 300, expectedVersion=1))["currentVersion"] == 2


async def test_two_tills_at_once_take_it_once(payer: Payer, desk: Desk) -> None:
    made = await payer.booked(at(2, 10))
    answers = await asyncio.gather(*(desk.take(made, 700) for _ in range(4)))
    assert sorted(one["__typename"] for one in answers) == ["Booking", "InvalidInput", "InvalidInput", "InvalidInput"]
    assert (await seen(payer, made))["amountDue"] == {"amountMinor": 300}


async def test_a_provider_who_keeps_it_owes_the_others_shares(payer: Payer, desk: Desk) -> None:
    payee = payer.shop.provider_uuids[0]
    held = await with_deposit(payer, await payer.held(at(2, 10)), 10_000, payee_id=payee, platform_fee_bps=1_000)
    made = await booked_with(payer, held)
    answer = await desk.take(made, providerId=payer.shop.provider_id)
    assert answer["paymentStatus"] == "PAID", answer
    assert await ledger_of(desk.client, made) == {
        "customer": -1_000,
        "platform_fee": 100,
        "paid_out": 1_000,
        "provider_payable": -100,
    }
    assert (await desk.hand_back(made))["amountDue"] == {"amountMinor": 1_000}
    assert await ledger_of(desk.client, made) == {"customer": -1_000, "refunds": 1_000}


async def test_who_may(payer: Payer, paying: Paying) -> None:
    made = await payer.booked(at(2, 10))
    stranger = Desk((await account(paying.client, payer.shop, "stranger")).client)
    for nobody in (Desk(payer.client), stranger):
        assert (await nobody.take(made))["__typename"] == "NotFound"
        assert (await nobody.hand_back(made))["__typename"] == "NotFound"
    for role in (Role.STAFF, Role.ADMIN):
        assert (await Desk((await colleague(paying.client, payer.shop, role)).client).take(made, 1))["id"] == made.id
    linked = await payer.shop.person("linked")
    await rows_of(payer.shop, "UPDATE provider SET user_id = :user RETURNING 1", user=linked.user_id)
    provider = Desk(paying.client.signed_in(linked.token))
    assert (await provider.take(made, 1))["rule"] == "staff_only"
    assert (await provider.hand_back(made))["rule"] == "staff_only"


async def test_another_shops_provider_and_booking_are_none(payer: Payer, paying: Paying, desk: Desk) -> None:
    other = Payer(paying.client, await make_shop(paying.api.api.services))
    theirs, made = await other.booked(at(2, 10)), await payer.booked(at(2, 10))
    assert (await desk.take(theirs))["__typename"] == "NotFound"
    refused = await desk.take(made, providerId=other.shop.provider_id)
    assert [one["path"] for one in refused["violations"]] == ["input.providerId"]


async def test_only_for_what_is_confirmed_and_not_over(payer: Payer, desk: Desk) -> None:
    waiting = await payer.pay_now(at(2, 10))
    assert (await desk.take(waiting))["rule"] == "not_confirmed"
    over = await payer.booked(at(3, 12))
    assert (await payer.cancel(over, accessToken=over.token))["status"] == "CANCELLED"
    assert (await desk.take(over))["rule"] == "booking_over"


async def test_cash_that_was_written_down_by_mistake_is_due_again(payer: Payer, desk: Desk) -> None:
    made = await payer.booked(at(2, 10))
    await desk.take(made)
    answer = await desk.hand_back(made, 1_000)
    assert (answer["paymentStatus"], answer["amountDue"]) == ("UNPAID", {"amountMinor": 1_000})
    assert answer["refunds"] == [{"amount": {"amountMinor": 1_000}, "status": "succeeded", "cause": "correction"}]
    assert (await desk.hand_back(made))["rule"] == "no_cash"
    assert (await desk.take(made))["paymentStatus"] == "PAID"
    assert await ledger_of(desk.client, made) == {"customer": -2_000, "cash": 1_000, "refunds": 1_000}


@pytest.mark.parametrize("amount", [0, -1, 1_001, 2**53 - 1])
async def test_absurd_amounts_do_not_go_back(payer: Payer, desk: Desk, amount: int) -> None:
    made = await payer.booked(at(2, 10))
    await desk.take(made)
    refused = await desk.hand_back(made, amount)
    assert [one["path"] for one in refused["violations"]] == ["input.amountMinor"]
    assert (await desk.hand_back(made, 1, reason="x" * 501))["__typename"] == "InvalidInput"
    assert (await desk.hand_back(made, 1, reason=" "))["__typename"] == "InvalidInput"


async def test_a_cancellation_gives_back_the_card_by_itself_and_cash_by_hand(
    payer: Payer, paying: Paying, desk: Desk
) -> None:
    made = await deposited(payer, paying, at(3, 10))
    await desk.take(made)
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await paying.work()
    booking = await seen(payer, made)
    assert (booking["status"], booking["paymentStatus"]) == ("CANCELLED", "PARTIALLY_REFUNDED")
    found = sorted((one["amount"]["amountMinor"], one["status"]) for one in booking["refunds"])
    assert found == [(300, "succeeded"), (700, "created")]
    assert (await desk.hand_back(made, 699))["__typename"] == "InvalidInput"
    answer = await desk.hand_back(made)
    assert (answer["status"], answer["paymentStatus"]) == ("REFUNDED", "REFUNDED")
    assert await ledger_of(desk.client, made) == {"customer": -1_000, "refunds": 1_000}


async def test_one_refund_comes_out_of_deposit_and_balance(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(3, 10))
    rest = await balance_of(payer, made)
    await paying.sandbox.control(f"intents/{intent_of(rest)}/pay", card=GOOD)
    assert (await payer.refresh(made))["booking"]["paymentStatus"] == "PAID"
    assert (await give_back(Visitor(desk.client, payer.shop), made, 900))["__typename"] == "Booking"
    assert await paying.work("execute_refund") == 2
    assert sorted(one["amount"]["amountMinor"] for one in (await seen(payer, made))["refunds"]) == [200, 700]
    assert await ledger_of(desk.client, made) == {"customer": -1_000, "escrow": 100, "refunds": 900}


async def test_what_was_refunded_before_its_end_is_refunded_then(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await payer.paid(paying, at(3, 10))
    owner = Visitor(desk.client, payer.shop)
    assert (await give_back(owner, made))["__typename"] == "Booking"
    await paying.work("execute_refund")
    assert (await seen(payer, made))["status"] == "CONFIRMED"
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "REFUNDED"
    assert [one["to"] for one in (await seen(payer, made))["transitions"]][-2:] == ["CANCELLED", "REFUNDED"]
    served = await payer.paid(paying, at(1, 12))
    await give_back(owner, served)
    await paying.work("execute_refund")
    paying.api.clock.move_to(at(1, 13))
    assert (await owner.step(served, "COMPLETED"))["status"] == "REFUNDED"
    assert await rows_of(payer.shop, "SELECT 1 FROM allocation WHERE status IN ('held', 'booked')") == []


async def test_its_budget(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await payer.booked(at(2, 10))
    query: Any = "mutation ($input: RecordCashPaymentInput!) { recordCashPayment(input: $input) { __typename } }"
    statements, stop = log_statements(paying.api.api.services.database)
    assert (await desk.client(query, {"input": {"bookingId": made.id}}))["__typename"] == "Booking"
    stop()
    assert 5 < len(statements) <= 10, statements.statements
