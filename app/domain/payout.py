"""Payouts: their states, when a failed one is tried again, what of a payout is taken back, and why it is what it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from app.domain.ledger_journals import PayoutPart
from app.domain.money import format_amount
from app.domain.state_table import state_table_faults


class PayoutStatus(StrEnum):
    """SCHEDULED: nobody was asked for anything yet. SENDING: the transfer may have been made. NEEDS_ATTENTION: a person
    decides whether it is tried again."""

    SCHEDULED = "scheduled"
    SENDING = "sending"
    SENT = "sent"
    NEEDS_ATTENTION = "needs_attention"
    CANCELLED = "cancelled"


_S = PayoutStatus

PAYOUT_TRANSITIONS: Mapping[PayoutStatus, frozenset[PayoutStatus]] = MappingProxyType(
    {
        _S.SCHEDULED: frozenset({_S.SENDING, _S.CANCELLED}),
        _S.SENDING: frozenset({_S.SENT, _S.NEEDS_ATTENTION, _S.CANCELLED}),
        _S.NEEDS_ATTENTION: frozenset({_S.SENDING, _S.SENT, _S.CANCELLED}),
        _S.SENT: frozenset(),
        _S.CANCELLED: frozenset(),
    }
)
LIVE_PAYOUTS = frozenset({_S.SCHEDULED, _S.SENDING, _S.NEEDS_ATTENTION})
"""The money is set aside. The index `payout_live_idx` names the same."""


def _check_table() -> None:
    faults = state_table_faults(PAYOUT_TRANSITIONS, PayoutStatus, _S.SCHEDULED, frozenset({_S.SENT, _S.CANCELLED}))
    if faults:
        raise RuntimeError("The payout state machine is broken: " + "; ".join(sorted(faults)))


_check_table()

MOST_ATTEMPTS = 8
"""Then a person looks: about half a day after the first."""
_FIRST_RETRY = timedelta(minutes=5)
_LONGEST_RETRY = timedelta(hours=6)


def retry_delay(attempts: int) -> timedelta | None:
    """How long after this many failed attempts to try again; None: not by itself."""
    if attempts >= MOST_ATTEMPTS:
        return None
    doubled: timedelta = _FIRST_RETRY * 2 ** max(0, attempts - 1)
    return min(_LONGEST_RETRY, doubled)


class PayoutAccountStatus(StrEnum):
    """ONBOARDING: its owner has not told the processor everything. RESTRICTED: it should receive money and cannot."""

    ONBOARDING = "onboarding"
    ACTIVE = "active"
    RESTRICTED = "restricted"
    REJECTED = "rejected"


def account_status(
    *, details_submitted: bool, can_receive: bool, payouts_enabled: bool, disabled_reason: str | None
) -> PayoutAccountStatus:
    """From what the processor shows. ACTIVE: money reaches it and goes on to its bank."""
    if disabled_reason is not None and disabled_reason.startswith("rejected"):
        return PayoutAccountStatus.REJECTED
    if can_receive and payouts_enabled:
        return PayoutAccountStatus.ACTIVE
    return PayoutAccountStatus.RESTRICTED if details_submitted or can_receive else PayoutAccountStatus.ONBOARDING


def taken_back(left: Iterable[tuple[UUID, int]], amount_minor: int) -> tuple[PayoutPart, ...]:
    """An amount out of what is left of each booking's part, in the order given; what is beyond is left out."""
    parts = []
    for booking_id, most in left:
        part = min(most, amount_minor)
        if part > 0:
            parts.append(PayoutPart(booking_id, part))
            amount_minor -= part
    return tuple(parts)


def explain_payout(parts: Iterable[int], currency: str, first_day: date, last_day: date, delay_days: int) -> str:
    """In a sentence, for the provider. `parts`: the amounts of its items; the days on which they were earned."""
    parts = tuple(parts)
    earned = [part for part in parts if part > 0]
    debts = [part for part in parts if part < 0]
    days = f"on {first_day}" if first_day == last_day else f"from {first_day} to {last_day}"
    text = (
        f"{format_amount(sum(earned), currency)} {currency} for {_bookings(len(earned))} that ended {days}, "
        f"paid out from {delay_days} days after"
    )
    if debts:
        owed = format_amount(-sum(debts), currency)
        text += f"; less {owed} {currency} owed for {_bookings(len(debts))} since a refund or a dispute"
    return text + "."


def _bookings(count: int) -> str:
    return "1 booking" if count == 1 else f"{count} bookings"
