"""The money of a party that grows and shrinks: the locked price follows, and what was paid beyond it goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.commands.actor import Actor
from app.commands.booking_payment import end_live_payments
from app.commands.payment_booking import status_of_money
from app.commands.refund import ask_refund, captures_of
from app.commands.settlement import policy_of
from app.core.database import Tx
from app.domain.booking import PaymentMethod
from app.domain.errors import InvalidInput, NotAllowed
from app.domain.group_price import kept_of, price_after_removal, price_for, with_kept
from app.domain.price_quote import Quote
from app.domain.price_quote_codec import quote_from_json, quote_to_json
from app.domain.refund import Ending, refundable
from app.models import Booking, Payment, Refund
from app.queries.booking import due_of
from app.queries.payment import LIVE, list_refunds, lock_payments
from app.queries.payment_terms import get_terms

_UNSURE = frozenset({"authorized", "processing"})


def goes_by_party(booking: Booking) -> bool:
    """Is every person paid for? Of an appointment, and of a session that a private group has, the price is the same."""
    return booking.session_id is not None and not booking.is_private


@dataclass(frozen=True, slots=True)
class GroupMoney:
    """A booking's price with its payments, locked. The booking belongs to no session, and is not written here."""

    booking: Booking
    payments: Sequence[Payment]
    refunds: Sequence[Refund]

    @classmethod
    async def lock(cls, tx: Tx, booking: Booking) -> GroupMoney:
        """Two statements. Raises NotAllowed while somebody's payment is on its way: its amount could be wrong then."""
        payments = await lock_payments(tx, booking.id)
        if any(one.status in LIVE and (one.kind == "booking" or one.status in _UNSURE) for one in payments):
            message = "A payment of this booking is on its way. Try again once it has arrived or failed."
            raise NotAllowed("payment_in_progress", message)
        return cls(booking, payments, await list_refunds(tx, booking.id))

    async def grow(self, tx: Tx, places: int, *, by_customer: bool) -> None:
        """To the price of so many places: what is more is due. Raises InvalidInput, NotAllowed.

        One statement for a customer who paid in advance, and would owe something that is paid in advance. An unpaid
        booking gives its places back when its time is over, and a confirmed one never does.
        """
        locked, price = self._locked()
        try:
            wanted = with_kept(price_for(locked, places), kept_of(price))
        except ValueError as fault:
            raise InvalidInput.at("input", str(fault)) from None
        if by_customer and self._has_to_pay_now(wanted):
            terms = await get_terms(tx, self.booking.organization_id)
            if not terms.accepts_pay_on_arrival:
                raise NotAllowed("payment_needed", "Places are paid when they are booked here: book the others anew.")
        self._set(wanted)
        await self._settle(tx)

    def _has_to_pay_now(self, wanted: Quote) -> bool:
        booking = self.booking
        counted = booking.paid_minor - booking.uncounted_minor
        return PaymentMethod(booking.payment_method) is PaymentMethod.PAY_NOW and wanted.due_now_minor > counted

    async def shrink(self, tx: Tx, places: int, ending: Ending, *, reason: str | None, actor: Actor) -> None:
        """To the price of so many places; what was paid beyond it is asked to go back. Raises NotAllowed.

        What went back before as a gesture, and is not due again, takes nothing from it; but no more goes back than is
        here.
        """
        locked, price = self._locked()
        paid = self.booking.paid_minor - self.booking.uncounted_minor
        wanted = price_after_removal(
            locked, price, places, policy=policy_of(self.booking), ending=ending, paid_minor=paid
        )
        self._set(wanted)
        asked: list[Refund] = []
        beyond = min(paid - wanted.total_minor, refundable(captures_of(self.payments, self.refunds)))
        if beyond > 0:
            asked = await ask_refund(
                tx,
                self.booking,
                self.payments,
                self.refunds,
                beyond,
                cause="policy",
                reason=reason or "Fewer people come.",
                actor=actor,
            )
            # It does not count towards the price any more: whoever joins later is paid for.
            self.booking.uncounted_minor += beyond
        await self._settle(tx, asked)

    def _locked(self) -> tuple[Quote, Quote]:
        """As it was locked, and as it is."""
        booking = self.booking
        if booking.quote is None:
            raise NotAllowed("no_locked_price", "The price of this booking was locked as a whole: book others anew.")
        return quote_from_json(booking.group_quote or booking.quote), quote_from_json(booking.quote)

    def _set(self, price: Quote) -> None:
        booking = self.booking
        booking.group_quote = booking.group_quote or booking.quote
        booking.quote, booking.price_minor = quote_to_json(price), price.total_minor

    async def _settle(self, tx: Tx, asked: Sequence[Refund] = ()) -> None:
        """The payment's state; and nobody shall pay more than is due now."""
        booking = self.booking
        booking.payment_status = status_of_money(booking, self.payments, [*self.refunds, *asked]).value
        due = due_of(booking)
        if any(one.kind == "balance" and one.status in LIVE and one.amount_minor > due for one in self.payments):
            await end_live_payments(tx, [booking.id])
