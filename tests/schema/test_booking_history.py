"""Every change of a booking, and the booking as it was, for those who may see it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Answer, Made, Visitor, colleague, instant, rows_of
from tests.shop import at, iso, make_person, make_shop

HISTORY = """query ($id: ID!, $token: String, $first: Int, $after: String) {
  booking(id: $id, accessToken: $token) {
    history(first: $first, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      edges { node {
        action at version channel reason address userAgent requestId
        actor { kind name } changes { field before after }
      } }
    }
  }
}"""
AS_OF = """query ($id: ID!, $token: String, $at: DateTime!) {
  booking(id: $id, accessToken: $token) { asOf(at: $at) { ...state } }
}
fragment state on BookingSnapshot {
  status version startsAt endsAt timeZone partySize price { amountMinor } paymentStatus paymentMethod
  amountPaid { amountMinor } expiresAt provider { id } service { id } session { id }
  items { startsAt endsAt price { amountMinor } provider { id } service { id } }
}"""
NOW = """query ($id: ID!) {
  booking(id: $id) {
    updatedAt: createdAt
    status version startsAt endsAt timeZone partySize price { amountMinor } paymentStatus paymentMethod
    amountPaid { amountMinor } expiresAt provider { id } service { id } session { id }
    items { startsAt endsAt price { amountMinor } provider { id } service { id } }
  }
}"""


async def history(visitor: Visitor, made: Made, **extra: Any) -> Answer:
    found: Answer = await visitor.client(HISTORY, {"id": made.id, **extra})
    return found["history"]  # type: ignore[no-any-return]


async def entries(visitor: Visitor, made: Made, token: str | None = None) -> list[Answer]:
    return [edge["node"] for edge in (await history(visitor, made, token=token))["edges"]]


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services, providers=2))


@pytest.fixture
async def staff(guest: Visitor, client: GraphQLClient) -> Visitor:
    return await colleague(client, guest.shop, Role.STAFF)


async def test_what_happened_to_it(guest: Visitor, staff: Visitor) -> None:
    made = await guest.booked(at(3, 10), hold={"providerId": guest.shop.provider_ids[0]})
    await guest.move(made, at(3, 12), accessToken=made.token, reason="Late train")
    await staff.move(made, providerId=guest.shop.provider_ids[1])
    await staff.cancel(made, reason="Flu")
    found = await entries(staff, made)
    assert [(one["action"], one["version"], one["actor"]["kind"], one["reason"]) for one in found] == [
        ("booking.created", 1, "guest", None),
        ("booking.rescheduled", 2, "customer", "Late train"),
        ("booking.rescheduled", 3, "staff", None),
        ("booking.cancelled", 4, "staff", "Flu"),
    ]
    assert [one["actor"]["name"] for one in found] == [None, None, "staff", "staff"]
    assert all(one["address"] == "127.0.0.1" and one["userAgent"] and one["requestId"] for one in found)
    moved = {one["field"]: (one["before"], one["after"]) for one in found[1]["changes"]}
    assert moved["startsAt"] == (iso(at(3, 10)), iso(at(3, 12)))
    assert moved["reschedules"] == (0, 1)
    [before], [after] = moved["items"]
    assert (before["startsAt"], after["startsAt"]) == (iso(at(3, 10)), iso(at(3, 12)))
    handed = {one["field"]: (one["before"], one["after"]) for one in found[2]["changes"]}
    assert handed["providerId"] == tuple(guest.shop.provider_ids)
    assert {"field": "status", "before": "CONFIRMED", "after": "CANCELLED"} in found[3]["changes"]


async def test_a_customer_sees_their_own_without_the_staffs_details(guest: Visitor, staff: Visitor) -> None:
    made = await guest.booked(at(3, 10))
    await staff.cancel(made, reason="Flu", atCustomersRequest=True)
    *_, seen = await entries(guest, made, made.token)
    assert (seen["actor"], seen["reason"]) == ({"kind": "staff", "name": None}, "Flu")
    assert (seen["address"], seen["userAgent"], seen["requestId"]) == (None, None, None)
    assert [one["field"] for one in seen["changes"]] == ["status"]
    *_, known = await entries(staff, made)
    assert [one["field"] for one in known["changes"]] == ["atCustomersRequest", "status"]


async def test_page_by_page_and_never_a_strangers(
    guest: Visitor, staff: Visitor, services: Services, client: GraphQLClient, statements: StatementLog
) -> None:
    made = await guest.booked(at(3, 10))
    for hour in (11, 12, 13):
        await staff.move(made, at(3, hour))
    statements.clear()
    first = await history(staff, made, first=3)
    assert len(statements) <= 7  # the booking, the page with its names, and the count: each in a transaction of its own
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], len(first["edges"])) == (4, True, 3)
    rest = await history(staff, made, first=3, after=first["pageInfo"]["endCursor"])
    assert [edge["node"]["version"] for edge in rest["edges"]] == [4]
    elsewhere = await colleague(client, await make_shop(services), Role.OWNER)
    answer = await elsewhere.client.raw(HISTORY, {"id": made.id})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    refused = await staff.client.raw(HISTORY, {"id": made.id, "after": "nonsense"})
    assert refused["errors"][0]["extensions"]["code"] == "BAD_INPUT"


async def test_as_it_was_after_each_of_many_changes(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    """Random changes; each state is remembered, and found again at every instant of its life."""
    shop = await make_shop(services, providers=2, service={"requires_approval": True})
    guest, owner = Visitor(client, shop), await colleague(client, shop, Role.ADMIN)
    chance = random.Random(20_261_121)
    made = await guest.booked(at(4, 10), hold={"providerId": shop.provider_ids[0]})
    lives: list[tuple[Answer, str]] = []

    async def remember() -> None:
        state: Answer = await owner.client(NOW, {"id": made.id})
        state.pop("updatedAt")
        latest = (await entries(owner, made))[-1]["at"]
        if not lives or lives[-1][0] != state:
            lives.append((state, latest))

    async def anything() -> None:
        start = at(4, chance.randrange(8, 20))
        ways: list[Callable[[], Awaitable[Answer]]] = [
            lambda: guest.move(made, start, accessToken=made.token),
            lambda: owner.move(made, start),
            lambda: owner.move(made, providerId=chance.choice(shop.provider_ids)),
            lambda: owner.step(made, "CONFIRMED"),
        ]
        await chance.choice(ways)()

    await remember()
    for _ in range(9):
        await anything()
        await remember()
    clock.move_to(at(4, 21))
    for to in ("NO_SHOW", "CHECKED_IN", "COMPLETED"):
        await owner.step(made, to)
        await remember()
    assert len(lives) > 6
    for number, (state, since) in enumerate(lives):
        assert await as_of(owner, made, since) == state
        if number:
            just_before = iso(instant(since) - timedelta(microseconds=1))
            assert await as_of(owner, made, just_before) == lives[number - 1][0]


async def as_of(visitor: Visitor, made: Made, when: str) -> Answer:
    found: Answer = await visitor.client(AS_OF, {"id": made.id, "at": when})
    return found["asOf"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (iso(at(-1, 0)), "at: lies before the booking was made"),
        (iso(at(900, 0)), "at: lies in the future"),
        ("9999-12-31T23:59:59Z", "at: must lie between"),
        ("2026-11-21T10:00:00", None),
        ("yesterday", None),
    ],
)
async def test_an_instant_that_has_no_answer(guest: Visitor, when: str, message: str | None) -> None:
    made = await guest.booked(at(3, 10))
    answer = await guest.client.raw(AS_OF, {"id": made.id, "token": made.token, "at": when})
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert message is None or message in str(error)


async def test_a_provider_sees_names_and_no_addresses(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, linked=linked)
    guest, provider = Visitor(client, shop), Visitor(client.signed_in(linked.token), shop)
    staff = await colleague(client, shop, Role.STAFF)
    made = await guest.booked(at(3, 10))
    await staff.move(made, at(3, 11))
    *_, seen = await entries(provider, made)
    assert (seen["actor"], seen["address"]) == ({"kind": "staff", "name": "staff"}, None)


@pytest.mark.parametrize("table", ["audit_entry", "booking_transition"])
@pytest.mark.parametrize("change", ["UPDATE {} SET reason = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_the_application_may_not_even_try_to_rewrite_it(guest: Visitor, table: str, change: str) -> None:
    await guest.booked(at(3, 10))
    with pytest.raises(DBAPIError, match="permission denied"):
        await rows_of(guest.shop, change.format(table))


async def test_nothing_of_a_change_that_failed(guest: Visitor) -> None:
    made = await guest.booked(at(3, 10))
    await guest.booked(at(3, 12), hold={"providerId": guest.shop.provider_ids[0]})
    await guest.booked(at(3, 12), hold={"providerId": guest.shop.provider_ids[1]})
    refused = await guest.move(made, at(3, 12), accessToken=made.token)
    assert refused["__typename"] == "SlotUnavailable"
    assert [one["version"] for one in await entries(guest, made, made.token)] == [1]


PASTS = """query ($id: ID!, $first: Int!, $at: DateTime!) {
bookings(organizationId: $id, first: $first) { edges { node {
  history(last: 2) { totalCount pageInfo { hasPreviousPage hasNextPage } edges { node { action actor { name } } } }
  asOf(at: $at) { status items { startsAt } } } } } }"""


async def test_the_past_of_many_is_read_at_once(
    guest: Visitor, client: GraphQLClient, services: Services, statements: StatementLog
) -> None:
    """However many bookings there are, the same statements; and of each its own."""
    made = [await guest.booked(at(3, hour)) for hour in (9, 10, 11)]
    staff = await colleague(client, guest.shop, Role.STAFF)
    await staff.cancel(made[1], reason="Ill")
    costs, pages = [], []
    for first in (1, 3):
        wanted = {"id": guest.shop.organization_id, "first": first, "at": iso(services.clock.now())}
        statements.clear()
        pages.append((await staff.client(PASTS, wanted))["edges"])
        costs.append(len(statements))
    assert costs[0] == costs[1] <= 13, statements.statements
    counts = [edge["node"]["history"]["totalCount"] for edge in pages[1]]
    assert max(counts) == min(counts) + 1
    for edge in pages[1]:
        shown = edge["node"]["history"]
        assert shown["pageInfo"] == {"hasPreviousPage": shown["totalCount"] > 2, "hasNextPage": False}
        is_cancelled = edge["node"]["asOf"]["status"] == "CANCELLED"
        assert (shown["edges"][-1]["node"]["action"] == "booking.cancelled") is is_cancelled
        assert (shown["edges"][-1]["node"]["actor"]["name"] is not None) is is_cancelled
        assert len(edge["node"]["asOf"]["items"]) == 1
