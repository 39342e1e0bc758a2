"""Reconciliation of payments: what got lost is found and healed, what only a person can judge is listed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe

from app.checkout.reconcile import OVERLAP, reconcile
from app.commands.reconciliation import RunOrder, begin_run
from app.core.metrics import REGISTRY
from app.gateway import GatewayUnknown
from app.jobs.reconciliation import MoneyGauges, ReconciliationJobs
from tests.conftest import Databases
from tests.journey import Made, rows_of
from tests.paying import REFUND, Payer, Paying, ledger_of, owner_of, paying_api
from tests.reconciling import Reconciling
from tests.shop import at, make_shop

AFTER = timedelta(minutes=20)
"""What is so old is not on its way any more."""
GONE = timedelta(minutes=75)
"""So long after it was made, nobody can pay for a booking."""


@pytest.fixture(scope="module")
async def stand(
    databases: Databases, redis_url: str, http: httpx.AsyncClient, processor_http: stripe.HTTPXClient
) -> AsyncIterator[Paying]:
    async with paying_api(databases.create(), redis_url, http, processor_http, mercadopago=True) as paying:
        yield paying


@pytest.fixture
async def paying(stand: Paying) -> AsyncIterator[Paying]:
    yield stand
    stand.api.clock.move(timedelta(0))
    await stand.sandbox.http.delete("/_sandbox/faults")
    await stand.collected()
    await stand.rows("DELETE FROM job RETURNING 1")


@pytest.fixture
async def payer(paying: Paying) -> Payer:
    return Payer(paying.client, await make_shop(paying.api.api.services))


@pytest.fixture
def money(payer: Payer, paying: Paying) -> Reconciling:
    return Reconciling(paying, payer.shop)


async def status_of(money: Reconciling, made: Made) -> tuple[str, str]:
    booking_id = (await money.payment(made))["booking_id"]
    [row] = await money.paying.rows("SELECT status, payment_status FROM booking WHERE id = :id", id=booking_id)
    return row["status"], row["payment_status"]


# ── what heals itself ─────────────────────────────────────────────────────────────────────────────────


async def test_where_all_agrees_nothing_is_found(payer: Payer, paying: Paying, money: Reconciling) -> None:
    await payer.paid(paying, at(2, 10))
    await payer.pay_now(at(2, 11))
    done = await money.run()
    assert (done.counts.compared, done.counts.found) == (3, 0)  # the open one is listed, and asked for by itself
    assert await money.rows() == []
    assert await money.check() == 0


async def test_a_lost_webhook_and_a_lost_answer(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made)
    await paying.collected()  # nobody hears of them
    assert await status_of(money, made) == ("pending", "unpaid")
    assert await money.ran() == (1, 1)
    assert await status_of(money, made) == ("confirmed", "paid")
    assert await money.said() == [("payment_behind", "healed")]
    assert await money.ran() == (0, 0)
    assert len(await money.rows()) == 1
    [healed] = await paying.rows(
        "SELECT channel FROM booking_transition WHERE booking_id = :id AND to_status = 'confirmed'",
        id=(await money.payment(made))["booking_id"],
    )
    assert healed["channel"] == "reconciliation"


async def test_a_refund_made_by_hand_of_an_old_payment(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await payer.paid(paying, at(2, 10))
    [intent] = await paying.intents(made)
    await paying.sandbox.v1.refunds.create_async({"payment_intent": intent.id, "amount": 300})
    await paying.collected()
    assert await money.ran() == (1, 1)
    assert await status_of(money, made) == ("confirmed", "partially_refunded")
    owner = owner_of(paying, payer.shop)
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 700, "refunds": 300}


async def test_a_dispute_that_nobody_heard_of(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await payer.paid(paying, at(2, 10))
    [intent] = await paying.intents(made)
    await paying.sandbox.control(f"charges/{intent.latest_charge}/dispute")
    await paying.collected()
    assert await money.ran() == (1, 1)
    assert (await status_of(money, made))[1] == "disputed"


async def test_a_refund_whose_job_was_given_up(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await payer.paid(paying, at(2, 10))
    owner = owner_of(paying, payer.shop)
    await owner.client(REFUND, {"input": {"bookingId": made.id, "reason": "A gesture"}})
    await money.forget_jobs("execute_refund")
    assert await money.ran() == (0, 0)  # it may be under way
    money.wait(AFTER)
    assert await money.ran() == (1, 1)
    assert await money.said() == [("refund_not_made", "healed")]
    assert (await status_of(money, made))[1] == "refunded"
    [intent] = await paying.intents(made)
    assert len((await paying.sandbox.v1.refunds.list_async({"payment_intent": intent.id})).data) == 1


async def test_one_that_was_never_opened(payer: Payer, paying: Paying, money: Reconciling) -> None:
    await paying.sandbox.control("faults", kind="error", match="POST /v1/payment_intents", times=2, status=503)
    made = await payer.pay_now(at(2, 10))
    await money.forget_jobs("open_payment", "end_payment")
    money.wait(AFTER)
    assert await money.ran() == (1, 1)
    assert await money.said() == [("payment_not_opened", "healed")]
    assert (await money.payment(made))["status"] == "open"
    money.wait(GONE)
    assert await money.ran() == (1, 1)
    assert (await money.said())[1:] == [("payment_overdue", "healed")]
    assert await status_of(money, made) == ("expired", "unpaid")
    [intent] = await paying.intents(made)
    assert intent.status == "canceled"


async def test_opened_there_and_the_answer_lost_for_good(payer: Payer, paying: Paying, money: Reconciling) -> None:
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/payment_intents", times=2)
    made = await payer.pay_now(at(2, 10))
    assert (await money.payment(made))["processor_id"] is None
    await money.forget_jobs("open_payment", "end_payment")
    money.wait(AFTER)
    assert await money.ran() == (1, 1)
    [intent] = await paying.intents(made)
    assert (await money.payment(made))["processor_id"] == intent.id


# ── what waits for a person ───────────────────────────────────────────────────────────────────────────


async def by_hand(money: Reconciling, labels: dict[str, str], **more: Any) -> Any:
    """An intent of 10.00 that somebody made and paid at the processor."""
    wanted = {"amount": 1_000, "currency": "usd", "metadata": labels, **more}
    return await money.paying.sandbox.paid(**wanted)


async def test_an_unknown_payment_with_our_labels_is_listed_once(payer: Payer, money: Reconciling) -> None:
    intent = await by_hand(money, money.labels(uuid4()))
    for _ in range(3):
        assert await money.ran() == (1, 0)
    [row] = await money.rows()
    assert (row["kind"], row["their_id"], row["times_seen"], row["resolved_at"]) == (
        "payment_unknown_here",
        intent.id,
        3,
        None,
    )
    assert row["theirs"]["capturedMinor"] == 1_000
    assert payer.shop.organization_uuid == row["organization_id"]


async def test_what_carries_no_label_of_ours_is_somebody_elses(money: Reconciling) -> None:
    await by_hand(money, {})
    await by_hand(money, {"order": "7"})
    assert (await money.run()).counts.compared == 0
    assert await money.rows() == []


async def test_a_second_payment_under_one_of_ours(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await payer.paid(paying, at(2, 10))
    payment = await money.payment(made)
    second = await by_hand(money, money.labels(payment["id"], payment["booking_id"]), confirm="false")
    assert await money.ran() == (1, 0)
    assert await money.ran() == (1, 0)
    [row] = await money.rows()
    assert (row["kind"], row["their_id"], row["booking_id"]) == ("payment_twice", second.id, payment["booking_id"])
    await paying.sandbox.v1.payment_intents.cancel_async(second.id)
    assert await money.ran() == (0, 0)
    assert await money.said() == [("payment_twice", "gone")]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("amount_minor = 1100", "payment_amount"),
        ("currency = 'EUR'", "payment_currency"),
        ("captured_minor = 900", "payment_captured"),
        ("processor_id = 'pi_nobody_knows'", "payment_missing_there"),
    ],
)
async def test_what_differs_in_a_paid_one(
    payer: Payer, paying: Paying, money: Reconciling, change: str, kind: str
) -> None:
    made = await payer.paid(paying, at(2, 10))
    before = await money.payment(made)
    await money.change_payment(made, change)
    for _ in range(2):
        await money.run()
    assert (kind, None) in await money.said()
    assert len(await money.rows()) == (2 if kind == "payment_missing_there" else 1)  # and the real one is a second
    column = change.partition(" ")[0]
    await money.change_payment(made, f"{column} = :was", was=before[column])
    assert await money.ran() == (0, 0)
    assert {how for _, how in await money.said()} == {"gone"}


async def test_a_refund_that_is_not_there_or_differs(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await payer.paid(paying, at(2, 10))
    owner = owner_of(paying, payer.shop)
    await owner.client(REFUND, {"input": {"bookingId": made.id, "reason": "A gesture", "amountMinor": 300}})
    await paying.work("execute_refund")
    booking_id = (await money.payment(made))["booking_id"]
    change = "UPDATE refund SET amount_minor = :amount WHERE booking_id = :id RETURNING 1"
    await paying.rows(change, amount=301, id=booking_id)
    money.wait(AFTER)
    assert await money.ran() == (1, 0)
    assert await money.said() == [("refund_amount", None)]
    await paying.rows(change, amount=300, id=booking_id)
    await paying.rows("UPDATE refund SET processor_id = 're_0' WHERE booking_id = :id RETURNING 1", id=booking_id)
    assert await money.ran() == (1, 0)
    assert await money.said() == [("refund_amount", "gone"), ("refund_missing_there", None)]


async def test_a_page_that_was_paid_twice(paying: Paying) -> None:
    shop = await make_shop(paying.api.api.services, currency="ARS")
    put = "INSERT INTO payment_settings (organization_id, processor) VALUES (:id, 'mercadopago') RETURNING 1"
    await paying.rows(put, id=shop.organization_uuid)
    payer, money = Payer(paying.client, shop), Reconciling(paying, shop)
    made = await payer.pay_now(at(2, 10))
    await paying.pay_on_page(made)
    await paying.pay_on_page(made)
    await paying.collected()
    assert await money.ran("mercadopago") == (3, 1)  # the excess is met twice: it is on its way by then
    assert sorted(await money.said()) == [("payment_behind", "healed"), ("payment_overpaid", None)]
    assert await paying.work("execute_refund") == 1
    assert await money.ran("mercadopago") == (0, 0)
    assert await status_of(money, made) == ("confirmed", "paid")
    assert sorted(await money.said()) == [("payment_behind", "healed"), ("payment_overpaid", "gone")]


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────


async def runs(paying: Paying) -> list[dict[str, Any]]:
    return await paying.rows("SELECT * FROM reconciliation_run WHERE is_regular ORDER BY id")


async def test_regular_runs_go_on_where_the_last_one_ended(paying: Paying, money: Reconciling) -> None:
    await paying.rows("DELETE FROM reconciliation_run RETURNING 1")
    for _ in range(2):
        await reconcile(money.checkout, "stripe", patience_s=0)
    first, second = await runs(paying)
    assert (first["outcome"], first["window_end"] - first["window_start"]) == ("done", timedelta(days=7))
    assert second["window_start"] == first["reached"] - OVERLAP
    assert second["reached"] == second["window_end"]
    await money.run()  # of one organization: the others have not been looked at
    assert len(await runs(paying)) == 2


async def test_a_processor_that_is_away(payer: Payer, paying: Paying, money: Reconciling) -> None:
    await paying.rows("DELETE FROM reconciliation_run RETURNING 1")
    await reconcile(money.checkout, "stripe", patience_s=0)
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made)
    await paying.collected()
    await paying.sandbox.control("faults", kind="error", match="GET /v1/refunds", status=503)
    jobs = ReconciliationJobs(money.checkout, patience_s=0).handlers()
    with pytest.raises(GatewayUnknown):
        await jobs["reconcile_payments"](None)  # type: ignore[arg-type]
    outcomes = {row["processor"]: row["outcome"] for row in await runs(paying)}
    assert outcomes == {"stripe": "failed", "mercadopago": "done"}  # one does not keep the other from it
    [failed] = [row for row in await runs(paying) if row["outcome"] == "failed"]
    assert "503" in failed["error"] or "GatewayUnknown" in failed["error"]
    assert failed["reached"] == failed["window_start"]
    await paying.sandbox.http.delete("/_sandbox/faults")
    await jobs["reconcile_payments"](None)  # type: ignore[arg-type]
    assert await status_of(money, made) == ("confirmed", "paid")


async def test_one_at_a_time(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made)
    await paying.collected()
    done = await asyncio.gather(*(money.run() for _ in range(4)))
    assert sum(one.counts.found for one in done) == 1
    assert any(one.is_busy for one in done)
    assert await money.said() == [("payment_behind", "healed")]


async def test_who_was_silent_for_too_long_is_followed(paying: Paying, money: Reconciling) -> None:
    now = datetime.now(UTC)
    async with money.checkout.within(None) as tx:
        silent = await begin_run(tx, RunOrder("stripe", now, now, is_regular=True))
    assert (await money.run()).is_busy
    lapse = "UPDATE reconciliation_run SET lease_until = now() - interval '1 second' WHERE id = :id RETURNING 1"
    await paying.rows(lapse, id=silent)
    assert not (await money.run()).is_busy
    [row] = await paying.rows("SELECT outcome FROM reconciliation_run WHERE id = :id", id=silent)
    assert row["outcome"] == "abandoned"


async def test_what_is_killed_goes_on(payer: Payer, paying: Paying, money: Reconciling) -> None:
    """Anywhere in a run; the next one ends what it began, and nothing is booked twice."""
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made)
    await paying.collected()
    for number in range(1, 9):
        task = asyncio.create_task(money.run())
        await asyncio.wait([task], timeout=0.004 * number)
        task.cancel()
        await asyncio.wait([task])
        # Who died before a word of it could be written holds the processor until the lease is over.
        lapse = "UPDATE reconciliation_run SET lease_until = now() - interval '1 second' WHERE finished_at IS NULL"
        await paying.rows(f"{lapse} RETURNING 1")
    assert not (await money.run()).is_busy
    assert await status_of(money, made) == ("confirmed", "paid")
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -1_000, "escrow": 1_000}
    assert {how for _, how in await money.said()} <= {"healed"}


async def test_what_a_worker_shows(money: Reconciling) -> None:
    await by_hand(money, money.labels(uuid4()))
    await reconcile(money.checkout, "stripe", patience_s=0)
    await MoneyGauges(money.checkout).show()
    labels = {"processor": "stripe", "kind": "payment_unknown_here"}
    assert (REGISTRY.get_sample_value("turnero_money_differences", labels) or 0) >= 1
    age = REGISTRY.get_sample_value("turnero_money_checked_age_seconds", {"processor": "stripe"})
    assert age is not None
    assert 0 <= age < 60


async def test_of_no_organization_only_the_operator_hears(paying: Paying, money: Reconciling) -> None:
    intent = await by_hand(money, money.labels(uuid4(), owner=uuid4()))
    await reconcile(money.checkout, "stripe", patience_s=0)
    query = "SELECT organization_id FROM reconciliation_difference WHERE their_id = :id"
    assert await paying.rows(query, id=intent.id) == [{"organization_id": None}]
    assert await rows_of(money.shop, query, id=intent.id) == []
