"""Moving a booking to another time or provider."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Visitor, account, audit_of, colleague, live_time, rows_of
from tests.schema import operations as op
from tests.shop import OFFICE, Shop, at, iso, make_shop, set_active, set_offer

KEPT = ("id", "number", "confirmationCode", "price", "createdAt", "paymentStatus", "partySize", "calendarUrl")


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2)


@pytest.fixture
async def guest(shop: Shop, client: GraphQLClient) -> Visitor:
    return Visitor(client, shop)


async def test_moved_it_keeps_all_but_its_time(guest: Visitor) -> None:
    shop = guest.shop
    made = await guest.booked(at(2, 10), hold={"providerId": shop.provider_id})
    await rows_of(shop, "UPDATE service SET price_minor = 9900, duration_minutes = 60 RETURNING id")
    moved = await guest.move(made, at(3, 14), accessToken=made.token, reason="A train")
    assert moved["__typename"] == "Booking", moved
    assert (moved["startsAt"], moved["endsAt"]) == (iso(at(3, 14)), iso(at(3, 14, 30)))
    assert (moved["version"], moved["status"]) == (2, "CONFIRMED")
    assert {name: moved[name] for name in KEPT} == {name: made.answer[name] for name in KEPT}
    assert await live_time(shop) == [(at(3, 14), at(3, 14, 30), "booked")]
    seen = await guest.read(made, made.token)
    assert seen["items"][0]["startsAt"] == iso(at(3, 14))
    assert seen["cancellationTerms"]["freeUntil"] == iso(at(2, 14))
    assert len(seen["transitions"]) == 2  # no step of the state machine was taken
    *_, entry = await audit_of(shop, made)
    assert (entry["action"], entry["actor"], entry["reason"]) == ("booking.rescheduled", "customer", "A train")
    assert entry["before"]["starts_at"] == iso(at(2, 10))
    assert entry["after"]["starts_at"] == iso(at(3, 14))
    told = await rows_of(shop, "SELECT type, payload ->> 'cause' AS cause FROM outbox_event ORDER BY id DESC LIMIT 3")
    assert [(event["type"], event["cause"]) for event in told] == [
        ("booking.rescheduled", None),
        ("allocation.claimed", "RESCHEDULED"),
        ("allocation.released", "RESCHEDULED"),
    ]


async def test_to_another_provider(guest: Visitor) -> None:
    one, two = guest.shop.provider_ids
    await set_offer(guest.shop, 1, price_minor=5_000, duration_minutes=60)
    made = await guest.booked(at(2, 10), hold={"providerId": one})
    moved = await guest.move(made, providerId=two, accessToken=made.token)
    assert moved["provider"]["id"] == two
    assert (moved["startsAt"], moved["endsAt"]) == (made.answer["startsAt"], made.answer["endsAt"])
    assert moved["price"] == made.answer["price"]
    assert (await guest.read(made, made.token))["items"][0]["provider"]["id"] == two
    await guest.held(at(2, 10), providerId=one)
    assert (await guest.hold(at(2, 10), providerId=two))["reason"] == "BOOKED"


async def test_onto_its_own_overlapping_time(guest: Visitor) -> None:
    made = await guest.booked(at(2, 10))
    for step, start in enumerate((at(2, 10, 15), at(2, 10), at(2, 9, 45)), 2):
        moved = await guest.move(made, start, accessToken=made.token, expectedVersion=step - 1)
        assert (moved["startsAt"], moved["version"]) == (iso(start), step)
    assert await live_time(guest.shop) == [(at(2, 9, 45), at(2, 10, 15), "booked")]


async def test_where_it_is_already(guest: Visitor) -> None:
    made = await guest.booked(at(2, 10), hold={"providerId": guest.shop.provider_id})
    same: list[dict[str, Any]] = [{"startsAt": iso(at(2, 10))}, {"providerId": guest.shop.provider_id}]
    for extra in same:
        refused = await guest.move(made, accessToken=made.token, **extra)
        assert [violation["path"] for violation in refused["violations"]] == ["input.startsAt"]


async def test_a_taken_time_changes_nothing(guest: Visitor) -> None:
    named = {"providerId": guest.shop.provider_id}
    made = await guest.booked(at(2, 10), hold=named)
    await guest.held(at(2, 12), **named)
    before = (await guest.read(made, made.token), await audit_of(guest.shop, made), await live_time(guest.shop))
    refused = await guest.move(made, at(2, 12), accessToken=made.token)
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "HELD")
    assert len(refused["alternatives"]) == 6
    assert refused["alternatives"][0]["startsAt"] in {iso(at(2, 11, 30)), iso(at(2, 12, 30))}
    assert before == (
        await guest.read(made, made.token),
        await audit_of(guest.shop, made),
        await live_time(guest.shop),
    )


async def test_onto_a_lapsed_hold(guest: Visitor, clock: MovableClock) -> None:
    named = {"providerId": guest.shop.provider_id}
    made = await guest.booked(at(2, 10), hold=named)
    await guest.held(at(2, 12), **named)
    clock.move(timedelta(minutes=11))
    moved = await guest.move(made, at(2, 12), accessToken=made.token)
    assert moved["startsAt"] == iso(at(2, 12))


async def test_hours_and_notice_bind_the_customer(services: Services, client: GraphQLClient) -> None:
    rules = {"advance_notice_minutes": 2 * 1440, "maximum_advance_days": 30, "cancellation_notice_minutes": 60}
    guest = Visitor(client, await make_shop(services, weekly=OFFICE, service=rules))
    made = await guest.booked(at(5, 10))
    for start, reason in (
        (at(5, 12, 15), "BREAK"),
        (at(5, 18), "CLOSED"),
        (at(1, 9), "NOTICE"),
        (at(40, 10), "HORIZON"),
        (at(5, 10, 5), "CLOSED"),
    ):
        refused = await guest.move(made, start, accessToken=made.token)
        assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", reason)
        assert len(refused["alternatives"]) == 6
    staff = await colleague(client, guest.shop, Role.STAFF)
    assert (await staff.move(made, at(1, 9)))["startsAt"] == iso(at(1, 9))
    assert (await staff.move(made, at(1, 12, 30)))["reason"] == "BREAK"


async def test_a_lost_notice_stays_lost(guest: Visitor, client: GraphQLClient, clock: MovableClock) -> None:
    made = await guest.booked(at(2, 10))
    clock.move_to(at(1, 12))
    refused = await guest.move(made, at(9, 10), accessToken=made.token)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "cancellation_notice")
    staff = await colleague(client, guest.shop, Role.STAFF)
    moved = await staff.move(made, at(9, 10))
    assert moved["startsAt"] == iso(at(9, 10))
    assert moved["cancellationTerms"]["freeUntil"] is None
    refused = await guest.cancel(made, accessToken=made.token)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "cancellation_notice")


async def test_the_customers_move_asks_for_approval_again(services: Services, client: GraphQLClient) -> None:
    guest = Visitor(client, await make_shop(services, service={"requires_approval": True}))
    staff = await colleague(client, guest.shop, Role.STAFF)
    made = await guest.booked(at(3, 10))
    assert (await guest.move(made, at(3, 11), accessToken=made.token))["status"] == "AWAITING_PROVIDER"
    assert (await staff.step(made, "CONFIRMED"))["status"] == "CONFIRMED"
    assert (await staff.move(made, at(3, 12)))["status"] == "CONFIRMED"
    moved = await guest.move(made, at(3, 13), accessToken=made.token)
    assert (moved["status"], moved["version"]) == ("AWAITING_PROVIDER", 5)
    steps = (await guest.read(made, made.token))["transitions"]
    assert [step["to"] for step in steps] == ["PENDING", "AWAITING_PROVIDER", "CONFIRMED", "AWAITING_PROVIDER"]


async def test_what_is_over_is_not_moved(guest: Visitor, client: GraphQLClient) -> None:
    made = await guest.booked(at(2, 10))
    await guest.cancel(made, accessToken=made.token)
    owner = Visitor(client.signed_in(guest.shop.owner.token), guest.shop)
    refused = await owner.move(made, at(2, 12))
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "not_movable")


async def test_stale_versions(guest: Visitor) -> None:
    made = await guest.booked(at(2, 10))
    starts = [at(2, 11 + n) for n in range(4)]
    answers = await asyncio.gather(
        *(guest.move(made, start, accessToken=made.token, expectedVersion=1) for start in starts)
    )
    assert Counter(answer["__typename"] for answer in answers) == {"Booking": 1, "StaleVersion": 3}
    stale = next(answer for answer in answers if answer["__typename"] == "StaleVersion")
    assert stale["currentVersion"] == 2
    assert len(await live_time(guest.shop)) == 1


async def test_two_that_swap_places_end_in_order(guest: Visitor) -> None:
    named = {"providerId": guest.shop.provider_id}
    one, two = [await guest.booked(at(2, hour), hold=named) for hour in (10, 11)]
    answers = await asyncio.gather(
        guest.move(one, at(2, 11), accessToken=one.token), guest.move(two, at(2, 10), accessToken=two.token)
    )
    assert {answer["__typename"] for answer in answers} <= {"Booking", "SlotUnavailable"}
    assert len(await live_time(guest.shop)) == 2


async def test_many_that_want_one_time(guest: Visitor) -> None:
    named = {"providerId": guest.shop.provider_id}
    made = [await guest.booked(at(2, hour), hold=named) for hour in range(8, 16)]
    answers = await asyncio.gather(*(guest.move(each, at(2, 20), accessToken=each.token) for each in made))
    assert Counter(answer["__typename"] for answer in answers) == {"Booking": 1, "SlotUnavailable": 7}
    assert len(await live_time(guest.shop)) == 8


async def test_where_nobody_offers_it_any_more(guest: Visitor) -> None:
    one, two = guest.shop.provider_ids
    made = await guest.booked(at(2, 10), hold={"providerId": one})
    await set_active(guest.shop, "provider", guest.shop.provider_uuids[1], False)
    hidden = await guest.move(made, at(2, 12), accessToken=made.token, providerId=two)
    assert hidden["__typename"] == "NotFound"
    unknown = "prv_01h2xcejqtf2nbrexx3vqjhp41"
    assert await guest.move(made, at(2, 12), accessToken=made.token, providerId=unknown) == hidden
    staff = await colleague(guest.client, guest.shop, Role.STAFF)
    refused = await staff.move(made, at(2, 12), providerId=two)
    assert [violation["path"] for violation in refused["violations"]] == ["input.providerId"]
    await set_active(guest.shop, "provider", guest.shop.provider_uuids[0], False)
    refused = await guest.move(made, at(2, 12), accessToken=made.token)  # their own they know anyway
    assert (refused["__typename"], refused["reason"], refused["alternatives"]) == ("SlotUnavailable", "INACTIVE", [])
    await set_active(guest.shop, "service", guest.shop.service_uuids[0], False)
    refused = await guest.move(made, at(2, 12), accessToken=made.token)
    assert (refused["__typename"], refused["reason"], refused["alternatives"]) == ("SlotUnavailable", "INACTIVE", [])
    assert (await guest.read(made, made.token))["status"] == "CONFIRMED"


async def test_what_is_not_asked_rightly(guest: Visitor) -> None:
    made = await guest.booked(at(2, 10))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "input.startsAt"),
        ({"sessionId": "ses_01h2xcejqtf2nbrexx3vqjhp41"}, "input.sessionId"),
        ({"startsAt": iso(at(2, 12)), "reason": "a" * 501}, "input.reason"),
    ]
    for extra, path in wrong:
        refused = await guest.move(made, accessToken=made.token, **extra)
        assert [violation["path"] for violation in refused["violations"]] == [path]


async def test_a_stranger_finds_nothing(guest: Visitor, services: Services, client: GraphQLClient) -> None:
    made, other = await guest.booked(at(2, 10)), await guest.booked(at(2, 12))
    elsewhere = await make_shop(services)
    stranger = await account(client, guest.shop, "stranger")
    answers = [
        await guest.move(made, at(2, 14)),
        await guest.move(made, at(2, 14), accessToken=other.token),
        await guest.move(made, at(2, 14), accessToken="wrong"),
        await stranger.move(made, at(2, 14)),
        await Visitor(client.signed_in(elsewhere.owner.token), elsewhere).move(made, at(2, 14)),
        await guest.move(made, at(2, 14), accessToken=made.token, providerId=elsewhere.provider_id),
        await guest.client(
            op.MOVE, {"input": {"bookingId": "bkg_01h2xcejqtf2nbrexx3vqjhp41", "startsAt": iso(at(2, 14))}}
        ),
    ]
    assert answers[0]["__typename"] == "NotFound"
    assert all(answer == answers[0] for answer in answers)


async def test_the_rest_of_the_people(guest: Visitor, client: GraphQLClient) -> None:
    """The customer by their account, staff, and admins need no link."""
    customer = await account(client, guest.shop, "customer")
    made = await customer.booked(at(3, 10), customer=None)
    movers = [
        customer,
        await colleague(client, guest.shop, Role.STAFF),
        await colleague(client, guest.shop, Role.ADMIN),
    ]
    for hour, mover in enumerate(movers, 11):
        assert (await mover.move(made, at(3, hour)))["startsAt"] == iso(at(3, hour))
    entries = await audit_of(guest.shop, made)
    assert [entry["actor"] for entry in entries] == ["customer", "customer", "staff", "admin"]
    seen = await customer.read(made)
    assert seen["version"] == 4


async def test_two_moves_in_one_document_each_show_their_own(guest: Visitor) -> None:
    made = await guest.booked(at(3, 10))
    fields = "... on Booking { items { startsAt } transitions { to } }"
    document = f"""
    mutation ($one: RescheduleBookingInput!, $two: RescheduleBookingInput!, $three: CancelBookingInput!) {{
      one: rescheduleBooking(input: $one) {{ {fields} }} two: rescheduleBooking(input: $two) {{ {fields} }}
      three: cancelBooking(input: $three) {{ {fields} }}
    }}"""
    booking = {"bookingId": made.id, "accessToken": made.token}
    answer = await guest.client(
        document,
        {
            "one": {**booking, "startsAt": iso(at(3, 11))},
            "two": {**booking, "startsAt": iso(at(3, 12))},
            "three": {**booking, "reason": "Ill"},
        },
    )
    starts = [answer[name]["items"][0]["startsAt"] for name in ("one", "two", "three")]
    assert starts == [iso(at(3, 11)), iso(at(3, 12)), iso(at(3, 12))]
    assert [len(answer[name]["transitions"]) for name in ("one", "two", "three")] == [2, 2, 3]


async def test_statements(guest: Visitor, statements: StatementLog) -> None:
    made = await guest.booked(at(2, 10))
    statements.clear()
    await guest.move(made, at(2, 12), accessToken=made.token)
    assert len(statements) <= 10, statements.statements
