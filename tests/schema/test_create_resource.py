"""Rooms, equipment and people: made, changed, switched off, read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from app.core.ids import IdKind, decode_id
from app.resolvers.context import Services
from tests.factories import Catalogue, call, join, make, make_catalogue, refused, someone
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Visitor, rows_of
from tests.rooms import change_room, make_room, need_any, taken_of
from tests.shop import at, make_shop

READ = "query ($id: ID!) { resource(id: $id) { id name kind quantity isActive venue { id } } }"
WITH_INACTIVE = "query ($id: ID!) { venue(id: $id) { resources(includeInactive: true) { id isActive } } }"
BELOW = "query ($id: ID!) { venue(id: $id) { resources { name quantity } } }"


async def made(catalogue: Catalogue, **values: Any) -> dict[str, Any]:
    facts = {"venueId": catalogue.venue["id"], "name": "Sala", "kind": "ROOM", **values}
    return await make(catalogue.owner.client, "createResource", **facts)


async def test_made_and_read(catalogue: Catalogue, client: GraphQLClient) -> None:
    room = await made(catalogue, name="  Sala grande ", quantity=3)
    expected = {"id": room["id"], "name": "Sala grande", "kind": "ROOM", "quantity": 3, "isActive": True}
    assert room == expected
    assert await client(READ, {"id": room["id"]}) == {**expected, "venue": {"id": catalogue.venue["id"]}}
    await made(catalogue, name="Ácido", kind="EQUIPMENT")
    below = await client(BELOW, {"id": catalogue.venue["id"]})
    assert below["resources"] == [{"name": "Ácido", "quantity": 1}, {"name": "Sala grande", "quantity": 3}]
    node = await client("query ($id: ID!) { node(id: $id) { id ... on Resource { name } } }", {"id": room["id"]})
    assert node == {"id": room["id"], "name": "Sala grande"}


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": ""}, "input.name"),
        ({"name": "x" * 201}, "input.name"),
        ({"quantity": 0}, "input.quantity"),
        ({"quantity": -1}, "input.quantity"),
        ({"quantity": 101}, "input.quantity"),
        ({"quantity": 2**31 - 1}, "input.quantity"),
    ],
)
async def test_what_it_cannot_be(catalogue: Catalogue, values: dict[str, Any], path: str) -> None:
    facts = {"venueId": catalogue.venue["id"], "name": "Sala", "kind": "ROOM", **values}
    assert set(await refused(catalogue.owner.client, "createResource", **facts)) == {path}


async def test_who_may(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    other = await make_catalogue(services, client)
    room = await made(catalogue)
    facts = {"venueId": catalogue.venue["id"], "name": "Sala", "kind": "ROOM"}
    people = {
        "CreateResourcePayload": (await join(services, catalogue, client, "ADMIN")).client,
        "NotAllowed": (await join(services, catalogue, client, "STAFF")).client,
        "NotFound": (await someone(services, client)).client,
    }
    for expected, person in people.items():
        assert (await call(person, "createResource", **facts))["__typename"] == expected
    for operation in ("updateResource", "deactivateResource", "reactivateResource"):
        hidden = await call(other.owner.client, operation, resourceId=room["id"])
        assert hidden["__typename"] == "NotFound"
    wrong = await catalogue.owner.client.raw(READ, {"id": catalogue.venue["id"]})
    assert wrong["errors"][0]["extensions"]["code"] == "BAD_INPUT"


async def test_more_and_fewer_units(services: Services, client: GraphQLClient) -> None:
    """Numbers are never given anew, and what the last one has booked stands."""
    shop = await make_shop(services, providers=3)
    room = await make_room(shop, 2)
    await need_any(shop, room)
    guest = Visitor(client, shop)
    await guest.booked(at(2, 10))
    await guest.booked(at(2, 10))
    await change_room(shop, room, quantity=1)
    assert [len(await taken_of(shop, unit)) for unit in room.units] == [1, 1]
    await guest.booked(at(2, 12))
    assert (await guest.hold(at(2, 12), providerId=shop.provider_id))["reason"] == "RESOURCE"
    await change_room(shop, room, quantity=3)
    units = await rows_of(
        shop, "SELECT id, number, is_active FROM resource_unit WHERE resource_id = :id ORDER BY number", id=room.uuid
    )
    assert [(unit["number"], unit["is_active"]) for unit in units] == [(1, True), (2, True), (3, True)]
    assert tuple(unit["id"] for unit in units[:2]) == room.units
    await guest.held(at(2, 12))


async def test_switched_off_and_on_again(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    room = await made(catalogue)
    staff = await join(services, catalogue, client, "STAFF")
    off = await make(catalogue.owner.client, "deactivateResource", resourceId=room["id"])
    assert off["isActive"] is False
    answer = await client.raw(READ, {"id": room["id"]})
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert (await staff.client(READ, {"id": room["id"]}))["isActive"] is False
    for each in (client, staff.client):
        assert (await each(BELOW, {"id": catalogue.venue["id"]}))["resources"] == []
    assert (await client(WITH_INACTIVE, {"id": catalogue.venue["id"]}))["resources"] == []
    shown = (await staff.client(WITH_INACTIVE, {"id": catalogue.venue["id"]}))["resources"]
    assert shown == [{"id": room["id"], "isActive": False}]
    on = await make(catalogue.owner.client, "reactivateResource", resourceId=room["id"])
    assert on["isActive"] is True


async def test_a_room_that_is_off_closes_what_needs_it(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services)
    room = await make_room(shop)
    await need_any(shop, room)
    guest = Visitor(client, shop)
    made_before = await guest.booked(at(2, 10))
    await change_room(shop, room, is_active=False)
    assert (await guest.hold(at(2, 12)))["reason"] == "RESOURCE"
    assert await guest.starts(at(2, 0).date()) == []
    assert (await guest.read(made_before, made_before.token))["status"] == "CONFIRMED"
    await change_room(shop, room, is_active=True)
    await guest.held(at(2, 12))


async def test_each_change_is_told_to_whom_it_concerns(services: Services) -> None:
    shop = await make_shop(services, more_services=({},))
    room = await make_room(shop)
    await need_any(shop, room, service=1)
    await change_room(shop, room, quantity=2)
    await change_room(shop, room, quantity=2)
    await change_room(shop, room, is_active=False)
    events = await rows_of(shop, "SELECT subject_id FROM outbox_event WHERE type = 'resource.changed' ORDER BY id")
    there, needed = shop.venue_uuid, shop.service_uuids[1]
    assert [event["subject_id"] for event in events] == [there, needed, there, needed, there, needed]
    audit = await rows_of(
        shop, "SELECT action, before, after FROM audit_entry WHERE subject_id = :id ORDER BY id", id=room.uuid
    )
    assert [entry["action"] for entry in audit] == ["resource.created", "resource.updated", "resource.deactivated"]
    assert (audit[1]["before"], audit[1]["after"]) == ({"quantity": 1}, {"quantity": 2})


async def test_a_repeated_key_makes_one(catalogue: Catalogue) -> None:
    first = await made(catalogue, idempotencyKey="room")
    assert await made(catalogue, idempotencyKey="room") == first
    facts = {"venueId": catalogue.venue["id"], "name": "Otra", "kind": "ROOM", "idempotencyKey": "room"}
    assert (await call(catalogue.owner.client, "createResource", **facts))["__typename"] == "IdempotencyConflict"


async def test_budget(catalogue: Catalogue, client: GraphQLClient, statements: StatementLog) -> None:
    for number in range(5):
        await made(catalogue, name=f"Sala {number}")
    statements.clear()
    await client(BELOW, {"id": catalogue.venue["id"]})
    assert len(statements) <= 4, statements.statements
    assert isinstance(decode_id(IdKind.VENUE, catalogue.venue["id"]), UUID)
