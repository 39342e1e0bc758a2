"""A booking as an .ics file."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from icalendar import Calendar, Event

from app.core.ids import IdKind, decode_id
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.journey import Made, Visitor, rows_of
from tests.shop import at, make_shop


@pytest.fixture
async def guest(running: RunningApi, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(running.api.services, time_zone="America/New_York"))


def _address(running: RunningApi, made: Made) -> str:
    """The booking's own link, on the port of this test."""
    parts = urlsplit(made.answer["calendarUrl"])
    return f"{running.url}{parts.path}?{parts.query}"


async def _event(http: httpx.AsyncClient, address: str, method: str = "PUBLISH") -> Event:
    response = await http.get(address)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/calendar; charset=utf-8"
    assert response.headers["cache-control"] == "private, no-store"
    calendar = Calendar.from_ical(response.content)
    assert isinstance(calendar, Calendar)
    assert calendar["method"] == method
    [event] = calendar.events
    assert event.LAST_MODIFIED == event.DTSTAMP
    return event


async def test_it_follows_the_booking(guest: Visitor, running: RunningApi, http: httpx.AsyncClient) -> None:
    made = await guest.booked(at(3, 10))
    address = _address(running, made)
    event = await _event(http, address)
    assert (event.start, event.end) == (at(3, 10), at(3, 10, 30))
    assert event["summary"] == "Service · Provider 0"
    assert event["location"] == "Venue"
    assert made.answer["number"] in str(event["description"])
    assert (event["status"], event["sequence"]) == ("CONFIRMED", 0)
    uid = event["uid"]
    await guest.move(made, at(4, 12), accessToken=made.token)
    event = await _event(http, address)
    assert (event["uid"], event.start, event["sequence"]) == (uid, at(4, 12), 1)
    await guest.cancel(made, accessToken=made.token)
    event = await _event(http, address, "CANCEL")
    assert (event["uid"], event["status"], event["sequence"]) == (uid, "CANCELLED", 2)
    assert event.DTSTAMP is not None
    assert abs(event.DTSTAMP - datetime.now(UTC)).total_seconds() < 60


async def test_what_waits_is_tentative(running: RunningApi, client: GraphQLClient) -> None:
    guest = Visitor(client, await make_shop(running.api.services, service={"requires_approval": True}))
    made = await guest.booked(at(3, 10))
    assert (await _event(client.http, _address(running, made)))["status"] == "TENTATIVE"
    unpaid = await guest.booked(at(4, 10))
    await rows_of(
        guest.shop, "UPDATE booking SET status = 'payment_failed' WHERE starts_at = :at RETURNING 1", at=at(4, 10)
    )
    event = await _event(client.http, _address(running, unpaid))
    assert event["status"] == "TENTATIVE"
    assert event["organizer"].params["CN"] == "Shop"
    assert str(event["organizer"]).startswith("mailto:no-reply@")


async def test_names_cannot_break_out_of_their_line(
    guest: Visitor, running: RunningApi, http: httpx.AsyncClient
) -> None:
    name = "Cut; wash, \\n dry\nDTSTART:20000101T000000Z\nEND:VEVENT" + "ñ" * 80
    await rows_of(guest.shop, "UPDATE service SET name = :name RETURNING id", name=name)
    made = await guest.booked(at(3, 10))
    event = await _event(http, _address(running, made))
    assert event.start == at(3, 10)
    assert str(event["summary"]).startswith("Cut; wash, ")
    assert "END:VEVENT" in str(event["summary"])


async def test_other_tokens_read_like_no_booking(guest: Visitor, running: RunningApi, http: httpx.AsyncClient) -> None:
    made, other = await guest.booked(at(3, 10)), await guest.booked(at(3, 12))
    booking_id = decode_id(IdKind.BOOKING, made.id)
    own = _address(running, made).partition("token=")[2]
    foreign = _address(running, other).partition("token=")[2]
    unknown = await http.get(f"{running.url}/calendar/01890000-0000-7000-8000-000000000000.ics?token={own}")
    assert unknown.status_code == 404
    for path in (
        f"{booking_id}.ics",
        f"{booking_id}.ics?token=",
        f"{booking_id}.ics?token={foreign}",
        f"{booking_id}.ics?token={made.token}",
        f"{booking_id}.ics?token=%ed%a0%80",
        f"{booking_id}.ics?token=%00",
        f"{booking_id}.txt?token={own}",
        f"{booking_id}?token={own}",
        f"{made.id}.ics?token={own}",
        "x.ics",
        ".ics",
    ):
        response = await http.get(f"{running.url}/calendar/{path}")
        assert (response.status_code, response.content) == (404, unknown.content), path


