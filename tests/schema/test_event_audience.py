"""Who is told of a booking: what its maker wrote down is what the database would find, and a move tells both sides."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.core.ids import IdKind, decode_id
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient
from tests.journey import Made, Visitor, account, rows_of
from tests.shop import Shop, at, make_shop

TEN = at(3, 10)


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2, more_services=({},))


async def told(shop: Shop, made: Made) -> list[tuple[str, set[UUID]]]:
    """Type and audience of each event of the booking, in order."""
    found = await rows_of(
        shop,
        "SELECT type, audience FROM outbox_event WHERE subject_id = :booking ORDER BY id",
        booking=decode_id(IdKind.BOOKING, made.id),
    )
    assert all(len(set(row["audience"])) == len(row["audience"]) for row in found)
    return [(row["type"], set(row["audience"])) for row in found]


async def found(shop: Shop, made: Made) -> set[UUID]:
    rows = await rows_of(
        shop, "SELECT booking_audience(:booking, '{}') AS keys", booking=decode_id(IdKind.BOOKING, made.id)
    )
    return set(rows[0]["keys"])


async def test_written_down_as_it_would_be_found(services: Services, client: GraphQLClient, shop: Shop) -> None:
    first, second = shop.provider_uuids
    guest, customer = Visitor(client, shop), await account(client, shop, "customer")
    person = shop.people["customer"].user_id
    items = [{"serviceId": s, "providerId": p} for s, p in zip(shop.service_ids, shop.provider_ids, strict=True)]
    yoga = await make_class(client, services, shop=shop, led_by_first=True)
    alone = await make_class(client, services, shop=shop)
    for made, wanted in (
        (await guest.booked(TEN, hold={"providerId": shop.provider_ids[1]}), {second}),
        (await customer.booked(at(4, 13), hold={"providerId": shop.provider_ids[0]}, customer=None), {person, first}),
        (await customer.booked(at(4, 15), hold={"serviceId": None, "items": items}), {person, first, second}),
        (await yoga.booked((await yoga.at(at(3, 9)))["id"]), {first}),
        (await alone.booked((await alone.at(at(3, 9)))["id"]), set()),
    ):
        assert [audience for _, audience in await told(shop, made)] == [wanted, wanted]
        assert await found(shop, made) == wanted


async def test_who_had_it_is_told_that_it_moves(services: Services, client: GraphQLClient, shop: Shop) -> None:
    first, second = shop.provider_uuids
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    made = await Visitor(client, shop).booked(TEN, hold={"providerId": shop.provider_ids[0]})
    await owner.move(made, providerId=shop.provider_ids[1])
    await owner.cancel(made)
    assert (await told(shop, made))[2:] == [("booking.rescheduled", {first, second}), ("booking.cancelled", {second})]
    yoga = await make_class(client, services, shop=shop, led_by_first=True)
    nine, ten = [(await yoga.at(at(5, hour)))["id"] for hour in (9, 10)]
    places = await yoga.booked(nine)
    await rows_of(  # as if somebody else led the other one
        shop,
        "UPDATE allocation SET subject_id = :second WHERE session_id = :session RETURNING id",
        second=second,
        session=decode_id(IdKind.SESSION, ten),
    )
    await yoga.guest.move(places, sessionId=ten, accessToken=places.token)
    assert (await told(shop, places))[-1] == ("booking.rescheduled", {first, second})
