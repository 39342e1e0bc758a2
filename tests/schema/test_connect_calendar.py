"""connectCalendar, refreshCalendar, disconnectCalendar and revokeCalendarFeed: who may, what they leave behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from app.adapters.calendar_reader import read_calendar
from app.commands.calendar_source import Polled, Reading, record_poll
from app.core.ids import IdKind, decode_id
from app.domain.busy_calendar import SourceStatus, window_of
from app.domain.instants import zone
from app.queries.calendar_source import lock_source
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.factories import Catalogue as World
from tests.factories import Someone, join, make_catalogue, make_provider, someone
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Visitor
from tests.shop import at, make_shop

SECRET_URL = "https://calendar.example.com/private/secret-key.ics"
SOURCE = "id name url status lastPolledAt lastSuccessAt nextPollAt lastError eventCount createdAt"
PROVIDER = f"id calendarFeedUrl calendarSources {{ {SOURCE} }}"
READ = f"query ($id: ID!) {{ provider(id: $id) {{ {PROVIDER} }} }}"
SHOWN = {
    "connectCalendar": f"calendarSource {{ {SOURCE} }}",
    "refreshCalendar": f"calendarSource {{ {SOURCE} }}",
    "disconnectCalendar": f"provider {{ {PROVIDER} }}",
    "revokeCalendarFeed": f"provider {{ {PROVIDER} }}",
}


async def call(client: GraphQLClient, operation: str, **values: Any) -> dict[str, Any]:
    """The member of the union."""
    noun = operation[0].upper() + operation[1:]
    errors = (
        "... on Error { code message } ... on InvalidInput { violations { path message } } ... on NotAllowed { rule }"
    )
    if operation == "refreshCalendar":
        errors += " ... on RateLimited { retryAfterSeconds }"
    document = (
        f"mutation ($input: {noun}Input!) {{ {operation}(input: $input) {{ __typename"
        f" ... on {noun}Payload {{ {SHOWN[operation]} }} {errors} }} }}"
    )
    answer: dict[str, Any] = await client(document, {"input": values})
    return answer


async def connected(client: GraphQLClient, provider_id: str, **values: Any) -> dict[str, Any]:
    answer = await call(client, "connectCalendar", providerId=provider_id, **{"url": SECRET_URL, **values})
    assert answer["__typename"] == "ConnectCalendarPayload", answer
    source: dict[str, Any] = answer["calendarSource"]
    return source


async def polled(services: Services, organization_id: str, source: dict[str, Any], body: bytes) -> None:
    """As the worker does it, in the organization's name."""
    now = datetime.now(UTC)
    read = read_calendar(body, zone("UTC"), window_of(now))
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=decode_id(IdKind.ORGANIZATION, organization_id))
        locked = await lock_source(tx, decode_id(IdKind.CALENDAR_SOURCE, source["id"]))
        reading = Reading(read.spans, window_of(now), "UTC", b"hash")
        await record_poll(tx, locked, Polled(now, SourceStatus.ACTIVE, timedelta(minutes=15), reading=reading))


async def rows(services: Services, world: World, query: str) -> list[dict[str, Any]]:
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=decode_id(IdKind.ORGANIZATION, world.id))
        return [dict(row._mapping) for row in await tx.execute(text(query))]