async def test_a_token_of_the_calendar_opens_nothing_else(
    guest: Visitor, running: RunningApi, http: httpx.AsyncClient
) -> None:
    made = await guest.booked(at(3, 10))
    token = _address(running, made).partition("token=")[2]
    for stolen in (token, f"{made.token.partition('.')[0]}.{token}"):
        assert (await guest.cancel(made, accessToken=stolen))["__typename"] == "NotFound"
    too_long = await http.get(_address(running, made) + "x" * 10_000)
    assert too_long.status_code in {400, 404}


_LINKS = """
query ($id: ID!, $token: String!) { booking(id: $id, accessToken: $token) {
  confirmationCode addToCalendar { google outlook office365 yahoo ics } calendarUrl } }
"""


async def test_links_to_calendars_say_when_in_utc_and_no_secret(guest: Visitor, client: GraphQLClient) -> None:
    await rows_of(guest.shop, "UPDATE service SET name = :name RETURNING id", name="Corte & barba #1 ñ+")
    made = await guest.booked(at(3, 10))
    shown = await client(_LINKS, {"id": made.id, "token": made.token})
    links = shown["addToCalendar"]
    assert links.pop("ics") == shown["calendarUrl"]
    secret = urlsplit(shown["calendarUrl"]).query.partition("=")[2]
    for link in links.values():
        parts = urlsplit(link)
        assert (parts.scheme, parts.fragment) == ("https", "")
        assert "+" not in parts.query
        assert not any(hidden in link for hidden in (made.token, secret, shown["confirmationCode"], made.id))
    hosts = {name: urlsplit(link).hostname for name, link in links.items()}
    assert hosts == {
        "google": "calendar.google.com",
        "outlook": "outlook.live.com",
        "office365": "outlook.office.com",
        "yahoo": "calendar.yahoo.com",
    }
    start, end = at(3, 10), at(3, 10, 30)
    google, yahoo, outlook = (
        {name: values[0] for name, values in parse_qs(urlsplit(links[site]).query).items()}
        for site in ("google", "yahoo", "outlook")
    )
    assert google["text"] == yahoo["title"] == outlook["subject"] == "Corte & barba #1 ñ+ · Provider 0"
    assert google["dates"] == f"{start:%Y%m%dT%H%M%SZ}/{end:%Y%m%dT%H%M%SZ}"
    assert (yahoo["st"], yahoo["et"]) == tuple(google["dates"].split("/"))
    assert (outlook["startdt"], outlook["enddt"]) == (f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{end:%Y-%m-%dT%H:%M:%SZ}")
    assert google["location"] == yahoo["in_loc"] == outlook["location"] == "Venue"
    await guest.cancel(made, accessToken=made.token)
    assert (await client(_LINKS, {"id": made.id, "token": made.token}))["addToCalendar"] is None


async def test_places_of_a_session_go_into_a_calendar(running: RunningApi, client: GraphQLClient) -> None:
    yoga = await make_class(client, running.api.services)
    made = await yoga.booked((await yoga.at(at(2, 9)))["id"], 2)
    links = (await client(_LINKS, {"id": made.id, "token": made.token}))["addToCalendar"]
    assert parse_qs(urlsplit(links["google"]).query)["text"] == ["Yoga"]


async def test_at_the_customers_it_says_where_to_the_calendar_and_to_nobody_else(
    running: RunningApi, client: GraphQLClient
) -> None:
    guest = Visitor(client, await make_shop(running.api.services, service={"is_at_customers": True}))
    made = await guest.booked(at(3, 10), address={"street": "Thames 1500", "city": "Buenos Aires"})
    assert (await _event(client.http, _address(running, made)))["location"] == "Thames 1500, Buenos Aires"
    links = (await client(_LINKS, {"id": made.id, "token": made.token}))["addToCalendar"]
    assert not any("Thames" in link or "Venue" in link for link in links.values())
