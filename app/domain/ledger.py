"""The ledger: where each cent of a booking is, in double entry.

An entry says how much arrived in (+) or left (-) an account. The entries of a journal add up to zero for each booking,
so the accounts of a booking always add up to zero: what came from its customer (negative there) is in the others.

Read a booking's balances as "of the 100.00 that the customer paid, … is there":

    customer            where it came from: minus what was paid in all
    escrow              held until the service is given
    processor_clearing  asked to move, not yet confirmed: refunds and payouts on their way, money for no booking
    platform_fee, tax   earned by the platform; owed to the state
    provider_payable    owed to a provider; negative: the provider owes it, and the next payout settles it
    organization        kept by the organization itself, where nobody is paid out
    paid_out            the provider has it, by a payout or in cash
    cash                in the till of the venue
    refunds             the customer has it back
    disputes            the bank took it until a dispute is decided
    processor_fees      the processor or the bank kept it, beyond what the customer had paid
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


class Account(StrEnum):
    """PROVIDER_PAYABLE and PAID_OUT have one balance for each payee, the others one for all."""

    CUSTOMER = "customer"
    PROCESSOR_CLEARING = "processor_clearing"
    ESCROW = "escrow"
    PLATFORM_FEE = "platform_fee"
    TAX = "tax"
    PROVIDER_PAYABLE = "provider_payable"
    ORGANIZATION = "organization"
    PAID_OUT = "paid_out"
    CASH = "cash"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    PROCESSOR_FEES = "processor_fees"


OF_A_PAYEE = frozenset({Account.PROVIDER_PAYABLE, Account.PAID_OUT})

NEVER_NEGATIVE = frozenset({Account.ESCROW, Account.CASH, Account.REFUNDS, Account.DISPUTES})
"""Of any booking. PROCESSOR_CLEARING is so for all bookings together: a payout settles debts of some out of others."""


class JournalKind(StrEnum):
    CAPTURED = "captured"
    RELEASED = "released"
    FEE_CHARGED = "fee_charged"
    CASH_PAID = "cash_paid"
    CASH_RETURNED = "cash_returned"
    REFUND_ASKED = "refund_asked"
    REFUND_SETTLED = "refund_settled"
    REFUND_FAILED = "refund_failed"
    REFUND_BOUNCED = "refund_bounced"
    PAYOUT_ASKED = "payout_asked"
    PAYOUT_SETTLED = "payout_settled"
    PAYOUT_FAILED = "payout_failed"
    TRANSFER_REVERSED = "transfer_reversed"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_LOST = "dispute_lost"
    DISPUTE_REOPENED = "dispute_reopened"
    DISPUTE_WON = "dispute_won"
    PROCESSOR_FEE = "processor_fee"
    LATE_PAYMENT = "late_payment"
    LATE_PAYMENT_REBOOKED = "late_payment_rebooked"


class Entry(NamedTuple):
    """`payee_id` for PROVIDER_PAYABLE and PAID_OUT alone."""

    booking_id: UUID
    account: Account
    amount_minor: int
    payee_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Journal:
    """One event, in one currency. No entry is zero, none occurs twice, and each booking's add up to zero."""

    kind: JournalKind
    currency: str
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if len({(one.booking_id, one.account, one.payee_id) for one in self.entries}) < len(self.entries):
            raise ValueError("an account occurs once in a journal for each booking and payee")
        for entry in self.entries:
            if entry.amount_minor == 0:
                raise ValueError("an entry moves something")
            if (entry.payee_id is not None) != (entry.account in OF_A_PAYEE):
                raise ValueError("a payee belongs to what is owed to or was paid to a provider")
        if any(_sums(self.entries).values()):
            raise ValueError("the entries of a journal add up to zero for each booking")

    def total(self, account: Account) -> int:
        """What arrived in an account, of all bookings and payees."""
        return sum(one.amount_minor for one in self.entries if one.account is account)


def journal(kind: JournalKind, currency: str, entries: Iterable[Entry]) -> Journal:
    """Entries of one account, booking and payee become one; those that cancel out are left out.

    Raises ValueError when a booking's entries do not add up to zero.
    """
    merged: dict[tuple[UUID, Account, UUID | None], int] = defaultdict(int)
    for one in entries:
        merged[one.booking_id, one.account, one.payee_id] += one.amount_minor
    return Journal(
        kind,
        currency,
        tuple(Entry(booking, account, sums, payee) for (booking, account, payee), sums in merged.items() if sums),
    )


def reversed_journal(kind: JournalKind, original: Journal) -> Journal:
    """Everything back to where it came from."""
    return Journal(
        kind, original.currency, tuple(one._replace(amount_minor=-one.amount_minor) for one in original.entries)
    )


def _sums(entries: Iterable[Entry]) -> dict[UUID, int]:
    sums: dict[UUID, int] = defaultdict(int)
    for one in entries:
        sums[one.booking_id] += one.amount_minor
    return sums


# ── balances, of entries of one currency ──────────────────────────────────────────────────────────────


def booking_balances(entries: Iterable[Entry], booking_id: UUID) -> dict[Account, int]:
    """Where the money of one booking is; accounts with nothing in them are left out."""
    found: dict[Account, int] = defaultdict(int)
    for one in entries:
        if one.booking_id == booking_id:
            found[one.account] += one.amount_minor
    return {account: found[account] for account in Account if found[account]}


def owed_by_booking(entries: Iterable[Entry], payee_id: UUID) -> dict[UUID, int]:
    """What a provider is owed for each booking (negative: owes), in the order of their first entries, without zeros."""
    found: dict[UUID, int] = defaultdict(int)
    for one in entries:
        if one.account is Account.PROVIDER_PAYABLE and one.payee_id == payee_id:
            found[one.booking_id] += one.amount_minor
    return {booking: owed for booking, owed in found.items() if owed}


def provider_balance(entries: Iterable[Entry], payee_id: UUID) -> int:
    """What a provider is owed now, all bookings together; negative: owes."""
    return sum(owed_by_booking(entries, payee_id).values())


def ledger_faults(journals: Iterable[Journal]) -> list[str]:
    """What cannot be, as texts for a person: for the integrity check. Empty when the books are right."""
    by_currency: dict[str, list[Entry]] = defaultdict(list)
    for one in journals:
        by_currency[one.currency].extend(one.entries)
    return [fault for currency, entries in sorted(by_currency.items()) for fault in _faults(currency, entries)]


def _faults(currency: str, entries: list[Entry]) -> list[str]:
    faults = []
    totals: dict[tuple[UUID, Account], int] = defaultdict(int)
    for one in entries:
        totals[one.booking_id, one.account] += one.amount_minor
    for booking, left in _sums(entries).items():
        if left:
            faults.append(f"booking {booking}: its {currency} accounts add up to {left}, not to zero")
        paid = -totals[booking, Account.CUSTOMER]
        if paid < 0:
            faults.append(f"booking {booking}: its customer paid less than nothing in {currency}: {paid}")
        if totals[booking, Account.REFUNDS] > paid:
            returned = totals[booking, Account.REFUNDS]
            faults.append(f"booking {booking}: {returned} {currency} went back of {paid} that was paid")
    faults += [
        f"booking {booking}: {account} is negative in {currency}: {amount}"
        for (booking, account), amount in totals.items()
        if amount < 0 and account in NEVER_NEGATIVE
    ]
    in_motion = sum(amount for (_, account), amount in totals.items() if account is Account.PROCESSOR_CLEARING)
    if in_motion < 0:
        faults.append(f"more {currency} moved at the processor than was asked for: {-in_motion}")
    return faults
