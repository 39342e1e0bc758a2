"""Payments: made from a card token or on the checkout page, authorized, captured, cancelled, searched."""

from __future__ import annotations

from collections.abc import Mapping

from app.sandbox.mercadopago import COLLECTOR
from app.sandbox.mercadopago.cards import OUTCOMES, brand_of, use_token
from app.sandbox.mercadopago.fields import CURRENCIES, BadRequest, Fields, fresh_number, moment, read_moment
from app.sandbox.mercadopago.notifications import PAYMENT, notify
from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.store import Page
from app.sandbox.stripe.work import Work

AUTHORIZATION_S = 5 * 86_400
WRONG_STATE = "The action requested is not valid for the current payment state"
_OPEN = frozenset({"pending", "in_process", "authorized"})
_MOST_FOUND = 10_000


def create_payment(work: Work, fields: Fields) -> Json:
    """`POST /v1/payments`."""
    currency = fields.text("currency_id") or work.settings.mercadopago_currency
    if currency not in CURRENCIES:
        raise BadRequest("Invalid currency_id", 4050)
    amount = fields.amount("transaction_amount", 4037, CURRENCIES[currency])
    if amount is None:
        raise BadRequest("transaction_amount attribute can't be null", 4020)
    fee = fields.amount("application_fee", 4039) or 0
    if fee >= amount:
        raise BadRequest("Invalid application_fee", 4039)
    if "email" not in fields.section("payer"):
        raise BadRequest("payer.email can't be null", 4051)
    if "installments" in fields and fields.whole("installments") != 1:
        raise BadRequest("Invalid installments", 3028)
    capture = fields.flag("capture")
    token = use_token(work, fields.need_text("token"))
    brand = brand_of(token["_number"])
    asked = fields.text("payment_method_id")
    if brand is None or (asked is not None and asked != brand.method):
        raise BadRequest("Invalid payment_method_id", 2067)
    return pay(
        work,
        token,
        amount=amount,
        currency=currency,
        is_captured=capture is not False,
        description=fields.text("description"),
        email=fields.section("payer").text("email"),
        reference=fields.text("external_reference", 256),
        metadata=fields.metadata(),
        notification_url=fields.text("notification_url"),
        fee=fee,
    )


def pay(
    work: Work,
    token: Json,
    *,
    amount: int,
    currency: str,
    is_captured: bool,
    description: str | None,
    email: str | None,
    reference: str | None,
    metadata: Mapping[str, str],
    notification_url: str | None,
    fee: int = 0,
    preference: str | None = None,
) -> Json:
    """A payment with this card; its holder's name says what becomes of it."""
    brand = brand_of(token["_number"])
    status, detail, _ = OUTCOMES.get(token["cardholder"]["name"].strip().upper(), OUTCOMES["APRO"])
    if status == "approved" and not is_captured:
        status, detail = "authorized", "pending_capture"
    now = work.now
    payment: Json = {
        "id": fresh_number(),
        "object": "mp_payment",
        "created": now,
        "date_created": moment(now),
        "date_approved": moment(now) if status == "approved" else None,
        "date_last_updated": moment(now),
        "date_of_expiration": None,
        "money_release_date": None,
        "operation_type": "regular_payment",
        "payment_method_id": brand.method if brand else None,
        "payment_type_id": brand.kind if brand else None,
        "status": status,
        "status_detail": detail,
        "currency_id": currency,
        "description": description,
        "live_mode": False,
        "collector_id": COLLECTOR,
        "captured": status == "approved",
        "binary_mode": False,
        "external_reference": reference,
        "transaction_amount": amount,
        "transaction_amount_refunded": 0,
        "application_fee": fee or None,
        "transaction_details": {"net_received_amount": amount - fee, "total_paid_amount": amount},
        "installments": 1,
        "statement_descriptor": "TURNERO",
        "card": {name: token[name] for name in ("first_six_digits", "last_four_digits", "cardholder")},
        "payer": {"email": email, "identification": {}},
        "metadata": dict(metadata),
        "notification_url": notification_url,
        "order": {},
        "refunds": [],
        "_preference": preference,
        "_fee": fee,
    }
    work.save(payment)
    notify(work, PAYMENT, "payment.created", payment["id"], notification_url)
    if status == "authorized":
        work.later(AUTHORIZATION_S, "mp_authorization_runs_out", payment["id"])
    return payment


