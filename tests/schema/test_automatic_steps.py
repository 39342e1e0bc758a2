"""What the clock does: no-shows and completion where the organization wants it, and never beside the money."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from app.commands import automatic, booking_change
from app.commands.automatic import take_automatic_steps
from app.core.database import Database, Tx
from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.models import Booking
from app.resolvers.context import Services
from tests import sweeps
from tests.fees import set_terms
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Answer, Made, Visitor, colleague, live_time
from tests.paying import Payer, Paying, ledger_of, owner_of
from tests.shop import at, make_shop
from tests.sweeps import UPDATE_ORGANIZATION, sweep

TIMES = """query ($id: ID!) { booking(id: $id) {
  status checkedInAt startedAt completedAt noShowAt transitions { to actor channel } } }"""


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


@pytest.fixture
async def owner(guest: Visitor, client: GraphQLClient) -> Visitor:
    return await colleague(client, guest.shop, Role.ADMIN)


async def leave_to_the_clock(owner: Visitor, **settings: Any) -> Answer:
    wanted = {"organizationId": owner.shop.organization_id, **settings}
    answer: Answer = await owner.client(UPDATE_ORGANIZATION, {"input": wanted})
    return answer


async def state(visitor: Visitor, made: Made) -> Answer:
    found: Answer = await visitor.client(TIMES, {"id": made.id})
    return found


async def test_off_by_default(guest: Visitor, owner: Visitor, worker: Database, clock: MovableClock) -> None:
    made = await guest.booked(at(3, 10))
    clock.move_to(at(5, 0))
    await sweep(worker, clock, take_automatic_steps)
    assert (await state(owner, made))["status"] == "CONFIRMED"


async def test_who_did_not_come_and_what_is_over(
    guest: Visitor, owner: Visitor, worker: Database, clock: MovableClock
) -> None:
    await leave_to_the_clock(owner, autoNoShowAfterMinutes=15, autoCompleteAfterMinutes=60)
    missed, seen = await guest.booked(at(3, 10)), await guest.booked(at(3, 11))
    clock.move_to(at(3, 10, 14))
    await sweep(worker, clock, take_automatic_steps)
    assert (await state(owner, missed))["status"] == "CONFIRMED"
    await owner.stepped(seen, "CHECKED_IN")
    clock.move_to(at(3, 10, 16))
    await sweep(worker, clock, take_automatic_steps)
    found = await state(owner, missed)
    assert (found["status"], found["checkedInAt"], found["noShowAt"] is None) == ("NO_SHOW", None, False)
    assert found["transitions"][-1] == {"to": "NO_SHOW", "actor": "system", "channel": "job"}
    assert await live_time(guest.shop) == [(at(3, 11), at(3, 11, 30), "booked")]
    clock.move_to(at(3, 12, 29))
    await sweep(worker, clock, take_automatic_steps)
    assert (await state(owner, seen))["status"] == "CHECKED_IN"
    clock.move_to(at(3, 12, 31))
    await sweep(worker, clock, take_automatic_steps)
    found = await state(owner, seen)
    assert (found["status"], found["noShowAt"], found["completedAt"] is None) == ("COMPLETED", None, False)
    corrected = await owner.step(missed, "CHECKED_IN", reason="Was there")
    assert corrected["status"] == "CHECKED_IN"
    assert (await state(owner, missed))["noShowAt"] is None


async def test_one_that_fails_holds_up_no_other(
    guest: Visitor, owner: Visitor, worker: Database, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is undone to the last trace, and tried again by the next sweep."""
    await leave_to_the_clock(owner, autoNoShowAfterMinutes=15)
    failing, other = await guest.booked(at(3, 10)), await guest.booked(at(3, 11))

    async def apply_transition(tx: Tx, booking: Booking, *arguments: Any) -> None:
        await booking_change.apply_transition(tx, booking, *arguments)
        if booking.id == decode_id(IdKind.BOOKING, failing.id):
            await tx.execute(text("SELECT 1 / 0"))

    clock.move_to(at(3, 12))
    monkeypatch.setattr(automatic, "apply_transition", apply_transition)
    monkeypatch.setattr(sweeps, "BATCH", 1)  # it alone fills one
    await sweep(worker, clock, take_automatic_steps)
    assert [(await state(owner, one))["status"] for one in (failing, other)] == ["CONFIRMED", "NO_SHOW"]
    monkeypatch.undo()
    await sweep(worker, clock, take_automatic_steps)
    assert (await state(owner, failing))["status"] == "NO_SHOW"


