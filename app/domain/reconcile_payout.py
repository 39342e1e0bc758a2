"""Comparing a payout with the transfers that carry its id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.reconciliation import UNDER_WAY, Difference, DifferenceKind, Facts

_K = DifferenceKind


@dataclass(frozen=True, slots=True)
class OurPayout:
    """`reversed_minor`: taken back of it, as far as that has its answer. `due_at`: when it is tried (again)."""

    id: UUID
    status: str
    account_id: str
    amount_minor: int
    currency: str
    processor_id: str | None
    reversed_minor: int
    due_at: datetime | None
    is_reversing: bool = False


@dataclass(frozen=True, slots=True)
class TheirTransfer:
    id: str
    account_id: str
    amount_minor: int
    reversed_minor: int
    currency: str


def payout_differences(ours: OurPayout | None, theirs: Sequence[TheirTransfer], now: datetime) -> list[Difference]:
    """Of one subject. `theirs`: every transfer with the payout's id. What was reversed whole counts as undone."""
    if ours is None:
        return [transfer_unknown(one) for one in theirs if not _is_undone(one)]
    its = next((one for one in theirs if one.id == ours.processor_id), None)
    if its is None and ours.processor_id is None:
        its = next(iter(theirs), None)
    found = [_payout(_K.PAYOUT_TWICE, ours, one) for one in theirs if one is not its and not _is_undone(one)]
    if its is not None:
        return found + _against_transfer(ours, its)
    if ours.processor_id is not None:
        found.append(_payout(_K.PAYOUT_MISSING_THERE, ours, None))
    elif ours.status == "sending" and (ours.due_at is None or now - ours.due_at > UNDER_WAY):
        found.append(_payout(_K.PAYOUT_NOT_SENT, ours, None))
    return found


def transfer_unknown(theirs: TheirTransfer) -> Difference:
    return Difference(_K.TRANSFER_UNKNOWN_HERE, their_id=theirs.id, theirs=_transfer_facts(theirs))


def _is_undone(theirs: TheirTransfer) -> bool:
    return theirs.reversed_minor >= theirs.amount_minor


def _against_transfer(ours: OurPayout, its: TheirTransfer) -> list[Difference]:
    found = []
    if ours.status != "sent":
        # Made, and nobody heard of it; or given up here, which only a person can put right.
        is_under_way = ours.status in {"scheduled", "sending"}
        found.append(_payout(_K.PAYOUT_NOT_SENT if is_under_way else _K.TRANSFER_UNKNOWN_HERE, ours, its))
    if its.currency != ours.currency:
        found.append(_payout(_K.PAYOUT_CURRENCY, ours, its))
    if its.account_id != ours.account_id:
        found.append(_payout(_K.PAYOUT_ACCOUNT, ours, its))
    if its.amount_minor != ours.amount_minor:
        found.append(_payout(_K.PAYOUT_AMOUNT, ours, its))
    if its.reversed_minor != ours.reversed_minor and not ours.is_reversing:
        found.append(_payout(_K.PAYOUT_REVERSED, ours, its))
    return found


def _payout(kind: DifferenceKind, ours: OurPayout, its: TheirTransfer | None) -> Difference:
    facts: Facts = {
        "status": ours.status,
        "amountMinor": ours.amount_minor,
        "currency": ours.currency,
        "reversedMinor": ours.reversed_minor,
        "account": ours.account_id,
    }
    theirs = {} if its is None else _transfer_facts(its)
    return Difference(kind, "payout", ours.id, ours.processor_id if its is None else its.id, facts, theirs)


def _transfer_facts(theirs: TheirTransfer) -> Facts:
    return {
        "amountMinor": theirs.amount_minor,
        "currency": theirs.currency,
        "reversedMinor": theirs.reversed_minor,
        "account": theirs.account_id,
    }
