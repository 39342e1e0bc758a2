"""Streams end at the very moment when their viewer may not look any more, without any event of the thing itself."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.ids import IdKind, encode_id
from app.domain.membership import Role
from tests.bulk import Planner
from tests.classes import make_class
from tests.diary import CALENDAR
from tests.factories import make, mutation
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import RunningRelay, search_of
from tests.journey import Made, Visitor
from tests.live_client import LiveSocket, LiveStream, OperationFailed, live_socket
from tests.schema import operations as op
from tests.shop import Person, Shop, at, make_person, make_shop
from tests.waiting import waiting

TEN = at(3, 10)
BULK = "subscription ($id: ID!) { bulkChange(id: $id) { kind type } }"
ENTRY = "subscription ($id: ID, $token: String) { waitlistEntry(id: $id, accessToken: $token) { kind type } }"
NOTIFICATIONS = "subscription { notifications { kind type organizationId role bookingId booking { id } } }"
RENEW = """
mutation ($input: RenewBookingLinkInput!) { renewBookingLink(input: $input) { __typename } }
"""


@pytest.fixture
async def shop(running: RunningApi, relay: RunningRelay) -> Shop:
    assert relay is not None
    return await make_shop(running.api.services)


async def begun(socket: LiveSocket, query: str, **variables: Any) -> LiveStream:
    stream = await socket.subscribe(query, **variables)
    assert (await stream.next())["kind"] == "SNAPSHOT"
    return stream


async def ended(stream: LiveStream) -> None:
    with pytest.raises(OperationFailed) as failed:
        await stream.next()
    assert failed.value.code == "NOT_FOUND"


async def remove(client: GraphQLClient, shop: Shop, person: Person) -> None:
    """By the owner."""
    user = encode_id(IdKind.USER, person.user_id)
    await make(client.signed_in(shop.owner.token), "removeMember", organizationId=shop.organization_id, userId=user)


def calendar_of(shop: Shop, number: int = 0) -> dict[str, Any]:
    return {"provider": shop.provider_ids[number], "from": f"{TEN.date()}", "to": f"{TEN.date()}"}


async def own_booking(client: GraphQLClient, shop: Shop, person: Person, hour: int) -> Made:
    """Made by somebody who is signed in, for themselves."""
    return await Visitor(client.signed_in(person.token), shop).booked(at(4, hour), customer=None)


async def test_a_membership_that_is_revoked_ends_what_needed_it_and_no_more(
    running: RunningApi, client: GraphQLClient, shop: Shop
) -> None:
    staff = await shop.person("staff", Role.STAFF)
    made = await Visitor(client, shop).booked(TEN)
    own = await own_booking(client, shop, staff, 10)
    yoga = await make_class(client, running.api.services, shop=shop, capacity=1)
    session = (await yoga.at(at(3, 9)))["id"]
    await yoga.booked(session)
    entry = await waiting(client, sessionId=session)
    plan = await Planner(client.signed_in(staff.token), shop).planned(at(3, 0), at(4, 0))
    elsewhere = await make_shop(running.api.services)
    async with live_socket(running.socket_url, staff.token) as socket:
        lost = [
            await begun(socket, op.WATCH_BOOKING, id=made.id),
            await begun(socket, CALENDAR, **calendar_of(shop)),
            await begun(socket, BULK, id=plan["id"]),
            await begun(socket, ENTRY, id=entry.id),
        ]
        kept = [
            await begun(socket, op.WATCH_BOOKING, id=own.id),
            await begun(socket, op.WATCH_BOOKING, id=made.id, token=made.token),
            await begun(socket, ENTRY, token=entry.token),
            await begun(socket, op.WATCH_AVAILABILITY, input=search_of(elsewhere, TEN)),
        ]
        news = await begun(socket, NOTIFICATIONS)
        await remove(client, shop, staff)
        for stream in lost:
            await ended(stream)
        assert (await news.next())["type"] == "membership.removed"
        for stream in kept:
            await stream.nothing(0.1)
        await Visitor(client, shop).cancel(own, accessToken=own.token)
        await Visitor(client, shop).cancel(made, accessToken=made.token)
        assert [(await stream.next())["type"] for stream in kept[:2]] == ["booking.cancelled"] * 2


async def test_somebody_elses_membership_ends_nothing(running: RunningApi, client: GraphQLClient, shop: Shop) -> None:
    staff, other = await shop.person("staff", Role.STAFF), await shop.person("other", Role.STAFF)
    made = await Visitor(client, shop).booked(TEN)
    async with live_socket(running.socket_url, staff.token) as socket:
        streams = [
            await begun(socket, op.WATCH_BOOKING, id=made.id),
            await begun(socket, CALENDAR, **calendar_of(shop)),
        ]
        await remove(client, shop, other)
        # Theirs in another shop comes and goes.
        elsewhere = await make_shop(running.api.services)
        facts = {"organizationId": elsewhere.organization_id, "email": staff.email, "role": "STAFF"}
        await make(client.signed_in(elsewhere.owner.token), "addMember", **facts)
        await remove(client, elsewhere, staff)
        for stream in streams:
            await stream.nothing(0.2)


@pytest.mark.parametrize("change", ["unlinked", "switched off"])
async def test_who_acts_as_a_provider_no_more(
    running: RunningApi, client: GraphQLClient, relay: RunningRelay, change: str
) -> None:
    assert relay is not None
    nora = await make_person(running.api.services, "nora")
    shop = await make_shop(running.api.services, linked=nora)
    made = await Visitor(client, shop).booked(TEN)
    own = await own_booking(client, shop, nora, 10)
    owner = client.signed_in(shop.owner.token)
    async with live_socket(running.socket_url, nora.token) as socket:
        streams = [
            await begun(socket, op.WATCH_BOOKING, id=made.id),
            await begun(socket, CALENDAR, **calendar_of(shop)),
        ]
        kept = await begun(socket, op.WATCH_BOOKING, id=own.id)
        if change == "unlinked":
            wanted = {"providerId": shop.provider_id, "userEmail": None}
            answer = await owner(mutation("updateProvider"), {"input": wanted})
        else:
            answer = await owner(mutation("deactivateProvider"), {"input": {"providerId": shop.provider_id}})
        assert answer["__typename"].endswith("Payload"), answer
        for stream in streams:
            await ended(stream)
        await kept.nothing(0.1)


async def test_a_link_that_is_renewed(running: RunningApi, client: GraphQLClient, shop: Shop) -> None:
    made = await Visitor(client, shop).booked(TEN)
    async with live_socket(running.socket_url) as socket:
        stream = await begun(socket, op.WATCH_BOOKING, id=made.id, token=made.token)
        other = await begun(socket, op.WATCH_AVAILABILITY, input=search_of(shop, TEN))
        answer = await client(RENEW, {"input": {"bookingId": made.id, "accessToken": made.token}})
        assert answer["__typename"] == "RenewBookingLinkPayload"
        await ended(stream)
        await other.nothing(0.1)


async def test_a_booking_that_is_claimed_stays_open_to_its_link(
    running: RunningApi, client: GraphQLClient, shop: Shop
) -> None:
    made = await Visitor(client, shop).booked(TEN)
    person = await make_person(running.api.services, "person")
    claim = "mutation ($input: ClaimBookingInput!) { claimBooking(input: $input) { __typename } }"
    async with live_socket(running.socket_url) as socket:
        stream = await begun(socket, op.WATCH_BOOKING, id=made.id, token=made.token)
        await client.signed_in(person.token)(claim, {"input": {"accessToken": made.token}})
        assert (await stream.next())["type"] == "booking.claimed"
        await stream.nothing(0.1)


async def test_a_provider_who_gave_a_booking_away(
    running: RunningApi, client: GraphQLClient, relay: RunningRelay
) -> None:
    assert relay is not None
    nora = await make_person(running.api.services, "nora")
    shop = await make_shop(running.api.services, providers=2, linked=nora)
    made = await Visitor(client, shop).booked(TEN, hold={"providerId": shop.provider_ids[0]})
    async with live_socket(running.socket_url, nora.token) as socket:
        stream = await begun(socket, op.WATCH_BOOKING, id=made.id)
        owner = Visitor(client.signed_in(shop.owner.token), shop)
        assert (await owner.move(made, providerId=shop.provider_ids[1]))["__typename"] == "Booking"
        await ended(stream)
