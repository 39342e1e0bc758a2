"""Refunds, whole or partial, with or without the transfer that the charge paid for."""

from __future__ import annotations

from app.sandbox.stripe.application_fees import with_fee_refunds
from app.sandbox.stripe.cards import Decline, card_of_number
from app.sandbox.stripe.errors import Json, Refusal, missing, wrong_param
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.funds import book
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params, merge_metadata
from app.sandbox.stripe.transfers import reverse
from app.sandbox.stripe.work import Work, stamp, visible

_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def create_refund(work: Work, params: Params) -> Json:
    intent_id, charge_id = params.text("payment_intent"), params.text("charge")
    amount, reason = params.amount(), params.text("reason", choices=_REASONS)
    takes_transfer, takes_fee = params.flag("reverse_transfer"), params.flag("refund_application_fee")
    metadata = merge_metadata({}, params.metadata())
    params.ignore("instructions_email", "origin")
    params.done()
    charge = _charge(work, intent_id, charge_id)
    amount = _amount(charge, amount)
    refund = stamp(
        work,
        "refund",
        "re",
        amount=amount,
        balance_transaction=None,
        charge=charge["id"],
        currency=charge["currency"],
        destination_details={
            "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
            "type": "card",
        },
        metadata=metadata,
        payment_intent=charge["payment_intent"],
        reason=reason,
        receipt_number=None,
        source_transfer_reversal=None,
        status="succeeded",
        transfer_reversal=None,
    )
    # A refund does not tell a mode.
    del refund["livemode"]
    before = dict(charge)
    _take_back_transfer(work, refund, charge, takes_transfer=bool(takes_transfer), takes_fee=bool(takes_fee))
    refund["balance_transaction"] = book(work, "refund", -amount, charge["currency"], refund["id"])["id"]
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    _plan(work, refund, charge)
    work.save(refund)
    work.save(charge)
    emit(work, "refund.created", refund)
    emit(work, "charge.refunded", charge, before)
    return refund


def settle(work: Work, refund: Json, status: str) -> None:
    """A refund that was pending or had succeeded becomes succeeded or failed; failed, the money comes back to us."""
    before = dict(refund)
    refund["status"] = status
    if status == "failed":
        returned = book(work, "refund_failure", refund["amount"], refund["currency"], refund["id"])
        refund |= {"failure_balance_transaction": returned["id"], "failure_reason": "expired_or_canceled_card"}
        charge = work.need("charge", refund["charge"])
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        work.save(charge)
    work.save(refund)
    emit(work, "refund.failed" if status == "failed" else "refund.updated", refund, before)
    emit(work, "charge.refund.updated", refund, before)


def get_refund(work: Work, params: Params, refund_id: str) -> Json:
    params.done()
    return work.need("refund", refund_id, "refund")


def update_refund(work: Work, params: Params, refund_id: str) -> Json:
    refund = work.need("refund", refund_id, "refund")
    before = dict(refund)
    metadata = params.metadata()
    params.done()
    refund["metadata"] = merge_metadata(refund["metadata"], metadata)
    work.save(refund)
    emit(work, "refund.updated", refund, before)
    return refund


def list_refunds(work: Work, params: Params) -> Json:
    facts = {name: value for name in ("charge", "payment_intent") if (value := params.text(name))}
    return list_objects(work, params, "refund", facts)


def _charge(work: Work, intent_id: str | None, charge_id: str | None) -> Json:
    """The charge to refund, named by itself or by its intent."""
    if charge_id:
        charge = work.find("charge", charge_id)
        if charge is None or (intent_id and charge["payment_intent"] != intent_id):
            raise missing("charge", charge_id, "charge", 400)
    elif intent_id:
        intent = work.need("payment_intent", intent_id, "payment_intent", 400)
        charge = work.find("charge", intent["latest_charge"]) if intent["status"] == "succeeded" else None
        if charge is None:
            raise Refusal(
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
                code="payment_intent_unexpected_state",
                param="payment_intent",
                details={"payment_intent": visible(intent)},
            )
    else:
        raise wrong_param("One of the following params should be provided: payment_intent or charge.", "charge")
    if charge["_number"] is None:
        raise Refusal(f"Charge {charge['id']} is the other side of a transfer: reverse that instead.", param="charge")
    if not charge["captured"]:
        raise Refusal(f"Charge {charge['id']} has not been captured. Cancel its PaymentIntent instead.", param="charge")
    if charge["disputed"]:
        raise Refusal(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    return charge


def _amount(charge: Json, asked: int | None) -> int:
    left = int(charge["amount_captured"] - charge["amount_refunded"])
    if left == 0:
        raise Refusal(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if asked is not None and asked > left:
        raise Refusal(f"Refund amount ({asked}) is greater than unrefunded amount on charge ({left})", param="amount")
    return left if asked is None else asked


def _take_back_transfer(work: Work, refund: Json, charge: Json, *, takes_transfer: bool, takes_fee: bool) -> None:
    """`reverse_transfer` and `refund_application_fee`, in the share that the refund is of the charge."""
    if takes_fee and not charge.get("application_fee"):
        message = f"Charge {charge['id']} has no application fee to refund."
        raise Refusal(message, param="refund_application_fee")
    if not takes_transfer:
        if takes_fee:
            _refund_fee_alone(work, refund, charge)
        return
    if not charge.get("transfer"):
        raise Refusal(f"Charge {charge['id']} does not have an associated transfer.", param="reverse_transfer")
    transfer = work.need("transfer", charge["transfer"])
    is_last = charge["amount_refunded"] + refund["amount"] == charge["amount_captured"]
    left = transfer["amount"] - transfer["amount_reversed"]
    share = left if is_last else min(left, transfer["amount"] * refund["amount"] // charge["amount_captured"])
    if share:
        reversal = reverse(work, transfer, share, refund_fee=takes_fee, source_refund=refund["id"])
        refund["transfer_reversal"] = reversal["id"]


def _refund_fee_alone(work: Work, refund: Json, charge: Json) -> None:
    """The platform's fee goes to the connected account, which keeps the transfer."""
    fee = work.need("application_fee", charge["application_fee"])
    left = fee["amount"] - fee["amount_refunded"]
    back = min(left, fee["amount"] * refund["amount"] // charge["amount_captured"])
    if not back:
        return
    fee["amount_refunded"] += back
    fee["refunded"] = fee["amount_refunded"] == fee["amount"]
    book(work, "application_fee_refund", -back, fee["currency"], fee["id"])
    book(work.of(fee["account"]), "adjustment", back, fee["currency"], fee["id"])
    work.save(fee)
    emit(work, "application_fee.refunded", with_fee_refunds(fee))


def _plan(work: Work, refund: Json, charge: Json) -> None:
    """What the card makes of it."""
    card = card_of_number(charge["_number"])
    if isinstance(card, Decline) or card.refund == "succeeded":
        return
    if card.refund == "pending":
        refund["status"] = "pending"
        refund["pending_reason"] = "processing"
    kind = "refund_fails" if card.refund == "failed" else "refund_succeeds"
    work.later(work.settings.refund_settles_after_s, kind, refund["id"])
