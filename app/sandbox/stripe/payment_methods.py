"""Cards: tokens and numbers become payment methods, which customers may keep."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

from app.sandbox.stripe.cards import EXPIRY_YEARS, Decline, TestCard, card_of_number, card_of_token
from app.sandbox.stripe.errors import Json, Refusal, Stage, missing, wrong_param
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params, merge_metadata
from app.sandbox.stripe.work import Work, stamp, visible

_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def new_payment_method(work: Work, card: TestCard, *, expiry: tuple[int, int] | None = None) -> Json:
    """A payment method for a test card, saved. `expiry`: month and year."""
    year = datetime.fromtimestamp(work.now, UTC).year
    month, last_year = expiry or (12, year + EXPIRY_YEARS)
    return work.save(
        stamp(
            work,
            "payment_method",
            "pm",
            allow_redisplay="unspecified",
            billing_details={
                "address": dict.fromkeys(_ADDRESS),
                "email": None,
                "name": None,
                "phone": None,
                "tax_id": None,
            },
            card={
                "brand": card.brand,
                "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
                "country": card.country,
                "display_brand": card.brand,
                "exp_month": month,
                "exp_year": last_year,
                "fingerprint": sha256(card.number.encode()).hexdigest()[:16],
                "funding": card.funding,
                "generated_from": None,
                "last4": card.last4,
                "networks": {"available": [card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            customer=None,
            customer_account=None,
            metadata={},
            type="card",
            _number=card.number,
            _is_set_up=False,
        )
    )


def card_of(payment_method: Json) -> TestCard:
    """The test card behind a payment method."""
    card = card_of_number(payment_method["_number"])
    if isinstance(card, Decline):
        raise AssertionError(f"{payment_method['id']} has no test card")
    return card


def find_or_make(work: Work, name: str, param: str = "payment_method") -> Json:
    """The payment method that a parameter names: one that exists, or a token's, which becomes one."""
    card = card_of_token(name)
    if card is not None:
        return new_payment_method(work, card)
    return work.need("payment_method", name, param, 400)


def make_from_data(work: Work, data: Params) -> Json:
    """From `type`, `card` and `billing_details`; a Refusal for a number that is no test card's."""
    data.need_text("type", choices=("card",))
    raw = data.section("card")
    if raw is None:
        raise wrong_param(f"Missing required param: {data.name('card')}.", data.name("card"), "parameter_missing")
    token, number = raw.text("token"), raw.text("number", longest=40)
    month, year = raw.integer("exp_month"), raw.integer("exp_year")
    raw.text("cvc", longest=4)
    details, metadata = data.section("billing_details"), data.metadata()
    billing = _billing(details) if details else {}
    data.ignore("allow_redisplay", "radar_options")
    data.done()
    if token:
        card = card_of_token(token)
        if card is None:
            raise missing("token", token, raw.name("token"), 400)
        made = new_payment_method(work, card)
    elif number:
        made = new_payment_method(work, _typed(work, number, month, year), expiry=(month or 0, year or 0))
    else:
        raise wrong_param(f"Missing required param: {raw.name('number')}.", raw.name("number"), "parameter_missing")
    made["billing_details"] |= billing
    made["metadata"] = merge_metadata({}, metadata)
    return work.save(made)


def card_refusal(decline: Decline, details: Json | None = None, stage: Stage = Stage.DONE) -> Refusal:
    """402, as for every card that does not go."""
    extra = {"decline_code": decline.decline_code} if decline.decline_code else {}
    return Refusal(
        decline.message,
        status=402,
        kind="card_error",
        code=decline.code,
        param=_FIELD_OF.get(decline.code),
        stage=stage,
        details=extra | (details or {}),
    )


def read_method(work: Work, params: Params) -> Json | None:
    """What an intent is to be paid with: `payment_method`, or `payment_method_data`; None if neither was sent."""
    name, data = params.text("payment_method"), params.section("payment_method_data")
    if data is not None:
        return make_from_data(work, data)
    return find_or_make(work, name) if name else None


