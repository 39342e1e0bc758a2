"""Random checkouts against the local Stripe while answers get lost, webhooks come late, shuffled and doubled, and
whoever works is killed at random; and what must be true at the end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from app.checkout.payment import open_payment, refresh_payment
from app.checkout.scope import Checkout
from app.commands.actor import SYSTEM, Actor
from app.commands.booking import BookingRequest, create_booking
from app.commands.booking_change import Requester, TransitionRequest, transition_booking
from app.commands.booking_insert import CustomerDetails
from app.commands.expiry import expire_unpaid_bookings
from app.commands.hold import HoldLimits, HoldRequest, hold_slot
from app.commands.refund_booking import RefundBookingRequest, refund_booking
from app.core.outages import describe
from app.domain.booking import BookingStatus, PaymentMethod
from app.domain.errors import DomainError
from app.domain.ledger import Account, Entry, Journal, JournalKind, ledger_faults
from app.gateway import GatewayError
from app.models import Booking, Payment
from app.queries.tenancy import Tenancy, bind
from tests.paying import GOOD, NO_FUNDS, Paying
from tests.sandbox.running import Delivery
from tests.shop import Shop, at

T = TypeVar("T")

KILLED = 0.08
"""Of those who are at work, so many do not live to see its end."""
STEP = timedelta(minutes=20)
GUEST = CustomerDetails("Ana", "ana@example.com", None, None)
NO_LIMITS = HoldLimits(0, 0)
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "lost_answer", "match": "POST /v1/*", "probability": 0.08},
    {"kind": "lost_to_error", "match": "POST /v1/*", "probability": 0.04, "status": 500},
    {"kind": "error", "match": "POST /v1/*", "probability": 0.05, "status": 503},
    {"kind": "reset", "match": "GET /v1/*", "probability": 0.03},
)


@dataclass(slots=True)
class Checkouts:
    """One run. `shop` has more guests than slots, so that a late one may find the slot gone."""

    paying: Paying
    shop: Shop
    seed: int
    days: int
    chance: random.Random = field(init=False)
    late: list[Delivery] = field(default_factory=list)
    unpaid: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    @property
    def checkout(self) -> Checkout:
        return self.paying.api.api.services.checkout

    async def run(self, count: int, at_once: int = 8) -> None:
        """So many checkouts, then peace: no faults, every webhook delivered, every job done."""
        for number, fault in enumerate(FAULTS):
            await self.paying.sandbox.control("faults", **fault, seed=self.seed * 10 + number)
        for begun in range(0, count, at_once):
            await asyncio.gather(*(self._guest() for _ in range(min(at_once, count - begun))))
            await self._webhooks(share=0.6)
            await asyncio.gather(self._work(), self._work())
            if self.chance.random() < 0.5:
                clock = self.paying.api.clock
                clock.move(clock.offset + STEP)
                await self._sweep()
        await self.paying.sandbox.http.delete("/_sandbox/faults")
        clock = self.paying.api.clock
        clock.move(clock.offset + timedelta(hours=1))
        # Some were killed when they had just taken a job.
        await self.paying.rows("UPDATE job SET lease_until = NULL WHERE done_at IS NULL RETURNING 1")
        for _ in range(3):
            await self._sweep()
            await self._work(is_safe=True)
            await self._webhooks(share=1.0, is_safe=True)
            await self._work(is_safe=True)

    # ── guests ──

    async def _guest(self) -> None:
        try:
            made = await self._book()
            if made is None:
                return
            booking, payment = made
            await self._pay(payment)
            await self._afterwards(booking, payment)
        except (GatewayError, DomainError) as error:
            self.seen[type(error).__name__] += 1

    async def _book(self) -> tuple[Booking, Payment] | None:
        clock = self.paying.api.clock
        start = at(self.chance.randrange(4, 4 + self.days), self.chance.randrange(24), self.chance.choice((0, 30)))
        tokens = self.paying.api.api.services.tokens
        tenancy = Tenancy(self.shop.organization_uuid)
        wanted = HoldRequest(self.shop.service_uuids[0], self.chance.choice(self.shop.provider_uuids), start, None, 1)
        try:
            async with self.checkout.within(self.shop.organization_uuid) as tx:
                hold = await hold_slot(
                    tx,
                    tenancy,
                    wanted,
                    now=clock.now(),
                    ttl=timedelta(minutes=10),
                    limits=NO_LIMITS,
                    user_id=None,
                    address=None,
                )
            async with self.checkout.within(self.shop.organization_uuid) as tx:
                booked = await create_booking(
                    tx,
                    tokens,
                    BookingRequest(hold.id, tokens.hold_token(hold.id, 1), PaymentMethod.PAY_NOW, None),
                    GUEST,
                    tenancy=tenancy,
                    actor=Actor("guest", channel="test"),
                    now=clock.now(),
                    takes_payment=self.checkout.takes,
                )
        except DomainError:
            self.seen["slot was taken"] += 1
            return None
        assert booked.payment is not None
        self.seen["booked"] += 1
        with suppress(GatewayError):
            await self._mortal(open_payment(self.checkout, booked.booking, booked.payment, actor=SYSTEM))
        return booked.booking, booked.payment

    async def _pay(self, payment: Payment) -> None:
        [row] = await self.paying.rows("SELECT processor_id FROM payment WHERE id = :id", id=payment.id)
        intent, lot = row["processor_id"], self.chance.random()
        if intent is None or lot < 0.15:
            self.seen["went away"] += 1
            return
        if lot < 0.3:
            self.unpaid.append(intent)  # and pays when it may be too late
            return
        if lot < 0.45:
            await self._card(intent, NO_FUNDS)
            if lot < 0.35:
                return
        await self._card(intent, GOOD)

    async def _card(self, intent: str, card: str) -> None:
        """Refused where the payment ended meanwhile."""
        answer = await self.paying.sandbox.http.post(f"/_sandbox/intents/{intent}/pay", json={"card": card})
        self.seen["paid" if answer.status_code == 200 and card == GOOD else "card refused"] += 1

    async def _afterwards(self, booking: Booking, payment: Payment) -> None:
        lot = self.chance.random()
        if lot < 0.5:
            with suppress(GatewayError):
                await self._mortal(refresh_payment(self.checkout, booking.organization_id, payment.id, actor=SYSTEM))
        tokens, now = self.paying.api.api.services.tokens, self.paying.api.clock.now()
        owner = Tenancy(booking.organization_id, "owner")
        if 0.4 < lot < 0.6:
            link = tokens.guest_token(booking.id, 1)
            guest = Requester(Tenancy(booking.organization_id), None, link, Actor("guest", channel="test"))
            request = TransitionRequest(booking.id, BookingStatus.CANCELLED, "Ill", None)
            async with self.checkout.within(booking.organization_id) as tx:
                await transition_booking(tx, tokens, request, guest, now)
            self.seen["cancelled"] += 1
        elif 0.2 < lot < 0.35:
            staff = Requester(owner, self.shop.owner.user_id, None, Actor("owner", channel="test"))
            part = RefundBookingRequest(booking.id, self.chance.choice((1, 333, 1_000, None)), "A gesture", None)
            async with self.checkout.within(booking.organization_id) as tx:
                await refund_booking(tx, tokens, part, staff)
            self.seen["refunded by staff"] += 1

    # ── the others ──

    async def _mortal(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Some are killed in the middle: whatever they asked may have been done, and nobody hears of it."""
        if self.chance.random() >= KILLED:
            return await work
        task = asyncio.ensure_future(work)
        await asyncio.wait([task], timeout=self.chance.random() * 0.03)
        task.cancel()
        self.seen["killed"] += 1
        with suppress(asyncio.CancelledError, GatewayError, DomainError):
            return await task
        return None

    async def _work(self, *, is_safe: bool = False) -> None:
        """Jobs as a worker does them; one that fails or dies is done again."""
        for _ in range(10_000):
            try:
                work = self.paying.work(at_most=1)
                done = await (work if is_safe else self._mortal(work))
            except Exception as error:
                if is_safe:
                    raise
                self.seen[describe(error)[:100]] += 1
                continue
            if done == 0:
                return

    async def _webhooks(self, share: float, *, is_safe: bool = False) -> None:
        """Late, shuffled, up to three times."""
        self.late += await self.paying.collected() if is_safe else self.paying.arrived()
        self.chance.shuffle(self.late)
        now = round(len(self.late) * share)
        batch, self.late = self.late[:now], self.late[now:]
        for delivery in batch:
            for _ in range(self.chance.choice((1, 1, 2, 3))):
                answer = await self.paying.deliver(delivery)
                assert answer.status_code == 200, answer.text
                self.seen["webhooks"] += 1

    async def _sweep(self) -> None:
        async with self.paying.worker.transaction() as tx:
            await bind(tx, clock_offset=self.paying.api.clock.offset)
            await expire_unpaid_bookings(tx, 1_000)
        while self.unpaid:
            await self._card(self.unpaid.pop(), GOOD)

    # ── what must be true ──

    async def faults(self) -> list[str]:
        """What is wrong, for a person; empty when both sides' books agree and nobody paid for nothing."""
        ours = {row["id"]: row for row in await self.paying.rows(_PAYMENTS, organization=self.shop.organization_uuid)}
        faults = [*await self._against_processor(ours), *await self._bookings(), *await self._ledger()]
        left = await self.paying.rows("SELECT kind, count(*) AS count FROM job WHERE done_at IS NULL GROUP BY kind")
        return faults + [f"{row['count']} jobs of {row['kind']} are not done" for row in left]

    async def _against_processor(self, ours: dict[Any, dict[str, Any]]) -> list[str]:
        faults, met = [], Counter[Any]()
        gateway = self.checkout.gateway("stripe")
        async for theirs in gateway.list_payments(at(-1, 0)):
            if theirs.organization_id != self.shop.organization_uuid:
                continue
            row = ours.get(theirs.payment_id)
            met[theirs.payment_id] += 1
            if row is None:
                faults.append(f"{theirs.processor_id} is none of our payments")
                continue
            captured, refunded = theirs.intent.captured_minor, theirs.refunded_minor
            if (row["captured_minor"], row["refunded_minor"]) != (captured, refunded):
                faults.append(f"{theirs.processor_id}: {captured} - {refunded} there, here {row}")
            self.seen["captured in all"] += captured
            self.seen["refunded in all"] += refunded
        return faults + [f"payment {name} has {count} intents" for name, count in met.items() if count != 1]

    async def _bookings(self) -> list[str]:
        faults = []
        for row in await self.paying.rows(_BOOKINGS, organization=self.shop.organization_uuid):
            self.seen[f"booking {row['status']}"] += 1
            kept = row["paid_minor"] - row["returned"]
            has_time = row["claims"] == 1
            if row["status"] == "confirmed" and not (has_time and row["paid_minor"] == 1_000):
                faults.append(f"confirmed without time or payment: {row}")
            if row["status"] in {"expired", "cancelled", "refunded"} and (kept or row["claims"]):
                faults.append(f"over, but money or time was kept: {row}")
            if row["status"] in {"pending", "payment_failed"}:
                faults.append(f"waits for ever: {row}")
        return faults

    async def _ledger(self) -> list[str]:
        journals: dict[Any, tuple[str, list[Entry]]] = {}
        for row in await self.paying.rows(_LEDGER, organization=self.shop.organization_uuid):
            entry = Entry(row["booking_id"], Account(row["account"]), row["amount_minor"], row["payee_id"])
            journals.setdefault(row["journal_id"], (row["kind"], []))[1].append(entry)
        written = [Journal(JournalKind(kind), "USD", tuple(entries)) for kind, entries in journals.values()]
        faults = ledger_faults(written)
        balances = {account: sum(journal.total(account) for journal in written) for account in Account}
        if -balances[Account.CUSTOMER] != self.seen["captured in all"]:
            faults.append(f"the ledger has {-balances[Account.CUSTOMER]} paid")
        if balances[Account.REFUNDS] != self.seen["refunded in all"]:
            faults.append(f"the ledger has {balances[Account.REFUNDS]} refunded")
        if balances[Account.PROCESSOR_CLEARING]:
            faults.append(f"still on its way: {balances[Account.PROCESSOR_CLEARING]}")
        return faults


_PAYMENTS = "SELECT id, status, captured_minor, refunded_minor FROM payment WHERE organization_id = :organization"
_BOOKINGS = """
SELECT b.id, b.status, b.paid_minor,
       (SELECT COALESCE(sum(r.amount_minor), 0) FROM refund r
        WHERE r.booking_id = b.id AND r.status = 'succeeded') AS returned,
       (SELECT count(*) FROM allocation a WHERE a.booking_id = b.id AND a.status IN ('held', 'booked')) AS claims
FROM booking b WHERE b.organization_id = :organization
"""
_LEDGER = """
SELECT e.journal_id, j.kind, e.booking_id, e.account, e.amount_minor, e.payee_id
FROM ledger_entry e JOIN ledger_journal j ON j.id = e.journal_id WHERE e.organization_id = :organization
"""
