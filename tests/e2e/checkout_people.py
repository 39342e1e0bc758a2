"""Who comes to the shop, and who works there: guests who book and pay, staff who serve, refund and take cash."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text

from app.checkout.payment import Shown, cancel_payment, confirm_payment, open_payment, refresh_payment
from app.commands.actor import SYSTEM, Actor
from app.commands.balance import OtherAmount, start_balance
from app.commands.booking import Booked, BookingRequest, create_booking
from app.commands.booking_change import Requester, TransitionRequest, transition_booking
from app.commands.booking_insert import CustomerDetails
from app.commands.cash import RecordCashRequest, ReturnCashRequest, record_cash, return_cash
from app.commands.fee_waive import WaiveFeeRequest, waive_fee
from app.commands.hold import HoldLimits, HoldRequest, hold_slot
from app.commands.payment_attempt import retry_payment
from app.commands.refund_booking import RefundBookingRequest, refund_booking
from app.core.database import Tx
from app.domain.booking import BookingStatus, PaymentMethod
from app.domain.instants import zone
from app.domain.price_quote import QuoteTerms, quote
from app.domain.price_quote_codec import quote_to_json
from app.domain.price_rule import PricedItem
from app.models import Hold
from app.queries.tenancy import Tenancy
from tests.e2e.checkout_world import World
from tests.paying import GOOD, NO_FUNDS
from tests.shop import Shop

GUEST = CustomerDetails("Ana", "ana@example.com", None, None)
NO_LIMITS = HoldLimits(0, 0)
ASKS_FIRST = "pm_card_threeDSecure2Required"
REFUSES_LATER = "pm_card_chargeCustomerFail"
"""Can be saved, and is declined when a fee is charged."""
LENGTH = timedelta(minutes=30)
_S = BookingStatus
_PUT_QUOTE = text("UPDATE hold SET quote = CAST(:quote AS jsonb) WHERE id = :id")


@dataclass(slots=True)
class Visit:
    """A booking, and what somebody means to do about it."""

    booking_id: UUID
    provider_id: UUID
    starts_at: datetime
    is_served: bool = False


@dataclass(slots=True)
class People:
    """`payees`: providers with accounts at the processor. `ahead`: so far guests book."""

    world: World
    shop: Shop
    payees: list[UUID]
    ahead: timedelta
    visits: list[Visit] = field(default_factory=list)
    unpaid: list[str] = field(default_factory=list)
    """Intents whose guests pay when it may be too late."""
    disputes: list[str] = field(default_factory=list)

    @property
    def organization(self) -> UUID:
        return self.shop.organization_uuid

    @property
    def owner(self) -> Requester:
        return Requester(
            Tenancy(self.organization, "owner"), self.shop.owner.user_id, None, Actor("owner", channel="test")
        )

    def guest(self, booking_id: UUID) -> Requester:
        link = self.world.api.services.tokens.guest_token(booking_id, 1)
        return Requester(Tenancy(self.organization), None, link, Actor("guest", channel="test"))

    # ── booking ───────────────────────────────────────────────────────────────────────────────────────

    async def come(self) -> None:
        """One guest, from the first look to the payment and what they think of it afterwards."""
        world = self.world
        made = await world.tried(self._book())
        if made is None:
            return
        booking = made.booking
        assert booking.provider_id is not None
        visit = Visit(booking.id, booking.provider_id, booking.starts_at)
        self.visits.append(visit)
        world.seen["booked"] += 1
        if made.payment is not None:
            shown = await self._opened(made)
            if shown is None or shown.payment.processor_id is None:
                world.seen["went away"] += 1
                return
            await self._pay(shown, can_fail_later=made.payment.kind == "setup")
            if world.chance.random() < 0.5:
                await world.tried(world.mortal(self._look_again(made)))
        if world.chance.random() < 0.12:
            await self.cancel(visit)

    async def _book(self) -> Booked:
        world, chance, now = self.world, self.world.chance, self.world.now()
        lot = chance.random()
        is_walk_in, is_later = lot < 0.06, lot < 0.18
        tenancy = Tenancy(self.organization, "owner") if is_walk_in else Tenancy(self.organization)
        actor = self.owner.actor if is_walk_in else Actor("guest", channel="test")
        start = (now + chance.random() * self.ahead).replace(minute=chance.choice((0, 30)), second=0, microsecond=0)
        provider, service = chance.choice(self.shop.provider_uuids), chance.choice(self.shop.service_uuids)
        wanted = HoldRequest(service, provider, start + timedelta(hours=1), None, 1)
        async with world.guests.within(self.organization) as tx:
            ttl = timedelta(minutes=10)
            hold = await hold_slot(tx, tenancy, wanted, now=now, ttl=ttl, limits=NO_LIMITS, user_id=None, address=None)
            await self._lock_price(tx, hold)
        tokens = world.api.services.tokens
        method = PaymentMethod.PAY_ON_ARRIVAL if is_later else PaymentMethod.PAY_NOW
        request = BookingRequest(hold.id, tokens.hold_token(hold.id, 1), method, None, accepts_fees=not is_walk_in)
        async with world.guests.within(self.organization) as tx:
            return await create_booking(
                tx,
                tokens,
                request,
                GUEST,
                tenancy=tenancy,
                actor=actor,
                now=world.now(),
                takes_payment=world.guests.takes,
                offers=world.guests.offers,
            )

    async def _lock_price(self, tx: Tx, hold: Hold) -> None:
        """Some prices are shared with one provider, some with two; some want a deposit alone."""
        chance = self.world.chance
        payees: list[UUID | None] = [one for one in [hold.provider_id] if one in self.payees]
        if chance.random() < 0.2:
            payees.append(chance.choice([*self.payees, None]))
        if not payees:
            return
        price = hold.price_minor
        parts = [price // len(payees) // 10 * 10] * len(payees)
        parts[0] += price - sum(parts)
        items = [
            PricedItem(
                subject_id=hold.service_id or hold.id,
                label="Cut",
                base_minor=part,
                starts_at=hold.starts_at,
                time_zone=zone(self.shop.time_zone),
                provider_id=hold.provider_id,
                payee_id=payee,
            )
            for part, payee in zip(parts, payees, strict=True)
        ]
        terms = QuoteTerms(
            currency=hold.currency,
            platform_fee_bps=chance.choice((0, 1_000, 1_234)),
            tax_rate_bps=chance.choice((0, 2_100)),
            deposit_bps=chance.choice((10_000, 10_000, 3_000)),
        )
        locked = quote_to_json(quote(items, (), terms, self.world.now()))
        await tx.execute(_PUT_QUOTE, {"quote": msgspec.json.encode(locked).decode(), "id": hold.id})

    # ── paying ────────────────────────────────────────────────────────────────────────────────────────

    async def _opened(self, made: Booked) -> Shown | None:
        world = self.world
        assert made.payment is not None
        opening = open_payment(world.guests, made.booking, made.payment, actor=SYSTEM)
        shown = await world.tried(world.mortal(opening))
        if shown is None and world.chance.random() < 0.5:
            shown = await world.tried(world.mortal(self._look_again(made)))
        return shown

    async def _look_again(self, made: Booked) -> Shown:
        assert made.payment is not None
        return await refresh_payment(self.world.guests, self.organization, made.payment.id, actor=SYSTEM)

    async def _pay(self, shown: Shown, *, can_fail_later: bool = False) -> None:
        intent, lot, seen = shown.payment.processor_id, self.world.chance.random(), self.world.seen
        assert intent is not None
        if lot < 0.1:
            seen["went away"] += 1
        elif lot < 0.2:
            self.unpaid.append(intent)
        elif lot < 0.32:
            await self.card(intent, NO_FUNDS)
            if lot < 0.24:
                await self.card(intent, GOOD)
            elif lot < 0.28:
                await self.world.tried(self.world.mortal(self._try_again(shown)))
        elif lot < 0.37:
            await self.card(intent, ASKS_FIRST)
            outcome = "complete" if lot < 0.35 else "fail"
            await self.world.control(f"intents/{intent}/authenticate", outcome=outcome)
        else:
            await self.card(intent, REFUSES_LATER if can_fail_later and lot < 0.6 else GOOD)

    async def card(self, intent: str, card: str) -> None:
        """Refused where the payment ended meanwhile."""
        is_taken = await self.world.control(f"intents/{intent}/pay", card=card) is not None
        self.world.seen["paid" if is_taken and card != NO_FUNDS else "card refused"] += 1

    async def _try_again(self, shown: Shown) -> None:
        """By the shop's page, with another card."""
        world, booking = self.world, shown.booking
        async with world.guests.within(self.organization) as tx:
            tokens, guest = world.api.services.tokens, self.guest(booking.id)
            attempt = await retry_payment(tx, tokens, booking.id, guest, world.now())
        if attempt.payment.processor_id is not None:
            await confirm_payment(world.guests, attempt.payment, GOOD, key=attempt.key, actor=SYSTEM)
            world.seen["tried again"] += 1

    async def pay_late(self) -> None:
        """Those who had gone for their wallet."""
        while self.unpaid:
            await self.card(self.unpaid.pop(), GOOD)

    async def pay_rest(self, visit: Visit) -> None:
        """Of a deposit, online."""
        world = self.world
        try:
            started = await world.tried(self._start_balance(visit))
        except OtherAmount as other:
            await world.tried(cancel_payment(world.guests, other.payment, other.seen.booking, actor=SYSTEM))
            return
        if started is not None and started.payment.processor_id is not None:
            world.seen["rest paid online"] += 1
            await self._pay(started)

    async def _start_balance(self, visit: Visit) -> Shown:
        world = self.world
        async with world.guests.within(self.organization) as tx:
            started = await start_balance(
                tx,
                world.api.services.tokens,
                visit.booking_id,
                self.guest(visit.booking_id),
                takes=world.guests.takes,
                now=world.now(),
            )
        return await open_payment(world.guests, started.seen.booking, started.payment, actor=SYSTEM)

    # ── changing ──────────────────────────────────────────────────────────────────────────────────────

    async def cancel(self, visit: Visit) -> None:
        """By the guest; too late for that, by the staff, at the guest's wish or not."""
        world, chance = self.world, self.world.chance
        is_own = chance.random() < 0.5
        requester = self.guest(visit.booking_id) if is_own else self.owner
        await world.tried(self._step(visit, _S.CANCELLED, requester, is_wish=chance.random() < 0.6))

    async def step(self, visit: Visit, to: BookingStatus) -> bool:
        """By the owner. False: refused."""
        return await self.world.tried(self._step(visit, to, self.owner)) is not None

    async def _step(self, visit: Visit, to: BookingStatus, requester: Requester, *, is_wish: bool = False) -> bool:
        world = self.world
        request = TransitionRequest(visit.booking_id, to, "A reason", None, at_customers_request=is_wish)
        async with world.guests.within(self.organization) as tx:
            await transition_booking(tx, world.api.services.tokens, request, requester, world.now())
        world.seen[f"made {to}"] += 1
        return True

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
        if lot < 0.6:
            await self.take_cash(visit)
        elif lot < 0.7:
            await self.pay_rest(visit)
        await self.step(visit, _S.COMPLETED)
        if lot > 0.98:
            await self.step(visit, _S.NO_SHOW)

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
