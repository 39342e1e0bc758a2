"""Reading what reconciliation compares, and what it found. By a worker's database, across organizations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select, text

from app.core.database import Tx
from app.core.ids import first_id_at
from app.domain.booking import FREE, HELD
from app.domain.payment_codec import intent_from_json
from app.domain.reconcile_payment import OurPayment, OurRefund
from app.domain.reconcile_payout import OurPayout
from app.models import Booking, Payment, Payout, PayoutAccount, PayoutReversal, Refund
from app.models import ReconciliationDifference as Difference
from app.models import ReconciliationRun as Run

_ENDING = frozenset({*HELD, *FREE})
"""States of a booking in which nothing may stay open past the time to pay."""


@dataclass(frozen=True, slots=True)
class KnownPayment:
    organization_id: UUID
    booking_id: UUID
    facts: OurPayment


async def payments_to_compare(tx: Tx, payment_ids: Sequence[UUID]) -> dict[UUID, KnownPayment]:
    """By id; two statements. A saved card is no payment, and cash is at no processor."""
    query = (
        select(Payment, Booking.status)
        .join(Booking, Booking.id == Payment.booking_id)
        .where(Payment.id.in_(payment_ids), Payment.kind.not_in(("setup", "cash")))
        .execution_options(populate_existing=True)
    )
    rows = (await tx.execute(query)).all()
    refunds = await _refunds_of(tx, [row[0].id for row in rows])
    return {row[0].id: _known(row[0], row[1], refunds.get(row[0].id, ())) for row in rows}


def _known(payment: Payment, booking_status: str, refunds: Sequence[OurRefund]) -> KnownPayment:
    waits = payment.kind == "booking" and booking_status in _ENDING
    facts = OurPayment(
        id=payment.id,
        status=payment.status,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        captured_minor=payment.captured_minor,
        processor_id=payment.processor_id,
        seen=None if payment.seen is None else intent_from_json(payment.seen),
        created_at=payment.created_at,
        waits_until=payment.expires_at if waits else None,
        is_fee=payment.kind == "fee",
        refunds=tuple(refunds),
    )
    return KnownPayment(payment.organization_id, payment.booking_id, facts)


async def _refunds_of(tx: Tx, payment_ids: Sequence[UUID]) -> dict[UUID, list[OurRefund]]:
    found: dict[UUID, list[OurRefund]] = {}
    query = (
        select(Refund)
        .where(Refund.payment_id.in_(payment_ids))
        .order_by(Refund.id)
        .execution_options(populate_existing=True)
    )
    for one in (await tx.execute(query)).scalars():
        facts = OurRefund(one.id, one.status, one.amount_minor, one.processor_id, one.created_at)
        found.setdefault(one.payment_id, []).append(facts)
    return found


async def payment_ids_by_processor_id(tx: Tx, processor: str, processor_ids: Sequence[str]) -> dict[str, UUID]:
    """One statement."""
    query = select(Payment.processor_id, Payment.id).where(
        Payment.processor == processor, Payment.processor_id.in_(processor_ids)
    )
    return {name: payment_id for name, payment_id in (await tx.execute(query)).all() if name is not None}


_UNSETTLED = text(
    """
    SELECT p.id FROM (
        SELECT p.id, p.organization_id FROM payment p
        WHERE p.processor = :processor AND p.id >= :lately
          AND p.status IN ('created', 'open', 'failed', 'authorized', 'processing')
          AND p.kind NOT IN ('setup', 'cash')
        UNION
        SELECT p.id, p.organization_id FROM refund r JOIN payment p ON p.id = r.payment_id
        WHERE r.status IN ('created', 'pending') AND p.processor = :processor
        UNION
        SELECT p.id, p.organization_id FROM payment p
        WHERE p.processor = :processor AND p.disputes <> '{}'
          AND EXISTS (SELECT 1 FROM jsonb_each(p.disputes) AS d WHERE d.value ->> 'phase' = 'open')
    ) p
    WHERE p.id > :after AND (CAST(:organization AS uuid) IS NULL OR p.organization_id = :organization)
    ORDER BY p.id LIMIT :most
    """
).bindparams(bindparam("after", type_=Uuid), bindparam("lately", type_=Uuid), bindparam("organization", type_=Uuid))


@dataclass(frozen=True, slots=True)
class Whose:
    """`organization_id`: none: of all."""

    processor: str
    organization_id: UUID | None


async def list_unsettled_payments(tx: Tx, whose: Whose, lately: datetime, after: UUID, most: int) -> list[UUID]:
    """Payments that may move without our doing, in order of their ids. One statement.

    `lately`: what was made before and is unpaid is so for good; refunds and disputes have no such end.
    """
    values = {
        "processor": whose.processor,
        "organization": whose.organization_id,
        "lately": first_id_at(lately),
        "after": after,
        "most": most,
    }
    return list((await tx.execute(_UNSETTLED, values)).scalars())


async def captured_between(tx: Tx, whose: Whose, start: datetime, end: datetime) -> list[UUID]:
    """Payments made then that brought money. One statement."""
    query = select(Payment.id).where(
        Payment.processor == whose.processor,
        Payment.captured_minor > 0,
        Payment.id >= first_id_at(start),
        Payment.id < first_id_at(end),
    )
    if whose.organization_id is not None:
        query = query.where(Payment.organization_id == whose.organization_id)
    return list((await tx.execute(query)).scalars())


# ── payouts ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class KnownPayout:
    organization_id: UUID
    facts: OurPayout


async def payouts_to_compare(tx: Tx, payout_ids: Sequence[UUID]) -> dict[UUID, KnownPayout]:
    """By id. Two statements."""
    query = select(Payout).where(Payout.id.in_(payout_ids)).execution_options(populate_existing=True)
    payouts = list((await tx.execute(query)).scalars())
    returned = await _returned_of(tx, [one.id for one in payouts])
    found = {}
    for one in payouts:
        reversed_minor, is_reversing = returned.get(one.id, (0, False))
        facts = OurPayout(
            id=one.id,
            status=one.status,
            account_id=one.account_id,
            amount_minor=one.amount_minor,
            currency=one.currency,
            processor_id=one.processor_id,
            reversed_minor=reversed_minor,
            due_at=one.next_attempt_at,
            is_reversing=is_reversing,
        )
        found[one.id] = KnownPayout(one.organization_id, facts)
    return found


async def _returned_of(tx: Tx, payout_ids: Sequence[UUID]) -> dict[UUID, tuple[int, bool]]:
    """What came back, and whether more is on its way."""
    came_back = func.coalesce(func.sum(PayoutReversal.amount_minor).filter(PayoutReversal.status == "succeeded"), 0)
    query = (
        select(PayoutReversal.payout_id, came_back, func.bool_or(PayoutReversal.status == "created"))
        .where(PayoutReversal.payout_id.in_(payout_ids))
        .group_by(PayoutReversal.payout_id)
    )
    return {row[0]: (int(row[1]), bool(row[2])) for row in await tx.execute(query)}


async def list_payouts_between(tx: Tx, whose: Whose, start: datetime, end: datetime) -> list[UUID]:
    """Sent then. One statement."""
    query = select(Payout.id).where(Payout.processor == whose.processor, Payout.sent_at >= start, Payout.sent_at < end)
    if whose.organization_id is not None:
        query = query.where(Payout.organization_id == whose.organization_id)
    return list((await tx.execute(query)).scalars())


async def list_unsent_payouts(tx: Tx, whose: Whose, most: int) -> list[UUID]:
    """Somebody began to send them. One statement."""
    query = select(Payout.id).where(Payout.processor == whose.processor, Payout.status == "sending")
    if whose.organization_id is not None:
        query = query.where(Payout.organization_id == whose.organization_id)
    return list((await tx.execute(query.order_by(Payout.id).limit(most))).scalars())


async def owners_of_accounts(tx: Tx, processor: str, account_ids: Sequence[str]) -> dict[str, UUID]:
    """Organizations by the processor's accounts of their providers. One statement."""
    query = select(PayoutAccount.account_id, PayoutAccount.organization_id).where(
        PayoutAccount.processor == processor, PayoutAccount.account_id.in_(account_ids)
    )
    return {name: owner for name, owner in (await tx.execute(query)).all() if name is not None}


