"""What was agreed stays: prices, notices, limits and texts of a booking, whatever is changed afterwards."""

from __future__ import annotations

from typing import Any

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fees import set_terms
from tests.fixtures_api import GraphQLClient
from tests.journey import Answer, Made, Visitor, colleague, rows_of
from tests.shop import at, make_shop

AGREED = """query ($id: ID!, $token: String) { booking(id: $id, accessToken: $token) {
  price { amountMinor } tax { amountMinor } priceLines { amount { amountMinor } }
  cancellationTerms { refund { amountMinor } fee { amountMinor } freeUntil }
  expiresAt reschedulesLeft reschedulableUntil version startsAt endsAt timeZone
  terms {
    items { name description providerName venueName venueAddress }
    cancellation cancellationNoticeMinutes maximumReschedules rescheduleNoticeMinutes approvalHours
  }
} }"""

CHANGES = {
    "service": """name = 'Other', description = 'Other', price_minor = 99, cancellation_notice_minutes = 1,
        requires_approval = false, maximum_reschedules = 0, reschedule_notice_minutes = 5000""",
    "activity": """name = 'Other', description = 'Other', price_minor = 99, cancellation_notice_minutes = 1,
        maximum_reschedules = 0, reschedule_notice_minutes = 5000""",
    "provider": "name = 'Other', bio = 'Other'",
    "venue": "name = 'Other', address = 'Elsewhere 1', time_zone = 'Asia/Tokyo'",
    "organization": "approval_hours = 1",
}


async def agreed(guest: Visitor, made: Made) -> Answer:
    found: Answer = await guest.client(AGREED, {"id": made.id, "token": made.token})
    return found


async def change_everything(guest: Visitor) -> None:
    """All that the shop could change, and more."""
    for table, changes in CHANGES.items():
        await rows_of(guest.shop, f"UPDATE {table} SET {changes} RETURNING 1")
    await set_terms(guest, late_refund_bps=0, no_show_fee_bps=10_000, late_fee_bps=10_000, tax_bps=2_100)


async def test_of_an_appointment(services: Services, client: GraphQLClient) -> None:
    limits: dict[str, Any] = {"maximum_reschedules": 2, "description": "A cut", "requires_approval": True}
    guest = Visitor(client, await make_shop(services, providers=2, service=limits))
    await rows_of(guest.shop, "UPDATE venue SET address = 'Thames 1' RETURNING 1")
    await set_terms(guest, late_refund_bps=5_000, no_show_fee_bps=2_500)
    made = await guest.booked(at(3, 10), hold={"providerId": guest.shop.provider_ids[0]})
    before = await agreed(guest, made)
    [item] = before["terms"]["items"]
    assert item == {
        "name": "Service",
        "description": "A cut",
        "providerName": item["providerName"],
        "venueName": "Venue",
        "venueAddress": "Thames 1",
    }
    assert item["providerName"].startswith("Provider ")
    assert before["terms"]["cancellation"] == (
        "Cancelling is free of charge until 1 day before the start. After that 50 % of what was paid is given back."
        " If nobody comes, nothing of what was paid is given back, and at least 25 % of the price is owed."
    )
    assert (before["terms"]["maximumReschedules"], before["terms"]["approvalHours"]) == (2, 24)
    await change_everything(guest)
    assert await agreed(guest, made) == before


async def test_who_takes_over_is_named(services: Services, client: GraphQLClient) -> None:
    """A move to somebody else changes with whom, and no other text."""
    guest = Visitor(client, await make_shop(services, providers=2))
    staff = await colleague(client, guest.shop, Role.STAFF)
    made = await guest.booked(at(3, 10), hold={"providerId": guest.shop.provider_ids[0]})
    before = (await agreed(guest, made))["terms"]
    await rows_of(guest.shop, "UPDATE service SET name = 'Other' RETURNING 1")
    moved = await staff.move(made, providerId=guest.shop.provider_ids[1])
    assert moved["__typename"] == "Booking"
    after = (await agreed(guest, made))["terms"]
    assert {before["items"][0]["providerName"], after["items"][0]["providerName"]} == {"Provider 0", "Provider 1"}
    assert after["items"][0] == {**before["items"][0], "providerName": after["items"][0]["providerName"]}
    assert {**after, "items": None} == {**before, "items": None}


async def test_of_a_visit(services: Services, client: GraphQLClient) -> None:
    guest = Visitor(client, await make_shop(services, more_services=({"description": "Second"},)))
    items = [{"serviceId": one} for one in guest.shop.service_ids]
    made = await guest.booked(at(3, 10), hold={"serviceId": None, "items": items})
    before = await agreed(guest, made)
    assert [one["description"] for one in before["terms"]["items"]] == [None, "Second"]
    await change_everything(guest)
    assert await agreed(guest, made) == before


async def test_of_a_session(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, description="Slow")
    made = await yoga.booked((await yoga.at(at(3, 9)))["id"], 2)
    before = await agreed(yoga.guest, made)
    [item] = before["terms"]["items"]
    assert (item["name"], item["description"], item["providerName"], item["venueName"]) == (
        "Yoga",
        "Slow",
        None,
        "Venue",
    )
    await change_everything(yoga.guest)
    assert await agreed(yoga.guest, made) == before
