"""Why a slot is not free: every reason, its interval, and nothing private for guests."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.dialects.postgresql import Range

from app.core.ids import new_id
from app.domain.schedule import weekly_hours
from app.models import BlockedTime, Provider, ScheduleException
from app.models.base import Base
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.facts_guard import let_pass
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Visitor
from tests.schema import operations as op
from tests.shop import OFFICE, Shop, at, iso, make_shop, set_active

EXPLAIN = """
query ($serviceId: ID!, $providerId: ID!, $startsAt: DateTime!, $durationMinutes: Int, $partySize: Int! = 1) {
  explainSlot(serviceId: $serviceId, providerId: $providerId, startsAt: $startsAt, durationMinutes: $durationMinutes,
              partySize: $partySize) {
    isAvailable reasons { reason message from to bookingId }
  }
}
"""


def asked(shop: Shop, starts_at: datetime, **more: Any) -> dict[str, Any]:
    return {"serviceId": shop.service_id, "providerId": shop.provider_id, "startsAt": iso(starts_at), **more}


async def explained(client: GraphQLClient, shop: Shop, starts_at: datetime, **more: Any) -> list[dict[str, Any]]:
    found = await client(EXPLAIN, asked(shop, starts_at, **more))
    assert found["isAvailable"] is (not found["reasons"])
    reasons: list[dict[str, Any]] = found["reasons"]
    return reasons


async def put(shop: Shop, *rows: Base) -> None:
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        tx.add_all(rows)
        await tx.flush()
        await let_pass(tx)


async def close(shop: Shop, day: date, reason: str | None = None) -> None:
    """The provider's day, for good."""
    await put(
        shop,
        ScheduleException(
            id=new_id(),
            organization_id=shop.organization_uuid,
            owner_id=shop.provider_uuids[0],
            kind="closed",
            days=Range(day, day + timedelta(days=1)),
            reason=reason,
        ),
    )


def named(reasons: list[dict[str, Any]]) -> list[str]:
    return [one["reason"] for one in reasons]


async def test_a_free_slot_has_no_reasons(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, weekly=OFFICE)
    assert await explained(client, shop, at(2, 9)) == []


