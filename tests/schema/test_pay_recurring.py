"""A series that is paid at once: the first date by its customer, each other one by itself, by the card of the first."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.checkout import payment
from app.checkout.scope import Checkout
from app.checkout.series import charge_date
from app.commands.expiry import expire_unpaid_bookings
from app.core.ids import IdKind, decode_id
from app.gateway import GatewayUnknown
from tests import sweeps
from tests.classes import make_class
from tests.fixtures_api import log_statements
from tests.journey import Answer, Made, live_time, rows_of
from tests.paying import GOOD, NO_FUNDS, Payer, Paying, ledger_of, owner_of
from tests.price_terms import set_terms
from tests.recurring import cancel, weekly
from tests.shop import at, iso, make_shop
from tests.subscribing import ask, subscribe

CHARGE = "charge_series_date"
ASKS_THE_BANK = "pm_card_authenticationRequired"


async def test_one_payment_pays_all(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    assert await who.statuses() == ["PENDING"] * 3
    shown = who.made["payment"]
    assert (shown["status"], shown["amount"]["amountMinor"]) == ("UNPAID", 1_000)
    assert shown["clientSecret"].startswith("pi_")
    held = await rows_of(payer.shop, "SELECT status, expires_at IS NOT NULL AS ends FROM allocation")
    assert [(one["status"], one["ends"]) for one in held] == [("held", True)] * 3
    [consent] = await rows_of(payer.shop, "SELECT consent FROM payment")
    assert (consent["consent"]["totalMinor"], len(consent["consent"]["bookingIds"])) == (3_000, 3)
    await paying.pay(who.dates[0])
    await paying.pass_on()
    assert await who.statuses() == ["CONFIRMED", "PENDING", "PENDING"]
    assert await paying.work(CHARGE) == 2
    assert await who.statuses() == ["CONFIRMED"] * 3
    assert await who.charged() == [1_000] * 3
    owner = owner_of(paying, payer.shop)
    assert [await ledger_of(owner.client, one) for one in who.dates] == [{"customer": -1_000, "escrow": 1_000}] * 3
    await paying.pass_on()
    await paying.work(later=timedelta(hours=1))
    assert await who.statuses() == ["CONFIRMED"] * 3
    assert await who.charged() == [1_000] * 3
    assert {row["status"] for row in await rows_of(payer.shop, "SELECT status FROM allocation")} == {"booked"}
    kept = await rows_of(payer.shop, "SELECT DISTINCT has_saved_method AS kept FROM booking")
    assert kept == [{"kept": False}]  # nobody agreed to fees
    [first] = await paying.intents(who.dates[0])
    [second] = await paying.intents(who.dates[1])
    assert (first.setup_future_usage, second.setup_future_usage) == ("off_session", None)
    assert first.customer == second.customer is not None


async def test_the_first_declined_then_tried_again(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    await who.pay_first(NO_FUNDS)
    assert await paying.work(CHARGE) == 0
    assert await who.statuses() == ["PAYMENT_FAILED", "PENDING", "PENDING"]
    assert (await payer.retry(who.dates[0]))["booking"]["status"] == "PENDING"
    await who.pay_first()
    assert await paying.work(CHARGE) == 2
    assert await who.statuses() == ["CONFIRMED"] * 3


async def test_one_that_is_declined_fails_alone(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    await who.pay_first()
    [kept] = await rows_of(payer.shop, "SELECT method_ref FROM payment WHERE method_ref IS NOT NULL")
    change = "UPDATE payment SET method_ref = :ref WHERE consent IS NOT NULL RETURNING 1"
    await rows_of(payer.shop, change, ref=NO_FUNDS)
    await paying.work(CHARGE, at_most=1)
    await rows_of(payer.shop, change, ref=kept["method_ref"])
    await paying.work(CHARGE)
    assert await who.statuses() == ["CONFIRMED", "PAYMENT_FAILED", "CONFIRMED"]
    assert await who.charged() == [1_000, 0, 1_000]
    [told] = await rows_of(payer.shop, "SELECT subject_id FROM outbox_event WHERE type = 'payment.failed'")
    assert told["subject_id"] == decode_id(IdKind.BOOKING, who.dates[1].id)
    again = await payer.retry(who.dates[1], paymentMethodId=GOOD)
    assert again["booking"]["status"] == "CONFIRMED", again
    assert await who.charged() == [1_000] * 3


async def test_a_bank_that_asks_its_customer_leaves_the_others_to_the_form(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    await who.pay_first()
    await rows_of(
        payer.shop, "UPDATE payment SET method_ref = :ref WHERE consent IS NOT NULL RETURNING 1", ref=ASKS_THE_BANK
    )
    await paying.work(CHARGE)
    assert await who.statuses() == ["CONFIRMED", "PAYMENT_FAILED", "PAYMENT_FAILED"]
    again = await payer.retry(who.dates[1])
    await paying.pay(Made(again["booking"]["id"], who.dates[1].token, again))
    assert (await payer.refresh(who.dates[1]))["booking"]["status"] == "CONFIRMED"


async def test_a_card_that_is_gone_is_told(payer: Payer, paying: Paying) -> None:
    """No bank refused anything: the processor does not know it any more."""
    who = await subscribe(payer, paying, **weekly(2), expectedTotalMinor=2_000)
    await who.pay_first()
    await rows_of(payer.shop, "UPDATE payment SET method_ref = 'pm_gone' WHERE consent IS NOT NULL RETURNING 1")
    await paying.work(CHARGE)
    assert await who.statuses() == ["CONFIRMED", "PAYMENT_FAILED"]
    assert (await payer.retry(who.dates[1], paymentMethodId=GOOD))["booking"]["status"] == "CONFIRMED"


@pytest.mark.parametrize(
    ("kind", "call"),
    [("lost_answer", "POST /v1/payment_intents"), ("lost_to_error", "POST /v1/payment_intents/*/confirm")],
)
async def test_a_lost_answer_charges_once(payer: Payer, paying: Paying, kind: str, call: str) -> None:
    who = await subscribe(payer, paying)
    await who.pay_first()
    fault = {"status": 500} if kind == "lost_to_error" else {}
    await paying.sandbox.control("faults", kind=kind, match=call, times=2, **fault)
    with pytest.raises(GatewayUnknown):
        await paying.work(CHARGE)
    await paying.pass_on()  # the webhook may come before we know
    await paying.work(CHARGE)
    assert await who.statuses() == ["CONFIRMED"] * 3
    assert await who.charged() == [1_000] * 3


async def test_a_worker_that_dies_at_any_step_charges_once(
    payer: Payer, paying: Paying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the intention, after the intent, and after the charge; then two at once, and one more."""
    who = await subscribe(payer, paying)
    await who.pay_first()
    for name, calls in (("open_payment", False), ("confirm_payment", False), ("confirm_payment", True)):
        with monkeypatch.context() as patch:
            patch.setattr(f"app.checkout.series.{name}", _dying(name, calls=calls))
            with pytest.raises(Killed):
                await paying.work(CHARGE)
    jobs = await paying.rows("SELECT args FROM job WHERE kind = :kind", kind=CHARGE)
    await asyncio.gather(*(_charge(paying, job["args"]) for job in jobs * 2), return_exceptions=True)
    await paying.work(CHARGE)
    for job in jobs:
        await _charge(paying, job["args"])
    assert await who.statuses() == ["CONFIRMED"] * 3
    assert await who.charged() == [1_000] * 3
    assert [len(await paying.intents(one)) for one in who.dates] == [1, 1, 1]


