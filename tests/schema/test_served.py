"""Recipients, addresses, and the areas that providers come to."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.ids import IdKind, encode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.bulk import Planner, a_worker, results
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, RunningApi, StatementLog
from tests.guests import start
from tests.journey import Answer, Made, Visitor, audit_of, booking_input, colleague, rows_of
from tests.shop import Person, Shop, at, make_person, make_shop

CENTRE = {"latitude": -34.6, "longitude": -58.4}
CIRCLE = {**CENTRE, "radiusKm": 10.0}
HOME = {
    "street": "Thames 1500",
    "city": "Buenos Aires",
    "building": "2",
    "apartment": "4º B",
    "postalCode": "c1414",
    "country": "AR",
    "latitude": -34.59,
    "longitude": -58.42,
}
FAR = {"street": "San Martín 1", "city": "Mendoza", "latitude": -32.89, "longitude": -68.84}
LUZ = {"name": "Luz", "phone": "011 4321-5678"}
KEPT = {**HOME, "postalCode": "C1414"}

BOOK = """
mutation ($input: CreateBookingInput!) { createBooking(input: $input) { __typename
  ... on CreateBookingPayload { accessToken booking { id
    recipient { name phone }
    address { street city building apartment postalCode country latitude longitude } } }
  ... on Error { code message } ... on InvalidInput { violations { path message } } ... on NotAllowed { rule } } }
"""
AREA = """
mutation ($input: UpdateProviderInput!) { updateProvider(input: $input) { __typename
  ... on UpdateProviderPayload { provider { serviceArea { latitude longitude radiusKm postalCodes cities } } }
  ... on Error { code } ... on InvalidInput { violations { path } } } }
