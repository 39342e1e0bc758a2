"""Venues."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from app.core.ids import IdKind, decode_id
from app.resolvers.context import Services
from tests.factories import (
    Catalogue,
    call,
    join,
    make,
    make_provider,
    make_venue,
    mutation,
    refused,
    someone,
)
from tests.fixtures_api import GraphQLClient

READ = "query ($id: ID, $key: String) { venue(id: $id, embedKey: $key) { id embedKey isActive } }"


async def journal_of(services: Services, organization_id: str, subject_id: str, kind: IdKind) -> tuple[list[Any], Any]:
    """(audit rows, event types by subject) of one thing."""
    async with services.database.transaction() as tx:
        await tx.execute(
            text("SELECT set_config('app.organization_id', :id, true)"),
            {"id": str(decode_id(IdKind.ORGANIZATION, organization_id))},
        )
        audit = await tx.execute(
            text("SELECT action, before, after, actor FROM audit_entry WHERE subject_id = :id ORDER BY id"),
            {"id": decode_id(kind, subject_id)},
        )
        events = await tx.execute(text("SELECT type, subject_id::text AS subject FROM outbox_event ORDER BY id"))
        return list(audit.mappings()), [(row.type, row.subject) for row in events]


async def test_made_and_read(catalogue: Catalogue, client: GraphQLClient) -> None:
    made = await make_venue(
        catalogue.owner.client,
        catalogue.id,
        name="  Recoleta ",
        address="Av. Santa Fe 1234\r\nPiso 2",
        latitude=-34.59,
        longitude=-58.4,
    )
    assert made["name"] == "Recoleta"
    assert made["address"] == "Av. Santa Fe 1234\nPiso 2"
    assert (made["latitude"], made["longitude"], made["isActive"]) == (-34.59, -58.4, True)
    assert len(made["embedKey"]) >= 20
    assert (await client(READ, {"id": made["id"]}))["embedKey"] is None
    assert (await client(READ, {"key": made["embedKey"]}))["id"] == made["id"]


@pytest.mark.parametrize("variables", [{}, {"id": "ven_01h2xcejqtf2nbrexx3vqjhp41", "key": "x"}])
async def test_exactly_one_name(client: GraphQLClient, variables: dict[str, str]) -> None:
    answer = await client.raw(READ, variables)
    assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"


@pytest.mark.parametrize(
    "variables", [{"id": "ven_01h2xcejqtf2nbrexx3vqjhp41"}, {"key": "no-such-key"}, {"key": "é"}, {"key": ""}]
)
async def test_unknown(client: GraphQLClient, variables: dict[str, str]) -> None:
    answer = await client.raw(READ, variables)
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"latitude": 1.0}, {"input.longitude"}),
        ({"longitude": 1.0}, {"input.latitude"}),
        ({"latitude": 90.1, "longitude": 0.0}, {"input.latitude"}),
        ({"latitude": 0.0, "longitude": -181.0}, {"input.longitude"}),
        ({"address": "x" * 501}, {"input.address"}),
        ({"address": "a\x1bb"}, {"input.address"}),
        ({"name": "", "latitude": 100.0, "longitude": 200.0}, {"input.name", "input.latitude", "input.longitude"}),
    ],
)
async def test_what_it_cannot_be(catalogue: Catalogue, values: dict[str, Any], paths: set[str]) -> None:
    facts: dict[str, Any] = {"name": "A", "timeZone": "UTC", **values}
    assert set(await refused(catalogue.owner.client, "createVenue", organizationId=catalogue.id, **facts)) == paths


@pytest.mark.parametrize("zone", ["Buenos Aires", "Mars/Olympus", "../etc/passwd", "", "UTC+3"])
async def test_zones_that_are_none(catalogue: Catalogue, zone: str) -> None:
    values = {"input": {"organizationId": catalogue.id, "name": "A", "timeZone": zone}}
    answer = await catalogue.owner.client.raw(mutation("createVenue"), values)
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert error["extensions"]["violations"][0]["path"] == "input.timeZone"


async def test_an_update_is_judged_as_a_whole(catalogue: Catalogue) -> None:
    client, venue = catalogue.owner.client, catalogue.venue["id"]
    assert set(await refused(client, "updateVenue", venueId=venue, latitude=1.0)) == {"input.longitude"}
    placed = await make(client, "updateVenue", venueId=venue, latitude=1.0, longitude=2.0)
    assert (placed["latitude"], placed["longitude"]) == (1.0, 2.0)
    assert set(await refused(client, "updateVenue", venueId=venue, longitude=None)) == {"input.longitude"}
    moved = await make(client, "updateVenue", venueId=venue, latitude=None, longitude=None, timeZone="UTC")
    assert (moved["latitude"], moved["longitude"], moved["timeZone"]) == (None, None, "UTC")
    assert set(await refused(client, "updateVenue", venueId=venue, name=None, timeZone=None)) == {
        "input.name",
        "input.timeZone",
    }


async def test_who_may_do_what(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    people = {
        "CreateVenuePayload": await join(services, catalogue, client, "ADMIN"),
        "NotAllowed": await join(services, catalogue, client, "STAFF"),
        "NotFound": await someone(services, client),
    }
    facts = {"organizationId": catalogue.id, "name": "A", "timeZone": "UTC"}
    for expected, person in people.items():
        result = await call(person.client, "createVenue", **facts)
        assert result["__typename"] == expected
        if expected == "NotAllowed":
            assert result["rule"] == "role"
    hidden = await call(people["NotFound"].client, "updateVenue", venueId=catalogue.venue["id"], name="A")
    unknown = await call(people["NotFound"].client, "updateVenue", venueId="ven_01h2xcejqtf2nbrexx3vqjhp41", name="A")
    assert hidden == unknown
    shown = await people["NotAllowed"].client(READ, {"id": catalogue.venue["id"]})
    assert shown["embedKey"] == catalogue.venue["embedKey"]


async def test_deactivated_is_gone_for_guests_and_there_for_staff(
    catalogue: Catalogue, services: Services, client: GraphQLClient
) -> None:
    venue = catalogue.venue["id"]
    staff = await join(services, catalogue, client, "STAFF")
    closed = await make(catalogue.owner.client, "deactivateVenue", venueId=venue)
    assert closed["isActive"] is False
    answer = await client.raw(READ, {"id": venue})
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert (await staff.client(READ, {"id": venue}))["isActive"] is False
    shop = await client("query ($id: ID) { organization(id: $id) { venues { id } } }", {"id": catalogue.id})
    assert shop["venues"] == []
    provider = "query ($id: ID!) { provider(id: $id) { id venue { id isActive } } }"
    answer = await client.raw(provider, {"id": catalogue.provider["id"]})
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert (await staff.client(provider, {"id": catalogue.provider["id"]}))["venue"]["id"] == venue
    again = await make(catalogue.owner.client, "reactivateVenue", venueId=venue)
    assert again["isActive"] is True
    assert (await client(provider, {"id": catalogue.provider["id"]}))["venue"]["isActive"] is True


async def test_each_change_is_told(catalogue: Catalogue, services: Services) -> None:
    client, venue = catalogue.owner.client, catalogue.venue["id"]
    other = await make_provider(client, venue, name="Beto")
    _, before = await journal_of(services, catalogue.id, venue, IdKind.VENUE)
    await make(client, "updateVenue", venueId=venue, name="Otro nombre")
    await make(client, "updateVenue", venueId=venue, name="Otro nombre")
    await make(client, "deactivateVenue", venueId=venue)
    await make(client, "deactivateVenue", venueId=venue)
    audit, after = await journal_of(services, catalogue.id, venue, IdKind.VENUE)
    assert [entry["action"] for entry in audit] == ["venue.created", "venue.updated", "venue.deactivated"]
    assert (audit[1]["before"], audit[1]["after"]) == ({"name": "Palermo"}, {"name": "Otro nombre"})
    assert (audit[2]["before"], audit[2]["after"]) == ({"is_active": True}, {"is_active": False})
    assert {entry["actor"] for entry in audit} == {"owner"}
    ids = {
        "provider": str(decode_id(IdKind.PROVIDER, catalogue.provider["id"])),
        "other": str(decode_id(IdKind.PROVIDER, other["id"])),
        "service": str(decode_id(IdKind.SERVICE, catalogue.service["id"])),
    }
    expected = [("provider.updated", ids["provider"]), ("provider.updated", ids["other"])]
    expected += [("offer.updated", ids["service"]), ("venue.updated", str(decode_id(IdKind.VENUE, venue)))]
    expected += [("venue.described", str(decode_id(IdKind.VENUE, venue)))]
    assert sorted(after[len(before) :]) == sorted(expected)


async def test_a_repeated_key_makes_one(catalogue: Catalogue) -> None:
    facts = {"organizationId": catalogue.id, "name": "A", "timeZone": "UTC", "idempotencyKey": "venue"}
    first = await make(catalogue.owner.client, "createVenue", **facts)
    assert await make(catalogue.owner.client, "createVenue", **facts) == first
    conflict = await call(catalogue.owner.client, "createVenue", **{**facts, "name": "B"})
    assert conflict["__typename"] == "IdempotencyConflict"
    closing = {"venueId": first["id"], "idempotencyKey": "close"}
    assert (await make(catalogue.owner.client, "deactivateVenue", **closing))["isActive"] is False
    elsewhere = await call(
        catalogue.owner.client, "deactivateVenue", venueId=catalogue.venue["id"], idempotencyKey="close"
    )
    assert elsewhere["__typename"] == "IdempotencyConflict"
