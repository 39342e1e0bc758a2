"""What staff and providers see of payouts, and what people may do about them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.core.ids import IdKind, encode_id, new_id
from app.domain.membership import Role
from app.domain.payout import MOST_ATTEMPTS
from tests.fixtures_api import GraphQLClient, log_statements
from tests.journey import account, colleague
from tests.paying import Paying
from tests.payouts import SHARE, Earner, make_earner
from tests.shop import at, make_person

MONEY = "{ amountMinor currency }"
PAYOUT = f"""
  id number status amount {MONEY} processor transferId periodStart periodEnd attempts nextAttemptAt failureCode failure
  createdAt sentAt explanation provider {{ id }} items {{ amount {MONEY} reversed {MONEY} booking {{ id number }} }}
"""
ACCOUNT = "status processor country isPayee requirements disabledReason heldAt holdReason"
BALANCE = f"currency available {MONEY} pending {MONEY} frozen {MONEY} negative {MONEY} inTransit {MONEY} nextDueAt"
ERRORS = "... on Error { code message } ... on NotAllowed { rule } ... on InvalidInput { violations { path } }"
READ = f"""
query ($id: ID!) {{ provider(id: $id) {{
  payoutAccount {{ {ACCOUNT} }} balance {{ {BALANCE} }} payouts {{ totalCount edges {{ node {{ {PAYOUT} }} }} }} }} }}
"""
LIST = """
query ($id: ID!, $filter: PayoutFilter, $first: Int, $after: String) {
  payouts(organizationId: $id, filter: $filter, first: $first, after: $after) {
    totalCount edges { cursor node { id amount { amountMinor } } } pageInfo { hasNextPage } } }
