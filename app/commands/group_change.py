"""People join a booking and leave it: its places and its price go with them, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.commands.booking_change import Requester, acting, lock_for_change
from app.commands.expiry import expire_bookings
from app.commands.group_price import GroupMoney, goes_by_party
from app.commands.participants import (
    GroupChange,
    next_position,
    put_participants,
    shown,
    those_who_come,
)
from app.commands.session_hold import Refusing, party_bounds, refused_full
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.errors import FieldErrors, InvalidInput
from app.domain.participant import ParticipantDetails, ParticipantStatus, PartyBounds, check_party
from app.domain.policy import STAFF_ROLES, ActorKind, cancellation_ending, check_group_change
from app.domain.slots import UnavailableReason
from app.models import Booking, BookingParticipant
from app.queries.booking import SeenBooking, facts_of
from app.queries.participant import bounds_of_services, list_participants
from app.queries.session import BookableSession, get_bookable

UNNAMED_MAXIMUM = 10_000


@dataclass(frozen=True, slots=True)
class AddRequest:
    """Who joins: by name, and `unnamed` others."""

    booking_id: UUID
    named: tuple[ParticipantDetails, ...]
    unnamed: int
    expected_version: int | None


@dataclass(frozen=True, slots=True)
class RemoveRequest:
    """Who leaves: by id, and `unnamed` of those without a name. `at_customers_request`: as of a cancellation."""

    booking_id: UUID
    participant_ids: tuple[UUID, ...]
    unnamed: int
    reason: str | None
    expected_version: int | None
    at_customers_request: bool = False


async def add_participants(
    tx: Tx, signer: TokenSigner, request: AddRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """At the price that was locked with the booking; what is more is due.

    Raises NotFound, StaleVersion, NotAllowed, InvalidInput, SlotUnavailable.
    """
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    booking = seen.booking
    tx.expunge(booking)
    check_group_change(facts_of(booking), seen.viewer, now, changes_size=True)
    more = len(request.named) + _count(request.unnamed)
    if more == 0:
        raise InvalidInput.at("input.participants", "name somebody, or say in `unnamed` how many join")
    size = booking.party_size + more
    session, bounds = await _bounds(tx, booking)
    check_party(booking.party_size, size, bounds)
    change = GroupChange(booking, acting(requester.actor, seen.viewer), "booking.participants_added")
    if goes_by_party(booking):
        assert session is not None
        money = await GroupMoney.lock(tx, booking)
        await money.grow(tx, size, by_customer=seen.viewer is ActorKind.CUSTOMER)
        await _take_places(tx, booking, session, more, for_staff=seen.viewer in STAFF_ROLES)
    booking.party_size = size
    if request.named:
        first = next_position(await list_participants(tx, booking.id))
        change.people_after = shown(put_participants(tx, booking, request.named, first=first))
    await change.write(tx)
    return seen


def _count(unnamed: int) -> int:
    if not 0 <= unnamed <= UNNAMED_MAXIMUM:
        raise InvalidInput.at("input.unnamed", f"must be 0 to {UNNAMED_MAXIMUM}")
    return unnamed


async def _bounds(tx: Tx, booking: Booking) -> tuple[BookableSession | None, PartyBounds]:
    """What is asked of new bookings; but no more people than were asked of this one. One statement."""
    session = None
    if booking.session_id is None:
        bounds = await bounds_of_services(tx, booking.id)
    else:
        session = await get_bookable(tx, booking.session_id)
        bounds = party_bounds(session, is_private=booking.is_private)
    agreed = (booking.terms or {}).get("minimumPartySize", bounds.least)
    return session, replace(bounds, least=min(bounds.least, agreed))


async def _take_places(tx: Tx, booking: Booking, session: BookableSession, more: int, *, for_staff: bool) -> None:
    """One statement; one more to say why not. Raises SlotUnavailable."""
    refusing = Refusing.of(session, more, for_staff=for_staff)
    if not session.place.is_offered:
        raise refusing.because(UnavailableReason.INACTIVE, "This activity is switched off.")
    values = {"booking": booking.id, "session": booking.session_id, "places": more}
    row = (await tx.execute(_ADD, values)).one()
    if row.lapsed_bookings and await expire_bookings(tx, list(row.lapsed_bookings)):
        raise refusing.because(UnavailableReason.HELD, "Somebody else is just paying for these places.")
    if not row.claimed:
        raise await refused_full(tx, session, refusing)


_ADD = text("SELECT * FROM add_booking_places(:booking, :session, :places)")
_REMOVE = text("SELECT remove_booking_places(:booking, :session, :places)")


async def remove_participants(
    tx: Tx, signer: TokenSigner, request: RemoveRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """Their places are free at once. What was paid for them goes back by the terms that were frozen with the booking.

    Raises NotFound, StaleVersion, NotAllowed, InvalidInput.
    """
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    booking = seen.booking
    tx.expunge(booking)
    facts = facts_of(booking)
    check_group_change(facts, seen.viewer, now, changes_size=True)
    people = await list_participants(tx, booking.id)
    leaving = _leaving(booking, people, request)
    fewer = len(leaving) + request.unnamed
    _, bounds = await _bounds(tx, booking)
    check_party(booking.party_size, booking.party_size - fewer, bounds)
    change = GroupChange(booking, acting(requester.actor, seen.viewer), "booking.participants_removed", request.reason)
    change.people_before = shown(leaving)
    size = booking.party_size - fewer
    if goes_by_party(booking):
        who = ActorKind.CUSTOMER if request.at_customers_request else seen.viewer
        money = await GroupMoney.lock(tx, booking)
        ending = cancellation_ending(facts, who, now)
        await money.shrink(tx, size, ending, reason=request.reason, actor=change.actor)
        await tx.execute(_REMOVE, {"booking": booking.id, "session": booking.session_id, "places": fewer})
    booking.party_size = size
    for one in leaving:
        one.status, one.removed_at = ParticipantStatus.REMOVED.value, now
        one.checked_in_at = one.no_show_at = None
    change.people_after = shown(leaving)
    await change.write(tx)
    return seen


def _leaving(
    booking: Booking, people: Sequence[BookingParticipant], request: RemoveRequest
) -> list[BookingParticipant]:
    """Raises InvalidInput."""
    here = {one.id: one for one in those_who_come(people)}
    errors = FieldErrors()
    for index, wanted in enumerate(request.participant_ids):
        if wanted not in here:
            errors.add(f"input.participantIds.{index}", "is nobody who comes with this booking")
    nameless = booking.party_size - len(here)
    if not 0 <= request.unnamed <= nameless:
        errors.add("input.unnamed", f"must be 0 to {nameless}: so many people of this booking have no name")
    if not request.participant_ids and not request.unnamed:
        errors.add("input.participantIds", "name somebody, or say in `unnamed` how many leave")
    errors.raise_any()
    return [here[wanted] for wanted in dict.fromkeys(request.participant_ids)]
