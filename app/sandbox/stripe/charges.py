"""Charges: what a card was debited with, or would have been."""

from __future__ import annotations

from app.sandbox.stripe.cards import Decline, TestCard
from app.sandbox.stripe.errors import Json, Refusal
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.funds import book, processing_fee
from app.sandbox.stripe.lists import list_objects, search_objects, sublist
from app.sandbox.stripe.params import Params, assign, merge_metadata
from app.sandbox.stripe.work import Work, stamp

_COPIED = (
    "amount",
    "currency",
    "customer",
    "description",
    "metadata",
    "on_behalf_of",
    "receipt_email",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
    "application_fee_amount",
)


def new_charge(work: Work, intent: Json, method: Json, card: TestCard, decline: Decline | None) -> Json:
    """A charge of an intent, saved: failed, or succeeded and not yet captured. Its events come from the caller."""
    charge = stamp(
        work,
        "charge",
        "ch",
        **{name: intent[name] for name in _COPIED},
        amount_captured=0,
        amount_refunded=0,
        application=None,
        application_fee=None,
        authorization_code=None if decline else "123456",
        balance_transaction=None,
        billing_details=method["billing_details"],
        calculated_statement_descriptor="TURNERO",
        captured=False,
        disputed=False,
        failure_balance_transaction=None,
        failure_code=decline.code if decline else None,
        failure_message=decline.message if decline else None,
        fraud_details={},
        outcome=_outcome(decline),
        paid=decline is None,
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details={"card": _card_details(work, intent, method, card), "type": "card"},
        radar_options={},
        receipt_number=None,
        receipt_url=None,
        refunded=False,
        review=None,
        source=None,
        source_transfer=None,
        status="failed" if decline else "succeeded",
        _number=card.number,
    )
    charge["receipt_url"] = None if decline else work.page_url(f"intents/{intent['id']}")
    return work.save(charge)


def capture(work: Work, charge: Json, card: TestCard, amount: int) -> None:
    """Take the money: the books, and what the card is to do afterwards."""
    available_on = work.now if "bypassPending" in card.tokens else work.now + work.settings.settlement_s
    transaction = book(
        work,
        "charge",
        amount,
        charge["currency"],
        charge["id"],
        fee=processing_fee(work, amount),
        available_on=available_on,
    )
    charge |= {"captured": True, "amount_captured": amount, "balance_transaction": transaction["id"]}
    charge["_available_on"] = available_on
    work.save(charge)
    if card.dispute_reason:
        work.later(work.settings.dispute_after_s, "dispute", charge["id"])


def get_charge(work: Work, params: Params, charge_id: str) -> Json:
    params.done()
    return work.need("charge", charge_id, "charge")


def update_charge(work: Work, params: Params, charge_id: str) -> Json:
    charge = work.need("charge", charge_id, "charge")
    before = dict(charge)
    metadata = params.metadata()
    assign(charge, params, "description", "receipt_email")
    group = params.text("transfer_group")
    params.done()
    if group and charge["transfer_group"] not in {None, group}:
        raise Refusal("The transfer_group of this charge is already set and cannot be changed.", param="transfer_group")
    charge["transfer_group"] = group or charge["transfer_group"]
    charge["metadata"] = merge_metadata(charge["metadata"], metadata)
    work.save(charge)
    emit(work, "charge.updated", charge, before)
    return charge


def list_charges(work: Work, params: Params) -> Json:
    names = ("customer", "payment_intent", "transfer_group")
    return list_objects(work, params, "charge", {name: value for name in names if (value := params.text(name))})


def search_charges(work: Work, params: Params) -> Json:
    return search_objects(work, params, "charge")


def list_charge_refunds(work: Work, params: Params, charge_id: str) -> Json:
    work.need("charge", charge_id, "charge")
    return list_objects(work, params, "refund", {"charge": charge_id}, url=f"/v1/charges/{charge_id}/refunds")


def embedded_refunds(work: Work, charge: Json) -> Json:
    """`expand[]=refunds`."""
    return sublist(work, "refund", f"/v1/charges/{charge['id']}/refunds", {"charge": charge["id"]})


def _outcome(decline: Decline | None) -> Json:
    blocked = decline is not None and decline.decline_code == "fraudulent"
    network = "not_sent_to_network" if blocked else "declined_by_network" if decline else "approved_by_network"
    kind = "blocked" if blocked else "issuer_declined" if decline else "authorized"
    reason = None if decline is None else "highest_risk_level" if blocked else decline.decline_code or decline.code
    return {
        "advice_code": "try_again_later" if decline and not blocked else None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network,
        "reason": reason,
        "risk_level": "highest" if blocked else "normal",
        "risk_score": 95 if blocked else 12,
        "seller_message": "Payment complete." if decline is None else "The bank did not return any further details.",
        "type": kind,
    }


def _card_details(work: Work, intent: Json, method: Json, card: TestCard) -> Json:
    is_manual = intent["capture_method"] == "manual"
    kept = method["card"]
    return {
        "amount_authorized": intent["amount"],
        "authorization_code": None,
        "brand": card.brand,
        "capture_before": work.now + work.settings.authorization_s if is_manual else None,
        "checks": kept["checks"],
        "country": card.country,
        "exp_month": kept["exp_month"],
        "exp_year": kept["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": kept["fingerprint"],
        "funding": card.funding,
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card.last4,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": _three_d_secure() if intent.get("_is_authenticated") else None,
        "wallet": None,
    }


def _three_d_secure() -> Json:
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "exemption_indicator_applied": False,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": None,
        "version": "2.2.0",
    }