def create_payment_method(work: Work, params: Params) -> Json:
    return make_from_data(work, params)


def get_payment_method(work: Work, params: Params, method_id: str) -> Json:
    params.done()
    return work.need("payment_method", method_id, "payment_method")


def update_payment_method(work: Work, params: Params, method_id: str) -> Json:
    method = work.need("payment_method", method_id, "payment_method")
    before = dict(method)
    metadata, details, card = params.metadata(), params.section("billing_details"), params.section("card")
    changes = _billing(details) if details else {}
    expiry = {name: value for name in ("exp_month", "exp_year") if card and (value := card.integer(name)) is not None}
    params.done()
    method["metadata"] = merge_metadata(method["metadata"], metadata)
    method["billing_details"] = {**method["billing_details"], **changes}
    method["card"] = {**method["card"], **expiry}
    work.save(method)
    emit(work, "payment_method.updated", method, before)
    return method


def list_payment_methods(work: Work, params: Params, customer_id: str | None = None) -> Json:
    """A customer's, which are those that were attached."""
    customer = customer_id or params.need_text("customer")
    work.need("customer", customer, "customer", 404 if customer_id else 400)
    url = f"/v1/customers/{customer_id}/payment_methods" if customer_id else None
    facts = {"customer": customer}
    if wanted := params.text("type"):
        facts["type"] = wanted
    return list_objects(work, params, "payment_method", facts, url=url)


def attach(work: Work, params: Params, method_id: str) -> Json:
    customer = params.need_text("customer")
    params.done()
    work.need("customer", customer, "customer", 400)
    method = find_or_make(work, method_id)
    card = card_of(method)
    if card.decline and card.declines_setup:
        raise card_refusal(card.decline, stage=Stage.STATE)
    return attach_to(work, method, customer)


def attach_to(work: Work, method: Json, customer: str, *, is_set_up: bool = False) -> Json:
    """Keep it for a customer. `is_set_up`: the customer agreed to payments without them."""
    if method["customer"] not in {None, customer}:
        raise Refusal("The payment method you provided has already been attached to a customer.")
    is_new = method["customer"] is None
    method["customer"] = customer
    method["_is_set_up"] = method["_is_set_up"] or is_set_up
    work.save(method)
    if is_new:
        emit(work, "payment_method.attached", method)
    return method


def detach(work: Work, params: Params, method_id: str) -> Json:
    params.done()
    method = work.need("payment_method", method_id, "payment_method")
    if method["customer"] is None:
        raise Refusal("The payment method you provided is not attached to a customer so detachment is impossible.")
    before = dict(method)
    method["customer"] = None
    method["_is_set_up"] = False
    work.save(method)
    emit(work, "payment_method.detached", method, before)
    return method


def shown(method: Json) -> Json:
    """As it is embedded in an intent's error."""
    return visible(method)


def _typed(work: Work, number: str, month: int | None, year: int | None) -> TestCard:
    card = card_of_number(number)
    if isinstance(card, Decline):
        raise card_refusal(card, stage=Stage.STATE)
    if month is None or not 1 <= month <= 12:
        raise card_refusal(Decline("invalid_expiry_month", "Your card's expiration month is invalid."), None, _STATE)
    year = year + 2000 if year is not None and 0 <= year < 100 else year
    today = datetime.fromtimestamp(work.now, UTC)
    if year is None or not (today.year, today.month) <= (year, month) <= (today.year + 50, 12):
        raise card_refusal(Decline("invalid_expiry_year", "Your card's expiration year is invalid."), None, _STATE)
    return card


def _billing(details: Params) -> Json:
    sent: Json = {name: value or None for name in ("email", "name", "phone", "tax_id") if (value := details.text(name))}
    address = details.section("address")
    if address:
        sent["address"] = {name: address.text(name) or None for name in _ADDRESS}
    return sent


_STATE = Stage.STATE
_FIELD_OF = {
    "incorrect_number": "number",
    "incorrect_cvc": "cvc",
    "expired_card": "exp_month",
    "invalid_expiry_month": "exp_month",
    "invalid_expiry_year": "exp_year",
}
