"""Giving a hold back, and keeping it once longer."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Held, Visitor, instant, live_time, rows_of
from tests.schema import operations as op
from tests.shop import at, make_shop

UNKNOWN = "hld_01h2xcejqtf2nbrexx3vqjhp41"
DOCUMENTS = {"extend": op.EXTEND, "release": op.RELEASE}


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


async def test_released_time_is_free_at_once(guest: Visitor) -> None:
    held = await guest.held(at(2, 10))
    assert await guest.release(held) == {"__typename": "Hold", "id": held.id, "status": "RELEASED"}
    assert await live_time(guest.shop) == []
    assert at(2, 10) in await guest.starts(at(2, 0).date())
    await guest.held(at(2, 10))


async def test_releasing_twice_is_the_same_as_once(guest: Visitor) -> None:
    held = await guest.held(at(2, 10))
    answers = await asyncio.gather(*(guest.release(held) for _ in range(4)))
    assert all(answer == {"__typename": "Hold", "id": held.id, "status": "RELEASED"} for answer in answers)
    told = "SELECT count(*) FROM outbox_event WHERE type = 'allocation.released' AND subject_id = :provider"
    assert await rows_of(guest.shop, told, provider=guest.shop.provider_uuids[0]) == [{"count": 1}]
    assert (await guest.extend(held))["message"] == "This hold was released."
    assert (await guest.book(held))["__typename"] == "HoldExpired"


async def test_extended_once_by_a_full_term(guest: Visitor, clock: MovableClock) -> None:
    held = await guest.held(at(2, 10))
    clock.move(timedelta(minutes=9))
    extended = await guest.extend(held)
    assert (extended["__typename"], extended["status"]) == ("Hold", "ACTIVE")
    until = instant(held.answer["expiresAt"]) + timedelta(minutes=10)
    assert instant(extended["expiresAt"]) == until
    again = await guest.extend(held)
    assert (again["__typename"], again["rule"]) == ("NotAllowed", "hold_extended_once")
    rows = await rows_of(
        guest.shop, "SELECT h.expires_at = a.expires_at AS same FROM hold h JOIN allocation a ON a.hold_id = h.id"
    )
    assert rows == [{"same": True}]
    clock.move(timedelta(minutes=19))
    assert (await guest.hold(at(2, 10)))["reason"] == "HELD"
    clock.move(timedelta(minutes=21))
    assert (await guest.extend(held))["__typename"] == "HoldExpired"
    await guest.held(at(2, 10))


async def test_two_extensions_at_once_are_one(guest: Visitor) -> None:
    held = await guest.held(at(2, 10))
    answers = await asyncio.gather(*(guest.extend(held) for _ in range(5)))
    assert Counter(answer["__typename"] for answer in answers) == {"Hold": 1, "NotAllowed": 4}


@pytest.mark.parametrize("operation", DOCUMENTS)
async def test_a_wrong_token_reads_like_an_unknown_id(guest: Visitor, operation: str) -> None:
    held, other = await guest.held(at(2, 10)), await guest.held(at(2, 12))
    http = guest.client.http

    async def answer(hold_id: str, token: str) -> bytes:
        body = {"query": DOCUMENTS[operation], "variables": {"id": hold_id, "token": token}}
        return (await http.post(guest.client.url, json=body)).content

    unknown = await answer(UNKNOWN, held.token)
    assert b"NOT_FOUND" in unknown
    for token in ("", "wrong", other.token, held.token.swapcase(), "ü" * 32, held.token + " "):
        assert await answer(held.id, token) == unknown
    assert len(await live_time(guest.shop)) == 2


@pytest.mark.parametrize("operation", DOCUMENTS)
async def test_what_ran_out_is_told_with_alternatives(guest: Visitor, clock: MovableClock, operation: str) -> None:
    held = await guest.held(at(2, 10))
    clock.move(timedelta(minutes=11))
    answer = await getattr(guest, operation)(held)
    assert (answer["__typename"], answer["code"]) == ("HoldExpired", "HOLD_EXPIRED")
    starts = [instant(slot["startsAt"]) for slot in answer["alternatives"]]
    assert len(starts) == 6
    assert starts[0] == at(2, 10)  # nobody has taken it since


@pytest.mark.parametrize("operation", DOCUMENTS)
async def test_what_was_booked_is_no_hold_any_more(guest: Visitor, operation: str) -> None:
    held = await guest.held(at(2, 10))
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"
    answer = await getattr(guest, operation)(held)
    assert (answer["__typename"], answer["message"]) == ("HoldExpired", "This hold has already become a booking.")
    assert await live_time(guest.shop) == [(at(2, 10), at(2, 10, 30), "booked")]


async def test_booking_releasing_and_extending_at_once_agree(guest: Visitor) -> None:
    async def race(held: Held) -> tuple[str, str, list[tuple[object, object, str]]]:
        booked, released, _ = await asyncio.gather(guest.book(held), guest.release(held), guest.extend(held))
        return booked["__typename"], released["__typename"], [*await live_time(guest.shop)]

    for hour in range(6):
        before = await live_time(guest.shop)
        booked, released, after = await race(await guest.held(at(2, 8 + hour)))
        if booked == "CreateBookingPayload":
            assert released == "HoldExpired"
            assert len(after) == len(before) + 1
        else:
            assert (booked, released) == ("HoldExpired", "Hold")
            assert after == before
