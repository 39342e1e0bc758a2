"""Bookings, holds, customers and schedules by `node`."""

from __future__ import annotations

from app.core.ids import IdKind, encode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import make_class
from tests.factories import make
from tests.fixtures_api import GraphQLClient
from tests.journey import Visitor, account, colleague, hours, rows_of
from tests.shop import at, make_person, make_shop

NODE = """
query ($id: ID!) {
  node(id: $id) {
    __typename id ... on Booking { number } ... on Hold { partySize } ... on Customer { name }
    ... on ScheduleVersion { effectiveFrom }
  }
}
"""


async def test_each_kind_for_those_who_may_see_it(services: Services, client: GraphQLClient) -> None:
    shop, elsewhere = await make_shop(services), await make_shop(services)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    staff = await colleague(client, shop, Role.STAFF)
    customer, stranger = await account(client, shop, "customer"), await account(client, shop, "stranger")
    foreign = Visitor(client.signed_in(elsewhere.owner.token), elsewhere)
    guest = Visitor(client, shop)
    made = await customer.booked(at(2, 10), customer=None)
    held = await customer.held(at(2, 12))
    published = await owner.publish(hours(("00:00", "24:00")))
    nodes = {
        made.id: "Booking",
        held.id: "Hold",
        made.answer["customer"]["id"]: "Customer",
        published["schedule"]["id"]: "ScheduleVersion",
    }
    for node_id, kind in nodes.items():
        for visitor in (owner, staff, customer):
            found = await visitor.client(NODE, {"id": node_id})
            assert (found["__typename"], found["id"]) == (kind, node_id)
        for visitor in (guest, stranger, foreign):
            if kind == "ScheduleVersion":  # hours are public
                assert (await visitor.client(NODE, {"id": node_id}))["id"] == node_id
                continue
            answer = await visitor.client.raw(NODE, {"id": node_id})
            unknown = await visitor.client.raw(NODE, {"id": f"{node_id[:4]}01h2xcejqtf2nbrexx3vqjhp41"})
            assert answer == unknown
            assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_guests_own_things_are_not_read_by_id_alone(services: Services, client: GraphQLClient) -> None:
    guest = Visitor(client, await make_shop(services))
    made, held = await guest.booked(at(2, 10)), await guest.held(at(2, 12))
    for node_id in (made.id, held.id, made.answer["customer"]["id"]):
        answer = await client.raw(NODE, {"id": node_id})
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_days_and_hours_of_what_is_switched_off(services: Services, client: GraphQLClient) -> None:
    """They are found by staff alone, as is whose they are."""
    linked = await make_person(services, "linked")
    yoga = await make_class(client, services, shop=await make_shop(services, linked=linked))
    shop = yoga.shop
    owner, staff = client.signed_in(shop.owner.token), (await colleague(client, shop, Role.STAFF)).client
    outsiders = [client, client.signed_in(linked.token)]
    owners = {"provider": shop.provider_id, "activity": yoga.activity_id, "venue": shop.venue_id}
    kind_of = {shop.provider_uuids[0]: "provider", yoga.activity_uuid: "activity", shop.venue_uuid: "venue"}
    ids: dict[str, list[str]] = {kind: [] for kind in owners}
    for owner_id in owners.values():
        await yoga.depart(at(3, 0).date(), owner_id=owner_id)
    for id_kind, table in ((IdKind.EXCEPTION, "schedule_exception"), (IdKind.SCHEDULE, "schedule_version")):
        for row in await rows_of(shop, f"SELECT id, owner_id FROM {table}"):
            ids[kind_of[row["owner_id"]]].append(encode_id(id_kind, row["id"]))
    assert [len(each) for each in ids.values()] == [2, 2, 1]

    async def seen_by(clients: list[GraphQLClient], kind: str) -> set[bool]:
        answers = [await each.raw(NODE, {"id": node_id}) for each in clients for node_id in ids[kind]]
        hidden = [answer["errors"][0]["extensions"] for answer in answers if "errors" in answer]
        assert hidden == [{"code": "NOT_FOUND"}] * len(hidden)
        return {"errors" not in answer for answer in answers}

    for kind, owner_id in owners.items():
        assert await seen_by(outsiders, kind) == {True}
        await make(owner, f"deactivate{kind.title()}", **{f"{kind}Id": owner_id})
        assert await seen_by(outsiders, kind) == {False}
        assert await seen_by([staff], kind) == {True}
    for kind in ("provider", "activity"):  # with the venue goes whatever is there
        await make(owner, f"reactivate{kind.title()}", **{f"{kind}Id": owners[kind]})
        assert await seen_by([client], kind) == {False}
