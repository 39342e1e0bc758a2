"""What providers are owed, and their payouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.payout import PayoutStatus
from app.models import Payout, PayoutItem, PayoutReversal
from app.queries.pagination import SortKey
from app.queries.rows import one_of

DELAY_DAYS = 7
"""Where an organization has set none; as the column's default."""


class Payee(NamedTuple):
    """A provider's balance in one currency."""

    organization_id: UUID
    provider_id: UUID
    currency: str


class Owed(NamedTuple):
    """What is owed for a booking (negative: owes). `released_at` is there for what is owed."""

    booking_id: UUID
    owed_minor: int
    released_at: datetime | None


# ── planning: a worker's database, across organizations ───────────────────────────────────────────────

_PAYABLE = f"""
    FROM provider_payable p
    JOIN payout_account a ON a.provider_id = p.payee_id AND a.can_receive AND a.held_at IS NULL
    JOIN booking b ON b.id = p.booking_id
    LEFT JOIN payment_settings s ON s.organization_id = p.organization_id
    WHERE p.owed_minor > 0
      AND payout_due_at(p.released_at, coalesce(s.payout_delay_days, {DELAY_DAYS}), b.time_zone)
          <= (SELECT turnero_now())
"""

_DUE_PAYEES = text(
    f"""
    SELECT p.organization_id, p.payee_id, p.currency {_PAYABLE}
      AND (p.payee_id, p.currency) > (:after_id, :after_currency)
      AND NOT EXISTS (SELECT 1 FROM payout o WHERE o.provider_id = p.payee_id AND o.currency = p.currency
                      AND o.status IN ('scheduled', 'sending', 'needs_attention'))
    GROUP BY p.organization_id, p.payee_id, p.currency
    HAVING sum(p.owed_minor) >= coalesce(max(s.payout_minimum_minor), 0)
    ORDER BY p.payee_id, p.currency LIMIT :most
    """  # noqa: S608 (constants)
).bindparams(bindparam("after_id", type_=Uuid))


async def list_due_payees(tx: Tx, after: Payee | None, most: int) -> list[Payee]:
    """Who may be paid something now, in order. One statement. Whether it comes to a payout is decided under locks."""
    values = {
        "after_id": UUID(int=0) if after is None else after.provider_id,
        "after_currency": "" if after is None else after.currency,
        "most": most,
    }
    return [Payee(*row) for row in await tx.execute(_DUE_PAYEES, values)]


_LOCK_OWED = text(
    """
    SELECT p.booking_id, p.owed_minor, p.released_at
    FROM provider_payable p
    JOIN booking b ON b.id = p.booking_id
    LEFT JOIN payment_settings s ON s.organization_id = p.organization_id
    WHERE p.payee_id = :payee AND p.currency = :currency
      AND (p.owed_minor < 0 OR p.owed_minor > 0
           AND payout_due_at(p.released_at, coalesce(s.payout_delay_days, :delay), b.time_zone)
               <= (SELECT turnero_now()))
    ORDER BY p.booking_id LIMIT :most
    FOR NO KEY UPDATE OF p
    """
).bindparams(bindparam("payee", type_=Uuid))


async def lock_owed(tx: Tx, provider_id: UUID, currency: str, most: int) -> list[Owed]:
    """What is due and all debts, by booking: nobody else changes them until this transaction ends. One statement."""
    values = {"payee": provider_id, "currency": currency, "delay": DELAY_DAYS, "most": most}
    return [Owed(*row) for row in await tx.execute(_LOCK_OWED, values)]


_LOCK_PAYABLE = text(
    "SELECT p.booking_id, p.owed_minor, p.released_at FROM provider_payable p"
    " WHERE p.payee_id = :payee AND p.booking_id = ANY (:bookings) ORDER BY p.booking_id FOR NO KEY UPDATE"
).bindparams(bindparam("payee", type_=Uuid), bindparam("bookings", type_=ARRAY(Uuid)))


async def lock_owed_for(tx: Tx, provider_id: UUID, booking_ids: Sequence[UUID]) -> list[Owed]:
    """The same of certain bookings, due or not. One statement."""
    values = {"payee": provider_id, "bookings": list(booking_ids)}
    return [Owed(*row) for row in await tx.execute(_LOCK_PAYABLE, values)]


_FROZEN = text(
    """
    SELECT b.id, is_disputed(b.id) AS disputed,
           EXISTS (SELECT 1 FROM payout_reversal r JOIN payout o ON o.id = r.payout_id
                   WHERE r.booking_id = b.id AND o.provider_id = :payee AND r.status = 'created') AS returning_it
    FROM unnest(:bookings) AS b (id)
    """
).bindparams(bindparam("payee", type_=Uuid), bindparam("bookings", type_=ARRAY(Uuid)))


