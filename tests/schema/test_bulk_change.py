"""planBulkChange, commitBulkChange, stopBulkChange: a whole day is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.commands import bulk as commands
from app.commands.booking_change import transition_booking
from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.jobs import bulk as job
from app.jobs.bulk import BulkJobs
from app.resolvers.context import Services
from tests.bulk import Planner, Worker, a_worker, results, steps_of
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi
from tests.journey import Made, Visitor, audit_of, colleague, live_time, rows_of
from tests.shop import Shop, at, make_shop

DAY, NEXT = at(3, 0), at(4, 0)
ROOF = "The roof leaks."


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2)


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Visitor:
    return Visitor(client, shop)


@pytest.fixture
async def staff(client: GraphQLClient, shop: Shop) -> Planner:
    return Planner((await colleague(client, shop, Role.STAFF)).client, shop)


@pytest.fixture
async def worker(database_url: str, running: RunningApi) -> AsyncIterator[Worker]:
    async with a_worker(database_url, running) as made:
        yield made


async def booked(guest: Visitor, *hours: int, provider: int = 0, day: int = 3) -> list[Made]:
    chosen = {"providerId": guest.shop.provider_ids[provider]}
    return [await guest.booked(at(day, hour), hold=chosen) for hour in hours]


async def statuses(shop: Shop, *made: Made) -> list[str]:
    rows = await rows_of(shop, "SELECT id, status FROM booking")
    known = {row["id"]: row["status"] for row in rows}
    return [known[decode_id(IdKind.BOOKING, one.id)] for one in made]


async def test_the_plan_shows_what_is_done(guest: Visitor, staff: Planner, worker: Worker, shop: Shop) -> None:
    made = await booked(guest, 10, 9, 23)
    others = [*await booked(guest, 10, provider=1), *await booked(guest, 0, day=4)]
    plan = await staff.planned(DAY, NEXT)
    assert (plan["status"], plan["possible"], plan["sessionCount"]) == ("PLANNED", 3, 0)
    assert plan["progress"] == {"total": 3, "done": 0, "skipped": 0, "refused": 0}
    assert [item["booking"]["id"] for item in plan["items"]] == [made[1].id, made[0].id, made[2].id]
    assert all(item["isPossible"] and item["result"] is None for item in plan["items"])
    assert await statuses(shop, *made, *others) == ["confirmed"] * 5, "a plan changes nothing"
    started = await staff.committed(plan)
    assert (started["status"], started["progress"]["done"]) == ("RUNNING", 0)
    assert started["committedAt"]
    assert await worker.work() == 1
    done = await staff.read(plan)
    assert (done["status"], done["progress"]) == ("FINISHED", {"total": 3, "done": 3, "skipped": 0, "refused": 0})
    assert set(results(done).values()) == {("DONE", None)}
    assert await statuses(shop, *made, *others) == ["cancelled"] * 3 + ["confirmed"] * 2
    assert len(await live_time(shop)) == 2
    person = await shop.person("staff")
    step = (await steps_of(shop, made[0]))[-1]
    assert step == {
        "to_status": "cancelled",
        "reason": ROOF,
        "actor": "staff",
        "actor_id": person.user_id,
        "channel": "bulk",
    }
    assert (await audit_of(shop, made[0]))[-1]["request_id"] == plan["id"]
    told = await rows_of(
        shop,
        "SELECT type, payload FROM outbox_event WHERE subject_id = :id ORDER BY id",
        id=decode_id(IdKind.BULK_CHANGE, plan["id"]),
    )
    assert [one["type"] for one in told] == ["bulk.started", *["bulk.progressed"] * 3, "bulk.finished"]
    assert [one["payload"]["done"] for one in told] == [0, 1, 2, 3, 3]
    audit = await rows_of(
        shop,
        "SELECT action FROM audit_entry WHERE subject_id = :id ORDER BY id",
        id=decode_id(IdKind.BULK_CHANGE, plan["id"]),
    )
    assert [one["action"] for one in audit] == ["bulk.planned", "bulk.started", "bulk.finished"]


async def test_what_a_rule_forbids_is_not_done(
    guest: Visitor, staff: Planner, worker: Worker, shop: Shop, clock: MovableClock
) -> None:
    early, late = await booked(guest, 10, 12)
    clock.move_to(at(5, 12))  # the day of the service is over: for staff, not for an admin
    plan = await staff.planned(at(3, 11), at(6, 0))
    assert [(one["isPossible"], one["rule"]) for one in plan["items"]] == [(False, "service_day_over")]
    assert plan["possible"] == 0
    await staff.committed(plan)
    await worker.work()
    done = await staff.read(plan)
    assert results(done) == {late.id: ("REFUSED", "service_day_over")}
    assert (done["status"], done["progress"]["refused"]) == ("FINISHED", 1)
    owner = Planner(staff.client.signed_in(shop.owner.token), shop)
    plan = await owner.planned(at(3, 0), at(6, 0))
    await owner.committed(plan)
    await worker.work()
    assert await statuses(shop, early, late) == ["cancelled"] * 2


async def test_what_changed_since_is_left_alone(guest: Visitor, staff: Planner, worker: Worker, shop: Shop) -> None:
    moved, gone, stays = await booked(guest, 9, 10, 11)
    plan = await staff.planned(DAY, NEXT)
    await guest.move(moved, at(3, 15), accessToken=moved.token)
    await guest.cancel(gone, accessToken=gone.token)
    (late,) = await booked(guest, 20)
    assert [one["id"] for one in (await staff.read(plan))["newBookings"]] == [late.id]
    await staff.committed(plan)
    await worker.work()
    done = await staff.read(plan)
    assert results(done) == {
        moved.id: ("SKIPPED", "changed"),
        gone.id: ("SKIPPED", "changed"),
        stays.id: ("DONE", None),
    }
    assert done["progress"] == {"total": 3, "done": 1, "skipped": 2, "refused": 0}
    assert await statuses(shop, moved, gone, stays, late) == ["confirmed", "cancelled", "cancelled", "confirmed"]


async def test_new_ones_are_taken_in_where_that_is_asked(
    guest: Visitor, staff: Planner, worker: Worker, shop: Shop
) -> None:
    (first,) = await booked(guest, 9)
    plan = await staff.planned(DAY, NEXT)
    (late,) = await booked(guest, 20)
    started = await staff.committed(plan, includeNew=True)
    assert (started["progress"]["total"], started["newBookings"]) == (2, [])
    await worker.work()
    assert await statuses(shop, first, late) == ["cancelled"] * 2


async def test_two_commits_are_one(guest: Visitor, staff: Planner, worker: Worker, shop: Shop) -> None:
    made = await booked(guest, 9, 10)
    plan = await staff.planned(DAY, NEXT)
    answers = await asyncio.gather(*(staff.commit(plan) for _ in range(6)))
    assert {answer["__typename"] for answer in answers} == {"CommitBulkChangePayload"}
    assert len(await worker.due()) == 1
    await worker.work()
    assert (await staff.committed(plan))["status"] == "FINISHED"
    assert await worker.due() == []
    for one in made:
        assert [step["to_status"] for step in await steps_of(shop, one)] == ["pending", "confirmed", "cancelled"]


async def test_a_killed_worker_is_gone_on_with(
    guest: Visitor, staff: Planner, worker: Worker, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a booking was changed and before that was noted: neither is there, and it is done once."""
    made = await booked(guest, 9, 10, 11)
    plan = await staff.planned(DAY, NEXT)
    await staff.committed(plan)
    (job_id,) = await worker.due()
    claim = await worker.claim(job_id)
    calls = 0

    async def die(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise asyncio.CancelledError
        await commands.settle_item(*arguments)

    monkeypatch.setattr(job, "settle_item", die)
    with pytest.raises(asyncio.CancelledError):
        await worker.run(claim)
    monkeypatch.undo()
    assert sorted(await statuses(shop, *made)) == ["cancelled", "confirmed", "confirmed"]
    half = await staff.read(plan)
    assert (half["status"], half["progress"]["done"]) == ("RUNNING", 1)
    # Its lease lapsed; the one that takes over works beside a third that was only paused.
    await asyncio.gather(worker.run(claim), worker.run(claim), return_exceptions=True)
    done = await staff.read(plan)
    assert (done["status"], done["progress"]["done"]) == ("FINISHED", 3)
    for one in made:
        assert [step["to_status"] for step in await steps_of(shop, one)] == ["pending", "confirmed", "cancelled"]
    finished = await rows_of(
        shop,
        "SELECT 1 FROM outbox_event WHERE subject_id = :id AND type = 'bulk.finished'",
        id=decode_id(IdKind.BULK_CHANGE, plan["id"]),
    )
    assert len(finished) == 1


async def test_it_goes_on_in_runs(guest: Visitor, staff: Planner, worker: Worker, shop: Shop) -> None:
    made = await booked(guest, 9, 10, 11)
    plan = await staff.planned(DAY, NEXT)
    await staff.committed(plan)
    assert await worker.work(BulkJobs(worker.checkout, batch=1)) == 4
    assert await statuses(shop, *made) == ["cancelled"] * 3


async def test_one_that_fails_for_ever_does_not_stop_the_others(
    guest: Visitor, staff: Planner, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await booked(guest, 9, 10)
    plan = await staff.planned(DAY, NEXT)
    await staff.committed(plan)
    cursed = min(decode_id(IdKind.BOOKING, one.id) for one in made)

    async def fail(tx: Any, signer: Any, request: Any, *arguments: Any, **extra: Any) -> Any:
        if request.booking_id == cursed:
            raise RuntimeError("nobody foresaw this")
        return await transition_booking(tx, signer, request, *arguments, **extra)

    monkeypatch.setattr(job, "transition_booking", fail)
    (job_id,) = await worker.due()
    claim = await worker.claim(job_id)
    with pytest.raises(RuntimeError):
        await worker.run(claim)
    assert (await staff.read(plan))["progress"]["done"] == 0
    async with worker.database.transaction() as tx:
        await tx.execute(text("UPDATE job SET attempts = 9, lease_until = NULL WHERE id = :id"), {"id": job_id})
    await worker.run(await worker.claim(job_id))
    done = await staff.read(plan)
    assert sorted(str(one) for one in results(done).values()) == ["('DONE', None)", "('REFUSED', 'failed')"]


async def test_stopping(guest: Visitor, staff: Planner, worker: Worker, shop: Shop) -> None:
    made = await booked(guest, 9, 10, 11)
    plan = await staff.planned(DAY, NEXT)
    await staff.committed(plan)
    (job_id,) = await worker.due()
    await worker.run(await worker.claim(job_id), BulkJobs(worker.checkout, batch=1))
    for _ in range(2):
        stopped = await staff.stop(plan)
        assert stopped["bulkChange"]["status"] == "STOPPED"
        assert stopped["bulkChange"]["progress"]["done"] == 1
    await worker.work()
    assert sorted(await statuses(shop, *made)) == ["cancelled", "confirmed", "confirmed"]
    refused = await staff.commit(plan)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "stopped")


async def test_a_plan_lives_for_an_hour(guest: Visitor, staff: Planner, worker: Worker, clock: MovableClock) -> None:
    await booked(guest, 9)
    plan = await staff.planned(DAY, NEXT)
    clock.move(timedelta(minutes=61))
    refused = await staff.commit(plan)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "plan_expired")
    async with worker.database.transaction() as tx:
        assert await commands.purge_plans(tx, 10) == 0
    async with worker.database.transaction() as tx:
        await tx.execute(text("SELECT set_config('app.clock_offset', '26 hours', true)"))
        assert await commands.purge_plans(tx, 1_000) >= 1  # those that other tests left are older
    assert (await staff.client.raw("query ($id: ID!) { bulkChange(id: $id) { id } }", {"id": plan["id"]}))["errors"]


