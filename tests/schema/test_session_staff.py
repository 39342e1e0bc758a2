"""What the staff do with a session: close it, change its places, call it off."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from app.commands import session_cancel
from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import AFTER_NOON, ONE, Class, change, faults, make_class
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Made, Visitor, account, colleague, live_time, rows_of
from tests.shop import at, iso, make_person, make_shop


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services, led_by_first=True)


async def shown(yoga: Class, made: Made) -> dict[str, Any]:
    query = (
        "query ($t: String) { booking(accessToken: $t) { status startsAt session { id } transitions { to reason } } }"
    )
    found: dict[str, Any] = await yoga.client(query, {"t": made.token})
    return found


async def test_closing_and_reopening(yoga: Class) -> None:
    session = await yoga.at(at(2, 9))
    made = await yoga.booked(session["id"], 3)
    closed = (await yoga.staff("closeSession", session["id"]))["session"]
    assert (closed["status"], closed["capacityRemaining"], closed["placesTaken"], closed["version"]) == (
        "CLOSED",
        0,
        3,
        2,
    )
    again = (await yoga.staff("closeSession", session["id"]))["session"]
    assert again["version"] == 2
    assert (await shown(yoga, made))["status"] == "CONFIRMED"
    assert (await yoga.staff("reopenSession", session["id"], expectedVersion=1))["currentVersion"] == 2
    opened = (await yoga.staff("reopenSession", session["id"], expectedVersion=2))["session"]
    assert (opened["status"], opened["capacityRemaining"]) == ("OPEN", 7)
    actions = await rows_of(
        yoga.shop,
        "SELECT action, actor FROM audit_entry WHERE subject_id = :id ORDER BY id",
        id=decode_id(IdKind.SESSION, session["id"]),
    )
    assert [(row["action"], row["actor"]) for row in actions] == [
        ("session.closed", "owner"),
        ("session.reopened", "owner"),
    ]


async def test_a_capacity_below_what_is_sold_keeps_what_is_sold(yoga: Class) -> None:
    session = await yoga.at(at(2, 9))
    made, held = await yoga.booked(session["id"], 4), await yoga.held(session["id"], 2)
    lowered = (await yoga.staff("changeSessionCapacity", session["id"], capacity=3))["session"]
    assert (lowered["capacityTotal"], lowered["capacityRemaining"], lowered["placesTaken"]) == (3, 0, 6)
    assert (await yoga.hold(session["id"]))["reason"] == "CAPACITY"
    assert (await yoga.guest.book(held))["__typename"] == "CreateBookingPayload"
    await yoga.guest.cancel(made, accessToken=made.token)
    assert (await yoga.read(session["id"]))["capacityRemaining"] == 1
    assert (await yoga.hold(session["id"], 2))["reason"] == "CAPACITY"
    assert (await yoga.hold(session["id"], 1))["__typename"] == "HoldSlotPayload"
    raised = (await yoga.staff("changeSessionCapacity", session["id"], capacity=20))["session"]
    assert raised["capacityRemaining"] == 17
    assert await faults(yoga.shop) == []


@pytest.mark.parametrize("capacity", [-1, 10_001, 2**31 - 1])
async def test_capacities_that_cannot_be(yoga: Class, capacity: int) -> None:
    answer = await yoga.staff("changeSessionCapacity", (await yoga.at(at(2, 9)))["id"], capacity=capacity)
    assert answer["violations"][0]["path"] == "input.capacity"


async def test_every_booking_is_answered_for_or_nothing_happens(yoga: Class) -> None:
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    first, second, gone = [await yoga.booked(nine["id"], places) for places in (1, 2, 3)]
    await yoga.guest.cancel(gone, accessToken=gone.token)
    await yoga.held(nine["id"], 2)
    silent = await yoga.staff("cancelSession", nine["id"], reason="The teacher is ill")
    assert silent["__typename"] == "InvalidInput"
    assert sorted(v["message"] for v in silent["violations"]) == sorted(
        f"must say what becomes of {made.id}" for made in (first, second)
    )
    assert {v["path"] for v in silent["violations"]} == {"input.resolutions"}
    half = await yoga.staff(
        "cancelSession",
        nine["id"],
        reason="The teacher is ill",
        resolutions=[
            {"bookingId": first.id, "action": "CANCEL"},
            {"bookingId": first.id, "action": "CANCEL"},
            {"bookingId": gone.id, "action": "CANCEL"},
        ],
    )
    assert {v["path"] for v in half["violations"]} == {
        "input.resolutions",
        "input.resolutions.1.bookingId",
        "input.resolutions.2.bookingId",
    }
    assert (await yoga.read(nine["id"]))["placesTaken"] == 5
    assert [start for start, _, _ in await live_time(yoga.shop)].count(at(3, 9)) == 1
    done = await yoga.staff(
        "cancelSession",
        nine["id"],
        reason="The teacher is ill",
        resolutions=[
            {"bookingId": first.id, "action": "CANCEL"},
            {"bookingId": second.id, "action": "RESCHEDULE", "sessionId": ten["id"]},
        ],
    )
    assert (done["session"]["status"], done["session"]["cancelledReason"], done["session"]["placesTaken"]) == (
        "CANCELLED",
        "The teacher is ill",
        0,
    )
    cancelled, moved = await shown(yoga, first), await shown(yoga, second)
    assert (cancelled["status"], cancelled["transitions"][-1]) == (
        "CANCELLED",
        {"to": "CANCELLED", "reason": "The teacher is ill"},
    )
    assert (moved["status"], moved["startsAt"], moved["session"]["id"]) == ("CONFIRMED", iso(at(3, 10)), ten["id"])
    assert (await yoga.read(ten["id"]))["placesTaken"] == 2
    # The time of who leads it is free again.
    assert [start for start, _, _ in await live_time(yoga.shop)].count(at(3, 9)) == 0
    assert (await yoga.guest.hold(at(3, 9)))["__typename"] == "HoldSlotPayload"
    again = await yoga.staff("cancelSession", nine["id"], reason="The teacher is ill")
    assert again["session"]["status"] == "CANCELLED"
    assert await faults(yoga.shop) == []
    events = await rows_of(
        yoga.shop,
        "SELECT type FROM outbox_event WHERE subject_id = :id ORDER BY id",
        id=decode_id(IdKind.SESSION, nine["id"]),
    )
    assert events[-1]["type"] == "session.cancelled"


async def test_why_it_was_called_off_is_for_few_eyes(
    services: Services, client: GraphQLClient, statements: StatementLog
) -> None:
    linked = await make_person(services, "linked")
    yoga = await make_class(client, services, shop=await make_shop(services, linked=linked), led_by_first=True)
    shop, why = yoga.shop, "Grace has chemotherapy"
    nine, ten = await yoga.at(at(2, 9)), await yoga.at(at(2, 10))
    ana, moved, stranger = [await account(client, shop, name) for name in ("ana", "moved", "stranger")]
    hers, his = [
        await person.book(await yoga.held(nine["id"], client=person.client), customer=None) for person in (ana, moved)
    ]
    guest = await yoga.booked(nine["id"])
    elsewhere = Visitor(client.signed_in((await make_shop(services)).owner.token), shop)
    await yoga.booked(ten["id"])
    wanted = [
        {"bookingId": hers["booking"]["id"], "action": "CANCEL"},
        {"bookingId": his["booking"]["id"], "action": "RESCHEDULE", "sessionId": ten["id"]},
        {"bookingId": guest.id, "action": "CANCEL"},
    ]
    done = await yoga.staff("cancelSession", nine["id"], reason=why, resolutions=wanted)
    assert done["session"]["cancelledReason"] == why
    staff = await colleague(client, shop, Role.STAFF)
    teacher = Visitor(client.signed_in(linked.token), shop)
    for visitor, reason in (
        (staff, why),
        (teacher, why),
        (ana, why),
        (moved, why),
        (stranger, None),
        (elsewhere, None),
        (yoga.guest, None),
    ):
        seen = await visitor.client(ONE, {"id": nine["id"]})
        assert (seen["status"], seen["cancelledReason"]) == ("CANCELLED", reason)
    by_link = "query ($t: String) { booking(accessToken: $t) { session { cancelledReason } } }"
    assert (await client(by_link, {"t": guest.token}))["session"]["cancelledReason"] == why
    statements.clear()
    await ana.client("query ($id: ID!) { session(id: $id) { cancelledReason } }", {"id": nine["id"]})
    assert len(statements) == 4


async def test_one_answer_for_all_who_are_not_named(services: Services, client: GraphQLClient) -> None:
    """In a few statements, however many they are."""
    yoga = await make_class(client, services, capacity=40)
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    made = [await yoga.booked(nine["id"], places) for places in (1, 2, 3, 4)]
    wanted: dict[str, Any] = {"reason": "The roof leaks", "others": "RESCHEDULE"}
    assert (await yoga.staff("cancelSession", nine["id"], **wanted))["violations"][0]["path"] == "input.others"
    answers = [{"bookingId": made[0].id, "action": "RESCHEDULE", "sessionId": ten["id"]}]
    wanted |= {"others": "CANCEL", "resolutions": answers}
    done = (await yoga.staff("cancelSession", nine["id"], **wanted))["session"]
    assert (done["status"], done["placesTaken"]) == ("CANCELLED", 0)
    assert (await yoga.read(ten["id"]))["placesTaken"] == 1
    first, *others = [await shown(yoga, one) for one in made]
    assert (first["status"], first["session"]["id"]) == ("CONFIRMED", ten["id"])
    assert {one["status"] for one in others} == {"CANCELLED"}
    assert {one["transitions"][-1]["reason"] for one in others} == {"The roof leaks"}
    told = await rows_of(
        yoga.shop,
        "SELECT e.type, e.payload, a.actor FROM outbox_event e JOIN audit_entry a ON a.subject_id = e.subject_id"
        " AND a.action = e.type WHERE e.type = 'booking.cancelled'",
    )
    assert [(row["payload"], row["actor"]) for row in told] == [({"version": 2, "status": "cancelled"}, "owner")] * 3
    assert await faults(yoga.shop) == []
    assert (await yoga.staff("cancelSession", nine["id"], **wanted))["session"]["version"] == done["version"]


async def test_cancelling_costs_the_same_for_two_and_for_five(
    services: Services, client: GraphQLClient, statements: StatementLog
) -> None:
    yoga = await make_class(client, services)
    counts = []
    for hour, guests in ((9, 2), (10, 5)):
        session = await yoga.at(at(3, hour))
        for _ in range(guests):
            await yoga.booked(session["id"])
        statements.clear()
        await yoga.staff("cancelSession", session["id"], reason="Ill", others="CANCEL")
        counts.append(len(statements.statements))
    assert counts[0] == counts[1]


async def test_no_more_than_can_be_done_at_once(yoga: Class, monkeypatch: pytest.MonkeyPatch) -> None:
    nine = await yoga.at(at(3, 9))
    made = [await yoga.booked(nine["id"]) for _ in range(3)]
    monkeypatch.setattr(session_cancel, "UNANSWERED_NAMED", 1)
    silent = await yoga.staff("cancelSession", nine["id"], reason="Ill")
    assert [v["message"] for v in silent["violations"]][1:] == [
        "must say what becomes of 2 more; `others` answers for all not named"
    ]
    moves = [{"bookingId": made[0].id, "action": "RESCHEDULE", "sessionId": nine["id"]}] * 301
    refused = await yoga.staff("cancelSession", nine["id"], reason="Ill", resolutions=moves)
    assert refused["violations"][0]["message"] == "must reschedule at most 300; move others before"


async def test_a_move_that_cannot_be_refuses_the_whole(yoga: Class) -> None:
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    first, second = await yoga.booked(nine["id"], 6), await yoga.booked(nine["id"], 4)
    to_ten = [{"bookingId": one.id, "action": "RESCHEDULE", "sessionId": ten["id"]} for one in (first, second)]
    full = await yoga.held(ten["id"], 1)
    refused = await yoga.staff("cancelSession", nine["id"], reason="Ill", resolutions=to_ten)
    assert [v["path"] for v in refused["violations"]] == ["input.resolutions.1.sessionId"]
    assert (await yoga.read(nine["id"]))["placesTaken"] == 10
    assert (await yoga.read(ten["id"]))["placesTaken"] == 1
    nowhere = [{**to_ten[0], "sessionId": nine["id"]}, {**to_ten[1], "action": "CANCEL", "sessionId": None}]
    refused = await yoga.staff("cancelSession", nine["id"], reason="Ill", resolutions=nowhere)
    assert [(v["path"], v["message"]) for v in refused["violations"]] == [
        ("input.resolutions.0.sessionId", "is the session that is called off; name another one")
    ]
    wrong = [{**to_ten[0], "sessionId": None}, {**to_ten[1], "action": "CANCEL"}]
    refused = await yoga.staff("cancelSession", nine["id"], reason="Ill", resolutions=wrong)
    assert [v["path"] for v in refused["violations"]] == [
        "input.resolutions.0.sessionId",
        "input.resolutions.1.sessionId",
    ]
    missing = [{**one, "sessionId": "ses_01h2xcejqtf2nbrexx3vqjhp41"} for one in to_ten]
    refused = await yoga.staff("cancelSession", nine["id"], reason="Ill", resolutions=missing)
    assert [v["path"] for v in refused["violations"]] == ["input.resolutions.0.sessionId"]
    await yoga.guest.release(full)
    done = await yoga.staff("cancelSession", nine["id"], reason="Ill", resolutions=to_ten, expectedVersion=1)
    assert done["session"]["status"] == "CANCELLED"
    assert (await yoga.read(ten["id"]))["capacityRemaining"] == 0


async def test_calling_it_off_once_for_each_key(yoga: Class) -> None:
    nine = await yoga.at(at(3, 9))
    made = await yoga.booked(nine["id"])
    wanted = {
        "reason": "Ill",
        "resolutions": [{"bookingId": made.id, "action": "CANCEL"}],
        "idempotencyKey": str(uuid4()),
    }
    answers = [await yoga.staff("cancelSession", nine["id"], **wanted) for _ in range(2)]
    assert answers[0] == answers[1]
    conflict = await yoga.staff("cancelSession", nine["id"], **{**wanted, "reason": "Other"})
    assert conflict["__typename"] == "IdempotencyConflict"
    assert (await yoga.staff("closeSession", nine["id"]))["rule"] == "session_cancelled"
    assert (await yoga.staff("changeSessionCapacity", nine["id"], capacity=3))["rule"] == "session_cancelled"


async def test_a_cancelled_session_can_be_reopened_while_its_people_are_free(yoga: Class) -> None:
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    for session in (nine, ten):
        await yoga.staff("cancelSession", session["id"], reason="Ill")
    await yoga.guest.booked(at(3, 10, 30))
    opened = (await yoga.staff("reopenSession", nine["id"]))["session"]
    assert (opened["status"], opened["cancelledReason"]) == ("OPEN", None)
    assert (await yoga.guest.hold(at(3, 9)))["reason"] == "BOOKED"
    assert (await yoga.staff("reopenSession", ten["id"]))["rule"] == "session_time_taken"
    assert (await yoga.read(ten["id"]))["status"] == "CANCELLED"


async def test_what_the_hours_have_no_more_cannot_be_reopened(yoga: Class) -> None:
    """The next generation would call it off again, with those who booked it meanwhile."""
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    await yoga.staff("cancelSession", nine["id"], reason="Ill")
    await yoga.publish(AFTER_NOON)
    for session in (nine, ten):
        assert (await yoga.staff("reopenSession", session["id"]))["rule"] == "outside_hours"
        assert (await yoga.read(session["id"]))["status"] == "CANCELLED"
    await yoga.depart(at(3, 0).date(), ("09:00", "11:00"))
    # Those hours have brought the other one back by themselves; this one a person called off.
    assert [(await yoga.read(one["id"]))["status"] for one in (nine, ten)] == ["CANCELLED", "OPEN"]
    assert (await yoga.staff("reopenSession", nine["id"]))["session"]["status"] == "OPEN"


async def test_reasons_and_times(yoga: Class, clock: Any) -> None:
    nine = await yoga.at(at(3, 9))
    for reason in ("", "  ", "x" * 501):
        refused = await yoga.staff("cancelSession", nine["id"], reason=reason)
        assert refused["violations"][0]["path"] == "input.reason"
    assert (await yoga.staff("closeSession", "ses_01h2xcejqtf2nbrexx3vqjhp41"))["__typename"] == "NotFound"
    clock.move_to(at(3, 9, 30))
    await yoga.staff("closeSession", nine["id"])
    assert (await yoga.staff("reopenSession", nine["id"]))["rule"] == "session_begun"
    clock.move_to(at(3, 10, 30))
    assert (await yoga.staff("cancelSession", nine["id"], reason="Ill"))["rule"] == "session_over"


async def test_another_organizations_things_are_not_there(
    yoga: Class, services: Services, client: GraphQLClient
) -> None:
    other = await make_class(client, services)
    theirs = await other.at(at(3, 9))
    booked = await other.booked(theirs["id"])
    for operation, more in (
        ("closeSession", {}),
        ("reopenSession", {}),
        ("changeSessionCapacity", {"capacity": 1}),
        ("cancelSession", {"reason": "Ill", "resolutions": [{"bookingId": booked.id, "action": "CANCEL"}]}),
    ):
        assert (await yoga.staff(operation, theirs["id"], **more))["__typename"] == "NotFound"
    mine = await yoga.at(at(3, 9))
    made = await yoga.booked(mine["id"])
    answers = [
        {"bookingId": made.id, "action": "RESCHEDULE", "sessionId": theirs["id"]},
        {"bookingId": booked.id, "action": "CANCEL"},
    ]
    refused = await yoga.staff("cancelSession", mine["id"], reason="Ill", resolutions=answers)
    assert [v["path"] for v in refused["violations"]] == ["input.resolutions.1.bookingId"]
    refused = await yoga.staff("cancelSession", mine["id"], reason="Ill", resolutions=answers[:1])
    assert [v["path"] for v in refused["violations"]] == ["input.resolutions.0.sessionId"]
    assert [(await each.read(one["id"]))["placesTaken"] for each, one in ((yoga, mine), (other, theirs))] == [1, 1]


async def test_staff_may_strangers_may_not(yoga: Class, client: GraphQLClient) -> None:
    session = await yoga.at(at(3, 9))
    wanted = {"input": {"sessionId": session["id"]}}
    anybody = await client.raw(change("closeSession"), wanted)
    assert anybody["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    stranger = (await account(client, yoga.shop, "stranger")).client
    assert (await stranger(change("closeSession"), wanted))["__typename"] == "NotFound"
    staff: Visitor = await colleague(client, yoga.shop, Role.STAFF)
    assert (await staff.client(change("closeSession"), wanted))["session"]["status"] == "CLOSED"
