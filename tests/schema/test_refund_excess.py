"""What is given back at the processor beyond what our books have is written down, and no job dies of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.checkout.payment import apply_seen, read_payment
from app.commands.actor import SYSTEM
from app.core.ids import IdKind, decode_id
from app.domain.ledger import Account, Entry, Journal, JournalKind, ledger_faults
from app.domain.payment import DisputePhase, RefundPhase, SeenDispute, SeenRefund
from tests.fees import seen
from tests.journey import Made, rows_of
from tests.paying import Payer, Paying, ledger_of, owner_of
from tests.schema.test_refund_booking import give_back
from tests.shop import at


async def show(paying: Paying, made: Made, *refunds: SeenRefund, disputes: tuple[SeenDispute, ...] = ()) -> None:
    """As if the processor had these beside what it has."""
    checkout = paying.api.api.services.checkout
    [row] = await paying.rows(
        "SELECT id, organization_id FROM payment WHERE booking_id = :id", id=decode_id(IdKind.BOOKING, made.id)
    )
    known = await read_payment(checkout, row["organization_id"], row["id"])
    assert known.payment.processor_id is not None
    found = await checkout.gateway("stripe").find_payment(known.payment.processor_id)
    assert found is not None
    intent = replace(
        found.intent, refunds=(*found.intent.refunds, *refunds), disputes=(*found.intent.disputes, *disputes)
    )
    await apply_seen(checkout, known.payment, replace(found, intent=intent), SYSTEM)


async def books_of(payer: Payer) -> list[Journal]:
    journals: dict[Any, tuple[str, list[Entry]]] = {}
    query = "SELECT e.*, j.kind FROM ledger_entry e JOIN ledger_journal j ON j.id = e.journal_id ORDER BY e.id"
    for row in await rows_of(payer.shop, query):
        entry = Entry(row["booking_id"], Account(row["account"]), row["amount_minor"], row["payee_id"])
        journals.setdefault(row["journal_id"], (row["kind"], []))[1].append(entry)
    return [Journal(JournalKind(kind), "USD", tuple(entries)) for kind, entries in journals.values()]


async def test_more_than_was_left(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    owner = owner_of(paying, payer.shop)
    assert (await give_back(owner, made, 900))["__typename"] == "Booking"
    await paying.work("execute_refund")
    await show(paying, made, SeenRefund("re_outside", 250, RefundPhase.SUCCEEDED))
    booking = await seen(payer, made)
    assert [(one["amount"]["amountMinor"], one["cause"]) for one in booking["refunds"]] == [
        (900, "staff"),
        (250, "outside"),
    ]
    assert await ledger_of(owner.client, made) == {
        "customer": -1_000,
        "refunds": 1_000,
        "platform_fee": -150,
        "processor_fees": 150,
    }
    assert ledger_faults(await books_of(payer)) == []
    [told] = await rows_of(payer.shop, "SELECT payload FROM outbox_event WHERE type = 'refund.excess'")
    assert told["payload"]["excessMinor"] == 150


async def test_all_of_it_is_too_much_and_then_it_fails(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    owner = owner_of(paying, payer.shop)
    await show(paying, made, disputes=(SeenDispute("dp_1", 1_000, DisputePhase.OPEN),))
    dispute = (SeenDispute("dp_1", 1_000, DisputePhase.OPEN),)
    await show(paying, made, SeenRefund("re_outside", 250, RefundPhase.SUCCEEDED), disputes=dispute)
    assert (await ledger_of(owner.client, made))["processor_fees"] == 250
    assert (await seen(payer, made))["paymentStatus"] == "DISPUTED"
    await show(paying, made, SeenRefund("re_outside", 250, RefundPhase.FAILED), disputes=dispute)
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "disputes": 1_000}
    assert ledger_faults(await books_of(payer)) == []


async def test_a_dispute_of_what_went_back_already(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(3, 10))
    owner = owner_of(paying, payer.shop)
    await give_back(owner, made)
    await paying.work("execute_refund")
    await show(paying, made, disputes=(SeenDispute("dp_1", 1_000, DisputePhase.LOST),))
    assert await ledger_of(owner.client, made) == {
        "customer": -1_000,
        "refunds": 1_000,
        "platform_fee": -1_000,
        "processor_fees": 1_000,
    }
    assert ledger_faults(await books_of(payer)) == []
