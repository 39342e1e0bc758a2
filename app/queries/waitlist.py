"""Entries of the waitlist, with their places in line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Select, Text, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.waitlist import TimeWindow, WaitlistStatus
from app.models import Hold, WaitlistEntry
from app.queries.pagination import SortKey
from app.queries.tenancy import Tenancy
from app.queries.text_search import contains_text


@dataclass(frozen=True, slots=True)
class SeenEntry:
    """`position`: 1 is next; None: it does not wait. `offer`: its hold, while it is offered or once it was booked."""

    record: WaitlistEntry
    position: int | None
    offer: Hold | None
    for_staff: bool
    token: str | None = None
    """Its secret, for those who may have it."""

    @property
    def windows(self) -> list[TimeWindow]:
        """When it may start, in order; those that meet are one."""
        bounds = ((window.lower, window.upper) for window in self.record.windows)
        return [TimeWindow(low, high) for low, high in bounds if low is not None and high is not None]


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """None: no condition. `text`: a part of the name, or the e-mail address."""

    statuses: tuple[WaitlistStatus, ...] | None = None
    activity_id: UUID | None = None
    session_id: UUID | None = None
    service_id: UUID | None = None
    text: str | None = None


ENTRY_SORT = SortKey("waitlist_joined", WaitlistEntry.arrival.expression, WaitlistEntry.id.expression, int)
"""In the order of arrival; positions tell what priority makes of it."""

# Who comes before, and could take the same: those of one line whose times and people meet.
_POSITIONS = text(
    """
    SELECT e.id, 1 + (
        SELECT count(*) FROM waitlist_entry o
        WHERE o.status = 'waiting'
          AND (o.activity_id = e.activity_id OR o.service_id = e.service_id)
          AND (o.priority, -o.arrival) > (e.priority, -e.arrival)
          AND o.windows && e.windows
          AND (o.session_id IS NULL OR e.session_id IS NULL OR o.session_id = e.session_id)
          AND (o.provider_ids IS NULL OR e.provider_ids IS NULL OR o.provider_ids && e.provider_ids)) AS position
    FROM waitlist_entry e WHERE e.id = ANY (:ids) AND e.status = 'waiting'
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
WAITING_AT_ONCE = 100
# An offer is made with the locks of what was freed, and who has others may be waiting for those. It gives up before the
# database looks for deadlocks, which could choose whoever frees: the job makes the offer then.
_WAITING_FOR_TIME = text(
    """
    SELECT e.id, p.id IS NOT NULL AS is_person, set_config('lock_timeout', '500ms', true)
    FROM waitlist_entry e JOIN service s ON s.id = e.service_id LEFT JOIN provider p ON p.id = :subject
    WHERE e.organization_id = :organization AND e.status = 'waiting'
      AND (p.id IS NULL OR e.provider_ids IS NULL OR p.id = ANY (e.provider_ids))
      AND EXISTS (
          SELECT FROM offer o
          WHERE o.service_id = s.id AND o.is_active AND o.provider_id = COALESCE(p.id, o.provider_id)
            AND e.windows && tstzrange(
                CAST(:from_at AS timestamptz) - make_interval(mins => s.buffer_after_minutes
                    + COALESCE(e.duration_minutes, o.duration_minutes, s.duration_minutes)),
                CAST(:to_at AS timestamptz) + make_interval(mins => s.buffer_before_minutes)))
    ORDER BY e.priority DESC, e.arrival LIMIT :limit
    """
).bindparams(
    bindparam("subject", type_=Uuid),
    bindparam("from_at", type_=TIMESTAMP(timezone=True)),
    bindparam("to_at", type_=TIMESTAMP(timezone=True)),
)
_IS_TAKEN = text(
    """
    SELECT COALESCE(range_agg(a.busy) @> tstzrange(:from_at, :to_at), false) FROM allocation a
    WHERE a.subject_id = :subject AND a.status IN ('held', 'booked') AND a.busy && tstzrange(:from_at, :to_at)
    """
).bindparams(
    bindparam("subject", type_=Uuid),
    bindparam("from_at", type_=TIMESTAMP(timezone=True)),
    bindparam("to_at", type_=TIMESTAMP(timezone=True)),
)
_ROOM = text("SELECT * FROM waitlist_room(:sessions)").bindparams(bindparam("sessions", type_=ARRAY(Uuid)))
_COUNT = text(
    "SELECT of_customer, of_address FROM count_waiting(:organization, :user_id, :email, :address)"
).bindparams(bindparam("user_id", type_=Uuid), bindparam("address", type_=Text))


