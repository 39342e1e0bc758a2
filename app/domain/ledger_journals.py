"""The journal of each event in the life of money. An authorization has none: no money has moved.

Whatever an outside party has to do is booked twice: when it is asked for (the amount goes to `processor_clearing`)
and when it is confirmed, or back again when it failed. `shares` are parts that `Shares.take` gave; amounts are above
zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.domain.ledger import Account, Entry, Journal, JournalKind, journal, reversed_journal
from app.domain.rounding import down_to_step
from app.domain.shares import Shares


@dataclass(frozen=True, slots=True)
class BookingBooks:
    """Writes the journals of one booking in one currency.

    `is_released` says where a part of a capture is taken from: its escrow, or (once the service was given) the accounts
    of those whose it is, who may come to owe it.
    """

    booking_id: UUID
    currency: str

    # ── in ────────────────────────────────────────────────────────────────────────────────────────────

    def captured(self, amount_minor: int) -> Journal:
        """The processor took the customer's money: deposit, price or balance."""
        return self._move(JournalKind.CAPTURED, Account.CUSTOMER, Account.ESCROW, amount_minor)

    def released(self, shares: Shares) -> Journal:
        """The service was given (or a fee is kept): what is in escrow becomes its owners'."""
        return self._journal(
            JournalKind.RELEASED, [self._entry(Account.ESCROW, -shares.total_minor), *self._owned(shares)]
        )

    def fee_charged(self, shares: Shares) -> Journal:
        """A no-show or late-cancellation fee by the saved method: owed to its owners at once."""
        entries = [self._entry(Account.CUSTOMER, -shares.total_minor), *self._owned(shares)]
        return self._journal(JournalKind.FEE_CHARGED, entries)

    def cash_paid(self, shares: Shares, keeper_id: UUID | None) -> Journal:
        """Paid on arrival. Cash that a provider keeps is paid out to that provider already, who owes the others' shares
        of it; in the venue's till (None) it is the organization's own affair."""
        return self._journal(JournalKind.CASH_PAID, self._cash(shares, keeper_id))

    def cash_returned(self, shares: Shares, keeper_id: UUID | None) -> Journal:
        """Cash handed back, by whoever kept it."""
        paid = self._journal(JournalKind.CASH_PAID, self._cash(shares, keeper_id))
        back = [
            one._replace(amount_minor=-one.amount_minor) for one in paid.entries if one.account is not Account.CUSTOMER
        ]
        return self._journal(JournalKind.CASH_RETURNED, [*back, self._entry(Account.REFUNDS, shares.total_minor)])

    # ── back to the customer ──────────────────────────────────────────────────────────────────────────

    def refund_asked(self, shares: Shares, *, is_released: bool, excess_minor: int = 0) -> Journal:
        """`excess_minor`: given back at the processor beyond what was left of the capture; the platform bears that."""
        taken = self._taken(JournalKind.REFUND_ASKED, shares, Account.PROCESSOR_CLEARING, is_released)
        return self._journal(
            JournalKind.REFUND_ASKED, [*taken.entries, *self._borne(excess_minor, Account.PROCESSOR_CLEARING)]
        )

    def refund_settled(self, amount_minor: int, excess_minor: int = 0) -> Journal:
        """`amount_minor` of the shares; the excess is more than the customer had paid, so it is no refund here."""
        entries = [
            self._entry(Account.PROCESSOR_CLEARING, -amount_minor - excess_minor),
            self._entry(Account.REFUNDS, amount_minor),
            self._entry(Account.PROCESSOR_FEES, excess_minor),
        ]
        return self._journal(JournalKind.REFUND_SETTLED, entries)

    def refund_failed(self, shares: Shares, *, is_released: bool, excess_minor: int = 0) -> Journal:
        """The processor refused it. `is_released`: by now, so that it comes back to whom it belongs today."""
        asked = self.refund_asked(shares, is_released=is_released, excess_minor=excess_minor)
        return reversed_journal(JournalKind.REFUND_FAILED, asked)

    def refund_bounced(self, shares: Shares, *, is_released: bool, excess_minor: int = 0) -> Journal:
        """The customer's bank sent back a refund that was settled."""
        taken = self._taken(JournalKind.REFUND_BOUNCED, shares, Account.REFUNDS, is_released)
        entries = [*taken.entries, *self._borne(excess_minor, Account.PROCESSOR_FEES)]
        return reversed_journal(JournalKind.REFUND_BOUNCED, self._journal(JournalKind.REFUND_BOUNCED, entries))

    def late_payment(self, amount_minor: int) -> Journal:
        """Money that landed when the slot was gone: nobody's until it is rebooked or returned."""
        return self._move(JournalKind.LATE_PAYMENT, Account.CUSTOMER, Account.PROCESSOR_CLEARING, amount_minor)

    def late_payment_rebooked(self, amount_minor: int) -> Journal:
        """The slot was still free. (Returned instead: `refund_settled`.)"""
        kind = JournalKind.LATE_PAYMENT_REBOOKED
        return self._move(kind, Account.PROCESSOR_CLEARING, Account.ESCROW, amount_minor)

    # ── disputes ──────────────────────────────────────────────────────────────────────────────────────

    def dispute_opened(self, shares: Shares, *, is_released: bool, excess_minor: int = 0) -> Journal:
        """The bank took it back until the dispute is decided. `excess_minor`: beyond what was left of the capture
        (some of it had gone back already); the platform bears that."""
        taken = self._taken(JournalKind.DISPUTE_OPENED, shares, Account.DISPUTES, is_released)
        excess = self._borne(excess_minor, Account.DISPUTES)
        return self._journal(JournalKind.DISPUTE_OPENED, [*taken.entries, *excess])

    def dispute_won(self, shares: Shares, *, is_released: bool, excess_minor: int = 0) -> Journal:
        """`shares` and excess as it was opened; `is_released`: now."""
        opened = self.dispute_opened(shares, is_released=is_released, excess_minor=excess_minor)
        return reversed_journal(JournalKind.DISPUTE_WON, opened)

    def dispute_lost(self, amount_minor: int, excess_minor: int = 0) -> Journal:
        """The customer keeps it: `amount_minor` of the shares, and the excess as it was opened."""
        entries = [
            self._entry(Account.DISPUTES, -amount_minor - excess_minor),
            self._entry(Account.REFUNDS, amount_minor),
            self._entry(Account.PROCESSOR_FEES, excess_minor),
        ]
        return self._journal(JournalKind.DISPUTE_LOST, entries)

    def dispute_reopened(self, amount_minor: int, excess_minor: int = 0) -> Journal:
        """A lost one, on appeal."""
        return reversed_journal(JournalKind.DISPUTE_REOPENED, self.dispute_lost(amount_minor, excess_minor))

    def processor_fee(self, amount_minor: int, payee_id: UUID | None = None) -> Journal:
        """What the processor keeps for itself, for a dispute above all; negative: it gave it back.

        Borne by the platform, or by the provider `payee_id`.
        """
        account = Account.PLATFORM_FEE if payee_id is None else Account.PROVIDER_PAYABLE
        entries = [self._entry(account, -amount_minor, payee_id), self._entry(Account.PROCESSOR_FEES, amount_minor)]
        return self._journal(JournalKind.PROCESSOR_FEE, entries)

    # ── entries ───────────────────────────────────────────────────────────────────────────────────────

    def _entry(self, account: Account, amount_minor: int, payee_id: UUID | None = None) -> Entry:
        return Entry(self.booking_id, account, amount_minor, payee_id)

    def _journal(self, kind: JournalKind, entries: Iterable[Entry]) -> Journal:
        return journal(kind, self.currency, entries)

    def _borne(self, excess_minor: int, target: Account) -> list[Entry]:
        """By the platform."""
        return [self._entry(Account.PLATFORM_FEE, -excess_minor), self._entry(target, excess_minor)]

    def _move(self, kind: JournalKind, source: Account, target: Account, amount_minor: int) -> Journal:
        if amount_minor < 1:
            raise ValueError("money moves in positive amounts")
        return self._journal(kind, [self._entry(source, -amount_minor), self._entry(target, amount_minor)])

    def _owned(self, shares: Shares) -> list[Entry]:
        return [
            self._entry(Account.PLATFORM_FEE, shares.platform_fee_minor),
            self._entry(Account.TAX, shares.tax_minor),
            *(
                self._entry(Account.ORGANIZATION, amount)
                if payee is None
                else self._entry(Account.PROVIDER_PAYABLE, amount, payee)
                for payee, amount in shares.payables
            ),
        ]

    def _taken(self, kind: JournalKind, shares: Shares, target: Account, is_released: bool) -> Journal:
        if shares.total_minor == 0:  # all of it is excess
            return self._journal(kind, [])
        if not is_released:
            return self._move(kind, Account.ESCROW, target, shares.total_minor)
        taken = [one._replace(amount_minor=-one.amount_minor) for one in self._owned(shares)]
        return self._journal(kind, [*taken, self._entry(target, shares.total_minor)])

    def _cash(self, shares: Shares, keeper_id: UUID | None) -> list[Entry]:
        total = shares.total_minor
        paid = self._entry(Account.CUSTOMER, -total)
        if keeper_id is None:
            return [paid, self._entry(Account.CASH, total)]
        kept = [
            self._entry(Account.PAID_OUT, total, keeper_id),
            self._entry(Account.PROVIDER_PAYABLE, -total, keeper_id),
        ]
        return [paid, *self._owned(shares), *kept]


