"""startProviderOnboarding and refreshPayoutAccount; what the processor tells of an account, in any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.checkout.payout_account import refresh_account
from app.commands.actor import SYSTEM
from app.commands.payout_account import note_account
from app.domain.membership import Role
from app.gateway import AccountSnapshot
from app.queries.availability import get_service_plan
from tests.fixtures_api import GraphQLClient
from tests.journey import account, colleague
from tests.paying import Paying
from tests.payouts import Earner, make_earner
from tests.shop import at, make_person

ACCOUNT = "status processor country isPayee requirements disabledReason"
ERRORS = "... on Error { code message } ... on NotAllowed { rule }"
START = f"""
mutation ($input: StartProviderOnboardingInput!) {{ startProviderOnboarding(input: $input) {{ __typename
  ... on StartProviderOnboardingPayload {{ account {{ {ACCOUNT} }} url expiresAt }}
  {ERRORS} ... on InvalidInput {{ violations {{ path message }} }} }} }}
"""
REFRESH = f"""
mutation ($input: RefreshPayoutAccountInput!) {{ refreshPayoutAccount(input: $input) {{ __typename
  ... on RefreshPayoutAccountPayload {{ account {{ {ACCOUNT} }} }} {ERRORS} }} }}
"""


@pytest.fixture
async def earner(paying: Paying) -> Earner:
    """Whose provider has no account at the processor yet."""
    return await make_earner(paying, onboarded=False, linked=await make_person(paying.api.api.services, "ana"))


async def start(client: GraphQLClient, provider_id: str, **values: Any) -> dict[str, Any]:
    wanted = {"providerId": provider_id, "country": "US", **values}
    answer: dict[str, Any] = await client(START, {"input": wanted})
    return answer


async def refresh(client: GraphQLClient, provider_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = await client(REFRESH, {"input": {"providerId": provider_id}})
    return answer


async def accounts(earner: Earner) -> list[Any]:
    """All that the processor has for the provider."""
    listed = await earner.paying.sandbox.v1.accounts.list_async({"limit": 100})
    wanted = str(earner.provider)
    return [one for one in listed.data if one.metadata.to_dict().get("turnero_provider") == wanted]


async def fill_in(earner: Earner, url: str) -> None:
    """The owner fills in the processor's form."""
    link = url.rpartition("/")[2]
    await earner.paying.sandbox.control(f"onboard/{link}/finish", outcome="complete")


async def test_a_provider_comes_to_be_paid_out(earner: Earner, paying: Paying) -> None:
    client = earner.owner.client
    begun = await start(client, earner.provider_id, email="ana@example.com")
    assert begun["account"] | {"requirements": []} == {
        "status": "ONBOARDING",
        "processor": "stripe",
        "country": "US",
        "isPayee": False,
        "requirements": [],
        "disabledReason": "requirements.past_due",
    }
    assert begun["account"]["requirements"]
    assert datetime.fromisoformat(begun["expiresAt"]) > datetime.now(UTC)
    await fill_in(earner, begun["url"])
    await paying.pass_on()
    again = await start(client, earner.provider_id)
    assert (again["account"]["status"], again["account"]["isPayee"]) == ("ACTIVE", True)
    assert again["url"] != begun["url"]
    [one] = await accounts(earner)
    assert one.email == "ana@example.com"


async def test_there_is_one_account_however_often_it_is_asked_for(earner: Earner) -> None:
    client = earner.owner.client
    answers = await earner.at_once(*(start(client, earner.provider_id) for _ in range(5)))
    assert {one["__typename"] for one in answers} == {"StartProviderOnboardingPayload"}, answers
    assert len(await accounts(earner)) == 1
    wanted = {"idempotencyKey": "7d8f0a52-3d2c-4f7e-9c65-0a3d9a5d7d31"}
    first, second = [await start(client, earner.provider_id, **wanted) for _ in range(2)]
    assert first["url"] != second["url"]  # each is used once
    other = await start(client, earner.provider_id, email="other@example.com", **wanted)
    assert other["__typename"] == "IdempotencyConflict"


@pytest.mark.parametrize("kind", ["lost_answer", "lost_to_error"])
async def test_an_answer_that_is_lost_opens_no_second_account(earner: Earner, paying: Paying, kind: str) -> None:
    await paying.sandbox.control("faults", kind=kind, match="POST /v1/accounts", times=2)
    answer = await earner.owner.client.raw(START, {"input": {"providerId": earner.provider_id, "country": "US"}})
    assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert (await start(earner.owner.client, earner.provider_id))["url"]
    assert len(await accounts(earner)) == 1


