"""Sessions follow their activity's schedule: new ones are made, those that the hours have no more end or become legacy.

Everything here may run again at any time, and twice at once: the activity's row is locked, and what is there already
stays. Nothing takes a place or an appointment from anybody who has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import structlog
from sqlalchemy import ARRAY, Uuid, bindparam, text, update
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.commands.actor import SYSTEM, Actor
from app.commands.expiry import expire_bookings
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.domain.busy import BusyBySubject
from app.domain.errors import InvalidInput, NotFound, Unavailable
from app.domain.instants import at_minute, zone
from app.domain.plan import Need
from app.domain.session_plan import Choice, Comparison, Takers, choose, compare
from app.domain.sessions import COMING_MAXIMUM, SessionTime, generation_day, horizon
from app.models import Activity
from app.queries.activity import lock_active_activity_ids, lock_activity
from app.queries.busy import list_busy
from app.queries.rows import get_row, one_of
from app.queries.session_plan import (
    get_session_hours,
    get_takers,
    list_future_session_ids,
    list_future_sessions,
)

log = structlog.get_logger(__name__)

_MINUTE = timedelta(minutes=1)
SESSIONS_AT_ONCE = 5_000
"""Most that one transaction makes; the next part goes on from there."""
LED_AT_ONCE = 1_000
"""The same of sessions that take somebody's time, or a room's: each of them is looked for."""
RETIRED_AT_ONCE = 10_000
"""Most that one transaction ends; those that are left cannot be sold until the job has ended them."""
VENUE_AT_ONCE = 2_000
"""Most coming sessions of a venue that follow its days and its zone in the transaction that changes those."""
VENUE_ACTIVITIES = 10
"""And of how many activities at most."""


@dataclass(frozen=True, slots=True)
class GeneratedSessions:
    """What became different, by start. `conflicts`: starts without a session, since a leader or a room is taken then.

    Of conflicts these are the first of `conflict_count`. `is_complete` is false where there is more to do than one
    transaction does, `is_cut` where there are more sessions than an activity may have.
    """

    created: tuple[datetime, ...] = ()
    restored: tuple[datetime, ...] = ()
    legacy: tuple[datetime, ...] = ()
    cancelled: tuple[datetime, ...] = ()
    conflicts: tuple[datetime, ...] = ()
    conflict_count: int = 0
    is_complete: bool = True
    is_cut: bool = False

    def counts(self) -> dict[str, int]:
        """How many of each, without those that are none."""
        found = {
            "created": len(self.created),
            "restored": len(self.restored),
            "legacy": len(self.legacy),
            "cancelled": len(self.cancelled),
            "conflicts": self.conflict_count,
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

    A venue with many sessions would keep everybody waiting: its activities are left to the job, each in transactions
    of its own, and what the hours have no more is not sold meanwhile (`Activity.sessions_follow`). The answer has those
    that are done.

    All rows are locked before anybody's time is, and all people and rooms before the first of them is taken: two of
    these, or one of them and a visit, never wait for each other in a circle.
    """
    activity_ids = await lock_active_activity_ids(tx, venue_id)
    coming = await list_future_session_ids(tx, activity_ids, now, most=VENUE_AT_ONCE + 1)
    if len(coming) > VENUE_AT_ONCE or len(activity_ids) > VENUE_ACTIVITIES:
        await _leave_to_the_job(tx, activity_ids)
        return {}
    if len(activity_ids) > 1:
        takers = [await get_takers(tx, await get_row(tx, Activity, activity_id)) for activity_id in activity_ids]
        leaders = {leader for each in takers for leader in each.leaders}
        await _lock_time(tx, sorted(leaders), [need for each in takers for need in each.needs], coming)
    done: dict[UUID, GeneratedSessions] = {}
    changed = 0
    for number, activity_id in enumerate(activity_ids):
        if changed > VENUE_AT_ONCE:
            await _leave_to_the_job(tx, activity_ids[number:])
            break
        done[activity_id] = await apply_schedule(tx, organization_id, activity_id, actor=actor, now=now)
        changed += sum(done[activity_id].counts().values())
    return done


async def _leave_to_the_job(tx: Tx, activity_ids: Sequence[UUID]) -> None:
    await tx.execute(
        update(Activity)
        .where(one_of(Activity.id, activity_ids))
        .values(sessions_follow=False, sessions_reached=None)
        .execution_options(synchronize_session=False)
    )


async def generate_next(tx: Tx, activity_id: UUID, now: datetime) -> bool:
    """The daily generation, or the next part of it, unless somebody has done it. True: it is done for the day.

    Raises NotFound.
    """
    activity, zone_name = await lock_activity(tx, activity_id)
    tz = zone(zone_name)
    day = generation_day(now, tz)
    is_done = activity.sessions_generated_on is not None and activity.sessions_generated_on >= day
    if not activity.is_active or (is_done and activity.sessions_follow):
        return True
    end = horizon(now, activity.session_horizon_days, tz)
    after = activity.sessions_reached
    generated = await _follow_schedule(tx, activity, zone_name, end, actor=SYSTEM, now=now, after=after)
    if generated.is_complete:
        activity.sessions_generated_on = day
        await tx.flush()
    return generated.is_complete


