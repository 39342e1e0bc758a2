"""Payouts from a balance to a bank."""

from __future__ import annotations

from app.sandbox.stripe.errors import Json, Refusal, insufficient_balance
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.funds import available, book
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params, assign, merge_metadata
from app.sandbox.stripe.store import PLATFORM
from app.sandbox.stripe.work import Work, stamp

_MOVING = ("pending", "in_transit")
_COULD_NOT = "The bank could not process this payout."


def create_payout(work: Work, params: Params) -> Json:
    amount, currency = params.need_amount(), params.need_currency()
    method = params.text("method", choices=("standard", "instant")) or "standard"
    metadata = merge_metadata({}, params.metadata())
    payout = stamp(
        work,
        "payout",
        "po",
        amount=amount,
        application_fee=None,
        application_fee_amount=None,
        arrival_date=int(work.settings.clock() + work.settings.payout_arrives_after_s),
        automatic=False,
        balance_transaction=None,
        currency=currency,
        description=None,
        destination=params.text("destination") or f"ba_{(work.account or 'platform').removeprefix('acct_')}",
        failure_balance_transaction=None,
        failure_code=None,
        failure_message=None,
        metadata=metadata,
        method=method,
        original_payout=None,
        payout_method=None,
        reconciliation_status="not_applicable",
        reversed_by=None,
        source_type=params.text("source_type", choices=("card", "bank_account", "fpx")) or "card",
        statement_descriptor=None,
        status="pending",
        trace_id=None,
        type="bank_account",
    )
    assign(payout, params, "description", "statement_descriptor")
    params.done()
    _check_enabled(work)
    has = available(work, currency)
    if has < amount:
        raise insufficient_balance(
            f"You have insufficient funds in your Stripe account for this transfer: {amount} {currency} is asked for, "
            f"and {has} is available."
        )
    payout["balance_transaction"] = book(work, "payout", -amount, currency, payout["id"])["id"]
    work.save(payout)
    emit(work, "payout.created", payout)
    work.later(work.settings.payout_arrives_after_s, "payout_arrives", payout["id"])
    return payout


def arrive(work: Work, payout: Json) -> None:
    """The bank has it."""
    if payout["status"] not in _MOVING:
        return
    before = dict(payout)
    payout["status"] = "paid"
    work.save(payout)
    emit(work, "payout.paid", payout, before)


def fail_payout(work: Work, payout: Json) -> Json:
    """The bank refuses it, perhaps days after it was paid: the money comes back."""
    if payout["status"] not in {*_MOVING, "paid"}:
        raise Refusal(f"This payout is {payout['status']}: it cannot fail any more.")
    _give_back(work, payout, "payout_failure", "failed", "could_not_process")
    emit(work, "payout.failed", payout)
    return payout


def cancel_payout(work: Work, params: Params, payout_id: str) -> Json:
    params.done()
    payout = work.need("payout", payout_id, "payout")
    if payout["status"] != "pending":
        raise Refusal("Payouts can only be canceled while they are pending.", code="payout_not_cancelable")
    _give_back(work, payout, "payout_cancel", "canceled", None)
    emit(work, "payout.canceled", payout)
    return payout


def get_payout(work: Work, params: Params, payout_id: str) -> Json:
    params.done()
    return work.need("payout", payout_id, "payout")


def update_payout(work: Work, params: Params, payout_id: str) -> Json:
    payout = work.need("payout", payout_id, "payout")
    before = dict(payout)
    metadata = params.metadata()
    params.done()
    payout["metadata"] = merge_metadata(payout["metadata"], metadata)
    work.save(payout)
    emit(work, "payout.updated", payout, before)
    return payout


def list_payouts(work: Work, params: Params) -> Json:
    facts = {name: value for name in ("status", "destination") if (value := params.text(name))}
    return list_objects(work, params, "payout", facts)


def _give_back(work: Work, payout: Json, kind: str, status: str, code: str | None) -> None:
    returned = book(work, kind, payout["amount"], payout["currency"], payout["id"])
    payout |= {
        "status": status,
        "failure_balance_transaction": returned["id"],
        "failure_code": code,
        "failure_message": _COULD_NOT if code else None,
    }
    work.save(payout)


def _check_enabled(work: Work) -> None:
    if work.account == PLATFORM or not work.settings.enforce_onboarding:
        return
    account = work.store.get(PLATFORM, "account", work.account)
    if account is None or not account["payouts_enabled"]:
        raise Refusal("Payouts are not enabled on this account.", code="payouts_not_allowed")
