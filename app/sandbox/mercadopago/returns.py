"""Money that goes back: refunds, and chargebacks by the guest's bank."""

from __future__ import annotations

from app.sandbox.mercadopago import COLLECTOR
from app.sandbox.mercadopago.fields import CURRENCIES, BadRequest, Fields, fresh_number, moment
from app.sandbox.mercadopago.notifications import CHARGEBACK, notify
from app.sandbox.mercadopago.payments import WRONG_STATE, change, need_payment
from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.work import Work

_ANSWER_S = 10 * 86_400


def create_refund(work: Work, fields: Fields, payment_id: str) -> Json:
    """`POST /v1/payments/{id}/refunds`: a part, or without an amount all that is left."""
    payment = need_payment(work, payment_id)
    if payment["status"] != "approved":
        raise BadRequest(WRONG_STATE, 2063)
    left = payment["transaction_amount"] - payment["transaction_amount_refunded"]
    amount = fields.amount("amount", 4040, CURRENCIES[payment["currency_id"]])
    amount = left if amount is None else amount
    if amount > left:
        raise BadRequest("Invalid value for amount: it exceeds what is left of the payment", 2085)
    refund: Json = {
        "id": fresh_number(),
        "payment_id": int(payment_id),
        "amount": amount,
        "metadata": {},
        "source": {"id": str(COLLECTOR), "name": "Turnero", "type": "collector"},
        "date_created": moment(work.now),
        "unique_sequence_number": None,
        "refund_mode": "standard",
        "status": "approved",
    }
    refunded = payment["transaction_amount_refunded"] + amount
    is_all = refunded == payment["transaction_amount"]
    change(
        work,
        payment,
        refunds=[*payment["refunds"], refund],
        transaction_amount_refunded=refunded,
        status="refunded" if is_all else "approved",
        status_detail="refunded" if is_all else "partially_refunded",
    )
    return refund


def list_refunds(work: Work, _fields: Fields, payment_id: str) -> list[Json]:
    """`GET /v1/payments/{id}/refunds`."""
    refunds: list[Json] = need_payment(work, payment_id)["refunds"]
    return refunds


def get_chargeback(work: Work, _fields: Fields, chargeback_id: str) -> Json:
    """`GET /v1/chargebacks/{id}`."""
    found = work.find("mp_chargeback", chargeback_id)
    if found is None:
        raise BadRequest("Chargeback not found", 1, status=404, error="not_found")
    return found


def charge_back(work: Work, payment: Json) -> Json:
    """The guest's bank takes the payment back."""
    if payment["status"] != "approved":
        raise BadRequest(WRONG_STATE, 2018)
    chargeback: Json = {
        "id": f"2{fresh_number()}",
        "object": "mp_chargeback",
        "created": work.now,
        "payments": [int(payment["id"])],
        "currency": payment["currency_id"],
        "amount": payment["transaction_amount"] - payment["transaction_amount_refunded"],
        "reason": "general",
        "coverage_applied": None,
        "coverage_elegible": True,
        "documentation_required": True,
        "documentation_status": "pending",
        "documentation": [],
        "date_documentation_deadline": moment(work.now + _ANSWER_S),
        "date_created": moment(work.now),
        "date_last_updated": moment(work.now),
        "live_mode": False,
    }
    work.save(chargeback)
    change(work, payment, status="charged_back", status_detail="in_process", _chargeback=chargeback["id"])
    _tell(work, payment, chargeback)
    return chargeback


def decide(work: Work, payment: Json, *, is_won: bool) -> Json:
    """The bank decides: the shop gets the money again, or not."""
    if payment["status"] != "charged_back" or payment["status_detail"] != "in_process":
        raise BadRequest(WRONG_STATE, 2018)
    chargeback = get_chargeback(work, Fields({}), payment["_chargeback"])
    chargeback |= {"coverage_applied": is_won, "documentation_status": "valid" if is_won else "invalid"}
    work.save(chargeback)
    change(work, payment, status_detail="reimbursed" if is_won else "settled")
    _tell(work, payment, chargeback)
    return chargeback


def _tell(work: Work, payment: Json, chargeback: Json) -> None:
    url, more = payment["notification_url"], {"payment_id": int(payment["id"])}
    notify(work, CHARGEBACK, "changed_case_status", chargeback["id"], url, **more)
