"""Joining the waitlist, leaving it, declining an offer, and who comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import Range

from app.commands.actor import Actor
from app.commands.booking import account_of
from app.commands.booking_insert import CustomerDetails
from app.commands.expiry import expire_bookings
from app.commands.journal import Audit, Event, write_journal
from app.commands.session_hold import PlacesRequest, check_places
from app.commands.waitlist_time import TimeWanted, check_time
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import (
    FieldErrors,
    InvalidInput,
    NotAllowed,
    NotFound,
    RateLimited,
    StaleVersion,
    Unauthenticated,
    Unavailable,
)
from app.domain.search import MAXIMUM_PARTY
from app.domain.sessions import SessionStatus
from app.domain.waitlist import (
    ENTRIES_OF_CUSTOMER,
    FURTHEST,
    PRIORITY_MAXIMUM,
    PROVIDERS_MAXIMUM,
    SESSIONS_MAXIMUM,
    TimeWindow,
    WaitlistStatus,
    check_windows,
    joined,
    line_of,
    within,
)
from app.models import ActivitySession, User, WaitlistEntry
from app.queries.rows import lock_row
from app.queries.session import get_activity_at_venue, get_bookable
from app.queries.session_search import bookable_between
from app.queries.tenancy import Tenancy
from app.queries.waitlist import count_live, get_entry, lock_room

RETRY_AFTER_S = 3_600
"""Entries end by themselves, but nobody knows when."""


@dataclass(frozen=True, slots=True)
class WaitlistRequest:
    """For places: a session, or an activity with windows. For time: a service with windows."""

    session_id: UUID | None
    activity_id: UUID | None
    service_id: UUID | None
    provider_ids: tuple[UUID, ...] | None
    duration_minutes: int | None
    windows: tuple[TimeWindow, ...]
    party_size: int


async def join_waitlist(
    tx: Tx,
    tenancy: Tenancy,
    request: WaitlistRequest,
    customer: CustomerDetails | None,
    *,
    actor: Actor,
    now: datetime,
    address: str | None,
    address_limit: int,
) -> WaitlistEntry:
    """Who could have what they wait for is refused: they book it. Six statements for a session.

    Raises InvalidInput, NotFound, NotAllowed, RateLimited, SlotUnavailable, Unauthenticated.
    """
    account = account_of(customer, tenancy, actor.user_id)
    details = customer or await _details_of(tx, account)
    counted = None if tenancy.is_staff or not address_limit else address
    await _check_count(tx, tenancy, details.email, account, counted, address_limit)
    activity_id, windows = await _wanted(tx, tenancy, request, now)
    entry = WaitlistEntry(
        id=new_id(),
        organization_id=tenancy.organization_id,
        activity_id=activity_id,
        session_id=request.session_id,
        service_id=request.service_id,
        provider_ids=None if request.provider_ids is None else list(request.provider_ids),
        duration_minutes=request.duration_minutes,
        windows=[Range(window.from_at, window.to_at) for window in joined(windows)],
        party_size=request.party_size,
        user_id=account,
        name=details.name,
        email=details.email,
        phone=details.phone,
        locale=details.locale,
        address=counted,
    )
    tx.add(entry)
    await tx.flush()
    await _tell_joined(tx, entry, actor)
    return entry


async def _details_of(tx: Tx, user_id: UUID | None) -> CustomerDetails:
    user = None if user_id is None else await tx.get(User, user_id)
    if user is None:
        raise Unauthenticated("Your account is gone. Sign up again.")
    return CustomerDetails(user.name, user.email, None, user.locale)


async def _check_count(  # noqa: PLR0917 (who asks, in every way they can be counted)
    tx: Tx, tenancy: Tenancy, email: str, user_id: UUID | None, address: str | None, address_limit: int
) -> None:
    """One statement. Raises NotAllowed, RateLimited."""
    of_customer, of_address = await count_live(
        tx, tenancy.organization_id, user_id=user_id, email=email, address=address
    )
    if of_customer >= ENTRIES_OF_CUSTOMER:
        message = f"This customer waits for {ENTRIES_OF_CUSTOMER} things already, which is the most: leave one first."
        raise NotAllowed("waitlist_limit", message)
    if address is not None and of_address >= address_limit:
        raise RateLimited("Too many entries of the waitlist come from here. Leave one first.", RETRY_AFTER_S)


async def _wanted(
    tx: Tx, tenancy: Tenancy, request: WaitlistRequest, now: datetime
) -> tuple[UUID | None, Sequence[TimeWindow]]:
    """The activity, if any, and when it may start. Raises as `join_waitlist`."""
    if request.service_id is None:
        find = _any_session if request.session_id is None else _one_session
        activity_id, windows, sessions = await find(tx, tenancy, request, now)
        await _refuse_free(tx, sessions, request.party_size)
        return activity_id, windows
    errors = FieldErrors()
    check_windows(request.windows, now, errors, "input.windows")
    if request.provider_ids is not None and not 1 <= len(request.provider_ids) <= PROVIDERS_MAXIMUM:
        errors.add("input.providerIds", f"must be 1 to {PROVIDERS_MAXIMUM}, or left out for anybody")
    errors.raise_any()
    windows = within(joined(request.windows), TimeWindow(now, now + FURTHEST))
    wanted = TimeWanted(
        request.service_id, request.provider_ids, request.duration_minutes, request.party_size, tuple(windows)
    )
    await check_time(tx, wanted, for_staff=tenancy.is_staff, now=now)
    return None, windows


_Wanted = tuple[UUID, Sequence[TimeWindow], list[UUID]]
"""The activity, when it may start, and the sessions that are there by now."""


async def _one_session(tx: Tx, tenancy: Tenancy, request: WaitlistRequest, now: datetime) -> _Wanted:
    """One statement. Raises NotFound, InvalidInput, SlotUnavailable for one that nobody could book anyway."""
    assert request.session_id is not None
    found = await get_bookable(tx, request.session_id)
    session = found.session
    check_places(found, PlacesRequest(session.id, request.party_size), tenancy, now)
    if request.party_size > session.capacity:
        raise InvalidInput.at("input.partySize", f"is more than the {session.capacity} places of this session")
    return session.activity_id, (TimeWindow(session.starts_at, session.ends_at),), [session.id]


async def _any_session(tx: Tx, tenancy: Tenancy, request: WaitlistRequest, now: datetime) -> _Wanted:
    """Two statements. Raises NotFound, InvalidInput."""
    assert request.activity_id is not None
    place = await get_activity_at_venue(tx, request.activity_id)
    if not place.is_offered and not tenancy.is_staff:
        raise NotFound
    errors = FieldErrors()
    check_windows(request.windows, now, errors, "input.windows")
    least = place.activity.minimum_party_size
    most = min(place.activity.max_party_size or MAXIMUM_PARTY, max(1, place.activity.capacity))
    if not least <= request.party_size <= most:
        errors.add("input.partySize", f"must be {least} to {most} for this activity")
    errors.raise_any()
    earliest, latest = bookable_between(place, now)
    lies_in = [
        (ActivitySession.starts_at >= window.from_at) & (ActivitySession.starts_at < window.to_at)
        for window in request.windows
    ]
    condition = lies_in[0]
    for other in lies_in[1:]:
        condition |= other
    query = select(ActivitySession.id).where(
        ActivitySession.activity_id == request.activity_id,
        ActivitySession.status == SessionStatus.OPEN.value,
        ActivitySession.starts_at > earliest,
        ActivitySession.starts_at < latest,
        condition,
    )
    sessions = list((await tx.execute(query.limit(SESSIONS_MAXIMUM + 1))).scalars())
    if len(sessions) > SESSIONS_MAXIMUM:
        raise InvalidInput.at("input.windows", f"hold more than {SESSIONS_MAXIMUM} sessions: take less time")
    return request.activity_id, request.windows, sessions


async def _refuse_free(tx: Tx, session_ids: list[UUID], party_size: int) -> None:
    """The sessions are locked: a place that is freed this very moment is seen here, or its transaction sees the entry.
    Of several that is so of those that have room; in the others the job finds it.

    One statement. Raises NotAllowed, Unavailable.
    """
    for room in await lock_room(tx, session_ids):
        if room.lapsed_bookings and await expire_bookings(tx, list(room.lapsed_bookings)):
            raise Unavailable
        if room.places >= party_size and not room.is_awaited:
            raise NotAllowed("places_free", "There are places for you: book them instead of waiting.")


async def _tell_joined(tx: Tx, entry: WaitlistEntry, actor: Actor) -> None:
    after = {
        "status": WaitlistStatus.WAITING.value,
        "activityId": entry.activity_id,
        "sessionId": entry.session_id,
        "serviceId": entry.service_id,
        "partySize": entry.party_size,
        "email": entry.email,
    }
    await write_journal(
        tx,
        entry.organization_id,
        actor,
        audit=[Audit("waitlist.joined", entry.id, None, after)],
        events=_events(entry, "waitlist.joined"),
    )


def _events(entry: WaitlistEntry, type_: str) -> list[Event]:
    """For the entry, and for all in its line."""
    payload = {"entryId": entry.id, "version": entry.version, "status": entry.status, "reason": None}
    subject_id = entry.activity_id or entry.service_id
    assert subject_id is not None
    own = None if entry.user_id is None else [entry.user_id]
    return [Event(type_, entry.id, payload, own), Event("waitlist.moved", line_of(subject_id), payload)]


# ── what its owner and the staff may do ───────────────────────────────────────────────────────────────

_GIVE_UP = text("SELECT give_up_waiting(:entry, :leaves, :actor, :hold)").bindparams(bindparam("hold", type_=Uuid))


async def leave_waitlist(tx: Tx, entry_id: UUID, actor: Actor) -> WaitlistEntry:
    """An offer goes to the next with it. Leaving twice, or what has ended, is as leaving once. Raises NotAllowed."""
    entry = await get_entry(tx, entry_id)
    if entry.status == WaitlistStatus.ACCEPTED:
        raise NotAllowed("waitlist_accepted", "What was offered is booked: cancel the booking instead.")
    return await _give_up(tx, entry_id, actor, declined=None)


async def decline_offer(tx: Tx, entry_id: UUID, hold_id: UUID, actor: Actor) -> WaitlistEntry:
    """The next in line is offered what this one did not want. Declining twice is as once. Raises NotAllowed."""
    entry = await get_entry(tx, entry_id)
    if entry.status == WaitlistStatus.OFFERED and entry.hold_id == hold_id:
        return await _give_up(tx, entry_id, actor, declined=hold_id)
    if entry.status == WaitlistStatus.ACCEPTED:
        raise NotAllowed("waitlist_accepted", "What was offered is booked: cancel the booking instead.")
    return entry


async def _give_up(tx: Tx, entry_id: UUID, actor: Actor, *, declined: UUID | None) -> WaitlistEntry:
    """`declined`: this offer alone; None: the entry leaves the line."""
    values = {"entry": entry_id, "leaves": declined is None, "actor": actor.as_json(), "hold": declined}
    await tx.execute(_GIVE_UP, values)
    return await get_entry(tx, entry_id)


async def set_priority(
    tx: Tx, entry_id: UUID, priority: int, expected_version: int | None, actor: Actor
) -> WaitlistEntry:
    """Staff move an entry before or behind others. Raises NotFound, InvalidInput, NotAllowed, StaleVersion."""
    if not 0 <= priority <= PRIORITY_MAXIMUM:
        raise InvalidInput.at("input.priority", f"must be 0 to {PRIORITY_MAXIMUM}")
    entry = await lock_row(tx, WaitlistEntry, entry_id)
    if expected_version is not None and expected_version != entry.version:
        raise StaleVersion(entry.version)
    if entry.status not in {WaitlistStatus.WAITING, WaitlistStatus.OFFERED}:
        raise NotAllowed("waitlist_ended", "This entry does not wait any more.")
    if entry.priority == priority:
        return entry
    before, entry.priority = entry.priority, priority
    await tx.flush()
    await tx.refresh(entry)
    await write_journal(
        tx,
        entry.organization_id,
        actor,
        audit=[Audit("waitlist.prioritized", entry_id, {"priority": before}, {"priority": priority})],
        events=_events(entry, "waitlist.prioritized"),
    )
    return entry
