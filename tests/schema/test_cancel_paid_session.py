"""A session that is called off gives back what was paid for it."""

from __future__ import annotations

from tests.classes import faults, make_class
from tests.fees import booked_with, seen
from tests.paying import Payer, Paying, ledger_of
from tests.shop import at


async def test_what_was_paid_goes_back(paying: Paying) -> None:
    yoga = await make_class(paying.client, paying.api.api.services)
    payer = Payer(paying.client, yoga.shop)
    session = await yoga.at(at(2, 9))
    made = await booked_with(payer, await yoga.held(session["id"]), paymentMethod="PAY_NOW")
    await paying.pay(made)
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"
    waiting = await booked_with(payer, await yoga.held(session["id"]), paymentMethod="PAY_NOW")
    unpaid = await yoga.booked(session["id"])
    done = await yoga.staff("cancelSession", session["id"], reason="The teacher is ill", others="CANCEL")
    assert done["session"]["placesTaken"] == 0
    await paying.work()
    booking = await seen(payer, made)
    assert (booking["status"], booking["paymentStatus"]) == ("REFUNDED", "REFUNDED")
    assert {(await seen(payer, one))["status"] for one in (unpaid, waiting)} == {"CANCELLED"}
    assert [one.status for one in await paying.intents(waiting)] == ["canceled"]
    assert await faults(yoga.shop) == []
    assert await ledger_of(yoga.owner, made) == {"customer": -1_500, "refunds": 1_500}
