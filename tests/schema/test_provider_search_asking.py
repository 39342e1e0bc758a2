"""What `providers` by availability asks the slot engine, and what is refused because it would be too much."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.database import Database
from app.queries import provider_free, provider_search
from app.resolvers import context
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.schema.test_provider_search_free import SEARCH, Searcher, catch_up, refusal_of
from tests.shop import at, make_shop


@pytest.fixture
async def flexible(services: Services, client: GraphQLClient) -> Searcher:
    return Searcher(client, await make_shop(services, providers=4, service={"maximum_duration_minutes": 60}))


async def test_too_many_to_put_in_order(flexible: Searcher, worker: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_search, "ASKED_MOST", 3)
    answer = await flexible.client.raw(SEARCH.replace("totalCount", ""), flexible.variables("SOONEST_ASC", None))
    assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert "SOONEST_ASC" in answer["errors"][0]["message"]
    page, error = await _counted_in_vain(flexible)
    assert error["extensions"]["code"] == "UNAVAILABLE"
    assert len(page["edges"]) == 4
    await catch_up(worker)
    assert len(await flexible.found()) == 4


@pytest.mark.parametrize(
    ("time", "path"),
    [
        ({"first_day": at(80, 0).date(), "last_day": at(90, 0).date()}, "filter.availability.to"),
        ({"durationMinutes": 45}, "filter.availability.durationMinutes"),
    ],
)
async def test_too_many_for_good(
    flexible: Searcher, worker: Database, monkeypatch: pytest.MonkeyPatch, time: dict[str, Any], path: str
) -> None:
    """Trying again would not help, so it says what does. The page itself stands."""
    await catch_up(worker)
    assert len(await flexible.found("NAME_ASC", **time)) == 4
    monkeypatch.setattr(provider_search, "ASKED_MOST", 3)
    page, error = await _counted_in_vain(flexible, **time)
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert [each["path"] for each in error["extensions"]["violations"]] == [path]
    assert len(page["edges"]) == 4
    assert page["totalCount"] is None
    ordered = flexible.variables("SOONEST_ASC", None, **time)
    assert refusal_of(await flexible.client.raw(SEARCH.replace("totalCount", ""), ordered)) == [path]


async def _counted_in_vain(searcher: Searcher, **time: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The page, and the error beside it."""
    answer = await searcher.client.raw(SEARCH, searcher.variables("NAME_ASC", None, **time))
    [error] = answer["errors"]
    assert error["path"] == ["providers", "totalCount"]
    return answer["data"]["providers"], error


async def test_many_services_are_asked_about_at_once(
    services: Services, client: GraphQLClient, statements: StatementLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many services there are, and however often one operation needs the same."""
    shop = await make_shop(services, providers=3, more_services=tuple({"price_minor": n} for n in range(1, 7)))
    searcher = Searcher(client, shop)
    once = SEARCH.replace("totalCount", "").replace("service { id }", "")
    variables = searcher.variables("NAME_ASC", None)
    statements.clear()
    page = (await client(once, variables))["edges"]
    assert len(page) == 3
    assert len(statements) == 4  # the page; then binding, all plans, all claims
    statements.clear()
    count = "providers(organizationId: $id, filter: $filter) { totalCount }"
    counts = " ".join(f"c{number}: {count}" for number in range(15))
    answer = await client.raw(f"query ($id: ID!, $filter: ProviderFilter) {{ {counts} }}", variables)
    assert [each["totalCount"] for each in answer["data"].values()] == [3] * 15
    assert len(statements) == 15 * 2 + 3
    # More people than one plan may have are asked about in parts.
    monkeypatch.setattr(provider_free, "PROVIDER_LIMIT", 2)
    assert (await client(once, variables))["edges"] == page


async def test_too_many_offers_in_one_operation(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await make_shop(services, providers=3, more_services=({"price_minor": 1},))
    searcher = Searcher(client, shop)
    monkeypatch.setattr(context, "OFFERS_AT_ONCE", 6)
    assert len(await searcher.found("NAME_ASC")) == 3  # the same six, for the page and for its number
    monkeypatch.setattr(context, "OFFERS_AT_ONCE", 5)
    assert refusal_of(await client.raw(SEARCH, searcher.variables("NAME_ASC", None))) == ["filter.availability"]
