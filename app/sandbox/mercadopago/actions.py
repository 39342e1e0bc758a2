"""What a person or a test does in the guest's or the bank's place, at the local MercadoPago."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from app.sandbox.mercadopago import ACCOUNT
from app.sandbox.mercadopago.cards import OUTCOMES
from app.sandbox.mercadopago.fields import BadRequest, Fields, moment, shown
from app.sandbox.mercadopago.payments import change, get_payment
from app.sandbox.mercadopago.preferences import get_preference, pay_preference, way_back
from app.sandbox.mercadopago.returns import charge_back, decide
from app.sandbox.stripe.errors import Json, Refusal
from app.sandbox.stripe.work import Work

_Values = Mapping[str, Any]


def pay(work: Work, preference_id: str, values: _Values) -> Json:
    """A guest pays on the checkout page: `holder` is a test card's holder (`APRO`). Gives where the page leads."""
    preference = get_preference(work, Fields({}), preference_id)
    payment = pay_preference(work, preference, _choice(values, "holder", tuple(OUTCOMES)))
    notice = quote(f"{payment['status']}: {payment['status_detail']}")
    back = way_back(preference, payment) if payment["status"] != "rejected" else None
    return {
        "object": "redirect",
        "payment": int(payment["id"]),
        "url": back or f"/_sandbox/checkout/{preference_id}?notice={notice}",
    }


def review(work: Work, payment_id: str, values: _Values) -> Json:
    """A payment in process is decided: `outcome` is `approved` or `rejected`."""
    payment = get_payment(work, Fields({}), payment_id)
    if payment["status"] != "in_process":
        raise BadRequest("Only a payment in process is reviewed", 2018)
    if _choice(values, "outcome", ("approved", "rejected")) == "approved":
        approved: Json = {"status": "approved", "status_detail": "accredited", "captured": True}
        return _page_of(change(work, payment, **approved, date_approved=moment(work.now)))
    return _page_of(change(work, payment, status="rejected", status_detail="cc_rejected_other_reason"))


def dispute(work: Work, payment_id: str, _values: _Values) -> Json:
    """The guest goes to the bank."""
    return _page_of(charge_back(work, get_payment(work, Fields({}), payment_id)))


def decide_dispute(work: Work, payment_id: str, values: _Values) -> Json:
    """The bank decides: `outcome` is `won` or `lost`."""
    is_won = _choice(values, "outcome", ("won", "lost")) == "won"
    return _page_of(decide(work, get_payment(work, Fields({}), payment_id), is_won=is_won))


def _here(act: Callable[[Work, str, _Values], Json]) -> Callable[[Work, str, _Values], Json]:
    """On behalf of MercadoPago's account, with the refusals that the sandbox's pages show."""

    def acting(work: Work, object_id: str, values: _Values) -> Json:
        try:
            return act(work.of(ACCOUNT), object_id, values)
        except BadRequest as refusal:
            raise Refusal(str(refusal), status=refusal.status) from refusal

    return acting


ACTIONS = {
    "checkout/*/pay": _here(pay),
    "mercadopago/*/review": _here(review),
    "mercadopago/*/dispute": _here(dispute),
    "mercadopago/*/decide": _here(decide_dispute),
}
"""`POST /_sandbox/…`, with a form or JSON."""


def _page_of(result: Json) -> Json:
    """The result, and for a form the way back to the overview."""
    seen: Json = shown(result)
    return {**seen, "object": "redirect", "url": "/_sandbox/"}


def _choice(values: _Values, name: str, choices: tuple[str, ...]) -> str:
    value = values.get(name, choices[0])
    if value not in choices:
        raise BadRequest(f"{name} must be one of {', '.join(choices)}", "invalid_parameter")
    return str(value)
