"""Reads MercadoPago's objects.

It has no object for a payment with several attempts: a checkout preference is what can be paid, and each attempt is a
payment of its own. All of them carry our own id as `external_reference`; so that is the processor's id of a payment
here, and what is shown of it is drawn together from all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec

from app.adapters.decline_texts import Reason, decline_of
from app.adapters.mercadopago_connection import to_minor
from app.domain.payment import DisputePhase, IntentPhase, RefundPhase, SeenDispute, SeenIntent, SeenRefund
from app.gateway import Decline, DisputeSnapshot, PaymentSnapshot, RefundSnapshot

PAYMENT, BOOKING, ORGANIZATION = "turnero_payment", "turnero_booking", "turnero_organization"
AMOUNT, ATTEMPT, CAPTURE, GROUP = "turnero_amount", "turnero_attempt", "turnero_capture", "turnero_group"
CHARGEBACK = "chargeback-"
"""Begins our name of a payment's dispute: payments do not tell the chargeback's own id."""

DECLINES: Mapping[str, Reason] = MappingProxyType(
    {
        "cc_rejected_insufficient_amount": Reason.FUNDS,
        "cc_rejected_bad_filled_security_code": Reason.SECURITY_CODE,
        "cc_rejected_bad_filled_card_number": Reason.NUMBER,
        "cc_rejected_bad_filled_date": Reason.EXPIRY,
        "cc_rejected_call_for_authorize": Reason.CALL_BANK,
        "cc_rejected_card_disabled": Reason.CALL_BANK,
        "cc_rejected_card_error": Reason.LATER,
        "cc_rejected_max_attempts": Reason.LIMIT,
        "cc_amount_rate_limit_exceeded": Reason.LIMIT,
        "cc_rejected_duplicated_payment": Reason.TWICE,
        "cc_rejected_card_type_not_allowed": Reason.NOT_SUPPORTED,
        "cc_rejected_invalid_installments": Reason.NOT_SUPPORTED,
        "cc_rejected_3ds_challenge": Reason.AUTHENTICATION,
        "cc_rejected_3ds_mandatory": Reason.AUTHENTICATION,
        "cc_rejected_blacklist": Reason.BLOCKED,
        "cc_rejected_high_risk": Reason.BLOCKED,
        "cc_rejected_fraud": Reason.BLOCKED,
    }
)
_CAME_IN = frozenset({"approved", "in_mediation", "refunded", "charged_back"})
"""The money was taken, whatever became of it. A mediation is a question to the seller first: no money moves by it."""
_PHASES: Mapping[str, IntentPhase] = MappingProxyType(
    {
        "pending": IntentPhase.NEEDS_ACTION,
        "in_process": IntentPhase.PROCESSING,
        "authorized": IntentPhase.AUTHORIZED,
        "rejected": IntentPhase.FAILED,
        "cancelled": IntentPhase.CANCELLED,
        **dict.fromkeys(_CAME_IN, IntentPhase.SUCCEEDED),
    }
)
_FURTHEST = (IntentPhase.SUCCEEDED, IntentPhase.AUTHORIZED, IntentPhase.PROCESSING, IntentPhase.NEEDS_ACTION)
_REFUND_PHASES: Mapping[str, RefundPhase] = MappingProxyType(
    {"approved": RefundPhase.SUCCEEDED, "rejected": RefundPhase.FAILED, "cancelled": RefundPhase.FAILED}
)
_DISPUTE_PHASES: Mapping[str, DisputePhase] = MappingProxyType(
    {"settled": DisputePhase.LOST, "reimbursed": DisputePhase.WON}
)


class Refund(msgspec.Struct):
    id: int | str
    amount: Decimal
    status: str | None = None
    date_created: datetime | None = None


class Payer(msgspec.Struct):
    email: str | None = None


class Payment(msgspec.Struct):
    """One attempt."""

    id: int
    status: str
    currency_id: str
    transaction_amount: Decimal
    date_created: datetime
    date_last_updated: datetime | None = None
    status_detail: str | None = None
    description: str | None = None
    captured: bool = True
    live_mode: bool = True
    external_reference: str | None = None
    application_fee: Decimal | None = None
    metadata: dict[str, Any] = {}
    payer: Payer | None = None
    refunds: list[Refund] | None = None

    @property
    def phase(self) -> IntentPhase:
        return _PHASES.get(self.status, IntentPhase.PROCESSING)

    @property
    def captured_minor(self) -> int:
        return to_minor(self.transaction_amount, self.currency_id) if self.status in _CAME_IN and self.captured else 0

    @property
    def left_minor(self) -> int:
        """What came in and did not go back."""
        refunds = [read_seen_refund(one, self) for one in self.refunds or ()]
        return self.captured_minor - sum(one.amount_minor for one in refunds if one.phase is not RefundPhase.FAILED)


class Found(msgspec.Struct):
    """A page of a search."""

    class Paging(msgspec.Struct):
        total: int = 0

    results: list[Payment]
    paging: Paging


class Item(msgspec.Struct):
    unit_price: Decimal
    currency_id: str
    quantity: int = 1
    title: str = ""


class Preference(msgspec.Struct):
    """What can be paid on the processor's page."""

    id: str
    date_created: datetime
    items: list[Item]
    init_point: str
    external_reference: str | None = None
    expires: bool = False
    expiration_date_to: datetime | None = None
    marketplace_fee: Decimal = Decimal(0)
    metadata: dict[str, Any] = {}
    payer: Payer | None = None
    sandbox_init_point: str | None = None

    def is_over(self, now: datetime) -> bool:
        return self.expires and self.expiration_date_to is not None and self.expiration_date_to <= now