async def test_hours_breaks_notice_and_horizon(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(
        services, weekly=OFFICE, service={"advance_notice_minutes": 2_880, "maximum_advance_days": 10}
    )
    closed = await explained(client, shop, at(3, 18))
    assert named(closed) == ["CLOSED"]
    assert (closed[0]["from"], closed[0]["to"]) == (iso(at(3, 17)), iso(at(4, 9)))
    pause = await explained(client, shop, at(3, 12, 15))
    assert named(pause) == ["BREAK"]
    assert (pause[0]["from"], pause[0]["to"]) == (iso(at(3, 12)), iso(at(3, 13)))
    assert named(await explained(client, shop, at(1, 10))) == ["NOTICE"]
    assert named(await explained(client, shop, at(30, 20))) == ["CLOSED", "HORIZON"]


async def test_bookings_holds_and_buffers_without_a_word_of_whose(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, weekly=OFFICE, service={"buffer_after_minutes": 15})
    guest = Visitor(client, shop)
    made = await guest.booked(at(2, 10))
    await guest.held(at(2, 14))
    booked = await explained(client, shop, at(2, 10))
    assert named(booked) == ["BOOKED"]
    assert booked[0]["bookingId"] is None
    assert "buffers" not in booked[0]["message"]
    assert named(await explained(client, shop, at(2, 14))) == ["HELD"]
    assert named(await explained(client, shop, at(2, 10, 30))) == ["BUFFER"]
    staff = client.signed_in(shop.owner.token)
    seen = await explained(staff, shop, at(2, 10))
    assert seen[0]["bookingId"] == made.id
    assert (seen[0]["from"], seen[0]["to"]) == (iso(at(2, 10)), iso(at(2, 10, 30)))


async def test_time_off_is_told_without_its_reason_or_its_length(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, weekly=OFFICE)
    facts = {"organization_id": shop.organization_uuid, "subject_id": shop.provider_uuids[0]}
    await put(
        shop,
        BlockedTime(
            id=new_id(), kind="time_off", starts_at=at(2, 0), ends_at=at(9, 0), reason="Surgery in Rosario", **facts
        ),
    )
    [guests] = await explained(client, shop, at(3, 10))
    assert guests["reason"] == "TIME_OFF"
    assert (guests["from"], guests["to"]) == (iso(at(3, 0)), iso(at(4, 0)))
    assert "Surgery" not in guests["message"]
    [staffs] = await explained(client.signed_in(shop.owner.token), shop, at(3, 10))
    assert "Surgery in Rosario" in staffs["message"]
    assert (staffs["from"], staffs["to"]) == (iso(at(2, 0)), iso(at(9, 0)))


async def test_a_closed_day_and_a_day_at_its_limit(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, weekly=OFFICE)
    day = at(3, 0).date()
    await close(shop, day, "Family matters")
    [closed] = await explained(client, shop, at(3, 10))
    assert closed["reason"] == "CLOSED"
    assert "Family" not in closed["message"]
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        provider = await tx.get_one(Provider, shop.provider_uuids[0])
        provider.daily_booking_limit = 1
        await tx.flush()
        await let_pass(tx)
    await Visitor(client, shop).booked(at(4, 10))
    [limit] = await explained(client, shop, at(4, 15))
    assert limit["reason"] == "LIMIT"
    assert (limit["from"], limit["to"]) == (iso(at(4, 0)), iso(at(5, 0)))


async def test_closed_until_it_really_opens(services: Services, client: GraphQLClient) -> None:
    """Open one day a week: the next of these is closed, and the hours of the one after it are new."""
    once_a_week = (weekly_hours(at(2, 0).weekday(), [(9 * 60, 17 * 60)]),)
    shop = await make_shop(services, weekly=once_a_week)
    await close(shop, at(9, 0).date())
    told = await explained(client, shop, at(3, 10))
    assert [(one["from"], one["to"]) for one in told] == [(iso(at(2, 17)), iso(at(16, 9)))]
    later = {"weekday": f"{at(16, 0):%A}".upper(), "open": [{"start": "11:00", "end": "15:00"}]}
    published = {"ownerId": shop.provider_id, "effectiveFrom": f"{at(15, 0):%Y-%m-%d}", "weekly": [later]}
    await client.signed_in(shop.owner.token)(op.PUBLISH, {"input": published})
    told = await explained(client, shop, at(3, 10))
    assert [(one["from"], one["to"]) for one in told] == [(iso(at(2, 17)), iso(at(16, 11)))]


async def test_several_reasons_at_once(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, weekly=OFFICE)
    await Visitor(client, shop).booked(at(2, 10))
    facts = {"organization_id": shop.organization_uuid, "subject_id": shop.provider_uuids[0]}
    await put(shop, BlockedTime(id=new_id(), kind="time_off", starts_at=at(2, 10), ends_at=at(2, 11), **facts))
    assert named(await explained(client, shop, at(2, 10))) == ["TIME_OFF", "BOOKED"]


async def test_what_is_switched_off(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, weekly=OFFICE)
    staff = client.signed_in(shop.owner.token)
    await set_active(shop, "provider", shop.provider_uuids[0], False)
    hidden = await client.raw(EXPLAIN, asked(shop, at(2, 10)))
    assert hidden["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert named(await explained(staff, shop, at(2, 10))) == ["INACTIVE"]


@pytest.mark.parametrize("more", [{}, {"durationMinutes": 7, "partySize": 999}])
async def test_a_service_that_guests_cannot_see(
    services: Services, client: GraphQLClient, more: dict[str, Any]
) -> None:
    shop = await make_shop(services, weekly=OFFICE)
    await set_active(shop, "service", shop.service_uuids[0], False)
    hidden = await client.raw(EXPLAIN, asked(shop, at(2, 10), **more))
    assert [error["extensions"]["code"] for error in hidden["errors"]] == ["NOT_FOUND"]
    assert named(await explained(client.signed_in(shop.owner.token), shop, at(2, 10))) == ["INACTIVE"]


async def test_what_ends_the_day_before_has_no_interval_upside_down(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"buffer_before_minutes": 15, "buffer_after_minutes": 0})
    await Visitor(client, shop).booked(at(2, 23, 30))
    [reason] = await explained(client, shop, at(3, 0))
    assert (reason["reason"], reason["from"], reason["to"]) == ("BUFFER", iso(at(2, 23, 15)), iso(at(3, 0)))


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"durationMinutes": -1}, "durationMinutes"),
        ({"durationMinutes": 31}, "durationMinutes"),
        ({"partySize": 0}, "partySize"),
        ({"partySize": 2}, "partySize"),
        ({"serviceId": "prv_01h2xcejqtf2nbrexx3vqjhp41"}, "serviceId"),
        ({"providerId": "x"}, "providerId"),
        ({"startsAt": "2026-05-04T10:00:00"}, "startsAt"),
    ],
)
async def test_absurd_questions(services: Services, client: GraphQLClient, more: dict[str, Any], path: str) -> None:
    shop = await make_shop(services)
    answer = await client.raw(EXPLAIN, asked(shop, at(2, 10), **more))
    error = answer["errors"][0]
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert path in str(error)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1900-01-01T00:00:00Z"])
async def test_the_ends_of_time(services: Services, client: GraphQLClient, moment: str) -> None:
    shop = await make_shop(services)
    answer = await client.raw(EXPLAIN, {**asked(shop, at(2, 10)), "startsAt": moment})
    if "errors" in answer:
        assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"
    else:
        assert answer["data"]["explainSlot"]["isAvailable"] is False


async def test_another_tenants_provider_is_not_there(services: Services, client: GraphQLClient) -> None:
    shop, other = await make_shop(services), await make_shop(services)
    answer = await client.raw(EXPLAIN, {**asked(shop, at(2, 10)), "providerId": other.provider_id})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_statements(services: Services, client: GraphQLClient, statements: StatementLog) -> None:
    shop = await make_shop(services, weekly=OFFICE)
    await Visitor(client, shop).booked(at(2, 10))
    statements.clear()
    await explained(client, shop, at(2, 10))
    assert len(statements) <= 3, statements.statements
    statements.clear()
    await explained(client.signed_in(shop.owner.token), shop, at(2, 10))
    assert len(statements) <= 4, statements.statements
