"""Balances and the balance transactions that they are the sum of."""

from __future__ import annotations

from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params
from app.sandbox.stripe.work import Work, stamp

_CATEGORIES = {
    "payment": "charge",
    "payment_refund": "refund",
    "adjustment": "dispute",
    "application_fee": "platform_earning",
    "application_fee_refund": "platform_earning_refund",
    "refund_failure": "refund_failure",
    "payout_failure": "payout_reversal",
    "payout_cancel": "payout_reversal",
    "transfer_refund": "transfer_reversal",
}


def book(
    work: Work,
    kind: str,
    amount: int,
    currency: str,
    source: str,
    *,
    fee: int = 0,
    fee_kind: str = "stripe_fee",
    available_on: int | None = None,
) -> Json:
    """Move money of the work's account: `amount` in (negative: out), less `fee`. Gives the balance transaction."""
    now = work.now
    when = now if available_on is None else max(available_on, now)
    transaction = stamp(
        work,
        "balance_transaction",
        "txn",
        amount=amount,
        available_on=when,
        balance_type="payments",
        currency=currency,
        description=None,
        exchange_rate=None,
        fee=fee,
        fee_details=[
            {"amount": fee, "application": None, "currency": currency, "description": _FEES[fee_kind], "type": fee_kind}
        ]
        if fee
        else [],
        net=amount - fee,
        reporting_category=_CATEGORIES.get(kind, kind),
        source=source,
        status="available" if when <= now else "pending",
        type=kind,
    )
    # No mode has its own books here, and a balance transaction does not tell one.
    del transaction["livemode"]
    work.save(transaction)
    work.store.add_funds(work.account, currency, amount - fee, when, now)
    return transaction


def available(work: Work, currency: str) -> int:
    """What can be sent on now, in minor units; negative when more went out than came in."""
    return work.store.funds(work.account, work.now).get(currency, (0, 0))[0]


def processing_fee(work: Work, amount: int) -> int:
    """What the processor keeps of a payment."""
    return min(amount, amount * work.settings.fee_basis_points // 10_000 + work.settings.fee_fixed)


def get_balance(work: Work, params: Params) -> Json:
    params.done()
    sums = work.store.funds(work.account, work.now) or {work.settings.currency: (0, 0)}

    def column(place: int) -> list[Json]:
        return [
            {"amount": pair[place], "currency": currency, "source_types": {"card": pair[place]}}
            for currency, pair in sums.items()
        ]

    return {
        "object": "balance",
        "available": column(0),
        "connect_reserved": [{"amount": 0, "currency": currency} for currency in sums],
        "livemode": False,
        "pending": column(1),
        "refund_and_dispute_prefunding": {"available": [], "pending": []},
    }


def get_transaction(work: Work, params: Params, transaction_id: str) -> Json:
    params.done()
    return _current(work, work.need("balance_transaction", transaction_id))


def list_transactions(work: Work, params: Params) -> Json:
    facts = {name: value for name in ("source", "type", "currency") if (value := params.text(name))}
    listed = list_objects(work, params, "balance_transaction", facts)
    return {**listed, "data": [_current(work, one) for one in listed["data"]]}


def _current(work: Work, transaction: Json) -> Json:
    return {**transaction, "status": "available" if transaction["available_on"] <= work.now else "pending"}


_FEES = {"stripe_fee": "Stripe processing fees", "application_fee": "Application fee", "dispute_fee": "Dispute fee"}
