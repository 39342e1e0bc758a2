"""What a payment intent goes through once it is confirmed: authentication, authorization, capture, release."""

from __future__ import annotations

from app.sandbox.stripe.cards import Authentication, Decline, TestCard
from app.sandbox.stripe.charges import capture, new_charge
from app.sandbox.stripe.errors import Json, Stage, unexpected_state
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.payment_methods import attach_to, card_of, card_refusal, shown
from app.sandbox.stripe.transfers import send_destination_share
from app.sandbox.stripe.work import Work, visible

AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this PaymentIntent again.",
)
_AUTHENTICATION_NEEDED = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)
OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action", "requires_capture"})


def attempt(work: Work, intent: Json, method: Json, *, off_session: bool, refuse_action: bool, return_url: str) -> Json:
    """Pay with this method. A declined card is written down, then raised as a Refusal."""
    card = card_of(method)
    intent |= {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    intent["_return_url"] = return_url or None
    if _must_authenticate(card, method, off_session=off_session):
        if off_session or refuse_action:
            raise _decline(work, intent, method, card, _AUTHENTICATION_NEEDED)
        intent |= {"status": "requires_action", "next_action": _next_action(work, intent, return_url)}
        work.save(intent)
        emit(work, "payment_intent.requires_action", intent)
        return intent
    return _charge(work, intent, method, card)


def authenticate(work: Work, intent: Json, *, is_passed: bool) -> Json:
    """The customer's bank answers: passed or failed. A Refusal, as at confirmation, if the payment then fails."""
    if intent["status"] != "requires_action":
        raise unexpected_state(
            f"This PaymentIntent is {intent['status']}: nobody is asked to authenticate.", "payment_intent", intent
        )
    method = work.need("payment_method", intent["payment_method"])
    intent["next_action"] = None
    if not is_passed:
        raise _decline(work, intent, method, card_of(method), AUTHENTICATION_FAILED, is_charged=False)
    intent["_is_authenticated"] = True
    return _charge(work, intent, method, card_of(method))


def fail(work: Work, intent: Json) -> Json:
    """Have its current attempt fail, as by a bank that declines."""
    raise_for_state(intent, {"requires_action", "requires_confirmation", "requires_payment_method"}, "fail")
    method_id = intent["payment_method"]
    method = work.find("payment_method", method_id) if method_id else None
    decline = Decline("card_declined", "Your card was declined.", "generic_decline")
    if method is None:
        intent["last_payment_error"] = _error(decline, None, None)
        work.save(intent)
        emit(work, "payment_intent.payment_failed", intent)
    else:
        _decline(work, intent, method, card_of(method), decline)
    return intent


def capture_intent(work: Work, intent: Json, amount: int) -> Json:
    """Take what was authorized, or a part of it; the rest is released."""
    charge = work.need("charge", intent["latest_charge"])
    before = dict(charge)
    method = work.need("payment_method", intent["payment_method"])
    capture(work, charge, card_of(method), amount)
    send_destination_share(work, intent, charge)
    intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
    work.save(intent)
    emit(work, "charge.captured", charge, before)
    emit(work, "payment_intent.succeeded", intent)
    return intent


def release(work: Work, intent: Json, reason: str | None) -> Json:
    """Cancel it; what was authorized goes back to the card. `reason` "automatic": it ran out."""
    was_authorized = intent["status"] == "requires_capture"
    intent |= {
        "status": "canceled",
        "canceled_at": work.now,
        "cancellation_reason": reason,
        "amount_capturable": 0,
        "next_action": None,
    }
    work.save(intent)
    if was_authorized:
        charge = work.need("charge", intent["latest_charge"])
        before = dict(charge)
        charge |= {"amount_refunded": charge["amount"], "refunded": True}
        work.save(charge)
        emit(work, "charge.expired" if reason == "automatic" else "charge.refunded", charge, before)
    emit(work, "payment_intent.canceled", intent)
    return intent


def raise_for_state(intent: Json, allowed: set[str], verb: str) -> None:
    """The refusal that Stripe gives, unless the intent is in one of these states."""
    if intent["status"] not in allowed:
        verb = f"{verb}ed" if verb != "fail" else "failed"
        raise unexpected_state(
            f"This PaymentIntent could not be {verb} because it has a status of {intent['status']}. Only a "
            f"PaymentIntent with one of the following statuses may be {verb}: {', '.join(sorted(allowed))}.",
            "payment_intent",
            visible(intent),
        )


def _must_authenticate(card: TestCard, method: Json, *, off_session: bool) -> bool:
    if card.authentication is Authentication.UNLESS_SET_UP:
        return not (off_session and method["_is_set_up"])
    return card.authentication is Authentication.ALWAYS


def _next_action(work: Work, intent: Json, return_url: str) -> Json:
    url = work.page_url(f"authenticate/{intent['id']}")
    if return_url:
        return {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url}}


def _charge(work: Work, intent: Json, method: Json, card: TestCard) -> Json:
    if card.decline:
        raise _decline(work, intent, method, card, card.decline)
    charge = new_charge(work, intent, method, card, None)
    intent["latest_charge"] = charge["id"]
    if intent["capture_method"] == "manual":
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        work.later(work.settings.authorization_s, "authorization_runs_out", intent["id"])
    else:
        capture(work, charge, card, charge["amount"])
        send_destination_share(work, intent, charge)
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
    if intent["setup_future_usage"] and intent["customer"]:
        attach_to(work, method, intent["customer"], is_set_up=intent["setup_future_usage"] == "off_session")
    work.save(intent)
    emit(work, "charge.succeeded", charge)
    is_held = intent["status"] == "requires_capture"
    emit(work, "payment_intent.amount_capturable_updated" if is_held else "payment_intent.succeeded", intent)
    return intent


def _decline(
    work: Work, intent: Json, method: Json, card: TestCard, decline: Decline, *, is_charged: bool = True
) -> Exception:
    """Write a failed attempt down; gives the Refusal to raise."""
    charge = new_charge(work, intent, method, card, decline) if is_charged else None
    intent["last_payment_error"] = _error(decline, charge, method)
    intent |= {"status": "requires_payment_method", "payment_method": None, "next_action": None}
    if charge:
        intent["latest_charge"] = charge["id"]
        emit(work, "charge.failed", charge)
    work.save(intent)
    emit(work, "payment_intent.payment_failed", intent)
    details: Json = {"payment_intent": visible(intent), "payment_method": shown(method)}
    if charge:
        details["charge"] = charge["id"]
    return card_refusal(decline, details, Stage.DONE)


def _error(decline: Decline, charge: Json | None, method: Json | None) -> Json:
    """`last_payment_error`: what the card error says."""
    body = card_refusal(decline).body
    if charge:
        body["charge"] = charge["id"]
    if method:
        body |= {"payment_method": shown(method), "payment_method_type": "card"}
    return body
