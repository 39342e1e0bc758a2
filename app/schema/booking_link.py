"""Secret links of bookings: finding, renewing, claiming with one."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.commands.booking_link import RenewLinkRequest
from app.core.ids import IdKind
from app.resolvers import booking_link as resolvers
from app.schema.booking import Booking
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound, RateLimited, StaleVersion
from app.schema.ids import read_id
from app.schema.info import Ctx


@strawberry.input(description="As the guest was told them. The code may be typed in any case, with spaces and dashes.")
class FindBookingInput:
    organization_id: strawberry.ID
    confirmation_code: str
    email: str


@strawberry.input(description="By the customer (signed in, or with the link that is to be void) or by the staff.")
class RenewBookingLinkInput:
    booking_id: strawberry.ID
    access_token: str | None = None
    expected_version: int | None = None
    idempotency_key: str | None = None


@strawberry.input
class ClaimBookingInput:
    access_token: str = strawberry.field(description="The secret link of a guest's booking, or series.")
    idempotency_key: str | None = None


@strawberry.type
class FindBookingPayload:
    booking: Booking
    access_token: str = strawberry.field(description="The guest's secret link: whoever has it acts as the customer.")


@strawberry.type
class RenewBookingLinkPayload:
    booking: Booking
    access_token: str = strawberry.field(description="The new secret link. All that were given before are void.")
    series_access_token: str | None = strawberry.field(
        description="The new secret link of the series that this is a date of."
    )


@strawberry.type
class ClaimBookingPayload:
    booking: Booking


FindBookingResult = Annotated[FindBookingPayload | NotFound | RateLimited, strawberry.union("FindBookingResult")]
RenewBookingLinkResult = Annotated[
    RenewBookingLinkPayload | NotFound | NotAllowed | StaleVersion | InvalidInput | IdempotencyConflict,
    strawberry.union("RenewBookingLinkResult"),
]
ClaimBookingResult = Annotated[
    ClaimBookingPayload | NotFound | NotAllowed | InvalidInput | IdempotencyConflict,
    strawberry.union("ClaimBookingResult"),
]


@strawberry.type
class BookingLinkMutation:
    @strawberry.mutation(
        description="A guest's booking by its confirmation code and the customer's e-mail, until 30 days after it is "
        "over. A mutation, since it gives a secret and its attempts are counted; it changes nothing. Whatever is wrong,"
        " the answer is NotFound. Bookings of an account are found by signing in."
    )
    async def find_booking(self, info: Ctx, input: FindBookingInput) -> FindBookingResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        seen, token = await resolvers.find_booking(info.context, organization_id, input.confirmation_code, input.email)
        return FindBookingPayload(booking=Booking.from_seen(seen), access_token=token)

    @strawberry.mutation(
        description="Give a booking a new secret link, and a new confirmation code. The old ones open nothing from now "
        "on, nor does the address of its .ics file; that has a new one, too. With a date of a series those of the "
        "series and of all its dates are renewed."
    )
    async def renew_booking_link(self, info: Ctx, input: RenewBookingLinkInput) -> RenewBookingLinkResult:
        booking_id = read_id(IdKind.BOOKING, input.booking_id, "input.bookingId")
        request = RenewLinkRequest(booking_id, input.expected_version)
        seen, token, series_token = await resolvers.renew_link(
            info.context, request, input.access_token, input.idempotency_key
        )
        return RenewBookingLinkPayload(
            booking=Booking.from_seen(seen), access_token=token, series_access_token=series_token
        )

    @strawberry.mutation(
        description="Make a guest's booking one of your account, with its secret link. Claiming it twice is as once; "
        "one of another account is refused. With the link of a series the series and all its dates are claimed, and "
        "`booking` is the first; a date that is claimed by itself leaves the series. The link stays "
        "valid: renewBookingLink makes a new one."
    )
    async def claim_booking(self, info: Ctx, input: ClaimBookingInput) -> ClaimBookingResult:
        seen = await resolvers.claim_booking(info.context, input.access_token, input.idempotency_key)
        return ClaimBookingPayload(booking=Booking.from_seen(seen))
