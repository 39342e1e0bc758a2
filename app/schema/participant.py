"""The people of one booking, as clients see and name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from app import models
from app.core.contact import normalize_email, normalize_phone
from app.core.ids import IdKind
from app.domain.errors import FieldErrors
from app.domain.participant import NAMED_AT_ONCE, ParticipantDetails, ParticipantStatus
from app.domain.text import clean_name
from app.schema.ids import public_id

NAME_LENGTH = 200

strawberry.enum(
    ParticipantStatus,
    description="Of one person; the booking has a status of its own. REMOVED: left the booking before the service.",
)


@strawberry.type(description="Somebody who comes with a booking, by name.")
class Participant:
    id: strawberry.ID
    name: str
    email: str | None
    phone: str | None
    status: ParticipantStatus
    checked_in_at: datetime | None
    no_show_at: datetime | None
    removed_at: datetime | None
    created_at: datetime

    @classmethod
    def from_model(cls, record: models.BookingParticipant) -> Participant:
        return cls(
            id=public_id(IdKind.PARTICIPANT, record.id),
            name=record.name,
            email=record.email,
            phone=record.phone,
            status=ParticipantStatus(record.status),
            checked_in_at=record.checked_in_at,
            no_show_at=record.no_show_at,
            removed_at=record.removed_at,
            created_at=record.created_at,
        )


@strawberry.type(description="Somebody who came with the booking, as it was.")
class ParticipantSnapshot:
    id: strawberry.ID
    name: str
    email: str | None
    phone: str | None
    status: ParticipantStatus

    @classmethod
    def from_state(cls, one: Mapping[str, Any]) -> ParticipantSnapshot:
        return cls(
            id=public_id(IdKind.PARTICIPANT, UUID(one["id"])),
            name=one["name"],
            email=one["email"],
            phone=one["phone"],
            status=ParticipantStatus(one["status"]),
        )


def clean_participant_name(value: str) -> str:
    return clean_name(value, NAME_LENGTH)


@strawberry.input(description="Somebody who comes. E-mail and phone may be left out.")
class ParticipantInput:
    name: str
    email: str | None = None
    phone: str | None = strawberry.field(default=None, description="International, such as +54 11 4321-5678.")

    def read(self, faults: FieldErrors, path: str) -> ParticipantDetails | None:
        """None, and everything that is wrong in `faults`, for a person who cannot be."""
        name = faults.read(f"{path}.name", clean_participant_name, self.name)
        email = faults.read(f"{path}.email", normalize_email, self.email)
        phone = faults.read(f"{path}.phone", normalize_phone, self.phone)
        return None if name is None else ParticipantDetails(name, email, phone)


def read_participants(
    given: Sequence[ParticipantInput] | None, faults: FieldErrors, path: str = "input.participants"
) -> tuple[ParticipantDetails, ...]:
    """Those who can be, in their order; the caller raises."""
    if given is not None and len(given) > NAMED_AT_ONCE:
        faults.add(path, f"may name at most {NAMED_AT_ONCE} people at once")
        return ()
    read = [one.read(faults, f"{path}.{index}") for index, one in enumerate(given or ())]
    return tuple(one for one in read if one is not None)
