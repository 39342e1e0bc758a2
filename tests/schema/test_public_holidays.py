"""Public holidays of a venue's country and region: whom they close, and what they are called."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from app.core.public_holidays import check_country, check_region, public_holidays
from app.domain.schedule import ExceptionKind
from app.resolvers.context import Services
from tests.classes import make_class
from tests.factories import Catalogue, call, make, make_venue, refused
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Visitor, rows_of
from tests.schema.test_schedule_exception import CREATE
from tests.schema.test_schedule_preview import PREVIEW
from tests.shop import iso, make_shop

HOLIDAYS = """
query ($id: ID!, $from: Date!, $to: Date!) {
  venue(id: $id) { country region publicHolidays(from: $from, to: $to) { date name } }
}
"""
CHRISTMAS = date(datetime.now(UTC).year, 12, 25)
if datetime.now(UTC).date() + timedelta(days=2) >= CHRISTMAS:
    CHRISTMAS = CHRISTMAS.replace(year=CHRISTMAS.year + 1)
EVE, AFTER = CHRISTMAS - timedelta(days=1), CHRISTMAS + timedelta(days=1)


def _at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


async def _holidays(client: GraphQLClient, venue_id: str, first: str, last: str) -> dict[str, Any]:
    found: dict[str, Any] = await client(HOLIDAYS, {"id": venue_id, "from": first, "to": last})
    return found


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    """A shop with two providers, open day and night, at a venue in Argentina."""
    shop = await make_shop(services, providers=2, service={"maximum_advance_days": 400})
    owner = client.signed_in(shop.owner.token)
    await make(owner, "updateVenue", venueId=shop.venue_id, country="AR")
    return Visitor(client, shop)


@pytest.fixture
async def owner(guest: Visitor) -> Visitor:
    return Visitor(guest.client.signed_in(guest.shop.owner.token), guest.shop)


# ── the days ──────────────────────────────────────────────────────────────────────────────────────────


def test_days_of_a_country() -> None:
    found = public_holidays("AR", None, date(2026, 5, 1), date(2026, 5, 25), "es-AR")
    assert [(day.from_date, day.to_date, day.kind, day.reason) for day in found] == [
        (date(2026, 5, 1), date(2026, 5, 1), ExceptionKind.HOLIDAY, "Día del Trabajo"),
        (date(2026, 5, 25), date(2026, 5, 25), ExceptionKind.HOLIDAY, "Día de la Revolución de Mayo"),
    ]
    assert public_holidays("AR", None, date(2026, 5, 2), date(2026, 5, 24), "es-AR") == ()
    assert public_holidays("AR", None, date(2026, 5, 25), date(2026, 5, 1)) == ()


def test_days_of_a_region_come_besides() -> None:
    everywhere = {day.from_date for day in public_holidays("DE", None, date(2026, 1, 1), date(2026, 12, 31))}
    bavaria = {day.from_date for day in public_holidays("DE", "BY", date(2026, 1, 1), date(2026, 12, 31))}
    assert bavaria - everywhere >= {date(2026, 1, 6), date(2026, 11, 1)}
    assert everywhere <= bavaria


@pytest.mark.parametrize(
    ("country", "locale", "name"),
    [
        ("AR", "en", "Labor Day"),
        ("AR", "en-GB", "Labor Day"),
        ("AR", "es", "Día del Trabajo"),
        ("AR", "ja", "Día del Trabajo"),
        ("AR", None, "Día del Trabajo"),
        ("BR", "pt", "Dia do Trabalhador"),
        ("DE", "zh-Hant-TW", "Erster Mai"),
        ("DE", "", "Erster Mai"),
    ],
)
def test_names_in_the_language_that_is_wanted(
    country: str, locale: str | None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the process's own environment speaks."""
    monkeypatch.setenv("LANGUAGE", "uk")
    [day] = public_holidays(country, None, date(2026, 5, 1), date(2026, 5, 1), locale)
    assert day.reason == name


def test_over_years_and_beyond_what_is_known() -> None:
    assert len(public_holidays("US", None, date(2026, 7, 4), date(2028, 7, 4))) > 20
    assert public_holidays("AR", None, date(2199, 1, 1), date(2200, 1, 1)) == ()
    assert public_holidays("XX", None, date(2026, 1, 1), date(2026, 12, 31)) == ()
    gone = public_holidays("AR", "a region that is no more", date(2026, 5, 1), date(2026, 5, 1))
    assert gone == public_holidays("AR", None, date(2026, 5, 1), date(2026, 5, 1))