"""
NODE = f"query ($id: ID!) {{ node(id: $id) {{ __typename ... on Payout {{ {PAYOUT} }} }} }}"
SHOWN = {
    "holdPayouts": f"account {{ {ACCOUNT} }}",
    "resumePayouts": f"account {{ {ACCOUNT} }}",
    "retryPayout": f"payout {{ {PAYOUT} }}",
    "cancelPayout": f"payout {{ {PAYOUT} }}",
}


async def call(client: GraphQLClient, operation: str, *, key: str | None = None, **values: Any) -> dict[str, Any]:
    """The member of the union."""
    noun = operation[0].upper() + operation[1:]
    errors = ERRORS if operation in {"holdPayouts", "cancelPayout"} else ERRORS.rpartition("... on Inv")[0]
    document = (
        f"mutation ($input: {noun}Input!) {{ {operation}(input: $input) {{ __typename"
        f" ... on {noun}Payload {{ {SHOWN[operation]} }} {errors} }} }}"
    )
    headers = {} if key is None else {"idempotency-key": key}
    answer: dict[str, Any] = await client(document, {"input": values}, **headers)
    return answer


@pytest.fixture
async def earner(paying: Paying) -> Earner:
    """Whose provider has an account of their own here, too."""
    person = await make_person(paying.api.api.services, "ana")
    return await make_earner(paying, linked=person, providers=2)


def minor(balance: dict[str, Any]) -> dict[str, int]:
    return {name: value["amountMinor"] for name, value in balance.items() if isinstance(value, dict)}


async def test_the_balance_goes_from_pending_to_paid(earner: Earner) -> None:
    client = earner.owner.client

    async def balance() -> dict[str, int]:
        [found] = (await client(READ, {"id": earner.provider_id}))["balance"]
        return minor(found)

    nothing = {"available": 0, "pending": 0, "frozen": 0, "negative": 0, "inTransit": 0}
    first, second = await earner.completed(at(2, 10), at(2, 11))
    shown = (await client(READ, {"id": earner.provider_id}))["balance"][0]
    assert minor(shown) == nothing | {"pending": 2 * SHARE}
    assert shown["nextDueAt"] is not None
    dispute = await earner.dispute(second)
    assert await balance() == nothing | {"pending": SHARE}
    await earner.decide(dispute, "won")
    await earner.paying.sandbox.paid(currency="usd")  # the processor kept a fee for the dispute
    earner.wait()
    assert await balance() == nothing | {"available": 2 * SHARE}
    payout = await earner.planned()
    assert await balance() == nothing | {"inTransit": 2 * SHARE}
    await earner.send(payout)
    assert (await client(READ, {"id": earner.provider_id}))["balance"] == []
    await earner.refund(first)
    assert await balance() == nothing | {"negative": -SHARE}


async def test_a_payout_is_listed_and_explained(earner: Earner) -> None:
    made = await earner.completed(at(2, 10), at(2, 11))
    earner.wait()
    await earner.paid_out()
    shown = await earner.owner.client(READ, {"id": earner.provider_id})
    [payout] = [edge["node"] for edge in shown["payouts"]["edges"]]
    assert shown["payouts"]["totalCount"] == 1
    assert (payout["status"], payout["number"], payout["amount"]["amountMinor"]) == ("SENT", 1, 2 * SHARE)
    assert payout["id"].startswith("pyo_")
    assert payout["explanation"].startswith("18.00 USD for 2 bookings that ended on ")
    assert payout["transferId"].startswith("tr_")
    assert {item["booking"]["id"] for item in payout["items"]} == {one.id for one in made}
    assert sum(item["amount"]["amountMinor"] for item in payout["items"]) == 2 * SHARE
    assert await earner.owner.client(NODE, {"id": payout["id"]}) == {"__typename": "Payout", **payout}
    assert shown["payoutAccount"]["status"] == "ACTIVE"


async def test_who_sees_it(earner: Earner, paying: Paying) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout_id = encode_id(IdKind.PAYOUT, (await earner.paid_out()).id)
    staff = (await colleague(paying.client, earner.shop, Role.STAFF)).client
    provider = paying.client.signed_in((await _linked(earner)).token)
    stranger = (await account(paying.client, earner.shop, "eve")).client
    elsewhere = (await make_earner(paying)).owner.client
    for client in (staff, provider):
        shown = await client(READ, {"id": earner.provider_id})
        assert (len(shown["payouts"]["edges"]), shown["payoutAccount"]["status"]) == (1, "ACTIVE")
        assert (await client(NODE, {"id": payout_id}))["id"] == payout_id
        assert (await client(LIST, {"id": earner.shop.organization_id}))["totalCount"] == 1
    # Of a colleague, a provider sees nothing.
    other = await provider(READ, {"id": earner.shop.provider_ids[1]})
    assert (other["payoutAccount"], other["balance"], other["payouts"]["edges"]) == (None, [], [])
    for client in (stranger, elsewhere, paying.client):
        shown = await client(READ, {"id": earner.provider_id})
        assert (shown["payoutAccount"], shown["balance"], shown["payouts"]["edges"]) == (None, [], [])
        answer = await client.raw(NODE, {"id": payout_id})
        nobody = await client.raw(NODE, {"id": encode_id(IdKind.PAYOUT, new_id())})
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        assert answer["errors"][0]["message"] == nobody["errors"][0]["message"]
    for client in (stranger, elsewhere):
        assert (await client(LIST, {"id": earner.shop.organization_id}))["edges"] == []
    answer = await paying.client.raw(LIST, {"id": earner.shop.organization_id})
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def _linked(earner: Earner) -> Any:
    """Who acts as the provider."""
    query = "SELECT u.id FROM user_account u JOIN provider p ON p.user_id = u.id WHERE p.id = :id"
    [row] = await earner.paying.rows(query, id=earner.provider)
    services = earner.paying.api.api.services
    token, _ = services.tokens.access_token(row["id"], earner.now())
    return type("Linked", (), {"token": token})


async def test_pages_and_filters(earner: Earner) -> None:
    client, organization = earner.owner.client, earner.shop.organization_id
    for day in (2, 10):
        await earner.given(at(day, 10))
        earner.wait()
        await earner.paid_out()
    first = await client(LIST, {"id": organization, "first": 1})
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (2, True)
    second = await client(LIST, {"id": organization, "first": 1, "after": first["edges"][0]["cursor"]})
    assert second["edges"][0]["node"]["id"] < first["edges"][0]["node"]["id"]
    for wanted, count in (
        ({"statuses": ["SENT"]}, 2),
        ({"statuses": ["CANCELLED"]}, 0),
        ({"currency": "ARS"}, 0),
        ({"providerId": earner.provider_id}, 2),
        ({"providerId": earner.shop.provider_ids[1]}, 0),
    ):
        assert (await client(LIST, {"id": organization, "filter": wanted}))["totalCount"] == count, wanted
    for bad in ({"providerId": "svc_1"}, {"currency": "US\0"}):
        answer = await client.raw(LIST, {"id": organization, "filter": bad})
        assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT", bad


async def test_statements_do_not_grow_with_the_payouts(earner: Earner) -> None:
    for day in (2, 10):
        await earner.given(at(day, 10), at(day, 11))
        earner.wait()
        await earner.paid_out()
    log, stop = log_statements(earner.paying.api.api.services.database)
    await earner.owner.client(READ, {"id": earner.provider_id})
    assert len(log) <= 18, log.statements
    for ask, most in (
        (earner.owner.client(LIST, {"id": earner.shop.organization_id}), 5),
        (call(earner.owner.client, "holdPayouts", providerId=earner.provider_id, reason="x"), 5),
        (call(earner.owner.client, "resumePayouts", providerId=earner.provider_id), 4),
    ):
        log.clear()
        await ask
        assert len(log) <= most, log.statements
    stop()


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────────


async def test_payouts_are_stopped_and_set_going(earner: Earner) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    client = earner.owner.client
    held = await call(client, "holdPayouts", providerId=earner.provider_id, reason="Asked by the bank")
    assert (held["account"]["holdReason"], held["account"]["status"]) == ("Asked by the bank", "ACTIVE")
    await earner.send(payout)
    assert [row["status"] for row in await earner.payouts()] == ["cancelled"]
    assert await earner.plan() is None
    assert await earner.received() == 0
    resumed = await call(client, "resumePayouts", providerId=earner.provider_id)
    assert resumed["account"]["heldAt"] is None
    assert (await earner.paid_out()).amount_minor == SHARE
    audit = "SELECT action, actor, reason FROM audit_entry WHERE subject_id = :id AND action LIKE '%.held' OR"
    rows = await earner.paying.rows(
        f"{audit} subject_id = :id AND action LIKE '%.resumed' ORDER BY id", id=earner.provider
    )
    assert [(row["action"], row["actor"]) for row in rows] == [
        ("payout_account.held", "owner"),
        ("payout_account.resumed", "owner"),
    ]
    assert rows[0]["reason"] == "Asked by the bank"


async def _stuck(earner: Earner) -> str:
    """One that waits for a person; its public id."""
    await earner.given(at(2, 10))
    earner.wait()
    payout = await earner.planned()
    await earner.paying.sandbox.control("faults", kind="error", match="POST /v1/transfers", status=503)
    for _ in range(MOST_ATTEMPTS):
        await earner.send(payout)
        earner.wait(timedelta(hours=6))
    await earner.paying.sandbox.http.delete("/_sandbox/faults")
    return encode_id(IdKind.PAYOUT, payout.id)


async def test_one_that_needs_attention_is_tried_again(earner: Earner) -> None:
    payout_id = await _stuck(earner)
    client = earner.owner.client
    shown = await client(NODE, {"id": payout_id})
    assert (shown["status"], shown["nextAttemptAt"]) == ("NEEDS_ATTENTION", None)
    assert shown["failure"]
    # What may have been sent is not called off.
    refused = await call(client, "cancelPayout", payoutId=payout_id, reason="Lost patience")
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "payout_unanswered")
    for _ in range(2):
        again = await call(client, "retryPayout", payoutId=payout_id, key="once")
        assert again["payout"]["id"] == payout_id
    await earner.paying.work("execute_payout")
    assert (await client(NODE, {"id": payout_id}))["status"] == "SENT"
    assert await earner.received() == SHARE
    assert (await call(client, "retryPayout", payoutId=payout_id))["rule"] == "payout_status"


async def test_one_of_which_nothing_was_sent_is_called_off(earner: Earner) -> None:
    await earner.given(at(2, 10))
    earner.wait()
    payout_id = encode_id(IdKind.PAYOUT, (await earner.planned()).id)
    client = earner.owner.client
    cancelled = await call(client, "cancelPayout", payoutId=payout_id, reason="Wrong account")
    assert (cancelled["payout"]["status"], cancelled["payout"]["failure"]) == ("CANCELLED", "Wrong account")
    assert await earner.owed() == SHARE
    assert (await call(client, "cancelPayout", payoutId=payout_id, reason="Again"))["rule"] == "payout_status"
    assert (await earner.paid_out()).number == 2


async def test_who_may_do_it(earner: Earner, paying: Paying) -> None:
    payout_id = await _stuck(earner)
    staff = (await colleague(paying.client, earner.shop, Role.STAFF)).client
    admin = (await colleague(paying.client, earner.shop, Role.ADMIN)).client
    provider = paying.client.signed_in((await _linked(earner)).token)
    stranger = (await account(paying.client, earner.shop, "eve")).client
    elsewhere = (await make_earner(paying)).owner.client
    operations: list[tuple[str, dict[str, str]]] = [
        ("holdPayouts", {"providerId": earner.provider_id, "reason": "x"}),
        ("resumePayouts", {"providerId": earner.provider_id}),
        ("retryPayout", {"payoutId": payout_id}),
        ("cancelPayout", {"payoutId": payout_id, "reason": "x"}),
    ]
    for operation, values in operations:
        assert (await call(staff, operation, **values))["rule"] == "role", operation
        for client in (provider, stranger, elsewhere):
            assert (await call(client, operation, **values))["code"] == "NOT_FOUND", operation
    assert (await call(admin, "holdPayouts", **operations[0][1]))["account"]["heldAt"]


async def test_a_reason_is_one_line_of_text(earner: Earner) -> None:
    client, provider_id = earner.owner.client, earner.provider_id
    for reason in ("", " ", "x" * 501, "two\nlines", "\u202e"):
        answer = await call(client, "holdPayouts", providerId=provider_id, reason=reason)
        assert [one["path"] for one in answer["violations"]] == ["input.reason"], repr(reason)
    assert (await call(client, "holdPayouts", providerId=provider_id, reason="😀"))["account"]["holdReason"] == "😀"
    # A provider without an account has no payouts to stop.
    nobody = await call(client, "holdPayouts", providerId=earner.shop.provider_ids[1], reason="x")
    assert nobody["code"] == "NOT_FOUND"
