"""Staff change a session: its state, its places, or whether it takes place at all."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.commands.session_cancel import BookingResolution, CancelSessionRequest, SessionResolution
from app.core.ids import IdKind
from app.domain import errors
from app.domain.text import clean_text
from app.resolvers import session_staff as resolvers
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound, StaleVersion
from app.schema.ids import read_id, read_optional_id
from app.schema.info import Ctx
from app.schema.session import ActivitySession

REASON_LENGTH = 500
RESOLUTIONS_MAXIMUM = 1_000
MOVES_MAXIMUM = 300
"""Each is a claim of its own; more of them are moved before, one by one or in parts."""

strawberry.enum(SessionResolution, description="What becomes of a booking whose session is cancelled.")


@strawberry.input
class CloseSessionInput:
    session_id: strawberry.ID
    expected_version: int | None = None
    idempotency_key: str | None = None


@strawberry.input
class ReopenSessionInput:
    session_id: strawberry.ID
    expected_version: int | None = None
    idempotency_key: str | None = None


@strawberry.input
class ChangeSessionCapacityInput:
    session_id: strawberry.ID
    capacity: int
    expected_version: int | None = None
    idempotency_key: str | None = None


@strawberry.input
class SessionBookingResolution:
    booking_id: strawberry.ID
    action: SessionResolution
    session_id: strawberry.ID | None = strawberry.field(
        default=None, description="RESCHEDULE: another session of the same activity."
    )


@strawberry.input
class CancelSessionInput:
    session_id: strawberry.ID
    reason: str
    resolutions: list[SessionBookingResolution] = strawberry.field(
        default_factory=list,
        description=f"One for each booking that has places of it, but for `others`; at most {RESOLUTIONS_MAXIMUM}.",
    )
    others: SessionResolution | None = strawberry.field(
        default=None,
        description="What becomes of all bookings that no resolution names: CANCEL. Without it each has to be named.",
    )
    expected_version: int | None = None
    idempotency_key: str | None = None

    def to_request(self) -> CancelSessionRequest:
        """Raises InvalidInput, BadInput."""
        faults = errors.FieldErrors()
        reason = faults.read("input.reason", lambda value: clean_text(value, REASON_LENGTH), self.reason)
        if reason == "":
            faults.add("input.reason", "is needed to cancel a session")
        if len(self.resolutions) > RESOLUTIONS_MAXIMUM:
            faults.add("input.resolutions", f"must be at most {RESOLUTIONS_MAXIMUM}")
        if sum(one.action is SessionResolution.RESCHEDULE for one in self.resolutions) > MOVES_MAXIMUM:
            faults.add("input.resolutions", f"must reschedule at most {MOVES_MAXIMUM}; move others before")
        faults.raise_any()
        return CancelSessionRequest(
            session_id=read_id(IdKind.SESSION, self.session_id, "input.sessionId"),
            reason=reason or "",
            resolutions=tuple(
                BookingResolution(
                    read_id(IdKind.BOOKING, one.booking_id, f"input.resolutions.{index}.bookingId"),
                    one.action,
                    read_optional_id(IdKind.SESSION, one.session_id, f"input.resolutions.{index}.sessionId"),
                )
                for index, one in enumerate(self.resolutions)
            ),
            others=self.others,
            expected_version=self.expected_version,
        )


@strawberry.type
class CloseSessionPayload:
    session: ActivitySession


@strawberry.type
class ReopenSessionPayload:
    session: ActivitySession


@strawberry.type
class ChangeSessionCapacityPayload:
    session: ActivitySession


@strawberry.type
class CancelSessionPayload:
    session: ActivitySession


CloseSessionResult = Annotated[
    CloseSessionPayload | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("CloseSessionResult"),
]
ReopenSessionResult = Annotated[
    ReopenSessionPayload | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("ReopenSessionResult"),
]
ChangeSessionCapacityResult = Annotated[
    ChangeSessionCapacityPayload | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("ChangeSessionCapacityResult"),
]
CancelSessionResult = Annotated[
    CancelSessionPayload | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("CancelSessionResult"),
]


@strawberry.type
class SessionMutation:
    @strawberry.mutation(description="It takes no more holds and bookings; those made stand.")
    async def close_session(self, info: Ctx, input: CloseSessionInput) -> CloseSessionResult:
        session_id = read_id(IdKind.SESSION, input.session_id, "input.sessionId")
        seen = await resolvers.close_session(info.context, session_id, input.expected_version, input.idempotency_key)
        return CloseSessionPayload(session=ActivitySession.from_seen(seen))

    @strawberry.mutation(
        description="A closed or a cancelled session takes bookings again. Bookings that were cancelled stay cancelled."
    )
    async def reopen_session(self, info: Ctx, input: ReopenSessionInput) -> ReopenSessionResult:
        session_id = read_id(IdKind.SESSION, input.session_id, "input.sessionId")
        seen = await resolvers.reopen_session(info.context, session_id, input.expected_version, input.idempotency_key)
        return ReopenSessionPayload(session=ActivitySession.from_seen(seen))

    @strawberry.mutation(description="Below what is held and booked, all of that stands and nobody else gets in.")
    async def change_session_capacity(
        self, info: Ctx, input: ChangeSessionCapacityInput
    ) -> ChangeSessionCapacityResult:
        seen = await resolvers.change_capacity(
            info.context,
            read_id(IdKind.SESSION, input.session_id, "input.sessionId"),
            input.capacity,
            input.expected_version,
            input.idempotency_key,
        )
        return ChangeSessionCapacityPayload(session=ActivitySession.from_seen(seen))

    @strawberry.mutation(
        description="It does not take place. Holds are released; each booking that has places is cancelled or moved, "
        "as its resolution says, or `others` for those without one. A booking without an answer refuses the whole."
    )
    async def cancel_session(self, info: Ctx, input: CancelSessionInput) -> CancelSessionResult:
        seen = await resolvers.cancel_session(info.context, input.to_request(), input.idempotency_key)
        return CancelSessionPayload(session=ActivitySession.from_seen(seen))