# ── runs and differences ──────────────────────────────────────────────────────────────────────────────


async def reached_so_far(tx: Tx, processor: str) -> datetime | None:
    """How far the regular runs are done. One statement."""
    query = select(func.max(Run.reached)).where(Run.processor == processor, Run.is_regular)
    return (await tx.execute(query)).scalar()


async def open_subjects(tx: Tx, processor: str, organization_id: UUID | None) -> dict[str, set[str]]:
    """What has open differences, each with the processor's objects in them. One statement."""
    query = select(Difference.subject, Difference.their_id).where(
        Difference.processor == processor, Difference.resolved_at.is_(None)
    )
    if organization_id is not None:
        query = query.where(Difference.organization_id == organization_id)
    found: dict[str, set[str]] = {}
    for subject, their_id in await tx.execute(query):
        found.setdefault(subject, set()).update(() if their_id is None else (their_id,))
    return found


async def count_open(tx: Tx) -> Mapping[tuple[str, str], int]:
    """By processor and kind. One statement."""
    query = (
        select(Difference.processor, Difference.kind, func.count())
        .where(Difference.resolved_at.is_(None))
        .group_by(Difference.processor, Difference.kind)
    )
    return {(row[0], row[1]): row[2] for row in await tx.execute(query)}


async def list_open_differences(tx: Tx, organization_id: UUID, most: int) -> list[Difference]:
    """Of an organization, the oldest first. One statement."""
    query = (
        select(Difference)
        .where(Difference.organization_id == organization_id, Difference.resolved_at.is_(None))
        .order_by(Difference.id)
        .limit(most)
    )
    return list((await tx.execute(query)).scalars())


async def list_all_open(tx: Tx, most: int) -> list[Difference]:
    """Of everybody and nobody, for the command. One statement."""
    query = select(Difference).where(Difference.resolved_at.is_(None)).order_by(Difference.id).limit(most)
    return list((await tx.execute(query)).scalars())


@dataclass(frozen=True, slots=True)
class LastRun:
    processor: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    succeeded_at: datetime | None


_LAST_RUNS = text(
    """
    SELECT DISTINCT ON (r.processor) r.processor, r.started_at, r.finished_at, r.outcome,
           (SELECT max(d.finished_at) FROM reconciliation_run d
            WHERE d.processor = r.processor AND d.outcome = 'done' AND d.organization_id IS NULL) AS succeeded_at
    FROM reconciliation_run r
    ORDER BY r.processor, r.started_at DESC, r.id DESC
    """
)


async def last_runs(tx: Tx) -> list[LastRun]:
    """The newest of each processor that the viewer may see, and when all was last compared. One statement."""
    return [LastRun(*row) for row in await tx.execute(_LAST_RUNS)]
