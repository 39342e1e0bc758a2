"""Many at once with one promo code: its limits hold exactly, and its counter is what the bookings say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from app.commands.booking import BookingRequest, create_booking
from app.commands.booking_change import Requester, TransitionRequest, transition_booking
from app.commands.booking_insert import CustomerDetails
from app.commands.expiry import expire_unpaid_bookings
from app.core.database import SYSTEM_ROLE, Database
from app.core.ids import IdKind, decode_id, new_id
from app.domain.booking import BookingStatus, PaymentMethod
from app.domain.promo import PromoRefused
from app.queries.tenancy import Tenancy, bind
from app.resolvers.context import Services
from tests.e2e.crowd import Question
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.journey import Visitor, rows_of
from tests.promos import WRONG_COUNTS, make_promo, uses_of
from tests.shop import TEST, Shop, at, make_shop

CONNECTIONS = 24
USES = 500

# Copies of a hold and of its time, each an hour later than the one before.
_COPIES = """
    WITH wanted AS (
        SELECT id, n * interval '1 hour' AS later FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS w (id, n)
    ), held AS (
        INSERT INTO hold SELECT (jsonb_populate_record(h, jsonb_build_object(
            'id', w.id, 'starts_at', h.starts_at + w.later, 'ends_at', h.ends_at + w.later))).*
        FROM hold h, wanted w WHERE h.id = :hold
    )
    INSERT INTO allocation SELECT (jsonb_populate_record(a, jsonb_build_object(
        'id', uuidv7(), 'hold_id', w.id, 'starts_at', a.starts_at + w.later, 'ends_at', a.ends_at + w.later,
        'busy', tstzrange(a.starts_at + w.later, a.ends_at + w.later)))).*
    FROM allocation a, wanted w WHERE a.hold_id = :hold
    RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """People who hold a time each, on connections of their own."""

    database: Database
    shop: Shop
    holds: Sequence[UUID]
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))
    """Nobody waits so long for a connection that the pool gives up, however slow the machine is."""

    @property
    def services(self) -> Services:
        return self.shop.services

    async def book(self, number: int, *, code: str | None = "VERANO20", email: str | None = None) -> UUID | None:
        """The booking's id. None: the code was refused, and nothing happened."""
        hold_id = self.holds[number]
        request = BookingRequest(
            hold_id=hold_id,
            hold_token=self.services.tokens.hold_token(hold_id, 1),
            payment_method=PaymentMethod.PAY_ON_ARRIVAL,
            notes=None,
            promo_code=code,
        )
        customer = CustomerDetails(f"Guest {number}", email or f"guest.{number}@example.com", None, None)
        tenancy = Tenancy(self.shop.organization_uuid)
        now = self.services.clock.now()
        try:
            async with self.turns, self.database.transaction() as tx:
                await bind(tx, organization_id=tenancy.organization_id)
                made = await create_booking(
                    tx, self.services.tokens, request, customer, tenancy=tenancy, actor=TEST, now=now
                )
        except PromoRefused:
            return None
        return made.booking.id

    async def cancel(self, booking_id: UUID) -> None:
        tenancy = Tenancy(self.shop.organization_uuid, "owner")
        step = TransitionRequest(booking_id, BookingStatus.CANCELLED, "Ill", None)
        async with self.database.transaction() as tx:
            await bind(tx, organization_id=tenancy.organization_id)
            now = self.services.clock.now()
            await transition_booking(tx, self.services.tokens, step, Requester(tenancy, None, None, TEST), now)


Gather = Callable[..., Awaitable[Crowd]]


@pytest.fixture
async def crowd(
    running: RunningApi, client: GraphQLClient, database_url: str, count: Question, sound: None
) -> AsyncIterator[Gather]:
    """Makes a crowd of so many, and a code with these limits; afterwards every counter is right."""
    database = Database(database_url, pool_size=CONNECTIONS)

    async def gather(size: int, **promo: Any) -> Crowd:
        shop = await make_shop(running.api.services)
        await make_promo(client, shop, **promo)
        held = await Visitor(client, shop).held(at(2, 10))
        ids = [new_id() for _ in range(size)]
        texts = [str(one) for one in ids]
        await rows_of(shop, _COPIES, ids=texts, hold=decode_id(IdKind.HOLD, held.id))
        return Crowd(database, shop, ids)

    before = await count(WRONG_COUNTS)
    yield gather
    assert await count(WRONG_COUNTS) == before
    await database.dispose()
    assert sound is None


