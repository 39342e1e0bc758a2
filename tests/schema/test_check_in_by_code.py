"""Whoever shows the confirmation code is checked in: by those who work there, on the day, once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fees import set_terms
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Answer, Visitor, account, colleague, instant
from tests.shop import at, iso, make_person, make_shop

CHECK_IN = """mutation ($input: CheckInByCodeInput!) { checkInByCode(input: $input) { __typename
  ... on Booking { id status version checkedInAt }
  ... on AlreadyCheckedIn { bookingId checkedInAt }
  ... on NotAllowed { rule allowedFrom allowedUntil message }
  ... on IllegalTransition { from allowed }
  ... on InvalidInput { violations { path } }
  ... on StaleVersion { currentVersion }
  ... on Error { code message }
} }"""


async def check_in(visitor: Visitor, code: str, **extra: Any) -> Answer:
    wanted = {"organizationId": visitor.shop.organization_id, "code": code, **extra}
    answer: Answer = await visitor.client(CHECK_IN, {"input": wanted})
    return answer


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


@pytest.fixture
async def staff(guest: Visitor, client: GraphQLClient) -> Visitor:
    return await colleague(client, guest.shop, Role.STAFF)


async def test_on_the_day_and_only_once(
    guest: Visitor, staff: Visitor, clock: MovableClock, statements: StatementLog
) -> None:
    made = await guest.booked(at(3, 10))
    code = made.answer["confirmationCode"]
    early = await check_in(staff, code)
    assert (early["__typename"], early["rule"]) == ("NotAllowed", "service_day")
    assert (early["allowedFrom"], early["allowedUntil"]) == (iso(at(3, 0)), None)
    clock.move_to(at(3, 9))
    statements.clear()
    done = await check_in(staff, f" {code[:4].lower()}-{code[4:]} ")
    assert (done["id"], done["status"], done["version"]) == (made.id, "CHECKED_IN", 2)
    assert instant(done["checkedInAt"]) >= at(3, 9)
    assert len(statements) <= 8  # two of them for checkedInAt
    again = await check_in(staff, code)
    assert (again["__typename"], again["bookingId"], again["checkedInAt"]) == (
        "AlreadyCheckedIn",
        made.id,
        done["checkedInAt"],
    )
    clock.move_to(at(3, 11))
    await staff.stepped(made, "COMPLETED")
    assert (await check_in(staff, code))["from"] == "COMPLETED"


async def test_too_late(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    clock.move_to(at(4, 0, 1))
    late = await check_in(staff, made.answer["confirmationCode"])
    assert (late["rule"], late["allowedFrom"], late["allowedUntil"]) == ("service_day_over", None, iso(at(4, 0)))


async def test_a_scanner_that_reads_twice_at_once(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    clock.move_to(at(3, 9))
    code = made.answer["confirmationCode"]
    answers = await asyncio.gather(*(check_in(staff, code) for _ in range(4)))
    assert Counter(one["__typename"] for one in answers) == {"Booking": 1, "AlreadyCheckedIn": 3}
    same = [await check_in(staff, code, idempotencyKey="once more") for _ in range(2)]
    assert {one["__typename"] for one in same} == {"AlreadyCheckedIn"}


async def test_the_same_request_twice(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    clock.move_to(at(3, 9))
    key = {"idempotencyKey": "scan-1"}
    answers = [await check_in(staff, made.answer["confirmationCode"], **key) for _ in range(2)]
    assert [one["version"] for one in answers] == [2, 2]


async def test_who_does_not_work_there_learns_nothing(
    guest: Visitor, services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, providers=2, linked=linked)
    provider = Visitor(client.signed_in(linked.token), shop)
    visitor = Visitor(client, shop)
    mine, theirs = [await visitor.booked(at(3, 10), hold={"providerId": one}) for one in shop.provider_ids]
    customer = await account(client, shop, "customer")
    elsewhere = await colleague(client, guest.shop, Role.OWNER)
    clock.move_to(at(3, 9))
    codes = [mine.answer["confirmationCode"], theirs.answer["confirmationCode"], "ZZZZZZZZ"]
    refusals = [await check_in(customer, code) for code in codes]
    refusals += [await check_in(Visitor(elsewhere.client, shop), code) for code in codes]
    refusals += [await check_in(elsewhere, code) for code in codes[:2]]
    assert len({tuple(sorted(one.items())) for one in refusals}) == 1
    assert refusals[0]["__typename"] == "NotFound"
    answers = [(await check_in(provider, code))["__typename"] for code in codes]
    assert sorted(answers) == ["Booking", "NotFound", "NotFound"]
    unknown = await client.raw(CHECK_IN, {"input": {"organizationId": shop.organization_id, "code": codes[0]}})
    assert unknown["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("code", ["", "ABC", "0O1IABCD", "🎟🎟🎟🎟🎟🎟🎟🎟", "A" * 100_000, "ABCD EFGH JKLM"])
async def test_what_is_no_code(staff: Visitor, code: str) -> None:
    refused = await check_in(staff, code)
    assert (refused["__typename"], refused["violations"]) == ("InvalidInput", [{"path": "input.code"}])


async def test_who_still_owes_and_stale_versions(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    clock.move_to(at(3, 9))
    code = made.answer["confirmationCode"]
    assert (await check_in(staff, code, expectedVersion=7))["currentVersion"] == 1
    await set_terms(guest, balance_required_at_check_in=True)
    assert (await check_in(staff, code))["rule"] == "balance_due"
