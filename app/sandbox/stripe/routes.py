"""Which handler answers which address."""

from __future__ import annotations

from app.sandbox.stripe import (
    accounts,
    application_fees,
    charges,
    customers,
    disputes,
    endpoints,
    events,
    funds,
    intents,
    payment_methods,
    payouts,
    refunds,
    setup_intents,
    transfers,
)
from app.sandbox.stripe.errors import Json, Refusal, Stage
from app.sandbox.stripe.params import Params
from app.sandbox.stripe.work import Handler, Work


def _customers_methods(work: Work, params: Params, customer_id: str) -> Json:
    return payment_methods.list_payment_methods(work, params, customer_id)


_ADDRESSES: dict[str, Handler] = {
    "GET account": accounts.get_own_account,
    "POST accounts": accounts.create_account,
    "GET accounts": accounts.list_accounts,
    "GET accounts/*": accounts.get_account,
    "POST accounts/*": accounts.update_account,
    "DELETE accounts/*": accounts.delete_account,
    "POST accounts/*/login_links": accounts.create_login_link,
    "POST account_links": accounts.create_account_link,
    "GET application_fees": application_fees.list_fees,
    "GET application_fees/*": application_fees.get_fee,
    "GET balance": funds.get_balance,
    "GET balance_transactions": funds.list_transactions,
    "GET balance_transactions/*": funds.get_transaction,
    "GET charges": charges.list_charges,
    "GET charges/search": charges.search_charges,
    "GET charges/*": charges.get_charge,
    "POST charges/*": charges.update_charge,
    "GET charges/*/refunds": charges.list_charge_refunds,
    "POST customers": customers.create_customer,
    "GET customers": customers.list_customers,
    "GET customers/search": customers.search_customers,
    "GET customers/*": customers.get_customer,
    "POST customers/*": customers.update_customer,
    "DELETE customers/*": customers.delete_customer,
    "GET customers/*/payment_methods": _customers_methods,
    "GET disputes": disputes.list_disputes,
    "GET disputes/*": disputes.get_dispute,
    "POST disputes/*": disputes.update_dispute,
    "POST disputes/*/close": disputes.close_dispute,
    "GET events": events.list_events,
    "GET events/*": events.get_event,
    "POST payment_intents": intents.create_intent,
    "GET payment_intents": intents.list_intents,
    "GET payment_intents/search": intents.search_intents,
    "GET payment_intents/*": intents.get_intent,
    "POST payment_intents/*": intents.update_intent,
    "POST payment_intents/*/confirm": intents.confirm_intent,
    "POST payment_intents/*/capture": intents.capture_payment,
    "POST payment_intents/*/cancel": intents.cancel_intent,
    "POST payment_methods": payment_methods.create_payment_method,
    "GET payment_methods": payment_methods.list_payment_methods,
    "GET payment_methods/*": payment_methods.get_payment_method,
    "POST payment_methods/*": payment_methods.update_payment_method,
    "POST payment_methods/*/attach": payment_methods.attach,
    "POST payment_methods/*/detach": payment_methods.detach,
    "POST payouts": payouts.create_payout,
    "GET payouts": payouts.list_payouts,
    "GET payouts/*": payouts.get_payout,
    "POST payouts/*": payouts.update_payout,
    "POST payouts/*/cancel": payouts.cancel_payout,
    "POST refunds": refunds.create_refund,
    "GET refunds": refunds.list_refunds,
    "GET refunds/*": refunds.get_refund,
    "POST refunds/*": refunds.update_refund,
    "POST setup_intents": setup_intents.create_setup_intent,
    "GET setup_intents": setup_intents.list_setup_intents,
    "GET setup_intents/*": setup_intents.get_setup_intent,
    "POST setup_intents/*": setup_intents.update_setup_intent,
    "POST setup_intents/*/confirm": setup_intents.confirm_setup_intent,
    "POST setup_intents/*/cancel": setup_intents.cancel_setup_intent,
    "POST transfers": transfers.create_transfer,
    "GET transfers": transfers.list_transfers,
    "GET transfers/*": transfers.get_transfer,
    "POST transfers/*": transfers.update_transfer,
    "POST transfers/*/reversals": transfers.create_reversal,
    "GET transfers/*/reversals": transfers.list_reversals,
    "GET transfers/*/reversals/*": transfers.get_reversal,
    "POST transfers/*/reversals/*": transfers.update_reversal,
    "POST webhook_endpoints": endpoints.create_endpoint,
    "GET webhook_endpoints": endpoints.list_endpoints,
    "GET webhook_endpoints/*": endpoints.get_endpoint,
    "POST webhook_endpoints/*": endpoints.update_endpoint,
    "DELETE webhook_endpoints/*": endpoints.delete_endpoint,
}
_FOR_BROWSERS = frozenset(
    {
        "GET payment_intents/*",
        "POST payment_intents/*",
        "POST payment_intents/*/confirm",
        "POST payment_methods",
        "GET setup_intents/*",
        "POST setup_intents/*",
        "POST setup_intents/*/confirm",
    }
)
"""What a publishable key opens, with the client secret of what it names."""

_LONGEST_ID = 255
_Segments = tuple[str, ...]
_BY_SHAPE: dict[tuple[str, int], list[tuple[_Segments, str, Handler]]] = {}
for _address, _handler in _ADDRESSES.items():
    _method, _path = _address.split(" ")
    _parts = tuple(_path.split("/"))
    _BY_SHAPE.setdefault((_method, len(_parts)), []).append((_parts, _address, _handler))


def find_handler(method: str, path: str, *, is_publishable: bool) -> tuple[Handler, list[str]]:
    """The handler and the ids in the address. `path`: after `/v1/`."""
    parts = path.split("/")
    for pattern, address, handler in _BY_SHAPE.get((method, len(parts)), []):
        if all(wanted in {"*", part} for wanted, part in zip(pattern, parts, strict=True)):
            ids = [part for wanted, part in zip(pattern, parts, strict=True) if wanted == "*"]
            if not all(0 < len(one) <= _LONGEST_ID for one in ids):
                break
            if is_publishable and address not in _FOR_BROWSERS:
                raise Refusal(
                    "This API call cannot be made with a publishable API key. Please use a secret API key.",
                    status=401,
                    stage=Stage.REQUEST,
                    code="secret_key_required",
                )
            return handler, ids
    raise Refusal(
        f"Unrecognized request URL ({method}: /v1/{path[:200]}). This sandbox knows what Turnero uses of Stripe; see "
        "https://stripe.com/docs for the rest.",
        status=404,
        stage=Stage.REQUEST,
    )
