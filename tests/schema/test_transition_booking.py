"""The day of the service, approvals and corrections."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Visitor, account, audit_of, colleague, live_time, rows_of
from tests.shop import at, iso, make_person, make_shop


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


@pytest.fixture
async def staff(guest: Visitor, client: GraphQLClient) -> Visitor:
    return await colleague(client, guest.shop, Role.STAFF)


@pytest.fixture
async def admin(guest: Visitor, client: GraphQLClient) -> Visitor:
    return await colleague(client, guest.shop, Role.ADMIN)


async def test_a_day_of_service(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    assert (await staff.read(made))["allowedTransitions"] == ["CANCELLED"]
    clock.move_to(at(3, 9))
    assert (await staff.read(made))["allowedTransitions"] == ["CHECKED_IN", "IN_PROGRESS", "CANCELLED"]
    steps = []
    for minute, to in ((0, "CHECKED_IN"), (60, "IN_PROGRESS"), (90, "COMPLETED")):
        clock.move_to(at(3, 9, minute + 1))
        answer = await staff.step(made, to, reason=f"now {to}")
        steps.append((answer["status"], answer["version"]))
    assert steps == [("CHECKED_IN", 2), ("IN_PROGRESS", 3), ("COMPLETED", 4)]
    assert await live_time(guest.shop) == [(at(3, 10), at(3, 10, 30), "booked")]
    transitions = (await guest.read(made, made.token))["transitions"]
    assert [(step["from"], step["to"]) for step in transitions[2:]] == [
        ("CONFIRMED", "CHECKED_IN"),
        ("CHECKED_IN", "IN_PROGRESS"),
        ("IN_PROGRESS", "COMPLETED"),
    ]
    assert {step["actor"] for step in transitions[2:]} == {"staff"}
    assert transitions[-1]["reason"] == "now COMPLETED"
    assert transitions[-1]["at"] > iso(at(3, 10, 30))
    entries = await audit_of(guest.shop, made)
    assert [entry["action"] for entry in entries[1:]] == [
        "booking.checked_in",
        "booking.in_progress",
        "booking.completed",
    ]
    assert {entry["actor_id"] for entry in entries[1:]} == {guest.shop.people["staff"].user_id}
    events = await rows_of(guest.shop, "SELECT payload FROM outbox_event WHERE type = 'booking.completed'")
    assert events == [{"payload": {"version": 4, "status": "completed"}}]


async def test_not_before_its_time(guest: Visitor, staff: Visitor, admin: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    for visitor in (staff, admin):
        for to, rule in (("CHECKED_IN", "service_day"), ("COMPLETED", "not_started"), ("NO_SHOW", "not_started")):
            refused = await visitor.step(made, to)
            assert (refused["__typename"], refused["rule"]) == ("NotAllowed", rule)
    clock.move_to(at(4, 0, 1))
    refused = await staff.step(made, "COMPLETED")
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "service_day_over")
    assert (await admin.step(made, "COMPLETED"))["status"] == "COMPLETED"


async def test_steps_that_do_not_exist_name_those_that_do(
    guest: Visitor, staff: Visitor, admin: Visitor, clock: MovableClock
) -> None:
    made = await guest.booked(at(3, 10))
    clock.move_to(at(3, 10, 5))
    refused = await staff.step(made, "PENDING")
    assert (refused["__typename"], refused["from"], refused["to"]) == ("IllegalTransition", "CONFIRMED", "PENDING")
    assert refused["allowed"] == ["CHECKED_IN", "IN_PROGRESS", "COMPLETED", "CANCELLED", "NO_SHOW"]
    await staff.stepped(made, "COMPLETED")
    assert (await staff.step(made, "CANCELLED", reason="late"))["allowed"] == []
    assert (await admin.step(made, "CANCELLED", reason="late"))["allowed"] == ["NO_SHOW"]
    assert (await guest.read(made, made.token))["version"] == 2


async def test_nobody_sets_by_hand_what_happens_by_itself(guest: Visitor, admin: Visitor) -> None:
    made = await guest.booked(at(3, 10))
    refused = await admin.step(made, "AWAITING_PROVIDER")
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "system_only")
    await guest.cancel(made, accessToken=made.token)
    refused = await admin.step(made, "REFUNDED")
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "system_only")


async def test_a_no_show_frees_the_time(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10), hold={})
    clock.move_to(at(3, 10, 1))
    assert (await staff.step(made, "NO_SHOW"))["status"] == "NO_SHOW"
    assert await live_time(guest.shop) == []
    [freed] = await rows_of(
        guest.shop, "SELECT payload ->> 'cause' AS cause FROM outbox_event WHERE type = 'allocation.released'"
    )
    assert freed == {"cause": "RELEASED"}


async def test_an_admin_corrects(guest: Visitor, staff: Visitor, admin: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    clock.move_to(at(3, 10, 1))
    await staff.stepped(made, "NO_SHOW")
    refused = await staff.step(made, "CHECKED_IN")
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "admin_only")
    corrected = await admin.step(made, "CHECKED_IN", reason="Was there")
    assert (corrected["status"], corrected["version"]) == ("CHECKED_IN", 3)
    assert await live_time(guest.shop) == [(at(3, 10), at(3, 10, 30), "booked")]
    assert (await guest.hold(at(3, 10, 15)))["reason"] == "BOOKED"
    await staff.stepped(made, "COMPLETED")
    assert (await admin.step(made, "NO_SHOW"))["version"] == 5
    assert await live_time(guest.shop) == []


async def test_a_correction_takes_nobodys_time(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    shop = await make_shop(services, service={"buffer_after_minutes": 15})
    guest = Visitor(client, shop)
    admin = await colleague(client, shop, Role.ADMIN)
    made = await guest.booked(at(3, 10))
    clock.move_to(at(3, 10, 1))
    await admin.stepped(made, "NO_SHOW")
    other = await guest.held(at(3, 10, 30))  # only the buffer is in the way
    before = await guest.read(made, made.token)
    refused = await admin.step(made, "CHECKED_IN")
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "BOOKED")
    assert len(refused["alternatives"]) == 6
    assert await guest.read(made, made.token) == before
    await guest.release(other)
    assert (await admin.step(made, "CHECKED_IN"))["status"] == "CHECKED_IN"
    [taken] = await rows_of(
        shop, "SELECT upper(busy) AS until FROM allocation WHERE status = 'booked' ORDER BY created_at DESC LIMIT 1"
    )
    assert taken["until"] == at(3, 10, 45)


async def test_a_provider_acts_on_their_own(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, providers=2, linked=linked)
    guest, provider = Visitor(client, shop), Visitor(client.signed_in(linked.token), shop)
    [row] = await rows_of(shop, "SELECT id FROM provider WHERE user_id = :user", user=linked.user_id)
    number = shop.provider_uuids.index(row["id"])
    mine = await guest.booked(at(3, 10), hold={"providerId": shop.provider_ids[number]})
    theirs = await guest.booked(at(3, 10), hold={"providerId": shop.provider_ids[1 - number]})
    clock.move_to(at(3, 10, 1))
    checked_in = await provider.step(mine, "CHECKED_IN")
    assert checked_in["status"] == "CHECKED_IN"
    assert (await guest.read(mine, mine.token))["transitions"][-1]["actor"] == "provider"
    assert (await provider.step(theirs, "CHECKED_IN"))["__typename"] == "NotFound"


async def test_a_customer_takes_no_step_but_cancelling(guest: Visitor, client: GraphQLClient) -> None:
    customer = await account(client, guest.shop, "customer")
    made = await customer.booked(at(3, 10), customer=None)
    refused = await customer.step(made, "CHECKED_IN")
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "staff_only")
    refused = await customer.step(made, "CANCELLED")
    assert refused["violations"][0]["path"] == "input.reason"
    assert (await customer.step(made, "CANCELLED", reason="Ill"))["status"] == "CANCELLED"


async def test_one_step_of_many_at_once(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    clock.move_to(at(3, 10, 1))
    answers = await asyncio.gather(*(staff.step(made, "NO_SHOW", expectedVersion=1) for _ in range(5)))
    assert Counter(answer["__typename"] for answer in answers) == {"Booking": 1, "StaleVersion": 4}
    assert {answer["currentVersion"] for answer in answers if "currentVersion" in answer} == {2}
    assert len(await audit_of(guest.shop, made)) == 2


async def test_the_day_is_that_of_the_provider(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    """15:00 UTC is already tomorrow on Kiritimati."""
    shop = await make_shop(services, time_zone="Pacific/Kiritimati")  # UTC+14
    guest, staff = Visitor(client, shop), await colleague(client, shop, Role.STAFF)
    made = await guest.booked(at(3, 15))
    clock.move_to(at(3, 9, 59))
    assert (await staff.step(made, "CHECKED_IN"))["rule"] == "service_day"
    clock.move_to(at(3, 10, 1))
    assert (await staff.step(made, "CHECKED_IN"))["status"] == "CHECKED_IN"
    clock.move_to(at(4, 9, 59))
    assert (await staff.step(made, "IN_PROGRESS"))["status"] == "IN_PROGRESS"
    clock.move_to(at(4, 10, 1))
    assert (await staff.step(made, "COMPLETED"))["rule"] == "service_day_over"
