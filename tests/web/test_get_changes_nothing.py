"""Mail scanners, previews and prefetching browsers open every link they see: a GET, or a HEAD, changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from litestar.routes import ASGIRoute, HTTPRoute
from sqlalchemy import text

from app.core.database import Database
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import RunningRelay
from tests.guests import start
from tests.journey import Visitor
from tests.shop import Shop, at, make_shop
from tests.web.test_provider_feed import FEED
from tests.web.test_statement import ASK

CANCEL = """
mutation ($id: ID!, $token: String) { cancelBooking(input: {bookingId: $id, accessToken: $token, reason: "-"}) {
  __typename } }
"""
RENEW = """
mutation ($id: ID!, $token: String) { renewBookingLink(input: {bookingId: $id, accessToken: $token}) { __typename } }
"""
READ = """
query ($id: ID!, $token: String, $guest: String!) {
  booking(id: $id, accessToken: $token) { status addToCalendar { ics } cancellationTerms { fee { amountMinor } } }
  guestSession(token: $guest) { expiresAt holds { holdToken } bookings { accessToken } }
}
"""
_CONTENTS = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} AS t"


@pytest.fixture
async def everything(database_url: str) -> AsyncIterator[Database]:
    """As the tables' owner."""
    database = Database(database_url, role=None, pool_size=1)
    yield database
    await database.dispose()


async def contents(database: Database) -> dict[str, tuple[int, str | None]]:
    """Of each table, so that any difference shows. What the server notes of itself is none of a guest's."""
    async with database.snapshot() as tx:
        names = (await tx.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))).scalars().all()
        found = {}
        for name in names:
            row = (await tx.execute(text(_CONTENTS.format(f'"{name}"')))).one()
            found[name] = (row[0], row[1])
        return found


async def test_no_address_that_can_be_opened_changes_anything(
    *,
    running: RunningApi,
    client: GraphQLClient,
    http: httpx.AsyncClient,
    everything: Database,
    relay: RunningRelay,
) -> None:
    shop = await make_shop(running.api.services)
    visit = await start(client, shop)
    held = await visit.held(at(2, 12))
    made = await visit.visitor.booked(at(2, 10), hold={"guestSessionToken": visit.token}, guestSessionToken=visit.token)
    owner = client.signed_in(shop.owner.token)
    feed = (await owner(FEED, {"id": shop.provider_id}))["calendarFeedUrl"]
    days = {"id": shop.provider_id, "from": f"{at(-2, 0).date()}", "to": f"{at(2, 0).date()}"}
    statement = (await owner(ASK, days))["statement"]["url"]
    links: dict[str, list[str]] = {
        "/calendar/{file:str}": [made.answer["calendarUrl"]],
        "/calendar/providers/{file:str}": [feed],
        "/statements/{file:str}": [statement],
        "/payments/return": [f"/payments/return?{urlencode({'booking': id_})}" for id_ in (made.id, held.id, "x")],
        "/health/live": ["/health/live"],
        "/health/ready": ["/health/ready"],
        "/metrics": ["/metrics"],
        "/availability": [_stream(shop)],
        "/graphql": _operations(made.id, made.token, visit.token),
        "/graphiql/assets/{name:str}": ["/graphiql/assets/x.js"],
    }
    opened = [
        (route.path, method)
        for route in running.api.app.routes
        for method in ("GET", "HEAD")
        if isinstance(route, ASGIRoute) or (isinstance(route, HTTPRoute) and method in route.methods)
    ]
    unknown = {path for path, _ in opened} - set(links)
    assert not unknown, f"routes without an example here: {unknown}"
    await relay.catch_up()  # or it would write the numbers of what was done meanwhile
    before = await contents(everything)
    assert before["booking"][0] > 0
    for path, method in opened:
        for link in links[path]:
            parts = urlsplit(link)
            address = f"{running.url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
            for headers in ({}, {"accept": "text/html"}, {"authorization": f"Bearer {shop.owner.token}"}):
                answer = await http.request(method, address, headers=headers)
                assert answer.status_code < 500, (method, path)
    assert await contents(everything) == before
    assert (await visit.visitor.book(held))["__typename"] == "CreateBookingPayload"


def _operations(booking_id: str, token: str, guest: str) -> list[str]:
    """GraphQL by GET: what reads may be asked so, what changes may not."""
    values = {"id": booking_id, "token": token, "guest": guest}
    shown: dict[str, Any] = {"id": booking_id, "token": token}
    asked = [(READ, values), (CANCEL, shown), (RENEW, shown)]
    return [f"/graphql?{urlencode({'query': query, 'variables': _json(variables)})}" for query, variables in asked]


def _stream(shop: Shop) -> str:
    """Refused, since one that is told would not end."""
    return f"/availability/{shop.provider_id}/stream?{urlencode({'service': shop.service_id, 'from': 'x'})}"


def _json(values: dict[str, Any]) -> str:
    return httpx.Request("POST", "http://x", json=values).content.decode()


@pytest.mark.parametrize("document", [CANCEL, RENEW])
async def test_a_mutation_by_get_is_refused(running: RunningApi, client: GraphQLClient, document: str) -> None:
    guest = Visitor(client, await make_shop(running.api.services))
    made = await guest.booked(at(2, 10))
    variables = _json({"id": made.id, "token": made.token})
    answer = await client.http.get(running.graphql_url, params={"query": document, "variables": variables})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert (await guest.read(made, made.token))["version"] == 1
