"""Books what moved at the processor after money came in: refunds and disputes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from app.commands.actor import Actor
from app.commands.journal import Event
from app.commands.ledger import post_journal
from app.commands.refund import disputed_shares, fail_refund, put_refund, refunded_shares
from app.core.database import Tx
from app.domain.ledger import Journal
from app.domain.ledger_journals import BookingBooks
from app.domain.payment import Move, MoveKind
from app.domain.shares import NOTHING, Shares, shares_from_json, shares_to_json
from app.models import Booking, Payment, Refund


@dataclass(slots=True)
class PaymentMoves:
    """Of one payment, whose booking's row the caller has. `refunds`: all of the booking; new ones are added. `events`:
    what is to be told."""

    tx: Tx
    booking: Booking
    payment: Payment
    refunds: list[Refund]
    actor: Actor
    now: datetime
    events: list[Event] = field(default_factory=list)

    @property
    def _books(self) -> BookingBooks:
        return BookingBooks(self.booking.id, self.booking.currency)

    async def book(self, move: Move) -> None:
        """One move that is no capture."""
        if move.kind.name.startswith("DISPUTE"):
            await self._dispute(move)
        else:
            await self._refund(move)

    async def _post(self, journal: Journal, reference: str) -> None:
        await post_journal(self.tx, self.booking.organization_id, journal, reference)

    # ── refunds ───────────────────────────────────────────────────────────────────────────────────────

    async def _refund(self, move: Move) -> None:
        refund = next((one for one in self.refunds if one.processor_id == move.object_id), None)
        if refund is None:
            refund = await self._made_outside(move)
        shares, excess, late = shares_from_json(refund.shares), refund.excess_minor, self.payment.is_late
        released = self.payment.is_released
        if move.kind is MoveKind.REFUND_SETTLED:
            refund.status, refund.settled_at = "succeeded", self.now
            await self._post(self._books.refund_settled(shares.total_minor, excess), str(refund.id))
        elif move.kind is MoveKind.REFUND_FAILED:
            fail_refund(self.booking, self.payment, refund, "refused", self.now)
            # What landed late is where it was: nobody's.
            back = self._books.refund_failed(NOTHING if late else shares, is_released=released, excess_minor=excess)
            await self._post(back, str(refund.id))
        elif move.kind is MoveKind.REFUND_BOUNCED:
            fail_refund(self.booking, self.payment, refund, "sent back by the bank", self.now)
            bounced = self._books.refund_bounced(shares, is_released=released, excess_minor=excess)
            await self._post(bounced, str(refund.id))

    async def _made_outside(self, move: Move) -> Refund:
        """By hand, at the processor: it counts like ours. What is more than was left by our books is written beside it,
        for somebody to look at: it happens where a dispute took the same money."""
        left = self._left()
        shares = left.take(min(move.amount_minor, left.total_minor))
        excess = move.amount_minor - shares.total_minor
        refund = await put_refund(
            self.tx,
            self.booking,
            self.payment,
            shares,
            cause="outside",
            reason=None,
            actor=self.actor,
            processor_id=move.object_id,
            excess_minor=excess,
        )
        self.refunds.append(refund)
        booked = NOTHING if self.payment.is_late else shares
        journal = self._books.refund_asked(booked, is_released=self.payment.is_released, excess_minor=excess)
        await self._post(journal, str(refund.id))
        if excess:
            facts = {"refundId": str(refund.id), "excessMinor": excess, "currency": self.booking.currency}
            self.events.append(Event("refund.excess", self.booking.id, facts))
        return refund

    def _left(self) -> Shares:
        assert self.payment.shares is not None
        whole = shares_from_json(self.payment.shares)
        return whole - refunded_shares(self.payment, self.refunds) - disputed_shares(self.payment)

    # ── disputes ──────────────────────────────────────────────────────────────────────────────────────

    async def _dispute(self, move: Move) -> None:
        taken = self.payment.disputes.get(move.object_id)
        if taken is None:
            left = self._left()
            part = left.take(min(left.total_minor, move.amount_minor))
            taken = {"shares": shares_to_json(part), "excess": move.amount_minor - part.total_minor}
        shares, excess = shares_from_json(taken["shares"]), int(taken["excess"])
        books, released = self._books, self.payment.is_released
        phase, journal = "open", None
        if move.kind is MoveKind.DISPUTE_OPENED:
            journal = books.dispute_opened(shares, is_released=released, excess_minor=excess)
        elif move.kind is MoveKind.DISPUTE_LOST:
            phase, journal = "lost", books.dispute_lost(shares.total_minor, excess)
        elif move.kind is MoveKind.DISPUTE_REOPENED:
            journal = books.dispute_reopened(shares.total_minor, excess)
        elif move.kind is MoveKind.DISPUTE_WON:
            phase, journal = "won", books.dispute_won(shares, is_released=released, excess_minor=excess)
        if journal is not None:
            await self._post(journal, f"{self.payment.id}/{move.object_id}")
        self.payment.disputes = {**self.payment.disputes, move.object_id: {**taken, "phase": phase}}
