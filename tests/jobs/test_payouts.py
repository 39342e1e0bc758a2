"""Payouts are made exactly once, of exactly what is owed: whatever dies, is repeated, or happens at the same time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.checkout.payout import plan_payouts
from app.commands.actor import SYSTEM
from app.commands.payout_account import hold_payouts
from app.commands.payout_send import begin_payout, cancel_by_hand, retry_payout
from app.domain.errors import NotAllowed
from app.domain.payout import MOST_ATTEMPTS
from app.gateway import GatewayRefused, GatewayUnavailable, GatewayUnknown, RefusalKind, TransferOrder
from tests.paying import Paying, ledger_of
from tests.payouts import FEE, PRICE, SHARE, WEEK, Earner, make_earner
from tests.shop import at

DAY = timedelta(days=1)
NOT_MADE = {"kind": "error", "match": "POST /v1/transfers", "status": 503}


@pytest.fixture
async def earner(paying: Paying) -> Earner:
    return await make_earner(paying)


async def fault(paying: Paying, kind: str, match: str = "POST /v1/transfers", **more: Any) -> None:
    await paying.sandbox.control("faults", kind=kind, match=match, **more)


# ── what is paid, and when ────────────────────────────────────────────────────────────────────────────


async def test_what_was_given_is_released_and_paid_out_after_a_week(earner: Earner) -> None:
    [made] = await earner.completed(at(2, 10))
    shared = {"customer": -PRICE, "platform_fee": FEE, "provider_payable": SHARE}
    assert await ledger_of(earner.owner.client, made) == shared
    earner.wait(WEEK - timedelta(minutes=2))
    assert await earner.plan() is None
    earner.wait(timedelta(minutes=1))
    payout = await earner.paid_out()
    assert await earner.received() == SHARE
    assert await ledger_of(earner.owner.client, made) == {"customer": -PRICE, "platform_fee": FEE, "paid_out": SHARE}
    assert (payout.amount_minor, payout.number, payout.currency) == (SHARE, 1, "USD")
    assert await earner.plan() is None


async def test_of_who_has_no_account_the_organization_keeps_it(paying: Paying) -> None:
    earner = await make_earner(paying, onboarded=False)
    start = at(2, 10)
    made = await earner.paid(start, payees=[None])
    paying.api.clock.move_to(start + timedelta(minutes=31))
    await earner.owner.stepped(made, "COMPLETED")
    kept = {"customer": -PRICE, "platform_fee": FEE, "organization": SHARE}
    assert await ledger_of(earner.owner.client, made) == kept


async def test_several_bookings_are_one_payout(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10), at(2, 11), at(3, 10))
    earner.wait(WEEK - DAY + timedelta(hours=2))
    assert (await earner.paid_out()).amount_minor == 2 * SHARE
    earner.wait(DAY)
    assert (await earner.paid_out()).amount_minor == SHARE
    assert await earner.received() == 3 * SHARE
    items = "SELECT i.amount_minor FROM payout_item i JOIN payout o ON o.id = payout_id WHERE provider_id = :id"
    assert [row["amount_minor"] for row in await paying.rows(items, id=earner.provider)] == [SHARE] * 3


async def test_a_kept_cancellation_is_paid_out_too(earner: Earner, paying: Paying) -> None:
    made = await earner.paid(at(2, 10))
    paying.api.clock.move_to(at(2, 10, 40))
    await earner.owner.stepped(made, "NO_SHOW")
    earner.wait()
    assert (await earner.paid_out()).amount_minor == SHARE


async def test_less_than_the_minimum_waits_for_more(earner: Earner, paying: Paying) -> None:
    put = "INSERT INTO payment_settings (organization_id, payout_minimum_minor) VALUES (:id, :least) RETURNING 1"
    await paying.rows(put, id=earner.shop.organization_uuid, least=SHARE + 1)
    await earner.given(at(2, 10))
    earner.wait()
    assert await earner.plan() is None
    await earner.given(at(10, 10))
    earner.wait()
    assert (await earner.paid_out()).amount_minor == 2 * SHARE


@pytest.mark.parametrize(
    ("released", "days", "zone", "due"),
    [
        ("2026-03-05T15:00-05:00", 7, "America/New_York", "2026-03-12T15:00-04:00"),  # a week of 167 hours
        ("2026-10-28T15:00-04:00", 7, "America/New_York", "2026-11-04T15:00-05:00"),  # and one of 169
        ("2026-03-07T02:30-05:00", 1, "America/New_York", "2026-03-08T03:30-04:00"),  # 02:30 does not exist
        ("2026-12-25T12:00-03:00", 7, "America/Argentina/Buenos_Aires", "2027-01-01T12:00-03:00"),
        ("2026-06-01T12:00+00:00", 0, "UTC", "2026-06-01T12:00+00:00"),
        ("2028-02-28T23:59+14:00", 1, "Pacific/Kiritimati", "2028-02-29T23:59+14:00"),
    ],
)
async def test_days_are_those_of_the_calendar_where_it_was(
    paying: Paying, released: str, days: int, zone: str, due: str
) -> None:
    query = "SELECT payout_due_at(:released, :days, :zone) AS due"
    [row] = await paying.rows(query, released=datetime.fromisoformat(released), days=days, zone=zone)
    assert row["due"].astimezone(UTC) == datetime.fromisoformat(due).astimezone(UTC)


# ── exactly once ──────────────────────────────────────────────────────────────────────────────────────


async def test_two_workers_plan_one_payout(earner: Earner) -> None:
    await earner.given(at(2, 10), at(2, 11))
    earner.wait()
    found = await earner.at_once(*(earner.plan() for _ in range(4)))
    planned = [one for one in found if one is not None]
    assert [one.amount_minor for one in planned] == [2 * SHARE], found
    await earner.at_once(*(earner.send(planned[0]) for _ in range(4)))
    assert await earner.received() == 2 * SHARE
    assert [row["status"] for row in await earner.payouts()] == ["sent"]
    assert await earner.owed() == 0


async def test_the_database_refuses_to_pay_the_same_twice(earner: Earner, paying: Paying) -> None:
    """Whatever a worker has read: a second journal for the same money cannot be written."""
    await earner.given(at(2, 10))
    earner.wait()
    await earner.planned()
    again = """
        SELECT post_journal(uuidv7(), e.organization_id, 'payout_asked', 'another', 'USD', jsonb_agg(jsonb_build_object(
            'booking_id', e.booking_id, 'account', e.account, 'payee_id', e.payee_id, 'amount_minor', e.amount_minor)))
        FROM ledger_entry e JOIN ledger_journal j ON j.id = e.journal_id AND j.kind = 'payout_asked'
        WHERE e.organization_id = :id GROUP BY e.organization_id
    """
    with pytest.raises(Exception, match="not owed"):
        await paying.rows(again, id=earner.shop.organization_uuid)
    second = """
        INSERT INTO payout (id, organization_id, provider_id, number, processor, account_id, currency, amount_minor,
                            status, idempotency_key, period_start, period_end, delay_days)
        SELECT uuidv7(), organization_id, provider_id, number + 1, processor, account_id, currency, amount_minor,
               status, 'another', period_start, period_end, delay_days FROM payout WHERE provider_id = :id RETURNING 1
    """
    with pytest.raises(Exception, match="payout_live_idx"):
        await paying.rows(second, id=earner.provider)


@pytest.mark.parametrize("kind", ["lost_answer", "lost_to_error", "error", "reset"])
async def test_an_answer_that_is_lost_does_not_send_it_twice(earner: Earner, paying: Paying, kind: str) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    await fault(paying, kind, times=2)  # both calls of the first attempt
    await earner.send(payout)
    assert (await earner.payout(payout.id))["status"] == "sending"
    assert await paying.work("execute_payout", later=timedelta(hours=1)) >= 1
    assert (await earner.payout(payout.id))["status"] == "sent"
    assert await earner.received() == SHARE
    assert await earner.balances() == {"customer": -PRICE, "platform_fee": FEE, "paid_out": SHARE}


async def test_one_who_died_in_the_middle_of_the_call_is_finished(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    async with earner.checkout.within(None) as tx:
        attempt = await begin_payout(tx, payout.id, earner.now())
    assert attempt is not None
    # The call went out, and nobody was there to hear of it.
    made = await paying.sandbox.v1.transfers.create_async(
        {
            "amount": SHARE,
            "currency": "usd",
            "destination": payout.account_id,
            "transfer_group": str(payout.id),
            "description": "Payout 1",
            "metadata": {"turnero_transfer": str(payout.id), "turnero_organization": str(payout.organization_id)},
        }
    )
    await earner.send(payout)
    row = await earner.payout(payout.id)
    assert (row["status"], row["processor_id"]) == ("sent", made.id)
    assert await earner.received() == SHARE


async def test_one_who_died_after_the_call_is_told_by_the_webhook(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    await fault(paying, "lost_answer", times=2)
    await earner.send(payout)
    await paying.pass_on()
    assert (await earner.payout(payout.id))["status"] == "sent"
    assert await earner.received() == SHARE
    await earner.send(payout)
    assert await earner.received() == SHARE


# ── what cannot be sent ───────────────────────────────────────────────────────────────────────────────


async def test_it_is_tried_again_and_then_left_to_a_person(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    await paying.sandbox.control("faults", **NOT_MADE)
    for _ in range(MOST_ATTEMPTS):
        assert (await earner.payout(payout.id))["status"] in {"scheduled", "sending"}
        await earner.send(payout)
        paying.api.clock.move(paying.api.clock.offset + timedelta(hours=6))
    row = await earner.payout(payout.id)
    assert (row["status"], row["attempts"], row["is_unanswered"]) == ("needs_attention", MOST_ATTEMPTS, True)
    await earner.send(payout)
    assert (await earner.payout(payout.id))["attempts"] == MOST_ATTEMPTS
    told = "SELECT count(*) AS n FROM outbox_event WHERE subject_id = :id AND type = 'payout.needs_attention'"
    assert (await paying.rows(told, id=payout.id))[0]["n"] == 1


async def test_what_may_have_been_sent_is_never_called_off(earner: Earner, paying: Paying) -> None:
    """The first answer was lost; later calls were certainly not made."""
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    await fault(paying, "lost_answer", times=2)
    await earner.send(payout)
    await fault(paying, "error", match="* /v1/transfers*", status=429)
    for _ in range(MOST_ATTEMPTS - 1):
        await earner.send(payout)
        earner.wait(timedelta(hours=6))
    row = await earner.payout(payout.id)
    assert (row["status"], row["is_unanswered"]) == ("needs_attention", True)
    async with earner.checkout.within(None) as tx:
        with pytest.raises(NotAllowed) as refused:
            await cancel_by_hand(tx, payout.id, SYSTEM, "Lost patience")
    assert refused.value.rule == "payout_unanswered"
    await paying.sandbox.http.delete("/_sandbox/faults")
    await paying.pass_on()
    assert (await earner.payout(payout.id))["status"] == "sent"
    assert await earner.received() == SHARE


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_lost_its_rights_says_nothing_of_what_was_sent(
    earner: Earner, paying: Paying, status: int
) -> None:
    """The first answer was lost, and then the key of this server is refused: it may have been sent all the same."""
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    await fault(paying, "lost_answer", times=2)
    await earner.send(payout)
    await fault(paying, "error", match="* /v1/transfers*", status=status)
    await earner.send(payout)
    row = await earner.payout(payout.id)
    assert (row["status"], row["is_unanswered"], row["refusals"]) == ("sending", True, 0)
    await paying.sandbox.http.delete("/_sandbox/faults")
    await earner.send(payout)
    assert (await earner.payout(payout.id))["status"] == "sent"
    assert await earner.received() == SHARE


@pytest.mark.parametrize(
    "second", [GatewayUnavailable("busy"), GatewayRefused("no such key", kind=RefusalKind.ACCESS)], ids=["busy", "key"]
)
async def test_a_second_call_that_was_not_made_says_nothing_of_the_first(
    earner: Earner, monkeypatch: pytest.MonkeyPatch, second: Exception
) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    gateway = earner.checkout.gateway("stripe")
    real, answers = gateway.transfer, iter((GatewayUnknown("lost"), second))

    async def transfer(order: TransferOrder) -> None:
        answer = next(answers)
        if isinstance(answer, GatewayUnknown):
            await real(order)
        raise answer

    with monkeypatch.context() as patched:
        patched.setattr(gateway, "transfer", transfer)
        await earner.send(payout)
    row = await earner.payout(payout.id)
    assert (row["status"], row["is_unanswered"]) == ("sending", True)
    await earner.send(payout)
    assert await earner.received() == SHARE


async def test_a_refused_key_of_this_server_uses_up_no_key_of_a_call(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    await fault(paying, "error", times=2)
    await earner.send(payout)
    await fault(paying, "error", times=1, status=401)
    await earner.send(payout)
    row = await earner.payout(payout.id)
    assert (row["status"], row["is_unanswered"], row["refusals"]) == ("needs_attention", True, 0)
    async with earner.checkout.within(None) as tx:
        await retry_payout(tx, payout.id, SYSTEM, earner.now())
    await earner.send(payout)
    assert await earner.received() == SHARE


async def test_a_refusal_is_followed_by_another_key(earner: Earner, paying: Paying) -> None:
    """A processor keeps what it answered to a key, a refusal too."""
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    [row] = await paying.rows("SELECT * FROM payout WHERE id = :id", id=payout.id)
    drained = await paying.sandbox.account()
    await paying.sandbox.control(f"accounts/{drained}/state", state="onboarded")
    balance = await paying.sandbox.balance(currency="usd")
    await paying.sandbox.v1.transfers.create_async({"amount": balance, "currency": "usd", "destination": drained})
    await earner.send(payout)
    row = await earner.payout(payout.id)
    assert (row["status"], row["refusals"], row["is_unanswered"]) == ("sending", 1, False)
    assert row["failure_code"] == "balance_insufficient"
    await paying.sandbox.paid(currency="usd")
    await paying.work("execute_payout", later=timedelta(hours=1))
    assert (await earner.payout(payout.id))["status"] == "sent"
    assert await earner.received() == SHARE


async def test_an_account_that_cannot_receive_gets_it_once_it_can(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    await paying.sandbox.control(f"accounts/{payout.account_id}/state", state="restricted")
    await earner.send(payout)  # the webhook of it has not come yet
    assert (await earner.payout(payout.id))["status"] == "cancelled"
    assert await earner.owed() == SHARE
    assert await earner.plan() is None
    await earner.set_account(payout.account_id, "onboarded")
    assert (await earner.paid_out()).number == 2
    assert await earner.received() == SHARE


async def test_the_recurring_job_does_it_all(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    assert await plan_payouts(earner.checkout) >= 1
    assert await plan_payouts(earner.checkout) == 0
    await paying.work("execute_payout")
    assert await earner.received() == SHARE


async def test_a_stop_that_is_not_committed_yet_is_waited_for(earner: Earner) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    async with earner.checkout.within(earner.shop.organization_uuid) as tx:
        await hold_payouts(tx, earner.provider, SYSTEM, "Asked by the bank", earner.now())
        planning = asyncio.ensure_future(earner.plan())
        await asyncio.wait([planning], timeout=0.1)
        assert not planning.done()
    assert await planning is None


async def test_a_lost_job_is_asked_for_again(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    await earner.planned()
    await paying.rows("DELETE FROM job RETURNING 1")
    earner.wait(timedelta(hours=2))
    await paying.rows(
        "INSERT INTO job (id, kind, args, max_attempts) VALUES (uuidv7(), 'plan_payouts', '{}', 3) RETURNING 1"
    )
    await paying.work("plan_payouts")
    await paying.work("execute_payout")
    assert await earner.received() == SHARE
