"""Bookings, holds, customers and schedules by `node`."""

from __future__ import annotations

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient
from tests.journey import Visitor, account, colleague, hours
from tests.shop import at, make_shop

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
