"""What the platform earns of destination charges."""

from __future__ import annotations

from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.funds import book
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params
from app.sandbox.stripe.store import Page
from app.sandbox.stripe.work import Work, stamp


def get_fee(work: Work, params: Params, fee_id: str) -> Json:
    params.done()
    return with_fee_refunds(work.need("application_fee", fee_id, "fee"))


def list_fees(work: Work, params: Params) -> Json:
    charge = params.text("charge")
    listed = list_objects(work, params, "application_fee", {"charge": charge} if charge else None)
    return {**listed, "data": [with_fee_refunds(fee) for fee in listed["data"]]}


def earn_fee(work: Work, charge: Json, account: str, amount: int) -> Json:
    fee = stamp(
        work,
        "application_fee",
        "fee",
        account=account,
        amount=amount,
        amount_refunded=0,
        application="ca_sandbox",
        balance_transaction=None,
        charge=charge["id"],
        currency=charge["currency"],
        fee_source={"charge": charge["id"], "type": "charge"},
        originating_transaction=charge["id"],
        refunded=False,
    )
    available_on = charge.get("_available_on")
    earned = book(work, "application_fee", amount, charge["currency"], fee["id"], available_on=available_on)
    fee["balance_transaction"] = earned["id"]
    work.save(fee)
    emit(work, "application_fee.created", with_fee_refunds(fee))
    return fee


def with_fee_refunds(fee: Json) -> Json:
    """As clients see it; its refunds are made with those of its charge, and not listed."""
    url = f"/v1/application_fees/{fee['id']}/refunds"
    return {**fee, "refunds": {"object": "list", "data": [], "has_more": False, "url": url}}


def refund_fee_of(work: Work, transfer: Json, amount: int) -> int:
    """Give back the share of the application fee that the reversed amount is of the transfer; how much."""
    if not transfer["source_transaction"]:
        return 0
    fees = work.store.page(work.account, "application_fee", Page(1, facts={"charge": transfer["source_transaction"]}))
    if not fees:
        return 0
    fee = fees[0]
    left = fee["amount"] - fee["amount_refunded"]
    is_last = transfer["amount_reversed"] + amount == transfer["amount"]
    back = int(left if is_last else min(left, fee["amount"] * amount // transfer["amount"]))
    if back:
        fee["amount_refunded"] += back
        fee["refunded"] = fee["amount_refunded"] == fee["amount"]
        book(work, "application_fee_refund", -back, fee["currency"], fee["id"])
        work.save(fee)
        emit(work, "application_fee.refunded", with_fee_refunds(fee))
    return back