class FoundPreferences(msgspec.Struct):
    """A page of a search, which tells little more of each than its id."""

    class Element(msgspec.Struct):
        id: str
        external_reference: str | None = None

    elements: list[Element]


class Chargeback(msgspec.Struct):
    payments: list[int] = []


def read_payment(
    reference: str,
    payments: Sequence[Payment],
    preferences: Sequence[Preference],
    *,
    seen_at: datetime,
    now: datetime,
    is_live: bool,
) -> PaymentSnapshot:
    """All attempts, oldest first, and what they were made at; at least one of either. `now`: the real time."""
    phase = _phase(payments, preferences, now)
    first = payments[0] if payments else None
    names = _labels((first or preferences[0]).metadata)
    currency = first.currency_id if first else preferences[0].items[0].currency_id
    dates = [*(one.date_created for one in payments), *(one.date_created for one in preferences)]
    failed = payments[-1] if phase is IntentPhase.FAILED else None
    decline = decline_named(failed.status_detail) if failed else None
    open_page = next((one for one in preferences if not one.is_over(now)), None)
    seen = SeenIntent(
        id=reference,
        seen_at=seen_at,
        phase=phase,
        amount_minor=_amount(names, payments, preferences),
        captured_minor=sum(one.captured_minor for one in payments),
        decline_code=decline.code if decline else None,
        refunds=tuple(read_seen_refund(one, of) for of in payments for one in of.refunds or ()),
        disputes=tuple(found for one in payments if (found := read_seen_dispute(one)) is not None),
    )
    held = [one for one in payments if one.phase is IntentPhase.AUTHORIZED]
    return PaymentSnapshot(
        intent=seen,
        currency=currency,
        created_at=min(dates),
        is_live=first.live_mode if first else is_live,
        payment_id=_own_id(names, PAYMENT),
        booking_id=_own_id(names, BOOKING),
        organization_id=_own_id(names, ORGANIZATION),
        capturable_minor=sum(to_minor(one.transaction_amount, currency) for one in held),
        charge_id=_charge_of(payments),
        transfer_group=names.get(GROUP),
        redirect_url=None if open_page is None or phase is IntentPhase.SUCCEEDED else page_of(open_page, is_live),
        decline=decline,
        metadata=names,
        charges={
            str(one.id): frozenset(str(of.id) for of in one.refunds or ()) for one in payments if one.captured_minor
        },
    )