async def test_who_was_dismissed_changes_nothing_more(
    guest: Visitor, staff: Planner, worker: Worker, shop: Shop
) -> None:
    (made,) = await booked(guest, 9)
    plan = await staff.planned(DAY, NEXT)
    await staff.committed(plan)
    person = await shop.person("staff")
    await rows_of(shop, "DELETE FROM membership WHERE user_id = :id RETURNING 1", id=person.user_id)
    await worker.work()
    owner = Planner(staff.client.signed_in(shop.owner.token), shop)
    assert results(await owner.read(plan)) == {made.id: ("REFUSED", "not_found")}
    assert await statuses(shop, made) == ["confirmed"]


async def test_an_activitys_sessions(client: GraphQLClient, services: Services, worker: Worker) -> None:
    yoga = await make_class(client, services)
    owner = Planner(client.signed_in(yoga.shop.owner.token), yoga.shop)
    taken, empty = [await yoga.at(at(3, hour)) for hour in (9, 10)]
    made = [await yoga.booked(taken["id"], 2), await yoga.booked(taken["id"])]
    plan = await owner.planned(DAY, NEXT, activityId=yoga.activity_id)
    assert plan["possible"] == 2
    assert plan["sessionCount"] >= 2
    (late,) = [await yoga.booked(empty["id"])]
    await owner.committed(plan)
    await worker.work()
    assert (await owner.read(plan))["status"] == "FINISHED"
    assert await statuses(yoga.shop, *made, late) == ["cancelled", "cancelled", "confirmed"]
    assert (await yoga.read(taken["id"]))["status"] == "CANCELLED"
    assert (await yoga.read(empty["id"]))["status"] == "OPEN", "somebody came while it was planned"
    whole = await owner.planned(DAY, NEXT, venueId=yoga.shop.venue_id)
    assert [item["booking"]["id"] for item in whole["items"]] == [late.id]


async def test_one_whose_job_was_given_up_is_resumed(
    guest: Visitor, staff: Planner, worker: Worker, shop: Shop
) -> None:
    async with worker.database.transaction() as tx:
        await commands.resume_bulk_changes(tx)  # other tests'
    await worker.work()
    made = await booked(guest, 9, 10)
    plan = await staff.planned(DAY, NEXT)
    await staff.committed(plan)
    async with worker.database.transaction() as tx:
        assert await commands.resume_bulk_changes(tx) == 0, "somebody will work on it"
        await tx.execute(text("UPDATE job SET failed_at = now() WHERE kind = 'apply_bulk_change'"))
    assert await worker.work() == 0
    async with worker.database.transaction() as tx:
        assert await commands.resume_bulk_changes(tx) == 1
    await worker.work()
    assert await statuses(shop, *made) == ["cancelled"] * 2
