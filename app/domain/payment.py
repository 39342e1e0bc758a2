"""Payments: their states, and how what a processor shows becomes ours, forward only.

A processor's object is always fetched anew, but answers may be applied late, twice and in any order. So what we know of
an intent is the *join* of all that was ever seen: final beats open, later beats earlier, amounts only grow, and each
refund and each dispute has its own one-way road. A join gives the same whatever the order and however often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from app.domain.booking import PaymentStatus
from app.domain.state_table import state_table_faults

_S = PaymentStatus

TRANSITIONS: Mapping[PaymentStatus, frozenset[PaymentStatus]] = MappingProxyType(
    {
        _S.UNPAID: frozenset({_S.AUTHORIZED, _S.PROCESSING, _S.PARTIALLY_PAID, _S.PAID, _S.FAILED}),
        _S.AUTHORIZED: frozenset({_S.PARTIALLY_PAID, _S.PAID, _S.PROCESSING, _S.FAILED, _S.UNPAID}),
        _S.PROCESSING: frozenset({_S.AUTHORIZED, _S.PARTIALLY_PAID, _S.PAID, _S.FAILED, _S.UNPAID}),
        _S.FAILED: frozenset({_S.UNPAID, _S.AUTHORIZED, _S.PROCESSING, _S.PARTIALLY_PAID, _S.PAID}),  # another attempt
        _S.PARTIALLY_PAID: frozenset({_S.PAID, _S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTED}),
        _S.PAID: frozenset({_S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTED}),
        # Back again: the bank returned a refund.
        _S.PARTIALLY_REFUNDED: frozenset({_S.REFUNDED, _S.DISPUTED, _S.PAID, _S.PARTIALLY_PAID}),
        _S.REFUNDED: frozenset({_S.PARTIALLY_REFUNDED, _S.PAID, _S.PARTIALLY_PAID, _S.DISPUTED}),
        _S.DISPUTED: frozenset({_S.PAID, _S.PARTIALLY_PAID, _S.PARTIALLY_REFUNDED, _S.REFUNDED}),
    }
)


def _check_table() -> None:
    faults = state_table_faults(TRANSITIONS, PaymentStatus, _S.UNPAID, frozenset())
    if faults:
        raise RuntimeError("The payment state machine is broken: " + "; ".join(sorted(faults)))


_check_table()


# ── what a processor shows ────────────────────────────────────────────────────────────────────────────


class IntentPhase(StrEnum):
    """Where a payment intent stands. SUCCEEDED and CANCELLED are final; FAILED waits for another attempt."""

    CREATED = "created"
    NEEDS_ACTION = "needs_action"
    FAILED = "failed"
    PROCESSING = "processing"
    AUTHORIZED = "authorized"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"


class RefundPhase(StrEnum):
    """FAILED may follow SUCCEEDED: the customer's bank sent it back."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class DisputePhase(StrEnum):
    """From the moment on at which the bank took the money; a mere inquiry is none. WON may follow LOST on appeal."""

    OPEN = "open"
    LOST = "lost"
    WON = "won"


_INTENT_ORDER = {phase: number for number, phase in enumerate(IntentPhase)}
_REFUND_ORDER = {phase: number for number, phase in enumerate(RefundPhase)}
_DISPUTE_ORDER = {phase: number for number, phase in enumerate(DisputePhase)}
_FINAL = {IntentPhase.CANCELLED: 1, IntentPhase.SUCCEEDED: 2}
"""Should both ever be seen, the money came in."""


class SeenRefund(NamedTuple):
    """`id`: the processor's."""

    id: str
    amount_minor: int
    phase: RefundPhase


class SeenDispute(NamedTuple):
    """`id`: the processor's."""

    id: str
    amount_minor: int
    phase: DisputePhase


@dataclass(frozen=True, slots=True)
class SeenIntent:
    """A payment intent with its refunds and disputes, as the processor showed it.

    `seen_at`: when our question left. `amount_minor`: what it is for; `captured_minor`: what came in. `decline_code`:
    of the last attempt, where that failed.
    """

    id: str
    seen_at: datetime
    phase: IntentPhase
    amount_minor: int
    captured_minor: int = 0
    decline_code: str | None = None
    refunds: tuple[SeenRefund, ...] = ()
    disputes: tuple[SeenDispute, ...] = ()


def merge(known: SeenIntent | None, seen: SeenIntent) -> SeenIntent:
    """What is known after this answer: never less than before. Raises ValueError for answers about two intents."""
    if known is None:
        known = seen
    if known.id != seen.id:
        raise ValueError("two intents are not one")
    newest = max(known, seen, key=_precedence)
    return SeenIntent(
        id=newest.id,
        seen_at=newest.seen_at,
        phase=newest.phase,
        amount_minor=newest.amount_minor,
        captured_minor=max(known.captured_minor, seen.captured_minor),
        decline_code=newest.decline_code,
        refunds=_furthest_refunds((*known.refunds, *seen.refunds)),
        disputes=_furthest_disputes((*known.disputes, *seen.disputes)),
    )


def _precedence(seen: SeenIntent) -> tuple[int, datetime, int, int, str]:
    final = _FINAL.get(seen.phase, 0)
    return final, seen.seen_at, _INTENT_ORDER[seen.phase], seen.amount_minor, seen.decline_code or ""


def _furthest_refunds(seen: Iterable[SeenRefund]) -> tuple[SeenRefund, ...]:
    found: dict[str, SeenRefund] = {}
    for one in seen:
        found[one.id] = max(found.get(one.id, one), one, key=lambda it: (_REFUND_ORDER[it.phase], it.amount_minor))
    return tuple(found[key] for key in sorted(found))