"""


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2, service={"is_at_customers": True})


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Visitor:
    return Visitor(client, shop)


async def _set_area(shop: Shop, client: GraphQLClient, area: Any, number: int = 0) -> Answer:
    owner = client.signed_in(shop.owner.token)
    answer: Answer = await owner(AREA, {"input": {"providerId": shop.provider_ids[number], "serviceArea": area}})
    return answer


async def _book(visitor: Visitor, hour: int = 10, *, number: int = 0, **extra: Any) -> Answer:
    """With the provider of this number; what is held for a refused one is given back."""
    held = await visitor.held(at(2, hour), providerId=visitor.shop.provider_ids[number])
    answer: Answer = await visitor.client(BOOK, {"input": booking_input(held, **extra)})
    if answer["__typename"] != "CreateBookingPayload":
        await visitor.release(held)
    return answer


def _faults(answer: Answer) -> list[str]:
    assert answer["__typename"] == "InvalidInput", answer
    return [one["path"] for one in answer["violations"]]


async def test_who_is_served_and_where_is_kept_as_it_was_given(guest: Visitor, client: GraphQLClient) -> None:
    made = await _book(guest, recipient=LUZ, address=HOME)
    assert made["booking"]["recipient"] == {"name": "Luz", "phone": "+541143215678"}
    assert made["booking"]["address"] == KEPT
    await _set_area(guest.shop, client, {"cities": ["Mendoza"]})  # what is booked stands
    document = "query ($id: ID!, $token: String) { booking(id: $id, accessToken: $token) { address { apartment } } }"
    shown = await client(document, {"id": made["booking"]["id"], "token": made["accessToken"]})
    assert shown == {"address": {"apartment": "4º B"}}
    assert "errors" in await client.raw(document, {"id": made["booking"]["id"], "token": "x.y"})


async def test_a_service_at_the_customers_needs_an_address(guest: Visitor, services: Services) -> None:
    assert _faults(await _book(guest)) == ["input.address"]
    elsewhere = Visitor(guest.client, await make_shop(services))
    assert _faults(await _book(elsewhere, address=HOME)) == ["input.address"]
    made = await _book(elsewhere, recipient={"name": "Luz"})
    assert made["booking"]["recipient"] == {"name": "Luz", "phone": None}
    assert made["booking"]["address"] is None


@pytest.mark.parametrize(
    ("area", "address", "is_within"),
    [
        (CIRCLE, HOME, True),
        (CIRCLE, FAR, False),
        (CIRCLE, {"street": "Thames 1500", "city": "Buenos Aires"}, False),
        ({"postalCodes": ["C 1414", "5000"]}, HOME, True),
        ({"postalCodes": ["5000"]}, HOME, False),
        ({"cities": ["BUENOS  aires"]}, HOME, True),
        ({"cities": ["Córdoba"]}, {"street": "A 1", "city": "cordoba"}, True),
        ({**CIRCLE, "cities": ["Mendoza"]}, FAR, True),
        (None, FAR, True),
    ],
)
async def test_within_the_providers_area(
    guest: Visitor, client: GraphQLClient, area: Any, address: dict[str, Any], is_within: bool
) -> None:
    assert (await _set_area(guest.shop, client, area))["__typename"] == "UpdateProviderPayload"
    answer = await _book(guest, address=address)
    if is_within:
        assert answer["__typename"] == "CreateBookingPayload", answer
    else:
        assert _faults(answer) == ["input.address"]
    assert (await _book(guest, 12, number=1, address=address))["__typename"] == "CreateBookingPayload"


async def test_the_staff_book_outside_with_a_reason(guest: Visitor, client: GraphQLClient) -> None:
    await _set_area(guest.shop, client, CIRCLE)
    refused = await _book(guest, address=FAR, outsideAreaReason="Please")
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "outside_area_by_staff")
    staff = await colleague(client, guest.shop, Role.STAFF)
    assert "with a reason" in (await _book(staff, address=FAR))["violations"][0]["message"]
    made = await _book(staff, address=FAR, outsideAreaReason=" A wedding ")
    entries = await audit_of(guest.shop, Made(made["booking"]["id"], "", {}))
    assert [entry["after"]["outsideAreaReason"] for entry in entries if entry["action"] == "booking.created"] == [
        "A wedding"
    ]


async def test_a_move_stays_within_the_area(guest: Visitor, client: GraphQLClient) -> None:
    made = await _book(guest, address=HOME)
    booked = Made(made["booking"]["id"], made["accessToken"], {})
    await _set_area(guest.shop, client, {"cities": ["Mendoza"]}, 1)
    other = guest.shop.provider_ids[1]
    assert _faults(await guest.move(booked, providerId=other, accessToken=booked.token)) == ["input.providerId"]
    assert (await guest.move(booked, at(3, 10), accessToken=booked.token))["__typename"] == "Booking"
    staff = await colleague(client, guest.shop, Role.STAFF)
    assert _faults(await staff.move(booked, providerId=other)) == ["input.providerId"]
    assert (await staff.move(booked, providerId=other, reason="Is ill"))["__typename"] == "Booking"


async def test_a_bulk_move_stays_within_the_area(
    guest: Visitor, client: GraphQLClient, database_url: str, running: RunningApi
) -> None:
    """Its reason is that of all moves: none to go beyond the area with one. The plan says so, and the worker."""
    made = await _book(guest, address=HOME)
    await _set_area(guest.shop, client, {"cities": ["Mendoza"]}, 1)
    staff = Planner((await colleague(client, guest.shop, Role.STAFF)).client, guest.shop)
    (item,) = (await staff.moved(at(2, 0), at(3, 0)))["items"]
    assert (item["isPossible"], item["rule"]) == (False, "outside_area")
    await _set_area(guest.shop, client, None, 1)
    plan = await staff.moved(at(2, 0), at(3, 0))
    assert plan["possible"] == 1
    await _set_area(guest.shop, client, {"cities": ["Mendoza"]}, 1)
    async with a_worker(database_url, running) as worker:
        await staff.committed(plan)
        await worker.work()
    assert results(await staff.read(plan)) == {made["booking"]["id"]: ("REFUSED", "not_possible")}


async def test_a_visit_is_asked_for_each_of_its_services(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, more_services=({"name": "At home", "is_at_customers": True},))
    guest = Visitor(client, shop)
    items = [{"serviceId": each} for each in shop.service_ids]
    held = await guest.held(at(2, 10), serviceId=None, items=items)
    assert _faults(await client(BOOK, {"input": booking_input(held)})) == ["input.address"]
    await _set_area(shop, client, CIRCLE)
    assert _faults(await client(BOOK, {"input": booking_input(held, address=FAR)})) == ["input.address"]
    made = await client(BOOK, {"input": booking_input(held, address=HOME)})
    assert made["booking"]["address"] == KEPT


async def test_places_have_a_recipient_and_no_address(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    held = await yoga.held((await yoga.at(at(2, 9)))["id"])
    assert _faults(await client(BOOK, {"input": booking_input(held, address=HOME)})) == ["input.address"]
    made = await client(BOOK, {"input": booking_input(held, recipient={"name": "Luz"})})
    assert made["booking"]["recipient"] == {"name": "Luz", "phone": None}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"address": {**HOME, "street": " "}}, "address.street"),
        ({"address": {**HOME, "city": "a" * 101}}, "address.city"),
        ({"address": {**HOME, "apartment": "a\nb"}}, "address.apartment"),
        ({"address": {**HOME, "building": "\u202e1"}}, "address.building"),
        ({"address": {**HOME, "postalCode": "C-1"}}, None),
        ({"address": {**HOME, "postalCode": "\U0001f600"}}, "address.postalCode"),
        ({"address": {**HOME, "country": "Argentina"}}, "address.country"),
        ({"address": {**HOME, "latitude": None}}, "address.latitude"),
        ({"address": {**HOME, "latitude": 90.1}}, "address.latitude"),
        ({"address": {**HOME, "longitude": 2.0**53}}, "address.longitude"),
        ({"recipient": {"name": ""}, "address": HOME}, "recipient.name"),
        ({"recipient": {**LUZ, "phone": "12"}, "address": HOME}, "recipient.phone"),
        ({"recipient": LUZ, "address": {**HOME, "country": None}}, "recipient.phone"),
        ({"address": HOME, "outsideAreaReason": "a" * 501}, "outsideAreaReason"),
    ],
)
async def test_what_cannot_be(guest: Visitor, given: dict[str, Any], path: str | None) -> None:
    answer = await _book(guest, **given)
    if path is None:
        assert answer["__typename"] == "CreateBookingPayload", answer
    else:
        assert _faults(answer) == [f"input.{path}"]


@pytest.mark.parametrize(
    ("area", "path"),
    [
        ({}, ""),
        ({"latitude": 1.0, "radiusKm": 5.0}, ".longitude"),
        (CENTRE, ".radiusKm"),
        ({"radiusKm": 5.0, "cities": ["A"]}, ".radiusKm"),
        ({**CIRCLE, "radiusKm": 0.0}, ".radiusKm"),
        ({**CIRCLE, "radiusKm": -1.0}, ".radiusKm"),
        ({**CIRCLE, "radiusKm": 501.0}, ".radiusKm"),
        ({**CIRCLE, "latitude": -91.0}, ".latitude"),
        ({"postalCodes": ["1000", "?"]}, ".postalCodes.1"),
        ({"cities": ["A", " "]}, ".cities.1"),
        ({"cities": ["A"] * 201}, ".cities"),
    ],
)
async def test_areas_that_cannot_be(guest: Visitor, client: GraphQLClient, area: dict[str, Any], path: str) -> None:
    assert _faults(await _set_area(guest.shop, client, area)) == [f"input.serviceArea{path}"]


async def test_an_area_is_shown_and_taken_away(guest: Visitor, client: GraphQLClient) -> None:
    shop, area = guest.shop, {**CIRCLE, "postalCodes": ["c1414", "C1414"], "cities": ["Tigre"]}
    shown = (await _set_area(shop, client, area))["provider"]["serviceArea"]
    assert shown == {**area, "postalCodes": ["C1414"]}
    search = """
    query ($id: ID!) { providers(organizationId: $id, first: 5) { edges { node { serviceArea { cities } } } } }
    """
    found = await client(search, {"id": shop.organization_id})
    areas = [edge["node"]["serviceArea"] for edge in found["edges"]]
    assert sorted(areas, key=str) == sorted([{"cities": ["Tigre"]}, None], key=str)
    assert (await _set_area(shop, client, None))["provider"] == {"serviceArea": None}
    stranger = Visitor(client.signed_in((await _stranger(shop)).token), shop)
    wanted = {"providerId": shop.provider_id, "serviceArea": area}
    refused = await stranger.client(AREA, {"input": wanted})
    assert refused["__typename"] == "NotFound"
    rows = await rows_of(shop, "SELECT count(*) FROM provider WHERE service_area IS NOT NULL")
    assert rows == [{"count": 0}]


async def _stranger(shop: Shop) -> Person:
    return await make_person(shop.services, "stranger")


async def test_a_service_says_that_it_comes_to_the_customer(guest: Visitor, client: GraphQLClient) -> None:
    owner = client.signed_in(guest.shop.owner.token)
    document = """
    mutation ($input: UpdateServiceInput!) { updateService(input: $input) {
      ... on UpdateServicePayload { service { isAtCustomers } } } }
    """
    service_id = encode_id(IdKind.SERVICE, guest.shop.service_uuids[0])
    made = await _book(guest, address=HOME)
    changed = await owner(document, {"input": {"serviceId": service_id, "isAtCustomers": False}})
    assert changed == {"service": {"isAtCustomers": False}}
    assert _faults(await _book(guest, 12, address=HOME)) == ["input.address"]
    kept = await rows_of(guest.shop, "SELECT address FROM booking WHERE id IS NOT NULL")
    assert [row["address"]["street"] for row in kept] == ["Thames 1500"]
    assert made["booking"]["address"] == KEPT


async def test_a_session_remembers_them(guest: Visitor, client: GraphQLClient) -> None:
    visit = await start(client, guest.shop)
    held = await visit.held(at(2, 10))
    given = booking_input(held, recipient=LUZ, address=HOME, guestSessionToken=visit.token)
    assert (await client(BOOK, {"input": given}))["__typename"] == "CreateBookingPayload"
    document = """
    query ($token: String!) { guestSession(token: $token) { details { recipient { name phone }
      address { street city building apartment postalCode country latitude longitude } } } }
    """
    found = await client(document, {"token": visit.token})
    assert found["details"] == {"recipient": {"name": "Luz", "phone": "+541143215678"}, "address": KEPT}


async def test_budget(guest: Visitor, client: GraphQLClient, statements: StatementLog) -> None:
    await _set_area(guest.shop, client, CIRCLE)
    held = await guest.held(at(2, 10), providerId=guest.shop.provider_id)
    statements.clear()
    await client(BOOK, {"input": booking_input(held, recipient=LUZ, address=HOME)})
    assert len(statements) <= 8, statements.statements
