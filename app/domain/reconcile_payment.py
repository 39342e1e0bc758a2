"""Comparing a payment with what the processor has under its id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from app.domain.payment import IntentPhase, RefundPhase, SeenIntent, merge
from app.domain.reconciliation import UNDER_WAY, Difference, DifferenceKind, Fact, Facts

_K = DifferenceKind

OVERDUE = timedelta(minutes=30)
"""So long after the end of the time to pay, nothing can be open any more."""
SLOW_REFUND = timedelta(days=10)
"""Banks take up to ten days."""


@dataclass(frozen=True, slots=True)
class OurRefund:
    id: UUID
    status: str
    amount_minor: int
    processor_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OurPayment:
    """`seen`: what is known of its intent. `waits_until`: for money; None: it does not, or for ever. `is_fee`: charged
    while its payer is away, when its own job says so."""

    id: UUID
    status: str
    amount_minor: int
    currency: str
    captured_minor: int
    processor_id: str | None
    seen: SeenIntent | None
    created_at: datetime
    waits_until: datetime | None = None
    is_fee: bool = False
    refunds: tuple[OurRefund, ...] = ()


@dataclass(frozen=True, slots=True)
class TheirPayment:
    """An intent that carries our payment's id."""

    intent: SeenIntent
    currency: str


_OPEN = frozenset({"created", "open", "failed", "authorized"})
"""What a processor is still working on may take days."""


def payment_differences(ours: OurPayment | None, theirs: Sequence[TheirPayment], now: datetime) -> list[Difference]:
    """Of one subject. `theirs`: everything that the processor has under the payment's id."""
    if ours is None:
        return [_unknown_here(one) for one in theirs if not is_nothing(one)]
    its = next((one for one in theirs if one.intent.id == ours.processor_id), None)
    if its is None and ours.processor_id is None:
        its = next(iter(theirs), None)
    found = _against(ours, its, now)
    found += [_twice(ours, one) for one in theirs if one is not its and not is_nothing(one)]
    return found + _overdue(ours, now)


def is_nothing(their: TheirPayment) -> bool:
    """Cancelled, and nobody ever paid."""
    return their.intent.phase is IntentPhase.CANCELLED and their.intent.captured_minor == 0


def is_behind(known: SeenIntent | None, seen: SeenIntent) -> bool:
    """Does the processor show something that we do not know?"""
    if known is None or known.id != seen.id:
        return True
    return replace(merge(known, seen), seen_at=known.seen_at) != known


def _against(ours: OurPayment, its: TheirPayment | None, now: datetime) -> list[Difference]:
    if its is None:
        return _missing(ours, now)
    seen = its.intent
    found = []
    if its.currency != ours.currency:
        found.append(
            _of_payment(_K.PAYMENT_CURRENCY, ours, seen, {"currency": ours.currency}, {"currency": its.currency})
        )
    if seen.amount_minor != ours.amount_minor:
        amounts = {"amountMinor": ours.amount_minor}, {"amountMinor": seen.amount_minor}
        found.append(_of_payment(_K.PAYMENT_AMOUNT, ours, seen, *amounts))
    if is_behind(ours.seen, _clear(ours, seen)):
        found.append(_of_payment(_K.PAYMENT_BEHIND, ours, seen, _facts_of(ours), intent_facts(seen)))
    elif seen.captured_minor != ours.captured_minor:
        captured = {"capturedMinor": ours.captured_minor}, {"capturedMinor": seen.captured_minor}
        found.append(_of_payment(_K.PAYMENT_CAPTURED, ours, seen, *captured))
    returned = sum(one.amount_minor for one in seen.refunds if one.phase is not RefundPhase.FAILED)
    if seen.captured_minor > ours.amount_minor and seen.captured_minor - returned > ours.amount_minor:
        paid = {"amountMinor": ours.amount_minor}, {"capturedMinor": seen.captured_minor, "refundedMinor": returned}
        found.append(_of_payment(_K.PAYMENT_OVERPAID, ours, seen, *paid))
    return found + _refund_differences(ours, seen, now)


def _clear(ours: OurPayment, seen: SeenIntent) -> SeenIntent:
    """A refund of unknown id may be one of ours that waits for its answer."""
    if not any(one.status == "created" for one in ours.refunds):
        return seen
    known = {one.processor_id for one in ours.refunds}
    return replace(seen, refunds=tuple(one for one in seen.refunds if one.id in known))


