"""Payment intents: created, changed, confirmed, captured, cancelled, found."""

from __future__ import annotations

from app.sandbox.stripe.errors import Json, Refusal, unauthorized, wrong_param
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.lists import list_objects, search_objects
from app.sandbox.stripe.params import Params, assign, merge_metadata
from app.sandbox.stripe.payment_methods import read_method
from app.sandbox.stripe.payments import OPEN, attempt, capture_intent, raise_for_state, release
from app.sandbox.stripe.store import PLATFORM
from app.sandbox.stripe.work import Work, fresh_id, stamp

_LEAST = {"gbp": 30, "dkk": 250, "nok": 300, "sek": 300, "mxn": 1_000, "huf": 17_500, "pln": 200, "czk": 1_500}
"""Smallest amounts, in minor units; 50 elsewhere."""
_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
_CONFIRMABLE = {"requires_payment_method", "requires_confirmation", "requires_action"}
_TEXTS = ("description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix")


def create_intent(work: Work, params: Params) -> Json:
    amount, currency = params.need_amount(), params.need_currency()
    _check_least(amount, currency)
    intent = stamp(
        work,
        "payment_intent",
        "pi",
        amount=amount,
        amount_capturable=0,
        amount_details={"tip": {}},
        amount_received=0,
        application=None,
        application_fee_amount=None,
        automatic_payment_methods=None,
        canceled_at=None,
        cancellation_reason=None,
        capture_method=params.text("capture_method", choices=("automatic", "automatic_async", "manual"))
        or "automatic_async",
        client_secret=None,
        confirmation_method=params.text("confirmation_method", choices=("automatic", "manual")) or "automatic",
        currency=currency,
        customer=None,
        customer_account=None,
        description=None,
        excluded_payment_method_types=None,
        last_payment_error=None,
        latest_charge=None,
        metadata={},
        next_action=None,
        on_behalf_of=params.text("on_behalf_of") or None,
        payment_method=None,
        payment_method_configuration_details=None,
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        payment_method_types=["card"],
        processing=None,
        receipt_email=None,
        review=None,
        setup_future_usage=None,
        shipping=None,
        source=None,
        statement_descriptor=None,
        statement_descriptor_suffix=None,
        status="requires_payment_method",
        transfer_data=None,
        transfer_group=None,
    )
    intent["client_secret"] = f"{intent['id']}_{fresh_id('secret', 25)}"
    _read_kinds(intent, params)
    _read_common(work, intent, params)
    is_confirmed = params.flag("confirm") or False
    method = read_method(work, params)
    confirmation = _read_confirmation(params, is_allowed=is_confirmed)
    params.done()
    if method:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    _check_method_owner(intent, method)
    work.save(intent)
    emit(work, "payment_intent.created", intent)
    return _confirm(work, intent, method, confirmation) if is_confirmed else intent


def get_intent(work: Work, params: Params, intent_id: str) -> Json:
    intent = _need_intent(work, params, intent_id)
    params.done()
    return intent


def update_intent(work: Work, params: Params, intent_id: str) -> Json:
    intent = _need_intent(work, params, intent_id)
    _refuse_publishable(work)
    amount, currency = params.amount(), params.need_currency() if "currency" in params else None
    is_payable = intent["status"] in _CONFIRMABLE
    if (amount is not None or currency is not None) and not is_payable:
        raise_for_state(intent, _CONFIRMABLE, "updat")
    intent |= {"amount": amount or intent["amount"], "currency": currency or intent["currency"]}
    _check_least(intent["amount"], intent["currency"])
    _read_common(work, intent, params)
    method = read_method(work, params)
    _read_kinds(intent, params)
    params.done()
    if method:
        if not is_payable:
            raise_for_state(intent, _CONFIRMABLE, "updat")
        intent |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    _check_method_owner(intent, method)
    return work.save(intent)