def get_payment(work: Work, _fields: Fields, payment_id: str) -> Json:
    return need_payment(work, payment_id)


def update_payment(work: Work, fields: Fields, payment_id: str) -> Json:
    """`PUT /v1/payments/{id}`: capture, whole or in part, or cancel."""
    payment = need_payment(work, payment_id)
    if fields.flag("capture"):
        return _capture(work, payment, fields)
    if fields.text("status") == "cancelled":
        if payment["status"] not in _OPEN:
            raise BadRequest(WRONG_STATE, 2018)
        return change(work, payment, status="cancelled", status_detail="by_collector")
    raise BadRequest("Nothing to change: capture or status", 1)


def release(work: Work, payment: Json) -> None:
    """An authorization that nobody captured."""
    if payment["status"] == "authorized":
        change(work, payment, status="cancelled", status_detail="expired")


def change(work: Work, payment: Json, **values: object) -> Json:
    """Save it, and tell."""
    payment |= {**values, "date_last_updated": moment(work.now)}
    work.save(payment)
    notify(work, PAYMENT, "payment.updated", payment["id"], payment["notification_url"])
    return payment


def search_payments(work: Work, query: Mapping[str, str]) -> Json:
    """`GET /v1/payments/search`: by `external_reference`, and by `date_created` or `date_last_updated`."""
    reference, ranged = query.get("external_reference"), query.get("range", "date_created")
    if ranged not in {"date_created", "date_last_updated"}:
        raise BadRequest("Invalid range", 1001)
    begin = read_moment(query["begin_date"], "begin_date") if "begin_date" in query else 0.0
    end = read_moment(query["end_date"], "end_date") if "end_date" in query else float("inf")
    offset, limit = _number(query, "offset", 0, 10_000), _number(query, "limit", 30, 1_000)
    facts = {"external_reference": reference} if reference else None
    found = [
        one
        for one in work.store.page(work.account, "mp_payment", Page(_MOST_FOUND, facts=facts))
        if begin <= read_moment(one[ranged], ranged) <= end
    ]
    if query.get("criteria", "desc") == "asc":
        found.reverse()
    return {
        "paging": {"total": len(found), "limit": limit, "offset": offset},
        "results": found[offset : offset + limit],
    }


def need_payment(work: Work, payment_id: str) -> Json:
    found = work.find("mp_payment", payment_id)
    if found is None:
        raise BadRequest("Payment not found", 2000, status=404, error="not_found")
    return found


def _capture(work: Work, payment: Json, fields: Fields) -> Json:
    if payment["status"] != "authorized":
        raise BadRequest(WRONG_STATE, 2018)
    amount = fields.amount("transaction_amount", 4037, CURRENCIES[payment["currency_id"]])
    amount = payment["transaction_amount"] if amount is None else amount
    if amount > payment["transaction_amount"]:
        raise BadRequest("Invalid transaction_amount", 4037)
    fee = min(payment["_fee"], amount)
    return change(
        work,
        payment,
        status="approved",
        status_detail="accredited",
        captured=True,
        date_approved=moment(work.now),
        transaction_amount=amount,
        transaction_details={"net_received_amount": amount - fee, "total_paid_amount": amount},
    )


def _number(query: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = query.get(name, str(usual))
    if not text.isascii() or not text.isdigit() or int(text[:9]) > most:
        raise BadRequest(f"Invalid {name}", 1000)
    return int(text)
