"""What MercadoPago is asked for: the bodies of its requests for payments and checkout pages."""

from __future__ import annotations

from typing import Any

from app.adapters import mercadopago_objects as objects
from app.adapters.mercadopago_connection import to_decimal
from app.adapters.mercadopago_objects import Payment, Preference
from app.gateway import Capture, PaymentOrder


def card_order(order: PaymentOrder, method_id: str, notification_url: str | None) -> dict[str, Any]:
    """A payment by card, at once."""
    body: dict[str, Any] = {
        "transaction_amount": to_decimal(order.amount_minor, order.currency),
        "currency_id": order.currency,
        "description": order.description,
        "external_reference": str(order.payment_id),
        "capture": order.capture is Capture.AUTOMATIC,
        "installments": 1,
        "payer": {"email": order.email},
        "metadata": {**labels_of(order), objects.ATTEMPT: order.idempotency_key},
        **method_of(method_id),
    }
    if order.platform_fee_minor:
        body["application_fee"] = to_decimal(order.platform_fee_minor, order.currency)
    if notification_url:
        body["notification_url"] = notification_url
    return body


def page_order(order: PaymentOrder, notification_url: str | None) -> dict[str, Any]:
    """A preference: what can be paid on its page."""
    body: dict[str, Any] = {
        "items": [
            {
                "id": str(order.payment_id),
                "title": order.description or "Booking",
                "quantity": 1,
                "currency_id": order.currency,
                "unit_price": to_decimal(order.amount_minor, order.currency),
            }
        ],
        "external_reference": str(order.payment_id),
        "metadata": labels_of(order),
    }
    if order.email:
        body["payer"] = {"email": order.email}
    if order.platform_fee_minor:
        body["marketplace_fee"] = to_decimal(order.platform_fee_minor, order.currency)
    if order.expires_at:
        body |= {"expires": True, "expiration_date_to": order.expires_at.isoformat(timespec="milliseconds")}
    if order.return_url:
        body["back_urls"] = dict.fromkeys(("success", "pending", "failure"), order.return_url)
        if order.return_url.startswith("https://"):
            body["auto_return"] = "approved"
    if notification_url:
        body["notification_url"] = notification_url
    return body


def labels_of(order: PaymentOrder) -> dict[str, str]:
    """The metadata: ours before anybody's."""
    own = {
        objects.PAYMENT: order.payment_id,
        objects.BOOKING: order.booking_id,
        objects.ORGANIZATION: order.organization_id,
        objects.AMOUNT: order.amount_minor,
        objects.CAPTURE: order.capture,
    }
    group = {objects.GROUP: order.transfer_group} if order.transfer_group else {}
    return {**order.metadata, **group, **{name: str(value) for name, value in own.items()}}


def method_of(method_id: str) -> dict[str, str]:
    name, _, token = method_id.rpartition(":")
    return {"token": token, **({"payment_method_id": name} if name else {})}


def another_attempt(payment: Payment) -> dict[str, Any]:
    """What another attempt has of the one before."""
    fee = {"application_fee": payment.application_fee} if payment.application_fee else {}
    email = payment.payer.email if payment.payer else None
    return {
        "currency_id": payment.currency_id,
        "description": payment.description,
        "payer": {"email": email},
        **fee,
    }


def first_attempt(preference: Preference) -> dict[str, Any]:
    fee = {"application_fee": preference.marketplace_fee} if preference.marketplace_fee else {}
    item, email = preference.items[0], preference.payer.email if preference.payer else None
    return {"currency_id": item.currency_id, "description": item.title, "payer": {"email": email}, **fee}
