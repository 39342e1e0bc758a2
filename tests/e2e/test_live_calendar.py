"""A provider's calendar, live: every step of every booking, whatever takes a booking away, and who may look."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import timedelta

import pytest

from app.domain.membership import Role
from tests.classes import make_class
from tests.diary import CALENDAR, Diary, look
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi, StatementLog
from tests.fixtures_live import RunningRelay, search_of, watching
from tests.journey import Visitor, colleague
from tests.live_client import LiveSocket, OperationFailed, SocketLost, live_socket
from tests.shop import Person, Shop, at, iso, make_person, make_shop

TEN = at(3, 10)
DAY = TEN.date()
NAME = """
mutation ($input: AddParticipantsInput!) { addParticipants(input: $input) { __typename } }
"""


@pytest.fixture
async def nora(running: RunningApi, relay: RunningRelay) -> Person:
    assert relay is not None
    return await make_person(running.api.services, "nora")


@pytest.fixture
async def shop(running: RunningApi, nora: Person) -> Shop:
    """Nora is its first provider."""
    return await make_shop(
        running.api.services, providers=2, linked=nora, service={"max_group_size": 4}, more_services=({},)
    )


async def opened(socket: LiveSocket, shop: Shop, number: int = 0, days: int = 1) -> Diary:
    """With its snapshot taken in."""
    diary = await look(socket, shop.provider_ids[number], DAY, DAY + timedelta(days=days - 1))
    assert (await diary.next())["kind"] == "SNAPSHOT"
    return diary


def of(shop: Shop, number: int) -> dict[str, str]:
    return {"providerId": shop.provider_ids[number]}


async def test_each_step_of_a_booking(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person, clock: MovableClock
) -> None:
    guest, owner = Visitor(client, shop), Visitor(client.signed_in(shop.owner.token), shop)
    async with live_socket(running.socket_url, nora.token) as socket:
        diary = await opened(socket, shop)
        assert diary.bookings == {}
        made = await guest.booked(TEN, hold=of(shop, 0))
        assert await diary.told() == ("booking.created", "CONFIRMED")
        assert await diary.told() == ("booking.confirmed", "CONFIRMED")
        assert diary.bookings[made.id]["customer"]["name"] == "Ana"
        assert "CANCELLED" in diary.bookings[made.id]["allowedTransitions"]
        await guest.move(made, TEN + timedelta(hours=1), accessToken=made.token)
        assert await diary.told() == ("booking.rescheduled", "CONFIRMED")
        assert diary.bookings[made.id]["startsAt"] == iso(TEN + timedelta(hours=1))
        people = {"bookingId": made.id, "accessToken": made.token, "participants": [{"name": "Eva"}]}
        assert (await client(NAME, {"input": people}))["__typename"] == "Booking"
        assert (await diary.next())["type"].startswith("booking.")
        clock.move_to(TEN + timedelta(minutes=90))
        await owner.stepped(made, "NO_SHOW")
        assert await diary.told() == ("booking.no_show", "NO_SHOW")
        await owner.stepped(made, "CHECKED_IN")  # they came after all
        assert await diary.told() == ("booking.checked_in", "CHECKED_IN")
        await diary.stream.nothing()
        again = await opened(socket, shop)
        assert again.bookings == diary.bookings


async def test_what_leaves_is_told_to_be_gone(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person
) -> None:
    guest, owner = Visitor(client, shop), Visitor(client.signed_in(shop.owner.token), shop)
    made = await guest.booked(TEN, hold=of(shop, 0))
    elsewhen = await guest.booked(TEN + timedelta(days=5), hold=of(shop, 0))
    async with live_socket(running.socket_url, nora.token) as socket:
        diary, others = await opened(socket, shop), await opened(socket, shop, days=1)
        assert set(diary.bookings) == {made.id}
        await guest.move(made, TEN + timedelta(days=1), accessToken=made.token)
        assert await diary.told() == ("booking.rescheduled", None)
        await guest.move(elsewhen, TEN + timedelta(days=6), accessToken=elsewhen.token)  # never in these days
        await guest.move(made, TEN, accessToken=made.token)
        assert await diary.told() == ("booking.rescheduled", "CONFIRMED")
        assert (await owner.move(made, providerId=shop.provider_ids[1]))["__typename"] == "Booking"
        assert await diary.told() == ("booking.rescheduled", None)
        await owner.cancel(made)  # somebody else's by now
        await diary.stream.nothing()
        assert diary.bookings == {}
        assert [(await others.next())["type"] for _ in range(3)] == ["booking.rescheduled"] * 3


async def test_a_later_service_of_a_visit(running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person) -> None:
    """Who does it looks on: they may not change it, and get nothing that opens it."""
    people = (1, 0)
    items = [
        {"serviceId": s, "providerId": shop.provider_ids[p]} for s, p in zip(shop.service_ids, people, strict=True)
    ]
    async with (
        live_socket(running.socket_url, nora.token) as socket,
        live_socket(running.socket_url, shop.owner.token) as office,
    ):
        diary, staff = await opened(socket, shop), await opened(office, shop)
        made = await Visitor(client, shop).booked(TEN, hold={"serviceId": None, "items": items})
        for each in (diary, staff):
            assert [await each.told(), await each.told()] == [
                ("booking.created", "CONFIRMED"),
                ("booking.confirmed", "CONFIRMED"),
            ]
        seen, known = diary.bookings[made.id], staff.bookings[made.id]
        assert (seen["confirmationCode"], seen["allowedTransitions"]) == ("", [])
        assert known["confirmationCode"] != ""
        assert known["allowedTransitions"] != []
        assert seen["provider"]["id"] == shop.provider_ids[1]
        assert (await opened(socket, shop)).bookings == diary.bookings
        await Visitor(client, shop).cancel(made, accessToken=made.token)
        assert await diary.told() == ("booking.cancelled", None)
        assert (await opened(socket, shop)).bookings == {}


async def test_sessions_that_they_lead(running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person) -> None:
    yoga = await make_class(client, running.api.services, shop=shop, led_by_first=True)
    dance = await make_class(client, running.api.services, shop=shop, weekly=None)
    assert dance.activity_id != yoga.activity_id
    nine, eleven = [(await yoga.at(at(3, hour)))["id"] for hour in (9, 11)]
    async with live_socket(running.socket_url, nora.token) as socket:
        diary = await opened(socket, shop)
        made = await yoga.booked(nine)
        assert [await diary.told(), await diary.told()][1] == ("booking.confirmed", "CONFIRMED")
        assert diary.bookings[made.id]["confirmationCode"] == ""
        await yoga.guest.move(made, sessionId=eleven, accessToken=made.token)
        assert await diary.told() == ("booking.rescheduled", "CONFIRMED")
        assert diary.bookings[made.id]["startsAt"] == iso(at(3, 11))
        later = (await yoga.at(at(4, 9)))["id"]
        await yoga.guest.move(made, sessionId=later, accessToken=made.token)
        assert await diary.told() == ("booking.rescheduled", None)
        await yoga.guest.move(made, sessionId=nine, accessToken=made.token)
        await diary.told()
        await yoga.staff("cancelSession", nine, reason="ill", others="CANCEL")
        assert await diary.told() == ("booking.cancelled", None)
        assert (await opened(socket, shop)).bookings == diary.bookings == {}


async def test_coming_back(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person, relay: RunningRelay
) -> None:
    guest = Visitor(client, shop)
    staying, leaving = [await guest.booked(TEN + timedelta(hours=n), hold=of(shop, 0)) for n in range(2)]
    await relay.catch_up()
    await relay.pause()
    unnumbered = await guest.booked(TEN + timedelta(hours=2), hold=of(shop, 0))
    async with live_socket(running.socket_url, nora.token) as socket:
        diary = await opened(socket, shop)
        assert set(diary.bookings) == {staying.id, leaving.id, unnumbered.id}
        relay.start()
        await relay.catch_up()
        await diary.stream.nothing()  # the snapshot had it
        await guest.cancel(staying, accessToken=staying.token)
        await guest.move(leaving, TEN + timedelta(days=2), accessToken=leaving.token)
        await relay.catch_up()
        for _ in range(2):  # and once more with the same cursor
            again = await look(socket, shop.provider_id, DAY, DAY, diary.cursor)
            again.bookings = dict(diary.bookings)
            assert [await again.told(), await again.told()] == [
                ("booking.cancelled", "CANCELLED"),
                ("booking.rescheduled", None),
            ]
            await again.stream.nothing(0.2)
            assert again.bookings == (await opened(socket, shop)).bookings


async def test_nothing_is_lost_or_repeated_across_cuts(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person
) -> None:
    guest = Visitor(client, shop)
    made = [await guest.booked(TEN + timedelta(hours=n), hold=of(shop, 0)) for n in range(2)]
    chance, moves = random.Random(5), 12
    diary: Diary | None = None
    has_begun = asyncio.Event()

    async def watch() -> None:
        nonlocal diary
        while diary is None or diary.types.count("booking.cancelled") < len(made):
            async with live_socket(running.socket_url, nora.token) as socket:
                now = await look(socket, shop.provider_id, DAY, DAY, diary.cursor if diary else None)
                if diary is not None:
                    now.bookings, now.cursor, now.types = diary.bookings, diary.cursor, diary.types
                diary = now
                for _ in range(chance.randint(1, 4)):
                    with suppress(TimeoutError, SocketLost):
                        await now.next(0.3)
                        has_begun.set()
                socket.cut()

    async def change() -> None:
        await has_begun.wait()
        for number in range(moves):
            one = number % 2
            hour = timedelta(hours=3 + one * 3 + number // 2 % 2)
            assert (await guest.move(made[one], TEN + hour, accessToken=made[one].token))["__typename"] == "Booking"
        for each in made:
            await guest.cancel(each, accessToken=each.token)

    await asyncio.gather(watch(), change())
    assert diary is not None
    assert diary.types == ["calendar.snapshot", *["booking.rescheduled"] * moves, *["booking.cancelled"] * 2]
    assert {one["status"] for one in diary.bookings.values()} == {"CANCELLED"}


async def test_what_is_refused(running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person) -> None:
    other = await make_shop(running.api.services)
    staff = await colleague(client, shop, Role.STAFF)
    provider = shop.provider_id
    asked = {"provider": provider, "from": f"{DAY}", "to": f"{DAY}"}
    for token, changed, code in (
        (nora.token, {"to": f"{DAY - timedelta(days=1)}"}, "BAD_INPUT"),
        (nora.token, {"to": f"{DAY + timedelta(days=62)}"}, "BAD_INPUT"),
        (nora.token, {"to": f"{DAY + timedelta(days=10_000)}"}, "BAD_INPUT"),
        (nora.token, {"from": "9999-12-31", "to": "9999-12-31"}, "BAD_INPUT"),
        (nora.token, {"from": "\x00"}, "BAD_INPUT"),
        (nora.token, {"provider": shop.service_id}, "BAD_INPUT"),
        (nora.token, {"after": "nonsense"}, "BAD_INPUT"),
        (nora.token, {"provider": shop.provider_ids[1]}, "NOT_FOUND"),
        (nora.token, {"provider": other.provider_id}, "NOT_FOUND"),
        (other.owner.token, {}, "NOT_FOUND"),
        (staff.client.token, {"provider": other.provider_id}, "NOT_FOUND"),
        ((await make_person(running.api.services, "stranger")).token, {}, "NOT_FOUND"),
        (None, {}, "UNAUTHENTICATED"),
    ):
        async with live_socket(running.socket_url, token) as socket:
            stream = await socket.subscribe(CALENDAR, **{**asked, **changed})
            with pytest.raises(OperationFailed) as failed:
                await stream.next()
            assert failed.value.code == code, (changed, failed.value.errors)
    async with live_socket(running.socket_url, staff.client.token) as socket:
        stream = await socket.subscribe(CALENDAR, **{**asked, "to": f"{DAY + timedelta(days=61)}"})
        assert (await stream.next())["kind"] == "SNAPSHOT"


async def test_a_cursor_of_another_stream_says_when(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person
) -> None:
    async with watching(running.socket_url, search_of(shop, TEN)) as watcher:
        cursor = (await watcher.next("SNAPSHOT"))["cursor"]
    made = await Visitor(client, shop).booked(TEN, hold=of(shop, 0))
    async with live_socket(running.socket_url, nora.token) as socket:
        diary = await look(socket, shop.provider_id, DAY, DAY, cursor)
        assert [await diary.told(), await diary.told()][1] == ("booking.confirmed", "CONFIRMED")
        assert set(diary.bookings) == {made.id}


async def test_what_it_costs(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person, statements: StatementLog
) -> None:
    guest = Visitor(client, shop)
    for number in range(6):
        await guest.booked(TEN + timedelta(hours=number), hold=of(shop, 0))
    plain = CALENDAR.replace("customer { name } provider { id }", "").replace("allowedTransitions", "")
    async with live_socket(running.socket_url, nora.token) as socket:
        statements.clear()
        stream = await socket.subscribe(plain, provider=shop.provider_id, **{"from": f"{DAY}", "to": f"{DAY}"})
        assert len((await stream.next())["bookings"]) == 6
        assert len(statements) == 5, statements.statements  # door, zone, bookings, log, what waits
        made = await guest.booked(TEN + timedelta(hours=7), hold=of(shop, 0))
        await stream.next()
        await stream.next()
        statements.clear()
        await guest.cancel(made, accessToken=made.token)
        mutation = len(statements)
        await stream.next()
        assert len(statements) - mutation <= 3, statements.statements