def busy_days(*days: int) -> bytes:
    """A calendar of an hour on each of these days from today."""
    lines = ["BEGIN:VCALENDAR"]
    for day in days:
        lines += ["BEGIN:VEVENT", f"DTSTART:{at(day, 10):%Y%m%dT%H%M%SZ}", "DURATION:PT1H", "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


async def test_connected(catalogue: World, services: Services) -> None:
    owner, provider = catalogue.owner.client, catalogue.provider["id"]
    source = await connected(owner, provider, url="webcal://Calendar.example.com/private/secret-key.ics#x")
    assert (source["status"], source["eventCount"], source["lastPolledAt"]) == ("WAITING", 0, None)
    assert (source["name"], source["url"]) == ("calendar.example.com", "https://calendar.example.com/…")
    assert source["id"].startswith("cal_")
    named = await connected(owner, provider, url="https://example.com/b", name=" Mine\t")
    assert named["name"] == "Mine"
    shown = (await owner(READ, {"id": provider}))["calendarSources"]
    assert shown == [source, named]
    node = f"query ($id: ID!) {{ node(id: $id) {{ id ... on CalendarSource {{ {SOURCE} }} }} }}"
    assert await owner(node, {"id": source["id"]}) == source
    back = "query ($id: ID!) { node(id: $id) { ... on CalendarSource { provider { id } } } }"
    assert await owner(back, {"id": source["id"]}) == {"provider": {"id": provider}}
    kept = await rows(services, catalogue, "SELECT url FROM calendar_source ORDER BY created_at")
    assert kept[0] == {"url": SECRET_URL}
    audit = await rows(services, catalogue, "SELECT action, after FROM audit_entry WHERE action LIKE 'calendar%'")
    assert [entry["action"] for entry in audit] == ["calendar.connected"] * 2
    assert "secret-key" not in str(audit)


async def test_each_step_is_told(catalogue: World, services: Services, clock: MovableClock) -> None:
    """To those who look after calendars: none of it is a change of free times by itself."""
    owner, provider = catalogue.owner.client, catalogue.provider["id"]
    source = await connected(owner, provider)
    clock.move(timedelta(minutes=2))
    await call(owner, "refreshCalendar", calendarSourceId=source["id"])
    await polled(services, catalogue.id, source, busy_days())
    await call(owner, "disconnectCalendar", calendarSourceId=source["id"])
    await call(owner, "revokeCalendarFeed", providerId=provider)
    told = await rows(
        services, catalogue, "SELECT type, payload FROM outbox_event WHERE type LIKE '%calendar%' ORDER BY id"
    )
    steps = ["connected", "refreshed", "status_changed", "disconnected"]
    assert [event["type"] for event in told] == [
        *(f"calendar_source.{step}" for step in steps),
        "calendar_feed.revoked",
    ]
    assert [event["payload"].get("status") for event in told] == ["waiting", "waiting", "active", "active", None]
    assert not await rows(services, catalogue, "SELECT 1 FROM outbox_event WHERE type = 'external_busy.changed'")


async def test_a_poll_is_asked_for(catalogue: World, database_url: str) -> None:
    source = await connected(catalogue.owner.client, catalogue.provider["id"])
    source_id = str(decode_id(IdKind.CALENDAR_SOURCE, source["id"]))
    connection = await asyncpg.connect(database_url)
    found = await connection.fetch("SELECT kind FROM job WHERE args ->> 'sourceId' = $1", source_id)
    await connection.close()
    assert [row["kind"] for row in found] == ["calendar.poll"]


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"url": ""}, {"input.url"}),
        ({"url": "ftp://example.com/a"}, {"input.url"}),
        ({"url": "https://user:password@example.com/a"}, {"input.url"}),
        ({"url": "https://example.com/\x07"}, {"input.url"}),
        ({"url": "https://example.com/" + "a" * 2_000}, {"input.url"}),
        ({"name": "\u202eevil"}, {"input.name"}),
        ({"name": "x" * 101, "url": "no"}, {"input.name", "input.url"}),
    ],
)
async def test_what_cannot_be_connected(catalogue: World, values: dict[str, Any], paths: set[str]) -> None:
    facts = {"url": SECRET_URL, **values}
    answer = await call(catalogue.owner.client, "connectCalendar", providerId=catalogue.provider["id"], **facts)
    assert answer["__typename"] == "InvalidInput", answer
    assert {violation["path"] for violation in answer["violations"]} == paths