# ── payouts: of one provider, for many bookings ───────────────────────────────────────────────────────


class PayoutPart(NamedTuple):
    """What a payout holds for one booking; negative: a debt that it settles."""

    booking_id: UUID
    amount_minor: int


def payout_parts(owed: Mapping[UUID, int], minimum_minor: int = 1, step: int = 1) -> tuple[PayoutPart, ...]:
    """What to transfer to a provider now.

    `owed`: `ledger.owed_by_booking` of the bookings that are due, and every debt; all debts are settled. Nothing when
    less than the minimum (at least one unit) is left; a remainder below `step` (`rounding.charge_step`) stays owed, of
    the last booking that has enough.
    """
    total = sum(owed.values())
    wanted = down_to_step(total, step) if total > 0 else 0
    if wanted < max(1, minimum_minor):
        return ()
    parts = dict(owed)
    surplus = total - wanted
    for booking in reversed(parts):
        if surplus and parts[booking] > 0:
            taken = min(surplus, parts[booking])
            parts[booking] -= taken
            surplus -= taken
    return tuple(PayoutPart(booking, amount) for booking, amount in parts.items() if amount)


@dataclass(frozen=True, slots=True)
class PayoutBooks:
    """Writes the journals of one payout. The transfer is the sum of its parts, and positive."""

    payee_id: UUID
    currency: str
    parts: tuple[PayoutPart, ...]

    def __post_init__(self) -> None:
        if self.total_minor < 1:
            raise ValueError("a payout pays something out")

    @property
    def total_minor(self) -> int:
        return sum(part.amount_minor for part in self.parts)

    def asked(self) -> Journal:
        """Before the transfer is made, so that no second payout finds the same money."""
        return self._journal(JournalKind.PAYOUT_ASKED, Account.PROVIDER_PAYABLE, Account.PROCESSOR_CLEARING, self.parts)

    def settled(self) -> Journal:
        return self._journal(JournalKind.PAYOUT_SETTLED, Account.PROCESSOR_CLEARING, Account.PAID_OUT, self.parts)

    def failed(self) -> Journal:
        """The transfer was refused for good: owed again."""
        return reversed_journal(JournalKind.PAYOUT_FAILED, self.asked())

    def transfer_reversed(self, parts: Iterable[PayoutPart]) -> Journal:
        """What came back of a settled transfer, by booking: it pays what the provider owes since a refund."""
        return self._journal(JournalKind.TRANSFER_REVERSED, Account.PAID_OUT, Account.PROVIDER_PAYABLE, parts)

    def _journal(self, kind: JournalKind, source: Account, target: Account, parts: Iterable[PayoutPart]) -> Journal:
        entries = []
        for booking, amount in parts:
            for account, sign in ((source, -1), (target, 1)):
                payee = None if account is Account.PROCESSOR_CLEARING else self.payee_id
                entries.append(Entry(booking, account, sign * amount, payee))
        return journal(kind, self.currency, entries)
