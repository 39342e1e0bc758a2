"""Disputes: a bank takes a payment back, and is answered."""

from __future__ import annotations

from app.sandbox.stripe.cards import Decline, card_of_number
from app.sandbox.stripe.errors import Json, Refusal
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.funds import book
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params, merge_metadata
from app.sandbox.stripe.work import Work, stamp

RESPONSE_S = 7 * 86_400
_OPEN = ("needs_response", "warning_needs_response")
_EVIDENCE = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "uncategorized_text",
)
"""What can be told in words. Files are not taken here."""
WINNING, LOSING = "winning_evidence", "losing_evidence"


def open_dispute(work: Work, charge: Json, reason: str = "fraudulent", *, is_inquiry: bool = False) -> Json:
    """The customer's bank takes the money back; with an inquiry, it only asks."""
    if not charge["captured"] or charge["_number"] is None:
        raise Refusal(f"Charge {charge['id']} has not been captured: there is nothing to dispute.")
    if charge["disputed"]:
        raise Refusal(f"Charge {charge['id']} is disputed already.")
    before = dict(charge)
    dispute = stamp(
        work,
        "dispute",
        "du",
        amount=charge["amount_captured"] - charge["amount_refunded"],
        balance_transactions=[],
        charge=charge["id"],
        currency=charge["currency"],
        enhanced_eligibility_types=[],
        evidence={
            **dict.fromkeys(_EVIDENCE),
            "customer_email_address": charge["receipt_email"],
            "enhanced_evidence": {},
        },
        evidence_details={
            "due_by": work.now + RESPONSE_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        is_charge_refundable=is_inquiry,
        metadata={},
        payment_intent=charge["payment_intent"],
        payment_method_details={
            "card": {
                "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": "inquiry" if is_inquiry else "chargeback",
                "network": charge["payment_method_details"]["card"]["network"],
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        reason=reason,
        status=_OPEN[1] if is_inquiry else _OPEN[0],
    )
    if not is_inquiry:
        taken = book(
            work,
            "adjustment",
            -dispute["amount"],
            dispute["currency"],
            dispute["id"],
            fee=work.settings.dispute_fee,
            fee_kind="dispute_fee",
        )
        dispute["balance_transactions"] = [taken]
        charge["disputed"] = True
        work.save(charge)
    work.save(dispute)
    emit(work, "charge.dispute.created", dispute)
    if not is_inquiry:
        emit(work, "charge.dispute.funds_withdrawn", dispute)
        emit(work, "charge.updated", charge, before)
    return dispute


def open_by_card(work: Work, charge: Json) -> None:
    """The dispute that the charge's test card brings with it, unless there is nothing left to dispute."""
    card = card_of_number(charge["_number"])
    if isinstance(card, Decline) or not card.dispute_reason or charge["disputed"] or charge["refunded"]:
        return
    open_dispute(work, charge, card.dispute_reason, is_inquiry=card.is_inquiry)


def update_dispute(work: Work, params: Params, dispute_id: str) -> Json:
    dispute = work.need("dispute", dispute_id, "dispute")
    before = dict(dispute)
    told, is_submitted = params.section("evidence"), params.flag("submit")
    evidence = {name: text for name in _EVIDENCE if told and (text := told.text(name, longest=20_000)) is not None}
    metadata = params.metadata()
    params.done()
    dispute["metadata"] = merge_metadata(dispute["metadata"], metadata)
    if evidence:
        _check_open(dispute)
        dispute["evidence"] = {**dispute["evidence"], **evidence}
        # Evidence is sent to the bank unless it is only staged.
        if is_submitted is not False:
            _submit(dispute)
    work.save(dispute)
    emit(work, "charge.dispute.updated", dispute, before)
    outcome = {WINNING: True, LOSING: False}.get(evidence.get("uncategorized_text", ""))
    if dispute["status"].endswith("under_review") and outcome is not None:
        decide(work, dispute, is_won=outcome)
    return dispute


def close_dispute(work: Work, params: Params, dispute_id: str) -> Json:
    """Accept it: the money stays with the customer."""
    params.done()
    dispute = work.need("dispute", dispute_id, "dispute")
    _check_open(dispute)
    return decide(work, dispute, is_won=False)


def decide(work: Work, dispute: Json, *, is_won: bool) -> Json:
    """The bank decides."""
    if dispute["status"] in {"won", "lost", "warning_closed"}:
        raise Refusal(f"This dispute is already {dispute['status']}.")
    before = dict(dispute)
    is_inquiry = dispute["status"].startswith("warning")
    dispute["status"] = "warning_closed" if is_inquiry else "won" if is_won else "lost"
    if is_won and not is_inquiry:
        given_back = book(work, "adjustment", dispute["amount"], dispute["currency"], dispute["id"])
        dispute["balance_transactions"] = [*dispute["balance_transactions"], given_back]
    work.save(dispute)
    if is_won and not is_inquiry:
        emit(work, "charge.dispute.funds_reinstated", dispute)
    emit(work, "charge.dispute.closed", dispute, before)
    return dispute


def get_dispute(work: Work, params: Params, dispute_id: str) -> Json:
    params.done()
    return work.need("dispute", dispute_id, "dispute")


def list_disputes(work: Work, params: Params) -> Json:
    facts = {name: value for name in ("charge", "payment_intent") if (value := params.text(name))}
    return list_objects(work, params, "dispute", facts)


def _submit(dispute: Json) -> None:
    details = dispute["evidence_details"]
    dispute["evidence_details"] = {
        **details,
        "has_evidence": True,
        "submission_count": details["submission_count"] + 1,
        "submission_method": "manual",
    }
    dispute["status"] = "warning_under_review" if dispute["status"].startswith("warning") else "under_review"


def _check_open(dispute: Json) -> None:
    if dispute["status"] not in _OPEN:
        raise Refusal(f"This dispute is {dispute['status']} and takes no more evidence.")