def confirm_intent(work: Work, params: Params, intent_id: str) -> Json:
    intent = _need_intent(work, params, intent_id)
    method = read_method(work, params)
    usage = params.text("setup_future_usage", choices=("off_session", "on_session", ""))
    capture_method = params.text("capture_method", choices=("automatic", "automatic_async", "manual"))
    assign(intent, params, "receipt_email")
    intent["shipping"] = params.anything("shipping") or intent["shipping"]
    params.ignore("payment_method_options", "payment_method_types", "radar_options")
    confirmation = _read_confirmation(params, is_allowed=True)
    params.done()
    raise_for_state(intent, _CONFIRMABLE, "confirm")
    intent["setup_future_usage"] = usage or intent["setup_future_usage"]
    intent["capture_method"] = capture_method or intent["capture_method"]
    if method is None and intent["payment_method"]:
        method = work.need("payment_method", intent["payment_method"], "payment_method", 400)
    _check_method_owner(intent, method)
    return _confirm(work, intent, method, confirmation)


def capture_payment(work: Work, params: Params, intent_id: str) -> Json:
    intent = _need_intent(work, params, intent_id)
    amount, fee = params.amount("amount_to_capture"), params.integer("application_fee_amount", minimum=0)
    metadata, share = params.metadata(), params.section("transfer_data")
    share_amount = share.amount() if share else None
    assign(intent, params, "statement_descriptor", "statement_descriptor_suffix")
    params.flag("final_capture")
    params.done()
    raise_for_state(intent, {"requires_capture"}, "captur")
    amount = intent["amount_capturable"] if amount is None else amount
    if amount > intent["amount_capturable"]:
        raise Refusal(
            f"The remaining amount that can be captured for {intent_id} is {intent['amount_capturable']} "
            f"{intent['currency']}, which is less than the requested amount of {amount}.",
            code="amount_too_large",
            param="amount_to_capture",
        )
    intent["application_fee_amount"] = intent["application_fee_amount"] if fee is None else fee
    if share_amount is not None and intent["transfer_data"]:
        intent["transfer_data"] = {**intent["transfer_data"], "amount": share_amount}
    intent["metadata"] = merge_metadata(intent["metadata"], metadata)
    return capture_intent(work, intent, amount)


def cancel_intent(work: Work, params: Params, intent_id: str) -> Json:
    intent = _need_intent(work, params, intent_id)
    reason = params.text("cancellation_reason", choices=_REASONS)
    params.done()
    raise_for_state(intent, set(OPEN), "cancel")
    return release(work, intent, reason)


def list_intents(work: Work, params: Params) -> Json:
    customer = params.text("customer")
    return list_objects(work, params, "payment_intent", {"customer": customer} if customer else None)


def search_intents(work: Work, params: Params) -> Json:
    return search_objects(work, params, "payment_intent")


def _need_intent(work: Work, params: Params, intent_id: str) -> Json:
    """The intent; with a publishable key, only by its client secret."""
    intent = work.need("payment_intent", intent_id, "intent")
    secret = params.text("client_secret")
    if (work.is_publishable or secret is not None) and secret != intent["client_secret"]:
        raise wrong_param(
            "The client_secret provided does not match any associated PaymentIntent on this account. Ensure the "
            "publishable key used belongs to the same account that created the PaymentIntent.",
            "client_secret",
            "payment_intent_invalid_parameter",
        )
    return intent


def _refuse_publishable(work: Work) -> None:
    if work.is_publishable:
        raise unauthorized("This API call cannot be made with a publishable API key. Please use a secret API key.")


def _confirm(work: Work, intent: Json, method: Json | None, confirmation: Json) -> Json:
    if method is None:
        raise Refusal(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
            details={"payment_intent": intent},
        )
    kinds = intent["automatic_payment_methods"]
    if kinds and kinds["allow_redirects"] == "always" and not confirmation["return_url"]:
        raise wrong_param(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`. If "
            "you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to "
            "`true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
            "Payment Intents.",
            "return_url",
        )
    return attempt(work, intent, method, **confirmation)


