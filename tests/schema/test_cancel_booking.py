"""Cancelling a booking."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Visitor, account, audit_of, colleague, live_time, rows_of
from tests.shop import at, iso, make_shop


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


async def test_cancelled_it_gives_its_time_back(guest: Visitor) -> None:
    made = await guest.booked(at(2, 10))
    cancelled = await guest.cancel(made, accessToken=made.token, reason=" I am ill ")
    assert (cancelled["__typename"], cancelled["status"], cancelled["version"]) == ("Booking", "CANCELLED", 2)
    assert cancelled["allowedTransitions"] == []
    assert cancelled["cancellationTerms"]["freeUntil"] is None
    assert await live_time(guest.shop) == []
    *_, step = (await guest.read(made, made.token))["transitions"]
    assert (step["from"], step["to"], step["reason"]) == ("CONFIRMED", "CANCELLED", "I am ill")
    assert (step["actor"], step["channel"]) == ("customer", "api")
    *_, entry = await audit_of(guest.shop, made)
    assert (entry["action"], entry["actor"], entry["reason"]) == ("booking.cancelled", "customer", "I am ill")
    assert (entry["before"], entry["after"]) == (
        {"status": "confirmed", "version": 1},
        {"status": "cancelled", "version": 2},
    )
    assert (entry["address"], entry["user_agent"] is None) == ("127.0.0.1", False)
    told = await rows_of(
        guest.shop, "SELECT type, payload ->> 'cause' AS cause, payload FROM outbox_event ORDER BY id DESC LIMIT 2"
    )
    assert [(event["type"], event["cause"]) for event in told] == [
        ("booking.cancelled", None),
        ("allocation.released", "CANCELLED"),
    ]
    assert told[0]["payload"] == {"version": 2, "status": "cancelled"}
    await guest.booked(at(2, 10))


@pytest.mark.parametrize("reason", ["", "  \n ", "\u200b"])
async def test_a_reason_is_needed(guest: Visitor, reason: str) -> None:
    made = await guest.booked(at(2, 10))
    refused = await guest.cancel(made, accessToken=made.token, reason=reason)
    assert refused["violations"] == [{"path": "input.reason", "message": "is needed to cancel a booking"}]
    assert len(await live_time(guest.shop)) == 1


async def test_a_reason_of_reasonable_length(guest: Visitor) -> None:
    made = await guest.booked(at(2, 10))
    refused = await guest.cancel(made, accessToken=made.token, reason="x" * 501)
    assert refused["violations"][0]["path"] == "input.reason"


async def test_until_the_notice_and_not_after_it(guest: Visitor, client: GraphQLClient, clock: MovableClock) -> None:
    first, second = await guest.booked(at(3, 10)), await guest.booked(at(3, 12))
    clock.move_to(at(2, 9, 59))
    assert (await guest.cancel(first, accessToken=first.token))["__typename"] == "Booking"
    clock.move_to(at(2, 12, 1))
    refused = await guest.cancel(second, accessToken=second.token)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "cancellation_notice")
    assert (await guest.read(second, second.token))["allowedTransitions"] == []
    staff = await colleague(client, guest.shop, Role.STAFF)
    assert (await staff.cancel(second))["status"] == "CANCELLED"


async def test_after_the_service_day_only_an_admin(guest: Visitor, client: GraphQLClient, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    clock.move_to(at(4, 0, 1))
    staff = await colleague(client, guest.shop, Role.STAFF)
    refused = await staff.cancel(made)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "service_day_over")
    admin = await colleague(client, guest.shop, Role.ADMIN)
    assert (await admin.cancel(made))["status"] == "CANCELLED"
    *_, entry = await audit_of(guest.shop, made)
    assert entry["actor"] == "admin"
    assert entry["at"] > at(4, 0)


async def test_twice_is_no_step(guest: Visitor) -> None:
    made = await guest.booked(at(2, 10))
    answers = await asyncio.gather(*(guest.cancel(made, accessToken=made.token) for _ in range(4)))
    assert Counter(answer["__typename"] for answer in answers) == {"Booking": 1, "IllegalTransition": 3}
    refused = next(answer for answer in answers if answer["__typename"] == "IllegalTransition")
    assert (refused["from"], refused["to"], refused["allowed"]) == ("CANCELLED", "CANCELLED", [])
    assert (await guest.read(made, made.token))["version"] == 2


async def test_a_stale_version(guest: Visitor) -> None:
    made = await guest.booked(at(3, 10))
    await guest.move(made, at(3, 11), accessToken=made.token)
    for version in (1, 0, -1, 3, 2**31 - 1):
        refused = await guest.cancel(made, accessToken=made.token, expectedVersion=version)
        assert (refused["__typename"], refused["currentVersion"]) == ("StaleVersion", 2)
    cancelled = await guest.cancel(made, accessToken=made.token, expectedVersion=2)
    assert cancelled["version"] == 3


async def test_cancelled_and_moved_at_once(guest: Visitor) -> None:
    for hour in range(8, 12):
        made = await guest.booked(at(3, hour))
        cancelled, moved = await asyncio.gather(
            guest.cancel(made, accessToken=made.token, expectedVersion=1),
            guest.move(made, at(4, hour), accessToken=made.token, expectedVersion=1),
        )
        kinds = {cancelled["__typename"], moved["__typename"]}
        assert "Booking" in kinds
        assert kinds <= {"Booking", "StaleVersion"}
        assert len(kinds) == 2
        for start, *_ in await live_time(guest.shop):
            assert start >= at(4, 0)


async def test_what_waits_for_approval(services: Services, client: GraphQLClient) -> None:
    guest = Visitor(client, await make_shop(services, service={"requires_approval": True}))
    staff = await colleague(client, guest.shop, Role.STAFF)
    mine, theirs = await guest.booked(at(3, 10)), await guest.booked(at(3, 12))
    assert (await guest.cancel(mine, accessToken=mine.token))["status"] == "CANCELLED"
    assert (await staff.cancel(theirs, reason="Nobody is free"))["status"] == "CANCELLED"
    assert await live_time(guest.shop) == []


async def test_a_stranger_finds_nothing(guest: Visitor, services: Services, client: GraphQLClient) -> None:
    made, other = await guest.booked(at(2, 10)), await guest.booked(at(2, 12))
    elsewhere = await make_shop(services)
    stranger = await account(client, guest.shop, "stranger")
    answers = [
        await guest.cancel(made),
        await guest.cancel(made, accessToken=other.token),
        await guest.cancel(made, accessToken=made.token + "x"),
        await guest.cancel(made, accessToken=made.token, bookingId=other.id),
        await stranger.cancel(made),
        await stranger.cancel(made, accessToken=""),
        await Visitor(client.signed_in(elsewhere.owner.token), elsewhere).cancel(made),
        await guest.cancel(made, bookingId="bkg_01h2xcejqtf2nbrexx3vqjhp41"),
    ]
    assert answers[0]["__typename"] == "NotFound"
    assert all(answer == answers[0] for answer in answers)
    assert len(await live_time(guest.shop)) == 2


async def test_the_customer_by_their_account(guest: Visitor, client: GraphQLClient) -> None:
    customer = await account(client, guest.shop, "customer")
    made = await customer.booked(at(2, 10), customer=None)
    assert (await customer.cancel(made))["status"] == "CANCELLED"


async def test_without_any_notice(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    guest = Visitor(client, await make_shop(services, service={"cancellation_notice_minutes": 0}))
    made = await guest.booked(at(2, 10))
    assert made.answer["cancellationTerms"]["freeUntil"] == iso(at(2, 10))
    clock.move_to(at(2, 10) - timedelta(seconds=5))
    assert (await guest.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
