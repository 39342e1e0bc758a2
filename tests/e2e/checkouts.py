"""Random checkouts against the local Stripe, from the hold to the payout, while answers get lost, webhooks come late,
shuffled and many times, and whoever works is killed at random; and what must be true at the end.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from app.checkout.reconcile import reconcile
from app.checkout.reconcile_books import check_books
from tests.e2e.checkout_books import Books
from tests.e2e.checkout_guests import Visit
from tests.e2e.checkout_office import Office
from tests.e2e.checkout_people import People
from tests.e2e.checkout_world import PATIENCE_S, World, make_world, together
from tests.shop import make_shop

AT_ONCE = 16
"""Guests."""
STEPS = tuple(timedelta(minutes=one) for one in (0, 5, 20, 60, 180, 360, 720))
"""Between them time passes; now and then, nobody is at work for a day and a half."""
LONG_WEEKEND = timedelta(hours=36)
WHOLE = timedelta(days=100)
PEACE = timedelta(days=2)
MOST_ROUNDS = 12
"""Of peace: a bank that refused a fee is asked again for nine days."""
TOP_UP = 50_000
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "lost_answer", "match": "POST /v1/*", "probability": 0.06},
    {"kind": "lost_to_error", "match": "POST /v1/*", "probability": 0.04, "status": 500},
    {"kind": "error", "match": "POST /v1/*", "probability": 0.05, "status": 503},
    {"kind": "delay", "match": "POST /v1/*", "probability": 0.005, "seconds": 1.5 * PATIENCE_S},
    {"kind": "late_answer", "match": "POST /v1/*", "probability": 0.005, "seconds": 1.5 * PATIENCE_S},
    {"kind": "reset", "match": "GET /v1/*", "probability": 0.02},
    {"kind": "lost_answer", "match": "POST /v1/transfers*", "probability": 0.2},
    {"kind": "error", "match": "POST /v1/transfers*", "probability": 0.1, "status": 500},
)
TERMS = """
INSERT INTO payment_settings (organization_id, payout_delay_days, late_refund_bps, late_fee_bps, no_show_fee_bps,
                              card_required_for_arrival)
VALUES (:organization, :delay, 5000, 2000, 10000, true)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`faults`: what is wrong, for a person; empty when both sides' books agree and nobody paid for nothing."""

    seed: int
    count: int
    seen: Counter[str]
    faults: Sequence[str]
    cpu_s: float

    @property
    def report(self) -> str:
        """With all that it takes to repeat it. (Who is killed when is chance.)"""
        known = {name: number for name, number in sorted(self.seen.items()) if number}
        return f"TURNERO_SEED={self.seed} TURNERO_CHECKOUTS={self.count} cpu={self.cpu_s:.1f}s {known}"


async def run_checkouts(count: int, seed: int, database_url: str, redis_url: str) -> Outcome:
    """So many, in a database of their own."""
    began = time.process_time()
    async with make_world(database_url, redis_url, random.Random(seed)) as world:
        run = await prepared(world)
        await run.random(count)
        await run.peace()
        faults = await run.faults()
    return Outcome(seed, count, world.seen, faults, time.process_time() - began)


async def prepared(world: World, currency: str | None = None) -> Run:
    """A shop with five providers, four of whom are paid out, and money of the platform's own at the processor.

    `currency`: none: one by chance.
    """
    currency = currency or world.chance.choice(("USD", "USD", "EUR", "JPY", "KWD"))
    shop = await make_shop(
        world.api.services,
        providers=5,
        currency=currency,
        slot_interval=30,
        service={"price_minor": 1_000, "cancellation_notice_minutes": 720},
        more_services=(
            {"price_minor": 3_330},
            {"price_minor": 4_590},
            {"price_minor": 2_000, "requires_approval": True},
        ),
    )
    payees = shop.provider_uuids[:4]
    office = Office(world, shop.organization_uuid, payees)
    for provider in payees:
        await office.onboard(provider)
    async with world.workers.within(None) as tx:
        values = {"organization": shop.organization_uuid, "delay": world.chance.choice((0, 1, 2))}
        await tx.execute(text(TERMS), values)
    await world.at_stripe(
        "POST",
        "payment_intents",
        f"amount={TOP_UP}&currency={currency.lower()}&payment_method=pm_card_visa&payment_method_types[]=card&confirm=true",
    )
    books = Books(world, shop.organization_uuid, currency, world.now() - timedelta(hours=1), TOP_UP)
    return Run(world, People(world, shop, payees, timedelta(days=1)), office, books)