async def test_once_each_and_no_more_than_ten(catalogue: World) -> None:
    owner, provider = catalogue.owner.client, catalogue.provider["id"]
    await connected(owner, provider)
    again = await call(owner, "connectCalendar", providerId=provider, url=SECRET_URL + "#other")
    assert again["violations"] == [{"path": "input.url", "message": "is connected to this provider already"}]
    other = await make_provider(owner, catalogue.venue["id"])
    await connected(owner, other["id"])
    for number in range(9):
        await connected(owner, provider, url=f"https://example.com/{number}")
    full = await call(owner, "connectCalendar", providerId=provider, url="https://example.com/ten")
    assert (full["__typename"], full["rule"]) == ("NotAllowed", "calendar_limit")


async def test_the_same_request_twice(catalogue: World) -> None:
    owner, provider = catalogue.owner.client, catalogue.provider["id"]
    first = await connected(owner, provider, idempotencyKey="one")
    assert await connected(owner, provider, idempotencyKey="one") == first
    assert len((await owner(READ, {"id": provider}))["calendarSources"]) == 1
    values = {"providerId": provider, "url": "https://example.com/", "idempotencyKey": "one"}
    assert (await call(owner, "connectCalendar", **values))["__typename"] == "IdempotencyConflict"
    url = (await owner(READ, {"id": provider}))["calendarFeedUrl"]
    revoked = [await call(owner, "revokeCalendarFeed", providerId=provider, idempotencyKey="two") for _ in range(2)]
    assert revoked[0] == revoked[1]
    assert revoked[0]["provider"]["calendarFeedUrl"] != url


async def people(services: Services, catalogue: World, client: GraphQLClient) -> dict[str, Someone]:
    """The provider's own account, another provider's, staff, an admin and a stranger."""
    owner = catalogue.owner.client
    own, other = await someone(services, client, "own"), await someone(services, client, "other")
    update = "mutation ($input: UpdateProviderInput!) { updateProvider(input: $input) { __typename } }"
    await owner(update, {"input": {"providerId": catalogue.provider["id"], "userEmail": own.email}})
    await make_provider(owner, catalogue.venue["id"], userEmail=other.email)
    return {
        "own": own,
        "admin": await join(services, catalogue, client, "ADMIN"),
        "other": other,
        "staff": await join(services, catalogue, client, "STAFF"),
        "stranger": (await make_catalogue(services, client)).owner,
    }


async def test_who_may(catalogue: World, services: Services, client: GraphQLClient) -> None:
    provider = catalogue.provider["id"]
    source = await connected(catalogue.owner.client, provider)
    expected = {"own": "", "admin": "", "other": "NotFound", "staff": "NotAllowed", "stranger": "NotFound"}
    node = "query ($id: ID!) { node(id: $id) { id } }"
    for name, person in (await people(services, catalogue, client)).items():
        mine = person.client
        shown = await mine(READ, {"id": provider})
        refusal = expected[name]
        if refusal:
            assert (name, shown["calendarFeedUrl"], shown["calendarSources"]) == (name, None, [])
            assert "errors" in await mine.raw(node, {"id": source["id"]})
            for operation, values in {
                "connectCalendar": {"providerId": provider, "url": "https://example.com/"},
                "revokeCalendarFeed": {"providerId": provider},
                "refreshCalendar": {"calendarSourceId": source["id"]},
                "disconnectCalendar": {"calendarSourceId": source["id"]},
            }.items():
                answer = await call(mine, operation, **values)
                assert (name, operation, answer["__typename"]) == (name, operation, refusal)
        else:
            assert shown["calendarSources"][0] == source
            assert "/calendar/providers/" in shown["calendarFeedUrl"]
            made = await connected(mine, provider, url=f"https://example.com/{name}")
            gone = await call(mine, "disconnectCalendar", calendarSourceId=made["id"])
            assert [each["id"] for each in gone["provider"]["calendarSources"]] == [source["id"]]
    shown = await client(READ, {"id": provider})
    assert (shown["calendarFeedUrl"], shown["calendarSources"]) == (None, [])
    answer = await client.raw(
        "mutation ($input: ConnectCalendarInput!) { connectCalendar(input: $input) { __typename } }",
        {"input": {"providerId": provider, "url": SECRET_URL}},
    )
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_refreshed_at_most_once_a_minute(catalogue: World, clock: MovableClock) -> None:
    owner = catalogue.owner.client
    source = await connected(owner, catalogue.provider["id"])
    early = await call(owner, "refreshCalendar", calendarSourceId=source["id"])
    assert early["__typename"] == "RateLimited"
    assert 1 <= early["retryAfterSeconds"] <= 60
    clock.move(timedelta(seconds=61))
    assert (await call(owner, "refreshCalendar", calendarSourceId=source["id"]))[
        "__typename"
    ] == "RefreshCalendarPayload"
    assert (await call(owner, "refreshCalendar", calendarSourceId=source["id"]))["__typename"] == "RateLimited"


