"""How many bookings a provider takes, and a customer may have: as settings."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.ids import IdKind, decode_id
from app.resolvers.context import Services
from tests.factories import Catalogue, call, join, make, make_provider, refused
from tests.fixtures_api import GraphQLClient
from tests.schema.test_venue import journal_of

PROVIDER = "query ($id: ID!) { provider(id: $id) { dailyBookingLimit weeklyBookingLimit worksOnHolidays } }"
ORGANIZATION = "query ($id: ID!) { organization(id: $id) { customerDailyLimit customerWeeklyLimit } }"


async def _provider(client: GraphQLClient, provider_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await client(PROVIDER, {"id": provider_id})
    return found


async def test_of_a_provider(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner = catalogue.owner.client
    assert await _provider(client, catalogue.provider["id"]) == {
        "dailyBookingLimit": None,
        "weeklyBookingLimit": None,
        "worksOnHolidays": False,
    }
    made = await make_provider(
        owner, catalogue.venue["id"], dailyBookingLimit=8, weeklyBookingLimit=30, worksOnHolidays=True
    )
    assert await _provider(client, made["id"]) == {
        "dailyBookingLimit": 8,
        "weeklyBookingLimit": 30,
        "worksOnHolidays": True,
    }
    await make(owner, "updateProvider", providerId=made["id"], dailyBookingLimit=None)
    await make(owner, "updateProvider", providerId=made["id"], name="Someone else")
    assert await _provider(client, made["id"]) == {
        "dailyBookingLimit": None,
        "weeklyBookingLimit": 30,
        "worksOnHolidays": True,
    }


async def test_changing_them_is_told(catalogue: Catalogue, services: Services) -> None:
    """Whoever looks at free slots learns of it; a new name is no such change."""
    owner, provider = catalogue.owner.client, catalogue.provider["id"]
    event = ("provider.updated", str(decode_id(IdKind.PROVIDER, provider)))

    async def told() -> tuple[list[dict[str, Any]], int]:
        audit, events = await journal_of(services, catalogue.id, provider, IdKind.PROVIDER)
        return [entry["after"] for entry in audit if entry["action"] == "provider.updated"], events.count(event)

    await make(owner, "updateProvider", providerId=provider, name="Ana María")
    assert (await told())[1] == 0
    await make(owner, "updateProvider", providerId=provider, dailyBookingLimit=5)
    await make(owner, "updateProvider", providerId=provider, weeklyBookingLimit=20)
    await make(owner, "updateProvider", providerId=provider, weeklyBookingLimit=20)
    changes, count = await told()
    assert (changes[1:], count) == ([{"daily_booking_limit": 5}, {"weekly_booking_limit": 20}], 2)


async def test_of_customers(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner = catalogue.owner.client
    assert await client(ORGANIZATION, {"id": catalogue.id}) == {
        "customerDailyLimit": None,
        "customerWeeklyLimit": None,
    }
    await make(
        owner, "updateOrganization", organizationId=catalogue.id, customerDailyLimit=2, customerWeeklyLimit=1_000
    )
    await make(owner, "updateOrganization", organizationId=catalogue.id, name="Barbería")
    assert await client(ORGANIZATION, {"id": catalogue.id}) == {
        "customerDailyLimit": 2,
        "customerWeeklyLimit": 1_000,
    }
    await make(owner, "updateOrganization", organizationId=catalogue.id, customerWeeklyLimit=None)
    assert (await client(ORGANIZATION, {"id": catalogue.id}))["customerWeeklyLimit"] is None


@pytest.mark.parametrize("value", [0, -1, 1_001, 2_147_483_647])
async def test_limits_that_cannot_be(catalogue: Catalogue, value: int) -> None:
    owner = catalogue.owner.client
    provider = {"dailyBookingLimit": value, "weeklyBookingLimit": value}
    paths = {"input.dailyBookingLimit", "input.weeklyBookingLimit"}
    made = await refused(owner, "createProvider", venueId=catalogue.venue["id"], name="Ana", **provider)
    changed = await refused(owner, "updateProvider", providerId=catalogue.provider["id"], **provider)
    assert set(made) == set(changed) == paths
    assert set(made.values()) == {"must be 1 to 1000"}
    customers = {"customerDailyLimit": value, "customerWeeklyLimit": value}
    found = await refused(owner, "updateOrganization", organizationId=catalogue.id, **customers)
    assert set(found) == {"input.customerDailyLimit", "input.customerWeeklyLimit"}


async def test_admins_alone(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    staff = await join(services, catalogue, client, "STAFF")
    answer = await call(staff.client, "updateProvider", providerId=catalogue.provider["id"], dailyBookingLimit=1)
    assert answer["__typename"] == "NotAllowed"