def _furthest_disputes(seen: Iterable[SeenDispute]) -> tuple[SeenDispute, ...]:
    found: dict[str, SeenDispute] = {}
    for one in seen:
        found[one.id] = max(found.get(one.id, one), one, key=lambda it: (_DISPUTE_ORDER[it.phase], it.amount_minor))
    return tuple(found[key] for key in sorted(found))


# ── what follows from it ──────────────────────────────────────────────────────────────────────────────


def payment_status(
    intents: Iterable[SeenIntent], total_minor: int, *, cash_minor: int = 0, cash_returned_minor: int = 0
) -> PaymentStatus:
    """A booking's payment state. `intents`: all of its attempts, oldest first; `total_minor`: what it costs.

    A lost dispute counts as money returned, an open one before everything else. What costs nothing is paid.
    """
    intents = tuple(intents)
    if any(one.phase is DisputePhase.OPEN for intent in intents for one in intent.disputes):
        return _S.DISPUTED
    captured = cash_minor + sum(intent.captured_minor for intent in intents)
    if captured:
        return _status_of_paid(captured, cash_returned_minor + sum(map(returned_minor, intents)), total_minor)
    if total_minor == 0:
        return _S.PAID
    phases = {intent.phase for intent in intents}
    if IntentPhase.AUTHORIZED in phases:
        return _S.AUTHORIZED
    if IntentPhase.PROCESSING in phases:
        return _S.PROCESSING
    return _S.FAILED if intents and intents[-1].phase is IntentPhase.FAILED else _S.UNPAID


def _status_of_paid(captured: int, returned: int, total: int) -> PaymentStatus:
    if returned >= captured:
        return _S.REFUNDED
    if returned:
        return _S.PARTIALLY_REFUNDED
    return _S.PAID if captured >= total else _S.PARTIALLY_PAID


def returned_minor(intent: SeenIntent) -> int:
    """What went back to the customer of an intent: by refunds that arrived, and by lost disputes."""
    refunded = sum(one.amount_minor for one in intent.refunds if one.phase is RefundPhase.SUCCEEDED)
    return refunded + sum(one.amount_minor for one in intent.disputes if one.phase is DisputePhase.LOST)


class MoveKind(StrEnum):
    """What moved at the processor; each has its journal in `app.domain.ledger_journals`."""

    CAPTURED = "captured"
    REFUND_ASKED = "refund_asked"
    REFUND_SETTLED = "refund_settled"
    REFUND_FAILED = "refund_failed"
    REFUND_BOUNCED = "refund_bounced"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_LOST = "dispute_lost"
    DISPUTE_REOPENED = "dispute_reopened"
    DISPUTE_WON = "dispute_won"


class Move(NamedTuple):
    """`object_id`: of the refund or the dispute, or of the intent that was captured."""

    kind: MoveKind
    object_id: str
    amount_minor: int


_REFUND_ROADS: Mapping[tuple[RefundPhase | None, RefundPhase], tuple[MoveKind, ...]] = MappingProxyType(
    {
        (None, RefundPhase.PENDING): (MoveKind.REFUND_ASKED,),
        (None, RefundPhase.SUCCEEDED): (MoveKind.REFUND_ASKED, MoveKind.REFUND_SETTLED),
        (None, RefundPhase.FAILED): (MoveKind.REFUND_ASKED, MoveKind.REFUND_FAILED),
        (RefundPhase.PENDING, RefundPhase.SUCCEEDED): (MoveKind.REFUND_SETTLED,),
        (RefundPhase.PENDING, RefundPhase.FAILED): (MoveKind.REFUND_FAILED,),
        (RefundPhase.SUCCEEDED, RefundPhase.FAILED): (MoveKind.REFUND_BOUNCED,),
    }
)
_DISPUTE_ROADS: Mapping[tuple[DisputePhase | None, DisputePhase], tuple[MoveKind, ...]] = MappingProxyType(
    {
        (None, DisputePhase.OPEN): (MoveKind.DISPUTE_OPENED,),
        (None, DisputePhase.LOST): (MoveKind.DISPUTE_OPENED, MoveKind.DISPUTE_LOST),
        (None, DisputePhase.WON): (MoveKind.DISPUTE_OPENED, MoveKind.DISPUTE_WON),
        (DisputePhase.OPEN, DisputePhase.LOST): (MoveKind.DISPUTE_LOST,),
        (DisputePhase.OPEN, DisputePhase.WON): (MoveKind.DISPUTE_WON,),
        (DisputePhase.LOST, DisputePhase.WON): (MoveKind.DISPUTE_REOPENED, MoveKind.DISPUTE_WON),
    }
)


def moves(known: SeenIntent | None, merged: SeenIntent) -> tuple[Move, ...]:
    """What moved from `known` to `merged` (= `merge(known, …)`), in an order in which it can be booked.

    A refund that we asked for ourselves is booked as asked already; whoever books these leaves that one out.
    """
    found = []
    captured = merged.captured_minor - (known.captured_minor if known else 0)
    if captured:
        found.append(Move(MoveKind.CAPTURED, merged.id, captured))
    refund_phases = {one.id: one.phase for one in known.refunds} if known else {}
    for refund in merged.refunds:
        road = _REFUND_ROADS.get((refund_phases.get(refund.id), refund.phase), ())
        found += [Move(kind, refund.id, refund.amount_minor) for kind in road]
    dispute_phases = {one.id: one.phase for one in known.disputes} if known else {}
    for dispute in merged.disputes:
        road = _DISPUTE_ROADS.get((dispute_phases.get(dispute.id), dispute.phase), ())
        found += [Move(kind, dispute.id, dispute.amount_minor) for kind in road]
    return tuple(found)
