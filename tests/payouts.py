"""Providers who are paid out: a shop whose first provider has an account at the local Stripe, and money to be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text

from app.checkout.payout import execute_payout, execute_reversal
from app.checkout.payout_account import open_account, refresh_account
from app.checkout.scope import Checkout
from app.commands.actor import SYSTEM
from app.commands.ledger import post_journal
from app.commands.payout_account import want_account
from app.commands.payout_plan import plan_payout
from app.commands.payout_reversal import plan_reversals
from app.core.ids import IdKind, decode_id, new_id
from app.domain.instants import zone
from app.domain.ledger_journals import BookingBooks
from app.domain.price_quote import QuoteTerms, quote
from app.domain.price_quote_codec import quote_to_json
from app.domain.price_rule import PricedItem
from app.domain.shares import Shares, shares_of
from app.models import Payout
from tests.facts_guard import let_pass
from tests.jobs.ground import Ground, make_held
from tests.journey import Made, Visitor, booking_input
from tests.paying import BOOK, GOOD, REFUND, Payer, Paying, owner_of
from tests.shop import Shop, make_shop

WEEK = timedelta(days=7)
PRICE, FEE = 1_000, 100
SHARE = PRICE - FEE
"""Of each booking: the platform takes a tenth."""


@dataclass(slots=True)
class Earner:
    """The shop's first provider, who earns 9.00 of each booking of 10.00."""

    paying: Paying
    shop: Shop
    payer: Payer
    owner: Visitor
    _customer: dict[UUID, UUID] = field(default_factory=dict)

    @property
    def provider(self) -> UUID:
        return self.shop.provider_uuids[0]

    @property
    def provider_id(self) -> str:
        return self.shop.provider_ids[0]

    @property
    def checkout(self) -> Checkout:
        """A worker's."""
        return replace(self.paying.api.api.services.checkout, database=self.paying.worker)

    def now(self) -> datetime:
        return self.paying.api.clock.now()

    # ── the account ──

    async def open(self) -> str:
        """An account that nothing is known of yet; its id at the processor."""
        async with self.checkout.within(self.shop.organization_uuid) as tx:
            wanted = await want_account(
                tx,
                self.shop.organization_uuid,
                SYSTEM,
                self.provider,
                processor="stripe",
                country="US",
                email="ana@example.com",
            )
        account = await open_account(self.checkout, wanted, actor=SYSTEM)
        assert account.account_id is not None
        return account.account_id

    async def onboard(self) -> str:
        account_id = await self.open()
        await self.set_account(account_id, "onboarded")
        return account_id

    async def set_account(self, account_id: str, state: str) -> None:
        await self.paying.sandbox.control(f"accounts/{account_id}/state", state=state)
        await refresh_account(self.checkout, None, self.provider)

    # ── bookings ──

    async def paid(self, start: datetime, payees: Sequence[UUID | None] | None = None) -> Made:
        """A confirmed booking whose price is shared with the provider."""
        held = await self.payer.held(start, providerId=self.provider_id)
        locked = self._quote(start, [self.provider] if payees is None else payees)
        changed = "UPDATE hold SET quote = CAST(:quote AS jsonb) WHERE id = :id RETURNING 1"
        await self.paying.rows(changed, quote=locked, id=decode_id(IdKind.HOLD, held.id))
        answer = await self.payer.client(BOOK, {"input": booking_input(held, paymentMethod="PAY_NOW")})
        assert answer["__typename"] == "CreateBookingPayload", answer
        made = Made(answer["booking"]["id"], answer["accessToken"], answer)
        await self.paying.pay(made, GOOD)
        assert (await self.payer.refresh(made))["booking"]["status"] == "CONFIRMED"
        return made

    def _quote(self, start: datetime, payees: Sequence[UUID | None]) -> str:
        each = PRICE // len(payees)
        items = [
            PricedItem(
                subject_id=self.shop.service_uuids[0],
                label="Cut",
                base_minor=each,
                starts_at=start,
                time_zone=zone(self.shop.time_zone),
                provider_id=self.provider,
                payee_id=payee,
            )
            for payee in payees
        ]
        locked = quote(items, (), QuoteTerms(currency="USD", platform_fee_bps=1_000), self.now())
        return msgspec.json.encode(quote_to_json(locked)).decode()

    async def completed(self, *starts: datetime) -> list[Made]:
        """Paid and given, one after the other."""
        made = [await self.paid(start) for start in starts]
        for one, start in zip(made, starts, strict=True):
            self.paying.api.clock.move_to(start + timedelta(minutes=31))
            await self.owner.stepped(one, "COMPLETED")
        return made

    async def given(self, *starts: datetime) -> list[UUID]:
        """The same, as far as the ledger knows: no guest and no processor had to do with it."""
        made = []
        for start in starts:
            self.paying.api.clock.move_to(start + timedelta(minutes=31))
            made.append(await self._written(start))
        return made

    async def _written(self, start: datetime) -> UUID:
        shop = self.shop
        customer = self._customer.setdefault(shop.organization_uuid, new_id())
        ground = Ground(shop.organization_uuid, shop.venue_uuid, self.provider, shop.service_uuids[0], customer)
        async with self.checkout.within(shop.organization_uuid) as tx:
            await tx.execute(_CUSTOMER, {"id": customer, "organization": shop.organization_uuid})
            held = await make_held(tx, ground, start, timedelta(minutes=1), booking_status="completed")
            assert held.booking is not None
            books = BookingBooks(held.booking, "USD")
            for journal in (books.captured(PRICE), books.released(self._shares(PRICE))):
                await post_journal(tx, shop.organization_uuid, journal, str(held.booking))
            await let_pass(tx)  # nobody is looking for free times
        return held.booking

    def _shares(self, amount: int) -> Shares:
        return shares_of(FEE, 0, {self.provider: SHARE}).take(amount)

    async def returned(self, booking_id: UUID, amount: int = PRICE) -> None:
        """A refund of what was given, as far as the ledger knows."""
        organization, books = self.shop.organization_uuid, BookingBooks(booking_id, "USD")
        asked = books.refund_asked(self._shares(amount), is_released=True)
        async with self.checkout.within(organization) as tx:
            for journal in (asked, books.refund_settled(amount)):
                await post_journal(tx, organization, journal, str(new_id()))

    def wait(self, time: timedelta = WEEK) -> None:
        """Until what was given last is due."""
        clock = self.paying.api.clock
        clock.move(clock.offset + time + timedelta(minutes=1))

    async def refund(self, made: Made, amount: int | None = None) -> None:
        """By the staff, and made at the processor."""
        wanted = {"bookingId": made.id, "reason": "A gesture", "amountMinor": amount}
        answer = await self.owner.client(REFUND, {"input": wanted})
        assert answer["__typename"] == "Booking", answer
        await self.paying.work("execute_refund")

    async def dispute(self, made: Made) -> str:
        """The customer's bank takes the money; the dispute's id."""
        [intent] = await self.paying.intents(made)
        await self.paying.sandbox.control(f"charges/{intent.latest_charge}/dispute")
        await self.paying.pass_on()
        [dispute] = (await self.paying.sandbox.v1.disputes.list_async({"payment_intent": intent.id})).data
        return str(dispute.id)

    async def decide(self, dispute_id: str, outcome: str) -> None:
        await self.paying.sandbox.control(f"disputes/{dispute_id}/decide", outcome=outcome)
        await self.paying.pass_on()

    # ── payouts ──

    async def plan(self, currency: str = "USD") -> Payout | None:
        async with self.checkout.within(self.shop.organization_uuid) as tx:
            return await plan_payout(tx, self.provider, currency, self.now())

    async def planned(self) -> Payout:
        payout = await self.plan()
        assert payout is not None
        return payout

    async def send(self, payout: Payout) -> None:
        await execute_payout(self.checkout, payout.id)

    async def paid_out(self) -> Payout:
        """What is due, planned and sent."""
        payout = await self.planned()
        await self.send(payout)
        assert (await self.payout(payout.id))["status"] == "sent"
        return payout

    async def take_back(self) -> list[UUID]:
        """What is owed back, asked of the processor; the reversals."""
        async with self.checkout.within(self.shop.organization_uuid) as tx:
            asked = await plan_reversals(tx, self.provider, "USD", self.now())
        for one in asked:
            await execute_reversal(self.checkout, one)
        return asked

    async def payout(self, payout_id: UUID) -> dict[str, Any]:
        [row] = await self.paying.rows("SELECT * FROM payout WHERE id = :id", id=payout_id)
        return row

    async def payouts(self) -> list[dict[str, Any]]:
        return await self.paying.rows("SELECT * FROM payout WHERE provider_id = :id ORDER BY id", id=self.provider)

    async def owed(self) -> int:
        """By the provider's side of the ledger, and by what is kept beside it: they never differ."""
        [row] = await self.paying.rows(_OWED, id=self.provider)
        assert row["ledger"] == row["kept"], row
        return int(row["ledger"])

    async def received(self) -> int:
        """What the processor has sent, less what it took back."""
        found = await self.paying.sandbox.v1.transfers.list_async({"limit": 100})
        accounts = {row["account_id"] for row in await self.payouts()}
        return sum(one.amount - one.amount_reversed for one in found.data if one.destination in accounts)

    async def balances(self) -> dict[str, int]:
        """Of all bookings of the shop, by account of the ledger."""
        rows = await self.paying.rows(_BALANCES, id=self.shop.organization_uuid)
        return {row["account"]: int(row["amount"]) for row in rows if row["amount"]}

    async def at_once(self, *works: Any) -> list[Any]:
        return list(await asyncio.gather(*works, return_exceptions=True))


_OWED = """
SELECT (SELECT coalesce(sum(amount_minor), 0) FROM ledger_entry
        WHERE payee_id = :id AND account = 'provider_payable') AS ledger,
       (SELECT coalesce(sum(owed_minor), 0) FROM provider_payable WHERE payee_id = :id) AS kept
"""
_CUSTOMER = text(
    "INSERT INTO customer (id, organization_id, name, email) VALUES (:id, :organization, 'Eve', 'eve@example.com')"
    " ON CONFLICT DO NOTHING"
)
_BALANCES = "SELECT account, sum(amount_minor) AS amount FROM ledger_entry WHERE organization_id = :id GROUP BY account"


async def make_earner(paying: Paying, *, onboarded: bool = True, **shop: Any) -> Earner:
    made = await make_shop(paying.api.api.services, **shop)
    earner = Earner(paying, made, Payer(paying.client, made), owner_of(paying, made))
    if onboarded:
        await earner.onboard()
        await paying.sandbox.paid(currency="usd")  # what is sent has to be there
    return earner
