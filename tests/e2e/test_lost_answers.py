"""What random checkouts met, once each and without chance: above all answers that stay lost for longer than a processor
remembers its idempotency keys."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.checkout.payment import open_payment
from app.checkout.refund import execute_refund
from app.commands.actor import SYSTEM
from app.commands.booking import Booked
from app.domain.booking import BookingStatus
from app.gateway import GatewayUnknown
from tests.conftest import Databases
from tests.e2e.checkout_guests import Order, Visit
from tests.e2e.checkout_world import make_world
from tests.e2e.checkouts import Run, prepared
from tests.paying import GOOD

A_DAY_LATER = timedelta(hours=25)
PRICE = 3_330


class Steady(random.Random):
    """Nobody is killed, nothing comes twice."""

    def random(self) -> float:
        return 0.5


@pytest.fixture(scope="module")
async def run(databases: Databases, redis_url: str) -> AsyncIterator[Run]:
    async with make_world(databases.create(), redis_url, Steady()) as world:
        yield await prepared(world, "USD")


async def booked(run: Run, **wanted: Any) -> Booked:
    """In an hour or two, with the first provider, who is paid out."""
    start = (run.world.now() + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    provider = run.office.payees[0]
    service = run.people.shop.service_uuids[1]
    return await run.people.book(Order(provider, service, start, payees=(provider,), **wanted))


async def paid(run: Run, **wanted: Any) -> Visit:
    made = await booked(run, **wanted)
    assert made.payment is not None
    shown = await open_payment(run.world.guests, made.booking, made.payment, actor=SYSTEM)
    assert shown.payment.processor_id is not None
    await run.people.card(shown.payment.processor_id, GOOD)
    await run.people.look_again(made)
    visit = Visit(made.booking.id, run.office.payees[0], made.booking.starts_at)
    assert await status(run, visit) == "confirmed"
    return visit


async def served(run: Run, **wanted: Any) -> Visit:
    visit = await paid(run, **wanted)
    run.world.wait(timedelta(hours=3))
    assert await run.people.step(visit, BookingStatus.COMPLETED)
    return visit


async def status(run: Run, visit: Visit) -> str:
    [row] = await run.world.rows("SELECT status FROM booking WHERE id = :id", id=visit.booking_id)
    return str(row["status"])


async def payment(run: Run, booking_id: UUID) -> dict[str, Any]:
    """What it was booked with."""
    [row] = await run.world.rows("SELECT * FROM payment WHERE booking_id = :id AND kind = 'booking'", id=booking_id)
    return row


async def lose(run: Run, match: str, times: int) -> None:
    """So many answers: what was asked for is done."""
    assert await run.world.control("faults", kind="lost_answer", match=match, times=times)


async def listed(run: Run, path: str) -> list[Any]:
    page = await run.world.at_stripe("GET", path)
    assert page is not None
    return list(page["data"])


async def sent(run: Run) -> tuple[dict[str, Any], list[Any]]:
    """The newest payout, and the transfers that the processor has for it."""
    [payout] = await run.world.rows("SELECT * FROM payout ORDER BY id DESC LIMIT 1")
    return payout, await listed(run, f"transfers?transfer_group={payout['id']}")


async def test_a_refund_whose_answer_was_lost_is_made_once_though_its_key_is_forgotten(run: Run) -> None:
    visit = await paid(run)
    await run.people.refund(visit, 330)
    await lose(run, "POST /v1/refunds", 1)
    await run.office.work()
    assert run.world.seen["execute_refund failed: GatewayUnknown"] == 1
    run.world.wait(A_DAY_LATER)
    await run.office.work()
    known = await payment(run, visit.booking_id)
    made = await listed(run, f"refunds?payment_intent={known['processor_id']}")
    assert [one["amount"] for one in made] == [330]
    [refund] = await run.world.rows("SELECT status FROM refund WHERE booking_id = :id", id=visit.booking_id)
    assert (known["refunded_minor"], refund["status"]) == (330, "succeeded")


async def test_a_payment_whose_opening_was_never_answered_is_ended_where_it_is(run: Run) -> None:
    made = await booked(run)
    assert made.payment is not None
    await lose(run, "POST /v1/payment_intents", 2)
    with pytest.raises(GatewayUnknown):
        await open_payment(run.world.guests, made.booking, made.payment, actor=SYSTEM)
    run.world.wait(A_DAY_LATER)
    await run.office.work()
    intents = await listed(run, "payment_intents?limit=100")
    ours = [one["status"] for one in intents if one["metadata"].get("turnero_payment") == str(made.payment.id)]
    assert ours == ["canceled"]
    assert (await payment(run, made.booking.id))["status"] == "cancelled"


async def test_a_payout_whose_answer_was_lost_is_sent_once_though_its_key_is_forgotten(run: Run) -> None:
    await served(run)
    run.world.wait(timedelta(days=3))
    await run.office.plan()
    await lose(run, "POST /v1/transfers", 2)
    await run.office.work()
    assert (await sent(run))[0]["status"] == "sending"
    run.world.wait(A_DAY_LATER)
    await run.office.work()
    payout, transfers = await sent(run)
    assert (payout["status"], [one["amount"] for one in transfers]) == ("sent", [payout["amount_minor"]])


async def test_a_reversal_whose_answer_was_lost_is_made_once_though_its_key_is_forgotten(run: Run) -> None:
    visit = await served(run)
    run.world.wait(timedelta(days=3))
    await run.office.plan()
    await run.office.work()
    await run.people.refund(visit, 1_000)
    await run.office.work()
    await lose(run, "POST /v1/transfers/*/reversals", 2)
    await run.office.plan()
    await run.office.work()
    run.world.wait(A_DAY_LATER)
    await run.office.work()
    _, transfers = await sent(run)
    assert [one["amount_reversed"] for one in transfers] == [900]
    owed = "SELECT sum(owed_minor) AS owed FROM provider_payable WHERE booking_id = :id"
    assert (await run.world.rows(owed, id=visit.booking_id))[0]["owed"] == 0


@pytest.mark.parametrize("is_back_before", [True, False])
async def test_a_booking_whose_fee_is_still_to_be_charged_is_not_refunded(run: Run, is_back_before: bool) -> None:
    """Its deposit is back before or after nobody came."""
    visit = await paid(run, deposit_bps=3_000)
    await run.people.refund(visit)
    [refund] = await run.world.rows("SELECT id FROM refund WHERE booking_id = :id", id=visit.booking_id)
    if is_back_before:
        await execute_refund(run.world.workers, refund["id"])
    run.world.wait(timedelta(hours=3))
    assert await run.people.step(visit, BookingStatus.NO_SHOW)
    await execute_refund(run.world.workers, refund["id"])
    assert (await payment(run, visit.booking_id))["refunded_minor"] == PRICE * 3 // 10
    assert await status(run, visit) == "no_show"
    await run.office.work()
    [fee] = await run.world.rows("SELECT * FROM booking_fee WHERE booking_id = :id", id=visit.booking_id)
    assert (fee["status"], await status(run, visit)) == ("charged", "no_show")
    await run.people.waive(visit)
    await run.office.work()
    assert await status(run, visit) == "refunded"


async def test_nothing_is_left_that_differs(run: Run) -> None:
    """After all of the above."""
    await run.peace()
    assert await run.faults() == []
