"""Hostile input to every operation of the booking journey: refused where it stands, and nothing is half done."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient
from tests.journey import ANA, Held, Made, Visitor, hours, rows_of
from tests.schema import operations as op
from tests.shop import at, iso, make_shop

HOSTILE = {
    "nul": "a\x00b",
    "half a character": "a\ud800b",
    "halves the wrong way round": "\udc00\ud800",
    "turned round": "\u202eabc\u2066",
    "control": "a\x07b",
    "not a character": "a\uffffb",
    "long": "x" * 1_000_000,
    "long but bearable": "x" * 50_000,
    "sql": "'; DROP TABLE booking; --",
    "template": "{{7*7}}${7*7}<script>alert(1)</script>",
    "path": "../../../etc/passwd",
}
REFUSED_ANYWHERE = ("nul", "half a character", "halves the wrong way round", "long")
UNKNOWN = "01h2xcejqtf2nbrexx3vqjhp41"


class Journey:
    """What can be sent: name → document and the variables that would work."""

    def __init__(self, guest: Visitor, held: Held, made: Made) -> None:
        self.guest = guest
        shop = guest.shop
        booking = {"bookingId": made.id, "accessToken": made.token}
        self.operations: dict[str, tuple[str, dict[str, Any]]] = {
            "availability": (op.AVAILABILITY, guest.search_variables(at(2, 0).date())),
            "holdSlot": (op.HOLD, {"input": {"serviceId": shop.service_id, "startsAt": iso(at(2, 14))}}),
            "releaseHold": (op.RELEASE, {"id": held.id, "token": held.token}),
            "extendHold": (op.EXTEND, {"id": held.id, "token": held.token}),
            "createBooking": (
                op.BOOK,
                {
                    "input": {
                        "holdId": held.id,
                        "holdToken": held.token,
                        "customer": ANA,
                        "paymentMethod": "PAY_ON_ARRIVAL",
                    }
                },
            ),
            "cancelBooking": (op.CANCEL, {"input": {**booking, "reason": "Ill"}}),
            "rescheduleBooking": (op.MOVE, {"input": {**booking, "startsAt": iso(at(2, 16))}}),
            "transitionBooking": (op.STEP, {"input": {"bookingId": made.id, "to": "CHECKED_IN"}}),
            "booking": (op.READ, {"id": made.id, "token": made.token}),
            "publishSchedule": (
                op.PUBLISH,
                {"input": {"ownerId": shop.provider_id, "weekly": hours(("09:00", "10:00"))}},
            ),
        }

    def send_with(self, operation: str, path: str, value: Any) -> tuple[str, dict[str, Any]]:
        """The operation with another value at one place."""
        document, variables = self.operations[operation]
        changed = json.loads(json.dumps(variables))
        *parents, last = path.split(".")
        place = changed
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[last] = value
        return document, changed


@pytest.fixture
async def journey(services: Services, client: GraphQLClient) -> Journey:
    guest = Visitor(client, await make_shop(services))
    return Journey(guest, await guest.held(at(2, 10)), await guest.booked(at(3, 12)))


STRINGS = [
    ("availability", "input.serviceId"),
    ("availability", "input.timeZone"),
    ("availability", "input.from"),
    ("holdSlot", "input.serviceId"),
    ("holdSlot", "input.startsAt"),
    ("holdSlot", "input.priceQuoteToken"),
    ("holdSlot", "input.idempotencyKey"),
    ("releaseHold", "id"),
    ("releaseHold", "token"),
    ("extendHold", "token"),
    ("createBooking", "input.holdToken"),
    ("createBooking", "input.promoCode"),
    ("createBooking", "input.customer.name"),
    ("createBooking", "input.customer.email"),
    ("createBooking", "input.customer.phone"),
    ("createBooking", "input.customer.locale"),
    ("createBooking", "input.notes"),
    ("cancelBooking", "input.bookingId"),
    ("cancelBooking", "input.accessToken"),
    ("cancelBooking", "input.reason"),
    ("rescheduleBooking", "input.startsAt"),
    ("rescheduleBooking", "input.providerId"),
    ("transitionBooking", "input.reason"),
    ("booking", "token"),
    ("publishSchedule", "input.weekly.0.open.0.start"),
    ("publishSchedule", "input.previewToken"),
]
HARMLESS = {"sql", "template", "path"}
FREE_TEXTS = {"input.customer.name", "input.notes", "input.reason"}
REFUSALS = {"InvalidInput", "NotFound", "NotAllowed"}


async def _post(guest: Visitor, document: str, variables: dict[str, Any]) -> tuple[httpx.Response, dict[str, Any]]:
    # Not httpx's own JSON, which cannot write half a character.
    body = json.dumps({"query": document, "variables": variables}, ensure_ascii=True).encode()
    response = await guest.client.http.post(
        guest.client.url, content=body, headers={"content-type": "application/json"}
    )
    return response, response.json()


async def _state(guest: Visitor) -> list[dict[str, Any]]:
    counts = ("booking", "customer", "hold", "allocation", "audit_entry", "booking_transition", "outbox_event")
    tables = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in (*counts, "schedule_version"))
    return await rows_of(guest.shop, f"SELECT {tables}, (SELECT sum(version) FROM booking) AS versions")


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_strings(journey: Journey, kind: str) -> None:
    guest = journey.guest
    before = await _state(guest)
    for operation, path in STRINGS:
        response, answer = await _post(guest, *journey.send_with(operation, path, HOSTILE[kind]))
        where = (operation, path, response.status_code, str(answer)[:500])
        if kind in HARMLESS and path in FREE_TEXTS:
            assert "errors" not in answer, where
            before = await _state(guest)  # it is text like any other, and kept as it is
            continue
        if "errors" in answer:
            codes = {error["extensions"]["code"] for error in answer["errors"]}
            assert codes <= {"BAD_INPUT", "NOT_FOUND", "UNAUTHENTICATED"}, where
        else:
            assert kind not in REFUSED_ANYWHERE, where
            [member] = answer["data"].values()
            assert member["__typename"] in REFUSALS, where
        assert response.status_code in {200, 400, 413}, where
        assert len(response.content) < 5_000, where
        assert await _state(guest) == before, where


WRONG_VALUES: list[tuple[str, str, Any]] = [
    ("holdSlot", "input.partySize", 2**53),
    ("holdSlot", "input.partySize", 1.5),
    ("holdSlot", "input.partySize", "1"),
    ("holdSlot", "input.partySize", True),
    ("holdSlot", "input.durationMinutes", 2**31),
    ("holdSlot", "input.durationMinutes", -(2**63)),
    ("holdSlot", "input.startsAt", "2026-11-25T10:00:00"),
    ("holdSlot", "input.startsAt", "2026-02-30T10:00:00Z"),
    ("holdSlot", "input.startsAt", "9999-12-31T23:59:59Z"),
    ("holdSlot", "input.startsAt", "0001-01-01T00:00:00Z"),
    ("holdSlot", "input.startsAt", "2026-11-25T25:00:00Z"),
    ("holdSlot", "input.startsAt", "2026-11-25T10:00:00+99:99"),
    ("holdSlot", "input.startsAt", 1_764_000_000),
    ("holdSlot", "input.startsAt", ""),
    ("holdSlot", "input.unknown", 1),
    ("holdSlot", "input", None),
    ("holdSlot", "input", []),
    ("createBooking", "input.customer", "Ana"),
    ("createBooking", "input.customer.name", None),
    ("createBooking", "input.customer.name", 5),
    ("createBooking", "input.customer.name", ["Ana"]),
    ("createBooking", "input.paymentMethod", "CASH"),
    ("createBooking", "input.paymentMethod", "pay_on_arrival"),
    ("createBooking", "input.paymentMethod", None),
    ("createBooking", "input.holdToken", None),
    ("cancelBooking", "input.expectedVersion", 2**53),
    ("cancelBooking", "input.expectedVersion", "1"),
    ("cancelBooking", "input.reason", None),
    ("rescheduleBooking", "input.startsAt", "tomorrow"),
    ("transitionBooking", "input.to", "GONE"),
    ("transitionBooking", "input.to", "confirmed"),
    ("publishSchedule", "input.weekly.0.open.0.start", "9:00"),
    ("publishSchedule", "input.weekly.0.open.0.start", "24:01"),
    ("publishSchedule", "input.weekly.0.open.0.end", "12:60"),
    ("publishSchedule", "input.weekly.0.open.0.end", None),
    ("publishSchedule", "input.weekly.0.weekday", "FUNDAY"),
    ("publishSchedule", "input.effectiveFrom", "2027-02-29"),
]


@pytest.mark.parametrize(("operation", "path", "value"), WRONG_VALUES, ids=[f"{p}={v!r}" for _, p, v in WRONG_VALUES])
async def test_values_of_the_wrong_kind_are_named(journey: Journey, operation: str, path: str, value: Any) -> None:
    before = await _state(journey.guest)
    _, answer = await _post(journey.guest, *journey.send_with(operation, path, value))
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_INPUT"
    [violation] = error["extensions"]["violations"]
    assert violation["path"] == path
    assert len(violation["message"]) > 8
    assert await _state(journey.guest) == before


IDS = [
    ("availability", "input.serviceId", "svc"),
    ("holdSlot", "input.serviceId", "svc"),
    ("holdSlot", "input.providerId", "prv"),
    ("releaseHold", "id", "hld"),
    ("extendHold", "id", "hld"),
    ("createBooking", "input.holdId", "hld"),
    ("cancelBooking", "input.bookingId", "bkg"),
    ("rescheduleBooking", "input.bookingId", "bkg"),
    ("rescheduleBooking", "input.providerId", "prv"),
    ("transitionBooking", "input.bookingId", "bkg"),
    ("booking", "id", "bkg"),
    ("publishSchedule", "input.ownerId", "prv"),
]
WRONG_IDS = [
    f"org_{UNKNOWN}",
    UNKNOWN,
    "",
    "_",
    "x",
    "{prefix}_",
    "{prefix}_" + UNKNOWN[:-1],
    "{prefix}_" + UNKNOWN.upper(),
    "{prefix}_8" + "z" * 25,
    "{prefix}_" + UNKNOWN + "\n",
    "{prefix}_" + "u" * 26,
    "019a9b0c-7d5e-7000-8000-000000000000",
]


@pytest.mark.parametrize(("operation", "path", "prefix"), IDS, ids=[f"{o}.{p}" for o, p, _ in IDS])
async def test_ids_of_the_wrong_kind_name_the_right_one(
    journey: Journey, operation: str, path: str, prefix: str
) -> None:
    argument = {"id": {"releaseHold": "holdId", "extendHold": "holdId"}.get(operation, "id")}
    for wrong in WRONG_IDS:
        sent = wrong.replace("{prefix}", prefix)
        guest = journey.guest
        if operation == "publishSchedule":
            guest = Visitor(guest.client.signed_in(guest.shop.owner.token), guest.shop)
        _, answer = await _post(guest, *journey.send_with(operation, path, sent))
        [error] = answer["errors"]
        [violation] = error["extensions"]["violations"]
        assert (error["extensions"]["code"], violation["path"]) == ("BAD_INPUT", argument.get(path, path))
        assert f"{prefix}_" in violation["message"]


async def test_another_tenants_ids_are_not_there(journey: Journey, services: Services, client: GraphQLClient) -> None:
    """Each operation answers the other shop's owner as if the id were unknown, byte for byte."""
    elsewhere = await make_shop(services)
    client = client.signed_in(elsewhere.owner.token)
    for operation, path, prefix in (
        ("rescheduleBooking", "input.bookingId", "bkg"),
        ("cancelBooking", "input.bookingId", "bkg"),
        ("transitionBooking", "input.bookingId", "bkg"),
        ("publishSchedule", "input.ownerId", "prv"),
        ("booking", "id", "bkg"),
    ):
        answers = []
        for value in (None, f"{prefix}_{UNKNOWN}"):
            document, variables = journey.operations[operation]
            if value is not None:
                document, variables = journey.send_with(operation, path, value)
            variables = json.loads(json.dumps(variables))
            variables.get("input", {}).pop("accessToken", None)
            variables.pop("token", None)
            answers.append(await client.raw(document, variables))
        assert answers[0] == answers[1], operation
        assert "NOT_FOUND" in str(answers[0])


async def test_everything_still_works_afterwards(journey: Journey) -> None:
    guest = journey.guest
    before = await _state(guest)
    for operation in ("extendHold", "rescheduleBooking", "cancelBooking", "createBooking", "holdSlot"):
        document, variables = journey.operations[operation]
        member = await guest.client(document, variables)
        assert member["__typename"] in {"Hold", "Booking", "CreateBookingPayload", "HoldSlotPayload"}, member
    assert await _state(guest) != before
