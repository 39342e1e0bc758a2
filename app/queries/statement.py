"""What a provider's statement says: the entries of the ledger that changed what is owed to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.core.database import Tx
from app.domain.statement import StatementLine

PAGE = 2_000

_OPENINGS = text(
    """
    SELECT j.currency, coalesce(sum(e.amount_minor) FILTER (WHERE j.created_at < :first), 0)::bigint AS opening
    FROM ledger_entry e JOIN ledger_journal j ON j.id = e.journal_id
    WHERE e.payee_id = :payee AND e.account = 'provider_payable' AND j.created_at < :last
    GROUP BY j.currency ORDER BY j.currency
    """
).bindparams(
    bindparam("payee", type_=Uuid),
    bindparam("first", type_=TIMESTAMP(timezone=True)),
    bindparam("last", type_=TIMESTAMP(timezone=True)),
)


async def opening_balances(tx: Tx, provider_id: UUID, first: datetime, last: datetime) -> list[tuple[str, int]]:
    """(currency, owed before `first`) of every currency that there was anything in before `last`. One statement."""
    rows = await tx.execute(_OPENINGS, {"payee": provider_id, "first": first, "last": last})
    return [(row.currency, row.opening) for row in rows]


_LINES = text(
    """
    SELECT j.created_at, j.kind, b.number AS booking, o.number AS payout, e.amount_minor, e.id
    FROM ledger_entry e
    JOIN ledger_journal j ON j.id = e.journal_id
    JOIN booking b ON b.id = e.booking_id
    LEFT JOIN payout o ON o.provider_id = e.payee_id AND j.kind IN ('payout_asked', 'payout_failed')
                      AND o.id::text = j.reference
    WHERE e.payee_id = :payee AND e.account = 'provider_payable' AND j.currency = :currency
      AND j.created_at >= :first AND j.created_at < :last AND (j.created_at, e.id) > (:after_at, :after_id)
    ORDER BY j.created_at, e.id LIMIT :most
    """
).bindparams(
    bindparam("payee", type_=Uuid),
    bindparam("first", type_=TIMESTAMP(timezone=True)),
    bindparam("last", type_=TIMESTAMP(timezone=True)),
    bindparam("after_at", type_=TIMESTAMP(timezone=True)),
    bindparam("after_id", type_=BigInteger),
)


class Place(NamedTuple):
    """After which entry a page begins."""

    at: datetime
    entry_id: int


async def statement_page(  # noqa: PLR0917 (whose, of what, from when to when, after which)
    tx: Tx, provider_id: UUID, currency: str, first: datetime, last: datetime, after: Place | None
) -> tuple[list[StatementLine], Place | None]:
    """Lines in the order in which they were written, and where the next page begins, if there is one. One statement."""
    place = after or Place(first, 0)
    values: dict[str, Any] = {
        "payee": provider_id,
        "currency": currency,
        "first": first,
        "last": last,
        "after_at": place.at,
        "after_id": place.entry_id,
        "most": PAGE,
    }
    rows = (await tx.execute(_LINES, values)).all()
    following = Place(rows[-1].created_at, rows[-1].id) if len(rows) == PAGE else None
    return [StatementLine(*row[:-1]) for row in rows], following
