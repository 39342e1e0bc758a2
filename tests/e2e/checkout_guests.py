"""Guests of the shop, who book and pay in all ways, and who may not come."""

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
from app.commands.hold import HoldLimits, HoldRequest, hold_slot
from app.commands.payment_attempt import retry_payment
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
_S = BookingStatus
_PUT_QUOTE = text("UPDATE hold SET quote = CAST(:quote AS jsonb) WHERE id = :id")


@dataclass(slots=True)
class Visit:
    """A booking, and what somebody means to do about it."""

    booking_id: UUID
    provider_id: UUID
    starts_at: datetime
    has_rest: bool = True
    """Is something still to be paid at the desk?"""
    is_served: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """`is_on_arrival`: paid there; `is_walk_in`: made by the staff. `payees`: among whom the price is shared, None: the
    organization; nobody: it has no quote."""

    provider_id: UUID
    service_id: UUID
    starts_at: datetime
    is_walk_in: bool = False
    is_on_arrival: bool = False
    payees: tuple[UUID | None, ...] = ()
    deposit_bps: int = 10_000
    platform_fee_bps: int = 1_000
    tax_rate_bps: int = 0

    @property
    def has_rest(self) -> bool:
        return self.is_on_arrival or bool(self.payees and self.deposit_bps < 10_000)


@dataclass(slots=True)
class Guests:
    """`payees`: providers with accounts at the processor. `ahead`: so far guests book."""

    world: World
    shop: Shop
    payees: list[UUID]
    ahead: timedelta
    visits: list[Visit] = field(default_factory=list)
    unpaid: list[str] = field(default_factory=list)
    """Intents whose guests pay when it may be too late."""

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
        world, order = self.world, self.order()
        made = await world.tried(self.book(order))
        if made is None:
            return
        visit = Visit(made.booking.id, order.provider_id, order.starts_at, has_rest=order.has_rest)
        self.visits.append(visit)
        world.seen["booked"] += 1
        if made.payment is not None:
            shown = await self._opened(made)
            if shown is None or shown.payment.processor_id is None:
                world.seen["went away"] += 1
                return
            await self._pay(shown, can_fail_later=made.payment.kind == "setup")
            if world.chance.random() < 0.5:
                await world.tried(world.mortal(self.look_again(made)))
        if world.chance.random() < 0.12:
            await self.cancel(visit)

    def order(self) -> Order:
        """What somebody wants, by chance."""
        chance, lot = self.world.chance, self.world.chance.random()
        start = self.world.now() + timedelta(hours=1) + chance.random() * self.ahead
        provider = chance.choice(self.shop.provider_uuids)
        payees: list[UUID | None] = [provider] if provider in self.payees else []
        if chance.random() < 0.2:
            payees.append(chance.choice([*self.payees, None]))
        return Order(
            provider_id=provider,
            service_id=chance.choice(self.shop.service_uuids),
            starts_at=start.replace(minute=chance.choice((0, 30)), second=0, microsecond=0),
            is_walk_in=lot < 0.06,
            is_on_arrival=lot < 0.18,
            payees=tuple(payees),
            deposit_bps=chance.choice((10_000, 10_000, 3_000)),
            platform_fee_bps=chance.choice((0, 1_000, 1_234)),
            tax_rate_bps=chance.choice((0, 2_100)),
        )

    async def book(self, order: Order) -> Booked:
        """Held, then booked. Raises what is refused."""
        world, now, tokens = self.world, self.world.now(), self.world.api.services.tokens
        tenancy = Tenancy(self.organization, "owner" if order.is_walk_in else None)
        actor = self.owner.actor if order.is_walk_in else Actor("guest", channel="test")
        wanted = HoldRequest(order.service_id, order.provider_id, order.starts_at, None, 1)
        async with world.guests.within(self.organization) as tx:
            ttl = timedelta(minutes=10)
            hold = await hold_slot(tx, tenancy, wanted, now=now, ttl=ttl, limits=NO_LIMITS, user_id=None, address=None)
            if order.payees:
                locked = msgspec.json.encode(self._price(hold, order)).decode()
                await tx.execute(_PUT_QUOTE, {"quote": locked, "id": hold.id})
        method = PaymentMethod.PAY_ON_ARRIVAL if order.is_on_arrival else PaymentMethod.PAY_NOW
        token = tokens.hold_token(hold.id, 1)
        request = BookingRequest(hold.id, token, method, None, accepts_fees=not order.is_walk_in)
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

    def _price(self, hold: Hold, order: Order) -> dict[str, Any]:
        """Some prices are shared with one provider, some with two."""
        parts = [hold.price_minor // len(order.payees) // 10 * 10] * len(order.payees)
        parts[0] += hold.price_minor - sum(parts)
        items = [
            PricedItem(
                subject_id=order.service_id,
                label="Cut",
                base_minor=part,
                starts_at=order.starts_at,
                time_zone=zone(self.shop.time_zone),
                provider_id=order.provider_id,
                payee_id=payee,
            )
            for part, payee in zip(parts, order.payees, strict=True)
        ]
        terms = QuoteTerms(
            currency=hold.currency,
            platform_fee_bps=order.platform_fee_bps,
            tax_rate_bps=order.tax_rate_bps,
            deposit_bps=order.deposit_bps,
        )
        return quote_to_json(quote(items, (), terms, self.world.now()))

    # ── paying ────────────────────────────────────────────────────────────────────────────────────────

    async def _opened(self, made: Booked) -> Shown | None:
        world = self.world
        assert made.payment is not None
        opening = open_payment(world.guests, made.booking, made.payment, actor=SYSTEM)
        shown = await world.tried(world.mortal(opening))
        if shown is None and world.chance.random() < 0.5:
            shown = await world.tried(world.mortal(self.look_again(made)))
        return shown

    async def look_again(self, made: Booked) -> Shown:
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