async def test_completed_though_nobody_checked_in(
    guest: Visitor, owner: Visitor, worker: Database, clock: MovableClock
) -> None:
    """Only where no-shows are not marked; and not while something has to be paid first."""
    await leave_to_the_clock(owner, autoCompleteAfterMinutes=0)
    made = await guest.booked(at(3, 10))
    await set_terms(guest, balance_required_at_check_in=True)
    clock.move_to(at(3, 10, 31))
    await sweep(worker, clock, take_automatic_steps)
    assert (await state(owner, made))["status"] == "CONFIRMED"
    await set_terms(guest, balance_required_at_check_in=False)
    await sweep(worker, clock, take_automatic_steps)
    assert (await state(owner, made))["status"] == "COMPLETED"


async def test_nobodys_past_is_judged(guest: Visitor, owner: Visitor, worker: Database, clock: MovableClock) -> None:
    old = await guest.booked(at(1, 10))
    new = await guest.booked(at(3, 10))
    clock.move_to(at(2, 0))
    await leave_to_the_clock(owner, autoNoShowAfterMinutes=15)
    clock.move_to(at(3, 11))
    await sweep(worker, clock, take_automatic_steps)
    assert [(await state(owner, one))["status"] for one in (old, new)] == ["CONFIRMED", "NO_SHOW"]
    stopped = await leave_to_the_clock(owner, autoNoShowAfterMinutes=None)
    assert stopped["organization"]["autoNoShowAfterMinutes"] is None


async def test_workers_side_by_side_take_each_step_once(
    guest: Visitor, owner: Visitor, worker: Database, clock: MovableClock
) -> None:
    await leave_to_the_clock(owner, autoNoShowAfterMinutes=15)
    made = [await guest.booked(at(3, hour)) for hour in range(9, 15)]
    clock.move_to(at(3, 16))
    counts = await asyncio.gather(*(sweep(worker, clock, take_automatic_steps) for _ in range(2)))
    counts.append(await sweep(worker, clock, take_automatic_steps))
    assert sum(counts) >= len(made)
    for one in made:
        found = await state(owner, one)
        assert [step["to"] for step in found["transitions"]] == ["PENDING", "CONFIRMED", "NO_SHOW"]


async def test_one_in_somebodys_hands_is_left_alone(
    guest: Visitor, owner: Visitor, worker: Database, clock: MovableClock
) -> None:
    """The staff and the clock at the same moment: one step, and whoever was first."""
    await leave_to_the_clock(owner, autoNoShowAfterMinutes=1)
    made = await guest.booked(at(3, 10))
    clock.move_to(at(3, 10, 2))
    await asyncio.gather(owner.step(made, "CHECKED_IN", expectedVersion=1), sweep(worker, clock, take_automatic_steps))
    await sweep(worker, clock, take_automatic_steps)
    found = await state(owner, made)
    assert found["status"] in {"CHECKED_IN", "NO_SHOW"}
    assert len(found["transitions"]) == 3


async def test_its_money_follows_as_if_the_staff_had_said_so(payer: Payer, paying: Paying) -> None:
    """By the policy that was frozen with the booking; a correction makes what went back due again."""
    await set_terms(payer, no_show_refund_bps=5_000)
    office = owner_of(paying, payer.shop)
    await leave_to_the_clock(office, autoNoShowAfterMinutes=15, autoCompleteAfterMinutes=0)
    missed, served = [await payer.paid(paying, at(3, hour)) for hour in (10, 12)]
    await set_terms(payer, no_show_refund_bps=0)
    paying.api.clock.move_to(at(3, 10, 16))
    await sweep(paying.worker, paying.api.clock, take_automatic_steps)
    await paying.work("execute_refund")
    seen = await payer.read(missed, missed.token)
    assert (seen["status"], seen["paymentStatus"]) == ("NO_SHOW", "PARTIALLY_REFUNDED")
    assert await ledger_of(office.client, missed) == {"customer": -1_000, "refunds": 500, "organization": 500}
    paying.api.clock.move_to(at(3, 12, 1))
    await office.stepped(served, "IN_PROGRESS")
    paying.api.clock.move_to(at(3, 12, 31))
    await sweep(paying.worker, paying.api.clock, take_automatic_steps)
    assert (await payer.read(served, served.token))["status"] == "COMPLETED"
    assert await ledger_of(office.client, served) == {"customer": -1_000, "organization": 1_000}


@pytest.mark.parametrize(
    "wrong",
    [
        {"approvalHours": 0},
        {"approvalHours": 721},
        {"approvalHours": None},
        {"autoCompleteAfterMinutes": -1},
        {"autoCompleteAfterMinutes": 2**31 - 1},
        {"autoNoShowAfterMinutes": 0},
    ],
)
async def test_settings_that_cannot_be(owner: Visitor, wrong: dict[str, Any]) -> None:
    refused = await leave_to_the_clock(owner, **wrong)
    assert refused["violations"][0]["path"] == f"input.{next(iter(wrong))}"


async def test_only_an_admin_sets_them(guest: Visitor, client: GraphQLClient) -> None:
    staff = await colleague(client, guest.shop, Role.STAFF)
    assert (await leave_to_the_clock(staff, approvalHours=2))["rule"] == "role"
