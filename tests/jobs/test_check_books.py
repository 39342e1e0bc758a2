"""The check of our own books: whatever does not add up is found, once, and gone when it is put right."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from app.checkout.reconcile_books import check_books
from app.core.ids import IdKind, decode_id
from tests.journey import Made
from tests.paying import REFUND, Payer, Paying, owner_of
from tests.payouts import make_earner
from tests.reconciling import Reconciling
from tests.shop import at


@pytest.fixture
def money(payer: Payer, paying: Paying) -> Reconciling:
    return Reconciling(paying, payer.shop)


def id_of(made: Made) -> Any:
    return decode_id(IdKind.BOOKING, made.id)


async def refunded(payer: Payer, paying: Paying) -> Made:
    """Paid, and a part of it given back."""
    made = await payer.paid(paying, at(2, 10))
    wanted = {"bookingId": made.id, "reason": "A gesture", "amountMinor": 300}
    await owner_of(paying, payer.shop).client(REFUND, {"input": wanted})
    await paying.work("execute_refund")
    return made


@pytest.mark.parametrize(
    ("change", "back", "kinds"),
    [
        ("booking SET paid_minor = 999", "booking SET paid_minor = 1000", {"booking_paid", "capture_not_booked"}),
        ("payment SET captured_minor = 999", "payment SET captured_minor = 1000", {"booking_paid"}),
        ("booking SET refunded_minor = 299", "booking SET refunded_minor = 300", {"booking_refunded"}),
        ("payment SET refunded_minor = 299", "payment SET refunded_minor = 300", {"booking_refunded"}),
        ("refund SET amount_minor = 299", "refund SET amount_minor = 300", {"booking_refunded"}),
        ("refund SET status = 'failed'", "refund SET status = 'succeeded'", {"booking_refunded"}),
    ],
)
async def test_what_does_not_add_up(payer: Payer, money: Reconciling, change: str, back: str, kinds: set[str]) -> None:
    paying = money.paying
    made = await refunded(payer, paying)
    assert await money.check() == 0
    table = change.partition(" ")[0]
    column = "id" if table == "booking" else "booking_id"
    alter = f"UPDATE {{}} WHERE {column} = :id RETURNING 1"
    await paying.rows(alter.format(change), id=id_of(made))
    for _ in range(2):
        assert await money.check() == len(kinds)
    assert {(row["kind"], row["times_seen"], row["booking_id"]) for row in await money.rows()} == {
        (kind, 2, id_of(made)) for kind in kinds
    }
    await paying.rows(alter.format(back), id=id_of(made))
    assert await money.check() == 0
    assert {how for _, how in await money.said()} == {"gone"}


async def in_ledger(paying: Paying, made: Made, kind: str, *entries: tuple[str, int]) -> None:
    """Written around PostgreSQL's own checks, as only the owner of the tables can."""
    [row] = await paying.rows("SELECT organization_id FROM booking WHERE id = :id", id=id_of(made))
    url = paying.worker.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = 'replica'")
            journal = await connection.fetchval(
                "INSERT INTO ledger_journal (id, organization_id, kind, reference, currency)"
                " VALUES (uuidv7(), $1, $2, uuidv7()::text, 'USD') RETURNING id",
                row["organization_id"],
                kind,
            )
            for account, amount in entries:
                await connection.execute(
                    "INSERT INTO ledger_entry (journal_id, organization_id, booking_id, account, amount_minor)"
                    " VALUES ($1, $2, $3, $4, $5)",
                    journal,
                    row["organization_id"],
                    id_of(made),
                    account,
                    amount,
                )
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("entries", "kinds"),
    [
        ([("tax", 1)], {"ledger_unbalanced"}),
        ([("escrow", -1_001), ("tax", 1_001)], {"ledger_negative"}),
        ([("customer", -5), ("escrow", 5)], {"capture_not_booked"}),
        ([("refunds", -5), ("tax", 5)], {"refund_not_booked"}),
    ],
)
async def test_a_ledger_that_cannot_be(
    payer: Payer, paying: Paying, money: Reconciling, entries: list[tuple[str, int]], kinds: set[str]
) -> None:
    made = await refunded(payer, paying)
    await in_ledger(paying, made, "captured", *entries)
    assert await money.check() == len(kinds)
    assert {row["kind"] for row in await money.rows()} == kinds


async def test_over_and_the_money_is_nobodys(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await payer.paid(paying, at(2, 10))
    await paying.rows("UPDATE booking SET status = 'expired' WHERE id = :id RETURNING 1", id=id_of(made))
    assert await money.check() == 0  # just now: it may be on its way
    money.wait(timedelta(hours=2))
    assert await money.check() == 1
    assert await money.said() == [("money_left", None)]


async def test_confirmed_and_nothing_paid(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.rows("UPDATE booking SET status = 'confirmed' WHERE id = :id RETURNING 1", id=id_of(made))
    assert await money.check() == 1
    assert await money.said() == [("confirmed_unpaid", None)]


async def test_a_provider_is_owed_what_the_ledger_says(paying: Paying) -> None:
    earner = await make_earner(paying)
    money = Reconciling(paying, earner.shop)
    await earner.completed(at(2, 10))
    assert await money.check() == 0
    change = "UPDATE provider_payable SET owed_minor = owed_minor + 7 WHERE payee_id = :id RETURNING 1"
    await paying.rows(change, id=earner.provider)
    assert await money.check() == 1
    assert [row["theirs"] for row in await money.rows()] == [{"differsMinor": 7}]


async def test_what_changed_long_ago_is_looked_at_when_all_is(payer: Payer, paying: Paying, money: Reconciling) -> None:
    made = await refunded(payer, paying)
    await paying.rows("UPDATE payment SET captured_minor = 999 WHERE booking_id = :id RETURNING 1", id=id_of(made))
    money.wait(timedelta(days=15))
    assert await money.check() == 0
    whole = await check_books(money.checkout, is_whole=True, organization_id=payer.shop.organization_uuid)
    assert whole.counts.found == 1
    assert await money.check() == 1  # what is open is looked at until it is gone
