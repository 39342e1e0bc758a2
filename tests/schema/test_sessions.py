"""Sessions that can be booked, and all there are."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from app.domain.membership import Role
from app.domain.schedule import weekly_hours
from app.domain.sessions import SessionStatus, places_left
from app.resolvers.context import Services
from tests.classes import ALL_SESSIONS, MORNINGS, ONE, SESSIONS, make_class
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import account, colleague, instant, next_change, rows_of
from tests.shop import at, from_today, iso, make_shop, set_active

TOMORROW = at(1, 0).date()


def starts(found: list[dict[str, Any]]) -> list[str]:
    return [session["startsAt"] for session in found]


async def test_the_sessions_of_some_days(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    found = await yoga.sessions(TOMORROW, TOMORROW + timedelta(days=1))
    assert starts(found) == [iso(at(day, hour)) for day in (1, 2) for hour in (9, 10, 11)]
    first = found[0]
    assert first["endsAt"] == iso(at(1, 10))
    assert (first["capacityTotal"], first["capacityRemaining"], first["isLegacy"], first["status"]) == (
        10,
        10,
        False,
        "OPEN",
    )
    assert first["placesTaken"] is None
    assert first["activity"]["id"] == yoga.activity_id
    assert first["activity"]["price"] == {"amountMinor": 1_500}
    assert first["activity"]["venue"]["id"] == yoga.shop.venue_id
    assert await client(ONE, {"id": first["id"]}) == {name: first[name] for name in first if name != "activity"}
    node = await client(
        "query ($id: ID!) { node(id: $id) { ... on ActivitySession { startsAt } } }", {"id": first["id"]}
    )
    assert node == {"startsAt": first["startsAt"]}


async def test_only_what_can_be_booked_now(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(
        client, services, advance_notice_minutes=1_440, maximum_advance_days=3, session_horizon_days=3
    )
    assert await yoga.sessions(from_today(0, 0).date()) == []
    assert len(await yoga.sessions(from_today(0, 0).date(), from_today(6, 0).date())) <= 9
    assert starts(await yoga.sessions(from_today(3, 0).date())) == [iso(from_today(3, hour)) for hour in (9, 10, 11)]
    assert await yoga.sessions(from_today(4, 0).date()) == []
    nine = await yoga.at(from_today(3, 9))
    await yoga.held(nine["id"], 8)
    assert starts(await yoga.sessions(from_today(3, 0).date(), party=2))[0] == iso(from_today(3, 9))
    assert starts(await yoga.sessions(from_today(3, 0).date(), party=3))[0] == iso(from_today(3, 10))
    await yoga.staff("closeSession", (await yoga.at(from_today(3, 10)))["id"])
    assert starts(await yoga.sessions(from_today(3, 0).date(), party=3)) == [iso(from_today(3, 11))]
    seen = await yoga.everything(from_today(3, 0).date())
    assert [(one["status"], one["capacityRemaining"], one["placesTaken"]) for one in seen] == [
        ("OPEN", 2, 8),
        ("CLOSED", 0, 0),
        ("OPEN", 10, 0),
    ]
    assert len(await yoga.everything(from_today(3, 0).date(), statuses=["CLOSED"])) == 1


async def test_dates_are_the_venues_and_exact_when_clocks_change(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    name = "America/New_York"
    day = next_change(name, forward=True)
    shop = await make_shop(services, time_zone=name)
    # In some years it is further away than sessions can be made.
    clock.move(max(timedelta(0), timedelta(days=(day - at(0, 0).date()).days - 20)))
    weekly = tuple(weekly_hours(weekday, [(0, 5 * 60)]) for weekday in range(7))
    yoga = await make_class(client, services, shop=shop, weekly=weekly, session_horizon_days=25)
    found = await yoga.sessions(day)
    # 2:00 does not exist: four sessions of an hour from midnight, then from three o'clock.
    assert [instant(one["startsAt"]).hour for one in found] == [5, 6, 7, 8]


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"to": TOMORROW - timedelta(days=1)}, "to"),
        ({"to": TOMORROW + timedelta(days=62)}, "to"),
        ({"party": 0}, "partySize"),
        ({"party": -1}, "partySize"),
        ({"party": 2**31 - 1}, "partySize"),
        ({"party": 5}, "partySize"),
    ],
)
async def test_what_cannot_be_asked(
    services: Services, client: GraphQLClient, wanted: dict[str, Any], path: str
) -> None:
    yoga = await make_class(client, services, weekly=None, max_party_size=4)
    variables = {"activity": yoga.activity_id, "from": TOMORROW, "to": TOMORROW, "party": 1, **wanted}
    answer = await client.raw(SESSIONS, {**variables, "from": f"{TOMORROW}", "to": f"{variables['to']}"})
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert [violation["path"] for violation in error["extensions"]["violations"]] == [path]


async def test_far_away_days_have_none(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    assert await yoga.sessions(date(2199, 1, 1), date(2199, 1, 5)) == []
    assert await yoga.sessions(date(1970, 1, 1), date(1970, 1, 5)) == []
    assert await yoga.everything(date(2199, 12, 30), date(2199, 12, 31)) == []
    for far in ("9999-12-31", "0001-01-01", "2026-02-30", "today"):
        for query in (SESSIONS, ALL_SESSIONS):
            day = {"activity": yoga.activity_id, "from": far, "to": far}
            assert await code_of(yoga.owner, query, day) == "BAD_INPUT"


async def code_of(client: GraphQLClient, query: str, variables: dict[str, Any]) -> str:
    answer = await client.raw(query, variables)
    code: str = answer["errors"][0]["extensions"]["code"]
    return code


async def test_who_sees_what(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    day = {"activity": yoga.activity_id, "from": f"{TOMORROW}", "to": f"{TOMORROW}"}
    stranger = (await account(client, yoga.shop, "stranger")).client
    staff = (await colleague(client, yoga.shop, Role.STAFF)).client
    assert await code_of(client, ALL_SESSIONS, day) == "UNAUTHENTICATED"
    assert await code_of(stranger, ALL_SESSIONS, day) == "NOT_FOUND"
    assert len(await staff(ALL_SESSIONS, day)) == 3
    session = await yoga.at(at(1, 9))
    await set_active(yoga.shop, "venue", yoga.shop.venue_uuid, False)
    assert await code_of(client, SESSIONS, day) == "NOT_FOUND"
    assert await code_of(stranger, ONE, {"id": session["id"]}) == "NOT_FOUND"
    assert (await staff(ONE, {"id": session["id"]}))["placesTaken"] == 0
    assert await code_of(client, SESSIONS, {**day, "activity": yoga.shop.service_id}) == "BAD_INPUT"
    missing = "act_01h2xcejqtf2nbrexx3vqjhp41"
    assert await code_of(client, SESSIONS, {**day, "activity": missing}) == "NOT_FOUND"


async def test_a_hold_that_ran_out_counts_for_nothing(services: Services, client: GraphQLClient, clock: Any) -> None:
    yoga = await make_class(client, services, capacity=3)
    session = await yoga.at(at(2, 9))
    await yoga.held(session["id"], 3)
    assert (await yoga.read(session["id"]))["capacityRemaining"] == 0
    assert starts(await yoga.sessions(at(2, 0).date())) == [iso(at(2, 10)), iso(at(2, 11))]
    clock.move(timedelta(minutes=11))
    seen = await yoga.read(session["id"])
    assert (seen["capacityRemaining"], seen["placesTaken"]) == (3, 0)
    assert len(await yoga.sessions(at(2, 0).date(), party=3)) == 3


async def test_places_left_are_the_same_in_sql(services: Services) -> None:
    """What a list says, and what an event of the database says."""
    shop = await make_shop(services)
    for status in SessionStatus:
        for capacity, taken, lapsed, is_legacy in (
            (10, 3, 2, False),
            (4, 9, 1, False),
            (4, 4, 4, False),
            (9, 0, 0, True),
        ):
            (row,) = await rows_of(
                shop,
                "SELECT places_left(:capacity, :taken, :lapsed, :status, :is_legacy) AS places",
                capacity=capacity,
                taken=taken,
                lapsed=lapsed,
                status=status.value,
                is_legacy=is_legacy,
            )
            assert row["places"] == places_left(capacity, taken, lapsed, status, is_legacy=is_legacy)


async def test_the_query_budget(services: Services, client: GraphQLClient, statements: StatementLog) -> None:
    yoga = await make_class(client, services, weekly=MORNINGS)
    statements.clear()
    assert await yoga.sessions(TOMORROW, TOMORROW + timedelta(days=4))
    assert len(statements) <= 4, statements.statements
