"""A shop whose money goes every legal way, at random, with its books beside what must be true of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from uuid import UUID

from app.domain.ledger import Account, Entry, Journal, owed_by_booking
from app.domain.ledger_journals import BookingBooks, PayoutBooks, PayoutPart, payout_parts
from app.domain.refund import Capture, allocate_refund, refundable
from app.domain.shares import Shares, shares_of
from tests.domain.prices import NOW, PROVIDERS

CURRENCY = "ARS"


@dataclass(slots=True)
class Booking:
    """Captures by id; `unpaid`: shares of the price that did not come in yet."""

    books: BookingBooks
    unpaid: Shares
    captures: dict[UUID, Capture] = field(default_factory=dict)
    keepers: dict[UUID, UUID | None] = field(default_factory=dict)
    is_given: bool = False


@dataclass(slots=True)
class Moving:
    """A refund or a dispute of a part of one capture."""

    booking: Booking
    capture_id: UUID
    shares: Shares
    excess: int = 0

    @property
    def capture(self) -> Capture:
        return self.booking.captures[self.capture_id]

    @capture.setter
    def capture(self, changed: Capture) -> None:
        self.booking.captures[self.capture_id] = changed


class MoneyWorld:
    """`step()` does something legal; `journals` are its books, `expected_…` what these must say."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.journals: list[Journal] = []
        self.bookings = [self._booking(UUID(int=1_000 + n)) for n in range(rng.randint(1, 4))]
        self.asked: list[Moving] = []
        self.settled: list[Moving] = []
        self.open_disputes: list[Moving] = []
        self.lost_disputes: list[Moving] = []
        self.late: list[tuple[Booking, int]] = []
        self.payouts_asked: list[PayoutBooks] = []
        self.payouts_settled: list[PayoutBooks] = []
        self.paid_out: Counter[UUID] = Counter()
        self.fees_borne: Counter[UUID] = Counter()
        self.captures = 0

    def _booking(self, booking_id: UUID) -> Booking:
        rng = self.rng
        payables = {payee: rng.randint(0, 5_000) for payee in rng.sample((None, *PROVIDERS[:2]), rng.randint(1, 2))}
        price = shares_of(rng.randint(0, 900), rng.randint(0, 2_100), {**payables, PROVIDERS[0]: rng.randint(1, 9_000)})
        return Booking(BookingBooks(booking_id, CURRENCY), price)

    @property
    def entries(self) -> list[Entry]:
        return [entry for one in self.journals for entry in one.entries]

    def step(self) -> None:
        self.rng.choice(
            (
                self.pay,
                self.pay,
                self.pay_in_cash,
                self.give,
                self.charge_fee,
                self.ask_refund,
                self.end_refund,
                self.bounce,
                self.pay_out,
                self.pay_out,
                self.end_payout,
                self.reverse_transfer,
                self.open_dispute,
                self.end_dispute,
                self.land_late,
                self.end_late,
                self.take_fee,
            )
        )()

    # ── in ────────────────────────────────────────────────────────────────────────────────────────────

    def _add(
        self,
        booking: Booking,
        shares: Shares,
        *,
        keeper: UUID | None = None,
        is_cash: bool = False,
        is_released: bool = False,
    ) -> None:
        self.captures += 1
        made = Capture(UUID(int=self.captures), NOW, shares, is_cash=is_cash, is_released=is_released)
        booking.captures[made.id] = made
        booking.keepers[made.id] = keeper

    def _part_of_price(self, booking: Booking) -> Shares:
        total = booking.unpaid.total_minor
        part = booking.unpaid.take(self.rng.choice((total, self.rng.randint(0, total))))
        booking.unpaid -= part
        return part

    def pay(self) -> None:
        booking = self.rng.choice(self.bookings)
        part = self._part_of_price(booking)
        if part.total_minor:
            self.journals.append(booking.books.captured(part.total_minor))
            self._land(booking, part)

    def _land(self, booking: Booking, part: Shares) -> None:
        if booking.is_given:
            self.journals.append(booking.books.released(part))
        self._add(booking, part, is_released=booking.is_given)

    def pay_in_cash(self) -> None:
        booking = self.rng.choice(self.bookings)
        part = self._part_of_price(booking)
        keeper = self.rng.choice((None, PROVIDERS[0]))
        if part.total_minor:
            self.journals.append(booking.books.cash_paid(part, keeper))
            self._add(booking, part, keeper=keeper, is_cash=True, is_released=True)

    def charge_fee(self) -> None:
        booking = self.rng.choice(self.bookings)
        part = self._part_of_price(booking)
        if part.total_minor:
            self.journals.append(booking.books.fee_charged(part))
            self._add(booking, part, is_released=True)

    def give(self) -> None:
        booking = self.rng.choice(self.bookings)
        booking.is_given = True
        for one in booking.captures.values():
            if not one.is_released:
                if one.left.total_minor:
                    self.journals.append(booking.books.released(one.left))
                booking.captures[one.id] = replace(one, is_released=True)

    def land_late(self) -> None:
        booking = self.rng.choice(self.bookings)
        amount = booking.unpaid.total_minor
        if amount:
            booking.unpaid -= booking.unpaid
            self.journals.append(booking.books.late_payment(amount))
            self.late.append((booking, amount))

    def end_late(self) -> None:
        if self.late:
            booking, amount = self.late.pop()
            if self.rng.random() < 0.5:
                self.journals.append(booking.books.refund_settled(amount))
                return
            self.journals.append(booking.books.late_payment_rebooked(amount))
            self._land(booking, shares_of(0, 0, {PROVIDERS[1]: amount}))

    # ── back ──────────────────────────────────────────────────────────────────────────────────────────

    def ask_refund(self) -> None:
        booking = self.rng.choice(self.bookings)
        most = refundable(booking.captures.values())
        if not most:
            return
        for part in allocate_refund(booking.captures.values(), self.rng.choice((most, self.rng.randint(1, most)))):
            one = part.capture
            booking.captures[one.id] = replace(one, refunded=one.refunded + part.shares)
            if one.is_cash:
                self.journals.append(booking.books.cash_returned(part.shares, booking.keepers[one.id]))
            else:
                self.journals.append(booking.books.refund_asked(part.shares, is_released=one.is_released))
                self.asked.append(Moving(booking, one.id, part.shares))

    def end_refund(self) -> None:
        if not self.asked:
            return
        moving = self.asked.pop(self.rng.randrange(len(self.asked)))
        books = moving.booking.books
        if self.rng.random() < 0.6:
            self.journals.append(books.refund_settled(moving.shares.total_minor))
            self.settled.append(moving)
        else:
            self._came_back(moving, books.refund_failed(moving.shares, is_released=moving.capture.is_released))

    def bounce(self) -> None:
        if self.settled and self.rng.random() < 0.3:
            moving = self.settled.pop()
            books = moving.booking.books
            self._came_back(moving, books.refund_bounced(moving.shares, is_released=moving.capture.is_released))

    def _came_back(self, moving: Moving, written: Journal) -> None:
        self.journals.append(written)
        moving.capture = replace(moving.capture, refunded=moving.capture.refunded - moving.shares)

    def open_dispute(self) -> None:
        booking = self.rng.choice(self.bookings)
        open_ones = [one for one in booking.captures.values() if not one.is_cash and one.left.total_minor]
        if open_ones:
            one = self.rng.choice(open_ones)
            moving = Moving(booking, one.id, one.left, self.rng.choice((0, one.refunded.total_minor)))
            self.journals.append(
                booking.books.dispute_opened(moving.shares, is_released=one.is_released, excess_minor=moving.excess)
            )
            booking.captures[one.id] = replace(one, disputed=one.disputed + moving.shares)
            self.open_disputes.append(moving)

    def end_dispute(self) -> None:
        if self.lost_disputes and self.rng.random() < 0.3:
            moving = self.lost_disputes.pop()
            self.journals.append(moving.booking.books.dispute_reopened(moving.shares.total_minor, moving.excess))
            self.open_disputes.append(moving)
        if not self.open_disputes:
            return
        moving = self.open_disputes.pop(0)
        books = moving.booking.books
        if self.rng.random() < 0.5:
            self.journals.append(books.dispute_lost(moving.shares.total_minor, moving.excess))
            self.lost_disputes.append(moving)
        else:
            released = moving.capture.is_released
            self.journals.append(books.dispute_won(moving.shares, is_released=released, excess_minor=moving.excess))
            moving.capture = replace(moving.capture, disputed=moving.capture.disputed - moving.shares)

    def take_fee(self) -> None:
        payee = self.rng.choice((None, PROVIDERS[0]))
        self.journals.append(self.rng.choice(self.bookings).books.processor_fee(15, payee))
        if payee:
            self.fees_borne[payee] += 15

    # ── out ───────────────────────────────────────────────────────────────────────────────────────────

    def pay_out(self) -> None:
        payee = self.rng.choice(PROVIDERS)
        parts = payout_parts(
            owed_by_booking(self.entries, payee), self.rng.choice((1, 2_000)), self.rng.choice((1, 10))
        )
        if parts:
            payout = PayoutBooks(payee, CURRENCY, parts)
            self.journals.append(payout.asked())
            self.payouts_asked.append(payout)
            self.paid_out[payee] += payout.total_minor

    def end_payout(self) -> None:
        if not self.payouts_asked:
            return
        payout = self.payouts_asked.pop(0)
        if self.rng.random() < 0.6:
            self.journals.append(payout.settled())
            self.payouts_settled.append(payout)
        else:
            self.journals.append(payout.failed())
            self.paid_out[payout.payee_id] -= payout.total_minor

    def reverse_transfer(self) -> None:
        if self.payouts_settled:
            payout = self.payouts_settled.pop()
            back = [
                PayoutPart(part.booking_id, part.amount_minor // 2 or 1)
                for part in payout.parts
                if part.amount_minor > 0
            ]
            self.journals.append(payout.transfer_reversed(back))
            self.paid_out[payout.payee_id] -= sum(part.amount_minor for part in back)

    # ── what must be true ─────────────────────────────────────────────────────────────────────────────

    def expected_owed(self, payee: UUID) -> int:
        owed = -self.paid_out[payee] - self.fees_borne[payee]
        for booking in self.bookings:
            for one in booking.captures.values():
                keeper = booking.keepers[one.id]
                if one.is_released and not (one.is_cash and keeper is None):
                    owed += sum(amount for who, amount in one.left.payables if who == payee)
                if one.is_cash and keeper == payee:
                    owed -= one.left.total_minor
        return owed

    def expected_totals(self) -> dict[Account, int]:
        captures = [one for booking in self.bookings for one in booking.captures.values()]
        in_payouts = sum(payout.total_minor for payout in self.payouts_asked)
        refunds = sum(moving.shares.total_minor for moving in self.asked)
        return {
            Account.ESCROW: sum(one.left.total_minor for one in captures if not one.is_released),
            Account.PROCESSOR_CLEARING: refunds + sum(amount for _, amount in self.late) + in_payouts,
            Account.DISPUTES: sum(moving.shares.total_minor + moving.excess for moving in self.open_disputes),
        }
