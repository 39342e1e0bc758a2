"""What takes time: claims, time off and external calendars, in one bounded statement."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.core.database import Tx
from app.domain.busy import Busy, BusyKind

REACH = timedelta(days=4)
"""No claim reaches further from its own start: a day of service and a day of buffer on each side, and one to spare."""


# `starts_at` bounds the btree scan; the range test is exact.
_BUSY = text(
    """
    SELECT a.subject_id, a.id, lower(a.busy) AS busy_from, upper(a.busy) AS busy_to, a.status, a.starts_at, a.ends_at,
           a.expires_at
    FROM allocation a
    WHERE a.subject_id = ANY(:subject_ids) AND a.status IN ('held', 'booked')
      AND a.starts_at > :scan_from AND a.starts_at < :scan_to
      AND a.busy && tstzrange(:from_at, :to_at, '[)')
    UNION ALL
    SELECT b.subject_id, b.id, b.starts_at, b.ends_at, b.kind, b.starts_at, b.ends_at, NULL
    FROM blocked_time b
    WHERE b.subject_id = ANY(:subject_ids) AND b.removed_at IS NULL AND b.ends_at > :from_at AND b.starts_at < :to_at
    """
).bindparams(
    bindparam("subject_ids", type_=ARRAY(Uuid)),
    bindparam("scan_from", type_=TIMESTAMP(timezone=True)),
    bindparam("scan_to", type_=TIMESTAMP(timezone=True)),
    bindparam("from_at", type_=TIMESTAMP(timezone=True)),
    bindparam("to_at", type_=TIMESTAMP(timezone=True)),
)

BusyByProvider = dict[UUID, dict[UUID, Busy]]
"""Claims and blocked times by subject (a provider or a resource unit), then by their own id."""


async def list_busy(tx: Tx, subject_ids: Iterable[UUID], from_at: datetime, to_at: datetime) -> BusyByProvider:
    """Live and lapsed claims, time off and external busy times that may touch a service which starts between the two
    instants. One statement. Where providers have limits, the instants are those of `limits.claims_window`.
    """
    low, high = from_at - REACH, to_at + REACH
    rows = await tx.execute(
        _BUSY,
        {
            "subject_ids": list(subject_ids),
            "scan_from": low - REACH,
            "scan_to": high + REACH,
            "from_at": low,
            "to_at": high,
        },
    )
    busy: BusyByProvider = {}
    for row in rows:
        busy.setdefault(row.subject_id, {})[row.id] = Busy(
            busy_from=row.busy_from,
            busy_to=row.busy_to,
            kind=BusyKind(row.status),
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            expires_at=row.expires_at,
        )
    return busy