def _missing(ours: OurPayment, now: datetime) -> list[Difference]:
    """The processor has nothing under the payment's id."""
    if ours.processor_id is not None:
        return [_of_payment(_K.PAYMENT_MISSING_THERE, ours, None, _facts_of(ours), {})]
    if ours.status == "created" and not ours.is_fee and now - ours.created_at > UNDER_WAY:
        return [_of_payment(_K.PAYMENT_NOT_OPENED, ours, None, _facts_of(ours), {})]
    return []


def _overdue(ours: OurPayment, now: datetime) -> list[Difference]:
    if ours.status not in _OPEN or ours.waits_until is None or now - ours.waits_until <= OVERDUE:
        return []
    facts: Facts = {"status": ours.status, "waitedUntil": ours.waits_until.isoformat(timespec="seconds")}
    return [_of_payment(_K.PAYMENT_OVERDUE, ours, ours.seen, facts, {})]


def _refund_differences(ours: OurPayment, seen: SeenIntent, now: datetime) -> list[Difference]:
    theirs = {one.id: one for one in seen.refunds}
    found = []
    for refund in ours.refunds:
        age = now - refund.created_at
        its = theirs.get(refund.processor_id or "")
        facts: Facts = {"status": refund.status, "amountMinor": refund.amount_minor}
        if refund.status == "created" and age > UNDER_WAY:
            found.append(_of_refund(_K.REFUND_NOT_MADE, refund, facts, {}))
        elif refund.status in {"pending", "succeeded"} and its is None and age > UNDER_WAY:
            found.append(_of_refund(_K.REFUND_MISSING_THERE, refund, facts, {}))
        elif its is not None and its.amount_minor != refund.amount_minor:
            found.append(_of_refund(_K.REFUND_AMOUNT, refund, facts, {"amountMinor": its.amount_minor}))
        elif its is not None and its.phase is RefundPhase.PENDING and age > SLOW_REFUND:
            found.append(_of_refund(_K.REFUND_SLOW, refund, facts, {"phase": its.phase.value}))
    return found


def _unknown_here(their: TheirPayment) -> Difference:
    seen = their.intent
    facts = {**intent_facts(seen), "currency": their.currency}
    return Difference(_K.PAYMENT_UNKNOWN_HERE, their_id=seen.id, theirs=facts)


def _twice(ours: OurPayment, their: TheirPayment) -> Difference:
    facts = {"processorId": ours.processor_id, **_facts_of(ours)}
    theirs = {**intent_facts(their.intent), "currency": their.currency}
    return Difference(_K.PAYMENT_TWICE, "payment", ours.id, their.intent.id, facts, theirs)


def _of_payment(
    kind: DifferenceKind, ours: OurPayment, seen: SeenIntent | None, our_facts: Facts, their_facts: Facts
) -> Difference:
    return Difference(kind, "payment", ours.id, ours.processor_id if seen is None else seen.id, our_facts, their_facts)


def _of_refund(kind: DifferenceKind, refund: OurRefund, our_facts: Facts, their_facts: Facts) -> Difference:
    # By our id, too: several refunds of one payment may have no id there yet.
    return Difference(kind, "refund", refund.id, refund.processor_id or str(refund.id), our_facts, their_facts)


def _facts_of(ours: OurPayment) -> dict[str, Fact]:
    return {"status": ours.status, "amountMinor": ours.amount_minor, "capturedMinor": ours.captured_minor}


def intent_facts(seen: SeenIntent) -> dict[str, Fact]:
    """What the processor shows, for a person."""
    facts: dict[str, Fact] = {
        "phase": seen.phase.value,
        "amountMinor": seen.amount_minor,
        "capturedMinor": seen.captured_minor,
    }
    if seen.refunds:
        facts["refunds"] = _listed((one.id, one.amount_minor, one.phase) for one in seen.refunds)
    if seen.disputes:
        facts["disputes"] = _listed((one.id, one.amount_minor, one.phase) for one in seen.disputes)
    return facts


def _listed(parts: Iterable[tuple[str, int, StrEnum]]) -> str:
    return ", ".join(f"{name} {amount} {phase.value}" for name, amount, phase in parts)
