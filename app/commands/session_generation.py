"""Sessions follow their activity's schedule: new ones are made, those that the hours have no more end or become legacy.

Everything here may run again at any time, and twice at once: the activity's row is locked, and what is there already
stays. Nothing takes a place or an appointment from anybody who has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.commands.actor import SYSTEM, Actor
from app.commands.expiry import expire_bookings
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.domain.errors import InvalidInput, NotFound, Unavailable
from app.domain.instants import zone
from app.domain.sessions import SessionStatus, SessionTime, generation_day, horizon
from app.domain.slots import Need
from app.models import Activity
from app.queries.activity import lock_active_activity_ids, lock_activity
from app.queries.session_plan import FutureSession, SessionPlan, get_session_plan, list_future_sessions

log = structlog.get_logger(__name__)

_MINUTE = timedelta(minutes=1)
SESSIONS_AT_ONCE = 5_000
"""Most that one transaction makes; the next generation goes on from there."""
LED_AT_ONCE = 1_000
"""The same of sessions that take somebody's time, or a room's: each of them is looked for."""
COMING_MAXIMUM = 10_000
"""Most sessions ahead of one activity, so that new hours can always be applied to all of them at once."""


@dataclass(frozen=True, slots=True)
class GeneratedSessions:
    """What became different, by start. `conflicts`: starts without a session, since a leader or a room is taken then.

    `is_complete` is false where there are more to make than one transaction makes, `is_cut` where there are more than
    an activity may have.
    """

    created: tuple[datetime, ...] = ()
    restored: tuple[datetime, ...] = ()
    legacy: tuple[datetime, ...] = ()
    cancelled: tuple[datetime, ...] = ()
    conflicts: tuple[datetime, ...] = ()
    is_complete: bool = True
    is_cut: bool = False

    def counts(self) -> dict[str, int]:
        """How many of each, without those that are none."""
        found = {
            "created": len(self.created),
            "restored": len(self.restored),
            "legacy": len(self.legacy),
            "cancelled": len(self.cancelled),
            "conflicts": len(self.conflicts),
        }
        return {name: count for name, count in found.items() if count}


async def apply_schedule(
    tx: Tx, organization_id: UUID, activity_id: UUID, *, actor: Actor, now: datetime
) -> GeneratedSessions:
    """Bring an activity's sessions into line with its hours, as far as its horizon. Raises NotFound.

    To be called after each change of what sessions follow from: the schedule, an exception, the activity itself.
    """
    activity, zone_name = await lock_activity(tx, activity_id)
    if activity.organization_id != organization_id:
        raise NotFound
    end = horizon(now, activity.session_horizon_days, zone(zone_name))
    generated = await _follow_schedule(tx, activity, zone_name, end, actor=actor, now=now)
    if not generated.is_complete:
        activity.sessions_generated_on = None  # the rest is due: the job's next look makes it
        await tx.flush()
    return generated


async def apply_schedule_at(
    tx: Tx, organization_id: UUID, venue_id: UUID, *, actor: Actor, now: datetime
) -> dict[UUID, GeneratedSessions]:
    """The same for each active activity of a venue, whose closed days and zone rule them all.

    Their rows are locked before anybody's time is: one generation of two activities and another of the second alone
    would wait for each other at a person who leads both.
    """
    return {
        activity_id: await apply_schedule(tx, organization_id, activity_id, actor=actor, now=now)
        for activity_id in await lock_active_activity_ids(tx, venue_id)
    }


async def generate_next(tx: Tx, activity_id: UUID, now: datetime) -> bool:
    """The daily generation, or the next part of it, unless somebody has done it. True: it is done for the day.

    Raises NotFound.
    """
    activity, zone_name = await lock_activity(tx, activity_id)
    tz = zone(zone_name)
    day = generation_day(now, tz)
    if not activity.is_active or (activity.sessions_generated_on is not None and activity.sessions_generated_on >= day):
        return True
    end = horizon(now, activity.session_horizon_days, tz)
    generated = await _follow_schedule(tx, activity, zone_name, end, actor=SYSTEM, now=now)
    if generated.is_complete:
        activity.sessions_generated_on = day
        await tx.flush()
    return generated.is_complete


async def generate_until(
    tx: Tx, activity_id: UUID, until: datetime, *, actor: Actor, now: datetime
) -> tuple[Activity, GeneratedSessions]:
    """On demand, beyond the horizon: sessions that start before `until`. Raises NotFound, InvalidInput.

    More at a time than one transaction makes are refused, and more than COMING_MAXIMUM in all.
    """
    activity, zone_name = await lock_activity(tx, activity_id)
    if not activity.is_active:
        raise InvalidInput.at("input.activityId", "is not active; reactivate it first")
    if until > horizon(now, activity.maximum_advance_days, zone(zone_name)):
        days = activity.maximum_advance_days
        raise InvalidInput.at("input.until", f"is more than {days} days ahead, the activity's maximumAdvanceDays")
    generated = await _follow_schedule(tx, activity, zone_name, until, actor=actor, now=now)
    if generated.is_cut:
        raise InvalidInput.at("input.until", f"asks for more than {COMING_MAXIMUM} coming sessions of one activity")
    if not generated.is_complete:
        message = f"asks for more than {len(generated.created)} sessions at once; take a nearer date first"
        raise InvalidInput.at("input.until", message)
    return activity, generated


async def _follow_schedule(
    tx: Tx, activity: Activity, zone_name: str, end: datetime, *, actor: Actor, now: datetime
) -> GeneratedSessions:
    there = await list_future_sessions(tx, activity.id, now)
    last = max(end, there[-1].starts_at + _MINUTE) if there else end
    plan = await get_session_plan(tx, activity, zone(zone_name), now, last)
    wanted = {time.starts_at: time for time in plan.hours.sessions(now, last) if time.starts_at > now}
    retired = await _retire(tx, [row.id for row in there if row.starts_at not in wanted and row.status != _CANCELLED])
    missing, is_cut = _missing(activity, wanted, there, end)
    made, is_complete = await _make(tx, activity, plan, missing)
    generated = GeneratedSessions(
        created=made.get("created", ()),
        restored=made.get("restored", ()),
        legacy=retired.get("legacy", ()),
        cancelled=retired.get("cancelled", ()),
        conflicts=made.get("conflict", ()),
        is_complete=is_complete,
        is_cut=is_cut,
    )
    await _tell(tx, activity, generated, actor)
    return generated


_CANCELLED = SessionStatus.CANCELLED.value


def _missing(
    activity: Activity, wanted: Mapping[datetime, SessionTime], there: Sequence[FutureSession], end: datetime
) -> tuple[list[SessionTime], bool]:
    """Those to be made as far as `end`, and those anywhere that the hours have again: as many as an activity may have,
    the soonest first, and whether there are more.
    """
    if not activity.is_active:
        return [], False
    known = {row.starts_at: row for row in there}
    room = COMING_MAXIMUM - sum(row.status != _CANCELLED and row.starts_at in wanted for row in there)
    missing: list[SessionTime] = []
    for start, time in wanted.items():
        row = known.get(start)
        if row is not None and row.is_legacy:
            missing.append(time)
            continue
        is_due = start < end if row is None else row.is_dropped
        if not is_due:
            continue
        if room <= 0:
            return missing, True
        room -= 1
        missing.append(time)
    return missing, False


_INSTANTS = ARRAY(TIMESTAMP(timezone=True))

_MAKE = text(
    "SELECT starts_at, outcome FROM make_sessions(:organization, :activity, :capacity, :starts, :ends, :versions,"
    " :leaders, CAST(:needs AS jsonb))"
).bindparams(
    bindparam("starts", type_=_INSTANTS),
    bindparam("ends", type_=_INSTANTS),
    bindparam("versions", type_=ARRAY(Uuid)),
    bindparam("leaders", type_=ARRAY(Uuid)),
)

_RETIRE = text("SELECT starts_at, outcome, lapsed_bookings FROM retire_sessions(:sessions)").bindparams(
    bindparam("sessions", type_=ARRAY(Uuid))
)

_ByOutcome = dict[str, tuple[datetime, ...]]


async def _make(tx: Tx, activity: Activity, plan: SessionPlan, times: Sequence[SessionTime]) -> tuple[_ByOutcome, bool]:
    """Starts by outcome, and whether that was all."""
    if not times:
        return {}, True
    part = times[: LED_AT_ONCE if plan.leaders or plan.needs else SESSIONS_AT_ONCE]
    rows = await tx.execute(
        _MAKE,
        {
            "organization": activity.organization_id,
            "activity": activity.id,
            "capacity": activity.capacity,
            "starts": [time.starts_at for time in part],
            "ends": [time.ends_at for time in part],
            "versions": [time.version_id for time in part],
            "leaders": list(plan.leaders),
            "needs": _needs_json(plan.needs),
        },
    )
    made = _by_outcome((row.starts_at, row.outcome) for row in rows)
    # Where all of a part met somebody, the rest is not tried: another generation would begin with the same ones.
    return made, len(part) == len(times) or made.keys() <= {"conflict"}


def _needs_json(needs: Iterable[Need]) -> str:
    return msgspec.json.encode([{"quantity": need.quantity, "units": need.units} for need in needs]).decode()


async def _retire(tx: Tx, session_ids: Sequence[UUID]) -> _ByOutcome:
    if not session_ids:
        return {}
    rows = (await tx.execute(_RETIRE, {"sessions": list(session_ids)})).all()
    lapsed = [booking_id for row in rows for booking_id in row.lapsed_bookings]
    if lapsed and await expire_bookings(tx, lapsed):
        # Its payment is coming through this very moment: whether the session ends is known when that is over.
        raise Unavailable
    return _by_outcome((row.starts_at, row.outcome) for row in rows)


def _by_outcome(pairs: Iterable[tuple[datetime, str]]) -> _ByOutcome:
    found: dict[str, list[datetime]] = {}
    for start, outcome in pairs:
        found.setdefault(outcome, []).append(start)
    return {outcome: tuple(sorted(starts)) for outcome, starts in found.items()}


async def _tell(tx: Tx, activity: Activity, generated: GeneratedSessions, actor: Actor) -> None:
    """One audit entry and one event of the activity; each session has told its own. Nothing where nothing changed."""
    if generated.conflicts:
        log.warning(
            "sessions.not_made",
            activity=str(activity.id),
            count=len(generated.conflicts),
            first=generated.conflicts[0].isoformat(),
            why="somebody who leads them, or a room, is taken then",
        )
    if generated.is_cut:
        log.warning("sessions.cut", activity=str(activity.id), why=f"it has {COMING_MAXIMUM} coming ones")
    counts = generated.counts()
    if not counts.keys() - {"conflicts"}:
        return
    await write_journal(
        tx,
        activity.organization_id,
        actor,
        audit=[Audit("activity.sessions_changed", activity.id, None, dict(counts))],
        events=[Event("activity.sessions_changed", activity.id, dict(counts))],
    )