async def generate_until(
    tx: Tx, activity_id: UUID, until: datetime, *, actor: Actor, now: datetime
) -> tuple[Activity, GeneratedSessions]:
    """On demand, beyond the horizon: sessions that start before `until`. Raises NotFound, InvalidInput.

    More at a time than one transaction makes are refused, and more than COMING_MAXIMUM in all, before any is made.
    """
    activity, zone_name = await lock_activity(tx, activity_id)
    if not activity.is_active:
        raise InvalidInput.at("input.activityId", "is not active; reactivate it first")
    if until > horizon(now, activity.maximum_advance_days, zone(zone_name)):
        days = activity.maximum_advance_days
        raise InvalidInput.at("input.until", f"is more than {days} days ahead, the activity's maximumAdvanceDays")
    return activity, await _follow_schedule(
        tx, activity, zone_name, until, actor=actor, now=now, refuse_more=_too_many_until
    )


def _too_many_until(choice: Choice) -> None:
    if choice.is_cut:
        raise InvalidInput.at("input.until", f"asks for more than {COMING_MAXIMUM} coming sessions of one activity")
    if not choice.is_whole:
        message = f"asks for more than {len(choice.times)} sessions at once; take a nearer date first"
        raise InvalidInput.at("input.until", message)


async def _follow_schedule(
    tx: Tx,
    activity: Activity,
    zone_name: str,
    end: datetime,
    *,
    actor: Actor,
    now: datetime,
    after: datetime | None = None,
    refuse_more: Callable[[Choice], None] | None = None,
) -> GeneratedSessions:
    """One part: those that the hours have no more end, then the soonest that are missing are made, from `after` on."""
    tz = zone(zone_name)
    there = await list_future_sessions(tx, activity.id, now)
    last = max(end, there[-1].starts_at + _MINUTE) if there else end
    hours = await get_session_hours(tx, activity, tz, now, last)
    # In a thread, as all that goes through years of minutes: everybody else's requests go on meanwhile.
    compared = await asyncio.to_thread(compare, hours, there, now=now, end=end, makes_new=activity.is_active)
    takers = await get_takers(tx, activity)
    doomed = compared.doomed[:RETIRED_AT_ONCE]
    if takers or doomed:
        await _lock_time(tx, takers.leaders, takers.needs, doomed)
    retired = await _retire(tx, doomed)
    follows = len(doomed) == len(compared.doomed)
    choice = Choice(is_whole=False)
    if follows:
        busy = await _busy(tx, takers, compared)
        choice = await asyncio.to_thread(_choose, compared, takers, busy, tz, now, after)
        if refuse_more is not None:
            refuse_more(choice)
    made = await _make(tx, activity, takers, choice.times)
    conflicts = sorted((*choice.conflicts, *made.get("conflict", ())))
    generated = GeneratedSessions(
        created=made.get("created", ()),
        restored=made.get("restored", ()),
        legacy=retired.get("legacy", ()),
        cancelled=retired.get("cancelled", ()),
        conflicts=tuple(conflicts),
        conflict_count=choice.conflict_count + len(made.get("conflict", ())),
        is_complete=choice.is_whole,
        is_cut=choice.is_cut,
    )
    activity.sessions_follow = follows
    # The next part goes on behind the last start of this one: else it would begin with those that met somebody here.
    activity.sessions_reached = None if choice.is_whole or not choice.times else choice.times[-1].starts_at
    await tx.flush()
    await _tell(tx, activity, generated, actor)
    return generated


def _choose(  # noqa: PLR0917
    compared: Comparison,
    takers: Takers,
    busy: BusyBySubject,
    tz: ZoneInfo,
    now: datetime,
    after: datetime | None,
) -> Choice:
    hopeless = 0
    if takers and compared.axis is not None:
        minutes = compared.lasting // _MINUTE
        hopeless = takers.hopeless(compared.axis, minutes, busy, tz, now)
    return choose(compared, hopeless, after=after, most=LED_AT_ONCE if takers else SESSIONS_AT_ONCE)


async def _busy(tx: Tx, takers: Takers, compared: Comparison) -> BusyBySubject:
    """Of all who are needed, wherever anything is missing: once, however many starts are looked at."""
    if not takers or compared.axis is None:
        return {}
    first, past = compared.axis
    busy = await list_busy(tx, sorted(takers.subjects()), at_minute(first), at_minute(past) + compared.lasting)
    return {subject: claims.values() for subject, claims in busy.items()}


_LOCK_TIME = text("SELECT lock_session_subjects(:leaders, CAST(:needs AS jsonb), :sessions)").bindparams(
    bindparam("leaders", type_=ARRAY(Uuid)), bindparam("sessions", type_=ARRAY(Uuid))
)


async def _lock_time(tx: Tx, leaders: Sequence[UUID], needs: Iterable[Need], sessions: Sequence[UUID]) -> None:
    """Everybody whose time is given back or taken, before any of it is."""
    await tx.execute(_LOCK_TIME, {"leaders": list(leaders), "needs": needs_json(needs), "sessions": list(sessions)})


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


async def _make(tx: Tx, activity: Activity, takers: Takers, times: Sequence[SessionTime]) -> _ByOutcome:
    """Starts by outcome."""
    if not times:
        return {}
    rows = await tx.execute(
        _MAKE,
        {
            "organization": activity.organization_id,
            "activity": activity.id,
            "capacity": activity.capacity,
            "starts": [time.starts_at for time in times],
            "ends": [time.ends_at for time in times],
            "versions": [time.version_id for time in times],
            "leaders": list(takers.leaders),
            "needs": needs_json(takers.needs),
        },
    )
    return _by_outcome((row.starts_at, row.outcome) for row in rows)


def needs_json(needs: Iterable[Need]) -> str:
    """As `take_session_time` reads them."""
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
            count=generated.conflict_count,
            first=generated.conflicts[0].isoformat(),
            why="somebody who leads them, or a room, is taken then or switched off",
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