async def test_five_hundred_uses_of_a_code_limited_to_twenty(crowd: Gather) -> None:
    people = await crowd(USES, totalLimit=20)
    booked = await asyncio.gather(*(people.book(number) for number in range(USES)))
    assert Counter(one is not None for one in booked) == {True: 20, False: USES - 20}
    assert await uses_of(people.shop, {"code": "VERANO20"}) == 20
    prices = await rows_of(people.shop, "SELECT price_minor, count(*) AS n FROM booking GROUP BY 1")
    assert prices == [{"price_minor": 800, "n": 20}]
    # Who was refused has the hold still, and books at the full price.
    loser = booked.index(None)
    assert await people.book(loser, code=None) is not None
    held = await rows_of(people.shop, "SELECT count(*) AS n FROM hold WHERE status = 'active'")
    assert held == [{"n": USES - 21 + 1}]


async def test_a_limit_of_one_customer_at_once(crowd: Gather) -> None:
    people = await crowd(16, customerLimit=2)
    booked = await asyncio.gather(*(people.book(number, email="same@example.com") for number in range(16)))
    assert Counter(one is not None for one in booked) == {True: 2, False: 14}


async def test_two_first_bookings_at_once_are_one(crowd: Gather) -> None:
    people = await crowd(24, firstBookingOnly=True)
    pairs = [(number, f"pair.{number // 2}@example.com") for number in range(24)]
    booked = await asyncio.gather(*(people.book(number, email=email) for number, email in pairs))
    winners = Counter(number // 2 for (number, _), one in zip(pairs, booked, strict=True) if one is not None)
    assert winners == dict.fromkeys(range(12), 1)


async def test_uses_that_come_back_are_used_again_and_no_more(crowd: Gather) -> None:
    """They book and cancel, all at once; the limit holds at every moment, and in the end all that is free is given."""
    people = await crowd(60, totalLimit=5)
    most = 0

    async def come_and_go(number: int) -> None:
        nonlocal most
        made = await people.book(number)
        if made is None:
            return
        [row] = await rows_of(people.shop, "SELECT count(*) AS n FROM promo_use WHERE returned_at IS NULL")
        most = max(most, row["n"])
        await people.cancel(made)

    await asyncio.gather(*(come_and_go(number) for number in range(40)))
    assert 1 <= most <= 5
    assert await uses_of(people.shop, {"code": "VERANO20"}) == 0
    booked = await asyncio.gather(*(people.book(number) for number in range(40, 60)))
    assert sum(one is not None for one in booked) == 5


async def test_sweeps_give_back_while_others_take(crowd: Gather, database_url: str) -> None:
    people = await crowd(60, totalLimit=30)
    made = [one for one in await asyncio.gather(*(people.book(number) for number in range(30))) if one is not None]
    # As bookings that wait for a payment that nobody makes.
    await rows_of(
        people.shop,
        "UPDATE booking SET status = 'pending', expires_at = turnero_now() - interval '1 hour'"
        " WHERE id = ANY (:ids) RETURNING id",
        ids=made,
    )
    worker = Database(database_url, role=SYSTEM_ROLE, pool_size=4)

    async def sweep() -> int:
        async with worker.transaction() as tx:
            return await expire_unpaid_bookings(tx, 7)

    try:
        await asyncio.gather(*(sweep() for _ in range(5)), *(people.book(number) for number in range(30, 60)))
        assert await uses_of(people.shop, {"code": "VERANO20"}) <= 30
        while await sweep():
            pass
    finally:
        await worker.dispose()
    assert await rows_of(people.shop, "SELECT 1 FROM booking WHERE status = 'pending'") == []
