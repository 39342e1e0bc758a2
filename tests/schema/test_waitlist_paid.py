"""An offer that is paid online: its price was locked, and money goes its usual ways."""

from __future__ import annotations

from tests.classes import make_class
from tests.fees import booked_with, seen
from tests.journey import rows_of
from tests.paying import Payer, Paying
from tests.shop import at
from tests.waiting import waiting


async def test_paid_or_given_up(paying: Paying) -> None:
    """Accepted while it waits for the payment; cancelled before that, it is the next one's."""
    yoga = await make_class(paying.client, paying.api.api.services, capacity=1)
    payer = Payer(paying.client, yoga.shop)
    session = (await yoga.at(at(2, 9)))["id"]
    booked = await yoga.booked(session)
    first, second = [await waiting(paying.client, sessionId=session) for _ in range(2)]
    await yoga.guest.cancel(booked, accessToken=booked.token)
    held = await first.offered()
    await rows_of(
        yoga.shop, "UPDATE activity SET price_minor = 9_999 WHERE id = :id RETURNING id", id=yoga.activity_uuid
    )
    given_up = await booked_with(payer, held, paymentMethod="PAY_NOW")
    assert (await seen(payer, given_up))["status"] == "PENDING"
    assert (await first.status(), await second.status()) == ("ACCEPTED", "WAITING")
    cancelled = await payer.cancel(given_up, accessToken=given_up.token)
    assert cancelled["__typename"] == "Booking", cancelled
    assert (await first.status(), await second.status()) == ("ACCEPTED", "OFFERED")
    made = await booked_with(payer, await second.offered(), paymentMethod="PAY_NOW")
    await paying.pay(made)
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"
    prices = await rows_of(
        yoga.shop,
        "SELECT price_minor FROM booking WHERE organization_id = :id ORDER BY id",
        id=yoga.shop.organization_uuid,
    )
    assert [row["price_minor"] for row in prices] == [1_500, 1_500, 9_999]
