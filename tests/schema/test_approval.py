"""Bookings that somebody has to accept: by whom, until when, and what lapses by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.commands.automatic import expire_unanswered
from app.core.database import Database
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Made, Visitor, colleague, instant, live_time, rows_of
from tests.paying import Payer, Paying, ledger_of, owner_of
from tests.shop import Person, at, iso, make_person, make_shop
from tests.sweeps import UPDATE_ORGANIZATION, sweep

REFUSED = """mutation ($input: TransitionBookingInput!) { transitionBooking(input: $input) {
  __typename ... on NotAllowed { rule allowedFrom allowedUntil } } }"""


@pytest.fixture
async def linked(services: Services) -> Person:
    return await make_person(services, "linked")


@pytest.fixture
async def guest(services: Services, client: GraphQLClient, linked: Person) -> Visitor:
    return Visitor(client, await make_shop(services, linked=linked, service={"requires_approval": True}))


@pytest.fixture
def provider(guest: Visitor, linked: Person) -> Visitor:
    return Visitor(guest.client.signed_in(linked.token), guest.shop)


@pytest.fixture
async def staff(guest: Visitor, client: GraphQLClient) -> Visitor:
    return await colleague(client, guest.shop, Role.STAFF)


async def answers_within(guest: Visitor, client: GraphQLClient, hours: int) -> None:
    admin = await colleague(client, guest.shop, Role.ADMIN)
    wanted = {"organizationId": guest.shop.organization_id, "approvalHours": hours}
    assert (await admin.client(UPDATE_ORGANIZATION, {"input": wanted}))["organization"]["approvalHours"] == hours


def soon(until: str, hours: int) -> bool:
    """Is it so many hours from now, by the real clock, give or take a minute?"""
    return abs(instant(until) - (datetime.now(UTC) + timedelta(hours=hours))) < timedelta(minutes=1)


async def test_the_provider_accepts(guest: Visitor, provider: Visitor) -> None:
    made = await guest.booked(at(3, 10))
    assert (made.answer["status"], soon(made.answer["expiresAt"], 24)) == ("AWAITING_PROVIDER", True)
    assert await live_time(guest.shop) == [(at(3, 10), at(3, 10, 30), "booked")]
    assert (await provider.read(made))["allowedTransitions"] == ["CONFIRMED", "CANCELLED"]
    assert (await guest.step(made, "CONFIRMED"))["__typename"] == "NotFound"
    accepted = await provider.step(made, "CONFIRMED")
    assert (accepted["status"], accepted["version"], accepted["expiresAt"]) == ("CONFIRMED", 2, None)
    assert (await guest.read(made, made.token))["transitions"][-1]["actor"] == "provider"


async def test_declined_with_a_reason(guest: Visitor, provider: Visitor, staff: Visitor) -> None:
    made = await guest.booked(at(3, 10))
    refused = await provider.cancel(made, reason=" ")
    assert refused["violations"][0]["path"] == "input.reason"
    assert (await provider.cancel(made, reason="On holiday"))["status"] == "CANCELLED"
    assert (await guest.read(made, made.token))["transitions"][-1]["reason"] == "On holiday"
    assert await live_time(guest.shop) == []
    other = await guest.booked(at(3, 10))
    assert (await staff.step(other, "CONFIRMED"))["status"] == "CONFIRMED"


async def test_it_lapses_and_its_time_is_free(
    guest: Visitor, provider: Visitor, worker: Database, client: GraphQLClient, clock: MovableClock
) -> None:
    await answers_within(guest, client, 5)
    made = await guest.booked(at(3, 10))
    await answers_within(guest, client, 100)  # those that exist keep theirs
    until = instant(made.answer["expiresAt"])
    clock.move_to(until - timedelta(seconds=20))
    await sweep(worker, clock, expire_unanswered)
    assert (await guest.read(made, made.token))["status"] == "AWAITING_PROVIDER"
    clock.move_to(until + timedelta(seconds=1))
    late = await provider.client(REFUSED, {"input": {"bookingId": made.id, "to": "CONFIRMED"}})
    assert late == {
        "__typename": "NotAllowed",
        "rule": "approval_over",
        "allowedFrom": None,
        "allowedUntil": iso(until),
    }
    assert await sweep(worker, clock, expire_unanswered) >= 1
    assert await sweep(worker, clock, expire_unanswered) == 0
    seen = await guest.read(made, made.token)
    last = seen["transitions"][-1]
    assert (seen["status"], last["actor"], last["channel"]) == ("EXPIRED", "system", "job")
    assert await live_time(guest.shop) == []
    told = await rows_of(guest.shop, "SELECT payload FROM outbox_event WHERE type = 'booking.expired'")
    assert told == [{"payload": {"version": 2, "status": "expired"}}]


async def test_never_later_than_its_start(guest: Visitor, client: GraphQLClient) -> None:
    await answers_within(guest, client, 720)
    made = await guest.booked(at(2, 10))
    assert instant(made.answer["expiresAt"]) == at(2, 10)


async def test_a_move_that_asks_again_has_a_new_deadline(
    guest: Visitor, staff: Visitor, worker: Database, clock: MovableClock
) -> None:
    made = await guest.booked(at(5, 10))
    await staff.stepped(made, "CONFIRMED")
    clock.move(timedelta(hours=30))
    moved = await guest.move(made, at(5, 12), accessToken=made.token)
    assert (moved["status"], soon(moved["expiresAt"], 54)) == ("AWAITING_PROVIDER", True)
    clock.move(timedelta(hours=40))
    await sweep(worker, clock, expire_unanswered)
    again = await guest.move(made, at(5, 14), accessToken=made.token)
    assert (again["status"], soon(again["expiresAt"], 64)) == ("AWAITING_PROVIDER", True)
    clock.move(timedelta(hours=65))
    await sweep(worker, clock, expire_unanswered)
    assert (await guest.read(made, made.token))["status"] == "EXPIRED"


async def test_accepted_and_lapsing_at_once(
    guest: Visitor, provider: Visitor, worker: Database, clock: MovableClock
) -> None:
    """Either it is confirmed and has its time, or it is over and has none."""
    made = await guest.booked(at(3, 10))
    clock.move_to(instant(made.answer["expiresAt"]))
    await asyncio.gather(provider.step(made, "CONFIRMED"), sweep(worker, clock, expire_unanswered))
    await sweep(worker, clock, expire_unanswered)
    seen = await guest.read(made, made.token)
    assert len(seen["transitions"]) == 3
    assert (seen["status"], bool(await live_time(guest.shop))) in {("CONFIRMED", True), ("EXPIRED", False)}


async def authorized(payer: Payer, paying: Paying) -> Made:
    made = await payer.pay_now(at(3, 10))
    await paying.pay(made)
    answer = (await payer.refresh(made))["booking"]
    assert (answer["status"], answer["paymentStatus"]) == ("AWAITING_PROVIDER", "AUTHORIZED")
    assert soon(answer["expiresAt"], 24)
    return made


@pytest.fixture
async def payer(paying: Paying) -> Payer:
    return Payer(paying.client, await make_shop(paying.api.api.services, service={"requires_approval": True}))


async def test_what_is_authorized_is_let_go_of(payer: Payer, paying: Paying) -> None:
    made = await authorized(payer, paying)
    paying.api.clock.move(timedelta(hours=24, minutes=1))
    await sweep(paying.worker, paying.api.clock, expire_unanswered)
    assert (await payer.read(made, made.token))["status"] == "AWAITING_PROVIDER"  # first the payment
    await paying.work("end_payment")
    [intent] = await paying.intents(made)
    assert intent.status == "canceled"
    assert (await payer.read(made, made.token))["status"] == "EXPIRED"
    assert await live_time(payer.shop) == []


async def test_it_does_not_block_for_ever_while_the_processor_is_away(payer: Payer, paying: Paying) -> None:
    made = await authorized(payer, paying)
    paying.api.clock.move(timedelta(hours=24, minutes=6))
    assert await sweep(paying.worker, paying.api.clock, expire_unanswered) >= 1  # other tests' too
    assert (await payer.read(made, made.token))["status"] == "EXPIRED"
    assert await live_time(payer.shop) == []
    await paying.work("end_payment")
    [intent] = await paying.intents(made)
    assert intent.status == "canceled"


async def test_accepted_in_time_and_taken_later(payer: Payer, paying: Paying) -> None:
    """The processor is away when it is accepted, and past the deadline: the answer counts."""
    made = await authorized(payer, paying)
    paying.api.clock.move(timedelta(hours=23, minutes=59))
    fault = {"kind": "error", "match": "POST /v1/payment_intents/*/capture", "times": 2, "status": 503}
    await paying.sandbox.control("faults", **fault)
    answer = await owner_of(paying, payer.shop).step(made, "CONFIRMED")
    assert answer["status"] == "AWAITING_PROVIDER"
    paying.api.clock.move(timedelta(hours=24, minutes=10))
    await sweep(paying.worker, paying.api.clock, expire_unanswered)
    await paying.work("end_payment")
    await paying.work("capture_payment")
    seen = await payer.read(made, made.token)
    assert (seen["status"], seen["paymentStatus"]) == ("CONFIRMED", "PAID")


async def test_what_was_taken_goes_back_when_nobody_answers_a_move(payer: Payer, paying: Paying) -> None:
    made = await authorized(payer, paying)
    assert (await owner_of(paying, payer.shop).step(made, "CONFIRMED"))["paymentStatus"] == "PAID"
    moved = await payer.move(made, at(4, 10), accessToken=made.token)
    assert (moved["status"], soon(moved["expiresAt"], 24)) == ("AWAITING_PROVIDER", True)
    paying.api.clock.move(timedelta(hours=24, minutes=1))
    lapsed = await payer.move(made, at(4, 12), accessToken=made.token)
    assert (lapsed["__typename"], lapsed["rule"]) == ("NotAllowed", "approval_over")
    assert await sweep(paying.worker, paying.api.clock, expire_unanswered) >= 1
    assert (await payer.read(made, made.token))["status"] == "EXPIRED"
    assert await live_time(payer.shop) == []
    await paying.work("execute_refund")
    seen = await payer.read(made, made.token)
    assert (seen["status"], seen["paymentStatus"]) == ("REFUNDED", "REFUNDED")
    ledger = await ledger_of(owner_of(paying, payer.shop).client, made)
    assert ledger == {"customer": -1_000, "refunds": 1_000}  # nobody else has any of it
