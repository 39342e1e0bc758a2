"""Many at once where somebody waits: exactly the right ones get offers, and never more than there are places."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from app.commands.waitlist_offer import offer_what_opened
from app.core.database import SYSTEM_ROLE, Database
from app.jobs.waitlist import lapse_offers
from app.resolvers.context import Services
from tests.classes import WRONG_COUNTS, make_class
from tests.e2e.crowd import Question, hold, kinds, strangers
from tests.e2e.test_session_races import take
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import link
from tests.journey import Visitor, rows_of
from tests.rooms import make_room, need_any
from tests.schema import operations as op
from tests.shop import at, iso, make_shop
from tests.waiting import JOIN, TOO_MANY_OFFERS, Waiting, join, waiting, window


@pytest.fixture
def services(running: RunningApi) -> Services:
    return running.api.services


@pytest.fixture
async def worker(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, role=SYSTEM_ROLE, pool_size=2, closing=offer_what_opened)
    yield database
    await database.dispose()


@pytest.fixture
async def fair(count: Question, sound: None) -> AsyncIterator[None]:
    """After the test: counters are right, and each offer has its hold.

    Other tests may have written rows by hand: what matters is that no more went wrong.
    """
    asked = (f"SELECT count(*) FROM ({WRONG_COUNTS}) AS wrong", TOO_MANY_OFFERS)
    before = [await count(one) for one in asked]
    yield sound
    assert [await count(one) for one in asked] == before


async def states(line: list[Waiting]) -> list[str]:
    return list(await asyncio.gather(*(one.status() for one in line)))


@pytest.mark.usefixtures("fair")
async def test_forty_parties_of_three_and_ten_who_wait(
    running: RunningApi, services: Services, client: GraphQLClient
) -> None:
    """Three get in. Two cancel at once while ten wait and others try to slip in: the first party that fits gets three
    places, the next one that fits two of the other three, and the last is anybody's.
    """
    yoga = await make_class(client, services)
    session = await yoga.at(at(3, 9))
    async with strangers(running.graphql_url, 40) as guests:
        answers = await asyncio.gather(*(take(guest, session, 3) for guest in guests))
        assert kinds(answers) == {"CreateBookingPayload": 3, "SlotUnavailable": 37}
        await yoga.booked(session["id"])
        parties = (8, 4, 3, 2, 3, 2, 2, 8, 3, 2)
        line = [await waiting(client, sessionId=session["id"], partySize=party) for party in parties]
        booked = [answer for answer in answers if answer["__typename"] == "CreateBookingPayload"]
        *slipped, one, two = await asyncio.gather(
            *(take(guest, session, 1) for guest in guests[:10]),
            *(client(op.CANCEL, {"input": {**link(gone), "reason": "Ill"}}) for gone in booked[:2]),
        )
    assert (one["__typename"], two["__typename"]) == ("Booking", "Booking")
    assert await states(line) == ["WAITING", "WAITING", "OFFERED", "OFFERED", *["WAITING"] * 6]
    sold = kinds(slipped)["CreateBookingPayload"]
    assert sold <= 1
    assert (await yoga.read(session["id"]))["placesTaken"] == 3 + 1 + 3 + 2 + sold


@pytest.mark.usefixtures("fair")
async def test_all_at_once(services: Services, client: GraphQLClient, worker: Database) -> None:
    """They cancel, decline, accept and leave, offers lapse, capacity rises, others try to get in: it always adds up."""
    yoga = await make_class(client, services, capacity=12)
    session = await yoga.at(at(3, 9))
    made = [await yoga.booked(session["id"], 2) for _ in range(6)]
    line = [await waiting(client, sessionId=session["id"], partySize=1 + number % 3) for number in range(12)]

    async def answer(one: Waiting, number: int) -> None:
        chance = random.Random(number)
        for _ in range(6):
            held = await one.offer()
            if held is None:
                await asyncio.sleep(0.02)
            elif chance.random() < 0.5:
                assert (await one.accept(yoga.shop, held))["__typename"] in {"CreateBookingPayload", "HoldExpired"}
            elif chance.random() < 0.5:
                await one.decline(held)
            else:
                await one.leave()

    async def lapse() -> None:
        for _ in range(4):
            await asyncio.sleep(0.03)
            await rows_of(
                yoga.shop,
                "UPDATE waitlist_entry SET offer_expires_at = turnero_now() WHERE id = ("
                " SELECT id FROM waitlist_entry WHERE status = 'offered' ORDER BY arrival LIMIT 1) RETURNING id",
            )
            await lapse_offers(worker)

    await asyncio.gather(
        *(yoga.guest.cancel(one, accessToken=one.token) for one in made[:4]),
        *(answer(one, number) for number, one in enumerate(line)),
        *(yoga.hold(session["id"]) for _ in range(6)),
        yoga.staff("changeSessionCapacity", session["id"], capacity=14),
        lapse(),
    )
    seen = await yoga.read(session["id"])
    entries = [await one.read() for one in line]
    left = seen["capacityTotal"] - seen["placesTaken"]
    # Whoever still waits does not fit into what is left.
    assert all(one["partySize"] > left for one in entries if one["status"] == "WAITING")


@pytest.mark.usefixtures("fair")
async def test_to_accept_what_lapses(services: Services, client: GraphQLClient, worker: Database) -> None:
    """One of the two: booked by the first, or offered to the second."""
    yoga = await make_class(client, services, capacity=8)
    session = await yoga.at(at(3, 9))
    made = [await yoga.booked(session["id"]) for _ in range(8)]
    line = [await waiting(client, sessionId=session["id"]) for _ in range(16)]
    for one in made:
        await yoga.guest.cancel(one, accessToken=one.token)
    assert await states(line[:8]) == ["OFFERED"] * 8
    offers = [await one.offered() for one in line[:8]]
    await rows_of(
        yoga.shop,
        "UPDATE waitlist_entry SET offer_expires_at = turnero_now() WHERE status = 'offered'"
        " AND session_id = (SELECT session_id FROM hold WHERE id = waitlist_entry.hold_id) RETURNING id",
    )
    lapsing = asyncio.create_task(lapse_offers(worker))
    answers = await asyncio.gather(*(one.accept(yoga.shop, held) for one, held in zip(line[:8], offers, strict=True)))
    await lapsing
    booked = kinds(answers)["CreateBookingPayload"]
    assert kinds(answers) == {"CreateBookingPayload": booked, **({"HoldExpired": 8 - booked} if booked < 8 else {})}
    await lapse_offers(worker)
    after = await states(line)
    assert after[:8].count("ACCEPTED") == booked
    assert after[8:].count("OFFERED") == 8 - booked == after[:8].count("ENDED")


@pytest.mark.usefixtures("fair")
async def test_to_join_while_a_place_comes_free(services: Services, client: GraphQLClient) -> None:
    """Who joins is told that there is a place, or is offered it: nobody waits beside a free one."""
    yoga = await make_class(client, services, capacity=3)
    for hour in (9, 10, 11):
        session = await yoga.at(at(3, hour))
        made = [await yoga.booked(session["id"]) for _ in range(3)]
        joined, cancelled = await asyncio.gather(
            join(client, sessionId=session["id"]), yoga.guest.cancel(made[0], accessToken=made[0].token)
        )
        assert cancelled["__typename"] == "Booking"
        if joined["__typename"] == "NotAllowed":
            assert joined["rule"] == "places_free"
            assert (await yoga.hold(session["id"]))["__typename"] == "HoldSlotPayload"
        else:
            assert await Waiting(client, joined["entry"]["id"], joined["accessToken"], joined).status() == "OFFERED"


@pytest.mark.usefixtures("fair")
async def test_one_request_sent_many_times(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, capacity=1)
    session = await yoga.at(at(3, 9))
    await yoga.booked(session["id"])
    wanted = {
        "sessionId": session["id"],
        "customer": {"name": "Ana", "email": "ana@example.com"},
        "idempotencyKey": "0198c5f4-6b0a-7c3e-9d53-2f6a1c1f0001",
    }
    answers = await asyncio.gather(*(client(JOIN, {"input": wanted}) for _ in range(8)))
    assert len({answer["accessToken"] for answer in answers}) == 1


@pytest.mark.usefixtures("fair")
@pytest.mark.parametrize("needs_room", [False, True])
async def test_appointments_cancelled_at_once(
    running: RunningApi, services: Services, client: GraphQLClient, needs_room: bool
) -> None:
    """Each freed time goes to one of those who wait, in line, and to nobody who comes by meanwhile."""
    shop = await make_shop(services)
    if needs_room:
        await need_any(shop, await make_room(shop))
    guest = Visitor(client, shop)
    made = {}
    while free := [start for start in await guest.starts(at(3, 0).date()) if at(3, 9) <= start < at(3, 13)]:
        made[free[0]] = await guest.booked(free[0])
    morning = [window(at(3, 9), at(3, 13))]
    line = [await waiting(client, serviceId=shop.service_id, windows=morning) for _ in range(5)]
    starts = sorted(made)[:3]
    async with strangers(running.graphql_url, 9) as others:
        *slipped, one, two, three = await asyncio.gather(
            *(hold(other, shop, starts[number % 3]) for number, other in enumerate(others)),
            *(guest.cancel(made[start], accessToken=made[start].token) for start in starts),
        )
    assert kinds([one, two, three]) == {"Booking": 3}
    assert kinds(slipped) == {"SlotUnavailable": 9}
    assert (await states(line)).count("OFFERED") == 3
    assert await states(line[:2]) == ["OFFERED", "OFFERED"]
    assert {(await each.offered()).answer["startsAt"] for each in line if await each.status() == "OFFERED"} == {
        iso(start) for start in starts
    }


@pytest.mark.usefixtures("fair")
async def test_a_claim_that_has_the_person_already(services: Services, client: GraphQLClient, worker: Database) -> None:
    """Of somebody with a limit every claim locks the person first. One that did, and comes for the very time that is
    just freed, does not stop its offer by that, and does not get it.
    """
    shop = await make_shop(services)
    guest = Visitor(client, shop)
    made = await guest.booked(at(3, 9))
    await rows_of(shop, "UPDATE provider SET daily_booking_limit = 1 RETURNING id")
    one = await waiting(client, serviceId=shop.service_id, windows=[window(at(3, 9), at(3, 9, 1))])
    async with worker.transaction() as tx:
        person = {"id": shop.provider_uuids[0]}
        await tx.execute(text("SELECT 1 FROM provider WHERE id = :id FOR NO KEY UPDATE"), person)
        cancelling = asyncio.create_task(guest.cancel(made, accessToken=made.token))
        await asyncio.sleep(0.25)
        claim = text(
            "SELECT c.claimed FROM allocation a, claim_time(uuidv7(), a.organization_id, a.subject_id, a.busy,"
            " a.starts_at, a.ends_at, 'held', a.hold_id, NULL, a.starts_at, 'HELD') c WHERE a.subject_id = :id"
        )
        assert not (await tx.execute(claim, person)).scalar_one()
    assert (await cancelling)["__typename"] == "Booking"
    assert await one.status() == "OFFERED"


@pytest.mark.usefixtures("fair")
async def test_an_offer_lapses_with_all_its_time(services: Services, client: GraphQLClient, worker: Database) -> None:
    """Of a person and a room, one of which somebody has in hand this moment: neither is freed before the other."""
    shop = await make_shop(services)
    await need_any(shop, await make_room(shop))
    guest = Visitor(client, shop)
    made = await guest.booked(at(3, 9))
    one = await waiting(client, serviceId=shop.service_id, windows=[window(at(3, 9), at(3, 9, 1))])
    await guest.cancel(made, accessToken=made.token)
    await one.offered()
    await rows_of(shop, "UPDATE waitlist_entry SET offer_expires_at = turnero_now() RETURNING id")
    held = "SELECT count(*) AS n FROM allocation WHERE status = 'held' AND organization_id = :id"
    async with worker.transaction() as tx:
        await tx.execute(
            text("SELECT 1 FROM allocation WHERE status = 'held' AND subject_id = :id FOR NO KEY UPDATE"),
            {"id": shop.provider_uuids[0]},
        )
        await lapse_offers(worker)
        assert (await rows_of(shop, held, id=shop.organization_uuid))[0]["n"] == 2
        assert await one.status() == "OFFERED"
    await lapse_offers(worker)
    assert (await rows_of(shop, held, id=shop.organization_uuid))[0]["n"] == 0
