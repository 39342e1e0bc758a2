"""A provider's own calendar as a feed: at a secret address that can be revoked."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest
from icalendar import Calendar, Event
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.core.ids import IdKind, decode_id, new_id
from app.domain.membership import Role
from app.queries import provider_calendar
from app.queries.tenancy import bind
from tests.facts_guard import let_pass
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi
from tests.journey import Made, Visitor, colleague, rows_of
from tests.shop import at, make_shop

FEED = "query ($id: ID!) { provider(id: $id) { calendarFeedUrl } }"
REVOKE = """
mutation ($input: RevokeCalendarFeedInput!) {
  revokeCalendarFeed(input: $input) { ... on RevokeCalendarFeedPayload { provider { calendarFeedUrl } } }
}
"""


@pytest.fixture
async def guest(running: RunningApi, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(running.api.services, providers=2, time_zone="America/New_York"))


async def _address(running: RunningApi, guest: Visitor, number: int = 0) -> str:
    """The feed's own link, on the port of this test."""
    owner = guest.client.signed_in(guest.shop.owner.token)
    url = (await owner(FEED, {"id": guest.shop.provider_ids[number]}))["calendarFeedUrl"]
    return f"{running.url}{urlsplit(url).path}"


async def _booked(guest: Visitor, day: int, hour: int, number: int = 0) -> Made:
    return await guest.booked(at(day, hour), hold={"providerId": guest.shop.provider_ids[number]})


async def _events(http: httpx.AsyncClient, address: str) -> list[Event]:
    response = await http.get(address)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/calendar; charset=utf-8"
    assert response.headers["cache-control"] == "private, no-cache"
    calendar = Calendar.from_ical(response.content)
    assert isinstance(calendar, Calendar)
    return sorted(calendar.events, key=lambda event: event.start)


async def test_it_follows_the_bookings(guest: Visitor, running: RunningApi, http: httpx.AsyncClient) -> None:
    address = await _address(running, guest)
    assert await _events(http, address) == []
    first, second = await _booked(guest, 3, 10), await _booked(guest, 4, 11)
    await _booked(guest, 3, 10, 1)
    one, two = await _events(http, address)
    assert (one.start, one.end, two.start) == (at(3, 10), at(3, 10, 30), at(4, 11))
    assert (one["summary"], one["description"]) == ("Service · Ana", first.answer["number"])
    assert (one["status"], one["sequence"]) == ("CONFIRMED", 0)
    await guest.move(second, at(2, 9), accessToken=second.token)
    await guest.cancel(first, accessToken=first.token)
    moved, cancelled = await _events(http, address)
    assert (moved["uid"], moved.start, moved["sequence"]) == (two["uid"], at(2, 9), 1)
    assert (cancelled["uid"], cancelled["status"], cancelled["sequence"]) == (one["uid"], "CANCELLED", 1)
    assert cancelled["uid"] == f"{decode_id(IdKind.BOOKING, first.id)}@turnero", "as in the booking's own file"


async def test_a_month_back_and_a_year_ahead(
    guest: Visitor, running: RunningApi, http: httpx.AsyncClient, clock: MovableClock
) -> None:
    await _booked(guest, 3, 10)
    gone = await _booked(guest, 4, 10)
    await guest.cancel(gone, accessToken=gone.token)
    address = await _address(running, guest)
    clock.move_to(at(32, 12))
    (kept,) = await _events(http, address)
    assert kept.start == at(3, 10)
    clock.move_to(at(34, 0))
    assert await _events(http, address) == []


async def test_holds_are_no_events(guest: Visitor, running: RunningApi, http: httpx.AsyncClient) -> None:
    await guest.held(at(3, 10), providerId=guest.shop.provider_id)
    assert await _events(http, await _address(running, guest)) == []


_SESSION = """
INSERT INTO activity (id, organization_id, venue_id, name, price_minor, capacity, duration_minutes)
VALUES (:activity, :organization, :venue, 'Yoga', 0, 10, 60);
INSERT INTO activity_session (id, organization_id, activity_id, starts_at, ends_at, capacity, taken, status)
VALUES (:session, :organization, :activity, :start, :end, 10, 3, 'open');
INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, session_id)
VALUES (:allocation, :organization, :provider, tstzrange(:start, :end, '[)'), :start, :end, 'booked', :session)
"""


