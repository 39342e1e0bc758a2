"""Holding places of a session while their holder checks out, giving them back, and extending them once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from app.commands.actor import Actor
from app.commands.expiry import expire_bookings
from app.commands.hold import HoldLimits, name_answerer, refuse_offer
from app.commands.hold_price import price_of_places, price_of_session
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import HoldStatus
from app.domain.errors import (
    HoldExpired,
    InvalidInput,
    NotAllowed,
    NotFound,
    RateLimited,
    SessionSearch,
    SlotUnavailable,
)
from app.domain.instants import zone
from app.domain.participant import PartyBounds
from app.domain.price_quote import NO_FEES, FeeRates, Quote
from app.domain.price_quote_codec import quote_to_json
from app.domain.search import MAXIMUM_PARTY
from app.domain.sessions import SessionStatus
from app.domain.slots import UnavailableReason
from app.models import ActivitySession, Hold
from app.queries.session import BookableSession, get_bookable
from app.queries.session_hold import LockedPlaces, get_place_hold, lock_places
from app.queries.session_plan import starts_in_hours
from app.queries.session_search import bookable_between
from app.queries.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class PlacesRequest:
    """So many places of one session, or the whole of it for so many people."""

    session_id: UUID
    party_size: int
    is_private: bool = False


async def hold_places(
    tx: Tx,
    tenancy: Tenancy,
    request: PlacesRequest,
    *,
    now: datetime,
    ttl: timedelta,
    limits: HoldLimits,
    user_id: UUID | None,
    address: str | None,
    fees: FeeRates = NO_FEES,
) -> Hold:
    """The price is that of all places, locked (`hold_price`). Staff need no notice and have no limit.

    Two statements, and those of `check_hours`.
    Raises NotFound, InvalidInput, RateLimited, or SlotUnavailable with a search for alternatives.
    """
    found = await get_bookable(tx, request.session_id)
    check_places(found, request, tenancy, now)
    await check_hours(tx, found, Refusing.of(found, request.party_size, for_staff=tenancy.is_staff))
    session = found.session
    facts: Any = {"now": now, "fees": fees, "is_member": user_id is not None}
    if request.is_private:
        quote = await price_of_session(tx, found, **facts)
    else:
        quote = await price_of_places(tx, found, request.party_size, **facts)
    hold = new_places_hold(session, quote, request.party_size, user_id=user_id, is_private=request.is_private)
    # The desk and its guests may share an address: what the staff hold is not counted there.
    hold.address = None if tenancy.is_staff else address
    await _claim(tx, found, hold, ttl, HoldLimits(0, 0) if tenancy.is_staff else limits, now, tenancy)
    return hold


def new_places_hold(
    session: ActivitySession, quote: Quote, party_size: int, *, user_id: UUID | None, is_private: bool = False
) -> Hold:
    """Not written yet, without expiry and address."""
    return Hold(
        id=new_id(),
        organization_id=session.organization_id,
        status=HoldStatus.ACTIVE,
        session_id=session.id,
        starts_at=session.starts_at,
        ends_at=session.ends_at,
        buffer_before_minutes=0,
        buffer_after_minutes=0,
        party_size=party_size,
        is_private=is_private,
        price_minor=quote.total_minor,
        currency=quote.currency,
        quote=quote_to_json(quote),
        user_id=user_id,
        token_version=1,
    )


def check_places(found: BookableSession, request: PlacesRequest, tenancy: Tenancy, now: datetime) -> None:
    """What can be said before places are counted. Raises NotFound, InvalidInput, SlotUnavailable."""
    if not found.place.is_offered and not tenancy.is_staff:
        raise NotFound
    bounds = party_bounds(found, is_private=request.is_private)
    if not bounds.least <= request.party_size <= bounds.most:
        raise InvalidInput.at("input.partySize", f"must be {bounds.least} to {bounds.most} for this activity")
    check_bookable(found, Refusing.of(found, request.party_size, for_staff=tenancy.is_staff), now)


def party_bounds(found: BookableSession, *, is_private: bool) -> PartyBounds:
    """Of one booking. A private group may be as large as the session."""
    most = found.session.capacity if is_private else found.activity.max_party_size or MAXIMUM_PARTY
    return PartyBounds(found.activity.minimum_party_size, most)


@dataclass(frozen=True, slots=True)
class Refusing:
    """Says why a session cannot be had, with a search for others that can."""

    search: SessionSearch

    @classmethod
    def of(cls, found: BookableSession, party_size: int, *, for_staff: bool) -> Refusing:
        session = found.session
        return cls(
            SessionSearch(session.organization_id, session.activity_id, session.starts_at, party_size, for_staff)
        )

    def because(self, reason: UnavailableReason, message: str) -> SlotUnavailable:
        return SlotUnavailable(reason, message, self.search)


def check_bookable(found: BookableSession, refusing: Refusing, now: datetime) -> None:
    """State, notice and horizon. Raises SlotUnavailable."""
    if not found.place.is_offered:
        raise refusing.because(UnavailableReason.INACTIVE, "This activity is switched off.")
    check_open(found, refusing)
    session, activity = found.session, found.activity
    if session.starts_at <= now:
        raise refusing.because(UnavailableReason.NOTICE, "This session has begun.")
    earliest, latest = bookable_between(found.place, now, for_staff=refusing.search.for_staff)
    if session.starts_at < earliest:
        message = f"This has to be booked {activity.advance_notice_minutes} minutes before it begins."
        raise refusing.because(UnavailableReason.NOTICE, message)
    if session.starts_at >= latest:
        message = f"This can be booked at most {activity.maximum_advance_days} days ahead."
        raise refusing.because(UnavailableReason.HORIZON, message)


def check_open(found: BookableSession, refusing: Refusing) -> None:
    """Raises SlotUnavailable for a session that takes nobody any more."""
    status = SessionStatus(found.session.status)
    if status is SessionStatus.CANCELLED:
        raise refusing.because(UnavailableReason.INACTIVE, "This session does not take place.")
    if status is SessionStatus.CLOSED:
        raise refusing.because(UnavailableReason.CLOSED, "This session takes no more bookings.")
    if found.session.is_legacy:
        raise refusing.because(UnavailableReason.CLOSED, _NO_MORE)


_NO_MORE = "This session takes no more bookings: the schedule has it no more."


async def check_hours(tx: Tx, found: BookableSession, refusing: Refusing) -> None:
    """Until the sessions of changed hours are done the hours are asked, else the sessions tell.

    Three statements, or none. Raises SlotUnavailable.
    """
    if found.activity.sessions_follow:
        return
    starts_at = found.session.starts_at
    if not await starts_in_hours(tx, found.activity.id, zone(found.place.venue.time_zone), (starts_at,)):
        raise refusing.because(UnavailableReason.CLOSED, _NO_MORE)


_TYPES = (
    bindparam("ttl", type_=Interval),
    bindparam("user_id", type_=Uuid),
    bindparam("address", type_=Text),
    bindparam("quote", type_=JSONB(none_as_null=True)),
    bindparam("promo", type_=Uuid),
)
_HOLD = text(
    "SELECT * FROM hold_places(:hold, :claim, :organization, :session, :places, :ttl, :price, :currency, :user_id,"
    " :address, :user_limit, :address_limit, :quote, :promo)"
).bindparams(*_TYPES)
_HOLD_WHOLE = text(
    "SELECT * FROM hold_whole_session(:hold, :claim, :organization, :session, :places, :capacity, :ttl, :price,"
    " :currency, :user_id, :address, :user_limit, :address_limit, :quote, :promo)"
).bindparams(*_TYPES)


async def _claim(  # noqa: PLR0917
    tx: Tx,
    found: BookableSession,
    hold: Hold,
    ttl: timedelta,
    limits: HoldLimits,
    now: datetime,
    tenancy: Tenancy,
) -> None:
    """One statement; two more to say why not."""
    row = (
        await tx.execute(
            _HOLD_WHOLE if hold.is_private else _HOLD,
            {
                **({"capacity": found.session.capacity} if hold.is_private else {}),
                "hold": hold.id,
                "claim": new_id(),
                "organization": hold.organization_id,
                "session": hold.session_id,
                "places": hold.party_size,
                "ttl": ttl,
                "price": hold.price_minor,
                "currency": hold.currency,
                "user_id": hold.user_id,
                "address": hold.address,
                "user_limit": limits.per_user,
                "address_limit": limits.per_address,
                "quote": hold.quote,
                "promo": hold.promo_code_id,
            },
        )
    ).one()
    if row.outcome in {"user_limit", "address_limit"}:
        seconds = round((row.retry_after - now).total_seconds())
        raise RateLimited("You already hold as many slots as one may at a time. Book or release one first.", seconds)
    refusing = Refusing.of(found, hold.party_size, for_staff=tenancy.is_staff)
    if row.lapsed_bookings and await expire_bookings(tx, list(row.lapsed_bookings)):
        raise refusing.because(UnavailableReason.HELD, "Somebody else is just paying for these places.")
    if row.outcome != "held":
        raise await (refused_whole if hold.is_private else refused_full)(tx, found, refusing)
    hold.expires_at = row.expires_at


_AWAITED = "These places are for somebody who waits for them: join the waitlist."


async def refused_full(tx: Tx, found: BookableSession, refusing: Refusing) -> SlotUnavailable:
    """Why the database refused: closed meanwhile, or full. One statement."""
    session = found.session
    await tx.refresh(session)
    check_open(found, refusing)
    left = max(0, session.capacity - session.taken)
    if left == 0:
        return refusing.because(UnavailableReason.CAPACITY, "All places of this session are taken.")
    if left >= refusing.search.party_size:
        return refusing.because(UnavailableReason.CAPACITY, _AWAITED)
    places = "place" if left == 1 else "places"
    return refusing.because(UnavailableReason.CAPACITY, f"This session has {left} {places} left.")


async def refused_whole(tx: Tx, found: BookableSession, refusing: Refusing) -> SlotUnavailable:
    """The same where the whole session was wanted, with a search for others of its size. One statement."""
    session, capacity = found.session, found.session.capacity
    await tx.refresh(session)
    check_open(found, refusing)
    whole = Refusing.of(found, max(1, capacity), for_staff=refusing.search.for_staff)
    if session.taken:
        return whole.because(UnavailableReason.CAPACITY, "Others have places of this session.")
    if session.capacity == capacity >= refusing.search.party_size:
        return whole.because(UnavailableReason.CAPACITY, _AWAITED)
    return whole.because(UnavailableReason.CAPACITY, "This session has not the places that this needs.")


# ── what the holder may do ────────────────────────────────────────────────────────────────────────────


async def release_places(tx: Tx, signer: TokenSigner, hold_id: UUID, token: str, *, actor: Actor) -> Hold:
    """Give the places back. Releasing twice is the same as once. Raises NotFound, HoldExpired."""
    hold, activity_id = await get_place_hold(tx, hold_id)
    if not signer.is_hold_token(token, hold_id, hold.token_version):
        raise NotFound
    await name_answerer(tx, hold, actor)
    tx.expunge(hold)
    outcome = (await tx.execute(_RELEASE, {"hold_id": hold_id})).scalar_one()
    if outcome not in {"held", "released"} or hold.status == HoldStatus.EXPIRED:
        raise HoldExpired(_ENDED.get(outcome, "This hold ran out."), search_of_places(hold, activity_id))
    hold.status = HoldStatus.RELEASED
    return hold


async def extend_places(
    tx: Tx, signer: TokenSigner, hold_id: UUID, token: str, *, now: datetime, ttl: timedelta
) -> Hold:
    """Once, by another full term from the old expiry. Raises NotFound, HoldExpired, NotAllowed."""
    locked = await own_places(tx, signer, hold_id, token)
    require_live_places(locked, now)
    refuse_offer(locked.hold)
    expires_at = (await tx.execute(_EXTEND, {"hold_id": hold_id, "ttl": ttl})).scalar()
    if expires_at is None:
        raise NotAllowed("hold_extended_once", "A hold can be extended once, and this one was.")
    locked.hold.expires_at = expires_at
    return locked.hold


async def own_places(tx: Tx, signer: TokenSigner, hold_id: UUID, token: str) -> LockedPlaces:
    """The hold, locked, for its holder. One statement. Raises NotFound."""
    locked = await lock_places(tx, hold_id)
    if not signer.is_hold_token(token, hold_id, locked.hold.token_version):
        raise NotFound
    return locked


_ENDED = {"booked": "This hold has already become a booking.", "released": "This hold was released."}


def require_live_places(locked: LockedPlaces, now: datetime) -> None:
    """Raises HoldExpired, with a search for alternatives."""
    if not locked.is_live(now):
        message = _ENDED.get(locked.claim_status, "This hold ran out.")
        if locked.hold.status == HoldStatus.EXPIRED:
            message = "This hold ran out."
        raise HoldExpired(message, search_of_places(locked.hold, locked.activity.id))


def search_of_places(hold: Hold, activity_id: UUID) -> SessionSearch:
    """What the holder wanted, for alternatives."""
    return SessionSearch(hold.organization_id, activity_id, hold.starts_at, hold.party_size)


_RELEASE = text("SELECT release_held_places(:hold_id)")
_EXTEND = text("SELECT extend_held_places(:hold_id, :ttl)").bindparams(bindparam("ttl", type_=Interval))
