"""Series with people, recipients and addresses, made in a guest session: as any booking has them, on every date."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.service_area import ServiceArea, area_to_json
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient
from tests.guests import start
from tests.journey import Answer, Visitor, rows_of
from tests.recurring import Regular, move, weekly
from tests.shop import Shop, at, make_shop

HOME = {"street": "Thames 1500", "city": "Rosario", "country": "AR"}
LUZ = {"name": "Luz", "phone": "+54 11 4321-5678"}
PEOPLE = [{"name": "Ana"}, {"name": "Beto", "email": "beto@example.com"}]
BOOKED = """
    SELECT b.address, b.recipient, (SELECT array_agg(p.name ORDER BY p.position) FROM booking_participant p
                                    WHERE p.booking_id = b.id) AS names
    FROM booking b WHERE b.series_id IS NOT NULL ORDER BY b.series_index
"""


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, service={"is_at_customers": True, "max_group_size": 3})


async def comes_to_rosario(shop: Shop) -> None:
    area = json.dumps(area_to_json(ServiceArea(cities=("Rosario",))))
    update = "UPDATE provider SET service_area = CAST(:area AS jsonb) WHERE id = :id RETURNING 1"
    await rows_of(shop, update, area=area, id=shop.provider_uuids[0])


async def refused(answer: Answer) -> list[str]:
    assert answer["__typename"] == "InvalidInput", answer
    return [one["path"] for one in answer["violations"]]


async def test_it_comes_to_the_customer(shop: Shop, client: GraphQLClient) -> None:
    regular, begins = Regular(client, shop), at(2, 10)
    missing = await regular.create(begins, 3_000, **weekly(3))
    assert await refused(missing) == ["input.address"]
    assert await rows_of(shop, BOOKED) == []
    await regular.made(begins, 3_000, address=HOME, recipient=LUZ, partySize=2, participants=PEOPLE, **weekly(3))
    kept = {"address": HOME, "recipient": {"name": "Luz", "phone": "+541143215678"}, "names": ["Ana", "Beto"]}
    assert await rows_of(shop, BOOKED) == [kept] * 3
    audit = "SELECT action FROM audit_entry WHERE action = 'booking.participants_named'"
    assert len(await rows_of(shop, audit)) == 3


@pytest.mark.parametrize(
    ("extra", "paths"),
    [
        ({"address": {**HOME, "city": " "}}, ["input.address.city"]),
        ({"address": HOME, "recipient": {"name": ""}}, ["input.recipient.name"]),
        ({"address": {**HOME, "city": "Mendoza"}}, ["input.address"]),
        ({"address": HOME, "participants": PEOPLE}, ["input.participants"]),
        ({"address": HOME, "participants": [{"name": "A", "email": "nobody"}]}, ["input.participants.0.email"]),
    ],
)
async def test_what_cannot_be(shop: Shop, client: GraphQLClient, extra: dict[str, Any], paths: list[str]) -> None:
    await comes_to_rosario(shop)
    assert await refused(await Regular(client, shop).create(at(2, 10), 3_000, **weekly(3), **extra)) == paths
    assert await rows_of(shop, BOOKED) == []


async def test_the_staff_may_go_further(shop: Shop, client: GraphQLClient) -> None:
    await comes_to_rosario(shop)
    far = {"address": {**HOME, "city": "Mendoza"}, "outsideAreaReason": "On the way."}
    guest = await Regular(client, shop).create(at(2, 10), 3_000, **weekly(3), **far)
    assert (guest["__typename"], guest["rule"]) == ("NotAllowed", "outside_area_by_staff")
    await Regular(client.signed_in(shop.owner.token), shop).made(at(2, 10), 3_000, **weekly(3), **far)
    assert (await rows_of(shop, BOOKED))[2]["address"]["outside_area_reason"] == "On the way."


async def test_sessions_have_people_and_no_address(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, session_horizon_days=14)
    regular = Regular(client, yoga.shop)
    wanted = {"serviceId": None, "activityId": yoga.activity_id, "partySize": 2, **weekly(1)}
    plan = await regular.plan(at(2, 9), **wanted)
    total = plan["total"]["amountMinor"]
    assert await refused(await regular.create(at(2, 9), total, address=HOME, **wanted)) == ["input.address"]
    await regular.made(at(2, 9), total, participants=PEOPLE, recipient=LUZ, **wanted)
    assert [row["names"] for row in await rows_of(yoga.shop, BOOKED)] == [["Ana", "Beto"]]


async def test_a_guest_who_comes_back_finds_the_dates(shop: Shop, client: GraphQLClient) -> None:
    guest, stranger = [await start(client, shop) for _ in range(2)]
    regular = Regular(client, shop)
    made = await regular.made(at(2, 10), 3_000, address=HOME, guestSessionToken=guest.token, **weekly(3))
    found, nothing = await guest.read(), await stranger.read()
    assert found is not None
    assert nothing is not None
    ids = {one["id"] for one in made["series"]["bookings"]}
    assert {one["booking"]["id"] for one in found["bookings"]} == ids
    assert nothing["bookings"] == []
    assert found["details"]["email"] == "ana@example.com"
    one = found["bookings"][0]
    cancelled = await Visitor(client, shop).client(
        "mutation ($input: CancelBookingInput!) { cancelBooking(input: $input) { __typename } }",
        {"input": {"bookingId": one["booking"]["id"], "accessToken": one["accessToken"], "reason": "Ill"}},
    )
    assert cancelled["__typename"] == "Booking"
    await guest.end()
    over = await regular.create(at(2, 12), 3_000, address=HOME, guestSessionToken=guest.token, **weekly(3))
    assert over["__typename"] == "NotFound"


async def test_a_move_stays_within_the_area(services: Services, client: GraphQLClient) -> None:
    """To somebody else, who has to come there: for the staff to go further it takes a reason, as with one booking."""
    shop = await make_shop(services, providers=2, service={"is_at_customers": True})
    there = {"address": HOME, "providerId": shop.provider_ids[1]}
    made = await Regular(client, shop).made(at(2, 10), 3_000, **there, **weekly(3))
    await comes_to_rosario(shop)
    update = 'UPDATE booking SET address = address || \'{"city": "Mendoza"}\' WHERE series_index = 2 RETURNING 1'
    await rows_of(shop, update)
    other, owner = {"providerId": shop.provider_ids[0]}, client.signed_in(shop.owner.token)
    for somebody, extra in ((client, {"reason": "Ill"}), (owner, {}), (client, {"dryRun": True})):
        assert await refused(await move(somebody, made, "ALL", **other, **extra)) == ["input.providerId"]
    within = await move(client, made, "ONE", position=1, **other)
    assert within["__typename"] == "RescheduleRecurringBookingPayload", within
    assert (await move(client, made, "ALL", shiftDays=1))["__typename"] == "RescheduleRecurringBookingPayload"
    done = await move(owner, made, "ALL", **other, reason="Is ill")
    assert {one["provider"]["id"] for one in done["series"]["bookings"]} == {shop.provider_ids[0]}
