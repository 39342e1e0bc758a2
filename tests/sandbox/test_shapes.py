"""Every object has the fields that the package's types promise, and no others."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import pytest
import stripe

from tests.sandbox.running import Sandbox, running


def faults_of(kind: type[Any], body: Any, path: str) -> Iterator[str]:
    """What is missing, empty or unknown, with its place."""
    hints = {name: hint for name, hint in kind.__annotations__.items() if name != "OBJECT_NAME"}
    for name in set(body) - set(hints):
        yield f"{path}.{name} is unknown"
    for name, hint in hints.items():
        choices = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
        if type(None) not in choices and body.get(name) is None:
            yield f"{path}.{name} is missing"
        below = [one for one in choices if isinstance(one, type) and issubclass(one, stripe.StripeObject)]
        is_open = any("Untyped" in one.__name__ for one in below)
        if below and not is_open and isinstance(body.get(name), dict):
            yield from faults_of(below[0], body[name], f"{path}.{name}")


async def everything(sandbox: Sandbox) -> list[tuple[type[Any], dict[str, Any]]]:
    account = await sandbox.account()
    customer = await sandbox.v1.customers.create_async({"email": "a@example.com"})
    paid = await sandbox.paid(customer=customer.id, setup_future_usage="off_session", metadata={"a": "1"})
    shared = await sandbox.paid(transfer_data={"destination": account}, application_fee_amount=100)
    asked = await sandbox.paid(payment_method="pm_card_threeDSecure2Required", return_url="https://x.example/")
    with pytest.raises(stripe.CardError) as declined:
        await sandbox.paid(payment_method="pm_card_chargeDeclined")
    failed: Any = declined.value
    setup = await sandbox.v1.setup_intents.create_async({"confirm": True, "payment_method": "pm_card_visa"})
    refund = await sandbox.v1.refunds.create_async({"payment_intent": paid.id, "amount": 10})
    charge = shared.latest_charge
    transfer = (await sandbox.v1.transfers.list_async()).data[0]
    reversal = await sandbox.v1.transfers.reversals.create_async(transfer.id, {"amount": 1})
    there = {"stripe_account": account}
    payout = await sandbox.v1.payouts.create_async({"amount": 1, "currency": "eur"}, there)
    await sandbox.control(f"charges/{paid.latest_charge}/dispute")
    urls = {"refresh_url": "https://x.example/", "return_url": "https://x.example/"}
    link = await sandbox.v1.account_links.create_async({"account": account, "type": "account_onboarding", **urls})
    endpoint = await sandbox.v1.webhook_endpoints.create_async({"url": "http://127.0.0.1:9/", "enabled_events": ["*"]})
    found = [
        (stripe.PaymentIntent, f"payment_intents/{paid.id}"),
        (stripe.PaymentIntent, f"payment_intents/{asked.id}"),
        (stripe.PaymentIntent, f"payment_intents/{failed.error.payment_intent.id}"),
        (stripe.Charge, f"charges/{paid.latest_charge}?expand[]=refunds"),
        (stripe.Charge, f"charges/{charge}"),
        (stripe.Charge, f"charges/{failed.error.charge}"),
        (stripe.Refund, f"refunds/{refund.id}"),
        (stripe.Transfer, f"transfers/{transfer.id}"),
        (stripe.TransferReversal, f"transfers/{transfer.id}/reversals/{reversal.id}"),
        (stripe.Customer, f"customers/{customer.id}"),
        (stripe.PaymentMethod, f"payment_methods/{paid.payment_method}"),
        (stripe.SetupIntent, f"setup_intents/{setup.id}"),
        (stripe.Account, f"accounts/{account}"),
        (stripe.Account, "account"),
        (stripe.Balance, "balance"),
        (stripe.BalanceTransaction, "balance_transactions?limit=1"),
        (stripe.Dispute, "disputes?limit=1"),
        (stripe.Event, "events?limit=1"),
        (stripe.ApplicationFee, "application_fees?limit=1"),
        (stripe.WebhookEndpoint, f"webhook_endpoints/{endpoint.id}"),
    ]
    bodies = [(kind, (await sandbox.http.get(f"/v1/{path}")).json()) for kind, path in found]
    bodies += [(stripe.Payout, payout.to_dict()), (stripe.AccountLink, link.to_dict())]
    return [(kind, body["data"][0] if body["object"] == "list" else body) for kind, body in bodies]


async def test_objects_have_the_shape_that_the_package_knows(package_http: stripe.HTTPXClient) -> None:
    async with running(package_http, fee_fixed=25) as sandbox:
        wrong = [fault for kind, body in await everything(sandbox) for fault in faults_of(kind, body, body["object"])]
        assert wrong == []
