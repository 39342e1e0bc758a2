"""Organizations and their members."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.resolvers.context import Services
from tests.factories import Catalogue, Someone, call, join, make, make_organization, mutation, refused, slug, someone
from tests.fixtures_api import GraphQLClient

READ = "query ($id: ID, $slug: String) { organization(id: $id, slug: $slug) { id slug name } }"


async def test_whoever_makes_it_owns_it(owner: Someone, client: GraphQLClient) -> None:
    name = slug()
    made = await make(
        owner.client,
        "createOrganization",
        name=" Barbería  ",
        slug=name,
        currency="ARS",
        locale="es-AR",
        country="AR",
    )
    assert {key: made[key] for key in ("name", "slug", "currency", "locale", "country")} == {
        "name": "Barbería",
        "slug": name,
        "currency": "ARS",
        "locale": "es-AR",
        "country": "AR",
    }
    viewer = await owner.client("{ viewer { memberships { role organization { id } } } }")
    assert viewer["memberships"] == [{"role": "OWNER", "organization": {"id": made["id"]}}]
    for variables in ({"id": made["id"]}, {"slug": name}):
        assert (await client(READ, variables))["id"] == made["id"]


async def test_exactly_one_name(client: GraphQLClient, catalogue: Catalogue) -> None:
    for variables in ({}, {"id": catalogue.id, "slug": catalogue.organization["slug"]}):
        answer = await client.raw(READ, variables)
        assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"


@pytest.mark.parametrize("name", ["no-such-shop", "Not A Slug", "", "x" * 100, "é"])
async def test_unknown_slugs(client: GraphQLClient, name: str) -> None:
    answer = await client.raw(READ, {"slug": name})
    assert answer["data"] == {"organization": None}
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}


async def test_ids_of_the_wrong_kind_name_the_right_one(client: GraphQLClient, catalogue: Catalogue) -> None:
    answer = await client.raw(READ, {"id": catalogue.venue["id"]})
    (violation,) = answer["errors"][0]["extensions"]["violations"]
    assert violation["path"] == "id"
    assert "org_" in violation["message"]


async def test_guests_make_nothing(client: GraphQLClient) -> None:
    values = {"input": {"name": "A", "slug": "a-guest", "currency": "ARS"}}
    answer = await client.raw(mutation("createOrganization"), values)
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"slug": "Mayúscula"}, {"input.slug"}),
        ({"slug": "-a"}, {"input.slug"}),
        ({"currency": "ars"}, {"input.currency"}),
        ({"currency": "XAU"}, {"input.currency"}),
        ({"locale": "english"}, {"input.locale"}),
        ({"locale": "es-XX"}, {"input.locale"}),
        ({"country": "ar"}, {"input.country"}),
        ({"country": "ZZ"}, {"input.country"}),
        ({"template": "barber"}, {"input.template"}),
        ({"name": "\t", "slug": "", "currency": ""}, {"input.name", "input.slug", "input.currency"}),
    ],
)
async def test_what_it_cannot_be(owner: Someone, values: dict[str, str], paths: set[str]) -> None:
    facts: dict[str, Any] = {"name": "A", "slug": slug(), "currency": "ARS", **values}
    assert set(await refused(owner.client, "createOrganization", **facts)) == paths


async def test_null_where_there_is_a_default(owner: Someone) -> None:
    made = await make_organization(owner.client, locale=None, country=None, template=None)
    assert made["locale"] == "en"


async def test_slugs_are_unique(owner: Someone, catalogue: Catalogue) -> None:
    taken = catalogue.organization["slug"]
    facts = {"name": "A", "slug": taken, "currency": "ARS"}
    assert await refused(owner.client, "createOrganization", **facts) == {"input.slug": "is taken; choose another"}
    other = await make_organization(owner.client)
    assert set(await refused(owner.client, "updateOrganization", organizationId=other["id"], slug=taken)) == {
        "input.slug"
    }


async def test_a_repeated_key_makes_one(owner: Someone) -> None:
    facts = {"name": "A", "slug": slug(), "currency": "ARS", "idempotencyKey": "one"}
    first = await make(owner.client, "createOrganization", **facts)
    assert await make(owner.client, "createOrganization", **facts) == first
    conflict = await call(owner.client, "createOrganization", **{**facts, "name": "B"})
    assert conflict["__typename"] == "IdempotencyConflict"


async def test_update_changes_what_is_given(catalogue: Catalogue) -> None:
    client = catalogue.owner.client
    changed = await make(client, "updateOrganization", organizationId=catalogue.id, name="Otra", country="UY")
    assert changed == {**catalogue.organization, "name": "Otra", "country": "UY"}
    changed = await make(client, "updateOrganization", organizationId=catalogue.id, country=None)
    assert changed["country"] is None
    refusal = await refused(client, "updateOrganization", organizationId=catalogue.id, name=None, slug=None)
    assert set(refusal) == {"input.name", "input.slug"}


# ── members ───────────────────────────────────────────────────────────────────────────────────────────


async def test_who_may_change_the_organization(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    admin = await join(services, catalogue, client, "ADMIN")
    staff = await join(services, catalogue, client, "STAFF")
    stranger = await someone(services, client)
    for person, expected in ((admin, "UpdateOrganizationPayload"), (staff, "NotAllowed"), (stranger, "NotFound")):
        result = await call(person.client, "updateOrganization", organizationId=catalogue.id, name="Nuevo")
        assert result["__typename"] == expected


@pytest.mark.parametrize("case", ["ADMIN STAFF yes", "ADMIN ADMIN no", "ADMIN OWNER no", "STAFF STAFF no"])
async def test_who_may_add_whom(catalogue: Catalogue, services: Services, client: GraphQLClient, case: str) -> None:
    giver, role, expected = case.split()
    member = await join(services, catalogue, client, giver)
    newcomer = await someone(services, client)
    result = await call(member.client, "addMember", organizationId=catalogue.id, email=newcomer.email, role=role)
    assert result["__typename"] == ("AddMemberPayload" if expected == "yes" else "NotAllowed")


async def test_members_are_added_once_and_by_an_account(catalogue: Catalogue, services: Services, client: Any) -> None:
    owner = catalogue.owner.client
    staff = await join(services, catalogue, client, "STAFF")
    for email in (staff.email, "nobody.at.all@example.com", "no address"):
        assert set(await refused(owner, "addMember", organizationId=catalogue.id, email=email)) == {"input.email"}


async def test_a_removed_member_sees_nothing_more(catalogue: Catalogue, services: Services, client: Any) -> None:
    staff = await join(services, catalogue, client, "STAFF")
    facts = {"organizationId": catalogue.id, "userId": staff.id, "idempotencyKey": "remove"}
    removed = await call(catalogue.owner.client, "removeMember", **facts)
    assert removed["__typename"] == "RemoveMemberPayload"
    assert await call(catalogue.owner.client, "removeMember", **facts) == removed
    del facts["idempotencyKey"]
    assert (await call(catalogue.owner.client, "removeMember", **facts))["__typename"] == "NotFound"
    result = await call(staff.client, "updateOrganization", organizationId=catalogue.id, name="Mía")
    assert result["__typename"] == "NotFound"


async def test_one_owner_stays(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    first, second = catalogue.owner, await join(services, catalogue, client, "OWNER")
    admin = await join(services, catalogue, client, "ADMIN")
    refusal = await call(admin.client, "removeMember", organizationId=catalogue.id, userId=first.id)
    assert refusal["rule"] == "role"
    # Each removes the other at the same moment: one of them stays.
    results = await asyncio.gather(
        call(first.client, "removeMember", organizationId=catalogue.id, userId=second.id),
        call(second.client, "removeMember", organizationId=catalogue.id, userId=first.id),
    )
    names = sorted(result["__typename"] for result in results)
    assert names[1] == "RemoveMemberPayload"
    assert names[0] in {"NotAllowed", "NotFound"}
    left = first if results[0]["__typename"] == "RemoveMemberPayload" else second
    refusal = await call(left.client, "removeMember", organizationId=catalogue.id, userId=left.id)
    assert refusal["rule"] == "last_owner"


async def test_anyone_may_leave(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    staff = await join(services, catalogue, client, "STAFF")
    facts = {"organizationId": catalogue.id, "userId": staff.id, "idempotencyKey": "leave"}
    left = await call(staff.client, "removeMember", **facts)
    assert left["__typename"] == "RemoveMemberPayload"
    assert await call(staff.client, "removeMember", **facts) == left
