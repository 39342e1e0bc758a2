"""Signing up, signing in, and the viewer."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from app.core.database import Database
from app.core.passwords import Passwords
from app.resolvers import account
from app.resolvers.context import Services
from tests.factories import Someone, make_organization, someone
from tests.fixtures_api import GraphQLClient, RunningApi, make_settings, serve

USER = "id email name locale timeZone memberships { id role organization { id slug } }"
SESSION = f"... on AuthSession {{ accessToken refreshToken expiresAt user {{ {USER} }} }}"
REFUSALS = "... on Error { code message } ... on InvalidInput { violations { path message } }"
SIGN_UP = (
    "mutation ($email: String!, $password: String!, $name: String!) {"
    f" signUp(email: $email, password: $password, name: $name) {{ __typename {SESSION} {REFUSALS}"
    " ... on RateLimited { retryAfterSeconds } } }"
)
SIGN_IN = (
    "mutation ($email: String!, $password: String!) { signIn(email: $email, password: $password) {"
    f" __typename {SESSION} ... on Error {{ code message }} ... on NotAllowed {{ rule }}"
    " ... on RateLimited { retryAfterSeconds } } }"
)
VIEWER = f"{{ viewer {{ {USER} }} }}"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good hash takes a good part of a second. The first test has those of the product."""
    if request.function is not test_sign_up_then_sign_in:
        monkeypatch.setattr(account, "PASSWORDS", Passwords(PasswordHasher(1, memory_cost=64, parallelism=1)))


def address() -> str:
    return f"{uuid4().hex}@example.com"


async def sign_up(client: GraphQLClient, email: str, **changes: Any) -> Any:
    headers = changes.pop("headers", {})
    return await client(SIGN_UP, {"email": email, "password": PASSWORD, "name": "Ana", **changes}, **headers)


async def sign_in(client: GraphQLClient, email: str, password: str = PASSWORD) -> Any:
    return await client(SIGN_IN, {"email": email, "password": password})


async def test_sign_up_then_sign_in(client: GraphQLClient) -> None:
    email = address()
    session = await sign_up(client, f" {email.upper()} ", name="  Ana María ")
    assert session["__typename"] == "AuthSession"
    assert session["refreshToken"] is None
    assert session["expiresAt"].endswith("Z")
    user = session["user"]
    assert user["id"].startswith("usr_")
    assert {key: user[key] for key in ("email", "name", "locale", "timeZone", "memberships")} == {
        "email": email,
        "name": "Ana María",
        "locale": "en",
        "timeZone": "UTC",
        "memberships": [],
    }
    assert (await client.signed_in(session["accessToken"])(VIEWER))["id"] == user["id"]
    again = await sign_in(client, email.title())
    assert again["user"]["id"] == user["id"]
    assert (await client.signed_in(again["accessToken"])(VIEWER))["email"] == email


async def test_viewer_is_none_for_a_guest(client: GraphQLClient) -> None:
    assert await client(VIEWER) is None


async def test_memberships_are_shown_with_the_session(client: GraphQLClient) -> None:
    email = address()
    session = await sign_up(client, email)
    organization = await make_organization(client.signed_in(session["accessToken"]))
    (membership,) = (await sign_in(client, email))["user"]["memberships"]
    assert membership["role"] == "OWNER"
    assert membership["organization"] == {"id": organization["id"], "slug": organization["slug"]}


async def test_a_taken_email_is_refused_whatever_its_case(client: GraphQLClient) -> None:
    email = address()
    await sign_up(client, email)
    refusal = await sign_up(client, email.upper())
    assert refusal["violations"] == [{"path": "email", "message": "has an account already; sign in instead"}]


async def test_two_sign_ups_at_once_make_one_account(client: GraphQLClient) -> None:
    email = address()
    results = await asyncio.gather(*(sign_up(client, email) for _ in range(4)))
    assert sorted(result["__typename"] for result in results) == ["AuthSession", *["InvalidInput"] * 3]


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"password": "short"}, {"password"}),
        ({"password": "ñ" * 9 + "é"}, set()),
        ({"password": "x" * 201}, {"password"}),
        ({"password": "aaaaaaaaaaaa"}, {"password"}),
        ({"name": " \u200b "}, {"name"}),
        ({"name": "Ana\u0007"}, {"name"}),
        ({"name": "A\u202egnp"}, {"name"}),
        ({"name": "x" * 201}, {"name"}),
        ({"email": "nobody"}, {"email"}),
        ({"email": "a@b"}, {"email"}),
        ({"email": "a b@example.com"}, {"email"}),
        ({"email": f"{'a' * 250}@example.com"}, {"email"}),
        ({"email": "", "password": "", "name": ""}, {"email", "password", "name"}),
    ],
)
async def test_what_cannot_sign_up(client: GraphQLClient, changes: dict[str, str], paths: set[str]) -> None:
    result = await sign_up(
        client, changes.get("email", address()), **{k: v for k, v in changes.items() if k != "email"}
    )
    assert {violation["path"] for violation in result.get("violations", [])} == paths


async def test_the_password_may_not_be_the_email(client: GraphQLClient) -> None:
    email = address()
    refusal = await sign_up(client, email, password=email.upper())
    assert [violation["path"] for violation in refusal["violations"]] == ["password"]


async def test_wrong_password_and_unknown_email_look_the_same(client: GraphQLClient) -> None:
    email = address()
    await sign_up(client, email)
    wrong = await sign_in(client, email, "wrong password")
    unknown = await sign_in(client, address(), "wrong password")
    impossible = await sign_in(client, "no address\u202e", "x" * 5_000)
    assert wrong == unknown == impossible
    assert (wrong["__typename"], wrong["rule"]) == ("NotAllowed", "credentials")