async def get_entry(tx: Tx, entry_id: UUID) -> WaitlistEntry:
    """As it is now. One statement. Raises NotFound."""
    query = select(WaitlistEntry).where(WaitlistEntry.id == entry_id).execution_options(populate_existing=True)
    found = (await tx.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def see_entries(tx: Tx, records: Sequence[WaitlistEntry], *, for_staff: bool) -> list[SeenEntry]:
    """With positions and offers. Two statements."""
    positions = await positions_of(tx, [one.id for one in records])
    holds = [one.hold_id for one in records if one.hold_id is not None]
    offers: Mapping[UUID, Hold] = {}
    if holds:
        offers = {hold.id: hold for hold in (await tx.execute(select(Hold).where(Hold.id.in_(holds)))).scalars()}
    return [
        SeenEntry(one, positions.get(one.id), None if one.hold_id is None else offers[one.hold_id], for_staff)
        for one in records
    ]


async def positions_of(tx: Tx, entry_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Of those that wait. One statement."""
    return {row.id: row.position for row in await tx.execute(_POSITIONS, {"ids": list(entry_ids)})}


@dataclass(frozen=True, slots=True)
class Room:
    """Places of a locked session that nobody has. `is_awaited`: they are for others, who wait for them."""

    session_id: UUID
    places: int
    is_awaited: bool
    lapsed_bookings: tuple[UUID, ...]


async def lock_room(tx: Tx, session_ids: Sequence[UUID]) -> list[Room]:
    """Locks the sessions and frees what lapsed in them. One statement."""
    rows = await tx.execute(_ROOM, {"sessions": list(session_ids)})
    return [Room(row.session_id, row.room, row.is_awaited, tuple(row.lapsed_bookings)) for row in rows]


async def count_live(
    tx: Tx, organization_id: UUID, *, user_id: UUID | None, email: str, address: str | None
) -> tuple[int, int]:
    """Live entries of the customer here, and of the network address; exact until this ends. One statement."""
    values = {"organization": organization_id, "user_id": user_id, "email": email, "address": address}
    row = (await tx.execute(_COUNT, values)).one()
    return row.of_customer, row.of_address


def select_entries(
    organization_id: UUID, wanted: EntryFilter, tenancy: Tenancy, user_id: UUID | None
) -> Select[WaitlistEntry]:
    """Staff see all, an account its own; anybody else none. Not sorted, not limited."""
    statement = select(WaitlistEntry).where(WaitlistEntry.organization_id == organization_id)
    if not tenancy.is_staff:
        statement = statement.where(WaitlistEntry.user_id == user_id)
    if wanted.statuses is not None:
        statement = statement.where(WaitlistEntry.status.in_([status.value for status in wanted.statuses]))
    for column, value in (
        (WaitlistEntry.activity_id, wanted.activity_id),
        (WaitlistEntry.session_id, wanted.session_id),
        (WaitlistEntry.service_id, wanted.service_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.text is not None:
        named = contains_text(WaitlistEntry.name.expression, wanted.text)
        statement = statement.where(named | (func.lower(WaitlistEntry.email) == wanted.text.lower()))
    return statement


async def lock_waiting(tx: Tx, entry_id: UUID) -> WaitlistEntry | None:
    """None: it does not wait any more, or somebody else is changing it. One statement."""
    query = (
        select(WaitlistEntry)
        .where(WaitlistEntry.id == entry_id, WaitlistEntry.status == WaitlistStatus.WAITING.value)
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return (await tx.execute(query)).scalar_one_or_none()


async def waiting_for_time(
    tx: Tx, organization_id: UUID, subject_id: UUID, from_at: datetime, to_at: datetime, *, limit: int
) -> tuple[bool, list[UUID]]:
    """Is the subject a person (else it is a resource unit), and who waits for a start with them that would take some of
    the time between the two instants, in line; at most so many. One statement.
    """
    values: dict[str, object] = {
        "organization": organization_id,
        "subject": subject_id,
        "from_at": from_at,
        "to_at": to_at,
    }
    values["limit"] = limit
    rows = (await tx.execute(_WAITING_FOR_TIME, values)).all()
    return bool(rows) and rows[0].is_person, [row.id for row in rows]


async def is_all_taken(tx: Tx, subject_id: UUID, from_at: datetime, to_at: datetime) -> bool:
    """Is nothing of this time free any more? One statement."""
    return bool((await tx.execute(_IS_TAKEN, {"subject": subject_id, "from_at": from_at, "to_at": to_at})).scalar_one())


@dataclass(frozen=True, slots=True)
class Present:
    """The clock of the database, and whose starts a bulk change is just clearing away."""

    now: datetime
    cleared: tuple[tuple[UUID, TimeWindow], ...]

    def is_cleared(self, provider_id: UUID, starts_at: datetime) -> bool:
        return any(
            person == provider_id and window.from_at <= starts_at < window.to_at for person, window in self.cleared
        )


_PRESENT = text(
    "SELECT turnero_now() AS now, c.* FROM (VALUES (true)) AS one (row)"
    " LEFT JOIN time_being_cleared(:organization) c ON true"
)


async def present_of(tx: Tx, organization_id: UUID) -> Present:
    """One statement."""
    rows = (await tx.execute(_PRESENT, {"organization": organization_id})).all()
    cleared = [
        (row.provider_id, TimeWindow(row.starts_from, row.starts_before)) for row in rows if row.provider_id is not None
    ]
    return Present(rows[0].now, tuple(cleared))


_IN_LINE = text(
    "SELECT id FROM waitlist_entry WHERE organization_id = :organization AND status = 'waiting'"
    " AND service_id IS NOT NULL ORDER BY priority DESC, arrival LIMIT :limit"
)


async def all_waiting_for_time(tx: Tx, organization_id: UUID, limit: int) -> list[UUID]:
    """In line. One statement."""
    return list((await tx.execute(_IN_LINE, {"organization": organization_id, "limit": limit})).scalars())
