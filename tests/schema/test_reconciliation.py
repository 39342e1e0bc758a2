"""`reconciliation` and `resolveDifference`: admins see what differs in their own books, and say what was done."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from app.core.ids import IdKind, encode_id
from app.domain.membership import Role
from tests.fixtures_api import log_statements
from tests.journey import Visitor, colleague, rows_of
from tests.paying import Paying, owner_of
from tests.reconciling import Reconciling
from tests.shop import Shop, make_shop

DIFFERENCE = (
    "id processor kind subject bookingId processorId ours { name value } theirs { name value } suggestion healsItself"
    " timesSeen firstSeenAt lastSeenAt resolvedAt resolution note"
)
READ = f"""
query ($id: ID!) {{ reconciliation(organizationId: $id) {{
  runs {{ processor startedAt finishedAt outcome succeededAt }} differences {{ {DIFFERENCE} }} }} }}
"""
RESOLVE = f"""
mutation ($input: ResolveDifferenceInput!) {{ resolveDifference(input: $input) {{ __typename
  ... on ResolveDifferencePayload {{ difference {{ {DIFFERENCE} }} }}
  ... on Error {{ code message }} ... on NotAllowed {{ rule }} ... on InvalidInput {{ violations {{ path }} }} }} }}
"""


@pytest.fixture
async def shop(paying: Paying) -> Shop:
    return await make_shop(paying.api.api.services)


@pytest.fixture
def owner(paying: Paying, shop: Shop) -> Visitor:
    return owner_of(paying, shop)


async def found(paying: Paying, shop: Shop) -> Reconciling:
    """A payment at the processor that we know nothing of."""
    money = Reconciling(paying, shop)
    await paying.sandbox.paid(amount=1_000, currency="usd", metadata=money.labels(uuid4()))
    assert (await money.run()).counts.found == 1
    return money


async def read(viewer: Visitor) -> Any:
    return await viewer.client(READ, {"id": viewer.shop.organization_id})


async def resolve(viewer: Visitor, difference_id: str, note: str = "Given back there.", **more: Any) -> Any:
    wanted = {"organizationId": viewer.shop.organization_id, "differenceId": difference_id, "note": note, **more}
    return await viewer.client(RESOLVE, {"input": wanted})


async def test_an_owner_sees_what_differs_and_what_to_do(paying: Paying, shop: Shop, owner: Visitor) -> None:
    await found(paying, shop)
    shown = await read(owner)
    [one] = shown["differences"]
    assert (one["kind"], one["processor"], one["healsItself"], one["timesSeen"]) == (
        "PAYMENT_UNKNOWN_HERE",
        "stripe",
        False,
        1,
    )
    assert {"name": "capturedMinor", "value": "1000"} in one["theirs"]
    assert one["suggestion"]
    [run] = [run for run in shown["runs"] if run["processor"] == "stripe"]
    assert run["outcome"] == "done"


async def test_others_see_nothing(paying: Paying, shop: Shop, owner: Visitor) -> None:
    await found(paying, shop)
    [one] = (await read(owner))["differences"]
    staff = await colleague(paying.client, shop, Role.STAFF)
    assert (await staff.client.raw(READ, {"id": shop.organization_id}))["errors"][0]["extensions"][
        "code"
    ] == "FORBIDDEN"
    assert (await resolve(staff, one["id"]))["__typename"] == "NotAllowed"
    other = owner_of(paying, await make_shop(paying.api.api.services))
    assert (await read(other))["differences"] == []
    assert (await resolve(other, one["id"]))["__typename"] == "NotFound"
    strange = Visitor(other.client, shop)
    for stranger in (strange, Visitor(paying.client, shop)):
        raw = await stranger.client.raw(READ, {"id": shop.organization_id})
        assert raw["errors"][0]["extensions"]["code"] in {"NOT_FOUND", "UNAUTHENTICATED"}
    assert (await resolve(strange, one["id"]))["__typename"] == "NotFound"
    admin = await colleague(paying.client, shop, Role.ADMIN)
    assert (await resolve(admin, one["id"]))["__typename"] == "ResolveDifferencePayload"


async def test_accepted_it_stays_so_until_a_side_says_something_else(
    paying: Paying, shop: Shop, owner: Visitor
) -> None:
    money = await found(paying, shop)
    [one] = (await read(owner))["differences"]
    answer = await resolve(owner, one["id"], "  A test of the bank. ")
    resolved = answer["difference"]
    assert (resolved["resolution"], resolved["note"]) == ("accepted", "A test of the bank.")
    assert resolved["resolvedAt"] is not None
    for _ in range(2):
        assert await money.ran() == (0, 0)
    assert (await read(owner))["differences"] == []
    [row] = await money.rows()
    assert (row["times_seen"], row["resolved_by"]["actor"]) == (3, "owner")
    [audited] = await rows_of(shop, "SELECT reason FROM audit_entry WHERE action = 'reconciliation.resolved'")
    assert audited["reason"] == "A test of the bank."
    await paying.sandbox.v1.refunds.create_async({"payment_intent": one["processorId"], "amount": 1})
    assert await money.ran() == (1, 0)
    [again] = (await read(owner))["differences"]
    assert (again["id"] != one["id"], again["timesSeen"]) == (True, 1)


async def test_the_same_request_twice(paying: Paying, shop: Shop, owner: Visitor) -> None:
    await found(paying, shop)
    [one] = (await read(owner))["differences"]
    key = {"idempotencyKey": "resolve-1"}
    first = await resolve(owner, one["id"], **key)
    assert await resolve(owner, one["id"], **key) == first
    assert (await resolve(owner, one["id"], "Another", **key))["__typename"] == "IdempotencyConflict"
    again = await resolve(owner, one["id"])
    assert (again["__typename"], again["rule"]) == ("NotAllowed", "resolved")


@pytest.mark.parametrize("note", ["", "   ", "\u200b", "a\x00b", "n" * 1_001])
async def test_notes_that_say_nothing(owner: Visitor, note: str) -> None:
    difference = encode_id(IdKind.DIFFERENCE, uuid4())
    body = {"organizationId": owner.shop.organization_id, "differenceId": difference, "note": note}
    answer = await owner.client.raw(RESOLVE, {"input": body})
    assert "errors" in answer or answer["data"]["resolveDifference"]["violations"] == [{"path": "input.note"}]


async def test_ids_of_another_kind(owner: Visitor) -> None:
    for wrong in ("bkg_00000000000000000000000000", "", "rdf_x"):
        answer = await owner.client.raw(
            RESOLVE,
            {"input": {"organizationId": owner.shop.organization_id, "differenceId": wrong, "note": "x"}},
        )
        assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"
    assert (await resolve(owner, encode_id(IdKind.DIFFERENCE, uuid4())))["__typename"] == "NotFound"


async def test_how_many_statements(paying: Paying, shop: Shop, owner: Visitor) -> None:
    await found(paying, shop)
    log, stop = log_statements(paying.api.api.services.database)
    try:
        [one] = (await read(owner))["differences"]
        assert len(log) == 3, log.statements
        log.clear()
        await resolve(owner, one["id"])
        assert len(log) <= 5, log.statements
    finally:
        stop()
