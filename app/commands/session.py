"""Staff change a session: closing and reopening it, and its capacity. What is held or booked stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.commands.actor import Actor
from app.commands.changes import change_row
from app.commands.expiry import expire_bookings
from app.commands.session_generation import needs_json
from app.core.database import Tx
from app.domain.errors import InvalidInput, NotAllowed, NotFound, StaleVersion
from app.domain.instants import zone
from app.domain.sessions import SessionStatus
from app.models import Activity, ActivitySession
from app.queries.activity import lock_activity
from app.queries.rows import get_row
from app.queries.session import lock_sessions
from app.queries.session_plan import get_takers, starts_in_hours

CAPACITY_MAXIMUM = 10_000


async def lock_session(tx: Tx, session_id: UUID, expected_version: int | None) -> ActivitySession:
    """One statement. Raises NotFound, StaleVersion."""
    session = (await lock_sessions(tx, [session_id])).get(session_id)
    if session is None:
        raise NotFound
    if expected_version is not None and expected_version != session.version:
        raise StaleVersion(session.version)
    return session


async def close_session(tx: Tx, actor: Actor, session_id: UUID, expected_version: int | None) -> ActivitySession:
    """No new holds or bookings. Closing twice is the same as once. Raises NotFound, StaleVersion, NotAllowed."""
    session = await lock_session(tx, session_id, expected_version)
    if session.status == SessionStatus.CANCELLED:
        raise NotAllowed("session_cancelled", "This session was cancelled; there is nothing to close.")
    return await change_session(
        tx, actor, session, "session.closed", {"status": SessionStatus.CLOSED.value}, "CAPACITY"
    )


async def reopen_session(
    tx: Tx, actor: Actor, session_id: UUID, expected_version: int | None, now: datetime
) -> ActivitySession:
    """Of a cancelled one the time of those who lead it, and of its rooms, is taken again.

    Raises NotFound, StaleVersion, NotAllowed.
    """
    # The activity first, as whoever makes its sessions locks it: they take people's time before sessions.
    activity, zone_name = await lock_activity(tx, (await get_row(tx, ActivitySession, session_id)).activity_id)
    session = await lock_session(tx, session_id, expected_version)
    if session.starts_at <= now:
        raise NotAllowed("session_begun", "This session has begun; nobody could book it any more.")
    was_cancelled = session.status == SessionStatus.CANCELLED
    values: dict[str, Any] = {"status": SessionStatus.OPEN.value, "cancelled_reason": None}
    if was_cancelled:
        await _require_hours(tx, session, zone(zone_name))
        values["is_legacy"] = False  # the hours have it
    await change_session(tx, actor, session, "session.reopened", values, "CAPACITY")
    if was_cancelled:
        await _take_time(tx, session, activity)
    return session


async def _require_hours(tx: Tx, session: ActivitySession, tz: ZoneInfo) -> None:
    """Else the next generation would call it off again. Three statements. Raises NotAllowed."""
    if not await starts_in_hours(tx, session.activity_id, tz, (session.starts_at,)):
        raise NotAllowed(
            "outside_hours", "The activity's hours have no session then. Give that day special hours first."
        )


async def change_capacity(
    tx: Tx, actor: Actor, session_id: UUID, capacity: int, expected_version: int | None
) -> ActivitySession:
    """Below what is held and booked: all of that stands, and nobody else gets in.

    Raises NotFound, StaleVersion, NotAllowed, InvalidInput.
    """
    if not 0 <= capacity <= CAPACITY_MAXIMUM:
        raise InvalidInput.at("input.capacity", f"must be 0 to {CAPACITY_MAXIMUM}")
    session = await lock_session(tx, session_id, expected_version)
    if session.status == SessionStatus.CANCELLED:
        raise NotAllowed("session_cancelled", "This session was cancelled; reopen it first.")
    await free_lapsed(tx, session)
    values = {"capacity": capacity, "grandfathered": session.taken if session.taken > capacity else 0}
    return await change_session(tx, actor, session, "session.capacity_changed", values, "CAPACITY")


async def change_session(  # noqa: PLR0917 (what changes, and what is told of it)
    tx: Tx, actor: Actor, session: ActivitySession, action: str, values: Mapping[str, Any], cause: str
) -> ActivitySession:
    """Set what differs in a locked session, with its version, audit and events. Nothing where nothing differs."""
    different = {name: value for name, value in values.items() if getattr(session, name) != value}
    if different:
        different["version"] = session.version + 1
        who = (tx, session.organization_id, actor)
        await change_row(*who, action, session, subject_id=session.id, values=different, events=())
        await tell_session(tx, session, action, cause)
    return session


async def free_lapsed(tx: Tx, session: ActivitySession) -> None:
    """Give back the places of holds that ran out, in a locked session, so that `taken` is what is really taken."""
    row = (await tx.execute(_FREE, {"session": session.id})).one()
    if row.bookings:
        await expire_bookings(tx, list(row.bookings))
    if row.freed:
        await tx.refresh(session)


_FREE = text("SELECT freed, bookings FROM release_lapsed_places(:session)")


async def tell_session(tx: Tx, session: ActivitySession, type_: str, cause: str) -> None:
    """The event of a change that was written. One statement."""
    await tx.execute(_TELL, {"session": session.id, "type": type_, "cause": cause})


_TELL = text("SELECT tell_session(:session, :type, :cause)")

_TAKE = text(
    "SELECT lock_subjects(:leaders, CAST(:needs AS jsonb)),"
    " take_session_time(:organization, :session, :starts_at, :ends_at, :leaders, CAST(:needs AS jsonb)) AS is_taken"
).bindparams(
    bindparam("leaders", type_=ARRAY(Uuid)),
    bindparam("starts_at", type_=TIMESTAMP(timezone=True)),
    bindparam("ends_at", type_=TIMESTAMP(timezone=True)),
)


async def _take_time(tx: Tx, session: ActivitySession, activity: Activity) -> None:
    """Raises NotAllowed where somebody is taken by now, or somebody else is just taking them."""
    takers = await get_takers(tx, activity)
    row = (
        await tx.execute(
            _TAKE,
            {
                "organization": session.organization_id,
                "session": session.id,
                "starts_at": session.starts_at,
                "ends_at": session.ends_at,
                "leaders": list(takers.leaders),
                "needs": needs_json(takers.needs),
            },
        )
    ).one()
    if not row.is_taken:
        raise NotAllowed(
            "session_time_taken",
            "Somebody who leads this session, or a room that it needs, is taken then or switched off.",
        )
