"""Payment intents with each test card: paid, declined, authenticated, held, captured, released."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.running import Sandbox, payment, running


async def test_pays_at_once(sandbox: Sandbox) -> None:
    intent = await sandbox.paid(metadata={"booking": "7"}, description="A cut", transfer_group="order_7")
    assert intent.status == "succeeded"
    assert (intent.amount_received, intent.amount_capturable) == (10_000, 0)
    assert intent.client_secret.startswith(f"{intent.id}_secret_")
    charge = await sandbox.v1.charges.retrieve_async(intent.latest_charge, {"expand": ["balance_transaction"]})
    assert (charge.captured, charge.paid, charge.amount_captured, charge.refunded) == (True, True, 10_000, False)
    assert (charge.transfer_group, charge.metadata["booking"]) == ("order_7", "7")
    assert (charge.balance_transaction.amount, charge.balance_transaction.type) == (10_000, "charge")
    assert charge.payment_method_details.card.last4 == "4242"


async def test_is_created_and_then_confirmed(sandbox: Sandbox) -> None:
    intent = await sandbox.v1.payment_intents.create_async(
        {"amount": 500, "currency": "eur", "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
    )
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox.v1.payment_intents.confirm_async(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    confirmed = await sandbox.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert confirmed.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as again:
        await sandbox.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert again.value.code == "payment_intent_unexpected_state"


async def test_payment_methods_that_may_redirect_need_a_way_back(sandbox: Sandbox) -> None:
    fields = {"amount": 500, "currency": "eur", "confirm": True, "payment_method": "pm_card_visa"}
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        await sandbox.v1.payment_intents.create_async(fields)
    intent = await sandbox.v1.payment_intents.create_async({**fields, "return_url": "https://shop.example/back"})
    assert intent.status == "succeeded"


@pytest.mark.parametrize(
    ("token", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_radarBlock", "card_declined", "fraudulent"),
    ],
)
async def test_a_card_is_declined(sandbox: Sandbox, token: str, code: str, decline_code: str) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await sandbox.paid(payment_method=token)
    error: Any = declined.value
    assert (error.http_status, error.code, error.error.decline_code) == (402, code, decline_code)
    intent = await sandbox.v1.payment_intents.retrieve_async(error.error.payment_intent.id)
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert (intent.last_payment_error.code, intent.last_payment_error.message) == (code, error.user_message)
    charge = await sandbox.v1.charges.retrieve_async(intent.latest_charge)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
    assert charge.id == error.error.charge


async def test_a_declined_payment_is_tried_again_with_another_card(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await sandbox.paid(payment_method="pm_card_visa_chargeDeclined")
    error: Any = declined.value
    intent = await sandbox.v1.payment_intents.confirm_async(
        error.error.payment_intent.id, {"payment_method": "pm_card_mastercard"}
    )
    assert (intent.status, intent.last_payment_error) == ("succeeded", None)
    charges = await sandbox.v1.charges.list_async({"payment_intent": intent.id})
    assert [charge.status for charge in charges.data] == ["succeeded", "failed"]


@pytest.mark.parametrize("outcome", ["complete", "fail"])
async def test_authentication(sandbox: Sandbox, outcome: str) -> None:
    intent = await sandbox.paid(
        payment_method="pm_card_threeDSecure2Required", return_url="https://shop.example/back?a=1"
    )
    assert (intent.status, intent.next_action.type) == ("requires_action", "redirect_to_url")
    url = intent.next_action.redirect_to_url.url
    assert url == f"{sandbox.url}/_sandbox/authenticate/{intent.id}"
    assert "3-D Secure" in (await sandbox.http.get(url)).text
    answer = await sandbox.http.post(f"/_sandbox/intents/{intent.id}/authenticate", data={"outcome": outcome})
    later = await sandbox.v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    if outcome == "complete":
        assert (later.status, later.next_action) == ("succeeded", None)
        assert later.latest_charge.payment_method_details.card.three_d_secure.result == "authenticated"
        assert answer.headers["location"].startswith(f"https://shop.example/back?a=1&payment_intent={intent.id}&")
        assert answer.headers["location"].endswith("redirect_status=succeeded")
    else:
        assert later.status == "requires_payment_method"
        assert later.last_payment_error.code == "payment_intent_authentication_failure"
        assert later.latest_charge is None
    again = await sandbox.http.post(f"/_sandbox/intents/{intent.id}/authenticate", json={"outcome": outcome})
    assert again.json()["error"]["code"] == "payment_intent_unexpected_state"


async def test_a_card_can_be_declined_after_authentication(sandbox: Sandbox) -> None:
    intent = await sandbox.paid(payment_method="pm_card_authenticationRequiredChargeDeclinedInsufficientFunds")
    assert intent.next_action.type == "use_stripe_sdk"
    result = await sandbox.control(f"intents/{intent.id}/authenticate", outcome="complete")
    assert result["error"]["decline_code"] == "insufficient_funds"


async def test_without_the_customer_nobody_can_authenticate(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await sandbox.paid(payment_method="pm_card_authenticationRequired", off_session=True)
    assert declined.value.code == "authentication_required"
    with pytest.raises(stripe.CardError) as refused:
        await sandbox.paid(payment_method="pm_card_authenticationRequired", error_on_requires_action=True)
    assert refused.value.code == "authentication_required"


async def test_a_card_saved_with_authentication_pays_later_without_the_customer(sandbox: Sandbox) -> None:
    customer = await sandbox.v1.customers.create_async({"email": "guest@example.com"})
    setup = await sandbox.v1.setup_intents.create_async(
        {"customer": customer.id, "confirm": True, "payment_method": "pm_card_authenticationRequiredOnSetup"}
    )
    assert setup.status == "requires_action"
    await sandbox.control(f"intents/{setup.id}/authenticate", outcome="complete")
    saved = await sandbox.v1.payment_methods.list_async({"customer": customer.id, "type": "card"})
    assert [method.card.last4 for method in saved.data] == ["3155"]
    intent = await sandbox.paid(customer=customer.id, payment_method=saved.data[0].id, off_session=True)
    assert intent.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="belongs to a customer"):
        await sandbox.paid(payment_method=saved.data[0].id)


async def test_setup_is_declined_or_fails(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await sandbox.v1.setup_intents.create_async({"confirm": True, "payment_method": "pm_card_chargeDeclined"})
    error: Any = declined.value
    setup = await sandbox.v1.setup_intents.retrieve_async(error.error.setup_intent.id)
    assert (setup.status, setup.last_setup_error.code) == ("requires_payment_method", "card_declined")
    waiting = await sandbox.v1.setup_intents.confirm_async(
        setup.id, {"payment_method": "pm_card_authenticationRequired"}
    )
    result = await sandbox.control(f"intents/{waiting.id}/authenticate", outcome="fail")
    assert result["error"]["code"] == "setup_intent_authentication_failure"
    cancelled = await sandbox.v1.setup_intents.cancel_async(setup.id)
    assert cancelled.status == "canceled"


async def test_a_payment_saves_its_card_for_later_fees(sandbox: Sandbox) -> None:
    customer = await sandbox.v1.customers.create_async({})
    intent = await sandbox.paid(customer=customer.id, setup_future_usage="off_session")
    method = await sandbox.v1.payment_methods.retrieve_async(intent.payment_method)
    assert method.customer == customer.id
    fee = await sandbox.paid(customer=customer.id, payment_method=method.id, off_session=True, amount=1_500)
    assert fee.status == "succeeded"
    detached = await sandbox.v1.payment_methods.detach_async(method.id)
    assert detached.customer is None


async def test_holds_and_captures_a_part(sandbox: Sandbox) -> None:
    held = await sandbox.paid(capture_method="manual")
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 10_000, 0)
    with pytest.raises(stripe.InvalidRequestError) as over:
        await sandbox.v1.payment_intents.capture_async(held.id, {"amount_to_capture": 10_001})
    assert over.value.code == "amount_too_large"
    taken = await sandbox.v1.payment_intents.capture_async(held.id, {"amount_to_capture": 9_000})
    assert (taken.status, taken.amount_capturable, taken.amount_received) == ("succeeded", 0, 9_000)
    with pytest.raises(stripe.InvalidRequestError) as again:
        await sandbox.v1.payment_intents.capture_async(held.id)
    assert again.value.code == "payment_intent_unexpected_state"
    with pytest.raises(stripe.InvalidRequestError):
        await sandbox.v1.payment_intents.cancel_async(held.id)


async def test_releases_a_hold(sandbox: Sandbox) -> None:
    before = await sandbox.balance()
    held = await sandbox.paid(capture_method="manual")
    released = await sandbox.v1.payment_intents.cancel_async(held.id, {"cancellation_reason": "requested_by_customer"})
    assert (released.status, released.amount_capturable) == ("canceled", 0)
    charge = await sandbox.v1.charges.retrieve_async(held.latest_charge)
    assert (charge.captured, charge.refunded, charge.amount_refunded) == (False, True, 10_000)
    assert await sandbox.balance() == before


async def test_an_authorization_runs_out(sandbox: Sandbox, package_http: stripe.HTTPXClient) -> None:
    held = await sandbox.paid(capture_method="manual")
    await sandbox.control(f"intents/{held.id}/expire")
    late = await sandbox.v1.payment_intents.retrieve_async(held.id)
    assert (late.status, late.cancellation_reason) == ("canceled", "automatic")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox.v1.payment_intents.capture_async(held.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    now = [1_790_000_000.0]
    async with running(package_http, authorization_s=60, clock=lambda: now[0]) as short:
        forgotten = await short.paid(capture_method="manual")
        now[0] += 60
        await short.paid()  # anything that happens makes it look at the clock
        await short.until("payment_intents", forgotten.id, "canceled")
        told = await short.v1.events.list_async({"type": "charge.expired"})
        assert [event.data.object.id for event in told.data] == [forgotten.latest_charge]


async def test_a_payment_is_changed_while_it_is_open(sandbox: Sandbox) -> None:
    intent = await sandbox.v1.payment_intents.create_async({"amount": 1_000, "currency": "eur", "metadata": {"a": "1"}})
    changed = await sandbox.v1.payment_intents.update_async(
        intent.id, {"amount": 1_200, "metadata": {"b": "2", "a": ""}, "receipt_email": "guest@example.com"}
    )
    assert (changed.amount, changed.metadata.to_dict()) == (1_200, {"b": "2"})
    done = await sandbox.paid()
    noted = await sandbox.v1.payment_intents.update_async(done.id, {"metadata": {"note": "x"}})
    assert noted.metadata["note"] == "x"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox.v1.payment_intents.update_async(done.id, {"amount": 5_000})
    assert refused.value.code == "payment_intent_unexpected_state"


async def test_a_browser_pays_with_the_client_secret_alone(sandbox: Sandbox) -> None:
    intent = await sandbox.v1.payment_intents.create_async({"amount": 1_000, "currency": "eur"})
    path = f"/v1/payment_intents/{intent.id}"
    browser = {"Authorization": "Bearer pk_test_1"}
    assert (await sandbox.http.get(path, headers=browser)).status_code == 400
    assert (await sandbox.http.get("/v1/balance", headers=browser)).status_code == 401
    secret = {"client_secret": intent.client_secret}
    assert (await sandbox.http.get(path, params=secret, headers=browser)).json()["id"] == intent.id
    form = {
        **secret,
        "return_url": "https://shop.example/",
        "payment_method_data[type]": "card",
        "payment_method_data[card][number]": "4242 4242 4242 4242",
        "payment_method_data[card][exp_month]": "12",
        "payment_method_data[card][exp_year]": "34",
        "payment_method_data[card][cvc]": "123",
    }
    assert (await sandbox.post(path, {**secret, "amount": 50}, **browser)).status_code == 401
    assert (await sandbox.post(f"{path}/confirm", form, **browser)).json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ({"number": "4242424242424241", "exp_month": 12, "exp_year": 2034}, "incorrect_number"),
        ({"number": "4539578763621486", "exp_month": 12, "exp_year": 2034}, "card_declined"),
        ({"number": "x" * 20, "exp_month": 12, "exp_year": 2034}, "incorrect_number"),
        ({"number": "4242424242424242", "exp_month": 13, "exp_year": 2034}, "invalid_expiry_month"),
        ({"number": "4242424242424242", "exp_month": 1, "exp_year": 2001}, "invalid_expiry_year"),
        ({"number": "4242424242424242", "exp_month": 12, "exp_year": 9999}, "invalid_expiry_year"),
    ],
)
async def test_a_number_that_is_no_test_card(sandbox: Sandbox, card: dict[str, Any], code: str) -> None:
    with pytest.raises(stripe.CardError) as refused:
        await sandbox.v1.payment_methods.create_async({"type": "card", "card": card})
    assert refused.value.code == code


async def test_nothing_of_a_refused_request_stays(sandbox: Sandbox) -> None:
    newest = [one.id for one in (await sandbox.v1.events.list_async({"limit": 1})).data]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox.v1.payment_intents.create_async(payment(recieved="typo"))
    assert refused.value.code == "parameter_unknown"
    assert [one.id for one in (await sandbox.v1.events.list_async({"limit": 1})).data] == newest
