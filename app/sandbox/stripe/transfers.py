"""Transfers to connected accounts and their reversals, and the shares of destination charges."""

from __future__ import annotations

from app.sandbox.stripe.application_fees import earn_fee, refund_fee_of
from app.sandbox.stripe.errors import Json, Refusal, insufficient_balance, missing
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.funds import available, book
from app.sandbox.stripe.lists import list_objects, sublist
from app.sandbox.stripe.params import Params, assign, merge_metadata
from app.sandbox.stripe.store import PLATFORM, Page
from app.sandbox.stripe.work import Work, fresh_id, stamp

_NOT_ENOUGH = (
    "You have insufficient available funds in your Stripe account. Try adding funds directly to your available balance "
    "by creating Charges using the 4000000000000077 test card. See: https://stripe.com/docs/testing#available-balance"
)


def create_transfer(work: Work, params: Params) -> Json:
    amount, currency = params.need_amount(), params.need_currency()
    destination = params.need_text("destination")
    source_id = work.named(params, "charge", "source_transaction")
    description, group = params.text("description"), params.text("transfer_group")
    params.text("source_type", choices=("card", "bank_account", "fpx"))
    metadata = merge_metadata({}, params.metadata())
    params.done()
    _need_account(work, destination)
    source = work.need("charge", source_id) if source_id else None
    if source:
        _check_source(work, source, amount, currency)
        group = group or source["transfer_group"]
    elif available(work, currency) < amount:
        raise insufficient_balance(_NOT_ENOUGH)
    transfer = send(work, destination, amount, currency, source=source, group=group, metadata=metadata)
    transfer["description"] = description
    work.save(transfer)
    emit(work, "transfer.created", _with_reversals(work, transfer))
    return _with_reversals(work, transfer)


def send(
    work: Work,
    destination: str,
    amount: int,
    currency: str,
    *,
    source: Json | None,
    group: str | None,
    metadata: Json,
    fee: int = 0,
) -> Json:
    """Move money from the platform to a connected account, which pays `fee` of it back. Gives the transfer, saved."""
    available_on = source.get("_available_on") if source else None
    transfer = stamp(
        work,
        "transfer",
        "tr",
        amount=amount,
        amount_reversed=0,
        balance_transaction=None,
        currency=currency,
        description=None,
        destination=destination,
        destination_payment=fresh_id("py"),
        metadata=metadata,
        reversed=False,
        source_transaction=source["id"] if source else None,
        source_type="card",
        transfer_group=group,
    )
    transfer["transfer_group"] = group or f"group_{transfer['id']}"
    out = book(work, "transfer", -amount, currency, transfer["id"], available_on=available_on)
    transfer["balance_transaction"] = out["id"]
    there = work.of(destination)
    payment_id = transfer["destination_payment"]
    income = book(
        there, "payment", amount, currency, payment_id, fee=fee, fee_kind="application_fee", available_on=available_on
    )
    there.save(_destination_payment(there, transfer, income["id"], fee))
    return work.save(transfer)


def send_destination_share(work: Work, intent: Json, charge: Json) -> None:
    """A destination charge's transfer and application fee, once its money is there."""
    data = intent["transfer_data"]
    if not data:
        return
    captured, fee = charge["amount_captured"], intent["application_fee_amount"] or 0
    amount = min(data.get("amount") or captured, captured)
    fee = min(fee, amount)
    transfer = send(
        work,
        data["destination"],
        amount,
        charge["currency"],
        source=charge,
        group=charge["transfer_group"],
        metadata={},
        fee=fee,
    )
    charge["transfer"] = transfer["id"]
    charge["transfer_group"] = intent["transfer_group"] = transfer["transfer_group"]
    if fee:
        earned = earn_fee(work, charge, data["destination"], fee)
        charge["application_fee"] = earned["id"]
    work.save(charge)
    emit(work, "transfer.created", _with_reversals(work, transfer))


def create_reversal(work: Work, params: Params, transfer_id: str) -> Json:
    transfer = work.need("transfer", transfer_id, "transfer")
    amount = params.amount()
    description, refund_fee = params.text("description"), params.flag("refund_application_fee")
    metadata = merge_metadata({}, params.metadata())
    params.done()
    reversal = reverse(work, transfer, amount, refund_fee=bool(refund_fee), metadata=metadata)
    if description:
        transfer["description"] = description
        work.save(transfer)
    return reversal


