"""Money back: by the policy that was frozen with the booking, or by the staff; each cent once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.domain.membership import Role
from tests.journey import Answer, Made, Visitor, audit_of, colleague, rows_of
from tests.paying import REFUND, Payer, Paying, ledger_of, owner_of
from tests.shop import at


async def give_back(visitor: Visitor, made: Made, amount: int | None = None, **extra: Any) -> Answer:
    wanted = {"bookingId": made.id, "amountMinor": amount, "reason": "A gesture", **extra}
    answer: Answer = await visitor.client(REFUND, {"input": wanted})
    return answer


async def set_terms(payer: Payer, **values: int) -> None:
    columns = ", ".join(values)
    numbers = ", ".join(f":{name}" for name in values)
    await rows_of(
        payer.shop,
        f"INSERT INTO payment_settings (organization_id, {columns}) VALUES (:organization, {numbers}) RETURNING 1",
        organization=payer.shop.organization_uuid,
        **values,
    )


async def test_within_the_notice_everything_goes_back(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    assert (await payer.seen(made))["cancellationTerms"] == {
        "refund": {"amountMinor": 1_000},
        "fee": {"amountMinor": 0},
    }
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    booking = await payer.seen(made)
    assert booking["refunds"] == [{"amount": {"amountMinor": 1_000}, "status": "created", "cause": "policy"}]
    assert await paying.work("execute_refund") == 1
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("REFUNDED", "REFUNDED")
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -1_000, "refunds": 1_000}
    [intent] = await paying.intents(made)
    charge = await paying.sandbox.v1.charges.retrieve_async(intent.latest_charge)
    assert charge.amount_refunded == 1_000


async def test_the_frozen_terms_decide_not_todays(payer: Payer, paying: Paying) -> None:
    await set_terms(payer, no_show_refund_bps=2_500, late_refund_bps=5_000)
    made = await payer.paid(paying, at(3, 10))
    await rows_of(payer.shop, "UPDATE payment_settings SET no_show_refund_bps = 0 RETURNING 1")
    paying.api.clock.move(timedelta(days=3, hours=12))
    assert (await payer.seen(made))["cancellationTerms"] == {
        "refund": {"amountMinor": 500},
        "fee": {"amountMinor": 500},
    }
    owner = owner_of(paying, payer.shop)
    assert (await owner.step(made, "NO_SHOW"))["__typename"] == "Booking"
    await paying.work("execute_refund")
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("NO_SHOW", "PARTIALLY_REFUNDED")
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "refunds": 250, "organization": 750}


async def test_who_comes_is_served_and_the_money_is_its_owners(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(1, 10))
    paying.api.clock.move_to(at(1, 11))
    owner = owner_of(paying, payer.shop)
    await owner.stepped(made, "CHECKED_IN", "IN_PROGRESS", "COMPLETED")
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "organization": 1_000}
    assert (await give_back(owner, made))["__typename"] == "Booking"
    await paying.work("execute_refund")
    assert (await payer.seen(made))["status"] == "REFUNDED"
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "refunds": 1_000}


async def test_the_staff_give_back_in_pieces_never_more_than_was_paid(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    staff = await colleague(paying.client, payer.shop, Role.STAFF)
    assert (await give_back(staff, made, 300))["__typename"] == "Booking"
    assert (await give_back(staff, made, 400))["__typename"] == "Booking"
    refused = await give_back(staff, made, 301)
    assert refused["violations"] == [
        {"path": "input.amountMinor", "message": "is more than can go back: at most 3.00 USD are left"}
    ]
    assert await paying.work("execute_refund") == 2
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("CONFIRMED", "PARTIALLY_REFUNDED")
    assert booking["cancellationTerms"]["refund"] == {"amountMinor": 300}
    assert await ledger_of(staff.client, made) == {"customer": -1_000, "escrow": 300, "refunds": 700}
    assert (await audit_of(payer.shop, made))[-1]["action"] == "booking.payment"
    assert (await give_back(staff, made))["__typename"] == "Booking"
    await paying.work("execute_refund")
    assert (await payer.seen(made))["paymentStatus"] == "REFUNDED"
    assert (await give_back(staff, made))["rule"] == "nothing_to_refund"


@pytest.mark.parametrize("amount", [0, -1, -(2**53) + 1, 2**53 - 1])
async def test_absurd_amounts(payer: Payer, paying: Paying, amount: int) -> None:
    made = await payer.paid(paying, at(3, 10))
    assert (await give_back(owner_of(paying, payer.shop), made, amount))["__typename"] == "InvalidInput"


async def test_who_may(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    assert (await give_back(payer, made))["__typename"] == "NotFound"
    owner = owner_of(paying, payer.shop)
    assert (await give_back(owner, made, reason=" "))["__typename"] == "InvalidInput"
    assert (await give_back(owner, made, expectedVersion=1))["currentVersion"] == 2
    unpaid = await payer.booked(at(3, 12))
    assert (await give_back(owner, unpaid))["rule"] == "nothing_to_refund"


async def test_a_lost_answer_and_a_repeat_are_one_refund(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    owner, key = owner_of(paying, payer.shop), str(uuid4())
    for _ in range(2):
        assert (await give_back(owner, made, 400, idempotencyKey=key))["__typename"] == "Booking"
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/refunds", times=1)
    with pytest.raises(Exception, match="answer"):
        await paying.work("execute_refund")
    await paying.pass_on()  # the refund shows up before we know that it is ours
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 600, "processor_clearing": 400}
    await paying.work("execute_refund", later=timedelta(hours=1))
    await paying.pass_on()
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 600, "refunds": 400}
    assert [one["cause"] for one in (await payer.seen(made))["refunds"]] == ["staff"]


async def test_a_refund_made_at_the_processor_counts(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    [intent] = await paying.intents(made)
    await paying.sandbox.v1.refunds.create_async({"payment_intent": intent.id, "amount": 250})
    await paying.pass_on()
    booking = await payer.seen(made)
    assert booking["paymentStatus"] == "PARTIALLY_REFUNDED"
    assert booking["refunds"] == [{"amount": {"amountMinor": 250}, "status": "succeeded", "cause": "outside"}]
    owner = owner_of(paying, payer.shop)
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 750, "refunds": 250}
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await paying.work("execute_refund")
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "refunds": 1_000}


async def test_a_dispute_is_in_the_books(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    [intent] = await paying.intents(made)
    await paying.sandbox.control(f"charges/{intent.latest_charge}/dispute")
    await paying.pass_on()
    owner = owner_of(paying, payer.shop)
    assert (await payer.seen(made))["paymentStatus"] == "DISPUTED"
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "disputes": 1_000}
    assert (await give_back(owner, made))["rule"] == "nothing_to_refund"
    assert (await payer.seen(made))["cancellationTerms"]["refund"] == {"amountMinor": 0}
    [dispute] = (await paying.sandbox.v1.disputes.list_async({"payment_intent": intent.id})).data
    await paying.sandbox.control(f"disputes/{dispute.id}/decide", outcome="won")
    await paying.pass_on()
    booking = await payer.seen(made)
    assert (booking["paymentStatus"], booking["cancellationTerms"]["refund"]) == ("PAID", {"amountMinor": 1_000})
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 1_000}


async def test_what_a_lost_dispute_took_is_not_promised_again(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    [intent] = await paying.intents(made)
    await paying.sandbox.control(f"charges/{intent.latest_charge}/dispute")
    [dispute] = (await paying.sandbox.v1.disputes.list_async({"payment_intent": intent.id})).data
    await paying.sandbox.control(f"disputes/{dispute.id}/decide", outcome="lost")
    await paying.pass_on()
    booking = await payer.seen(made)
    assert (booking["status"], booking["cancellationTerms"]["refund"]) == ("CONFIRMED", {"amountMinor": 0})
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -1_000, "refunds": 1_000}


async def test_only_the_staff_see_the_books(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    query = "query ($id: ID!, $token: String) { booking(id: $id, accessToken: $token) { ledger { kind } } }"
    assert (await payer.client(query, {"id": made.id, "token": made.token}))["ledger"] is None


async def test_the_books_cannot_be_changed_nor_be_out_of_balance(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    assert made.id
    with pytest.raises(Exception, match="permission denied"):
        await rows_of(payer.shop, "UPDATE ledger_entry SET amount_minor = 1 RETURNING 1")
    one_sided = """
        SELECT post_journal(gen_random_uuid(), organization_id, 'captured', 'x', 'USD', jsonb_build_array(
            jsonb_build_object('booking_id', id, 'account', 'escrow', 'amount_minor', 5))) FROM booking WHERE id = :id
    """
    [row] = await rows_of(payer.shop, "SELECT id FROM booking")
    with pytest.raises(Exception, match="does not add up to zero"):
        async with paying.worker.transaction() as tx:
            await tx.execute(text(one_sided), {"id": row["id"]})
