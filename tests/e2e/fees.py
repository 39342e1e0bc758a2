"""Random deposits, balances, cash, fees and approvals against the local Stripe while answers get lost and workers are
killed; and what must be true at the end."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from app.checkout.capture import capture_payment
from app.checkout.payment import open_payment, refresh_payment
from app.commands.actor import SYSTEM, Actor
from app.commands.balance import OtherAmount, start_balance
from app.commands.booking import BookingRequest, create_booking
from app.commands.booking_change import Requester, TransitionRequest, transition_booking
from app.commands.cash import RecordCashRequest, ReturnCashRequest, record_cash, return_cash
from app.commands.fee_waive import WaiveFeeRequest, waive_fee
from app.commands.hold import HoldRequest, hold_slot
from app.domain.booking import BookingStatus, PaymentMethod
from app.domain.errors import DomainError
from app.domain.price_quote import QuoteTerms, quote
from app.domain.price_quote_codec import quote_to_json
from app.domain.price_rule import PricedItem
from app.gateway import GatewayError
from app.models import Booking, Hold, Payment
from app.queries.tenancy import Tenancy
from tests.e2e.checkouts import GUEST, NO_LIMITS, Checkouts
from tests.paying import GOOD, NO_FUNDS
from tests.shop import at

DECLINED_LATER = "pm_card_chargeCustomerFail"
_S = BookingStatus


@dataclass(slots=True)
class Fees(Checkouts):
    """One run. The shop's first service is booked as it is, its second one needs approval."""

    async def run(self, count: int, at_once: int = 6) -> None:
        await Checkouts.run(self, count, at_once)
        clock = self.paying.api.clock
        for days in (20, 22, 26, 32):  # until every bank said its last word
            clock.move_to(at(days, 12))
            for _ in range(3):
                await self._work(is_safe=True)
                await self._webhooks(share=1.0, is_safe=True)

    # ── guests ──

    async def _book(self) -> tuple[Booking, Payment] | None:
        tokens, tenancy = self.paying.api.api.services.tokens, Tenancy(self.shop.organization_uuid)
        clock, method = self.paying.api.clock, self.chance.choice((PaymentMethod.PAY_NOW, PaymentMethod.PAY_ON_ARRIVAL))
        start = at(self.chance.randrange(4, 4 + self.days), self.chance.randrange(24), self.chance.choice((0, 30)))
        service = self.chance.choice(self.shop.service_uuids)
        wanted = HoldRequest(service, self.chance.choice(self.shop.provider_uuids), start, None, 1)
        limits: dict[str, Any] = {"limits": NO_LIMITS, "user_id": None, "address": None}
        try:
            async with self.checkout.within(self.shop.organization_uuid) as tx:
                hold = await hold_slot(tx, tenancy, wanted, now=clock.now(), ttl=timedelta(minutes=10), **limits)
            await self._put_quote(hold)
            async with self.checkout.within(self.shop.organization_uuid) as tx:
                token = tokens.hold_token(hold.id, 1)
                booked = await create_booking(
                    tx,
                    tokens,
                    BookingRequest(hold.id, token, method, None, accepts_fees=True),
                    GUEST,
                    tenancy=tenancy,
                    actor=Actor("guest", channel="test"),
                    now=clock.now(),
                    takes_payment=self.checkout.takes,
                    offers=self.checkout.offers,
                )
        except DomainError:
            self.seen["slot was taken"] += 1
            return None
        assert booked.payment is not None
        self.seen[f"booked {booked.payment.kind} {booked.payment.capture}"] += 1
        with suppress(GatewayError):
            await self._mortal(open_payment(self.checkout, booked.booking, booked.payment, actor=SYSTEM))
        return booked.booking, booked.payment

    async def _put_quote(self, hold: Hold) -> None:
        assert hold.service_id is not None
        item = PricedItem(hold.service_id, "Service", hold.price_minor, hold.starts_at, ZoneInfo("UTC"))
        locked = quote([item], [], QuoteTerms("USD", deposit_bps=3_000), datetime.now(UTC))
        put = "UPDATE hold SET quote = CAST(:quote AS jsonb) WHERE id = :id RETURNING 1"
        await self.paying.rows(put, id=hold.id, quote=json.dumps(quote_to_json(locked)))

    async def _pay(self, payment: Payment) -> None:
        [row] = await self.paying.rows("SELECT processor_id FROM payment WHERE id = :id", id=payment.id)
        lot = self.chance.random()
        if row["processor_id"] is None or lot < 0.1:
            return
        if lot < 0.2:
            await self._card(row["processor_id"], NO_FUNDS)
        card = DECLINED_LATER if payment.kind == "setup" and lot < 0.4 else GOOD
        await self._card(row["processor_id"], card)

    async def _afterwards(self, booking: Booking, payment: Payment) -> None:
        with suppress(GatewayError):
            await self._mortal(refresh_payment(self.checkout, booking.organization_id, payment.id, actor=SYSTEM))
        deeds = (
            (self._accept, 0.7),
            (self._balance, 0.4),
            (self._cash, 0.4),
            (self._end, 0.8),
            (self._correct, 0.2),
            (self._waive, 0.2),
            (self._hand_back, 0.4),
        )
        for deed, share in deeds:
            if self.chance.random() < share:
                with suppress(DomainError, GatewayError, OtherAmount):
                    await deed(booking.id)
        if self.chance.random() < 0.3:
            at_once = (self._end, self._cash, self._balance, self._waive)
            await asyncio.gather(*(deed(booking.id) for deed in at_once), return_exceptions=True)

    @property
    def _staff(self) -> Requester:
        owner = Tenancy(self.shop.organization_uuid, "owner")
        return Requester(owner, self.shop.owner.user_id, None, Actor("owner", channel="test"))

    async def _step(self, booking_id: UUID, to: BookingStatus, **extra: Any) -> None:
        tokens = self.paying.api.api.services.tokens
        [row] = await self.paying.rows("SELECT starts_at FROM booking WHERE id = :id", id=booking_id)
        now = max(row["starts_at"] + timedelta(minutes=5), self.paying.api.clock.now())
        request = TransitionRequest(booking_id, to, "A reason", None, **extra)
        async with self.checkout.within(self.shop.organization_uuid) as tx:
            await transition_booking(tx, tokens, request, self._staff, now)

    async def _accept(self, booking_id: UUID) -> None:
        await self._step(booking_id, _S.CONFIRMED)
        [row] = await self.paying.rows(
            "SELECT id FROM payment WHERE booking_id = :id ORDER BY id LIMIT 1", id=booking_id
        )
        await self._mortal(capture_payment(self.checkout, self.shop.organization_uuid, row["id"], actor=SYSTEM))

    async def _balance(self, booking_id: UUID) -> None:
        tokens, now = self.paying.api.api.services.tokens, self.paying.api.clock.now()
        tenancy, link = Tenancy(self.shop.organization_uuid), tokens.guest_token(booking_id, 1)
        guest = Requester(tenancy, None, link, Actor("guest", channel="test"))
        async with self.checkout.within(self.shop.organization_uuid) as tx:
            made = await start_balance(tx, tokens, booking_id, guest, takes=self.checkout.takes, now=now)
        opened = await self._mortal(open_payment(self.checkout, made.seen.booking, made.payment, actor=SYSTEM))
        if opened is not None and opened.payment.processor_id is not None:
            await self._card(opened.payment.processor_id, self.chance.choice((GOOD, GOOD, NO_FUNDS)))
            self.seen["balance"] += 1

    async def _cash(self, booking_id: UUID) -> None:
        request = RecordCashRequest(booking_id, self.chance.choice((None, 100, 333)), None, None)
        async with self.checkout.within(self.shop.organization_uuid) as tx:
            tokens, now = self.paying.api.api.services.tokens, self.paying.api.clock.now()
            await record_cash(tx, tokens, request, self._staff, now)
        self.seen["cash"] += 1

    async def _hand_back(self, booking_id: UUID) -> None:
        request = ReturnCashRequest(booking_id, None, "A reason", None)
        async with self.checkout.within(self.shop.organization_uuid) as tx:
            tokens, now = self.paying.api.api.services.tokens, self.paying.api.clock.now()
            await return_cash(tx, tokens, request, self._staff, now)
        self.seen["cash back"] += 1

    async def _end(self, booking_id: UUID) -> None:
        to = self.chance.choice((_S.NO_SHOW, _S.NO_SHOW, _S.CANCELLED, _S.COMPLETED))
        await self._step(booking_id, to, at_customers_request=True)
        self.seen[to.value] += 1

    async def _correct(self, booking_id: UUID) -> None:
        await self._step(booking_id, _S.CHECKED_IN)
        self.seen["corrected"] += 1

    async def _waive(self, booking_id: UUID) -> None:
        async with self.checkout.within(self.shop.organization_uuid) as tx:
            tokens, now = self.paying.api.api.services.tokens, self.paying.api.clock.now()
            await waive_fee(tx, tokens, WaiveFeeRequest(booking_id, "A reason", None), self._staff, now)
        self.seen["waived"] += 1

    # ── what must be true ──

    async def faults(self) -> list[str]:
        cash, back = (await self.paying.rows(_CASH, organization=self.shop.organization_uuid))[0].values()
        self.seen["captured in all"] += cash
        self.seen["refunded in all"] += back
        ours = {row["id"]: row for row in await self.paying.rows(_PAYMENTS, organization=self.shop.organization_uuid)}
        faults = [*await self._against_processor(ours), *await self._bookings(), *await self._ledger()]
        left = await self.paying.rows("SELECT kind, count(*) AS count FROM job WHERE done_at IS NULL GROUP BY kind")
        return faults + [f"{row['count']} jobs of {row['kind']} are not done" for row in left]

    async def _bookings(self) -> list[str]:
        faults = []
        for row in await self.paying.rows(_BOOKINGS, organization=self.shop.organization_uuid):
            self.seen[f"booking {row['status']}"] += 1
            counted = row["paid_minor"] - row["uncounted_minor"]
            if row["paid_minor"] != row["captured"] or row["refunded_minor"] != row["returned"]:
                faults.append(f"its sums are not those of its payments: {row}")
            if counted > row["price_minor"]:
                faults.append(f"more was taken than it costs: {row}")
            if row["status"] in {"pending", "payment_failed"} or (row["status"] == "awaiting_provider" and row["open"]):
                faults.append(f"waits for ever: {row}")
            if row["fees"] > 1 or (row["charged"] or 0) > row["price_minor"] - counted + row["returned"]:
                faults.append(f"was charged too much for not coming: {row}")
            if row["status"] == "expired" and (row["claims"] or row["captured"] != row["returned"]):
                faults.append(f"over, but money or time was kept: {row}")
        fees = Counter(row["status"] for row in await self.paying.rows("SELECT status FROM booking_fee"))
        self.seen.update({f"fee {status}": count for status, count in fees.items()})
        return faults + ["a fee is charged for ever"] * fees["due"]


