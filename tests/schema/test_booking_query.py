"""Reading one booking: by its people, or by its secret link."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import ANA, Made, Visitor, account, colleague
from tests.schema import operations as op
from tests.shop import at, iso, make_person, make_shop

UNKNOWN = "bkg_01h2xcejqtf2nbrexx3vqjhp41"


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


async def _code(visitor: Visitor, booking_id: str | None, token: str | None = None) -> str:
    answer = await visitor.client.raw(op.READ, {"id": booking_id, "token": token})
    assert answer["data"] is None or answer["data"]["booking"] is None
    [error] = answer["errors"]
    return str(error["extensions"]["code"])


async def test_by_the_secret_link_alone_or_with_the_id(guest: Visitor) -> None:
    made = await guest.booked(at(2, 10))
    alone = await guest.client(op.READ, {"token": made.token})
    assert alone["id"] == made.id
    assert alone["customer"] == {"name": "Ana", "email": ANA["email"], "phone": None}
    assert alone["provider"] == {"id": guest.shop.provider_id, "name": "Provider 0"}
    assert alone["items"] == [
        {
            "startsAt": iso(at(2, 10)),
            "endsAt": iso(at(2, 10, 30)),
            "provider": {"id": guest.shop.provider_id},
            "service": {"id": guest.shop.service_id},
        }
    ]
    assert await guest.read(made, made.token) == alone


async def test_each_sees_what_they_may_do(guest: Visitor, client: GraphQLClient, clock: MovableClock) -> None:
    customer = await account(client, guest.shop, "customer")
    made = await customer.booked(at(3, 10), customer=None)
    readers = {
        "link": (guest, made.token),
        "customer": (customer, None),
        "staff": (await colleague(client, guest.shop, Role.STAFF), None),
        "owner": (Visitor(client.signed_in(guest.shop.owner.token), guest.shop), None),
    }

    async def allowed() -> dict[str, list[str]]:
        return {
            name: (await visitor.read(made, token))["allowedTransitions"] for name, (visitor, token) in readers.items()
        }

    assert set(map(tuple, (await allowed()).values())) == {("CANCELLED",)}
    clock.move_to(at(3, 10, 5))
    seen = await allowed()
    assert seen["link"] == seen["customer"] == []
    assert seen["staff"] == ["CHECKED_IN", "IN_PROGRESS", "COMPLETED", "CANCELLED", "NO_SHOW"]
    clock.move_to(at(4, 0, 1))
    seen = await allowed()
    assert seen["staff"] == []
    assert seen["owner"] == ["CHECKED_IN", "IN_PROGRESS", "COMPLETED", "CANCELLED", "NO_SHOW"]


async def test_strangers_find_nothing_whatever_they_send(
    guest: Visitor, services: Services, client: GraphQLClient
) -> None:
    made, other = await guest.booked(at(2, 10)), await guest.booked(at(2, 12))
    elsewhere = await make_shop(services)
    stranger = await account(client, guest.shop, "stranger")
    foreign = Visitor(client.signed_in(elsewhere.owner.token), elsewhere)

    async def answer(visitor: Visitor, booking_id: str | None, token: str | None) -> bytes:
        headers = {"authorization": f"Bearer {visitor.client.token}"} if visitor.client.token else {}
        body = {"query": op.READ, "variables": {"id": booking_id, "token": token}}
        return (await client.http.post(client.url, json=body, headers=headers)).content

    suffix = made.token.partition(".")[0]
    answers = [
        await answer(guest, UNKNOWN, None),
        await answer(guest, made.id, None),
        await answer(guest, made.id, other.token),
        await answer(guest, made.id, ""),
        await answer(guest, None, "nonsense"),
        await answer(guest, None, f"{suffix}."),
        await answer(guest, None, f"{suffix}.{other.token.partition('.')[2]}"),
        await answer(stranger, made.id, None),
        await answer(foreign, made.id, None),
        await answer(foreign, None, made.token[:-1] + ("A" if made.token[-1] != "A" else "B")),
    ]
    assert b"NOT_FOUND" in answers[0]
    assert set(answers) == {answers[0]}


async def test_neither_an_id_nor_a_link(guest: Visitor) -> None:
    assert await _code(guest, None) == "BAD_INPUT"
    assert await _code(guest, guest.shop.service_id) == "BAD_INPUT"


async def test_a_provider_reads_their_own(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, linked=linked)
    made = await Visitor(client, shop).booked(at(2, 10))
    assert (await Visitor(client.signed_in(linked.token), shop).read(made))["id"] == made.id


async def test_the_link_of_a_signed_in_person_is_as_good(guest: Visitor, client: GraphQLClient) -> None:
    made = await guest.booked(at(2, 10))
    friend = await account(client, guest.shop, "friend")
    assert (await friend.read(made, made.token))["id"] == made.id


async def test_terms(guest: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(2, 10))
    assert (await guest.read(made, made.token))["cancellationTerms"]["freeUntil"] == iso(at(1, 10))
    clock.move_to(at(1, 10) + timedelta(minutes=1))
    assert (await guest.read(made, made.token))["cancellationTerms"] == {
        "refund": {"amountMinor": 0},
        "fee": {"amountMinor": 0},
        "freeUntil": None,
    }


async def test_statements(guest: Visitor, statements: StatementLog) -> None:
    made: Made = await guest.booked(at(2, 10))
    statements.clear()
    await guest.read(made, made.token)
    # Two for the booking, two for each of provider, service, customer, items and transitions.
    assert len(statements) <= 12, statements.statements
