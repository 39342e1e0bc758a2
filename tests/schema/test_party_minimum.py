"""Nobody waits, and no series is made, for fewer people than come at least."""

from __future__ import annotations

from typing import Any

from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient
from tests.groups import booked_as, change
from tests.journey import rows_of
from tests.recurring import Regular, local, weekly
from tests.shop import at, make_shop
from tests.waiting import join, waiting, window


def refused(answer: dict[str, Any], kind: str) -> bool:
    fault = {"path": "input.partySize", "message": f"must be 3 to 4 for this {kind}"}
    return answer["__typename"] == "InvalidInput" and fault in answer["violations"]


async def test_of_an_activity(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, minimum_party_size=3, max_party_size=4, session_horizon_days=40)
    session = (await yoga.at(at(3, 9)))["id"]
    for size in (4, 3, 3):
        await yoga.booked(session, size)
    wanted = {"activityId": yoga.activity_id, "windows": [window(at(3, 8), at(3, 10))]}
    assert refused(await join(client, **wanted, partySize=2), "activity")
    assert refused(await join(client, sessionId=session, partySize=2), "activity")
    assert (await (await waiting(client, **wanted, partySize=3)).read())["position"] == 1
    dates: Any = {**weekly(2), "serviceId": None, "activityId": yoga.activity_id}
    assert refused(await Regular(client, yoga.shop).create(at(2, 9), 6_000, **dates, partySize=2), "activity")
    await Regular(client, yoga.shop).made(at(2, 9), 9_000, **dates, partySize=3)


async def test_of_a_service(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"min_group_size": 3, "max_group_size": 4})
    regular = Regular(client, shop)
    start = local(shop, 2, 10)
    assert refused(await regular.create(start, 2_000, **weekly(2), partySize=2), "service")
    made = await regular.made(start, 2_000, **weekly(2), partySize=3)
    assert made["series"]["bookings"]
    wanted = {"serviceId": shop.service_id, "windows": [window(start, start.replace(minute=start.minute + 1))]}
    assert refused(await join(client, **wanted, partySize=2), "service")
    await waiting(client, **wanted, partySize=3)


async def test_what_was_agreed_stays(services: Services, client: GraphQLClient) -> None:
    """A minimum that comes later is for new bookings; one that is lowered is for all."""
    yoga = await make_class(client, services, minimum_party_size=2, max_party_size=6)
    held = await yoga.held((await yoga.at(at(3, 9)))["id"], 5)
    made = await booked_as(yoga, held)
    terms = "query ($id: ID!) { booking(id: $id) { terms { minimumPartySize } } }"
    update = "UPDATE activity SET minimum_party_size = :least WHERE id = :id RETURNING 1"
    await rows_of(yoga.shop, update, least=4, id=yoga.activity_uuid)
    assert (await yoga.owner(terms, {"id": made.id}))["terms"]["minimumPartySize"] == 2
    assert (await change(client, "removeParticipants", made, unnamed=3))["partySize"] == 2
    assert (await change(client, "removeParticipants", made, unnamed=1))["rule"] == "minimum_party_size"
    await rows_of(yoga.shop, update, least=1, id=yoga.activity_uuid)
    assert (await change(client, "removeParticipants", made, unnamed=1))["partySize"] == 1
