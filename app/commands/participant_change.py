"""One person of a booking: named later, put right, and marked on the day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.booking_change import Requester, acting, apply_transition, check_balance, lock_for_change
from app.commands.participants import GroupChange, next_position, put_participants, shown, those_who_come
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import BookingStatus
from app.domain.errors import InvalidInput, NotAllowed, NotFound
from app.domain.participant import ParticipantDetails, ParticipantStatus, check_named
from app.domain.policy import broken_rule, check_group_change, check_marking
from app.models import BookingParticipant
from app.queries.booking import SeenBooking, facts_of
from app.queries.participant import list_participants


@dataclass(frozen=True, slots=True)
class NameRequest:
    """Names for people of the party who had none."""

    booking_id: UUID
    named: tuple[ParticipantDetails, ...]
    expected_version: int | None


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """`values`: of name, email and phone those that change."""

    booking_id: UUID
    participant_id: UUID
    values: Mapping[str, str | None]
    expected_version: int | None


@dataclass(frozen=True, slots=True)
class MarkRequest:
    """Whether somebody came."""

    booking_id: UUID
    participant_id: UUID
    status: ParticipantStatus
    expected_version: int | None


async def name_participants(
    tx: Tx, signer: TokenSigner, request: NameRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """The party stays as large as it is. Raises NotFound, StaleVersion, NotAllowed, InvalidInput."""
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    booking = seen.booking
    tx.expunge(booking)
    check_group_change(facts_of(booking), seen.viewer, now, changes_size=False)
    if not request.named:
        raise InvalidInput.at("input.participants", "must name somebody")
    people = await list_participants(tx, booking.id)
    check_named(len(request.named), booking.party_size - len(those_who_come(people)))
    change = GroupChange(booking, acting(requester.actor, seen.viewer), "booking.participants_named")
    change.people_after = shown(put_participants(tx, booking, request.named, first=next_position(people)))
    await change.write(tx)
    return seen


async def update_participant(
    tx: Tx, signer: TokenSigner, request: UpdateRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """Nothing where nothing differs. Raises NotFound, StaleVersion, NotAllowed."""
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    tx.expunge(seen.booking)
    check_group_change(facts_of(seen.booking), seen.viewer, now, changes_size=False)
    people = await list_participants(tx, seen.booking.id)
    values = dict(request.values)
    await _set(tx, seen, _one(people, request.participant_id), values, requester, "booking.participant_updated")
    return seen


async def mark_participant(
    tx: Tx, signer: TokenSigner, request: MarkRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """One person's no-show is their own: state and money of the booking stay as they are. The first who comes takes the
    booking along, which is CHECKED_IN with them.

    Raises NotFound, StaleVersion, NotAllowed, InvalidInput.
    """
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    to = request.status
    if to is ParticipantStatus.REMOVED:
        raise InvalidInput.at("input.status", "is not set by hand: use removeParticipants")
    check_marking(facts_of(seen.booking), seen.viewer, now, is_no_show=to is ParticipantStatus.NO_SHOW)
    person = _one(await list_participants(tx, seen.booking.id), request.participant_id)
    if person.status == to:
        return seen
    if to is ParticipantStatus.CHECKED_IN:
        await _check_in(tx, seen, acting(requester.actor, seen.viewer), now)
    if seen.booking in tx:
        tx.expunge(seen.booking)
    values = {
        "status": to.value,
        "checked_in_at": now if to is ParticipantStatus.CHECKED_IN else None,
        "no_show_at": now if to is ParticipantStatus.NO_SHOW else None,
    }
    await _set(tx, seen, person, values, requester, "booking.participant_marked")
    return seen


async def _check_in(tx: Tx, seen: SeenBooking, actor: Actor, now: datetime) -> None:
    """The booking itself, unless it is further already or has to be paid first: then the person alone is marked."""
    booking, to = seen.booking, BookingStatus.CHECKED_IN
    is_first = booking.status == BookingStatus.CONFIRMED
    if not is_first or broken_rule(facts_of(booking), seen.viewer, to, now) is not None:
        return
    try:
        await check_balance(tx, booking, to)
    except NotAllowed:
        return
    await apply_transition(tx, booking, to, None, actor)


def _one(people: Sequence[BookingParticipant], participant_id: UUID) -> BookingParticipant:
    """Raises NotFound, NotAllowed."""
    found = next((one for one in people if one.id == participant_id), None)
    if found is None:
        raise NotFound
    if found.status == ParticipantStatus.REMOVED:
        raise NotAllowed("participant_removed", f"{found.name} was removed from this booking.")
    return found


async def _set(  # noqa: PLR0917 (who is changed, how, and by whom)
    tx: Tx, seen: SeenBooking, person: BookingParticipant, values: Mapping[str, Any], requester: Requester, action: str
) -> None:
    different = {name: value for name, value in values.items() if getattr(person, name) != value}
    if not different:
        return
    change = GroupChange(seen.booking, acting(requester.actor, seen.viewer), action)
    change.people_before = shown([person])
    for name, value in different.items():
        setattr(person, name, value)
    change.people_after = shown([person])
    await change.write(tx)
