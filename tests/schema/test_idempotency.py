"""The same request twice is done once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import ANA, Held, Visitor, account, audit_of, live_time, rows_of
from tests.schema import operations as op
from tests.shop import at, make_shop


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


def _key() -> str:
    return str(uuid4())


async def test_a_hold_is_given_again_with_its_token(guest: Visitor) -> None:
    key = _key()
    first = await guest.hold(at(2, 10), idempotencyKey=key)
    assert first["__typename"] == "HoldSlotPayload"
    assert await guest.hold(at(2, 10), idempotencyKey=key) == first
    assert len(await live_time(guest.shop)) == 1


async def test_a_booking_is_given_again_with_its_link(guest: Visitor) -> None:
    key, held = _key(), await guest.held(at(2, 10))
    first = await guest.book(held, idempotencyKey=key)
    again = await guest.book(held, idempotencyKey=key)
    assert first["__typename"] == "CreateBookingPayload"
    assert again == first
    assert len(await rows_of(guest.shop, "SELECT id FROM customer")) == 1


async def test_a_change_is_made_once(guest: Visitor) -> None:
    made, keys = await guest.booked(at(3, 10)), (_key(), _key())
    moved = await guest.move(made, at(3, 12), accessToken=made.token, idempotencyKey=keys[0])
    assert moved["version"] == 2
    assert await guest.move(made, at(3, 12), accessToken=made.token, idempotencyKey=keys[0]) == moved
    cancelled = await guest.cancel(made, accessToken=made.token, idempotencyKey=keys[1])
    assert cancelled["version"] == 3
    assert await guest.cancel(made, accessToken=made.token, idempotencyKey=keys[1]) == cancelled
    assert len(await audit_of(guest.shop, made)) == 3


async def test_ten_at_once_have_one_effect(guest: Visitor) -> None:
    key = _key()
    holds = await asyncio.gather(*(guest.hold(at(2, 10), idempotencyKey=key) for _ in range(10)))
    assert all(hold == holds[0] for hold in holds)
    assert holds[0]["__typename"] == "HoldSlotPayload"
    assert len(await live_time(guest.shop)) == 1
    held, key = await guest.held(at(2, 12)), _key()
    answers = await asyncio.gather(*(guest.book(held, idempotencyKey=key) for _ in range(10)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["__typename"] == "CreateBookingPayload"
    assert len(await rows_of(guest.shop, "SELECT id FROM booking")) == 1


@pytest.mark.parametrize(
    "other",
    [{"durationMinutes": 30}, {"partySize": 2}, {"providerId": "prv_01h2xcejqtf2nbrexx3vqjhp41"}],
    ids=lambda other: next(iter(other)),
)
async def test_another_input_is_a_conflict(guest: Visitor, other: dict[str, Any]) -> None:
    key = _key()
    await guest.held(at(2, 10), idempotencyKey=key)
    refused = await guest.hold(at(2, 10), idempotencyKey=key, **other)
    assert (refused["__typename"], refused["code"]) == ("IdempotencyConflict", "IDEMPOTENCY_CONFLICT")
    assert len(await live_time(guest.shop)) == 1


async def test_another_input_of_a_booking_is_a_conflict(guest: Visitor) -> None:
    key, held = _key(), await guest.held(at(3, 10))
    first = await guest.book(held, idempotencyKey=key)
    assert (await guest.book(held, idempotencyKey=key, notes="x"))["__typename"] == "IdempotencyConflict"
    assert (await guest.book(held, idempotencyKey=key, customer={**ANA, "name": "Bo"}))[
        "code"
    ] == "IDEMPOTENCY_CONFLICT"
    stolen = await guest.book(held, idempotencyKey=key, holdToken="wrong")
    assert stolen["__typename"] == "IdempotencyConflict"
    assert first["accessToken"] not in str(stolen)


async def test_the_same_input_in_other_words_is_the_same(guest: Visitor) -> None:
    """Two spellings of one instant and one name mean the same request."""
    key = _key()
    first = await guest.hold(None, idempotencyKey=key, startsAt=f"{at(2, 10):%Y-%m-%dT%H:%M:%S}Z")
    again = await guest.hold(None, idempotencyKey=key, startsAt=f"{at(2, 7):%Y-%m-%dT%H:%M}-03:00", partySize=1)
    assert again == first


async def test_a_failure_is_not_remembered(guest: Visitor) -> None:
    key, other = _key(), await guest.held(at(2, 10))
    assert (await guest.hold(at(2, 10), idempotencyKey=key))["__typename"] == "SlotUnavailable"
    await guest.release(other)
    assert (await guest.hold(at(2, 10), idempotencyKey=key))["__typename"] == "HoldSlotPayload"


async def test_the_header_is_as_good_as_the_field(guest: Visitor) -> None:
    header = {"idempotency-key": _key()}
    first = await guest.hold(at(2, 10), headers=header)
    assert first["__typename"] == "HoldSlotPayload"
    assert await guest.hold(at(2, 10), headers=header) == first
    assert (await guest.hold(at(2, 12), headers=header))["__typename"] == "IdempotencyConflict"
    assert (await guest.hold(at(2, 12), headers=header, idempotencyKey=_key()))["__typename"] == "HoldSlotPayload"
    refused = await guest.hold(at(2, 14), headers={"idempotency-key": "guessable"})
    assert refused["violations"][0]["path"] == "Idempotency-Key"


async def test_an_extension_sent_twice_with_one_header_is_one(guest: Visitor) -> None:
    first, second = await guest.held(at(2, 10)), await guest.held(at(2, 12))
    headers = {"idempotency-key": _key()}

    async def extend(hold: Held) -> dict[str, Any]:
        return await guest.client.raw(op.EXTEND, {"id": hold.id, "token": hold.token}, **headers)

    answer = await extend(first)
    assert answer["data"]["extendHold"]["__typename"] == "Hold"
    assert await extend(first) == answer
    # The contract's union has no member for this, so that it is an error of the whole.
    [error] = (await extend(second))["errors"]
    assert error["extensions"]["reason"] == "IDEMPOTENCY_CONFLICT"


@pytest.mark.parametrize("key", ["", "1", "hold-1", "x" * 36, "\u202e" * 36, "a\x01b"])
async def test_anonymous_keys_are_uuids(guest: Visitor, key: str) -> None:
    refused = await guest.hold(at(2, 10), idempotencyKey=key)
    assert refused["__typename"] == "InvalidInput"
    assert [violation["path"] for violation in refused["violations"]] == ["input.idempotencyKey"]


async def test_a_persons_keys_are_their_own(guest: Visitor, client: GraphQLClient) -> None:
    one, two = await account(client, guest.shop, "one"), await account(client, guest.shop, "two")
    key = "checkout 1 💈"
    first = await one.hold(at(2, 10), idempotencyKey=key)
    second = await two.hold(at(2, 12), idempotencyKey=key)
    assert first["hold"]["id"] != second["hold"]["id"]
    assert await one.hold(at(2, 10), idempotencyKey=key) == first
    assert (await one.hold(at(2, 10), idempotencyKey="x" * 256))["__typename"] == "InvalidInput"
    stranger = _key()
    anonymous = await guest.hold(at(2, 14), idempotencyKey=stranger)
    assert (await one.hold(at(2, 14), idempotencyKey=stranger))["__typename"] == "SlotUnavailable"
    assert anonymous["__typename"] == "HoldSlotPayload"


async def test_a_key_belongs_to_an_operation_and_an_organization(
    guest: Visitor, services: Services, client: GraphQLClient
) -> None:
    key = _key()
    held = await guest.held(at(2, 10), idempotencyKey=key)
    assert (await guest.book(held, idempotencyKey=key))["__typename"] == "CreateBookingPayload"
    elsewhere = Visitor(client, await make_shop(services))
    await elsewhere.held(at(2, 10), idempotencyKey=key)


async def test_keys_of_many_people_at_once(guest: Visitor) -> None:
    """Ten checkouts, each sent three times: ten bookings."""

    async def checkout(hour: int) -> list[str]:
        keys = (_key(), _key())
        held = (await asyncio.gather(*(guest.held(at(2, hour), idempotencyKey=keys[0]) for _ in range(3))))[0]
        booked = await asyncio.gather(*(guest.book(held, idempotencyKey=keys[1]) for _ in range(3)))
        return [answer["booking"]["number"] for answer in booked]

    numbers = await asyncio.gather(*(checkout(hour) for hour in range(8, 18)))
    assert Counter(len(set(each)) for each in numbers) == {1: 10}
    assert len({each[0] for each in numbers}) == 10
    assert len(await live_time(guest.shop)) == 10


async def test_a_replay_shows_what_became_of_it(guest: Visitor, clock: MovableClock) -> None:
    key = _key()
    first = await guest.hold(at(2, 10), idempotencyKey=key)
    clock.move(timedelta(minutes=11))
    again = await guest.hold(at(2, 10), idempotencyKey=key)
    assert again["hold"]["id"] == first["hold"]["id"]
    assert again["hold"]["status"] == "EXPIRED"