@dataclass(frozen=True, slots=True)
class Frozen:
    """Bookings over which a dispute is open, and those of which money is being taken back at this moment."""

    disputed: frozenset[UUID]
    reversing: frozenset[UUID]


async def frozen_among(tx: Tx, provider_id: UUID, booking_ids: Sequence[UUID]) -> Frozen:
    """After the rows are locked, so that a dispute that was opened before is seen. One statement."""
    rows = (await tx.execute(_FROZEN, {"payee": provider_id, "bookings": list(booking_ids)})).all()
    return Frozen(
        frozenset(row.id for row in rows if row.disputed), frozenset(row.id for row in rows if row.returning_it)
    )


_DEBTORS = text(
    """
    SELECT DISTINCT p.organization_id, p.payee_id, p.currency
    FROM provider_payable p JOIN payout_item i ON i.booking_id = p.booking_id AND i.amount_minor > i.reversed_minor
    JOIN payout o ON o.id = i.payout_id AND o.provider_id = p.payee_id AND o.status = 'sent'
    WHERE p.owed_minor < 0 AND (p.payee_id, p.currency) > (:after_id, :after_currency)
    ORDER BY p.payee_id, p.currency LIMIT :most
    """
).bindparams(bindparam("after_id", type_=Uuid))


async def list_debtors(tx: Tx, after: Payee | None, most: int) -> list[Payee]:
    """Who owes money for a booking that was paid out. One statement."""
    values = {
        "after_id": UUID(int=0) if after is None else after.provider_id,
        "after_currency": "" if after is None else after.currency,
        "most": most,
    }
    return [Payee(*row) for row in await tx.execute(_DEBTORS, values)]


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────


