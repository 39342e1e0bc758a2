"""Reads Stripe's objects: each function takes one and gives what the port says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import stripe

from app.adapters.stripe_amounts import from_stripe
from app.adapters.stripe_errors import decline_named
from app.domain.payment import DisputePhase, IntentPhase, RefundPhase, SeenDispute, SeenIntent, SeenRefund
from app.gateway import (
    AccountSnapshot,
    Balance,
    Decline,
    DisputeSnapshot,
    PaymentSnapshot,
    RefundSnapshot,
    ReversalSnapshot,
    SetupPhase,
    SetupSnapshot,
    TransferSnapshot,
)

PAYMENT, BOOKING, ORGANIZATION = "turnero_payment", "turnero_booking", "turnero_organization"
REFUND, TRANSFER, REVERSAL = "turnero_refund", "turnero_transfer", "turnero_reversal"
PROVIDER, CUSTOMER = "turnero_provider", "turnero_customer"

_INTENT_PHASES: Mapping[str, IntentPhase] = MappingProxyType(
    {
        "requires_payment_method": IntentPhase.CREATED,
        "requires_confirmation": IntentPhase.CREATED,
        "requires_action": IntentPhase.NEEDS_ACTION,
        "processing": IntentPhase.PROCESSING,
        "requires_capture": IntentPhase.AUTHORIZED,
        "canceled": IntentPhase.CANCELLED,
        "succeeded": IntentPhase.SUCCEEDED,
    }
)
_REFUND_PHASES: Mapping[str, RefundPhase] = MappingProxyType(
    {
        "pending": RefundPhase.PENDING,
        "requires_action": RefundPhase.PENDING,
        "succeeded": RefundPhase.SUCCEEDED,
        "failed": RefundPhase.FAILED,
        "canceled": RefundPhase.FAILED,
    }
)
_DISPUTE_PHASES: Mapping[str, DisputePhase] = MappingProxyType(
    {
        "needs_response": DisputePhase.OPEN,
        "under_review": DisputePhase.OPEN,
        "won": DisputePhase.WON,
        "lost": DisputePhase.LOST,
    }
)
"""Those that took money: inquiries (`warning_…`) and prevented ones are none."""
_SETUP_PHASES: Mapping[str, SetupPhase] = MappingProxyType(
    {
        "requires_payment_method": SetupPhase.CREATED,
        "requires_confirmation": SetupPhase.CREATED,
        "requires_action": SetupPhase.NEEDS_ACTION,
        "processing": SetupPhase.NEEDS_ACTION,
        "canceled": SetupPhase.CANCELLED,
        "succeeded": SetupPhase.SUCCEEDED,
    }
)


def read_payment(
    intent: stripe.PaymentIntent,
    seen_at: datetime,
    refunds: Iterable[stripe.Refund],
    disputes: Iterable[stripe.Dispute],
) -> PaymentSnapshot:
    """`intent` with its latest charge expanded; `refunds` and `disputes`: all of them. `seen_at`: when it was asked."""
    currency = intent.currency.upper()
    failure = intent.last_payment_error
    phase = _INTENT_PHASES[intent.status]
    if phase is IntentPhase.CREATED and failure is not None:
        phase = IntentPhase.FAILED
    decline = None
    if phase is IntentPhase.FAILED and failure is not None:
        decline = decline_named(_text(failure, "code"), _text(failure, "decline_code"))
    names = labels(intent)
    charge = intent.latest_charge
    has_charge = isinstance(charge, stripe.Charge) and charge.status == "succeeded"
    seen = SeenIntent(
        id=intent.id,
        seen_at=seen_at,
        phase=phase,
        amount_minor=from_stripe(intent.amount, currency),
        captured_minor=from_stripe(intent.amount_received, currency),
        decline_code=decline.code if decline else None,
        refunds=tuple(read_seen_refund(one) for one in refunds if _moved_money(one)),
        disputes=tuple(found for one in disputes if (found := read_seen_dispute(one)) is not None),
    )
    return PaymentSnapshot(
        intent=seen,
        currency=currency,
        created_at=instant(intent.created),
        is_live=intent.livemode,
        payment_id=_own_id(names, PAYMENT),
        booking_id=_own_id(names, BOOKING),
        organization_id=_own_id(names, ORGANIZATION),
        capturable_minor=from_stripe(intent.amount_capturable, currency),
        charge_id=id_of(charge) if has_charge else None,
        transfer_group=intent.transfer_group,
        customer_id=id_of(intent.customer),
        method_id=id_of(intent.payment_method),
        client_secret=intent.client_secret,
        redirect_url=_redirect(intent.next_action),
        decline=decline,
        metadata=names,
        capture_before=_capture_before(charge) if has_charge and phase is IntentPhase.AUTHORIZED else None,
    )


def read_seen_refund(refund: stripe.Refund) -> SeenRefund:
    phase = _REFUND_PHASES.get(refund.status or "pending", RefundPhase.PENDING)
    return SeenRefund(refund.id, from_stripe(refund.amount, refund.currency), phase)


def read_refund(refund: stripe.Refund) -> RefundSnapshot | None:
    """None: it belongs to no payment intent, or only let go of an authorization."""
    intent_id = id_of(refund.payment_intent)
    if intent_id is None or not _moved_money(refund):
        return None
    return RefundSnapshot(
        refund=read_seen_refund(refund),
        processor_id=intent_id,
        currency=refund.currency.upper(),
        created_at=instant(refund.created),
        refund_id=_own_id(labels(refund), REFUND),
        charge_id=id_of(refund.charge),
        failure_reason=_text(refund, "failure_reason"),
    )


def read_seen_dispute(dispute: stripe.Dispute) -> SeenDispute | None:
    """None: no money was taken."""
    phase = _DISPUTE_PHASES.get(dispute.status)
    return None if phase is None else SeenDispute(dispute.id, from_stripe(dispute.amount, dispute.currency), phase)


def read_dispute(dispute: stripe.Dispute) -> DisputeSnapshot | None:
    """None: it belongs to no payment intent, or no money was taken."""
    seen, intent_id = read_seen_dispute(dispute), id_of(dispute.payment_intent)
    if seen is None or intent_id is None:
        return None
    due = dispute.evidence_details.due_by
    return DisputeSnapshot(
        dispute=seen,
        processor_id=intent_id,
        currency=dispute.currency.upper(),
        created_at=instant(dispute.created),
        charge_id=id_of(dispute.charge),
        reason=dispute.reason,
        answer_by=None if due is None else instant(due),
    )


def read_transfer(transfer: stripe.Transfer, reversals: Iterable[stripe.TransferReversal]) -> TransferSnapshot:
    """`reversals`: all of them."""
    return TransferSnapshot(
        processor_id=transfer.id,
        account_id=id_of(transfer.destination) or "",
        amount_minor=from_stripe(transfer.amount, transfer.currency),
        reversed_minor=from_stripe(transfer.amount_reversed, transfer.currency),
        currency=transfer.currency.upper(),
        created_at=instant(transfer.created),
        transfer_id=_own_id(labels(transfer), TRANSFER),
        transfer_group=transfer.transfer_group,
        charge_id=id_of(transfer.source_transaction),
        reversals=tuple(read_reversal(one) for one in reversals),
    )


def read_reversal(reversal: stripe.TransferReversal) -> ReversalSnapshot:
    return ReversalSnapshot(
        processor_id=reversal.id,
        transfer_processor_id=id_of(reversal.transfer) or "",
        amount_minor=from_stripe(reversal.amount, reversal.currency),
        currency=reversal.currency.upper(),
        reversal_id=_own_id(labels(reversal), REVERSAL),
    )


def read_account(account: stripe.Account) -> AccountSnapshot:
    requirements = account.requirements
    due = (*(requirements.past_due or ()), *(requirements.currently_due or ())) if requirements else ()
    capabilities = account.capabilities
    return AccountSnapshot(
        account_id=account.id,
        charges_enabled=bool(account.charges_enabled),
        payouts_enabled=bool(account.payouts_enabled),
        details_submitted=bool(account.details_submitted),
        can_receive=capabilities is not None and _text(capabilities, "transfers") == "active",
        provider_id=_own_id(labels(account), PROVIDER),
        requirements=tuple(dict.fromkeys(due)),
        disabled_reason=requirements.disabled_reason if requirements else None,
    )


def read_setup(setup: stripe.SetupIntent) -> SetupSnapshot:
    failure = setup.last_setup_error
    phase = _SETUP_PHASES[setup.status]
    if phase is SetupPhase.CREATED and failure is not None:
        phase = SetupPhase.FAILED
    decline: Decline | None = None
    if phase is SetupPhase.FAILED and failure is not None:
        decline = decline_named(_text(failure, "code"), _text(failure, "decline_code"))
    return SetupSnapshot(
        processor_id=setup.id,
        phase=phase,
        customer_id=id_of(setup.customer),
        method_id=id_of(setup.payment_method) if phase is SetupPhase.SUCCEEDED else None,
        client_secret=setup.client_secret,
        redirect_url=_redirect(setup.next_action),
        decline=decline,
    )


def read_balance(balance: stripe.Balance) -> tuple[Balance, ...]:
    available = {one.currency: one.amount for one in balance.available}
    pending = {one.currency: one.amount for one in balance.pending}
    return tuple(
        Balance(code.upper(), from_stripe(available.get(code, 0), code), from_stripe(pending.get(code, 0), code))
        for code in sorted(available | pending)
    )


def id_of(named: Any) -> str | None:
    """The id, whether the object is expanded or not."""
    if named is None or isinstance(named, str):
        return named
    return str(named.id)


def labels(labelled: Any) -> dict[str, str]:
    """Its metadata."""
    metadata = getattr(labelled, "metadata", None)
    return {} if metadata is None else {str(name): str(text) for name, text in metadata.to_dict().items()}


def instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _own_id(names: Mapping[str, str], label: str) -> UUID | None:
    """What stands there, unless somebody wrote something else into it."""
    try:
        return UUID(names[label])
    except (KeyError, ValueError):
        return None


def _moved_money(refund: stripe.Refund) -> bool:
    """What is let go of an authorization may look like a refund that succeeded; no money moved."""
    return refund.status != "succeeded" or refund.balance_transaction is not None


def _redirect(next_action: Any) -> str | None:
    redirect = getattr(next_action, "redirect_to_url", None)
    url = getattr(redirect, "url", None)
    return None if url is None else str(url)


def _capture_before(charge: Any) -> datetime | None:
    """Of an authorized card payment."""
    card = getattr(getattr(charge, "payment_method_details", None), "card", None)
    seconds = getattr(card, "capture_before", None)
    return None if seconds is None else instant(seconds)


def _text(holder: Any, name: str) -> str | None:
    """A field that Stripe leaves out where it does not apply."""
    value = getattr(holder, name, None)
    return None if value is None else str(value)