def test_the_same_value_for_all_that_ask() -> None:
    first = public_holidays("AR", None, date(2026, 1, 1), date(2026, 12, 31), "es")
    assert public_holidays("AR", None, date(2026, 1, 1), date(2026, 12, 31), "es") is first


def test_codes() -> None:
    assert check_country("AR") == "AR"
    assert check_region("AR", "X") == "X"
    for wrong in ("ar", "ARG", "XX", "", "UK", "💈"):
        with pytest.raises(ValueError, match="such as AR"):
            check_country(wrong)
    with pytest.raises(ValueError, match="must be one of A, B, C"):
        check_region("AR", "ZZ")
    with pytest.raises(ValueError, match="JP has no regions"):
        check_region("JP", "13")


# ── the setting ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_venue_s_country(catalogue: Catalogue, client: GraphQLClient, statements: StatementLog) -> None:
    owner = catalogue.owner.client
    venue = await make_venue(owner, catalogue.id, country="AR", region="B")
    statements.clear()
    seen = await _holidays(client, venue["id"], "2026-12-01", "2026-12-31")
    assert len(statements) <= 4
    assert (seen["country"], seen["region"]) == ("AR", "B")
    assert {"date": "2026-12-25", "name": "Christmas Day"} in seen["publicHolidays"]
    await make(owner, "updateOrganization", organizationId=catalogue.id, locale="es-AR")
    seen = await _holidays(client, venue["id"], "2026-12-25", "2026-12-25")
    assert seen["publicHolidays"] == [{"date": "2026-12-25", "name": "Navidad"}]
    await make(owner, "updateVenue", venueId=venue["id"], country="BR", region="SP")
    await make(owner, "updateVenue", venueId=venue["id"], region=None)
    await make(owner, "updateVenue", venueId=venue["id"], name="Elsewhere", country=None)
    seen = await _holidays(client, venue["id"], "2026-12-01", "2026-12-31")
    assert seen == {"country": None, "region": None, "publicHolidays": []}


async def test_places_that_are_none(catalogue: Catalogue) -> None:
    owner, venue = catalogue.owner.client, catalogue.venue["id"]
    for values, path, message in (
        ({"country": "ar"}, "input.country", "two capital letters"),
        ({"country": "XX"}, "input.country", "such as AR"),
        ({"country": "💈"}, "input.country", "such as AR"),
        ({"country": "AR", "region": "ZZ"}, "input.region", "must be one of A, B, C"),
        ({"country": "AR", "region": "\u202e"}, "input.region", "invisible"),
        ({"country": "JP", "region": "13"}, "input.region", "no regions"),
        ({"region": "B"}, "input.region", "with country"),
        ({"country": None, "region": "B"}, "input.region", "with country"),
    ):
        found = await refused(owner, "createVenue", organizationId=catalogue.id, name="V", timeZone="UTC", **values)
        assert message in found.pop(path), values
        assert found == {}
        found = await refused(owner, "updateVenue", venueId=venue, **values)
        assert message in found[path], values
    await make(owner, "updateVenue", venueId=venue, country="AR", region="B")
    # What is there and what is given are judged together.
    assert "for BR" in (await refused(owner, "updateVenue", venueId=venue, country="BR"))["input.region"]
    assert "with country" in (await refused(owner, "updateVenue", venueId=venue, country=None))["input.region"]
    await make(owner, "updateVenue", venueId=venue, name="Still there")


async def test_ranges_that_cannot_be(catalogue: Catalogue, client: GraphQLClient) -> None:
    for first, last in (("2026-12-31", "2026-12-01"), ("2026-01-01", "2029-01-02"), ("1970-01-01", "2200-01-01")):
        variables = {"id": catalogue.venue["id"], "from": first, "to": last}
        answer = await client.raw(HOLIDAYS, variables)
        extensions = answer["errors"][0]["extensions"]
        assert (extensions["code"], extensions["violations"][0]["path"]) == ("BAD_INPUT", "to")


# ── whom they close ───────────────────────────────────────────────────────────────────────────────────


async def test_they_close_the_venue_s_providers(guest: Visitor) -> None:
    assert await guest.starts(CHRISTMAS) == []
    assert len(await guest.starts(AFTER)) == 96
    refused_slot = await guest.hold(_at(CHRISTMAS, 10))
    assert (refused_slot["__typename"], refused_slot["reason"]) == ("SlotUnavailable", "HOLIDAY")
    assert "Christmas Day" in refused_slot["message"]


