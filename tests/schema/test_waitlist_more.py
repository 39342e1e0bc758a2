"""Who sees the line, and time that comes free by other ways: time off, rooms, and what is paid online."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import make_class
from tests.factories import someone
from tests.fixtures_api import GraphQLClient
from tests.journey import Made, Visitor
from tests.rooms import make_room, need_any
from tests.shop import Shop, at, iso, make_shop
from tests.waiting import ENTRY, JOIN, PRIORITY, READ, waiting, window

LIST = f"""
query ($id: ID!, $filter: WaitlistFilter, $first: Int, $after: String) {{
  waitlist(organizationId: $id, filter: $filter, first: $first, after: $after) {{
    totalCount pageInfo {{ hasNextPage endCursor }} edges {{ node {{ {ENTRY} accessToken }} }} }} }}
"""
TIME_OFF = "mutation ($input: CreateTimeOffInput!) { createTimeOff(input: $input) { __typename"
TIME_OFF += " ... on CreateTimeOffPayload { timeOff { id } } ... on Error { message } } }"
REMOVE = "mutation ($input: RemoveTimeOffInput!) { removeTimeOff(input: $input) { __typename } }"
SETTING = "mutation ($input: UpdateOrganizationInput!) { updateOrganization(input: $input) { __typename"
SETTING += " ... on UpdateOrganizationPayload { organization { waitlistOfferMinutes } }"
SETTING += " ... on InvalidInput { violations { path } } } }"
HOURS = [window(at(3, 9), at(3, 12))]


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services)


async def fill(guest: Visitor) -> dict[datetime, Made]:
    """Everything from 9 to 12 of the third day is booked."""
    made: dict[datetime, Made] = {}
    while free := [start for start in await guest.starts(at(3, 0).date()) if at(3, 9) <= start < at(3, 12)]:
        made[free[0]] = await guest.booked(free[0])
    return made


async def test_who_sees_the_line(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, capacity=1)
    session = (await yoga.at(at(3, 9)))["id"]
    await yoga.booked(session)
    ana = await someone(services, client, "ana")
    mine = await ana.client(JOIN, {"input": {"sessionId": session}})
    assert mine["entry"]["customerEmail"] == ana.email
    others = [await waiting(client, sessionId=session) for _ in range(2)]
    organization = {"id": yoga.shop.organization_id}

    async def ids(asking: GraphQLClient, **extra: Any) -> list[str]:
        found = await asking(LIST, {**organization, **extra})
        return [edge["node"]["id"] for edge in found["edges"]]

    everybody = [mine["entry"]["id"], *(one.id for one in others)]
    assert await ids(yoga.owner) == everybody
    assert await ids(yoga.owner, filter={"sessionId": session, "statuses": ["WAITING"]}) == everybody
    assert await ids(yoga.owner, filter={"statuses": ["OFFERED"]}) == []
    assert await ids(yoga.owner, filter={"text": ana.email}) == everybody[:1]
    page = await yoga.owner(LIST, {**organization, "first": 2})
    assert (page["totalCount"], page["pageInfo"]["hasNextPage"]) == (3, True)
    assert [edge["node"]["position"] for edge in page["edges"]] == [1, 2]
    assert await ids(yoga.owner, after=page["pageInfo"]["endCursor"]) == everybody[2:]
    assert await ids(ana.client) == everybody[:1]
    assert await ids((await someone(services, client)).client) == []
    assert "errors" in await client.raw(LIST, organization)
    assert (await ana.client(READ, {"id": mine["entry"]["id"]}))["status"] == "WAITING"
    refused = await ana.client(PRIORITY, {"input": {"entryId": mine["entry"]["id"], "priority": 1}})
    assert refused["__typename"] == "NotFound"
    staff = await yoga.shop.person("staff", Role.STAFF)
    moved = await client.signed_in(staff.token)(PRIORITY, {"input": {"entryId": others[1].id, "priority": 1}})
    assert moved["entry"]["position"] == 1


async def test_how_long_an_offer_lasts(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, capacity=1)
    session = (await yoga.at(at(3, 9)))["id"]
    booked = await yoga.booked(session)
    for minutes, path in ((4, "input.waitlistOfferMinutes"), (1_441, "input.waitlistOfferMinutes")):
        wanted = {"organizationId": yoga.shop.organization_id, "waitlistOfferMinutes": minutes}
        assert (await yoga.owner(SETTING, {"input": wanted}))["violations"] == [{"path": path}]
    wanted = {"organizationId": yoga.shop.organization_id, "waitlistOfferMinutes": 60}
    assert (await yoga.owner(SETTING, {"input": wanted}))["organization"] == {"waitlistOfferMinutes": 60}
    first = await waiting(client, sessionId=session)
    await yoga.guest.cancel(booked, accessToken=booked.token)
    expires = datetime.fromisoformat((await first.read())["offer"]["expiresAt"])
    assert 59 * 60 < (expires - services.clock.now()).total_seconds() <= 60 * 60


async def test_time_off_that_is_taken_back(client: GraphQLClient, shop: Shop) -> None:
    owner = client.signed_in(shop.owner.token)
    wanted = {"providerId": shop.provider_id, "startsAt": iso(at(3, 0)), "endsAt": iso(at(4, 0))}
    off = await owner(TIME_OFF, {"input": wanted})
    first = await waiting(client, serviceId=shop.service_id, windows=HOURS, providerIds=[shop.provider_id])
    assert (await owner(REMOVE, {"input": {"timeOffId": off["timeOff"]["id"]}}))["__typename"] == "RemoveTimeOffPayload"
    held = await first.offered()
    assert held.answer["startsAt"] == (await first.read())["windows"][0]["from"]


async def test_a_room_that_everybody_needs(client: GraphQLClient, shop: Shop) -> None:
    guest = Visitor(client, shop)
    await need_any(shop, await make_room(shop))
    made = await fill(guest)
    first, second = [await waiting(client, serviceId=shop.service_id, windows=HOURS) for _ in range(2)]
    start = min(made)
    await guest.cancel(made[start], accessToken=made[start].token)
    held = await first.offered()
    assert held.answer["startsAt"] == iso(start)
    assert (await second.read())["position"] == 1
    await first.decline(held)
    booked = await second.accept(shop, await second.offered())
    assert booked["__typename"] == "CreateBookingPayload", booked
