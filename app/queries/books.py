"""Reading the sums that a booking's own books must agree in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Interval, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.core.database import Tx
from app.core.ids import first_id_at
from app.domain.ledger import NEVER_NEGATIVE
from app.domain.reconcile_books import BooksOfBooking
from app.models import Booking

SETTLED_AFTER = timedelta(hours=1)
"""So long after a booking ended, its money has been asked back or given to its owners."""

_NEVER_NEGATIVE = ", ".join(f"'{account}'" for account in sorted(NEVER_NEGATIVE))

# Sums of each booking by itself, so that an index is all that is read.
_BOOKS = text(
    f"""
    SELECT c.id AS booking_id, c.organization_id, c.status, c.currency, c.paid_minor, c.refunded_minor,
           p.captured, p.refunded, r.asked, r.settled, l.customer, l.refunds, l.escrow, l.unbalanced, l.negative,
           c.status IN ('cancelled', 'no_show', 'completed', 'refunded', 'expired')
               AND c.updated_at < turnero_now() - :settled_after AS is_over,
           c.payment_method = 'pay_now' AND c.status IN ('confirmed', 'checked_in', 'in_progress', 'completed')
               AND p.is_unpaid AS is_unpaid,
           o.differs
    FROM booking c
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.captured_minor), 0) AS captured, coalesce(sum(p.refunded_minor), 0) AS refunded,
               coalesce(bool_or(p.kind = 'booking')
                        AND NOT bool_or(p.captured_minor > 0 OR p.status IN ('authorized', 'processing')), false)
                   AS is_unpaid
        FROM payment p WHERE p.booking_id = c.id
    ) p
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(r.amount_minor - r.excess_minor) FILTER (WHERE r.status <> 'failed'), 0) AS asked,
               coalesce(sum(r.amount_minor - r.excess_minor) FILTER (WHERE r.status = 'succeeded'), 0) AS settled
        FROM refund r WHERE r.booking_id = c.id
    ) r
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(a.amount) FILTER (WHERE a.account = 'customer'), 0) AS customer,
               coalesce(sum(a.amount) FILTER (WHERE a.account = 'refunds'), 0) AS refunds,
               coalesce(sum(a.amount) FILTER (WHERE a.account = 'escrow'), 0) AS escrow,
               coalesce(sum(a.amount), 0) AS unbalanced,
               coalesce(jsonb_object_agg(a.account, a.amount)
                        FILTER (WHERE a.amount < 0 AND a.account IN ({_NEVER_NEGATIVE})), '{{}}') AS negative
        FROM (SELECT e.account, sum(e.amount_minor) AS amount
              FROM ledger_entry e JOIN ledger_journal j ON j.id = e.journal_id
              WHERE e.booking_id = c.id AND j.currency = c.currency GROUP BY e.account) a
    ) l
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(abs(coalesce(t.owed, 0) - coalesce(k.owed_minor, 0))), 0) AS differs
        FROM (SELECT e.payee_id, sum(e.amount_minor) AS owed FROM ledger_entry e
              WHERE e.booking_id = c.id AND e.account = 'provider_payable' GROUP BY e.payee_id) t
        FULL JOIN (SELECT * FROM provider_payable k WHERE k.booking_id = c.id) k ON k.payee_id = t.payee_id
    ) o
    WHERE c.id = ANY (:bookings)
    ORDER BY c.id
    """  # noqa: S608 (names of accounts)
).bindparams(bindparam("bookings", type_=ARRAY(Uuid)), bindparam("settled_after", type_=Interval))


async def list_books(tx: Tx, booking_ids: Sequence[UUID]) -> list[tuple[UUID, BooksOfBooking]]:
    """In order of the bookings' ids, each with its organization. One statement."""
    values = {"bookings": list(booking_ids), "settled_after": SETTLED_AFTER}
    found = []
    for row in await tx.execute(_BOOKS, values):
        books = BooksOfBooking(
            booking_id=row.booking_id,
            status=row.status,
            currency=row.currency,
            paid_minor=row.paid_minor,
            refunded_minor=row.refunded_minor,
            captured_minor=int(row.captured),
            refunds_of_payments_minor=int(row.refunded),
            refund_rows_minor=int(row.asked),
            settled_rows_minor=int(row.settled),
            ledger_customer_minor=int(row.customer),
            ledger_refunds_minor=int(row.refunds),
            ledger_escrow_minor=int(row.escrow),
            unbalanced_minor=int(row.unbalanced),
            negative=row.negative,
            is_over=row.is_over,
            is_unpaid=row.is_unpaid,
            owed_differs_minor=int(row.differs),
        )
        found.append((row.organization_id, books))
    return found


_MOVED = text(
    """
    SELECT e.booking_id FROM ledger_journal j JOIN ledger_entry e ON e.journal_id = j.id
    WHERE j.id >= :moved AND (CAST(:organization AS uuid) IS NULL OR j.organization_id = :organization)
    UNION
    SELECT p.booking_id FROM payment p
    WHERE p.id >= :paid AND (CAST(:organization AS uuid) IS NULL OR p.organization_id = :organization)
    """
).bindparams(bindparam("moved", type_=Uuid), bindparam("paid", type_=Uuid), bindparam("organization", type_=Uuid))


async def list_moved(tx: Tx, organization_id: UUID | None, *, moved: datetime, paid: datetime) -> list[UUID]:
    """Bookings whose money moved since the one instant, or was asked for since the other. One statement."""
    values = {"organization": organization_id, "moved": first_id_at(moved), "paid": first_id_at(paid)}
    return list((await tx.execute(_MOVED, values)).scalars())


async def list_bookings_after(tx: Tx, organization_id: UUID | None, after: UUID, most: int) -> list[UUID]:
    """All there are, in order of their ids. One statement."""
    query = select(Booking.id).where(Booking.id > after).order_by(Booking.id).limit(most)
    if organization_id is not None:
        query = query.where(Booking.organization_id == organization_id)
    return list((await tx.execute(query)).scalars())