async def test_who_works_on_them(guest: Visitor, owner: Visitor) -> None:
    worker, other = guest.shop.provider_ids
    await make(owner.client, "updateProvider", providerId=worker, worksOnHolidays=True)
    assert len(await guest.starts(CHRISTMAS, providerIds=[worker])) == 96
    assert await guest.starts(CHRISTMAS, providerIds=[other]) == []
    held = await guest.held(_at(CHRISTMAS, 10))
    assert held.answer["provider"]["id"] == worker
    [event] = await rows_of(
        guest.shop,
        "SELECT type FROM outbox_event WHERE subject_id = :id AND type = 'provider.updated' ORDER BY id DESC LIMIT 1",
        id=guest.shop.provider_uuids[0],
    )
    assert event["type"] == "provider.updated"
    await make(owner.client, "updateProvider", providerId=worker, worksOnHolidays=False)
    assert await guest.starts(CHRISTMAS) == []
    no = await call(owner.client, "updateProvider", providerId=worker, worksOnHolidays=None)
    assert no["violations"][0]["path"] == "input.worksOnHolidays"


@pytest.mark.parametrize("whose", ["provider", "venue"])
async def test_special_hours_go_before_them(guest: Visitor, owner: Visitor, whose: str) -> None:
    """Of a provider or of the whole venue: the first that has the day rules it."""
    wanted = {
        "ownerId": guest.shop.provider_id if whose == "provider" else guest.shop.venue_id,
        "kind": "SPECIAL_HOURS",
        "from": f"{CHRISTMAS}",
        "to": f"{CHRISTMAS}",
        "open": [{"start": "10:00", "end": "11:00"}],
    }
    made = await owner.client(CREATE, {"input": wanted})
    assert made["__typename"] == "CreateScheduleExceptionPayload"
    search = await guest.search(CHRISTMAS)
    slots = search["days"][0]["slots"]
    assert [slot["startsAt"] for slot in slots] == [iso(_at(CHRISTMAS, 10, minute)) for minute in (0, 15, 30)]
    assert {slot["remaining"] for slot in slots} == {1 if whose == "provider" else 2}


async def test_bookings_on_them_stand(guest: Visitor, owner: Visitor) -> None:
    """A country that is set later closes days; what is booked on them stays, and a preview names the holiday."""
    await make(owner.client, "updateVenue", venueId=guest.shop.venue_id, country=None)
    made = await guest.booked(_at(CHRISTMAS, 10), hold={"providerId": guest.shop.provider_id})
    await make(owner.client, "updateVenue", venueId=guest.shop.venue_id, country="AR")
    assert await guest.starts(CHRISTMAS) == []
    assert (await guest.read(made, made.token))["status"] == "CONFIRMED"
    always = [{"weekday": "FRIDAY", "open": [{"start": "00:00", "end": "24:00"}]}]
    weekly = [{**day, "weekday": name} for name in _DAYS for day in always]
    seen = await owner.client(PREVIEW, {"input": {"ownerId": guest.shop.provider_id, "weekly": weekly}})
    [affected] = seen["affectedBookings"]
    assert (affected["booking"]["id"], affected["reason"]) == (made.id, "HOLIDAY")
    assert affected["alternatives"][0]["startsAt"] == iso(_at(EVE, 23, 30))
    changed = await rows_of(
        guest.shop,
        "SELECT DISTINCT subject_id FROM outbox_event WHERE type = 'provider.updated' AND subject_id = ANY(:ids)",
        ids=guest.shop.provider_uuids,
    )
    assert len(changed) == 2


_DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")


async def test_the_night_before_runs_into_one(guest: Visitor, owner: Visitor) -> None:
    """A holiday closes what opens on it: the small hours of the evening before stay open."""
    night = [{"weekday": name, "open": [{"start": "22:00", "end": "02:00"}]} for name in _DAYS]
    await owner.publish(night)
    starts = await guest.starts(CHRISTMAS, providerIds=[guest.shop.provider_id])
    assert [f"{start:%H:%M}" for start in starts] == [
        f"{minute // 60:02}:{minute % 60:02}" for minute in range(0, 91, 15)
    ]


async def test_sessions_keep_them(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    clock.move_to(_at(EVE - timedelta(days=3), 12))
    yoga = await make_class(client, services)
    assert len(await yoga.sessions(CHRISTMAS)) == 3
    await make(yoga.owner, "updateVenue", venueId=yoga.shop.venue_id, country="AR")
    assert await yoga.sessions(CHRISTMAS) == []
    assert len(await yoga.sessions(EVE)) == 3
    await make(yoga.owner, "updateVenue", venueId=yoga.shop.venue_id, country=None)
    assert len(await yoga.sessions(CHRISTMAS)) == 3