async def get_payout(tx: Tx, payout_id: UUID, *, lock: bool = False) -> Payout:
    """One statement. Whoever locks it has its account's row. Raises NotFound."""
    query = select(Payout).where(Payout.id == payout_id).execution_options(populate_existing=True)
    if lock:
        query = query.with_for_update(key_share=True)
    found = (await tx.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def find_live_payout(tx: Tx, provider_id: UUID, currency: str) -> UUID | None:
    """The one that is not over. One statement."""
    query = select(Payout.id).where(
        Payout.provider_id == provider_id, Payout.currency == currency, Payout.status.in_(_LIVE)
    )
    return (await tx.execute(query)).scalar_one_or_none()


_LIVE = (PayoutStatus.SCHEDULED, PayoutStatus.SENDING, PayoutStatus.NEEDS_ATTENTION)


async def lock_payouts_of(tx: Tx, provider_id: UUID, status: PayoutStatus) -> list[Payout]:
    """One statement. The caller has the account's row."""
    query = (
        select(Payout)
        .where(Payout.provider_id == provider_id, Payout.status == status)
        .order_by(Payout.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list((await tx.execute(query)).scalars())


async def items_of(tx: Tx, payout_id: UUID) -> list[PayoutItem]:
    """By booking. One statement."""
    query = (
        select(PayoutItem)
        .where(PayoutItem.payout_id == payout_id)
        .order_by(PayoutItem.booking_id)
        .execution_options(populate_existing=True)
    )
    return list((await tx.execute(query)).scalars())


async def items_of_payouts(tx: Tx, payout_ids: Sequence[UUID]) -> Mapping[UUID, list[PayoutItem]]:
    """By payout, then by booking. One statement."""
    query = (
        select(PayoutItem)
        .where(one_of(PayoutItem.payout_id, payout_ids))
        .order_by(PayoutItem.payout_id, PayoutItem.booking_id)
    )
    found: dict[UUID, list[PayoutItem]] = {}
    for item in (await tx.execute(query)).scalars():
        found.setdefault(item.payout_id, []).append(item)
    return found


async def reversals_of(tx: Tx, payout_id: UUID) -> list[PayoutReversal]:
    """Oldest first. One statement."""
    query = (
        select(PayoutReversal)
        .where(PayoutReversal.payout_id == payout_id)
        .order_by(PayoutReversal.id)
        .execution_options(populate_existing=True)
    )
    return list((await tx.execute(query)).scalars())


async def get_reversal(tx: Tx, reversal_id: UUID) -> tuple[PayoutReversal, Payout]:
    """With its payout. One statement. Raises NotFound."""
    query = (
        select(PayoutReversal, Payout)
        .join(Payout, Payout.id == PayoutReversal.payout_id)
        .where(PayoutReversal.id == reversal_id)
    )
    row = (await tx.execute(query)).first()
    if row is None:
        raise NotFound
    return row[0], row[1]


_NEXT_NUMBER = text(
    "SELECT coalesce(max(number), 0) + 1 FROM payout WHERE provider_id = :provider AND currency = :currency"
).bindparams(bindparam("provider", type_=Uuid))


async def next_number(tx: Tx, provider_id: UUID, currency: str) -> int:
    """One statement. The caller has the account's row; a second one is refused by `payout_number_key`."""
    found: int = (await tx.execute(_NEXT_NUMBER, {"provider": provider_id, "currency": currency})).scalar_one()
    return found


_STUCK = text(
    """
    SELECT id, organization_id, 'payout' AS kind FROM payout
    WHERE status IN ('scheduled', 'sending') AND next_attempt_at < turnero_now() - interval '1 hour'
    UNION ALL
    SELECT id, organization_id, 'reversal' FROM payout_reversal
    WHERE status = 'created' AND next_attempt_at < turnero_now() - interval '1 hour'
    LIMIT 1000
    """
)


async def list_stuck(tx: Tx) -> list[tuple[UUID, UUID, str]]:
    """(id, organization, kind) of payouts and reversals whose job was given up. One statement."""
    return [tuple(row) for row in await tx.execute(_STUCK)]


# ── lists ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class PayoutFilter:
    """None: no condition."""

    provider_id: UUID | None = None
    statuses: tuple[PayoutStatus, ...] | None = None
    currency: str | None = None


NEWEST_FIRST = SortKey("newest", Payout.created_at.expression, Payout.id.expression, datetime, descending=True)


def select_payouts(organization_id: UUID, wanted: PayoutFilter) -> Select[Payout]:
    """Not sorted, not limited."""
    statement = select(Payout).where(Payout.organization_id == organization_id)
    if wanted.provider_id is not None:
        statement = statement.where(Payout.provider_id == wanted.provider_id)
    if wanted.statuses is not None:
        statement = statement.where(Payout.status.in_([status.value for status in wanted.statuses]))
    if wanted.currency is not None:
        statement = statement.where(Payout.currency == wanted.currency)
    return statement


@dataclass(frozen=True, slots=True)
class ProviderBalance:
    """Minor units of one currency. `available`: due; `pending`: not due yet; `frozen`: under dispute; `negative`: what
    the provider owes, as a negative amount; `sending`: set aside in a payout that is not over.
    `next_due_at`: of what is pending."""

    currency: str
    available_minor: int
    pending_minor: int
    frozen_minor: int
    negative_minor: int
    sending_minor: int
    next_due_at: datetime | None


_BALANCES = text(
    """
    WITH open AS (
        SELECT p.payee_id, p.currency, p.owed_minor, is_disputed(p.booking_id) AS is_frozen,
               payout_due_at(p.released_at, coalesce(s.payout_delay_days, :delay), b.time_zone) AS due_at
        FROM provider_payable p JOIN booking b ON b.id = p.booking_id
        LEFT JOIN payment_settings s ON s.organization_id = p.organization_id
        WHERE p.payee_id = ANY (:payees) AND p.owed_minor <> 0
    ), told AS (
        SELECT o.*, CASE WHEN owed_minor < 0 THEN 'negative' WHEN is_frozen THEN 'frozen'
                         WHEN due_at > (SELECT turnero_now()) THEN 'pending' ELSE 'available' END AS state
        FROM open o
    ), summed AS (
        SELECT payee_id, currency,
               sum(owed_minor) FILTER (WHERE state = 'available') AS available,
               sum(owed_minor) FILTER (WHERE state = 'pending') AS pending,
               sum(owed_minor) FILTER (WHERE state = 'frozen') AS frozen,
               sum(owed_minor) FILTER (WHERE state = 'negative') AS negative, 0::numeric AS sending,
               min(due_at) FILTER (WHERE state = 'pending') AS next_due_at
        FROM told GROUP BY payee_id, currency
        UNION ALL
        SELECT provider_id, currency, 0, 0, 0, 0, sum(amount_minor), NULL FROM payout
        WHERE provider_id = ANY (:payees) AND status IN ('scheduled', 'sending', 'needs_attention')
        GROUP BY provider_id, currency
    )
    SELECT payee_id, currency, coalesce(sum(available), 0)::bigint, coalesce(sum(pending), 0)::bigint,
           coalesce(sum(frozen), 0)::bigint, coalesce(sum(negative), 0)::bigint, sum(sending)::bigint, min(next_due_at)
    FROM summed GROUP BY payee_id, currency ORDER BY payee_id, currency
    """
).bindparams(bindparam("payees", type_=ARRAY(Uuid)))


async def balances_of(tx: Tx, provider_ids: Sequence[UUID]) -> Mapping[UUID, list[ProviderBalance]]:
    """By provider, then by currency; nothing where nothing is open. One statement."""
    found: dict[UUID, list[ProviderBalance]] = {}
    for payee_id, *facts in await tx.execute(_BALANCES, {"payees": list(provider_ids), "delay": DELAY_DAYS}):
        found.setdefault(payee_id, []).append(ProviderBalance(*facts))
    return found
