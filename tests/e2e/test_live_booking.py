"""One booking, live: who may watch, what comes, and that it comes once."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.ids import IdKind, encode_id, new_id
from app.core.tokens import TokenSigner
from app.domain.live_codec import Cursor
from app.domain.membership import Role
from tests.factories import make
from tests.fixtures_api import SECRET, GraphQLClient, RunningApi
from tests.fixtures_live import Guest, RunningRelay
from tests.live_client import LiveStream, OperationFailed, SocketLost, live_socket
from tests.schema import operations as op
from tests.shop import Shop, at, make_person, make_shop

TEN = at(3, 10)


def watched(booked: dict[str, Any], after: str | None = None) -> dict[str, Any]:
    return {"id": booked["booking"]["id"], "token": booked["accessToken"], "after": after}


async def change(stream: LiveStream) -> tuple[str, int]:
    """Type and version."""
    event = await stream.next()
    assert event["kind"] == "CHANGE", event
    return event["type"], event["booking"]["version"]


async def test_a_guest_sees_each_step(running: RunningApi, guest: Guest) -> None:
    booked = await guest.book(await guest.hold(TEN))
    async with live_socket(running.socket_url) as socket:
        stream = await socket.subscribe(op.WATCH_BOOKING, **watched(booked))
        snapshot = await stream.next()
        assert (snapshot["kind"], snapshot["type"]) == ("SNAPSHOT", "booking.snapshot")
        assert (snapshot["booking"]["status"], snapshot["booking"]["version"]) == ("CONFIRMED", 1)
        await stream.nothing()
        await guest.move(booked, TEN + timedelta(hours=1))
        assert await change(stream) == ("booking.rescheduled", 2)
        await guest.cancel(booked)
        event = await stream.next()
        assert (event["type"], event["booking"]["status"]) == ("booking.cancelled", "CANCELLED")
        assert event["booking"]["allowedTransitions"] == []
        await stream.nothing()


async def test_who_may_watch(running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop) -> None:
    booked = await guest.book(await guest.hold(TEN))
    other = await guest.book(await guest.hold(TEN + timedelta(hours=1)))
    staff = await shop.person("staff", Role.STAFF)
    stranger = await make_person(running.api.services, "stranger")
    elsewhere = (await make_shop(running.api.services)).owner
    booking_id = booked["booking"]["id"]
    messages = set()
    for person, token, id_ in (
        (None, None, booking_id),
        (None, other["accessToken"], booking_id),
        (None, booked["accessToken"].swapcase(), booking_id),
        (None, "nonsense", booking_id),
        (stranger, None, booking_id),
        (elsewhere, None, booking_id),
        (None, booked["accessToken"], encode_id(IdKind.BOOKING, new_id())),
    ):
        async with live_socket(running.socket_url, person.token if person else None) as socket:
            stream = await socket.subscribe(op.WATCH_BOOKING, id=id_, token=token)
            with pytest.raises(OperationFailed) as failed:
                await stream.next()
            assert failed.value.code == "NOT_FOUND"
            messages.add(failed.value.errors[0]["message"])
    assert len(messages) == 1
    for person in (staff, shop.owner):
        async with live_socket(running.socket_url, person.token) as socket:
            stream = await socket.subscribe(op.WATCH_BOOKING, id=booking_id)
            assert (await stream.next())["kind"] == "SNAPSHOT"
            step = {"bookingId": booking_id, "to": "CHECKED_IN"}
            seen = await client.signed_in(person.token)(op.STEP, {"input": step})
            if seen["__typename"] == "Booking":
                assert await change(stream) == ("booking.checked_in", seen["version"])
    async with live_socket(running.socket_url) as socket:
        stream = await socket.subscribe(op.WATCH_BOOKING, id=shop.service_id)
        with pytest.raises(OperationFailed) as failed:
            await stream.next()
        assert failed.value.code == "BAD_INPUT"


async def test_a_customer_follows_their_own(running: RunningApi, client: GraphQLClient, shop: Shop) -> None:
    person = await make_person(running.api.services, "customer")
    own = Guest(client.signed_in(person.token), shop)
    held = await own.hold(TEN)
    asked = {"holdId": held["hold"]["id"], "holdToken": held["holdToken"], "paymentMethod": "PAY_ON_ARRIVAL"}
    booked = await own.client(op.BOOK, {"input": asked})
    async with live_socket(running.socket_url, person.token) as socket:
        stream = await socket.subscribe(op.WATCH_BOOKING, id=booked["booking"]["id"])
        assert (await stream.next())["kind"] == "SNAPSHOT"
        await own.move(booked, TEN + timedelta(hours=1))
        assert await change(stream) == ("booking.rescheduled", 2)


async def test_coming_back(running: RunningApi, guest: Guest, relay: RunningRelay) -> None:
    booked = await guest.book(await guest.hold(TEN))
    async with live_socket(running.socket_url) as socket:
        cursor = (await (await socket.subscribe(op.WATCH_BOOKING, **watched(booked))).next())["cursor"]
    await relay.catch_up()
    await guest.move(booked, TEN + timedelta(hours=1))
    await relay.catch_up()
    await relay.pause()
    await guest.move(booked, TEN + timedelta(hours=2))
    async with live_socket(running.socket_url) as socket:
        stream = await socket.subscribe(op.WATCH_BOOKING, **watched(booked, cursor))
        event = await stream.next()
        assert (event["kind"], event["type"]) == ("CHANGE", "booking.rescheduled")
        await stream.nothing()
        relay.start()
        assert await change(stream) == ("booking.rescheduled", 3)
        await stream.nothing()
        last = Cursor.decode(cursor)
    for cursor_text in (
        Cursor(last.position + 10**6, last.at).encode(),
        Cursor(0, last.at + timedelta(days=2)).encode(),
    ):
        async with live_socket(running.socket_url) as socket:
            stream = await socket.subscribe(op.WATCH_BOOKING, **watched(booked, cursor_text))
            event = await stream.next()
            assert (event["kind"], event["type"], event["booking"]["version"]) == ("RESYNC", "booking.snapshot", 3)
            await stream.nothing(0.2)
    async with live_socket(running.socket_url) as socket:
        stream = await socket.subscribe(op.WATCH_BOOKING, **watched(booked, "nonsense"))
        with pytest.raises(OperationFailed) as failed:
            await stream.next()
        assert failed.value.code == "BAD_INPUT"


async def test_a_snapshot_while_nothing_has_a_number(running: RunningApi, guest: Guest, relay: RunningRelay) -> None:
    await relay.catch_up()
    await relay.pause()
    booked = await guest.book(await guest.hold(TEN))
    async with live_socket(running.socket_url) as socket:
        stream = await socket.subscribe(op.WATCH_BOOKING, **watched(booked))
        assert (await stream.next())["kind"] == "SNAPSHOT"
        relay.start()
        await stream.nothing()
        await guest.cancel(booked)
        assert await change(stream) == ("booking.cancelled", 2)


async def test_every_event_once_in_order_across_cuts(running: RunningApi, guest: Guest) -> None:
    booked = await guest.book(await guest.hold(TEN))
    chance = random.Random(7)
    moves = 30
    cursors: list[str] = []
    versions: list[int] = []
    types: list[str] = []

    has_begun = asyncio.Event()

    async def take(stream: LiveStream) -> None:
        event = await stream.next(0.3)
        has_begun.set()
        cursors.append(event["cursor"])
        if event["kind"] == "CHANGE":
            versions.append(event["booking"]["version"])
            types.append(event["type"])
        else:
            assert len(cursors) == 1, event

    async def watch() -> None:
        while len(versions) < moves + 1:
            async with live_socket(running.socket_url) as socket:
                after = cursors[-1] if cursors else None
                stream = await socket.subscribe(op.WATCH_BOOKING, **watched(booked, after))
                for _ in range(chance.randint(1, 4)):
                    with suppress(TimeoutError, SocketLost):
                        await take(stream)
                socket.cut()

    async def change_it() -> None:
        await has_begun.wait()
        for number in range(moves):
            await guest.move(booked, TEN + timedelta(hours=1 + number % 2))
        await guest.cancel(booked)

    await asyncio.gather(watch(), change_it())
    assert types == ["booking.rescheduled"] * moves + ["booking.cancelled"]
    # Each shows the booking as it was when the event was told: never older than the event, never going back.
    assert versions == sorted(versions)
    assert all(version >= number for number, version in enumerate(versions, start=2))


async def test_a_socket_ends_with_its_token(running: RunningApi, guest: Guest, shop: Shop) -> None:
    booked = await guest.book(await guest.hold(TEN))
    brief = TokenSigner(SECRET, timedelta(seconds=3))
    token, expires_at = brief.access_token(shop.owner.user_id, datetime.now(UTC))
    async with live_socket(running.socket_url, token) as socket:
        stream = await socket.subscribe(op.WATCH_BOOKING, id=booked["booking"]["id"])
        assert (await stream.next())["kind"] == "SNAPSHOT"
        with pytest.raises(SocketLost) as lost:
            await stream.next()
        assert lost.value.code == 4403
        assert timedelta(0) <= datetime.now(UTC) - expires_at < timedelta(seconds=10)


async def test_one_who_loses_their_role_hears_no_more(
    running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop
) -> None:
    booked = await guest.book(await guest.hold(TEN))
    staff = await shop.person("staff", Role.STAFF)
    async with live_socket(running.socket_url, staff.token) as socket:
        stream = await socket.subscribe(op.WATCH_BOOKING, id=booked["booking"]["id"])
        await stream.next()
        await make(
            client.signed_in(shop.owner.token),
            "removeMember",
            organizationId=shop.organization_id,
            userId=encode_id(IdKind.USER, staff.user_id),
        )
        await guest.cancel(booked)
        with pytest.raises(OperationFailed) as failed:
            await stream.next()
        assert failed.value.code == "NOT_FOUND"
