"""The people of a booking, written down: with the booking, and with every later change of who comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import update

from app.commands.actor import Actor
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.participant import ParticipantDetails, ParticipantStatus, check_named
from app.models import Booking, BookingParticipant


async def write_participants(tx: Tx, booking: Booking, named: Sequence[ParticipantDetails], actor: Actor) -> None:
    """Of a booking that was just made. Two statements, or none. Raises InvalidInput for more than there are places."""
    if not named:
        return
    check_named(len(named), booking.party_size)
    people = put_participants(tx, booking, named, first=1)
    await tx.flush()
    audit = Audit("booking.participants_named", booking.id, None, {"participants": shown(people)})
    await write_journal(tx, booking.organization_id, actor, audit=[audit])


def put_participants(
    tx: Tx, booking: Booking, named: Sequence[ParticipantDetails], *, first: int
) -> list[BookingParticipant]:
    """Their rows, from position `first` on; written with the next statement."""
    people = [
        BookingParticipant(
            id=new_id(),
            organization_id=booking.organization_id,
            booking_id=booking.id,
            position=position,
            name=one.name,
            email=one.email,
            phone=one.phone,
            status=ParticipantStatus.EXPECTED.value,
        )
        for position, one in enumerate(named, first)
    ]
    tx.add_all(people)
    return people


def shown(people: Iterable[BookingParticipant]) -> list[dict[str, Any]]:
    """As the audit keeps them."""
    return [
        {"id": str(one.id), "name": one.name, "email": one.email, "phone": one.phone, "status": one.status}
        for one in people
    ]


def those_who_come(people: Iterable[BookingParticipant]) -> list[BookingParticipant]:
    """All but those who were removed."""
    return [one for one in people if one.status != ParticipantStatus.REMOVED]


def next_position(people: Sequence[BookingParticipant]) -> int:
    return people[-1].position + 1 if people else 1


_FIELDS = ("party_size", "price_minor", "quote", "group_quote", "refunded_minor", "uncounted_minor", "payment_status")


@dataclass(slots=True)
class GroupChange:
    """Collects what becomes of a booking and of its people; `write` writes it at once.

    `booking` belongs to no session and its row to the caller, so that nothing is written before.
    """

    booking: Booking
    actor: Actor
    action: str
    reason: str | None = None
    people_before: list[dict[str, Any]] = field(default_factory=list)
    people_after: list[dict[str, Any]] = field(default_factory=list)
    before: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.before = {name: getattr(self.booking, name) for name in _FIELDS}

    async def write(self, tx: Tx) -> None:
        """The booking's row, whose version rises even if only its people changed; audit and event. Two statements."""
        booking = self.booking
        values = {name: getattr(booking, name) for name in _FIELDS if getattr(booking, name) != self.before[name]}
        row = (
            await tx.execute(
                update(Booking)
                .where(Booking.id == booking.id)
                .values(**(values or {"party_size": booking.party_size}))
                .returning(Booking.version, Booking.updated_at)
                .execution_options(synchronize_session=False)
            )
        ).one()
        before = {name: self.before[name] for name in values}
        before |= {"version": booking.version, "participants": self.people_before}
        booking.version, booking.updated_at = row.version, row.updated_at
        after = {**values, "version": booking.version, "participants": self.people_after}
        await write_journal(
            tx,
            booking.organization_id,
            self.actor,
            audit=[Audit(self.action, booking.id, before, after, self.reason)],
            events=[Event(self.action, booking.id, {"version": booking.version, "status": booking.status})],
        )
