"""Checkout preferences: what is to be paid on MercadoPago's page, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode
from uuid import uuid4

from app.sandbox.mercadopago import COLLECTOR
from app.sandbox.mercadopago.cards import BRANDS, token_of
from app.sandbox.mercadopago.fields import CURRENCIES, BadRequest, Fields, moment, read_moment
from app.sandbox.mercadopago.payments import pay
from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.store import Page
from app.sandbox.stripe.work import Work

_LISTED = ("id", "collector_id", "date_created", "expires", "expiration_date_to", "external_reference", "site_id")


def create_preference(work: Work, fields: Fields) -> Json:
    """`POST /checkout/preferences`."""
    preference_id = f"{COLLECTOR}-{uuid4()}"
    url = work.page_url(f"checkout/{preference_id}")
    preference: Json = {
        "id": preference_id,
        "object": "mp_preference",
        "created": work.now,
        "client_id": "1234567890",
        "collector_id": COLLECTOR,
        "date_created": moment(work.now),
        "init_point": url,
        "sandbox_init_point": url,
        "operation_type": "regular_payment",
        "site_id": "MLA",
        "items": [_item(work, one) for one in fields.sections("items")],
        "payer": {"email": fields.section("payer").text("email")},
        "back_urls": {name: fields.section("back_urls").text(name) for name in ("success", "pending", "failure")},
        "auto_return": fields.text("auto_return"),
        "external_reference": fields.text("external_reference", 256),
        "marketplace_fee": fields.amount("marketplace_fee", 4039) or 0,
        "metadata": fields.metadata(),
        "notification_url": fields.text("notification_url"),
        "expires": False,
        "expiration_date_from": None,
        "expiration_date_to": None,
    }
    if not preference["items"]:
        raise BadRequest("unit_price invalid.", "invalid_items")
    if preference["auto_return"] and not preference["back_urls"]["success"]:
        raise BadRequest("auto_return invalid. back_url.success must be defined", "invalid_auto_return")
    if preference["marketplace_fee"] > total(preference):
        raise BadRequest("marketplace_fee must not be greater than total amount.", "invalid_marketplace_fee")
    return _with_expiry(work, preference, fields)


def get_preference(work: Work, _fields: Fields, preference_id: str) -> Json:
    found = work.find("mp_preference", preference_id)
    if found is None:
        raise BadRequest("preference_id not found", "invalid_id", status=404, error="not_found")
    return found


def update_preference(work: Work, fields: Fields, preference_id: str) -> Json:
    """`PUT /checkout/preferences/{id}`: until when it can be paid."""
    return _with_expiry(work, get_preference(work, fields, preference_id), fields)


def search_preferences(work: Work, query: Mapping[str, str]) -> Json:
    """`GET /checkout/preferences/search?external_reference=…`: of each no more than what tells it from others."""
    reference = query.get("external_reference")
    facts = {"external_reference": reference} if reference else None
    found = work.store.page(work.account, "mp_preference", Page(50, facts=facts))[::-1]
    elements = [{**{name: one[name] for name in _LISTED}, "items": [i["title"] for i in one["items"]]} for one in found]
    return {"elements": elements, "next_offset": len(found), "total": len(found)}


def pay_preference(work: Work, preference: Json, holder: str) -> Json:
    """A guest pays on the page, with a test card in this holder's name. Gives the payment."""
    if is_over(work, preference):
        raise BadRequest("The preference has expired: nothing can be paid here any more.", "expired")
    return pay(
        work,
        token_of(work, BRANDS[0], holder),
        amount=total(preference),
        currency=preference["items"][0]["currency_id"],
        is_captured=True,
        description=preference["items"][0]["title"],
        email=preference["payer"]["email"] or "test_user@testuser.com",
        reference=preference["external_reference"],
        metadata=preference["metadata"],
        notification_url=preference["notification_url"],
        fee=preference["marketplace_fee"],
        preference=preference["id"],
    )


def way_back(preference: Json, payment: Json) -> str | None:
    """Where the page leads after a payment; None: nowhere."""
    name = {"approved": "success", "rejected": "failure"}.get(payment["status"], "pending")
    url = preference["back_urls"][name]
    if not url:
        return None
    told = {
        "collection_id": payment["id"],
        "collection_status": payment["status"],
        "payment_id": payment["id"],
        "status": payment["status"],
        "external_reference": preference["external_reference"],
        "payment_type": payment["payment_type_id"],
        "preference_id": preference["id"],
        "site_id": "MLA",
    }
    return f"{url}{'&' if '?' in url else '?'}{urlencode(told)}"


def total(preference: Json) -> int:
    """In hundredths."""
    return sum(item["unit_price"] * item["quantity"] for item in preference["items"])


def is_over(work: Work, preference: Json) -> bool:
    if not preference["expires"] or preference["expiration_date_to"] is None:
        return False
    return read_moment(preference["expiration_date_to"], "expiration_date_to") <= work.settings.clock()


def _item(work: Work, fields: Fields) -> Json:
    currency = fields.text("currency_id") or work.settings.mercadopago_currency
    if currency not in CURRENCIES:
        raise BadRequest("currency_id invalid", "invalid_items")
    price = fields.amount("unit_price", 4037, CURRENCIES[currency])
    quantity = fields.whole("quantity")
    if price is None or not quantity:
        raise BadRequest("unit_price invalid.", "invalid_items")
    return {
        "id": fields.text("id"),
        "title": fields.text("title") or "",
        "currency_id": currency,
        "quantity": quantity,
        "unit_price": price,
    }


def _with_expiry(work: Work, preference: Json, fields: Fields) -> Json:
    expires = fields.flag("expires")
    preference["expires"] = preference["expires"] if expires is None else expires
    for name in ("expiration_date_from", "expiration_date_to"):
        text = fields.text(name)
        if text is not None:
            read_moment(text, name)
            preference[name] = text
    return work.save(preference)