def _read_kinds(intent: Json, params: Params) -> None:
    """Which payment methods it takes: cards, whatever was asked for; the answer repeats the question."""
    automatic, kinds = params.section("automatic_payment_methods"), params.strings("payment_method_types")
    params.ignore("payment_method_configuration", "excluded_payment_method_types")
    if automatic is not None:
        is_enabled = automatic.flag("enabled") or False
        redirects = automatic.text("allow_redirects", choices=("always", "never")) or "always"
        if is_enabled and kinds:
            raise wrong_param(
                "You may only specify one of these parameters: automatic_payment_methods, payment_method_types.",
                "automatic_payment_methods",
            )
        intent["automatic_payment_methods"] = {"allow_redirects": redirects, "enabled": True} if is_enabled else None
    elif kinds:
        if "card" not in kinds:
            raise wrong_param(f"The payment method type provided: {kinds[0][:40]} is invalid.", "payment_method_types")
        intent |= {"automatic_payment_methods": None, "payment_method_types": kinds}
    elif intent["automatic_payment_methods"] is None and "_has_kinds" not in intent:
        intent["automatic_payment_methods"] = {"allow_redirects": "always", "enabled": True}
    intent["_has_kinds"] = True


def _read_common(work: Work, intent: Json, params: Params) -> None:
    """What creation and update share."""
    intent["customer"] = work.named(params, "customer") or intent["customer"]
    intent["metadata"] = merge_metadata(intent["metadata"], params.metadata())
    assign(intent, params, *_TEXTS)
    if (group := params.text("transfer_group")) is not None:
        intent["transfer_group"] = group or None
    if (usage := params.text("setup_future_usage", choices=("off_session", "on_session", ""))) is not None:
        intent["setup_future_usage"] = usage or None
    intent["shipping"] = params.anything("shipping") or intent["shipping"]
    fee = params.integer("application_fee_amount", minimum=0)
    intent["application_fee_amount"] = intent["application_fee_amount"] if fee is None else fee
    share = params.section("transfer_data")
    if share is not None:
        destination = share.text("destination") or (intent["transfer_data"] or {}).get("destination")
        intent["transfer_data"] = {"destination": destination, "amount": share.amount()}
        if not destination or work.store.get(PLATFORM, "account", destination) is None:
            raise wrong_param(f"No such destination: '{destination}'", "transfer_data[destination]", "resource_missing")
    options = params.anything("payment_method_options")
    if options:
        intent["payment_method_options"] = {**intent["payment_method_options"], **options}
    if (intent["application_fee_amount"] or 0) > intent["amount"]:
        raise wrong_param("Your application fee cannot be more than the amount.", "application_fee_amount")


def _read_confirmation(params: Params, *, is_allowed: bool) -> Json:
    """How it is confirmed; parameters that are only for that are refused without it."""
    names = ("return_url", "off_session", "error_on_requires_action", "use_stripe_sdk", "mandate_data", "mandate")
    if not is_allowed:
        for name in names:
            if name in params:
                raise wrong_param(f"Received unknown parameter: {name}. It is allowed only when confirm is true.", name)
    return_url = params.url("return_url") or ""
    off_session = params.text("off_session") in {"true", "one_off", "recurring"}
    refuse_action = params.flag("error_on_requires_action") or False
    params.ignore("use_stripe_sdk", "mandate_data", "mandate")
    return {"off_session": off_session, "refuse_action": refuse_action, "return_url": return_url}


def _check_method_owner(intent: Json, method: Json | None) -> None:
    owner = method["customer"] if method else None
    if owner and owner != intent["customer"]:
        raise Refusal(
            "The provided PaymentMethod belongs to a customer: the PaymentIntent must be of that customer too.",
            param="payment_method",
        )


def _check_least(amount: int, currency: str) -> None:
    least = _LEAST.get(currency, 50)
    if amount < least:
        raise wrong_param(f"Amount must be at least {least} {currency} (in minor units).", "amount", "amount_too_small")