async def test_disconnected(catalogue: World, services: Services) -> None:
    owner, provider = catalogue.owner.client, catalogue.provider["id"]
    source = await connected(owner, provider)
    kept = await connected(owner, provider, url="https://example.com/kept")
    await polled(services, catalogue.id, source, busy_days(2, 3))
    await polled(services, catalogue.id, kept, busy_days(4))
    (shown, _) = (await owner(READ, {"id": provider}))["calendarSources"]
    assert (shown["status"], shown["eventCount"]) == ("ACTIVE", 2)
    live = "SELECT count(*) FROM blocked_time WHERE removed_at IS NULL"
    assert await rows(services, catalogue, live) == [{"count": 3}]
    gone = await call(owner, "disconnectCalendar", calendarSourceId=source["id"], idempotencyKey="k")
    assert [each["id"] for each in gone["provider"]["calendarSources"]] == [kept["id"]]
    assert await rows(services, catalogue, live) == [{"count": 1}]
    assert await call(owner, "disconnectCalendar", calendarSourceId=source["id"], idempotencyKey="k") == gone
    for operation in ("disconnectCalendar", "refreshCalendar"):
        assert (await call(owner, operation, calendarSourceId=source["id"]))["__typename"] == "NotFound"
    told = "SELECT subject_id FROM outbox_event WHERE type = 'external_busy.changed'"
    assert await rows(services, catalogue, told) == [{"subject_id": decode_id(IdKind.PROVIDER, provider)}] * 3
    urls = await rows(services, catalogue, "SELECT url FROM calendar_source WHERE removed_at IS NOT NULL")
    assert urls == [{"url": "https://calendar.example.com/…"}], "a secret that nobody needs is not kept"
    await connected(owner, provider)


async def test_busy_times_are_not_offered(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services)
    visitor, owner = Visitor(client, shop), client.signed_in(shop.owner.token)
    day = at(2, 0).date()
    free = await visitor.starts(day)
    source = await connected(owner, shop.provider_id)
    await polled(services, shop.organization_id, source, busy_days(2))
    taken = {start for start in free if at(2, 9, 30) < start < at(2, 11)}
    assert len(taken) == 5
    assert set(await visitor.starts(day)) == set(free) - taken
    refused = await visitor.hold(at(2, 10))
    assert refused["__typename"] == "SlotUnavailable"
    await call(owner, "disconnectCalendar", calendarSourceId=source["id"])
    assert await visitor.starts(day) == free


async def test_the_list_costs_one_statement_for_all_providers(catalogue: World, statements: Any) -> None:
    owner = catalogue.owner.client
    for _ in range(3):
        provider = await make_provider(owner, catalogue.venue["id"])
        await connected(owner, provider["id"])
    query = "query ($id: ID) { venue(id: $id) { providers { calendarFeedUrl calendarSources { id } } } }"
    statements.clear()
    shown = await owner(query, {"id": catalogue.venue["id"]})
    assert [len(provider["calendarSources"]) for provider in shown["providers"]].count(1) == 3
    assert len(statements) <= 6, statements.statements