@dataclass(slots=True)
class Run:
    """One run."""

    world: World
    people: People
    office: Office
    books: Books

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────

    async def random(self, count: int) -> None:
        """So many checkouts, and everything else beside them."""
        world, people, office = self.world, self.people, self.office
        seeded = [{**fault, "seed": world.chance.randrange(10**6) + n} for n, fault in enumerate(FAULTS)]
        await world.trouble(*seeded)
        begun = 0
        while begun < count:
            now, expected = min(AT_ONCE, count - begun), await people.due()
            begun += now
            await together(
                *(people.come() for _ in range(now)),
                *(people.act() for _ in range(now // 4) if people.visits),
                *(people.serve(one) for one in expected),
                people.answer(),
            )
            await self._behind()
            world.wait(LONG_WEEKEND if world.chance.random() < 0.03 else world.chance.choice(STEPS))
            await office.sweep()
            if world.chance.random() < 0.5:
                await people.pay_late()

    async def _behind(self) -> None:
        """Workers and planners, two of each, and now and then somebody with a question."""
        office, chance = self.office, self.world.chance
        others = [office.plan(), office.plan()] if chance.random() < 0.4 else []
        if chance.random() < 0.1:
            others.append(office.reconcile())
        if chance.random() < 0.3:
            others.append(office.meddle())
        await together(office.post(share=0.6), office.work(), *others)
        await together(office.work(), office.work())

    async def peace(self) -> None:
        """No faults, nobody dies, every webhook comes, everybody is served, until nothing is left to be done."""
        world, people, office = self.world, self.people, self.office
        await world.calm()
        office.is_safe = True
        await office.resume()
        for _ in range(MOST_ROUNDS):
            world.wait(PEACE)
            world.seen["rounds of peace"] += 1
            await office.sweep()
            await people.pay_late()
            while people.disputes:
                await people.decide()
            await people.answer()
            await self._serve_all()
            await self._hand_back_cash()
            await office.post(share=1.0)
            await office.work()
            await office.plan()
            await office.work()
            await self._look_into()
            await office.attend()
            if await office.is_quiet():
                return

    async def _serve_all(self) -> None:
        """Those too that were confirmed late."""
        query = (
            "SELECT id, provider_id, starts_at FROM booking"
            " WHERE status IN ('confirmed', 'checked_in', 'in_progress') AND starts_at <= turnero_now()"
        )
        for row in await self.world.rows(query):
            await self.people.serve(Visit(row["id"], row["provider_id"], row["starts_at"]))

    async def _hand_back_cash(self) -> None:
        """Refunds of cash wait for somebody to do it."""
        query = (
            "SELECT DISTINCT r.booking_id FROM refund r JOIN payment p ON p.id = r.payment_id"
            " WHERE p.kind = 'cash' AND r.status = 'created'"
        )
        for row in await self.world.rows(query):
            await self.people.return_cash(Visit(row["booking_id"], self.office.payees[0], self.world.now()), whole=True)

    async def _look_into(self) -> None:
        """Reconciliation, and a person who does what it suggests."""
        await self.office.reconcile()
        for one in await self.office.differences():
            self.world.seen[f"left to a person: {one['kind']}"] += 1
            if one["kind"] == "money_left":
                await self.people.refund(Visit(one["booking_id"], self.office.payees[0], self.world.now()))

    # ── what must be true ─────────────────────────────────────────────────────────────────────────────

    async def faults(self) -> list[str]:
        """By the test's eyes and by the product's own."""
        found = [*self.world.strange, *await self.books.check()]
        reconciled = await reconcile(self.world.workers, "stripe", since=self.books.since, patience_s=0, slice_of=WHOLE)
        checked = await check_books(self.world.workers, is_whole=True)
        found += [f"differs: {done}" for done in (reconciled, checked) if done.counts.found or done.is_busy]
        return found + [f"open: {one}" for one in await self.office.differences()]
