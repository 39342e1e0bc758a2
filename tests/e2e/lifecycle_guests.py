"""What customers do, and staff for them: hold, book, pay, move, cancel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.commands.booking import BookingRequest
from app.commands.booking_change import TransitionRequest
from app.commands.booking_insert import CustomerDetails
from app.commands.booking_reschedule import RescheduleRequest
from app.commands.hold import HoldRequest
from app.commands.session_hold import PlacesRequest
from app.commands.session_reschedule import SessionMove
from app.domain.booking import BookingStatus, PaymentMethod
from app.domain.search import VisitItem
from app.models import Hold
from app.resolvers import booking as bookings
from app.resolvers import checkout, hold
from app.resolvers import session_hold as places
from tests.e2e.lifecycle_life import Held, Life, Made, forget, operation, pick
from tests.e2e.lifecycle_promises import MOVED, STEPPED, Wanted
from tests.e2e.lifecycle_rows import Row, instant
from tests.paying import GOOD, NO_FUNDS
from tests.shop import Person

GUEST = CustomerDetails("Ana", "ana@example.com", None, None)
STARTS = 6
SERVICES = 2
PROVIDERS = 3
"""The last number: anybody."""
PEOPLE = 3
SESSIONS = 4
PARTIES = 3
HELD = 3
BOOKINGS = 4
PAYABLE = frozenset({"pending", "payment_failed", "expired"})
"""With the late ones."""
METHODS = 3
"""The last: pay now. The others: on arrival."""
LONGEST = timedelta(hours=2)
"""Of any service, with what is kept free around it and around another one."""


@dataclass
class Guests(Life):
    """Customers of time and of places."""

    # ── holding ───────────────────────────────────────────────────────────────────────────────────────

    @operation(2, service=SERVICES, provider=PROVIDERS, start=STARTS, who=PEOPLE)
    async def hold_time(self, service: int, provider: int, start: int, who: int) -> None:
        await self._hold(service, provider, start, self.person(who))

    async def _hold(self, service: int, provider: int, start: int, by: Person | None) -> Held:
        ground, starts_at = self.ground, self.start(start)
        chosen = None if provider == PROVIDERS - 1 else ground.providers[provider]
        self.intent.wanted = self._wanted(service, chosen, starts_at)
        self.intent.own |= {
            one["id"]
            for one in self._holds_of(by)
            if is_near(one, starts_at)
            and (
                one["service_id"] == str(ground.services[service])
                if chosen is None
                else one["provider_id"] == str(chosen)
            )
        }
        request = HoldRequest(ground.services[service], chosen, starts_at, None, 1)
        found, token = await hold.hold_slot(self.world.context(by), request, None)
        assert found.starts_at == starts_at
        assert chosen in {None, found.provider_id}
        return self._keep(found, token, by)

    def _wanted(self, service: int, provider: UUID | None, starts_at: datetime) -> Wanted | None:
        """Only of the plain service: of the other a room may be missing."""
        if service or provider is None:
            return None
        return Wanted((str(provider),), starts_at, starts_at + timedelta(minutes=30))

    def _holds_of(self, by: Person | None) -> list[Row]:
        """Of a customer with an account: who goes back to choose again."""
        now = self.world.now()
        return [
            one
            for one in self.rows.holds.values()
            if by is self.ground.account
            and one["user_id"] == str(by.user_id)
            and one["status"] == "active"
            and instant(one["expires_at"]) > now
        ]

    def _keep(self, found: Hold, token: str, by: Person | None) -> Held:
        held = Held(found.id, token, by)
        if held not in self.held:
            self.held.append(held)
        return held

    @operation(2, start=STARTS, first=PROVIDERS, second=PROVIDERS)
    async def hold_visit(self, start: int, first: int, second: int) -> None:
        """Both services, one after the other."""
        people = (*self.ground.providers, None)
        items = tuple(
            VisitItem(service, people[number], None)
            for service, number in zip(self.ground.services, (first, second), strict=True)
        )
        request = HoldRequest(items[0].service_id, None, self.start(start), None, 1, items)
        self._keep(*await hold.hold_slot(self.world.context(None), request, None), None)

    @operation(3, session=SESSIONS, party=PARTIES, who=PEOPLE)
    async def hold_places(self, session: int, party: int, who: int) -> None:
        await self._hold_places(session, party + 1, self.person(who))

    async def _hold_places(self, session: int, party: int, by: Person | None) -> Held:
        chosen = self.session(session)
        self.intent.wanted = Wanted(session=str(chosen), party=party)
        self.intent.own |= {one["id"] for one in self._holds_of(by) if one["session_id"] == str(chosen)}
        return self._keep(*await places.hold_places(self.world.context(by), PlacesRequest(chosen, party), None), by)

    @operation(2, needs="held", instead="hold_time", held=HELD)
    async def release(self, held: int) -> None:
        chosen = pick(self.held, held)
        self.intent.holds.add(str(chosen.hold_id))
        await hold.release_hold(self.world.context(chosen.by), hold.HoldByToken(chosen.hold_id, chosen.token))
        forget(self.held, chosen)

    @operation(2, needs="held", instead="hold_time", held=HELD)
    async def extend(self, held: int) -> None:
        chosen = pick(self.held, held)
        self.intent.holds.add(str(chosen.hold_id))
        await hold.extend_hold(self.world.context(chosen.by), hold.HoldByToken(chosen.hold_id, chosen.token))

    # ── booking ───────────────────────────────────────────────────────────────────────────────────────

    @operation(5, needs="held", instead="hold_time", held=HELD, method=METHODS)
    async def book_held(self, held: int, method: int) -> None:
        await self._book(pick(self.held, held), method)

    @operation(6, service=SERVICES, provider=PROVIDERS, start=STARTS, method=METHODS, who=PEOPLE)
    async def book_time(self, service: int, provider: int, start: int, method: int, who: int) -> None:
        held = await self._hold(service, provider, start, self.person(who))
        self.intent.wanted = None
        await self._book(held, method)

    @operation(6, session=SESSIONS, party=PARTIES, method=METHODS, who=PEOPLE)
    async def book_places(self, session: int, party: int, method: int, who: int) -> None:
        held = await self._hold_places(session, party + 1, self.person(who))
        self.intent.wanted = None
        await self._book(held, method)

    async def _book(self, held: Held, method: int) -> None:
        """At the price, and the time, of the hold."""
        self.intent.holds.add(str(held.hold_id))
        pays = PaymentMethod.PAY_NOW if method == METHODS - 1 else PaymentMethod.PAY_ON_ARRIVAL
        request = BookingRequest(held.hold_id, held.token, pays, None)
        customer = None if held.by is self.ground.account else GUEST
        seen, token, _ = await bookings.create_booking(self.world.context(held.by), request, customer, None)
        booking = seen.booking
        self.intent.creates += 1
        forget(self.held, held)
        self.made.append(Made(booking.id, token))
        self.promise(
            booking.id,
            number=booking.number,
            confirmation_code=booking.confirmation_code,
            starts_at=booking.starts_at,
            ends_at=booking.ends_at,
            provider_id=booking.provider_id,
            service_id=booking.service_id,
            session_id=booking.session_id,
            party_size=booking.party_size,
            price_minor=booking.price_minor,
            currency=booking.currency,
            customer_id=booking.customer_id,
            cancellation_notice_minutes=booking.cancellation_notice_minutes,
            requires_approval=booking.requires_approval,
            payment_method=booking.payment_method,
            policy=booking.policy,
        )
        known = self.rows.holds.get(str(held.hold_id))
        if known is not None:
            promised = {name: known[name] for name in ("price_minor", "party_size", "currency")}
            self.promises[str(booking.id)] |= promised

    # ── paying ────────────────────────────────────────────────────────────────────────────────────────

    @operation(3, needs="waiting", booking=BOOKINGS, card=3)
    async def pay(self, booking: int, card: int) -> None:
        """Two cards are good, one is refused; then the client comes back to look."""
        chosen = pick(self.made_in(PAYABLE), booking)
        self.intent.change(chosen.booking_id, STEPPED)
        self.intent.is_atomic = False
        context = self.world.context(None)
        seen = await bookings.read_booking(context, chosen.booking_id, chosen.token)
        payment = await checkout.payment_of(context, seen)
        if payment is not None and payment.payment.processor_id is not None:
            with_card = NO_FUNDS if card == 2 else GOOD
            await self.world.control(f"intents/{payment.payment.processor_id}/pay", card=with_card)
        await checkout.refresh(self.world.context(None), seen)

    @operation(needs="waiting", booking=BOOKINGS)
    async def pay_again(self, booking: int) -> None:
        """With another card, where the first was refused."""
        chosen = pick(self.made_in(PAYABLE), booking)
        self.intent.change(chosen.booking_id, STEPPED)
        self.intent.is_atomic = False
        request = checkout.RetryRequest(chosen.booking_id, chosen.token, GOOD)
        await checkout.retry(self.world.context(None), request, None)

    # ── changing ──────────────────────────────────────────────────────────────────────────────────────

    @operation(4, needs="made", booking=BOOKINGS, who=2)
    async def cancel(self, booking: int, who: int) -> None:
        await self._cancel(pick(self.made, booking), who)

    async def _cancel(self, chosen: Made, who: int) -> None:
        self.intent.change(chosen.booking_id, STEPPED)
        self.intent.is_atomic = False  # what can still be paid is ended before
        context, link = self.asking(chosen, who)
        request = TransitionRequest(chosen.booking_id, BookingStatus.CANCELLED, "A reason", None)
        await bookings.transition_booking(context, "cancelBooking", request, link, None)

    @operation(4, needs="timed", booking=BOOKINGS, start=STARTS, provider=PROVIDERS, who=2)
    async def move(self, booking: int, start: int, provider: int, who: int) -> None:
        chosen = pick(self.timed, booking)
        to = None if provider == PROVIDERS - 1 else self.ground.providers[provider]
        context, link = self.asking(chosen, who)
        starts_at = self.start(start)
        self.intent.change(chosen.booking_id, MOVED)
        request = RescheduleRequest(chosen.booking_id, starts_at, to, None, None)
        seen = await bookings.reschedule_booking(context, request, link, None)
        promised = self.promises.get(chosen.key)
        if promised is not None:
            length = promised["ends_at"] - promised["starts_at"]
            self.promise(chosen.booking_id, starts_at=starts_at, ends_at=starts_at + length)
            if to is not None:
                self.promise(chosen.booking_id, provider_id=to)
        assert seen.booking.starts_at == starts_at

    @operation(4, needs="placed", instead="book_places", booking=BOOKINGS, session=SESSIONS, who=2)
    async def move_places(self, booking: int, session: int, who: int) -> None:
        chosen = pick(self.placed, booking)
        to = pick(self.sessions(), session)
        context, link = self.asking(chosen, who)
        self.intent.change(chosen.booking_id, MOVED)
        row = self.row_of(chosen)
        # A private group takes the whole session, however few they are.
        party = to["capacity"] if row["is_private"] else row["party_size"]
        self.intent.wanted = Wanted(session=to["id"], party=party)
        request = SessionMove(chosen.booking_id, UUID(to["id"]), None, None)
        await bookings.reschedule_booking(context, request, link, None)
        times = {name: datetime.fromisoformat(to[name]) for name in ("starts_at", "ends_at")}
        self.promise(chosen.booking_id, session_id=to["id"], **times)


def is_near(held: Row, starts_at: datetime) -> bool:
    """Is it of time, and may it be in the way of what begins then?"""
    is_of_time = held["session_id"] is None
    return is_of_time and abs(instant(held["starts_at"]) - starts_at) < LONGEST
