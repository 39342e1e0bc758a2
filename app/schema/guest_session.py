"""Guest sessions: a guest who comes back finds what they held, gave and booked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry

from app.core.ids import IdKind
from app.resolvers import guest_session as resolvers
from app.resolvers.guest_session import SeenSession
from app.schema.booking import Booking
from app.schema.errors import IdempotencyConflict, InvalidInput, NotFound, RateLimited
from app.schema.hold import Hold
from app.schema.ids import read_id
from app.schema.info import Ctx
from app.schema.served import Address, Recipient


@strawberry.type(description="What is held in a guest session.")
class GuestSessionHold:
    hold: Hold
    hold_token: str = strawberry.field(description="The holder's secret: it books, extends or releases.")


@strawberry.type(description="What was booked in a guest session.")
class GuestSessionBooking:
    booking: Booking
    access_token: str = strawberry.field(description="The guest's secret link: whoever has it acts as the customer.")


@strawberry.type(description="What the guest gave at the last booking of this session, to fill in the next one with.")
class GuestDetails:
    name: str | None
    email: str | None
    phone: str | None
    locale: str | None
    recipient: Recipient | None
    address: Address | None

    @classmethod
    def from_json(cls, details: dict[str, Any]) -> GuestDetails:
        recipient, address = details.get("recipient"), details.get("address")
        return cls(
            name=details.get("name"),
            email=details.get("email"),
            phone=details.get("phone"),
            locale=details.get("locale"),
            recipient=None if recipient is None else Recipient.from_json(recipient),
            address=None if address is None else Address.from_json(address),
        )


@strawberry.type(
    description="A guest's way through a checkout. Whoever has its token may do what the guest may: it is a secret."
)
class GuestSession:
    expires_at: datetime = strawberry.field(
        description="Later, when it is used: by holdSlot and createBooking. Reading it is no use."
    )
    details: GuestDetails
    holds: list[GuestSessionHold] = strawberry.field(description="Those that are live, by start.")
    bookings: list[GuestSessionBooking] = strawberry.field(
        description="Newest first, at most 50. Not those whose link was renewed or that an account claimed since."
    )

    @classmethod
    def from_seen(cls, seen: SeenSession) -> GuestSession:
        return cls(
            expires_at=seen.session.expires_at,
            details=GuestDetails.from_json(seen.session.details),
            holds=[GuestSessionHold(hold=Hold.from_model(hold), hold_token=token) for hold, token in seen.holds],
            bookings=[
                GuestSessionBooking(booking=Booking.from_seen(one), access_token=token) for one, token in seen.bookings
            ],
        )


@strawberry.input
class StartGuestSessionInput:
    organization_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class StartGuestSessionPayload:
    token: str = strawberry.field(
        description="The session's secret. Send it as `guestSessionToken` with holdSlot and createBooking."
    )
    expires_at: datetime


@strawberry.input
class EndGuestSessionInput:
    guest_session_token: str


@strawberry.type
class EndGuestSessionPayload:
    ended_at: datetime


StartGuestSessionResult = Annotated[
    StartGuestSessionPayload | NotFound | RateLimited | InvalidInput | IdempotencyConflict,
    strawberry.union("StartGuestSessionResult"),
]
EndGuestSessionResult = Annotated[
    EndGuestSessionPayload | InvalidInput | NotFound, strawberry.union("EndGuestSessionResult")
]


@strawberry.type
class GuestSessionQuery:
    @strawberry.field(description="What a guest who comes back held, gave and booked. Null once it is over.")
    async def guest_session(self, info: Ctx, token: str) -> GuestSession | None:
        return GuestSession.from_seen(await resolvers.read_guest_session(info.context, token))


@strawberry.type
class GuestSessionMutation:
    @strawberry.mutation(
        description="Begin a guest's checkout. With its token a guest who goes back gets the own hold again, and is "
        "not stopped by it when choosing another slot."
    )
    async def start_guest_session(self, info: Ctx, input: StartGuestSessionInput) -> StartGuestSessionResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        session, token = await resolvers.start_guest_session(info.context, organization_id, input.idempotency_key)
        return StartGuestSessionPayload(token=token, expires_at=session.expires_at)

    @strawberry.mutation(
        description="Forget it: what is held in it is given back, and what the guest gave is deleted. Bookings stand."
    )
    async def end_guest_session(self, info: Ctx, input: EndGuestSessionInput) -> EndGuestSessionResult:
        session = await resolvers.end_guest_session(info.context, input.guest_session_token)
        assert session.ended_at is not None
        return EndGuestSessionPayload(ended_at=session.ended_at)
