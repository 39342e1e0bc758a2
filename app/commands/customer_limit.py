"""Keeping to what one customer may book on a day and in a week, and in one hour."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from app.core.database import Tx
from app.domain.booking import OCCUPYING
from app.domain.customer_limit import CountedTime, CustomerLimits, broken_limit, hour_is_full
from app.domain.errors import NotAllowed
from app.domain.instants import zone
from app.models import Booking, Customer, Organization

_COUNT = text(
    "SELECT in_day, in_week, retry_after FROM count_customer_bookings(:organization, :user_id, :email, :day_from,"
    " :day_to, :week_from, :week_to, :statuses, :except, :per_hour)"
).bindparams(
    bindparam("user_id", type_=Uuid),
    bindparam("except", type_=Uuid),
    bindparam("email", type_=Text),
    bindparam("per_hour", type_=Integer),
    bindparam("statuses", type_=ARRAY(Text)),
    *(bindparam(name, type_=TIMESTAMP(timezone=True)) for name in ("day_from", "day_to", "week_from", "week_to")),
)


async def check_customer_limits(
    tx: Tx,
    organization_id: UUID,
    limits: CustomerLimits,
    *,
    account: UUID | None,
    email: str | None,
    starts_at: datetime,
    time_zone: str,
) -> None:
    """May this customer make one booking more, and have it on the day and in the week of its start in its own zone?

    They are who has the account or the e-mail address (None: the account's). Nobody else counts for them until this
    transaction ends. One statement; none without limits. Raises NotAllowed, RateLimited.
    """
    if limits:
        counted = CountedTime.around(starts_at, zone(time_zone))
        await _check(tx, organization_id, limits, counted, account=account, email=email)


async def check_customer_move(tx: Tx, booking: Booking, starts_at: datetime, time_zone: str) -> None:
    """May the customer's own move bring this locked booking to that start? Otherwise limits were for the asking.

    Nothing is asked on the same day; else one statement, two where customers have limits. Raises NotAllowed.
    """
    before = CountedTime.around(booking.starts_at, zone(booking.time_zone))
    after = CountedTime.around(starts_at, zone(time_zone))
    if before == after:
        return
    query = (
        select(Organization.customer_daily_limit, Organization.customer_weekly_limit, Customer.user_id, Customer.email)
        .join(Customer, Customer.organization_id == Organization.id)
        .where(Customer.id == booking.customer_id)
    )
    per_day, per_week, account, email = (await tx.execute(query)).one()
    limits = CustomerLimits(per_day, per_week).of_move(before, after)
    if limits:
        await _check(tx, booking.organization_id, limits, after, account=account, email=email, moved_id=booking.id)


async def _check(
    tx: Tx,
    organization_id: UUID,
    limits: CustomerLimits,
    time: CountedTime,
    *,
    account: UUID | None,
    email: str | None,
    moved_id: UUID | None = None,
) -> None:
    row = (
        await tx.execute(
            _COUNT,
            {
                "organization": organization_id,
                "user_id": account,
                "email": email,
                "day_from": time.day_from,
                "day_to": time.day_to,
                "week_from": time.week_from,
                "week_to": time.week_to,
                "statuses": sorted(OCCUPYING),
                "except": moved_id,
                "per_hour": limits.per_hour,
            },
        )
    ).one()
    broken = broken_limit(limits, time, row.in_day, row.in_week)
    if broken is not None:
        raise NotAllowed(broken.rule, broken.message)
    if limits.per_hour is not None and row.retry_after is not None:
        raise hour_is_full(limits.per_hour, row.retry_after)