async def test_who_may_open_it(earner: Earner, paying: Paying) -> None:
    [row] = await paying.rows("SELECT user_id FROM provider WHERE id = :id", id=earner.provider)
    token, _ = paying.api.api.services.tokens.access_token(row["user_id"], earner.now())
    staff = (await colleague(paying.client, earner.shop, Role.STAFF)).client
    stranger = (await account(paying.client, earner.shop, "eve")).client
    elsewhere = (await make_earner(paying, onboarded=False)).owner.client
    for ask in (start, refresh):
        assert (await ask(staff, earner.provider_id))["rule"] == "role"
        for client in (stranger, elsewhere):
            assert (await ask(client, earner.provider_id))["code"] == "NOT_FOUND"
    assert await accounts(earner) == []
    assert (await refresh(earner.owner.client, earner.provider_id))["code"] == "NOT_FOUND"  # there is none yet
    assert (await start(paying.client.signed_in(token), earner.provider_id))["url"]
    answer = await paying.client.raw(START, {"input": {"providerId": earner.provider_id}})
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_hostile_values_are_refused_by_their_path(earner: Earner, paying: Paying) -> None:
    client = earner.owner.client
    for values, path in (
        ({"country": "us"}, "input.country"),
        ({"country": "XX"}, "input.country"),
        ({"country": ""}, "input.country"),
        ({"country": None}, "input.country"),  # nor has the organization one
        ({"email": "nobody"}, "input.email"),
        ({"email": "😀@example.com" * 50}, "input.email"),
    ):
        answer = await start(client, earner.provider_id, **values)
        assert [one["path"] for one in answer["violations"]] == [path], (values, answer)
    for wrong in ("prv_1", "svc_01h2xcejqtf2nbrexx3vqjhp41", ""):
        answer = await client.raw(START, {"input": {"providerId": wrong}})
        assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"
    assert await paying.rows("SELECT 1 FROM payout_account WHERE provider_id = :id", id=earner.provider) == []


async def test_where_the_processor_pays_the_organization_itself_there_is_none(earner: Earner, paying: Paying) -> None:
    put = "INSERT INTO payment_settings (organization_id, processor) VALUES (:id, 'mercadopago') RETURNING 1"
    await paying.rows(put, id=earner.shop.organization_uuid)
    answer = await start(earner.owner.client, earner.provider_id)
    assert answer["rule"] in {"payouts_unavailable", "pay_now_unavailable"}


# ── what the processor tells ──────────────────────────────────────────────────────────────────────────


async def test_webhooks_in_any_order_end_in_what_is_true_now(earner: Earner, paying: Paying) -> None:
    account_id = await earner.open()
    await paying.collected()
    for state in ("onboarded", "restricted", "onboarded"):
        await paying.sandbox.control(f"accounts/{account_id}/state", state=state)
    told = await paying.collected()
    assert len(told) == 3
    for delivery in (told[2], told[0], told[1], told[0]):
        assert (await paying.deliver(delivery)).status_code == 200
        await paying.work("process_payment_event")
    assert (await refresh(earner.owner.client, earner.provider_id))["account"]["status"] == "ACTIVE"
    await paying.sandbox.control(f"accounts/{account_id}/state", state="rejected")
    await paying.pass_on()
    shown = await refresh(earner.owner.client, earner.provider_id)
    # What is earned stays the provider's.
    assert (shown["account"]["status"], shown["account"]["isPayee"]) == ("REJECTED", True)
    outcomes = "SELECT DISTINCT outcome FROM processor_event WHERE object_id = :id"
    assert await paying.rows(outcomes, id=account_id) == [{"outcome": "applied"}]


async def test_an_older_answer_does_not_replace_a_newer_one(earner: Earner) -> None:
    account_id = await earner.onboard()
    now = earner.now()
    older = AccountSnapshot(account_id, False, False, False, False, earner.provider)
    async with earner.checkout.within(None) as tx:
        kept = await note_account(tx, earner.provider, older, seen_at=now - timedelta(minutes=5), actor=SYSTEM)
        assert kept.can_receive
        changed = await note_account(tx, earner.provider, older, seen_at=now + timedelta(minutes=5), actor=SYSTEM)
        assert not changed.can_receive


async def test_an_account_of_somebody_else_changes_nothing(earner: Earner, paying: Paying) -> None:
    ours = await earner.onboard()
    await paying.collected()
    other = await paying.sandbox.account()
    claims = await paying.sandbox.account(metadata={"turnero_provider": str(earner.provider)})
    for account_id in (other, claims):
        await paying.sandbox.control(f"accounts/{account_id}/state", state="rejected")
    await paying.pass_on()
    kept = await refresh_account(earner.checkout, None, earner.provider)
    assert (kept.account_id, kept.can_receive) == (ours, True)


async def test_what_happens_inside_an_account_is_not_ours(earner: Earner, paying: Paying) -> None:
    account_id = await earner.onboard()
    await paying.collected()
    await paying.sandbox.v1.payment_intents.create_async(
        {
            "amount": 500,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "payment_method_types": ["card"],
            "confirm": True,
        },
        {"stripe_account": account_id},
    )
    told = await paying.collected()
    assert told
    for delivery in told:
        assert (await paying.deliver(delivery)).status_code == 200
    outcomes = "SELECT DISTINCT outcome FROM processor_event WHERE account = :id AND object_kind = 'payment'"
    assert await paying.rows(outcomes, id=account_id) == [{"outcome": "foreign_account"}]


async def test_who_is_a_payee(earner: Earner, paying: Paying) -> None:
    async def payees() -> frozenset[Any]:
        async with earner.checkout.within(None) as tx:
            day = at(5, 10).date()
            return (await get_service_plan(tx, earner.shop.service_uuids[0], None, day, day)).payees

    account_id = await earner.open()
    assert await payees() == frozenset()
    await earner.set_account(account_id, "onboarded")
    assert await payees() == {earner.provider}
    await earner.set_account(account_id, "restricted")
    assert await payees() == {earner.provider}
    elsewhere = "INSERT INTO payment_settings (organization_id, processor) VALUES (:id, 'mercadopago') RETURNING 1"
    await paying.rows(elsewhere, id=earner.shop.organization_uuid)
    assert await payees() == frozenset()
