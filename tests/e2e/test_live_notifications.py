"""What concerns a person, live: in which role, in every organization, each event once, and nobody else's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.core.ids import IdKind, encode_id
from app.domain.live_codec import Cursor
from app.domain.membership import Role
from tests.classes import make_class
from tests.factories import make, mutation
from tests.fixtures_api import GraphQLClient, RunningApi, StatementLog
from tests.fixtures_live import RunningRelay
from tests.journey import Visitor
from tests.live_client import LiveSocket, LiveStream, OperationFailed, live_socket
from tests.recurring import CREATE, weekly
from tests.shop import Person, Shop, at, iso, make_person, make_shop
from tests.waiting import waiting

TEN = at(3, 10)
WATCH = """
subscription ($after: String) { notifications(after: $after) {
  kind cursor type at role organizationId bookingId booking { id status version }
  waitlistEntry { id status position } series { id } } }
"""


@pytest.fixture
async def nora(running: RunningApi, relay: RunningRelay) -> Person:
    assert relay is not None
    return await make_person(running.api.services, "nora")


@pytest.fixture
async def shop(running: RunningApi) -> Shop:
    return await make_shop(running.api.services, providers=2)


async def begun(socket: LiveSocket) -> LiveStream:
    stream = await socket.subscribe(WATCH)
    first = await stream.next()
    assert (first["kind"], first["type"], first["role"]) == ("SNAPSHOT", "notifications.snapshot", None)
    return stream


async def told(stream: LiveStream) -> tuple[str, str, str | None]:
    """Type, role, and the status of the booking that it is about."""
    event = await stream.next()
    assert event["kind"] == "CHANGE", event
    assert (event["booking"] or {"id": event["bookingId"]})["id"] == event["bookingId"], event
    return event["type"], event["role"], event["booking"] and event["booking"]["status"]


def own(client: GraphQLClient, shop: Shop, person: Person) -> Visitor:
    return Visitor(client.signed_in(person.token), shop)


async def link(client: GraphQLClient, shop: Shop, person: Person | None, number: int = 0) -> None:
    """They act as this provider; None: nobody does."""
    wanted = {"providerId": shop.provider_ids[number], "userEmail": None if person is None else person.email}
    answer = await client.signed_in(shop.owner.token)(mutation("updateProvider"), {"input": wanted})
    assert answer["__typename"] == "UpdateProviderPayload", answer


async def test_ones_own_bookings_wherever_they_are_made_and_changed(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person
) -> None:
    elsewhere = await make_shop(running.api.services)
    async with live_socket(running.socket_url, nora.token) as socket:
        stream = await begun(socket)
        await Visitor(client, shop).booked(TEN + timedelta(hours=5))  # somebody else's
        made = await own(client, shop, nora).booked(TEN, customer=None)  # in another tab
        created = await stream.next()
        assert (created["type"], created["role"], created["booking"]["id"]) == ("booking.created", "CUSTOMER", made.id)
        assert created["organizationId"] == shop.organization_id
        assert await told(stream) == ("booking.confirmed", "CUSTOMER", "CONFIRMED")
        owner = Visitor(client.signed_in(shop.owner.token), shop)
        await owner.move(made, TEN + timedelta(hours=1))
        assert await told(stream) == ("booking.rescheduled", "CUSTOMER", "CONFIRMED")
        other = await own(client, elsewhere, nora).booked(TEN, customer=None)
        assert (await stream.next())["organizationId"] == elsewhere.organization_id
        await stream.next()
        await owner.cancel(made)
        assert await told(stream) == ("booking.cancelled", "CUSTOMER", "CANCELLED")
        await own(client, elsewhere, nora).cancel(other)
        assert await told(stream) == ("booking.cancelled", "CUSTOMER", "CANCELLED")
        await stream.nothing()


async def test_a_claimed_booking_is_ones_own(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person
) -> None:
    made = await Visitor(client, shop).booked(TEN)
    claim = "mutation ($input: ClaimBookingInput!) { claimBooking(input: $input) { __typename } }"
    async with live_socket(running.socket_url, nora.token) as socket:
        stream = await begun(socket)
        await Visitor(client, shop).move(made, TEN + timedelta(hours=1), accessToken=made.token)
        await client.signed_in(nora.token)(claim, {"input": {"accessToken": made.token}})
        assert await told(stream) == ("booking.claimed", "CUSTOMER", "CONFIRMED")


async def test_as_a_provider(running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person) -> None:
    """Before and after the account is linked, while the stream goes on."""
    guest, owner = Visitor(client, shop), Visitor(client.signed_in(shop.owner.token), shop)
    async with live_socket(running.socket_url, nora.token) as socket:
        stream = await begun(socket)
        await guest.booked(TEN, hold={"providerId": shop.provider_id})
        await stream.nothing(0.2)
        await link(client, shop, nora)
        made = await guest.booked(TEN + timedelta(hours=1), hold={"providerId": shop.provider_id})
        assert await told(stream) == ("booking.created", "PROVIDER", "CONFIRMED")
        assert await told(stream) == ("booking.confirmed", "PROVIDER", "CONFIRMED")
        assert (await owner.move(made, providerId=shop.provider_ids[1]))["__typename"] == "Booking"
        assert await told(stream) == ("booking.rescheduled", "PROVIDER", None)  # theirs no more
        await owner.cancel(made)
        await link(client, shop, None)
        await guest.booked(TEN + timedelta(hours=2), hold={"providerId": shop.provider_id})
        await stream.nothing()


async def test_who_leads_a_session_and_who_joins_or_leaves_the_staff(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person
) -> None:
    await link(client, shop, nora)
    yoga = await make_class(client, running.api.services, shop=shop, led_by_first=True)
    async with live_socket(running.socket_url, nora.token) as socket:
        stream = await begun(socket)
        await yoga.booked((await yoga.at(at(3, 9)))["id"])
        assert await told(stream) == ("booking.created", "PROVIDER", "CONFIRMED")
        assert (await stream.next())["booking"] is not None
        facts = {"organizationId": shop.organization_id, "email": nora.email, "role": "STAFF"}
        owner = client.signed_in(shop.owner.token)
        await make(owner, "addMember", **facts)
        joined = await stream.next()
        assert (joined["type"], joined["role"]) == ("membership.created", "MEMBER")
        assert joined["organizationId"] == shop.organization_id
        user = encode_id(IdKind.USER, nora.user_id)
        await make(owner, "removeMember", organizationId=shop.organization_id, userId=user)
        assert (await told(stream))[:2] == ("membership.removed", "MEMBER")


async def test_ones_place_in_line_and_series(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person
) -> None:
    yoga = await make_class(client, running.api.services, shop=shop, capacity=1)
    session = (await yoga.at(at(3, 9)))["id"]
    taken = await yoga.booked(session)
    async with live_socket(running.socket_url, nora.token) as socket:
        stream = await begun(socket)
        entry = await waiting(client.signed_in(nora.token), sessionId=session, customer=None)
        joined = await stream.next()
        assert (joined["type"], joined["waitlistEntry"]["position"]) == ("waitlist.joined", 1)
        await yoga.guest.cancel(taken, accessToken=taken.token)
        offered = await stream.next()
        assert (offered["type"], offered["role"], offered["waitlistEntry"]["id"]) == (
            "waitlist.offered",
            "CUSTOMER",
            entry.id,
        )
        asked = {"serviceId": shop.service_id, "startsAt": iso(TEN), "paymentMethod": "PAY_ON_ARRIVAL"}
        wanted = {**asked, "expectedTotalMinor": 2_000, **weekly(2)}
        made = await client.signed_in(nora.token)(CREATE, {"input": wanted})
        assert made["__typename"] == "CreateRecurringBookingPayload", made
        events = [await stream.next() for _ in range(5)]
        assert sorted(event["type"] for event in events) == [
            *["booking.confirmed"] * 2,
            *["booking.created"] * 2,
            "series.created",
        ]
        assert events[-1]["series"]["id"] == made["series"]["id"]


async def test_coming_back(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person, relay: RunningRelay
) -> None:
    visitor = own(client, shop, nora)
    await relay.catch_up()
    await relay.pause()
    before = await visitor.booked(TEN, customer=None)
    async with live_socket(running.socket_url, nora.token) as socket:
        stream = await socket.subscribe(WATCH)
        cursor = (await stream.next())["cursor"]
        relay.start()
        assert [(await told(stream))[0] for _ in range(2)] == ["booking.created", "booking.confirmed"]
        await visitor.move(before, TEN + timedelta(hours=1))
        await visitor.cancel(before)
        wanted = ["booking.created", "booking.confirmed", "booking.rescheduled", "booking.cancelled"]
        await relay.catch_up()
        for number in range(len(wanted)):  # cut after each of them
            again = await socket.subscribe(WATCH, after=cursor)
            event = await again.next()
            assert (event["kind"], event["type"]) == ("CHANGE", wanted[number])
            cursor = event["cursor"]
            await again.stop()
        last = await socket.subscribe(WATCH, after=cursor)
        await last.nothing(0.2)
        await visitor.booked(TEN, customer=None)
        assert [(await told(last))[0] for _ in range(2)] == ["booking.created", "booking.confirmed"]
        far = Cursor.decode(cursor)
        lost = await socket.subscribe(WATCH, after=Cursor(far.position + 10**6, far.at).encode())
        event = await lost.next()
        assert (event["kind"], event["type"], event["booking"]) == ("RESYNC", "notifications.snapshot", None)


async def test_what_is_refused(running: RunningApi, nora: Person) -> None:
    for token, variables, code in (
        (None, {}, "UNAUTHENTICATED"),
        (None, {"after": "nonsense"}, "BAD_INPUT"),
        (nora.token, {"after": "nonsense"}, "BAD_INPUT"),
        (nora.token, {"after": "\U0001f600"}, "BAD_INPUT"),
        (nora.token, {"after": "x" * 100_000}, "BAD_INPUT"),
    ):
        async with live_socket(running.socket_url, token) as socket:
            stream = await socket.subscribe(WATCH, **variables)
            with pytest.raises(OperationFailed) as failed:
                await stream.next()
            assert failed.value.code == code


async def test_what_it_costs(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person, statements: StatementLog
) -> None:
    async with live_socket(running.socket_url, nora.token) as socket:
        statements.clear()
        stream = await begun(socket)
        assert len(statements) == 4, statements.statements  # twice the binding; the keys, the log
        visitor = own(client, shop, nora)
        made = await visitor.booked(TEN, customer=None)
        await stream.next()
        await stream.next()
        statements.clear()
        await visitor.cancel(made)
        mutation_took = len(statements)
        await stream.next()
        assert len(statements) - mutation_took <= 2, statements.statements  # the door, the booking


async def test_a_stranger_who_bears_a_role_elsewhere_hears_nothing(
    running: RunningApi, client: GraphQLClient, shop: Shop, nora: Person, relay: RunningRelay
) -> None:
    staff = await shop.person("staff", Role.STAFF)
    await relay.catch_up()
    async with live_socket(running.socket_url, staff.token) as socket:
        stream = await begun(socket)
        await own(client, shop, nora).booked(TEN, customer=None)
        await stream.nothing()
