"""Waiting for places of a session: who gets what comes free, and what becomes of offers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.core.database import Database
from app.jobs.waitlist import end_past_entries, fill_sessions, lapse_offers
from app.resolvers.context import Services
from tests.classes import Class, faults, make_class
from tests.factories import someone
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Made, rows_of
from tests.shop import at, iso
from tests.waiting import JOIN, PRIORITY, READ, TOO_MANY_OFFERS, join, waiting, window


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Any:
    """Ten places."""
    made = await make_class(client, services)
    yield made
    assert await faults(made.shop) == []
    assert await rows_of(made.shop, TOO_MANY_OFFERS) == [{"count": 0}]


async def full(yoga: Class, *parties: int, hour: int = 9) -> tuple[str, list[Made]]:
    """A session that is sold out to these parties."""
    session = await yoga.at(at(3, hour))
    return session["id"], [await yoga.booked(session["id"], places) for places in parties or (10,)]


async def cancel(yoga: Class, made: Made) -> None:
    answer = await yoga.guest.cancel(made, accessToken=made.token)
    assert answer["__typename"] == "Booking", answer


async def test_a_freed_place_is_held_for_the_first_who_fits(yoga: Class, client: GraphQLClient) -> None:
    session, (two, _) = await full(yoga, 2, 8)
    three = await waiting(client, sessionId=session, partySize=3)
    first = await waiting(client, sessionId=session, partySize=2)
    second = await waiting(client, sessionId=session)
    assert [one.answer["position"] for one in (three, first, second)] == [1, 2, 3]
    await cancel(yoga, two)
    assert [await one.status() for one in (three, first, second)] == ["WAITING", "OFFERED", "WAITING"]
    held = await first.offered()
    assert held.answer == {
        "status": "ACTIVE",
        "partySize": 2,
        "startsAt": iso(at(3, 9)),
        "price": {"amountMinor": 3_000},
    }
    assert (await yoga.read(session))["capacityRemaining"] == 0
    assert (await yoga.hold(session))["reason"] == "CAPACITY"
    assert (await second.read())["position"] == 2
    booked = await first.accept(yoga.shop, held)
    assert booked["__typename"] == "CreateBookingPayload"
    assert (await first.read())["status"] == "ACCEPTED"
    assert (await yoga.read(session))["placesTaken"] == 10


async def test_where_there_is_room_nobody_waits(yoga: Class, client: GraphQLClient) -> None:
    session, _ = await full(yoga, 9)
    answer = await join(client, sessionId=session)
    assert (answer["__typename"], answer["rule"]) == ("NotAllowed", "places_free")
    assert (await join(client, sessionId=session, partySize=2))["entry"]["position"] == 1
    # Who wants what the party does not fit into takes it.
    assert (await yoga.hold(session))["__typename"] == "HoldSlotPayload"


async def test_declined_it_goes_to_the_next(yoga: Class, client: GraphQLClient) -> None:
    session, (one, _) = await full(yoga, 1, 9)
    first, second = [await waiting(client, sessionId=session) for _ in range(2)]
    await cancel(yoga, one)
    held = await first.offered()
    declined = await first.decline(held)
    assert (declined["entry"]["status"], declined["entry"]["endReason"]) == ("ENDED", "DECLINED")
    assert await second.status() == "OFFERED"
    again = await first.decline(held)
    assert again["entry"]["version"] == declined["entry"]["version"]
    assert (await first.accept(yoga.shop, held))["__typename"] == "HoldExpired"
    rows = await rows_of(
        yoga.shop, "SELECT actor FROM audit_entry WHERE action IN ('waitlist.declined', 'waitlist.offered') ORDER BY id"
    )
    assert [row["actor"] for row in rows[-3:]] == ["system", "customer", "system"]


async def test_lapsed_it_reads_as_held_until_the_job_passes_it_on(
    yoga: Class, client: GraphQLClient, worker: Database, clock: Any
) -> None:
    session, (one, _) = await full(yoga, 1, 9)
    first, second = [await waiting(client, sessionId=session) for _ in range(2)]
    await cancel(yoga, one)
    held = await first.offered()
    extended = await yoga.guest.extend(held)
    assert (extended["__typename"], extended["rule"]) == ("NotAllowed", "waitlist_offer")
    clock.move(timedelta(minutes=16))
    assert await first.offer() is None
    assert (await yoga.read(session))["capacityRemaining"] == 0
    assert (await yoga.hold(session))["reason"] == "CAPACITY"
    assert (await first.accept(yoga.shop, held))["__typename"] == "HoldExpired"
    assert await second.status() == "WAITING"
    await rows_of(
        yoga.shop,
        "UPDATE waitlist_entry SET offer_expires_at = now() - interval '1 minute'"
        " WHERE status = 'offered' RETURNING id",
    )
    for _ in range(2):
        await lapse_offers(worker)
    assert ((await first.read())["status"], (await first.read())["endReason"]) == ("ENDED", "LAPSED")
    clock.move(timedelta(0))
    assert (await second.accept(yoga.shop, await second.offered()))["__typename"] == "CreateBookingPayload"


async def test_what_a_lapsed_hold_gives_back_is_for_those_who_wait(
    yoga: Class, client: GraphQLClient, clock: Any
) -> None:
    """The sweep frees it and offers it; a guest who comes first gets nothing of it."""
    session, _ = await full(yoga, 9)
    held = await yoga.held(session)
    first = await waiting(client, sessionId=session)
    clock.move(timedelta(minutes=11))
    assert (await yoga.hold(session))["__typename"] == "SlotUnavailable"
    assert await first.status() == "WAITING"
    # Whoever joins behind them frees it as the sweep does, and it is not theirs.
    second = await waiting(client, sessionId=session)
    assert (await first.status(), await second.status()) == ("OFFERED", "WAITING")
    assert (await yoga.guest.book(held))["__typename"] == "HoldExpired"


async def test_priority_comes_before_arrival(yoga: Class, client: GraphQLClient) -> None:
    session, (one, _) = await full(yoga, 1, 9)
    first, second = [await waiting(client, sessionId=session) for _ in range(2)]
    wanted = {"entryId": second.id, "priority": 5}
    moved = await yoga.owner(PRIORITY, {"input": wanted})
    assert (moved["entry"]["position"], moved["entry"]["priority"]) == (1, 5)
    assert (await first.read())["position"] == 2
    stale = await yoga.owner(PRIORITY, {"input": {**wanted, "priority": 6, "expectedVersion": 1}})
    assert stale["__typename"] == "StaleVersion"
    absurd = await yoga.owner(PRIORITY, {"input": {**wanted, "priority": 101}})
    assert absurd["violations"][0]["path"] == "input.priority"
    await cancel(yoga, one)
    assert [await each.status() for each in (first, second)] == ["WAITING", "OFFERED"]


async def test_everything_that_makes_room_makes_offers(yoga: Class, client: GraphQLClient) -> None:
    """More capacity, a move away, a released hold, a session that takes bookings again."""
    session, (one, two, _) = await full(yoga, 1, 1, 7)
    held = await yoga.held(session)
    line = [await waiting(client, sessionId=session) for _ in range(5)]
    await yoga.staff("changeSessionCapacity", session, capacity=11)
    other = await yoga.at(at(3, 11))
    moved = await yoga.guest.move(one, accessToken=one.token, sessionId=other["id"])
    assert moved["__typename"] == "Booking"
    await yoga.guest.release(held)
    assert [await each.status() for each in line] == ["OFFERED"] * 3 + ["WAITING"] * 2
    await yoga.staff("closeSession", session)
    await cancel(yoga, two)
    assert await line[3].status() == "WAITING"
    await yoga.staff("reopenSession", session)
    assert [await each.status() for each in line] == ["OFFERED"] * 4 + ["WAITING"]


async def test_any_session_of_an_activity(yoga: Class, client: GraphQLClient) -> None:
    """Declined, the next session of the windows is still wanted."""
    _, (nine,) = await full(yoga, 10)
    _, (ten,) = await full(yoga, 10, hour=10)
    windows = [window(at(3, 9), at(3, 10)), window(at(3, 10), at(3, 10, 30))]
    one = await waiting(client, activityId=yoga.activity_id, windows=windows, partySize=4)
    assert one.answer["windows"] == [window(at(3, 9), at(3, 10, 30))]
    await cancel(yoga, nine)
    held = await one.offered()
    declined = await one.decline(held)
    assert (declined["entry"]["status"], declined["entry"]["position"]) == ("WAITING", 1)
    await cancel(yoga, ten)
    assert (await one.offered()).answer["startsAt"] == iso(at(3, 10))
    left = await one.leave()
    assert left["entry"]["status"] == "LEFT"
    assert (await yoga.read((await yoga.at(at(3, 10)))["id"]))["placesTaken"] == 0
    assert (await one.leave())["entry"]["version"] == left["entry"]["version"]


async def test_a_session_that_is_called_off(yoga: Class, client: GraphQLClient) -> None:
    session, (one, _) = await full(yoga, 1, 9)
    offered, second = [await waiting(client, sessionId=session) for _ in range(2)]
    await full(yoga, 10, hour=10)
    await cancel(yoga, one)
    answer = await yoga.staff("cancelSession", session, reason="Ill", others="CANCEL")
    assert answer["__typename"] == "CancelSessionPayload"
    for entry in (offered, second):
        seen = await entry.read()
        assert (seen["status"], seen["endReason"], seen["offer"]) == ("ENDED", "SESSION_CANCELLED", None)


async def test_the_job_offers_what_opened_by_itself(yoga: Class, client: GraphQLClient, worker: Database) -> None:
    """Nobody slips in meanwhile."""
    session, _ = await full(yoga)
    first = await waiting(client, sessionId=session)
    await rows_of(yoga.shop, "UPDATE activity SET is_active = false WHERE id = :id RETURNING id", id=yoga.activity_uuid)
    await rows_of(
        yoga.shop,
        "UPDATE activity_session SET capacity = 11 WHERE activity_id = :id RETURNING id",
        id=yoga.activity_uuid,
    )
    await fill_sessions(worker)
    assert await first.status() == "WAITING"
    await rows_of(yoga.shop, "UPDATE activity SET is_active = true WHERE id = :id RETURNING id", id=yoga.activity_uuid)
    assert (await yoga.hold(session))["__typename"] == "SlotUnavailable"
    for _ in range(2):
        await fill_sessions(worker)
    assert await first.status() == "OFFERED"


async def test_entries_end_when_their_times_are_over(yoga: Class, client: GraphQLClient, worker: Database) -> None:
    session, _ = await full(yoga)
    entry = await waiting(client, sessionId=session)
    await rows_of(
        yoga.shop,
        "UPDATE waitlist_entry SET windows = '{[2020-01-01,2020-01-02)}' WHERE session_id IS NOT NULL RETURNING id",
    )
    await end_past_entries(worker)
    seen = await entry.read()
    assert (seen["status"], seen["endReason"], seen["position"]) == ("ENDED", "PAST", None)


async def test_strangers_find_nothing(yoga: Class, client: GraphQLClient, services: Services) -> None:
    session, _ = await full(yoga)
    entry, other = [await waiting(client, sessionId=session) for _ in range(2)]
    stranger = await someone(services, client)
    end = "A" if entry.token[-1] != "A" else "B"
    for asking, variables in (
        (client, {"id": entry.id}),
        (stranger.client, {"id": entry.id}),
        (client, {"id": entry.id, "token": other.token}),
        (client, {"token": entry.token[:-1] + end}),
        (client, {"token": "nothing"}),
        (client, {"token": "é"}),
    ):
        answer = await asking.raw(READ, variables)
        assert answer["data"] == {"waitlistEntry": None}
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    answer = await stranger.client(PRIORITY, {"input": {"entryId": entry.id, "priority": 9}})
    assert answer["__typename"] == "NotFound"
    assert (await yoga.owner(READ, {"id": entry.id}))["status"] == "WAITING"


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({}, "input.sessionId"),
        ({"windows": []}, "input.sessionId"),
        ({"activity": True}, "input.windows"),
        ({"activity": True, "windows": []}, "input.windows"),
        ({"activity": True, "windows": [window(at(3, 9), at(3, 9))]}, "input.windows.0.to"),
        ({"activity": True, "windows": [window(at(-3, 9), at(-2, 9))]}, "input.windows.0.to"),
        ({"activity": True, "windows": [window(at(3, 9), at(500, 9))]}, "input.windows.0.to"),
        ({"activity": True, "windows": [window(at(3, 9), at(90, 9))]}, "input.windows"),
        ({"activity": True, "windows": [window(at(3, 9), at(4, 9))], "partySize": 11}, "input.partySize"),
        ({"session": True, "partySize": 0}, "input.partySize"),
        ({"session": True, "partySize": 11}, "input.partySize"),
        ({"session": True, "windows": []}, "input.windows"),
        ({"session": True, "customer": {"name": " ", "email": "nobody"}}, "input.customer.name"),
    ],
)
async def test_what_cannot_be_waited_for(yoga: Class, client: GraphQLClient, wanted: dict[str, Any], path: str) -> None:
    extra = {key: value for key, value in wanted.items() if key not in {"activity", "session"}}
    if "activity" in wanted:
        extra["activityId"] = yoga.activity_id
    if "session" in wanted:
        extra["sessionId"] = (await yoga.at(at(3, 9)))["id"]
    answer = await join(client, **extra)
    assert answer["__typename"] == "InvalidInput", answer
    assert path in [violation["path"] for violation in answer["violations"]]


async def test_the_same_request_twice_joins_once(yoga: Class, client: GraphQLClient) -> None:
    session, _ = await full(yoga)
    wanted = {
        "sessionId": session,
        "customer": {"name": "Ana", "email": "ana@example.com"},
        "idempotencyKey": str(uuid4()),
    }
    answers = [await client(JOIN, {"input": wanted}) for _ in range(2)]
    assert answers[0] == answers[1]
    for _ in range(9):
        await waiting(client, **{**wanted, "idempotencyKey": str(uuid4())})
    one_more = await client(JOIN, {"input": {**wanted, "idempotencyKey": str(uuid4())}})
    assert one_more["rule"] == "waitlist_limit"


async def test_statements(yoga: Class, client: GraphQLClient, statements: StatementLog) -> None:
    session, (one, two, _) = await full(yoga, 1, 1, 8)
    statements.clear()
    await cancel(yoga, two)
    without = len(statements)
    await yoga.booked(session)
    statements.clear()
    await waiting(client, sessionId=session)
    assert len(statements) <= 11
    statements.clear()
    await cancel(yoga, one)
    # A savepoint and its end, who is next (twice: nobody is left), the session, twice, and the offer.
    assert len(statements) - without <= 7
