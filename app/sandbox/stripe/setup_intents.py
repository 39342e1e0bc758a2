"""Setup intents: a card is saved for payments without the customer."""

from __future__ import annotations

from app.sandbox.stripe.cards import Authentication, Decline
from app.sandbox.stripe.errors import Json, Refusal, Stage, unexpected_state, wrong_param
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params, assign, merge_metadata
from app.sandbox.stripe.payment_methods import attach_to, card_of, card_refusal, read_method, shown
from app.sandbox.stripe.work import Work, fresh_id, stamp, visible

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_FAILED = Decline(
    "setup_intent_authentication_failure",
    "The latest attempt to set up the payment method has failed because authentication failed.",
)


def create_setup_intent(work: Work, params: Params) -> Json:
    intent = stamp(
        work,
        "setup_intent",
        "seti",
        application=None,
        automatic_payment_methods=None,
        cancellation_reason=None,
        client_secret=None,
        customer=work.named(params, "customer"),
        customer_account=None,
        description=None,
        excluded_payment_method_types=None,
        flow_directions=None,
        last_setup_error=None,
        latest_attempt=None,
        mandate=None,
        metadata=merge_metadata({}, params.metadata()),
        next_action=None,
        on_behalf_of=params.text("on_behalf_of") or None,
        payment_method=None,
        payment_method_configuration_details=None,
        payment_method_options={"card": {"mandate_options": None, "network": None, "request_three_d_secure": "any"}},
        payment_method_types=params.strings("payment_method_types") or ["card"],
        single_use_mandate=None,
        status="requires_payment_method",
        usage=params.text("usage", choices=("off_session", "on_session")) or "off_session",
    )
    intent["client_secret"] = f"{intent['id']}_{fresh_id('secret', 25)}"
    assign(intent, params, "description")
    automatic = params.section("automatic_payment_methods")
    if automatic and automatic.flag("enabled"):
        redirects = automatic.text("allow_redirects", choices=("always", "never")) or "always"
        intent["automatic_payment_methods"] = {"allow_redirects": redirects, "enabled": True}
    is_confirmed = params.flag("confirm") or False
    method, return_url = read_method(work, params), params.url("return_url")
    params.ignore("payment_method_options", "mandate_data", "use_stripe_sdk")
    params.done()
    if method:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    work.save(intent)
    emit(work, "setup_intent.created", intent)
    return _confirm(work, intent, method, return_url) if is_confirmed else intent


def get_setup_intent(work: Work, params: Params, intent_id: str) -> Json:
    intent = _need(work, params, intent_id)
    params.done()
    return intent


def update_setup_intent(work: Work, params: Params, intent_id: str) -> Json:
    intent = _need(work, params, intent_id)
    if work.is_publishable:
        raise Refusal("This API call cannot be made with a publishable API key.", status=401, stage=Stage.REQUEST)
    intent["customer"] = work.named(params, "customer") or intent["customer"]
    intent["metadata"] = merge_metadata(intent["metadata"], params.metadata())
    assign(intent, params, "description")
    method = read_method(work, params)
    params.done()
    if method:
        _check_open(intent)
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    return work.save(intent)


def confirm_setup_intent(work: Work, params: Params, intent_id: str) -> Json:
    intent = _need(work, params, intent_id)
    method, return_url = read_method(work, params), params.url("return_url")
    params.ignore("payment_method_options", "mandate_data", "use_stripe_sdk")
    params.done()
    _check_open(intent)
    if method is None and intent["payment_method"]:
        method = work.need("payment_method", intent["payment_method"])
    return _confirm(work, intent, method, return_url)


def cancel_setup_intent(work: Work, params: Params, intent_id: str) -> Json:
    intent = _need(work, params, intent_id)
    reason = params.text("cancellation_reason", choices=("abandoned", "requested_by_customer", "duplicate"))
    params.done()
    _check_open(intent)
    intent |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    work.save(intent)
    emit(work, "setup_intent.canceled", intent)
    return intent


def list_setup_intents(work: Work, params: Params) -> Json:
    facts = {name: value for name in ("customer", "payment_method") if (value := params.text(name))}
    return list_objects(work, params, "setup_intent", facts)


def authenticate_setup(work: Work, intent: Json, *, is_passed: bool) -> Json:
    """The customer's bank answers: passed or failed."""
    if intent["status"] != "requires_action":
        raise unexpected_state("Nobody is asked to authenticate this SetupIntent.", "setup_intent", visible(intent))
    method = work.need("payment_method", intent["payment_method"])
    intent["next_action"] = None
    return _succeed(work, intent, method) if is_passed else _fail(work, intent, method, _FAILED)


def _confirm(work: Work, intent: Json, method: Json | None, return_url: str | None) -> Json:
    if method is None:
        raise unexpected_state(
            "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with a "
            "payment method and then confirm it again.",
            "setup_intent",
            visible(intent),
        )
    card = card_of(method)
    intent |= {"payment_method": method["id"], "last_setup_error": None}
    if card.authentication is not Authentication.NEVER:
        url = work.page_url(f"authenticate/{intent['id']}")
        intent["_return_url"] = return_url or None
        intent |= {
            "status": "requires_action",
            "next_action": {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}},
        }
        work.save(intent)
        emit(work, "setup_intent.requires_action", intent)
        return intent
    if card.decline and card.declines_setup:
        return _fail(work, intent, method, card.decline)
    return _succeed(work, intent, method)


def _succeed(work: Work, intent: Json, method: Json) -> Json:
    intent["status"] = "succeeded"
    method["_is_set_up"] = intent["usage"] == "off_session"
    if intent["customer"]:
        attach_to(work, method, intent["customer"], is_set_up=method["_is_set_up"])
    work.save(method)
    work.save(intent)
    emit(work, "setup_intent.succeeded", intent)
    return intent


def _fail(work: Work, intent: Json, method: Json, decline: Decline) -> Json:
    """Always raises; what it wrote down stays."""
    error = card_refusal(decline, {"payment_method": shown(method), "payment_method_type": "card"})
    intent |= {"status": "requires_payment_method", "payment_method": None, "last_setup_error": error.body}
    work.save(intent)
    emit(work, "setup_intent.setup_failed", intent)
    raise card_refusal(decline, {"setup_intent": visible(intent), "payment_method": shown(method)})


def _need(work: Work, params: Params, intent_id: str) -> Json:
    intent = work.need("setup_intent", intent_id, "intent")
    secret = params.text("client_secret")
    if (work.is_publishable or secret is not None) and secret != intent["client_secret"]:
        message = "The client_secret provided does not match any associated SetupIntent on this account."
        raise wrong_param(message, "client_secret")
    return intent


def _check_open(intent: Json) -> None:
    if intent["status"] not in _OPEN:
        raise unexpected_state(
            f"This SetupIntent has a status of {intent['status']}; only one of {', '.join(_OPEN)} can be changed.",
            "setup_intent",
            visible(intent),
        )
