"""What a service takes besides its provider: said, refused, and taken with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.core.ids import IdKind, decode_id
from app.domain.resource import ResourceKind
from app.resolvers.context import Services
from tests.factories import make_venue
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Visitor, live_time, rows_of
from tests.rooms import Room, change_room, make_room, need_all, need_any, taken_of
from tests.shop import Shop, at, make_shop

SET = """
mutation ($input: SetServiceNeedsInput!) { setServiceNeeds(input: $input) { __typename
  ... on SetServiceNeedsPayload { service { id needs { quantity resources { id name } } } }
  ... on Error { code message } ... on InvalidInput { violations { path message } } } }
"""


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=3)


async def say(shop: Shop, client: GraphQLClient, *needs: dict[str, Any], **more: Any) -> dict[str, Any]:
    owner = client.signed_in(shop.owner.token)
    answer: dict[str, Any] = await owner(SET, {"input": {"serviceId": shop.service_id, "needs": list(needs), **more}})
    return answer


def read(answer: dict[str, Any]) -> list[tuple[int, list[str]]]:
    return [(need["quantity"], [one["id"] for one in need["resources"]]) for need in answer["service"]["needs"]]


async def test_all_of_and_any_of(shop: Shop, client: GraphQLClient) -> None:
    room, machine, one, two = [await make_room(shop, 2) for _ in range(4)]
    answer = await say(shop, client, {"allOf": [room.id, machine.id]}, {"anyOf": [two.id, one.id], "quantity": 3})
    assert read(answer) == [(1, [room.id]), (1, [machine.id]), (3, [two.id, one.id])]
    assert read(await say(shop, client, {"anyOf": [one.id]})) == [(1, [one.id])]
    assert read(await say(shop, client)) == []
    events = await rows_of(shop, "SELECT subject_id FROM outbox_event WHERE type = 'resource.changed' ORDER BY id")
    assert [event["subject_id"] for event in events] == [shop.venue_uuid] * 4 + [shop.service_uuids[0]] * 3
    audit = await rows_of(shop, "SELECT after FROM audit_entry WHERE action = 'needs.changed' ORDER BY id")
    assert [len(entry["after"]["needs"]) for entry in audit] == [3, 1, 0]


async def test_saying_the_same_changes_nothing(shop: Shop, client: GraphQLClient) -> None:
    room = await make_room(shop)
    for _ in range(2):
        await say(shop, client, {"anyOf": [room.id]})
    assert len(await rows_of(shop, "SELECT 1 FROM audit_entry WHERE action = 'needs.changed'")) == 1


@pytest.mark.parametrize(
    ("needs", "paths"),
    [
        ([{}], ["input.needs.0"]),
        ([{"allOf": ["A"], "anyOf": ["B"]}], ["input.needs.0"]),
        ([{"allOf": []}], ["input.needs.0.allOf"]),
        ([{"anyOf": []}], ["input.needs.0.anyOf"]),
        ([{"anyOf": ["A"], "quantity": 0}], ["input.needs.0.quantity"]),
        ([{"anyOf": ["A"], "quantity": -1}], ["input.needs.0.quantity"]),
        ([{"anyOf": ["A"], "quantity": 101}], ["input.needs.0.quantity"]),
        ([{"anyOf": ["A", "B"], "quantity": 5}], ["input.needs.0.quantity"]),
        ([{"allOf": ["A", "B"], "quantity": 3}], ["input.needs.0.quantity"]),
        ([{"anyOf": ["A", "A"]}], ["input.needs.0.anyOf.1"]),
        ([{"anyOf": ["A"]}, {"allOf": ["B", "A"]}], ["input.needs.1.allOf.1"]),
    ],
)
async def test_what_they_cannot_be(
    shop: Shop, client: GraphQLClient, needs: list[dict[str, Any]], paths: list[str]
) -> None:
    rooms = {"A": (await make_room(shop, 2)).id, "B": (await make_room(shop, 2)).id}
    given = [
        {name: [rooms[one] for one in value] if isinstance(value, list) else value for name, value in need.items()}
        for need in needs
    ]
    answer = await say(shop, client, *given)
    assert answer["__typename"] == "InvalidInput", answer
    assert [violation["path"] for violation in answer["violations"]] == paths


async def test_some_one_venue_meets_them_all(shop: Shop, client: GraphQLClient) -> None:
    other = (await make_venue(client.signed_in(shop.owner.token), shop.organization_id))["id"]
    there = decode_id(IdKind.VENUE, other)
    here, chair, elsewhere, off = [
        await make_room(shop, quantity, venue_uuid=venue)
        for quantity, venue in ((2, None), (1, None), (3, there), (1, None))
    ]
    await change_room(shop, off, is_active=False)
    most = "must be at most {}: no more are in use at any one venue"
    gone = "cannot be met: no venue has all the needs in use"
    for needs, violations in (
        ([{"anyOf": [here.id, elsewhere.id], "quantity": 4}], {"input.needs.0.quantity": most.format(3)}),
        ([{"allOf": [here.id, elsewhere.id]}], {"input.needs.0": gone}),
        ([{"anyOf": [chair.id]}, {"anyOf": [elsewhere.id]}], {"input.needs.1": gone}),
        ([{"anyOf": [off.id]}], {"input.needs.0": gone}),
        (
            [{"anyOf": [here.id]}, {"anyOf": [off.id, chair.id], "quantity": 2}],
            {"input.needs.1.quantity": most.format(1)},
        ),
    ):
        answer = await say(shop, client, *needs)
        assert answer["__typename"] == "InvalidInput", answer
        assert {each["path"]: each["message"] for each in answer["violations"]} == violations
    assert read(await say(shop, client, {"anyOf": [here.id, elsewhere.id], "quantity": 3})) == [
        (3, [here.id, elsewhere.id])
    ]
    # What it needs already may be said again, whatever was switched off since.
    both = {"allOf": [here.id, chair.id]}
    await say(shop, client, both)
    await change_room(shop, chair, is_active=False)
    assert (await say(shop, client, both))["__typename"] == "SetServiceNeedsPayload"


async def test_what_is_not_there(shop: Shop, services: Services, client: GraphQLClient) -> None:
    other = await make_shop(services)
    theirs = await make_room(other)
    unknown = await say(shop, client, {"anyOf": ["res_01h2xcejqtf2nbrexx3vqjhp41"]})
    assert unknown["__typename"] == "NotFound"
    assert await say(shop, client, {"anyOf": [theirs.id]}) == unknown
    wrong = await client.signed_in(shop.owner.token).raw(
        SET, {"input": {"serviceId": shop.service_id, "needs": [{"anyOf": [shop.venue_id]}]}}
    )
    assert wrong["errors"][0]["extensions"]["violations"][0]["path"] == "input.needs.0.anyOf.0"


# ── taken with the service ────────────────────────────────────────────────────────────────────────────


async def test_the_lowest_free_unit_is_taken_with_the_provider(shop: Shop, client: GraphQLClient) -> None:
    room = await make_room(shop, 2)
    await need_any(shop, room)
    guest = Visitor(client, shop)
    first, second = await guest.held(at(2, 10)), await guest.held(at(2, 10))
    span = (at(2, 10), at(2, 10, 30))
    assert [await taken_of(shop, unit) for unit in room.units] == [[(*span, "held")]] * 2
    refused = await guest.hold(at(2, 10))
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "RESOURCE")
    assert len(refused["alternatives"]) == 6
    assert at(2, 10) not in await guest.starts(at(2, 0).date())
    await guest.release(first)
    assert await taken_of(shop, room.units[0]) == []
    assert at(2, 10) in await guest.starts(at(2, 0).date())
    await guest.book(second)
    assert await taken_of(shop, room.units[1]) == [(*span, "booked")]
    await guest.held(at(2, 10))
    assert await taken_of(shop, room.units[0]) == [(*span, "held")]


async def test_several_units_and_several_needs(shop: Shop, client: GraphQLClient) -> None:
    room, chair = await make_room(shop, 3), await make_room(shop, 3, ResourceKind.EQUIPMENT)
    await need_all(shop, room, chair, quantity=2)
    guest = Visitor(client, shop)
    await guest.held(at(2, 10))
    assert [len(await taken_of(shop, unit)) for unit in (*room.units, *chair.units)] == [1, 1, 0, 1, 1, 0]
    assert (await guest.hold(at(2, 10)))["reason"] == "RESOURCE"
    assert len(await live_time(shop)) == 1


async def test_buffers_take_the_room_too(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2, service={"buffer_before_minutes": 15, "buffer_after_minutes": 15})
    room = await make_room(shop)
    await need_any(shop, room)
    guest = Visitor(client, shop)
    await guest.held(at(2, 10), providerId=shop.provider_ids[0])
    assert await taken_of(shop, room.units[0]) == [(at(2, 9, 45), at(2, 10, 45), "held")]
    refused = await guest.hold(at(2, 10, 45), providerId=shop.provider_ids[1])
    assert refused["reason"] == "RESOURCE"
    await guest.held(at(2, 11), providerId=shop.provider_ids[1])


async def test_a_moved_booking_takes_its_room_along(shop: Shop, client: GraphQLClient) -> None:
    room = await make_room(shop, 2)
    await need_any(shop, room)
    guest = Visitor(client, shop)
    made = await guest.booked(at(2, 10))
    await guest.booked(at(2, 12))
    moved = await guest.move(made, at(2, 12), accessToken=made.token)
    assert moved["__typename"] == "Booking", moved
    assert [await taken_of(shop, unit) for unit in room.units] == [
        [(at(2, 12), at(2, 12, 30), "booked")],
        [(at(2, 12), at(2, 12, 30), "booked")],
    ]
    # Overlapping what it has itself is no obstacle.
    assert (await guest.move(made, at(2, 12, 15), accessToken=made.token))["__typename"] == "Booking"
    third = await guest.booked(at(2, 14))
    refused = await guest.move(third, at(2, 12, 15), accessToken=third.token)
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "RESOURCE")
    assert (at(2, 14), at(2, 14, 30), "booked") in await taken_of(shop, room.units[0])
    await guest.cancel(made, accessToken=made.token)
    assert await taken_of(shop, room.units[1]) == []


async def test_a_correction_takes_the_room_again(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    shop = await make_shop(services)
    room = await make_room(shop)
    await need_any(shop, room)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    made = await owner.booked(at(1, 10))
    clock.move_to(at(1, 10, 5))
    await owner.stepped(made, "NO_SHOW")
    assert await taken_of(shop, room.units[0]) == []
    await owner.stepped(made, "CHECKED_IN")
    assert await taken_of(shop, room.units[0]) == [(at(1, 10), at(1, 10, 30), "booked")]


async def test_a_correction_gets_back_the_room_it_had_whatever_time_off_came(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    shop = await make_shop(services)
    room = await make_room(shop, 2)
    await need_any(shop, room)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    made, later = await owner.booked(at(1, 10)), await owner.booked(at(1, 10, 30))
    clock.move_to(at(1, 10, 35))
    for booking in (made, later):
        await owner.stepped(booking, "NO_SHOW")
    await rows_of(
        shop,
        "INSERT INTO blocked_time (id, organization_id, subject_id, starts_at, ends_at, kind)"
        " SELECT uuidv7(), organization_id, id, :from_at, :to_at, 'time_off' FROM resource_unit RETURNING 1",
        from_at=at(1, 9),
        to_at=at(1, 12),
    )
    await owner.stepped(made, "CHECKED_IN")
    assert [await taken_of(shop, unit) for unit in room.units] == [[(at(1, 10), at(1, 10, 30), "booked")], []]
    # A room that it never had stays in its time off.
    await rows_of(shop, "UPDATE resource_unit SET is_active = false WHERE id = :id RETURNING 1", id=room.units[0])
    assert (await owner.step(later, "CHECKED_IN"))["__typename"] == "SlotUnavailable"


async def test_lapsed_rooms_are_claimed_over_before_any_sweep(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    shop = await make_shop(services, providers=2)
    room = await make_room(shop)
    await need_any(shop, room)
    guest = Visitor(client, shop)
    first = await guest.held(at(2, 10), providerId=shop.provider_ids[0])
    clock.move(timedelta(minutes=11))
    await guest.held(at(2, 10), providerId=shop.provider_ids[1])
    assert (await guest.book(first))["__typename"] == "HoldExpired"
    statuses = await rows_of(shop, "SELECT status FROM hold ORDER BY id")
    # The first one's own time is still to be swept, so its hold is not ended yet; it reads as expired by the clock.
    assert [row["status"] for row in statuses] == ["active", "active"]


async def test_extending_keeps_everything(shop: Shop, client: GraphQLClient) -> None:
    room = await make_room(shop, 2)
    await need_any(shop, room, quantity=2)
    guest = Visitor(client, shop)
    held = await guest.held(at(2, 10))
    assert (await guest.extend(held))["__typename"] == "Hold"
    rows = await rows_of(shop, "SELECT count(DISTINCT expires_at) AS n, count(*) AS all FROM allocation")
    assert (rows[0]["n"], rows[0]["all"]) == (1, 3)
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"
    assert [status for unit in room.units for _, _, status in await taken_of(shop, unit)] == ["booked", "booked"]


async def test_a_room_elsewhere_is_no_help(shop: Shop, client: GraphQLClient) -> None:
    """The need is met at the provider's venue."""
    other = await client.signed_in(shop.owner.token)(
        'mutation ($id: ID!) { createVenue(input: {organizationId: $id, name: "B", timeZone: "UTC"}) {'
        " ... on CreateVenuePayload { venue { id } } } }",
        {"id": shop.organization_id},
    )
    room = await rows_of(shop, "SELECT id FROM venue WHERE name = 'B'")
    there: Room = await make_room(shop, venue_uuid=room[0]["id"])
    assert other["venue"]["id"]
    await need_any(shop, there)
    assert (await Visitor(client, shop).hold(at(2, 10)))["reason"] == "RESOURCE"


async def test_budget(shop: Shop, client: GraphQLClient, statements: StatementLog) -> None:
    room = await make_room(shop, 5)
    await need_any(shop, room, quantity=2)
    guest = Visitor(client, shop)
    for named in ({"providerId": shop.provider_id}, {}):
        statements.clear()
        held = await guest.held(at(2, 10), idempotencyKey=str(uuid4()), **named)
        assert len(statements) <= 8, statements.statements
        statements.clear()
        await guest.book(held, idempotencyKey=str(uuid4()))
        assert len(statements) <= 8, statements.statements
