"""An organization whose guests pay by MercadoPago: on its page, confirmed by its webhook, given back, too late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stripe

from app.checkout.refund import execute_refund
from app.checkout.scope import KEYS_LIVE
from app.commands.expiry import expire_unpaid_bookings
from app.core.ids import IdKind, decode_id
from app.gateway import GatewayRefused, GatewayUnknown
from tests.conftest import Databases
from tests.fees import seen, set_terms
from tests.journey import ANA, Made
from tests.paying import REFUND, Payer, Paying, ledger_of, owner_of, paying_api
from tests.sandbox.running import Delivery
from tests.shop import Shop, at, make_shop
from tests.sweeps import sweep

AFTER = timedelta(minutes=31)
LONG_AFTER = timedelta(minutes=40)


@pytest.fixture(scope="module")
async def stand(
    databases: Databases, redis_url: str, http: httpx.AsyncClient, processor_http: stripe.HTTPXClient
) -> AsyncIterator[Paying]:
    made = paying_api(
        databases.create(),
        redis_url,
        http,
        processor_http,
        mercadopago=True,
        public_url="https://turnero.example",
        payment_return_url="https://shop.example/thanks?lang=es",
    )
    async with made as paying:
        yield paying


@pytest.fixture
async def paying(stand: Paying) -> AsyncIterator[Paying]:
    yield stand
    stand.api.clock.move(timedelta(0))
    await stand.sandbox.http.delete("/_sandbox/faults")
    await stand.collected()
    await stand.rows("DELETE FROM job RETURNING 1")


async def choose(paying: Paying, shop: Shop, processor: str) -> None:
    await paying.rows(
        "INSERT INTO payment_settings (organization_id, processor) VALUES (:id, :processor)"
        " ON CONFLICT (organization_id) DO UPDATE SET processor = :processor RETURNING 1",
        id=shop.organization_uuid,
        processor=processor,
    )


@pytest.fixture
async def payer(paying: Paying) -> Payer:
    """A guest at a shop in Argentina."""
    shop = await make_shop(paying.api.api.services, currency="ARS")
    await choose(paying, shop, "mercadopago")
    return Payer(paying.client, shop)


async def state_of(payer: Payer, made: Made) -> tuple[str, str]:
    booking = await payer.seen(made)
    return booking["status"], booking["paymentStatus"]


async def test_paid_on_the_page_confirmed_by_the_webhook_and_given_back(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    session = made.answer["payment"]
    assert (session["processor"], session["status"], session["clientSecret"]) == ("mercadopago", "UNPAID", None)
    assert session["amount"] == {"amountMinor": 1_000, "currency": "ARS"}
    assert session["publishableKey"] == "TEST-public"
    page = await paying.sandbox.http.get(session["redirectUrl"].removeprefix(paying.sandbox.url))
    assert "10.00 ARS" in page.text
    await paying.pay_on_page(made, "FUND")
    assert await paying.pass_on() == 1
    assert await state_of(payer, made) == ("PAYMENT_FAILED", "FAILED")
    again = await payer.retry(made)
    assert again["payment"]["redirectUrl"] == session["redirectUrl"]
    await paying.pay_on_page(made)
    assert await paying.pass_on() == 1
    assert await state_of(payer, made) == ("CONFIRMED", "PAID")
    owner = owner_of(paying, payer.shop)
    wanted = {"bookingId": made.id, "amountMinor": 400, "reason": "A gesture"}
    assert (await owner.client(REFUND, {"input": wanted}))["__typename"] == "Booking"
    await paying.work("execute_refund")
    assert await state_of(payer, made) == ("CONFIRMED", "PARTIALLY_REFUNDED")
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 600, "refunds": 400}
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await paying.work()
    assert await paying.pass_on() >= 1
    assert await state_of(payer, made) == ("REFUNDED", "REFUNDED")


async def test_the_way_back_asks_at_once_and_tells_nothing(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    leads_to = httpx.URL(await paying.pay_on_page(made))
    assert (leads_to.host, leads_to.path) == ("turnero.example", "/payments/return")
    answer = await paying.http.get(f"{paying.api.url}{leads_to.raw_path.decode()}")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"https://shop.example/thanks?lang=es&booking={made.id}",
    )
    [row] = await paying.rows("SELECT status FROM booking WHERE organization_id = :id", id=payer.shop.organization_uuid)
    assert row["status"] == "confirmed"
    for strange in ("bkg_00000000000000000000000000", made.id):
        again = await paying.http.get(f"{paying.api.url}/payments/return", params={"booking": strange})
        assert again.status_code == 303
    for absurd in ("", "x", "pay_1", "bkg_\x00", "💳" * 20):
        page = await paying.http.get(f"{paying.api.url}/payments/return", params={"booking": absurd})
        assert (page.status_code, "Gracias" in page.text, page.headers["cache-control"]) == (200, True, "no-store")


def without_signature(_: Delivery) -> dict[str, Any]:
    return {"headers": {"x-signature": ""}}


def of_another_object(one: Delivery) -> dict[str, Any]:
    return {"query": f"data.id=77&type={one.event['type']}"}


def altered(one: Delivery) -> dict[str, Any]:
    return {"body": one.body.replace(str(one.event["data"]["id"]).encode(), b"77")}


def of_another_secret(one: Delivery) -> dict[str, Any]:
    return {"headers": {"x-signature": one.headers["x-signature"].partition(",")[0] + ",v1=" + "0" * 64}}


@pytest.mark.parametrize("break_it", [without_signature, of_another_object, altered, of_another_secret])
async def test_what_is_not_mercadopagos_is_refused(payer: Payer, paying: Paying, break_it: Any) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.pay_on_page(made)
    [delivery] = await paying.collected()
    answer = await paying.deliver(delivery, **break_it(delivery))
    assert (answer.status_code, answer.text) == (400, "Bad signature\n")
    assert await paying.work("process_payment_event") == 0
    assert (await paying.deliver(delivery)).text == "Kept\n"
    assert (await paying.deliver(delivery)).text == "Known\n"
    assert await paying.work("process_payment_event") == 1


async def test_after_the_deadline_the_page_takes_nothing(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    paying.api.clock.move(AFTER)
    assert await paying.work("end_payment") == 1
    assert await state_of(payer, made) == ("EXPIRED", "UNPAID")
    page = made.answer["payment"]["redirectUrl"].rpartition("/")[2]
    answer = await paying.sandbox.http.post(f"/_sandbox/checkout/{page}/pay", json={"holder": "APRO"})
    assert answer.status_code == 400


async def late(payer: Payer, paying: Paying) -> Made:
    """Expired while MercadoPago was away, so that its page stayed open; then paid there."""
    made = await payer.pay_now(at(2, 10))
    paying.api.clock.move(LONG_AFTER)
    await sweep(paying.worker, paying.api.clock, expire_unpaid_bookings)
    assert (await payer.seen(made))["status"] == "EXPIRED"
    await paying.pay_on_page(made)
    return made


async def test_paid_after_the_deadline_it_gets_its_time_or_its_money(payer: Payer, paying: Paying) -> None:
    made = await late(payer, paying)
    await paying.pass_on()
    assert await state_of(payer, made) == ("CONFIRMED", "PAID")
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    paying.api.clock.move(timedelta(0))
    made = await late(payer, paying)
    other = await payer.book(await payer.held(at(2, 10)), customer=ANA)
    assert other["__typename"] == "CreateBookingPayload"
    await paying.pass_on()
    assert await paying.work("execute_refund") >= 1
    assert await state_of(payer, made) == ("REFUNDED", "REFUNDED")
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -1_000, "refunds": 1_000}


async def test_what_was_paid_in_two_windows_goes_back_once(payer: Payer, paying: Paying) -> None:
    """By itself, though the answer is lost and everything is told in between; and the rest can still go back."""
    made = await payer.pay_now(at(2, 10))
    for _ in range(2):
        await paying.pay_on_page(made)
    await paying.pass_on()
    owner = owner_of(paying, payer.shop).client
    assert await ledger_of(owner, made) == {"customer": -2_000, "escrow": 1_000, "processor_clearing": 1_000}
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /mercadopago/v1/payments/*/refunds", times=1)
    with pytest.raises(GatewayUnknown):
        await paying.work("execute_refund")
    await paying.pass_on()
    assert await paying.work("execute_refund") == 1
    await paying.pass_on()
    assert await state_of(payer, made) == ("CONFIRMED", "PAID")
    assert await ledger_of(owner, made) == {"customer": -2_000, "escrow": 1_000, "refunds": 1_000}
    booking = await payer.seen(made)
    assert [(one["amount"]["amountMinor"], one["status"]) for one in booking["refunds"]] == [(1_000, "succeeded")]
    assert booking["cancellationTerms"] == {"refund": {"amountMinor": 1_000}, "fee": {"amountMinor": 0}}
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await paying.work("execute_refund")
    await paying.pass_on()
    assert await state_of(payer, made) == ("REFUNDED", "REFUNDED")
    assert await ledger_of(owner, made) == {"customer": -2_000, "refunds": 2_000}


async def late_in_two_windows(payer: Payer, paying: Paying) -> Made:
    """For a time that somebody else has by then."""
    made = await late(payer, paying)
    await paying.pay_on_page(made)
    other = await payer.book(await payer.held(at(2, 10)), customer=ANA)
    assert other["__typename"] == "CreateBookingPayload"
    return made


async def test_paid_in_two_windows_for_a_time_that_is_gone_all_goes_back(payer: Payer, paying: Paying) -> None:
    made = await late_in_two_windows(payer, paying)
    for _ in range(2):
        await paying.pass_on()
        await paying.work("execute_refund")
    assert await state_of(payer, made) == ("REFUNDED", "REFUNDED")
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -2_000, "refunds": 2_000}


async def test_what_was_paid_in_three_windows_goes_back_out_of_each(payer: Payer, paying: Paying) -> None:
    """All of it known at once; no charge has as much as has to go back."""
    made = await payer.pay_now(at(2, 10))
    for _ in range(3):
        await paying.pay_on_page(made)
    await paying.pass_on()
    assert await paying.work("execute_refund") == 2
    await paying.pass_on()
    assert await state_of(payer, made) == ("CONFIRMED", "PAID")
    books = await ledger_of(owner_of(paying, payer.shop).client, made)
    assert books == {"customer": -3_000, "escrow": 1_000, "refunds": 2_000}


@pytest.mark.parametrize("answered", [0, 1])
async def test_a_lost_answer_of_either_charge_gives_back_once(payer: Payer, paying: Paying, answered: int) -> None:
    """Of the first one the other refund waits to hear what became of it; the second one is asked again."""
    made = await late_in_two_windows(payer, paying)
    await paying.pass_on()
    booking_id = decode_id(IdKind.BOOKING, made.id)
    refunds = await paying.rows("SELECT id FROM refund WHERE booking_id = :id ORDER BY id", id=booking_id)
    for one in refunds[:answered]:
        await execute_refund(paying.jobs._checkout, one["id"])
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /mercadopago/v1/payments/*/refunds", times=1)
    first, *others = refunds[answered:]
    with pytest.raises(GatewayUnknown):
        await execute_refund(paying.jobs._checkout, first["id"])
    for other in others:
        with pytest.raises(GatewayRefused):
            await execute_refund(paying.jobs._checkout, other["id"])
    await paying.pass_on()
    await paying.work("execute_refund")
    await paying.pass_on()
    assert await state_of(payer, made) == ("REFUNDED", "REFUNDED")
    assert [one["status"] for one in (await payer.seen(made))["refunds"]] == ["succeeded"] * 2
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -2_000, "refunds": 2_000}


async def test_what_was_paid_twice_pays_nothing_that_is_due_again(payer: Payer, paying: Paying) -> None:
    """The policy gave a part back to one who did not come, and they had come after all."""
    await set_terms(payer, no_show_refund_bps=4_000)
    made = await payer.pay_now(at(2, 10))
    for _ in range(2):
        await paying.pay_on_page(made)
    await paying.pass_on()
    await paying.work("execute_refund")
    paying.api.clock.move_to(at(2, 23))
    owner = owner_of(paying, payer.shop)
    assert (await owner.step(made, "NO_SHOW"))["status"] == "NO_SHOW"
    await owner.step(made, "CHECKED_IN")
    assert (await seen(payer, made))["amountDue"] == {"amountMinor": 400}


async def test_where_keys_are_forgotten_nothing_is_given_back_twice(payer: Payer, paying: Paying) -> None:
    """What may be the refund whose answer was lost is taken for one made by hand, at once."""
    made = await late_in_two_windows(payer, paying)
    await paying.pass_on()
    assert await paying.work("execute_refund", at_most=1) == 1
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /mercadopago/v1/payments/*/refunds", times=1)
    with pytest.raises(GatewayUnknown):
        await paying.work("execute_refund")
    await paying.pass_on()
    paying.api.clock.move(KEYS_LIVE + timedelta(days=1))
    await paying.work("execute_refund")
    refunds = [(one["cause"], one["status"]) for one in (await payer.seen(made))["refunds"]]
    assert refunds == [("late_payment", "succeeded"), ("late_payment", "failed"), ("outside", "succeeded")]
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -2_000, "refunds": 2_000}


async def test_a_payment_under_review_waits_and_is_let_go_at_the_deadline(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.pay_on_page(made, "CONT")
    await paying.pass_on()
    assert (await payer.seen(made))["paymentStatus"] == "PROCESSING"
    paying.api.clock.move(AFTER)
    await paying.work("end_payment")
    assert await state_of(payer, made) == ("EXPIRED", "UNPAID")


async def test_another_processor_is_for_payments_to_come(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    await choose(paying, payer.shop, "stripe")
    await paying.pay_on_page(made)
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"
    after = await payer.pay_now(at(2, 11))
    assert (after.answer["payment"]["processor"], after.answer["payment"]["redirectUrl"]) == ("stripe", None)
    await choose(paying, payer.shop, "mercadopago")
    await paying.pay(after)
    assert (await payer.refresh(after))["booking"]["status"] == "CONFIRMED"
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await paying.work("execute_refund")
    assert await state_of(payer, made) == ("REFUNDED", "REFUNDED")


async def test_a_currency_that_it_does_not_take(paying: Paying) -> None:
    shop = await make_shop(paying.api.api.services, currency="EUR")
    await choose(paying, shop, "mercadopago")
    payer = Payer(paying.client, shop)
    answer = await payer.book(await payer.held(at(2, 10)), paymentMethod="PAY_NOW")
    assert answer["__typename"] == "NotAllowed"


async def test_an_answer_that_got_lost_opens_one_page(payer: Payer, paying: Paying) -> None:
    preferences = "POST /mercadopago/checkout/preferences"
    await paying.sandbox.control("faults", kind="lost_answer", match=preferences, times=2)
    made = await payer.pay_now(at(2, 10))
    assert await paying.work("open_payment", later=timedelta(minutes=1)) == 1
    shown = (await payer.seen(made))["payment"]["redirectUrl"]
    assert shown.startswith(f"{paying.sandbox.url}/_sandbox/checkout/")
    [row] = await paying.rows("SELECT id FROM payment WHERE organization_id = :id", id=payer.shop.organization_uuid)
    search = f"/mercadopago/checkout/preferences/search?external_reference={row['id']}"
    found = await paying.sandbox.http.get(search, headers={"Authorization": "Bearer TEST-1"})
    assert [shown.rpartition("/")[2]] == [one["id"] for one in found.json()["elements"]]