async def test_a_password_is_the_same_however_its_accents_are_written(client: GraphQLClient) -> None:
    email = address()
    await sign_up(client, email, password="contrase\u00f1a larga")
    assert (await sign_in(client, email, "contrasen\u0303a larga"))["__typename"] == "AuthSession"


async def test_a_repeated_sign_up_gives_the_same_account(client: GraphQLClient, services: Services) -> None:
    email, key = address(), {"Idempotency-Key": str(uuid4())}
    first = await sign_up(client, email, headers=key)
    second = await sign_up(client, email, headers=key)
    assert second["user"]["id"] == first["user"]["id"]
    assert second["accessToken"]
    for changes in ({"password": "another password"}, {"name": "Eva"}):
        assert (await sign_up(client, email, headers=key, **changes))["__typename"] == "IdempotencyConflict"
    async with services.database.transaction() as tx:
        kept = (
            await tx.execute(
                text("SELECT response::text FROM idempotency_key WHERE key = :key"), {"key": key["Idempotency-Key"]}
            )
        ).scalar_one()
    assert PASSWORD not in kept
    assert first["accessToken"] not in kept


async def test_outdated_hashes_are_renewed(client: GraphQLClient, database_url: str) -> None:
    email = address()
    await sign_up(client, email)
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    database = Database(database_url, role=None, pool_size=1)
    read = text("SELECT password_hash FROM user_account WHERE email = :email")
    try:
        async with database.transaction() as tx:
            await tx.execute(
                text("UPDATE user_account SET password_hash = :weak WHERE email = :email"),
                {"weak": weak, "email": email},
            )
        assert (await sign_in(client, email))["__typename"] == "AuthSession"
        async with database.transaction() as tx:
            renewed = (await tx.execute(read, {"email": email})).scalar_one()
    finally:
        await database.dispose()
    assert renewed != weak
    assert (await sign_in(client, email))["__typename"] == "AuthSession"


async def test_limits_on_guessing_and_on_new_accounts(database_url: str, redis_url: str, http: Any) -> None:
    settings = make_settings(database_url, redis_url, sign_in_limit=3, sign_up_limit=2)
    async with serve(settings) as running:
        client = GraphQLClient(http, running.graphql_url)
        email = address()
        assert (await sign_up(client, email))["__typename"] == "AuthSession"
        results = await asyncio.gather(*(sign_in(client, email, "wrong password") for _ in range(5)))
        assert sorted(result["__typename"] for result in results) == ["NotAllowed"] * 3 + ["RateLimited"] * 2
        limited = await sign_in(client, email)
        assert limited["__typename"] == "RateLimited"
        assert 1 <= limited["retryAfterSeconds"] <= 900
        assert (await sign_in(client, address()))["__typename"] == "NotAllowed"
        assert (await sign_up(client, address()))["__typename"] == "AuthSession"
        assert (await sign_up(client, address()))["__typename"] == "RateLimited"


async def test_a_success_is_no_failure(database_url: str, redis_url: str, http: Any) -> None:
    async with serve(make_settings(database_url, redis_url, sign_in_limit=3)) as running:
        client = GraphQLClient(http, running.graphql_url)
        email = address()
        await sign_up(client, email)
        for password in ["wrong password"] * 2 + [PASSWORD] * 5 + ["wrong password"] * 2 + [PASSWORD]:
            expected = "AuthSession" if password == PASSWORD else "NotAllowed"
            assert (await sign_in(client, email, password))["__typename"] == expected


async def test_one_network_is_limited_whatever_the_email(database_url: str, redis_url: str, http: Any) -> None:
    """Each host of an IPv6 network counts for all of it; other networks go on."""
    settings = make_settings(
        database_url, redis_url, sign_in_limit_per_address=3, sign_up_limit=2, trusted_proxies=["127.0.0.1"]
    )
    network = f"2001:db8:{secrets.randbelow(65_536):x}:{secrets.randbelow(65_536):x}"
    elsewhere = f"2001:db9:{secrets.randbelow(65_536):x}::1"
    async with serve(settings) as running:
        client = GraphQLClient(http, running.graphql_url)

        async def attempt(query: str, host: str) -> str:
            variables = {"email": address(), "password": PASSWORD, **({"name": "Ana"} if query == SIGN_UP else {})}
            return str((await client(query, variables, **{"X-Forwarded-For": host}))["__typename"])

        assert [await attempt(SIGN_IN, f"{network}::{n}") for n in range(5)] == ["NotAllowed"] * 3 + ["RateLimited"] * 2
        assert [await attempt(SIGN_UP, f"{network}::{n}") for n in range(3)] == ["AuthSession"] * 2 + ["RateLimited"]
        assert await attempt(SIGN_IN, elsewhere) == "NotAllowed"
        assert await attempt(SIGN_UP, elsewhere) == "AuthSession"


async def test_a_person_is_a_node_for_themselves_alone(
    client: GraphQLClient, owner: Someone, services: Services
) -> None:
    query = "query ($id: ID!) { node(id: $id) { __typename id } }"
    assert await owner.client(query, {"id": owner.id}) == {"__typename": "User", "id": owner.id}
    stranger = await someone(services, client)
    for asking in (client, stranger.client):
        answer = await asking.raw(query, {"id": owner.id})
        assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}


async def test_a_gone_account_is_told_to_sign_up_again(running: RunningApi, client: GraphQLClient) -> None:
    services = running.api.services
    token, _ = services.tokens.access_token(uuid4(), services.clock.now())
    signed_in = client.signed_in(token)
    assert await signed_in(VIEWER) is None
    answer = await signed_in.raw(
        'mutation { createOrganization(input: {name: "A", slug: "gone-account", currency: "ARS"}) { __typename } }'
    )
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
