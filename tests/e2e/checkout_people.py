"""All people of the shop: its guests, and the staff who serve them, give money back and take cash; and their banks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.commands.cash import RecordCashRequest, ReturnCashRequest, record_cash, return_cash
from app.commands.fee_waive import WaiveFeeRequest, waive_fee
from app.commands.refund_booking import RefundBookingRequest, refund_booking
from app.domain.booking import BookingStatus
from tests.e2e.checkout_guests import Guests, Visit

_S = BookingStatus


@dataclass(slots=True)
class People(Guests):
    """`disputes`: those that are open."""

    disputes: list[str] = field(default_factory=list)

    # ── the staff ─────────────────────────────────────────────────────────────────────────────────────

    async def serve(self, visit: Visit) -> None:
        """The hour has come. What is not paid yet is paid in cash, online, or never."""
        lot = self.world.chance.random()
        if lot < 0.12:
            await self.step(visit, _S.NO_SHOW)
            if lot < 0.02 and await self.step(visit, _S.CHECKED_IN):  # by mistake
                await self.step(visit, _S.COMPLETED)
            return
        if lot < 0.3:
            await self.step(visit, _S.CHECKED_IN)
        if visit.has_rest and lot < 0.6:
            await self.take_cash(visit)
        elif visit.has_rest and lot < 0.8:
            await self.pay_rest(visit)
        await self.step(visit, _S.COMPLETED)
        if lot > 0.98:
            await self.step(visit, _S.NO_SHOW)

    async def answer(self) -> None:
        """Those who wait for approval, some later, some never."""
        query = "SELECT id, provider_id, starts_at FROM booking WHERE status = 'awaiting_provider'"
        for row in await self.world.rows(query):
            lot = self.world.chance.random()
            if lot < 0.6:
                to = _S.CONFIRMED if lot < 0.45 else _S.CANCELLED
                await self.step(Visit(row["id"], row["provider_id"], row["starts_at"]), to)

    async def take_cash(self, visit: Visit) -> None:
        chance = self.world.chance
        keeper = visit.provider_id if visit.provider_id in self.payees and chance.random() < 0.3 else None
        amount = chance.choice((None, None, 100))
        await self._at_desk("cash taken", record_cash, RecordCashRequest(visit.booking_id, amount, keeper, None))

    async def return_cash(self, visit: Visit, *, whole: bool = False) -> None:
        amount = None if whole else self.world.chance.choice((None, 100))
        await self._at_desk("cash returned", return_cash, ReturnCashRequest(visit.booking_id, amount, "Too much", None))

    async def waive(self, visit: Visit) -> None:
        await self._at_desk("fee waived", waive_fee, WaiveFeeRequest(visit.booking_id, "A good customer", None))

    async def _at_desk(self, what: str, command: Any, request: Any) -> None:
        """`command`: one that takes the transaction, the signer, the request, who asks, and the time."""

        async def done() -> None:
            async with world.guests.within(self.organization) as tx:
                await command(tx, world.api.services.tokens, request, self.owner, world.now())
            world.seen[what] += 1

        world = self.world
        await world.tried(done())

    async def refund(self, visit: Visit, amount: int | None = None) -> None:
        """None: all that is left."""
        world = self.world

        async def done() -> None:
            request = RefundBookingRequest(visit.booking_id, amount, "A gesture", None)
            async with world.guests.within(self.organization) as tx:
                await refund_booking(tx, world.api.services.tokens, request, self.owner)
            world.seen["refunded by staff"] += 1

        await world.tried(done())

    # ── at the bank, and at the processor ─────────────────────────────────────────────────────────────

    async def dispute(self, visit: Visit) -> None:
        rows = await self.world.rows(
            "SELECT charge_id FROM payment WHERE booking_id = :id AND charge_id IS NOT NULL"
            " AND captured_minor > refunded_minor",
            id=visit.booking_id,
        )
        for row in rows[:1]:
            made = await self.world.control(f"charges/{row['charge_id']}/dispute")
            if made is not None:
                self.world.seen["disputed"] += 1
                self.disputes.append(made["id"])

    async def decide(self) -> None:
        """One dispute, by the bank."""
        if self.disputes:
            outcome = self.world.chance.choice(("won", "lost"))
            dispute = self.disputes.pop(self.world.chance.randrange(len(self.disputes)))
            await self.world.control(f"disputes/{dispute}/decide", outcome=outcome)
            self.world.seen[f"dispute {outcome}"] += 1

    async def refund_there(self, visit: Visit) -> None:
        """By hand, on the processor's own page."""
        rows = await self.world.rows(
            "SELECT processor_id FROM payment WHERE booking_id = :id AND captured_minor > refunded_minor"
            " AND processor = 'stripe'",
            id=visit.booking_id,
        )
        for row in rows[:1]:
            if await self.world.at_stripe("POST", "refunds", f"payment_intent={row['processor_id']}&amount=10"):
                self.world.seen["refunded there"] += 1

    # ── a part of a day ───────────────────────────────────────────────────────────────────────────────

    async def act(self) -> None:
        """Something that happens to somebody."""
        chance = self.world.chance
        visit = chance.choice(self.visits[-300:])
        lot = chance.random()
        if lot < 0.3:
            await self.refund(visit, chance.choice((10, 330, 1_000, None)))
        elif lot < 0.42:
            await self.cancel(visit)
        elif lot < 0.57:
            await self.dispute(visit)
        elif lot < 0.65:
            await self.decide()
        elif lot < 0.75:
            await self.take_cash(visit)
        elif lot < 0.83:
            await self.return_cash(visit)
        elif lot < 0.9:
            await self.waive(visit)
        elif lot < 0.97:
            await self.pay_rest(visit)
        else:
            await self.refund_there(visit)

    async def due(self) -> list[Visit]:
        """Those whose hour has come, and who are expected. Each is named once."""
        now = self.world.now()
        come = {one.booking_id: one for one in self.visits if not one.is_served and one.starts_at <= now}
        for one in come.values():
            one.is_served = True
        query = "SELECT id FROM booking WHERE id = ANY (:ids) AND status = 'confirmed'"
        return [come[row["id"]] for row in await self.world.rows(query, ids=list(come))] if come else []
