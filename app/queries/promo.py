"""Promo codes: finding one by what was typed, listing them, counting a customer's uses."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.core.database import Tx
from app.domain.booking import BookingStatus
from app.domain.promo import Promo, PromoUses, normal_code
from app.models import PromoCode
from app.queries.pagination import SortKey

PROMO_SORT = SortKey(
    "created_desc", PromoCode.created_at.expression, PromoCode.id.expression, datetime, descending=True
)

_S = BookingStatus
EARLIER = frozenset(_S) - {_S.CANCELLED, _S.EXPIRED, _S.REFUNDED}
"""A booking in one of these is an earlier one for a code of first bookings: it stands, or it was served or missed."""


def select_promo_codes(organization_id: UUID) -> Select[PromoCode]:
    """All of an organization, not sorted, not limited."""
    return select(PromoCode).where(PromoCode.organization_id == organization_id)


async def find_promo_code(tx: Tx, organization_id: UUID, typed: str) -> PromoCode | None:
    """What somebody typed; None also for what cannot be a code. One statement."""
    try:
        code = normal_code(typed)
    except ValueError:
        return None
    query = select_promo_codes(organization_id).where(PromoCode.code == code)
    return (await tx.execute(query)).scalar_one_or_none()


def promo_of(row: PromoCode) -> Promo:
    return Promo(
        id=row.id,
        code=row.code,
        rate_bps=row.rate_bps,
        amount_minor=row.amount_minor,
        at_most_minor=row.at_most_minor,
        currency=row.currency,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        total_limit=row.total_limit,
        customer_limit=row.customer_limit,
        first_booking_only=row.first_booking_only,
        services=frozenset((*row.service_ids, *row.activity_ids)),
        minimum_minor=row.minimum_minor,
        is_active=row.is_active,
    )


_COUNT = text(
    "SELECT by_customer, earlier_bookings FROM count_promo_customer(:organization, :promo, :user_id, :email, :statuses)"
).bindparams(bindparam("user_id", type_=Uuid), bindparam("email", type_=Text), bindparam("statuses", type_=ARRAY(Text)))


async def count_uses(tx: Tx, row: PromoCode, *, account: UUID | None, email: str | None) -> PromoUses:
    """How often it was used. Of a customer (who has the account or the e-mail address) only where the code asks for it.

    Nobody else counts for that customer until this transaction ends. One statement, or none.
    """
    asks = row.customer_limit is not None or row.first_booking_only
    if not asks or (account is None and email is None):
        return PromoUses(row.uses)
    values = {
        "organization": row.organization_id,
        "promo": row.id,
        "user_id": account,
        "email": email,
        "statuses": sorted(EARLIER),
    }
    counted = (await tx.execute(_COUNT, values)).one()
    return PromoUses(row.uses, counted.by_customer, counted.earlier_bookings)
