"""Bookings of an organization, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Made, Visitor, account, colleague
from tests.shop import at, iso, make_person, make_shop

LIST = """
query ($id: ID!, $filter: BookingFilter, $sort: BookingSort, $first: Int, $after: String, $last: Int, $before: String) {
  bookings(
    organizationId: $id, filter: $filter, sort: $sort, first: $first, after: $after, last: $last, before: $before
  ) {
    totalCount edges { cursor node { id startsAt } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""


async def _list(visitor: Visitor, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = await visitor.client(LIST, {"id": visitor.shop.organization_id, **variables})
    return found


async def _ids(visitor: Visitor, **wanted: Any) -> list[str]:
    return [edge["node"]["id"] for edge in (await _list(visitor, filter=wanted))["edges"]]


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services, providers=2))


@pytest.fixture
async def staff(guest: Visitor, client: GraphQLClient) -> Visitor:
    return await colleague(client, guest.shop, Role.STAFF)


async def _made(guest: Visitor) -> list[Made]:
    one, two = guest.shop.provider_ids
    return [
        await guest.booked(
            at(2, 10), hold={"providerId": one}, customer={"name": "Ana 100%", "email": "a@example.com"}
        ),
        await guest.booked(at(3, 10), hold={"providerId": two}, customer={"name": "Bruno_", "email": "b@example.com"}),
        await guest.booked(at(4, 10), hold={"providerId": one}, customer={"name": "Anabel", "email": "c@example.com"}),
    ]


async def test_pages_forward_and_back(guest: Visitor, staff: Visitor) -> None:
    made = await _made(guest)
    first = await _list(staff, first=2)
    assert [edge["node"]["id"] for edge in first["edges"]] == [made[0].id, made[1].id]
    assert first["totalCount"] == 3
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    second = await _list(staff, first=2, after=first["pageInfo"]["endCursor"])
    assert [edge["node"]["id"] for edge in second["edges"]] == [made[2].id]
    assert second["pageInfo"]["hasNextPage"] is False
    back = await _list(staff, last=1, before=second["pageInfo"]["startCursor"])
    assert [edge["node"]["id"] for edge in back["edges"]] == [made[1].id]
    newest = await _list(staff, sort="STARTS_DESC")
    assert [edge["node"]["id"] for edge in newest["edges"]] == [each.id for each in reversed(made)]
    created = await _list(staff, sort="CREATED_DESC")
    assert [edge["node"]["id"] for edge in created["edges"]] == [each.id for each in reversed(made)]


async def test_filters(guest: Visitor, staff: Visitor) -> None:
    made = await _made(guest)
    await guest.cancel(made[1], accessToken=made[1].token)
    ids = [each.id for each in made]
    assert await _ids(staff, providerId=guest.shop.provider_ids[0]) == [ids[0], ids[2]]
    assert await _ids(staff, serviceId=guest.shop.service_id) == ids
    assert await _ids(staff, customerId=made[2].answer["customer"]["id"]) == [ids[2]]
    assert await _ids(staff, statuses=["CANCELLED"]) == [ids[1]]
    assert await _ids(staff, statuses=[]) == []
    assert await _ids(staff, startsFrom=iso(at(3, 10)), startsBefore=iso(at(4, 10))) == [ids[1]]
    assert await _ids(staff, text=made[2].answer["number"].lower()) == [ids[2]]
    assert await _ids(staff, text=made[0].answer["confirmationCode"]) == [ids[0]]
    assert await _ids(staff, text="ana") == [ids[0], ids[2]]
    assert await _ids(staff, text="%") == [ids[0]]
    assert await _ids(staff, text="_") == [ids[1]]
    assert await _ids(staff, text="  ") == ids
    assert await _ids(staff, text="nobody") == []


async def test_each_sees_their_own(guest: Visitor, services: Services, client: GraphQLClient, staff: Visitor) -> None:
    made = await _made(guest)
    customer = await account(client, guest.shop, "customer")
    mine = await customer.booked(at(5, 10), customer=None)
    stranger = await account(client, guest.shop, "stranger")
    elsewhere = await make_shop(services)
    assert await _ids(staff) == [*(each.id for each in made), mine.id]
    assert await _ids(customer) == [mine.id]
    assert await _ids(customer, text="Ana") == []
    assert await _ids(stranger) == []
    assert await _ids(Visitor(client.signed_in(elsewhere.owner.token), guest.shop)) == []
    assert (await _list(stranger))["totalCount"] == 0


async def test_a_provider_sees_their_own(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, linked=linked)
    made = await Visitor(client, shop).booked(at(2, 10))
    provider = Visitor(client.signed_in(linked.token), shop)
    own = await provider.booked(at(3, 10), customer=None)
    assert await _ids(provider) == [made.id, own.id]


async def test_nobody_sees_a_list_without_signing_in(guest: Visitor) -> None:
    answer = await guest.client.raw(LIST, {"id": guest.shop.organization_id})
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"first": 0}, "BAD_INPUT"),
        ({"first": -1}, "BAD_INPUT"),
        ({"first": 101}, "BAD_INPUT"),
        ({"first": 1, "last": 1}, "BAD_INPUT"),
        ({"after": "nonsense"}, "BAD_INPUT"),
        ({"filter": {"providerId": "svc_01h2xcejqtf2nbrexx3vqjhp41"}}, "BAD_INPUT"),
        ({"filter": {"startsFrom": "2026-11-20T10:00:00"}}, "BAD_INPUT"),
        ({"filter": {"text": "x" * 300}}, "BAD_INPUT"),
        ({"id": "org_01h2xcejqtf2nbrexx3vqjhp41"}, "NOT_FOUND"),
        ({"id": "ven_01h2xcejqtf2nbrexx3vqjhp41"}, "BAD_INPUT"),
    ],
)
async def test_what_cannot_be_asked(staff: Visitor, variables: dict[str, Any], code: str) -> None:
    answer = await staff.client.raw(LIST, {"id": staff.shop.organization_id, **variables})
    assert {error["extensions"]["code"] for error in answer["errors"]} == {code}


async def test_statements_do_not_grow_with_the_page(guest: Visitor, staff: Visitor, statements: StatementLog) -> None:
    await _made(guest)
    document = """query ($id: ID!) { bookings(organizationId: $id, first: 20) { edges { node {
      id provider { name } service { name } customer { name } items { provider { name } } transitions { to } } } } }"""
    statements.clear()
    found = await staff.client(document, {"id": guest.shop.organization_id})
    assert len(found["edges"]) == 3
    assert len(statements) <= 12, statements.statements
