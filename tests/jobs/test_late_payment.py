"""A payment that lands after its booking expired, when what it was for is not to be had any more: all goes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from tests.classes import Class, faults, make_class
from tests.groups import booked_as
from tests.journey import Made, Visitor, hours, live_time, rows_of
from tests.paying import Payer, Paying, ledger_of, owner_of, pay_whatever, sweep_unpaid
from tests.schema.test_time_off import CREATE
from tests.shop import at, iso, set_active

LONG_AFTER = timedelta(minutes=40)
Closing = Callable[[Visitor], Awaitable[None]]


async def expired(paying: Paying) -> None:
    paying.api.clock.move(LONG_AFTER)
    await sweep_unpaid(paying)


async def time_off(owner: Visitor) -> None:
    wanted = {"providerId": owner.shop.provider_id, "startsAt": iso(at(2, 8)), "endsAt": iso(at(2, 18))}
    answer = await owner.client(CREATE, {"input": wanted})
    assert answer["__typename"] == "CreateTimeOffPayload", answer


async def other_hours(owner: Visitor) -> None:
    answer = await owner.publish(hours(("14:00", "16:00")))
    assert answer["__typename"] == "PublishSchedulePayload", answer


async def no_such_service(owner: Visitor) -> None:
    await set_active(owner.shop, "service", owner.shop.service_uuids[0], is_active=False)


async def gone_provider(owner: Visitor) -> None:
    await set_active(owner.shop, "provider", owner.shop.provider_uuids[0], is_active=False)


@pytest.mark.parametrize("close", [time_off, other_hours, no_such_service, gone_provider])
async def test_nobody_pays_for_a_time_that_was_closed_since(payer: Payer, paying: Paying, close: Closing) -> None:
    made = await payer.pay_now(at(2, 10))
    await expired(paying)
    owner = owner_of(paying, payer.shop)
    await close(owner)
    await pay_whatever(paying, made)
    await paying.pass_on()
    assert await paying.work("execute_refund") == 1
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("REFUNDED", "REFUNDED")
    assert await live_time(payer.shop) == []
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "refunds": 1_000}


@pytest.fixture
async def yoga(paying: Paying) -> Class:
    return await make_class(paying.client, paying.api.api.services)


async def places(yoga: Class, paying: Paying) -> tuple[Made, str]:
    """Two that expired unpaid, and their session."""
    session = await yoga.at(at(2, 9))
    made = await booked_as(yoga, await yoga.held(session["id"], 2), paymentMethod="PAY_NOW")
    await expired(paying)
    return made, session["id"]


@pytest.mark.parametrize(
    ("operation", "how"), [("cancelSession", {"reason": "The teacher is ill"}), ("closeSession", {})]
)
async def test_nobody_pays_for_a_session_that_takes_nobody_any_more(
    yoga: Class, paying: Paying, operation: str, how: dict[str, str]
) -> None:
    made, session = await places(yoga, paying)
    done = await yoga.staff(operation, session, **how)
    assert "session" in done, done
    await pay_whatever(paying, made)
    await paying.pass_on()
    assert await paying.work("execute_refund") == 1
    assert (await Payer(paying.client, yoga.shop).seen(made))["status"] == "REFUNDED"
    assert (await yoga.read(session))["placesTaken"] == 0
    assert await faults(yoga.shop) == []


async def test_places_that_are_left_are_taken_again(yoga: Class, paying: Paying) -> None:
    made, _ = await places(yoga, paying)
    await pay_whatever(paying, made)
    await paying.pass_on()
    assert (await Payer(paying.client, yoga.shop).seen(made))["status"] == "CONFIRMED"
    held = await rows_of(yoga.shop, "SELECT taken FROM activity_session WHERE taken > 0")
    assert [row["taken"] for row in held] == [2]
    assert await faults(yoga.shop) == []
