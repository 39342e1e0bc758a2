"""People join a booking, leave it, get their names, and are marked on the day."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.commands.group_change import AddRequest, RemoveRequest
from app.commands.participant_change import MarkRequest, NameRequest, UpdateRequest
from app.core.contact import normalize_email, normalize_phone
from app.core.ids import IdKind
from app.domain import errors
from app.domain.errors import FieldErrors
from app.domain.participant import NAMED_AT_ONCE, ParticipantStatus
from app.domain.text import clean_text
from app.resolvers.participant import change_group
from app.schema.booking import Booking
from app.schema.errors import (
    IdempotencyConflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    SlotUnavailable,
    StaleVersion,
)
from app.schema.ids import read_id, read_ids
from app.schema.info import Ctx, given
from app.schema.participant import ParticipantInput, clean_participant_name, read_participants

REASON_LENGTH = 500
_VERSION = "The version of the booking that the change was thought for; another one is refused."


@strawberry.input(description="More people for a booking: by name, and `unnamed` others who get their names later.")
class AddParticipantsInput:
    booking_id: strawberry.ID
    access_token: str | None = None
    participants: list[ParticipantInput] = strawberry.field(default_factory=list)
    unnamed: int = 0
    expected_version: int | None = strawberry.field(default=None, description=_VERSION)
    idempotency_key: str | None = None

    def to_request(self) -> AddRequest:
        """Raises BadInput, InvalidInput."""
        faults = FieldErrors()
        booking_id = read_id(IdKind.BOOKING, self.booking_id, "input.bookingId")
        named = read_participants(self.participants, faults)
        faults.raise_any()
        return AddRequest(booking_id, named, self.unnamed, self.expected_version)


@strawberry.input(description="Fewer people of a booking: those named here, and `unnamed` of those without a name.")
class RemoveParticipantsInput:
    booking_id: strawberry.ID
    access_token: str | None = None
    participant_ids: list[strawberry.ID] = strawberry.field(default_factory=list)
    unnamed: int = 0
    reason: str | None = None
    at_customers_request: bool = strawberry.field(
        default=False,
        description="Where the staff remove people because the customer asked: after the notice the policy then keeps "
        "its part. Otherwise their whole part goes back.",
    )
    expected_version: int | None = strawberry.field(default=None, description=_VERSION)
    idempotency_key: str | None = None

    def to_request(self) -> RemoveRequest:
        """Raises BadInput, InvalidInput."""
        return RemoveRequest(
            booking_id=read_id(IdKind.BOOKING, self.booking_id, "input.bookingId"),
            participant_ids=read_ids(
                IdKind.PARTICIPANT, self.participant_ids, "input.participantIds", most=NAMED_AT_ONCE
            ),
            unnamed=self.unnamed,
            reason=_reason(self.reason),
            expected_version=self.expected_version,
            at_customers_request=self.at_customers_request,
        )


@strawberry.input(description="Names for people of the party who have none yet. Nothing else changes.")
class NameParticipantsInput:
    booking_id: strawberry.ID
    access_token: str | None = None
    participants: list[ParticipantInput]
    expected_version: int | None = strawberry.field(default=None, description=_VERSION)
    idempotency_key: str | None = None

    def to_request(self) -> NameRequest:
        """Raises BadInput, InvalidInput."""
        faults = FieldErrors()
        booking_id = read_id(IdKind.BOOKING, self.booking_id, "input.bookingId")
        named = read_participants(self.participants, faults)
        faults.raise_any()
        return NameRequest(booking_id, named, self.expected_version)


@strawberry.input(description="What is left out stays as it is; null takes an e-mail or a phone away.")
class UpdateParticipantInput:
    booking_id: strawberry.ID
    participant_id: strawberry.ID
    access_token: str | None = None
    name: str | None = strawberry.UNSET
    email: str | None = strawberry.UNSET
    phone: str | None = strawberry.UNSET
    expected_version: int | None = strawberry.field(default=None, description=_VERSION)
    idempotency_key: str | None = None

    def to_request(self) -> UpdateRequest:
        """Raises BadInput, InvalidInput."""
        faults = FieldErrors()
        values = given(self, without={"booking_id", "participant_id", "access_token", "expected_version"})
        if values.get("name", "") is None:
            faults.add("input.name", "must not be null")
        readers = {"name": clean_participant_name, "email": normalize_email, "phone": normalize_phone}
        cleaned = {name: faults.read(f"input.{name}", readers[name], value) for name, value in values.items()}
        booking_id = read_id(IdKind.BOOKING, self.booking_id, "input.bookingId")
        participant_id = read_id(IdKind.PARTICIPANT, self.participant_id, "input.participantId")
        faults.raise_any()
        return UpdateRequest(booking_id, participant_id, cleaned, self.expected_version)


@strawberry.input(description="EXPECTED takes a mark back; CHECKED_IN on the day; NO_SHOW after the start.")
class MarkParticipantInput:
    booking_id: strawberry.ID
    participant_id: strawberry.ID
    status: ParticipantStatus
    expected_version: int | None = strawberry.field(default=None, description=_VERSION)
    idempotency_key: str | None = None

    def to_request(self) -> MarkRequest:
        """Raises BadInput."""
        return MarkRequest(
            booking_id=read_id(IdKind.BOOKING, self.booking_id, "input.bookingId"),
            participant_id=read_id(IdKind.PARTICIPANT, self.participant_id, "input.participantId"),
            status=self.status,
            expected_version=self.expected_version,
        )


def _reason(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return clean_text(value, REASON_LENGTH) or None
    except ValueError as wrong:
        raise errors.InvalidInput.at("input.reason", str(wrong)) from None


AddParticipantsResult = Annotated[
    Booking | StaleVersion | SlotUnavailable | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("AddParticipantsResult"),
]
RemoveParticipantsResult = Annotated[
    Booking | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("RemoveParticipantsResult"),
]
NameParticipantsResult = Annotated[
    Booking | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("NameParticipantsResult"),
]
UpdateParticipantResult = Annotated[
    Booking | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("UpdateParticipantResult"),
]
MarkParticipantResult = Annotated[
    Booking | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("MarkParticipantResult"),
]


@strawberry.type
class ParticipantMutation:
    @strawberry.mutation(
        description="More people come. Of a session their places are taken in the same moment, at the price that was "
        "locked with the booking; what is more is due (`amountDue`). A customer may until the notice."
    )
    async def add_participants(self, info: Ctx, input: AddParticipantsInput) -> AddParticipantsResult:
        return Booking.from_seen(
            await change_group(info.context, input.to_request(), input.access_token, input.idempotency_key)
        )

    @strawberry.mutation(
        description="Fewer people come. Of a session their places are free in the same moment, and what was paid for "
        "them goes back. Somebody has to stay, and no fewer than the minimum: otherwise cancel the booking."
    )
    async def remove_participants(self, info: Ctx, input: RemoveParticipantsInput) -> RemoveParticipantsResult:
        return Booking.from_seen(
            await change_group(info.context, input.to_request(), input.access_token, input.idempotency_key)
        )

    @strawberry.mutation(description="Name people of the party who had no name. A customer may until the start.")
    async def name_participants(self, info: Ctx, input: NameParticipantsInput) -> NameParticipantsResult:
        return Booking.from_seen(
            await change_group(info.context, input.to_request(), input.access_token, input.idempotency_key)
        )

    @strawberry.mutation(description="Put somebody's name, e-mail or phone right. A customer may until the start.")
    async def update_participant(self, info: Ctx, input: UpdateParticipantInput) -> UpdateParticipantResult:
        return Booking.from_seen(
            await change_group(info.context, input.to_request(), input.access_token, input.idempotency_key)
        )

    @strawberry.mutation(
        description="Staff and providers: whether one person came. The booking's own status and money stay as they are."
    )
    async def mark_participant(self, info: Ctx, input: MarkParticipantInput) -> MarkParticipantResult:
        return Booking.from_seen(await change_group(info.context, input.to_request(), None, input.idempotency_key))