def reverse(
    work: Work,
    transfer: Json,
    amount: int | None,
    *,
    refund_fee: bool = False,
    metadata: Json | None = None,
    source_refund: str | None = None,
) -> Json:
    """Take a transfer back, whole or in part: a Refusal if the connected account no longer has it."""
    left = transfer["amount"] - transfer["amount_reversed"]
    if left == 0:
        raise Refusal(f"Transfer {transfer['id']} is already fully reversed.")
    amount = left if amount is None else amount
    if amount > left:
        raise Refusal(
            f"Transfer amount ({amount}) is greater than unreversed amount on transfer ({left}).", param="amount"
        )
    there, currency = work.of(transfer["destination"]), transfer["currency"]
    fee_back = refund_fee_of(work, transfer, amount) if refund_fee else 0
    if available(there, currency) < amount - fee_back:
        raise insufficient_balance(
            "Insufficient funds in the connected account to complete this reversal: its available balance is "
            f"{available(there, currency)}, and the reversal takes {amount - fee_back}."
        )
    reversal = stamp(
        work,
        "transfer_reversal",
        "trr",
        amount=amount,
        balance_transaction=None,
        currency=currency,
        destination_payment_refund=fresh_id("pyr"),
        metadata=metadata or {},
        source_refund=source_refund,
        transfer=transfer["id"],
    )
    del reversal["livemode"]
    book(there, "payment_refund", -amount, currency, reversal["destination_payment_refund"], fee=-fee_back)
    reversal["balance_transaction"] = book(work, "transfer_refund", amount, currency, reversal["id"])["id"]
    work.save(reversal)
    before = dict(transfer)
    transfer["amount_reversed"] += amount
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    work.save(transfer)
    emit(work, "transfer.reversed", _with_reversals(work, transfer), before)
    return reversal


def get_transfer(work: Work, params: Params, transfer_id: str) -> Json:
    params.done()
    return _with_reversals(work, work.need("transfer", transfer_id, "transfer"))


def update_transfer(work: Work, params: Params, transfer_id: str) -> Json:
    transfer = work.need("transfer", transfer_id, "transfer")
    before = dict(transfer)
    metadata = params.metadata()
    assign(transfer, params, "description")
    params.done()
    transfer["metadata"] = merge_metadata(transfer["metadata"], metadata)
    work.save(transfer)
    emit(work, "transfer.updated", _with_reversals(work, transfer), before)
    return _with_reversals(work, transfer)


def list_transfers(work: Work, params: Params) -> Json:
    names = ("destination", "transfer_group")
    facts = {name: value for name in names if (value := params.text(name))}
    listed = list_objects(work, params, "transfer", facts)
    return {**listed, "data": [_with_reversals(work, one) for one in listed["data"]]}


def get_reversal(work: Work, params: Params, transfer_id: str, reversal_id: str) -> Json:
    params.done()
    work.need("transfer", transfer_id, "transfer")
    reversal = work.find("transfer_reversal", reversal_id)
    if reversal is None or reversal["transfer"] != transfer_id:
        raise missing("transfer_reversal", reversal_id)
    return reversal


def update_reversal(work: Work, params: Params, transfer_id: str, reversal_id: str) -> Json:
    metadata = params.metadata()
    reversal = get_reversal(work, params, transfer_id, reversal_id)
    reversal["metadata"] = merge_metadata(reversal["metadata"], metadata)
    return work.save(reversal)


def list_reversals(work: Work, params: Params, transfer_id: str) -> Json:
    work.need("transfer", transfer_id, "transfer")
    url = f"/v1/transfers/{transfer_id}/reversals"
    return list_objects(work, params, "transfer_reversal", {"transfer": transfer_id}, url=url)


def _with_reversals(work: Work, transfer: Json) -> Json:
    url = f"/v1/transfers/{transfer['id']}/reversals"
    return {**transfer, "reversals": sublist(work, "transfer_reversal", url, {"transfer": transfer["id"]})}


def _need_account(work: Work, account_id: str) -> None:
    account = work.store.get(PLATFORM, "account", account_id)
    if work.account != PLATFORM or account is None:
        raise missing("destination", account_id, "destination", 400)
    if work.settings.enforce_onboarding and account["capabilities"].get("transfers") != "active":
        raise Refusal(
            "Your destination account needs to have at least one of the following capabilities enabled: transfers, "
            "crypto_transfers, legacy_payments",
            code="insufficient_capabilities_for_transfer",
        )


def _check_source(work: Work, source: Json, amount: int, currency: str) -> None:
    """Transfers of a charge stay within it."""
    if not source["captured"] or source["status"] != "succeeded":
        raise Refusal("The charge used as source_transaction has not been captured.", param="source_transaction")
    if source["currency"] != currency:
        raise Refusal(
            f"The currency of source_transaction's balance transaction ({source['currency']}) must be the same as the "
            f"transfer currency ({currency})",
            param="currency",
        )
    others = work.store.page(work.account, "transfer", Page(1_000, facts={"source_transaction": source["id"]}))
    used = sum(one["amount"] for one in others)
    if used + amount > source["amount_captured"]:
        raise Refusal(
            "Transfers using this transaction as a source must not exceed the source amount of "
            f"{source['amount_captured']}. (There is already a transfer using this source, amounting to a total of "
            f"{used}.)"
            if used
            else "Transfers using this transaction as a source must not exceed the source amount "
            f"of {source['amount_captured']}.",
            param="amount",
        )


def _destination_payment(there: Work, transfer: Json, transaction_id: str, fee: int) -> Json:
    """The charge that the connected account sees as the transfer's other side."""
    amount = transfer["amount"]
    return {
        "id": transfer["destination_payment"],
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": 0,
        "application_fee_amount": fee or None,
        "balance_transaction": transaction_id,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        "captured": True,
        "created": there.now,
        "currency": transfer["currency"],
        "customer": None,
        "disputed": False,
        "livemode": False,
        "metadata": {},
        "paid": True,
        "payment_intent": None,
        "refunded": False,
        "source_transfer": transfer["id"],
        "status": "succeeded",
        "transfer_group": None,
        "_number": None,
    }