class Killed(Exception):
    pass


def _dying(name: str, *, calls: bool) -> Any:
    """In place of a step: its process is gone before it, or after it."""

    async def step(*args: Any, **named: Any) -> None:
        if calls:
            await getattr(payment, name)(*args, **named)
        raise Killed

    return step


async def _charge(paying: Paying, args: Answer) -> None:
    known = paying.api.api.services.checkout
    worker = Checkout(paying.worker, known.clock, known.gateways)
    await charge_date(worker, UUID(args["bookingId"]), UUID(args["sourceId"]))


async def test_unpaid_all_go_back_at_the_deadline(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    [first] = await paying.intents(who.dates[0])
    paying.api.clock.move(timedelta(minutes=31))
    await paying.work("end_payment")
    await sweep(paying)
    # The others wait longer, so that a payment at the last moment has time to charge them.
    assert await who.statuses() == ["EXPIRED", "PENDING", "PENDING"]
    paying.api.clock.move(timedelta(minutes=41))
    await sweep(paying)
    assert await who.statuses() == ["EXPIRED"] * 3
    assert await live_time(payer.shop) == []
    await paying.work()
    listed = [one for made in who.dates for one in await paying.intents(made)]
    assert [(one.id, one.status) for one in listed] == [(first.id, "canceled")]


async def sweep(paying: Paying) -> None:
    await sweeps.sweep(paying.worker, paying.api.clock, expire_unpaid_bookings)


async def test_paid_at_the_last_moment_counts_for_all(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    await paying.pay(who.dates[0])
    paying.api.clock.move(timedelta(minutes=31))
    await paying.work("end_payment")
    await sweep(paying)
    await paying.work(CHARGE)
    assert await who.statuses() == ["CONFIRMED"] * 3


async def test_too_late_charges_nobody(payer: Payer, paying: Paying) -> None:
    """The worker was away for longer than the others wait."""
    who = await subscribe(payer, paying)
    await who.pay_first()
    paying.api.clock.move(timedelta(minutes=41))
    await paying.work(CHARGE)
    await sweep(paying)
    assert await who.statuses() == ["CONFIRMED", "EXPIRED", "EXPIRED"]
    assert await who.charged() == [1_000, 0, 0]


async def test_one_date_cancelled_later_gives_that_back_alone(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    await who.pay_first()
    await paying.work(CHARGE)
    answer = await cancel(payer.client, who.made, "ONE", position=2)
    assert answer["__typename"] == "CancelRecurringBookingPayload", answer
    await paying.work()
    assert await who.statuses() == ["CONFIRMED", "REFUNDED", "CONFIRMED"]
    owner = owner_of(paying, payer.shop)
    assert await ledger_of(owner.client, who.dates[1]) == {"customer": -1_000, "refunds": 1_000}
    assert await ledger_of(owner.client, who.dates[2]) == {"customer": -1_000, "escrow": 1_000}


async def test_cancelled_before_it_is_paid_ends_the_payment_first(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    answer = await cancel(payer.client, who.made, "ALL", expectedVersion=1)
    assert answer["__typename"] == "CancelRecurringBookingPayload", answer
    [intent] = await paying.intents(who.dates[0])
    assert intent.status == "canceled"
    assert await who.statuses() == ["CANCELLED"] * 3
    assert await live_time(payer.shop) == []


async def test_cancelled_while_it_is_being_paid_charges_nobody_else(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    await paying.pay(who.dates[0])
    answer = await cancel(payer.client, who.made, "ALL")
    assert answer["__typename"] == "CancelRecurringBookingPayload", answer
    await paying.work()
    assert await who.statuses() == ["REFUNDED", "CANCELLED", "CANCELLED"]
    assert await who.charged() == [1_000, 0, 0]


async def test_without_agreement_each_is_paid_by_itself(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying, savesMethod=False)
    await who.pay_first()
    assert await paying.work(CHARGE) == 0
    [first] = await paying.intents(who.dates[0])
    assert (first.setup_future_usage, first.customer) == (None, None)
    for made in who.dates[1:]:
        asked = await payer.retry(made)
        assert asked["payment"]["clientSecret"].startswith("pi_"), asked
        await paying.pay(Made(made.id, made.token, asked))
        assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"
    assert await who.charged() == [1_000] * 3


async def test_one_that_its_customer_pays_by_hand_is_left_to_them(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    asked = await payer.retry(who.dates[1])
    await who.pay_first()
    await paying.work(CHARGE)
    assert await who.statuses() == ["CONFIRMED", "PENDING", "CONFIRMED"]
    await paying.pay(Made(who.dates[1].id, who.dates[1].token, asked))
    await payer.refresh(who.dates[1])
    assert await who.charged() == [1_000] * 3


async def test_a_repeat_is_the_same_payment(payer: Payer, paying: Paying) -> None:
    key = str(uuid4())
    who = await subscribe(payer, paying, idempotencyKey=key)
    again = await subscribe(payer, paying, idempotencyKey=key)
    assert again.made == who.made
    await who.pay_first()
    await paying.work(CHARGE)
    paid = await subscribe(payer, paying, idempotencyKey=key)
    assert (paid.made["payment"]["id"], paid.made["payment"]["status"]) == (who.made["payment"]["id"], "PAID")


async def test_places_in_sessions(paying: Paying) -> None:
    yoga = await make_class(paying.client, paying.api.api.services, capacity=2)
    payer = Payer(paying.client, yoga.shop)
    facts = {"serviceId": None, "activityId": yoga.activity_id, "partySize": 2, "startsAt": iso(at(2, 9))}
    daily = {"recurrence": {"pattern": {"frequency": "DAILY", "count": 2}}}
    who = await subscribe(payer, paying, **facts, **daily, expectedTotalMinor=6_000)
    claims = "SELECT status, expires_at IS NOT NULL AS ends FROM place_claim ORDER BY id"
    assert [tuple(one.values()) for one in await rows_of(yoga.shop, claims)] == [("held", True)] * 2
    await who.pay_first()
    await paying.work(CHARGE)
    assert await who.statuses() == ["CONFIRMED"] * 2
    assert [tuple(one.values()) for one in await rows_of(yoga.shop, claims)] == [("booked", False)] * 2
    assert await who.charged() == [3_000] * 2


async def test_others_pay_nothing_of_it_and_see_nothing(payer: Payer, paying: Paying) -> None:
    who = await subscribe(payer, paying)
    stranger = Payer(paying.client, await make_shop(paying.api.api.services))
    other = await subscribe(stranger, paying)
    owner = owner_of(paying, stranger.shop)
    for client, token in ((paying.client, other.made["accessToken"]), (owner.client, None)):
        made = Made(who.dates[1].id, token or "", {})
        answer = await Payer(client, stranger.shop).retry(made, accessToken=token)
        assert answer["__typename"] == "NotFound", answer
    await other.pay_first()
    await paying.work(CHARGE)
    assert await who.statuses() == ["PENDING"] * 3
    assert await who.charged() == [0, 0, 0]


async def test_what_is_refused(payer: Payer) -> None:
    on_arrival = await ask(payer, {"paymentMethod": "PAY_ON_ARRIVAL", "savesMethod": True, **weekly(3)})
    assert on_arrival["violations"] == [{"path": "input.savesMethod", "message": "is for PAY_NOW"}]
    await rows_of(
        payer.shop,
        "INSERT INTO payment_settings (organization_id, accepts_pay_now) VALUES (:id, false) RETURNING 1",
        id=payer.shop.organization_uuid,
    )
    assert (await ask(payer, weekly(3)))["rule"] == "pay_now_unavailable"
    assert await rows_of(payer.shop, "SELECT 1 FROM booking_series") == []


async def test_a_deposit_is_of_each_date(payer: Payer, paying: Paying) -> None:
    await set_terms(payer.shop, deposit_bps=3_000)
    who = await subscribe(payer, paying)
    assert who.made["payment"]["amount"]["amountMinor"] == 300
    await who.pay_first()
    await paying.work(CHARGE)
    assert await who.statuses() == ["CONFIRMED"] * 3
    assert await who.charged() == [300] * 3


async def test_one_that_waits_for_approval_is_authorized_and_taken_by_itself(paying: Paying) -> None:
    shop = await make_shop(paying.api.api.services, service={"requires_approval": True})
    payer = Payer(paying.client, shop)
    who = await subscribe(payer, paying)
    await who.pay_first()
    await paying.work(CHARGE)
    assert await who.statuses() == ["AWAITING_PROVIDER"] * 3
    assert await who.charged() == [0, 0, 0]
    assert (await owner_of(paying, shop).step(who.dates[1], "CONFIRMED"))["status"] == "CONFIRMED"
    assert await who.charged() == [0, 1_000, 0]


async def test_what_costs_nothing_is_confirmed_at_once(payer: Payer, paying: Paying) -> None:
    [service] = payer.shop.service_uuids
    await rows_of(payer.shop, "UPDATE service SET price_minor = 0 WHERE id = :id RETURNING 1", id=service)
    who = await subscribe(payer, paying, expectedTotalMinor=0)
    assert who.made["payment"] is None
    assert await who.statuses() == ["CONFIRMED"] * 3


async def test_its_budget(payer: Payer, paying: Paying) -> None:
    """However many dates there are; one job for each of the others in one statement."""
    log, stop = log_statements(paying.api.api.services.database)
    counts = []
    try:
        for day, dates in ((2, 2), (3, 12)):
            log.clear()
            await subscribe(payer, paying, startsAt=iso(at(day, 12)), **weekly(dates), expectedTotalMinor=dates * 1_000)
            counts.append(len(log))
    finally:
        stop()
    assert counts[0] == counts[1] <= 28, log.statements
