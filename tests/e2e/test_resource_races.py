"""Many at once at rooms, visits and limits: what several share is never given twice, and nobody waits in a circle."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.e2e.crowd import Question, hold, kinds, strangers
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import booking_input, link
from tests.journey import hours
from tests.rooms import limit_customers, limit_provider, make_room, need_any
from tests.schema import operations as op
from tests.shop import Shop, at, iso, make_shop

GUESTS = 40
TEN = at(3, 10)


@pytest.mark.usefixtures("sound")
async def test_forty_guests_five_people_and_two_rooms(running: RunningApi, count: Question) -> None:
    """At one time there are two winners, whoever they come to; one after the other all rooms are used."""
    shop = await make_shop(running.api.services, providers=5)
    room = await make_room(shop, 2)
    await need_any(shop, room)
    async with strangers(running.graphql_url, GUESTS) as guests:
        answers = await asyncio.gather(*(hold(guest, shop, TEN) for guest in guests))
        assert kinds(answers) == {"HoldSlotPayload": 2, "SlotUnavailable": GUESTS - 2}
        assert {answer["reason"] for answer in answers if "reason" in answer} <= {"RESOURCE", "HELD"}
        # Overlapping times, some with a name and some without, booked at once by whoever has them.
        answers = await asyncio.gather(*(_hold_and_book(guest, shop, n) for n, guest in enumerate(guests)))
        won = kinds(answers)
        assert set(won) == {"CreateBookingPayload", "SlotUnavailable"}
        assert won["CreateBookingPayload"] >= 4
    most = f"""
        SELECT max(n) FROM (SELECT (SELECT count(*) FROM allocation b WHERE b.subject_id = ANY (ARRAY[{_ids(shop)}])
            AND b.status <> 'released' AND b.busy @> lower(a.busy)) AS n
        FROM allocation a WHERE a.subject_id = ANY (ARRAY[{_ids(shop)}]) AND a.status <> 'released') x
    """
    assert await count(most) == 2


def _ids(shop: Shop) -> str:
    return ", ".join(f"'{one}'::uuid" for one in shop.provider_uuids)


async def _hold_and_book(guest: GraphQLClient, shop: Shop, number: int) -> dict[str, Any]:
    named = {} if number % 2 else {"providerId": shop.provider_ids[number % 5]}
    held = await hold(guest, shop, TEN + timedelta(hours=2, minutes=15 * (number % 7)), **named)
    if held["__typename"] != "HoldSlotPayload":
        return held
    answer: dict[str, Any] = await guest(op.BOOK, {"input": booking_input(held)})
    return answer


@pytest.mark.usefixtures("sound")
async def test_visits_and_appointments_that_cross(running: RunningApi) -> None:
    """The same two people in one order, in the other, and each alone: all at the same hour."""
    shop = await make_shop(running.api.services, providers=2, more_services=({},))
    room = await make_room(shop, 3)
    await need_any(shop, room, service=1)
    there, back = [_visit(shop, *people) for people in ((0, 1), (1, 0))]
    async with strangers(running.graphql_url, GUESTS) as guests:
        for hour in range(3):
            start = TEN + timedelta(hours=2 * hour)
            asked: list[Any] = []
            for number, guest in enumerate(guests):
                if number % 4 < 2:
                    asked.append(hold(guest, shop, start, serviceId=None, items=(there, back)[number % 2]))
                else:
                    later = timedelta(minutes=15 * (number % 3))
                    asked.append(hold(guest, shop, start + later, providerId=shop.provider_ids[number % 2]))
            answers = await asyncio.gather(*asked)
            assert set(kinds(answers)) == {"HoldSlotPayload", "SlotUnavailable"}
            assert 1 <= kinds(answers)["HoldSlotPayload"] <= 4


def _visit(shop: Shop, *people: int) -> list[dict[str, Any]]:
    return [
        {"serviceId": service, "providerId": shop.provider_ids[person]}
        for service, person in zip(shop.service_ids, people, strict=True)
    ]


@pytest.mark.usefixtures("sound")
async def test_visits_that_change_places(running: RunningApi) -> None:
    """Each wants where another is, with the same two people and the same room, all at once."""
    shop = await make_shop(running.api.services, providers=2, more_services=({},))
    room = await make_room(shop, 1)
    await need_any(shop, room)
    async with strangers(running.graphql_url, 6) as guests:
        booked = []
        for number, guest in enumerate(guests):
            items = _visit(shop, *((0, 1) if number % 2 else (1, 0)))
            held = await hold(guest, shop, TEN + timedelta(hours=number), serviceId=None, items=items)
            booked.append(await guest(op.BOOK, {"input": booking_input(held)}))
        for step in (1, 2, 5):
            wanted = [booked[(number + step) % 6]["booking"]["startsAt"] for number in range(6)]
            shifted = [iso(datetime.fromisoformat(start) + timedelta(minutes=15 * (step - 1))) for start in wanted]
            answers = await asyncio.gather(
                *(
                    guest(op.MOVE, {"input": {**link(one), "startsAt": start}})
                    for guest, one, start in zip(guests, booked, shifted, strict=True)
                )
            )
            # InvalidInput: it is there already.
            assert set(kinds(answers)) <= {"Booking", "SlotUnavailable", "InvalidInput"}
            for one, answer in zip(booked, answers, strict=True):
                if answer["__typename"] == "Booking":
                    one["booking"]["startsAt"] = answer["startsAt"]


@pytest.mark.usefixtures("sound")
async def test_new_hours_that_move_visits_while_others_come(running: RunningApi) -> None:
    """Publishing moves the visits of two people and their room, in one transaction, while guests hold both."""
    shop = await make_shop(running.api.services, providers=2, more_services=({},))
    room = await make_room(shop, 2)
    await need_any(shop, room, service=1)
    async with strangers(running.graphql_url, 12) as guests:
        owner = guests[0].signed_in(shop.owner.token)
        choices = []
        for number in range(3):
            items = _visit(shop, *((0, 1), (1, 0))[number % 2])
            held = await hold(guests[0], shop, TEN + timedelta(hours=4 + 2 * number), serviceId=None, items=items)
            booked = await guests[0](op.BOOK, {"input": booking_input(held)})
            target = iso(TEN - timedelta(hours=2 * number))
            choices.append({"bookingId": booked["booking"]["id"], "action": "RESCHEDULE", "startsAt": target})
        wanted = {"ownerId": shop.provider_ids[1], "weekly": hours(("06:00", "12:00")), "resolutions": choices}
        crowd = [
            hold(guest, shop, TEN - timedelta(minutes=15 * number), serviceId=None, items=_visit(shop, *people))
            for guest in guests
            for number, people in enumerate(((0, 1), (1, 0), (0, 1)))
        ]
        published, *answers = await asyncio.gather(owner(PUBLISH, {"input": wanted}), *crowd)
        assert published["__typename"] in {"PublishSchedulePayload", "InvalidInput"}
        assert set(kinds(answers)) <= {"HoldSlotPayload", "SlotUnavailable"}


PUBLISH = "mutation ($input: PublishScheduleInput!) { publishSchedule(input: $input) { __typename } }"


@pytest.mark.usefixtures("sound")
async def test_limits_are_exact(running: RunningApi) -> None:
    shop = await make_shop(running.api.services, providers=2)
    await limit_provider(shop, day=3)
    await limit_provider(shop, 1, day=4)
    await limit_customers(shop, day=5)
    async with strangers(running.graphql_url, 20) as guests:
        answers = await asyncio.gather(
            *(hold(guest, shop, TEN + timedelta(minutes=30 * number)) for number, guest in enumerate(guests))
        )
        held = [answer for answer in answers if answer["__typename"] == "HoldSlotPayload"]
        assert Counter(one["hold"]["provider"]["id"] for one in held) == dict(
            zip(shop.provider_ids, (3, 4), strict=True)
        )
        assert {answer["reason"] for answer in answers if "reason" in answer} <= {"LIMIT"}
        booked = await asyncio.gather(
            *(guest(op.BOOK, {"input": booking_input(one)}) for guest, one in zip(guests, held, strict=False))
        )
    assert kinds(booked) == {"CreateBookingPayload": 5, "NotAllowed": 2}


@pytest.mark.usefixtures("sound")
async def test_one_room_after_another(running: RunningApi) -> None:
    """Guests who ask at the same moment for times that follow one another all get theirs."""
    shop = await make_shop(running.api.services, providers=4)
    room = await make_room(shop, 4)
    await need_any(shop, room)
    starts = [TEN + timedelta(minutes=30 * number) for number in range(6)]
    async with strangers(running.graphql_url, 24) as guests:
        answers = await asyncio.gather(*(hold(guest, shop, starts[number % 6]) for number, guest in enumerate(guests)))
    assert kinds(answers) == {"HoldSlotPayload": 24}