_CASH = """
SELECT COALESCE(sum(captured_minor), 0)::bigint AS cash,
       (SELECT COALESCE(sum(r.amount_minor), 0) FROM refund r JOIN payment p ON p.id = r.payment_id
        WHERE p.kind = 'cash' AND r.status = 'succeeded' AND r.organization_id = :organization)::bigint AS back
FROM payment WHERE kind = 'cash' AND organization_id = :organization
"""
_PAYMENTS = """
SELECT id, status, captured_minor, refunded_minor FROM payment
WHERE organization_id = :organization AND kind NOT IN ('setup', 'cash')
"""
_BOOKINGS = """
SELECT b.id, b.status, b.price_minor, b.paid_minor, b.uncounted_minor, b.refunded_minor,
       (SELECT COALESCE(sum(p.captured_minor), 0) FROM payment p WHERE p.booking_id = b.id) AS captured,
       (SELECT COALESCE(sum(p.refunded_minor), 0) FROM payment p WHERE p.booking_id = b.id) AS returned,
       (SELECT count(*) FROM payment p
        WHERE p.booking_id = b.id AND p.status IN ('created', 'open', 'authorized')) AS open,
       (SELECT count(*) FROM booking_fee f WHERE f.booking_id = b.id AND f.status IN ('kept', 'due', 'charged', 'owed'))
           AS fees,
       (SELECT sum(f.charge_minor) FROM booking_fee f WHERE f.booking_id = b.id AND f.status = 'charged') AS charged,
       (SELECT count(*) FROM allocation a WHERE a.booking_id = b.id AND a.status IN ('held', 'booked')) AS claims
FROM booking b WHERE b.organization_id = :organization
"""