async def test_sessions_that_the_provider_leads(guest: Visitor, running: RunningApi, http: httpx.AsyncClient) -> None:
    shop = guest.shop
    values = {"activity": new_id(), "session": new_id(), "allocation": new_id(), "organization": shop.organization_uuid}
    values |= {"venue": shop.venue_uuid, "provider": shop.provider_uuids[0]}
    instants = [
        bindparam(name, value, TIMESTAMP(timezone=True)) for name, value in (("start", at(3, 18)), ("end", at(3, 19)))
    ]
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        for statement in _SESSION.split(";"):
            clause = text(statement)
            await tx.execute(clause.bindparams(*instants) if ":start" in statement else clause, values)
        await let_pass(tx)
    (event,) = await _events(http, await _address(running, guest))
    assert (event.start, event.end, event["summary"]) == (at(3, 18), at(3, 19), "Yoga · 3/10")
    assert event["uid"] == f"{values['session']}@turnero"
    assert await _events(http, await _address(running, guest, 1)) == []


async def test_sent_again_only_when_it_changed(guest: Visitor, running: RunningApi, http: httpx.AsyncClient) -> None:
    await _booked(guest, 3, 10)
    address = await _address(running, guest)
    first = await http.get(address)
    etag = first.headers["etag"]
    assert (await http.get(address)).content == first.content
    for headers in (
        {"If-None-Match": etag},
        {"If-None-Match": f'"x", W/{etag}'},
        {"If-None-Match": "*"},
    ):
        again = await http.get(address, headers=headers)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    for headers in (
        {"If-None-Match": '"x"'},
        # No date tells that something went away.
        {"If-Modified-Since": "Mon, 01 Jan 2199 00:00:00 GMT"},
    ):
        assert (await http.get(address, headers=headers)).status_code == 200
    await _booked(guest, 4, 10)
    changed = await http.get(address, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.headers["etag"] != etag) == (200, True)


async def test_some_clients_look_before_they_fetch(
    guest: Visitor, running: RunningApi, http: httpx.AsyncClient
) -> None:
    await _booked(guest, 3, 10)
    address = await _address(running, guest)
    whole, head = await http.get(address), await http.head(address)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", whole.headers["etag"])
    assert head.headers["content-type"] == whole.headers["content-type"]


async def test_the_feed_keeps_what_is_nearest(
    guest: Visitor, running: RunningApi, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_calendar, "MOST_EVENTS", 2)
    for day in (5, 3, 4):
        await _booked(guest, day, 10)
    events = await _events(http, await _address(running, guest))
    assert [event.start for event in events] == [at(3, 10), at(4, 10)]


async def test_revoked(guest: Visitor, running: RunningApi, http: httpx.AsyncClient) -> None:
    address = await _address(running, guest)
    assert (await http.get(address)).status_code == 200
    owner = guest.client.signed_in(guest.shop.owner.token)
    answer = await owner(REVOKE, {"input": {"providerId": guest.shop.provider_id}})
    renewed = running.url + urlsplit(answer["provider"]["calendarFeedUrl"]).path
    assert (await http.get(address)).status_code == 404
    assert (await http.get(renewed)).status_code == 200
    audit = await rows_of(guest.shop, "SELECT action, after FROM audit_entry WHERE action = 'calendar_feed.revoked'")
    assert audit == [{"action": "calendar_feed.revoked", "after": {"calendar_version": 2}}]


async def test_nothing_else_opens_it(guest: Visitor, running: RunningApi, http: httpx.AsyncClient) -> None:
    address, other = await _address(running, guest), await _address(running, guest, 1)
    base, token = address.rsplit("/", 1)
    named, secret = token.removesuffix(".ics").split(".")
    unknown = "01h455vb4pex5vsknk084sn02q"
    for name in (
        *(f"{named}.{'A' * len(secret)}.ics", f"{named}.ics", f".{secret}.ics", f"{unknown}.{secret}.ics", "x.ics"),
        *(token.removesuffix(".ics"), f"{named}.{secret}.txt", f"{other.rsplit('/', 1)[1].split('.')[0]}.{secret}.ics"),
        *("%00.ics", f"{named}.{secret}%E2%82%AC.ics", f"{named.upper()}.{secret}.ics"),
    ):
        response = await http.get(f"{base}/{name}")
        assert (name, response.status_code, response.content) == (name, 404, b"Not found\n")


async def test_only_its_keepers_learn_the_address(guest: Visitor, client: GraphQLClient) -> None:
    staff = await colleague(client, guest.shop, Role.STAFF)
    for visitor in (guest, staff):
        assert await visitor.client(FEED, {"id": guest.shop.provider_id}) == {"calendarFeedUrl": None}