def _charge_of(payments: Sequence[Payment]) -> str | None:
    """The first of which anything could go back; where all went back, the first that brought money."""
    charges = [one for one in payments if one.captured_minor]
    found = next((one for one in charges if one.left_minor), charges[0] if charges else None)
    return None if found is None else str(found.id)


def read_seen_refund(refund: Refund, payment: Payment) -> SeenRefund:
    phase = _REFUND_PHASES.get(refund.status or "approved", RefundPhase.PENDING)
    return SeenRefund(str(refund.id), to_minor(refund.amount, payment.currency_id), phase)


def read_refund(refund: Refund, payment: Payment, refund_id: UUID | None = None) -> RefundSnapshot:
    return RefundSnapshot(
        refund=read_seen_refund(refund, payment),
        processor_id=reference_of(payment),
        currency=payment.currency_id,
        created_at=refund.date_created or payment.date_created,
        refund_id=refund_id,
        charge_id=str(payment.id),
    )


def read_seen_dispute(payment: Payment) -> SeenDispute | None:
    """None: the bank did not take it back."""
    if payment.status != "charged_back":
        return None
    phase = _DISPUTE_PHASES.get(payment.status_detail or "", DisputePhase.OPEN)
    return SeenDispute(f"{CHARGEBACK}{payment.id}", payment.left_minor, phase)


def read_dispute(payment: Payment) -> DisputeSnapshot | None:
    seen = read_seen_dispute(payment)
    if seen is None:
        return None
    return DisputeSnapshot(
        dispute=seen,
        processor_id=reference_of(payment),
        currency=payment.currency_id,
        created_at=payment.date_last_updated or payment.date_created,
        charge_id=str(payment.id),
        reason=payment.status_detail,
    )


def decline_named(status_detail: str | None) -> Decline:
    return decline_of(status_detail or "cc_rejected_other_reason", DECLINES)


def reference_of(payment: Payment) -> str:
    """The processor's id of the payment that this is an attempt at: its own, if it is none of ours."""
    reference = payment.external_reference
    is_ours = reference is not None and _own_id(_labels(payment.metadata), PAYMENT) is not None
    return str(reference) if is_ours else str(payment.id)


def page_of(preference: Preference, is_live: bool) -> str:
    return preference.init_point if is_live else preference.sandbox_init_point or preference.init_point


def _phase(payments: Sequence[Payment], preferences: Sequence[Preference], now: datetime) -> IntentPhase:
    """Of the attempt that went furthest; else whether another one can be made."""
    phases = [one.phase for one in payments]
    for phase in _FURTHEST:
        if phase in phases:
            return phase
    if preferences:
        if all(one.is_over(now) for one in preferences):
            return IntentPhase.CANCELLED
        return phases[-1] if phases and phases[-1] is IntentPhase.FAILED else IntentPhase.CREATED
    return phases[-1]


def _amount(names: Mapping[str, str], payments: Sequence[Payment], preferences: Sequence[Preference]) -> int:
    """What it is for. A payment that was captured in part tells only that part itself."""
    told = names.get(AMOUNT, "")
    if told.isascii() and told.isdigit() and len(told) < 17:
        return int(told)
    if preferences:
        return sum(to_minor(one.unit_price * one.quantity, one.currency_id) for one in preferences[0].items)
    return to_minor(payments[0].transaction_amount, payments[0].currency_id)


def _labels(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in metadata.items()}


def _own_id(names: Mapping[str, str], label: str) -> UUID | None:
    try:
        return UUID(names[label])
    except (KeyError, ValueError):
        return None
