"""Activities of the catalogue: made, changed, switched off, found."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.core.ids import IdKind, decode_id
from app.resolvers.context import Services
from tests.classes import MORNINGS, Class, make_class, publish
from tests.factories import Catalogue, call, join, make, make_organization, make_provider, make_venue, refused
from tests.fixtures_api import GraphQLClient
from tests.journey import rows_of
from tests.shop import at, make_shop

LIST = """
query ($org: ID!, $filter: ActivityFilter, $sort: ActivitySort, $first: Int, $after: String) {
  activities(organizationId: $org, filter: $filter, sort: $sort, first: $first, after: $after) {
    totalCount edges { node { id name } cursor } pageInfo { hasNextPage endCursor } } }
"""
DETAILS = """
query ($id: ID!) { activity(id: $id) {
  id name venue { id timeZone } providers { id } needs { quantity resources { id } } } }
"""
VENUE = "query ($id: ID!) { venue(id: $id) { activities { name } } }"


async def make_activity(client: GraphQLClient, venue_id: str, **values: Any) -> dict[str, Any]:
    facts = {"name": "Yoga", "priceMinor": 150_000, "capacity": 12, "durationMinutes": 60, **values}
    return await make(client, "createActivity", venueId=venue_id, **facts)


async def test_made_with_what_the_contract_asks_for(catalogue: Catalogue) -> None:
    owner = catalogue.owner.client
    made = await make_activity(owner, catalogue.venue["id"])
    assert made.pop("id").startswith("act_")
    assert made == {
        "name": "Yoga",
        "price": {"amountMinor": 150_000, "currency": "ARS", "amount": "1500.00"},
        "capacity": 12,
        "durationMinutes": 60,
        "description": None,
        "category": None,
        "advanceNoticeMinutes": 0,
        "maximumAdvanceDays": 365,
        "sessionHorizonDays": 30,
        "cancellationNoticeMinutes": 1_440,
        "maxPartySize": None,
        "tags": [],
        "isActive": True,
    }


async def test_made_with_everything(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner = catalogue.owner.client
    room = await make(owner, "createResource", venueId=catalogue.venue["id"], name="Hall", kind="ROOM", quantity=2)
    made = await make_activity(
        owner,
        catalogue.venue["id"],
        description="Slow",
        category="Body",
        advanceNoticeMinutes=60,
        maximumAdvanceDays=20,
        cancellationNoticeMinutes=0,
        maxPartySize=4,
        tags=["calm", "calm"],
        providerIds=[catalogue.provider["id"]],
        needs=[{"allOf": [room["id"]]}],
    )
    assert (made["sessionHorizonDays"], made["tags"], made["maxPartySize"]) == (20, ["calm"], 4)
    seen = await client(DETAILS, {"id": made["id"]})
    assert seen == {
        "id": made["id"],
        "name": "Yoga",
        "venue": {"id": catalogue.venue["id"], "timeZone": "America/Argentina/Buenos_Aires"},
        "providers": [{"id": catalogue.provider["id"]}],
        "needs": [{"quantity": 1, "resources": [{"id": room["id"]}]}],
    }
    node = await client("query ($id: ID!) { node(id: $id) { ... on Activity { name } } }", {"id": made["id"]})
    assert node == {"name": "Yoga"}
    assert await client(VENUE, {"id": catalogue.venue["id"]}) == {"activities": [{"name": "Yoga"}]}


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": "  "}, "input.name"),
        ({"name": "x" * 201}, "input.name"),
        ({"priceMinor": -1}, "input.priceMinor"),
        ({"priceMinor": 2**53 - 1}, "input.priceMinor"),
        ({"capacity": 0}, "input.capacity"),
        ({"capacity": 10_001}, "input.capacity"),
        ({"durationMinutes": 0}, "input.durationMinutes"),
        ({"durationMinutes": 1_441}, "input.durationMinutes"),
        ({"advanceNoticeMinutes": -1}, "input.advanceNoticeMinutes"),
        ({"cancellationNoticeMinutes": -1}, "input.cancellationNoticeMinutes"),
        ({"maximumAdvanceDays": 0}, "input.maximumAdvanceDays"),
        ({"maximumAdvanceDays": 1_096}, "input.maximumAdvanceDays"),
        ({"sessionHorizonDays": 0}, "input.sessionHorizonDays"),
        ({"maximumAdvanceDays": 10, "sessionHorizonDays": 11}, "input.sessionHorizonDays"),
        ({"maxPartySize": 0}, "input.maxPartySize"),
        ({"maxPartySize": 13}, "input.maxPartySize"),
        ({"tags": ["", "b"]}, "input.tags.0"),
        ({"tags": ["a"] * 21}, "input.tags"),
    ],
)
async def test_what_cannot_be(catalogue: Catalogue, values: dict[str, Any], path: str) -> None:
    facts = {"name": "Yoga", "priceMinor": 100, "capacity": 12, "durationMinutes": 60, **values}
    assert path in await refused(catalogue.owner.client, "createActivity", venueId=catalogue.venue["id"], **facts)


async def test_leaders_and_needs_stay_unless_they_are_given(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner = catalogue.owner.client
    room = await make(owner, "createResource", venueId=catalogue.venue["id"], name="Hall", kind="ROOM", quantity=2)
    taken = {"providerIds": [catalogue.provider["id"]], "needs": [{"allOf": [room["id"]]}]}
    made = await make_activity(owner, catalogue.venue["id"], **taken)

    async def shown() -> tuple[int, int]:
        seen = await client(DETAILS, {"id": made["id"]})
        return len(seen["providers"]), len(seen["needs"])

    await make(owner, "updateActivity", activityId=made["id"], name="Pilates")
    nothing = {"providerIds": None, "needs": None}
    refusals = await refused(owner, "updateActivity", activityId=made["id"], **nothing)
    assert refusals == {"input.providerIds": "must not be null", "input.needs": "must not be null"}
    assert await shown() == (1, 1)
    await make(owner, "updateActivity", activityId=made["id"], providerIds=[])
    assert await shown() == (0, 1)
    await make(owner, "updateActivity", activityId=made["id"], needs=[])
    assert await shown() == (0, 0)


async def test_a_room_of_another_venue_is_no_use_to_it(catalogue: Catalogue) -> None:
    owner, here = catalogue.owner.client, catalogue.venue["id"]
    there = (await make_venue(owner, catalogue.id, name="There"))["id"]
    facts = {"name": "Hall", "kind": "ROOM", "quantity": 2}
    hall, far = [await make(owner, "createResource", venueId=venue, **facts) for venue in (here, there)]
    made = await make_activity(owner, here)
    elsewhere = {"input.needs.1": "cannot be met: the activity's venue has none in use"}
    needs: list[dict[str, Any]] = [{"anyOf": [hall["id"]]}, {"anyOf": [far["id"]]}]
    assert await refused(owner, "updateActivity", activityId=made["id"], needs=needs) == elsewhere
    new = {"name": "Yoga", "priceMinor": 0, "capacity": 1, "durationMinutes": 60}
    assert await refused(owner, "createActivity", venueId=here, **new, needs=needs) == elsewhere
    needs = [{"anyOf": [hall["id"], far["id"]], "quantity": 3}]
    most = {"input.needs.0.quantity": "must be at most 2: no more are in use at the activity's venue"}
    assert await refused(owner, "updateActivity", activityId=made["id"], needs=needs) == most


async def test_others_venues_and_people_are_not_there(
    catalogue: Catalogue, services: Services, client: GraphQLClient
) -> None:
    owner = catalogue.owner.client
    other = await make_organization(owner)
    venue = await make_venue(owner, other["id"])
    stranger = await make_provider(owner, venue["id"])
    facts = {"name": "Yoga", "priceMinor": 100, "capacity": 12, "durationMinutes": 60}
    theirs = await call(owner, "createActivity", venueId=catalogue.venue["id"], providerIds=[stranger["id"]], **facts)
    assert theirs["__typename"] == "NotFound"
    staff = await join(services, catalogue, client, "STAFF")
    denied = await call(staff.client, "createActivity", venueId=catalogue.venue["id"], **facts)
    assert (denied["__typename"], denied["rule"]) == ("NotAllowed", "role")
    missing = await call(owner, "createActivity", venueId="ven_01h2xcejqtf2nbrexx3vqjhp41", **facts)
    assert missing["__typename"] == "NotFound"


async def test_the_same_request_twice(catalogue: Catalogue) -> None:
    key = str(uuid4())
    made = [await make_activity(catalogue.owner.client, catalogue.venue["id"], idempotencyKey=key) for _ in range(2)]
    assert made[0] == made[1]


async def test_lists(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner, venue = catalogue.owner.client, catalogue.venue["id"]
    facts: list[dict[str, Any]] = [
        {"name": "Ágil", "category": "Cuerpo", "priceMinor": 300, "tags": ["Calm"]},
        {"name": "Boxing", "category": "Body", "priceMinor": 200},
        {"name": "Capoeira", "category": "Body", "priceMinor": 100, "providerIds": [catalogue.provider["id"]]},
    ]
    for each in facts:
        await make_activity(owner, venue, **each)

    async def names(**variables: Any) -> list[str]:
        found = await client(LIST, {"org": catalogue.id, **variables})
        return [edge["node"]["name"] for edge in found["edges"]]

    assert await names() == ["Ágil", "Boxing", "Capoeira"]
    assert await names(sort="PRICE_ASC") == ["Capoeira", "Boxing", "Ágil"]
    assert await names(sort="PRICE_DESC", first=1) == ["Ágil"]
    assert await names(filter={"category": "body"}) == ["Boxing", "Capoeira"]
    assert await names(filter={"text": "agil"}) == ["Ágil"]
    assert await names(filter={"tag": "calm"}) == ["Ágil"]
    assert await names(filter={"providerId": catalogue.provider["id"]}) == ["Capoeira"]
    assert await names(filter={"venueId": venue, "isActive": False}) == []
    page = await client(LIST, {"org": catalogue.id, "first": 2})
    assert (page["totalCount"], page["pageInfo"]["hasNextPage"]) == (3, True)
    assert await names(first=2, after=page["pageInfo"]["endCursor"]) == ["Capoeira"]


async def test_switched_off_it_is_hidden_and_makes_no_sessions(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, weekly=None)
    session_count = "SELECT count(*) AS n FROM activity_session WHERE activity_id = :id"
    off = await make(yoga.owner, "deactivateActivity", activityId=yoga.activity_id)
    assert off["isActive"] is False
    hidden = await client.raw(DETAILS, {"id": yoga.activity_id})
    assert hidden["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert (await yoga.owner(DETAILS, {"id": yoga.activity_id}))["name"] == "Yoga"
    await publish(yoga.shop, yoga.activity_uuid, MORNINGS)
    assert (await rows_of(yoga.shop, session_count, id=yoga.activity_uuid))[0]["n"] == 0
    assert (await make(yoga.owner, "reactivateActivity", activityId=yoga.activity_id))["isActive"] is True
    assert len(await yoga.sessions(at(1, 0).date())) == 3


async def test_changes_are_for_new_sessions_alone(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2)
    yoga = await make_class(client, services, shop=shop, led_by_first=True)
    old = await yoga.at(at(2, 9))
    held = await yoga.held(old["id"], 2)
    changed = await make(
        yoga.owner,
        "updateActivity",
        activityId=yoga.activity_id,
        name="Slow yoga",
        priceMinor=9_900,
        capacity=5,
        sessionHorizonDays=9,
        providerIds=[shop.provider_ids[1]],
    )
    assert (changed["name"], changed["capacity"], changed["durationMinutes"]) == ("Slow yoga", 5, 60)
    assert (await yoga.read(old["id"]))["capacityTotal"] == 10
    fresh = await yoga.at(at(9, 9))
    assert fresh["capacityTotal"] == 5
    assert await leaders(yoga, old) == [shop.provider_uuids[0]]
    assert await leaders(yoga, fresh) == [shop.provider_uuids[1]]
    assert held.answer["price"]["amountMinor"] == 3_000
    assert await refused(yoga.owner, "updateActivity", activityId=yoga.activity_id, maximumAdvanceDays=3)
    assert await refused(yoga.owner, "updateActivity", activityId=yoga.activity_id, capacity=None)


async def leaders(yoga: Class, session: dict[str, Any]) -> list[UUID]:
    """Whose time the session has."""
    query = "SELECT subject_id FROM allocation WHERE session_id = :id AND status = 'booked' ORDER BY subject_id"
    found = await rows_of(yoga.shop, query, id=decode_id(IdKind.SESSION, session["id"]))
    return [row["subject_id"] for row in found]


async def test_a_longer_session_is_a_new_session(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    await make(yoga.owner, "updateActivity", activityId=yoga.activity_id, durationMinutes=120)
    nine, ten = await yoga.at(at(2, 9)), await yoga.at(at(2, 10))
    assert nine["endsAt"] == ten["startsAt"]
    # 11:00 would run over noon: the schedule has it no more.
    assert (await yoga.at(at(2, 11)))["status"] == "CANCELLED"
    assert at(2, 11) - at(2, 9) == timedelta(hours=2)
