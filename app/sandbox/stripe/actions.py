"""What a person or a test does in the bank's, the customer's or Stripe's place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.sandbox.stripe import deliveries
from app.sandbox.stripe.accounts import AccountState, put_into, save_account
from app.sandbox.stripe.cards import card_of_token
from app.sandbox.stripe.disputes import decide, open_dispute
from app.sandbox.stripe.errors import Json, Refusal, missing, wrong_param
from app.sandbox.stripe.intents import confirm_intent
from app.sandbox.stripe.params import Params
from app.sandbox.stripe.payments import authenticate, fail, release
from app.sandbox.stripe.payouts import arrive, fail_payout
from app.sandbox.stripe.setup_intents import authenticate_setup, confirm_setup_intent
from app.sandbox.stripe.store import PLATFORM
from app.sandbox.stripe.work import Work

Fields = Mapping[str, Any]
Action = Callable[[Work, str, Fields], Json]
DISPUTE_REASONS = ("fraudulent", "product_not_received", "duplicate", "credit_not_processed", "general")


def pay(work: Work, intent_id: str, fields: Fields) -> Json:
    """Confirm an intent with a test card: `card` is a token (`pm_card_visa`), `number` a typed number."""
    number, token = _text(fields, "number").strip(), _text(fields, "card") or "pm_card_visa"
    there, intent = _find(work, intent_id, ("payment_intent", "setup_intent"))
    if number:
        card = {"number": number, "exp_month": "12", "exp_year": "34", "cvc": "123"}
        tree: Json = {"payment_method_data": {"type": "card", "card": card}}
    else:
        if card_of_token(token) is None:
            raise wrong_param(f"No such test card: {token[:80]}", "card")
        tree = {"payment_method": token}
    # On a page of ours, the way back is known.
    tree["return_url"] = _text(fields, "return_url") or work.page_url(f"intents/{intent_id}")
    confirm = confirm_intent if intent["object"] == "payment_intent" else confirm_setup_intent
    return confirm(there, Params(tree), intent_id)


def finish_authentication(work: Work, intent_id: str, fields: Fields) -> Json:
    """The customer passes or fails 3-D Secure: `outcome` is `complete` or `fail`."""
    is_passed = _choice(fields, "outcome", ("complete", "fail")) == "complete"
    there, intent = _find(work, intent_id, ("payment_intent", "setup_intent"))
    if intent["object"] == "payment_intent":
        return authenticate(there, intent, is_passed=is_passed)
    return authenticate_setup(there, intent, is_passed=is_passed)


def fail_intent(work: Work, intent_id: str, _fields: Fields) -> Json:
    """Its payment is declined."""
    there, intent = _find(work, intent_id, ("payment_intent",))
    return fail(there, intent)


def expire_intent(work: Work, intent_id: str, _fields: Fields) -> Json:
    """Its authorization runs out, as after seven days."""
    there, intent = _find(work, intent_id, ("payment_intent",))
    if intent["status"] != "requires_capture":
        raise Refusal("Only an authorization that was not captured can run out.")
    return release(there, intent, "automatic")


def dispute_charge(work: Work, charge_id: str, fields: Fields) -> Json:
    """The customer goes to the bank. `reason`: one of DISPUTE_REASONS."""
    there, charge = _find(work, charge_id, ("charge",))
    reason = _choice(fields, "reason", DISPUTE_REASONS) if fields.get("reason") else "fraudulent"
    return open_dispute(there, charge, reason)


def decide_dispute(work: Work, dispute_id: str, fields: Fields) -> Json:
    """The bank decides: `outcome` is `won` or `lost`."""
    is_won = _choice(fields, "outcome", ("won", "lost")) == "won"
    there, dispute = _find(work, dispute_id, ("dispute",))
    return decide(there, dispute, is_won=is_won)


def set_account(work: Work, account_id: str, fields: Fields) -> Json:
    """Put a connected account into a `state`."""
    state = AccountState(_choice(fields, "state", tuple(AccountState)))
    there, account = _find(work, account_id, ("account",))
    before = dict(account)
    put_into(account, state)
    save_account(there, account, before)
    return account


def finish_payout(work: Work, payout_id: str, fields: Fields) -> Json:
    """The bank books it or refuses it: `outcome` is `paid` or `failed`."""
    outcome = _choice(fields, "outcome", ("paid", "failed"))
    there, payout = _find(work, payout_id, ("payout",))
    if outcome == "failed":
        return fail_payout(there, payout)
    arrive(there, payout)
    return payout


def resend_delivery(work: Work, seq: str, _fields: Fields) -> Json:
    """Send a webhook once more."""
    delivery = deliveries.get(work.store, int(seq)) if seq.isascii() and seq.isdigit() and len(seq) < 18 else None
    if delivery is None:
        raise missing("delivery", seq[:40])
    deliveries.resend(work.store, delivery.seq, work.settings.clock())
    return {"object": "delivery", "id": delivery.seq, "event": delivery.event}


def resend_event(work: Work, event_id: str, _fields: Fields) -> Json:
    """Send all of an event's webhooks once more."""
    _find(work, event_id, ("event",))
    sent = deliveries.latest(work.store, 100, event_id)
    for delivery in sent:
        deliveries.resend(work.store, delivery.seq, work.settings.clock())
    return {"object": "event", "id": event_id, "deliveries": len(sent)}


def onboard(work: Work, link_id: str, fields: Fields) -> Json:
    """Someone fills in the onboarding form, or leaves it unfinished. Gives where to go next, as `url`."""
    outcome = _choice(fields, "outcome", ("complete", "leave"))
    link = work.find("account_link", link_id)
    if link is None:
        raise missing("account_link", link_id)
    if link["_is_used"] or link["expires_at"] <= work.now:
        return {"object": "redirect", "url": link["_refresh_url"]}
    work.save({**link, "_is_used": True})
    if outcome == "complete":
        set_account(work, link["_account"], {"state": AccountState.ONBOARDED})
    return {"object": "redirect", "url": link["_return_url"]}


ACTIONS: dict[str, Action] = {
    "intents/*/pay": pay,
    "intents/*/fail": fail_intent,
    "intents/*/expire": expire_intent,
    "intents/*/authenticate": finish_authentication,
    "charges/*/dispute": dispute_charge,
    "disputes/*/decide": decide_dispute,
    "accounts/*/state": set_account,
    "payouts/*/finish": finish_payout,
    "deliveries/*/resend": resend_delivery,
    "events/*/resend": resend_event,
    "onboard/*/finish": onboard,
}
"""`POST /_sandbox/…`, with a form or JSON."""


def _find(work: Work, object_id: str, kinds: tuple[str, ...]) -> tuple[Work, Json]:
    """The object, and the work on behalf of its account."""
    found = work.store.find(object_id)
    if found is None or found[1]["object"] not in kinds:
        raise missing(kinds[0], object_id[:80])
    return work.of(found[0] if found[1]["object"] != "account" else PLATFORM), found[1]


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > 2_000:
        raise wrong_param(f"{name} must be a short text.", name)
    return value


def _choice(fields: Fields, name: str, choices: tuple[str, ...]) -> str:
    value = _text(fields, name)
    if value not in choices:
        raise wrong_param(f"{name} must be one of {', '.join(choices)}.", name)
    return value
