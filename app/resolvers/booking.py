"""Reading, making and changing bookings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.commands import booking as create
from app.commands import booking_change as change
from app.commands import booking_reschedule as reschedule
from app.commands.booking import Booked, BookingRequest
from app.commands.booking_change import Requester, StillPayable, TransitionRequest
from app.commands.booking_insert import CustomerDetails
from app.commands.booking_reschedule import RescheduleRequest
from app.commands.cash import RecordCashRequest, ReturnCashRequest
from app.commands.cash import record_cash as take_cash
from app.commands.cash import return_cash as hand_back
from app.commands.fee_waive import WaiveFeeRequest
from app.commands.fee_waive import waive_fee as let_off
from app.commands.guest_session import book_in_session, details_given
from app.commands.refund_booking import RefundBookingRequest
from app.commands.refund_booking import refund_booking as give_back
from app.commands.session_booking import create_session_booking
from app.commands.session_reschedule import SessionMove, reschedule_to_session
from app.commands.settlement import terms_of_cancellation
from app.core.database import Tx, violated_constraint
from app.core.tokens import TokenSigner
from app.domain.booking import HELD, BookingStatus, PaymentMethod
from app.domain.errors import BadInput, NotFound
from app.domain.policy import ActorKind, CancellationTerms, allowed_transitions
from app.models import Booking, Payment
from app.queries.booking import SeenBooking, facts_of, get_booked, get_booking, role_towards
from app.queries.payment import MAY_BE_DISPUTED, Disputed, latest_payments
from app.queries.series import has_booking_link
from app.queries.session_booking import get_session_booked
from app.queries.tenancy import Door, Tenancy
from app.resolvers.checkout import PaymentShown, end_before_cancelling, open_for, take_authorized
from app.resolvers.context import RequestContext
from app.resolvers.guest_session import checkout_of
from app.resolvers.mutation import Remembered, mutate
from app.resolvers.promo import limited_guesses

CODE_ATTEMPTS = 3
T = TypeVar("T")


Change: TypeAlias = (
    TransitionRequest
    | RescheduleRequest
    | SessionMove
    | RefundBookingRequest
    | RecordCashRequest
    | ReturnCashRequest
    | WaiveFeeRequest
)


@dataclass(frozen=True, slots=True)
class LinkedTransition:
    """A change together with the secret link it was asked with, if any."""

    request: Change
    link_token: str | None


def booking_id_of(booking_id: UUID | None, access_token: str | None) -> UUID:
    """Which booking is meant: by id, by its secret link, or both. Raises BadInput, NotFound."""
    if booking_id is not None:
        return booking_id
    if access_token is None:
        raise BadInput.at("id", "give an id, an accessToken, or both")
    found = TokenSigner.named_by(access_token)
    if found is None:
        raise NotFound
    return found


async def read_booking(context: RequestContext, booking_id: UUID | None, access_token: str | None) -> SeenBooking:
    """Raises NotFound for a booking that is none, or none of the viewer's."""
    wanted = booking_id_of(booking_id, access_token)
    async with context.read(Door.BOOKING, wanted) as (tx, tenancy):
        return await see_booking(context, tx, tenancy, wanted, access_token)


async def see_booking(
    context: RequestContext, tx: Tx, tenancy: Tenancy, booking_id: UUID, access_token: str | None
) -> SeenBooking:
    """The same in an open transaction. One statement."""
    booking, customer_user_id = await get_booking(tx, booking_id)
    has_link = await has_booking_link(tx, context.services.tokens, booking, access_token)
    if access_token is not None and not has_link and not tenancy.is_staff:
        raise NotFound
    role = role_towards(tenancy, booking, customer_user_id, user_id=context.user_id, has_link=has_link)
    return SeenBooking(booking, role)


def transitions_allowed(context: RequestContext, seen: SeenBooking) -> tuple[BookingStatus, ...]:
    return () if seen.is_onlooker else allowed_transitions(facts_of(seen.booking), seen.viewer, context.now())


async def terms_of(
    context: RequestContext, seen: SeenBooking, *, at_customers_request: bool = False
) -> CancellationTerms:
    """What a cancellation by the one who asks would do now. One statement for what may be disputed."""
    booking = seen.booking
    disputed = Disputed()
    if booking.payment_status in MAY_BE_DISPUTED:
        disputed = await context.loaders.disputed_by_booking_id.load((booking.organization_id, booking.id))
    viewer = ActorKind.CUSTOMER if at_customers_request else seen.viewer
    return terms_of_cancellation(booking, disputed, viewer, context.now())


def calendar_url(context: RequestContext, booking: Booking) -> str:
    services = context.services
    token = services.tokens.calendar_token(booking.id, booking.access_version)
    return f"{services.policy.public_url}/calendar/{booking.id}.ics?token={token}"


async def create_booking(
    context: RequestContext,
    request: BookingRequest,
    customer: CustomerDetails | None,
    idempotency_key: str | None,
    guest_token: str | None = None,
) -> tuple[SeenBooking, str, PaymentShown | None]:
    """The booking, its guest's secret link, and what it is paid with.

    What is to be paid is committed first; then the processor is asked, outside any transaction. A repeat, here or by a
    worker, comes to the same payment. Raises what the command raises, and IdempotencyConflict.
    """
    services = context.services
    tokens = services.tokens
    guest = checkout_of(context, guest_token)

    async def command(tx: Tx, tenancy: Tenancy) -> Booked:
        guesses.check()
        if guest is not None:
            await book_in_session(tx, guest, request.hold_id, details_given(customer, request.served))
        facts: Any = {
            "tenancy": tenancy,
            "actor": context.actor("guest"),
            "now": context.now(),
            "takes_payment": services.checkout.takes,
            "fees": services.policy.platform_fees,
            "offers": services.checkout.offers,
        }
        try:
            return await create.create_booking(tx, tokens, request, customer, **facts)
        except NotFound:  # a hold of time, that is: it may be one of places
            return await create_session_booking(tx, tokens, request, customer, **facts)

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, str]) -> Booked:
        booking_id = UUID(facts["bookingId"])
        try:
            booking, items, owner, provider, service = await get_booked(tx, booking_id)
        except NotFound:
            booking, owner, *_ = await get_session_booked(tx, booking_id)
            role = role_towards(tenancy, booking, owner.user_id, user_id=context.user_id, has_link=True)
            return Booked(booking, (), owner, None, None, role, await _payment_of(tx, booking))
        role = role_towards(tenancy, booking, owner.user_id, user_id=context.user_id, has_link=True)
        return Booked(booking, items, owner, provider, service, role, await _payment_of(tx, booking))

    async def attempt() -> Booked:
        return await mutate(
            context,
            "createBooking",
            at=(Door.HOLD, request.hold_id),
            request=(request, customer) if guest is None else (request, customer, guest),
            idempotency_key=idempotency_key,
            command=command,
            remembered=Remembered(facts=lambda made: {"bookingId": str(made.booking.id)}, again=again),
        )

    async with limited_guesses(context, request.hold_id, request.promo_code) as guesses:
        booked = await with_another_code(attempt)
    _prime(context, booked)
    token = tokens.guest_token(booked.booking.id, booked.booking.access_version)
    seen = SeenBooking(booked.booking, booked.viewer)
    if booked.payment is None:
        return seen, token, None
    seen, shown = await open_for(context, seen, booked.payment)
    return seen, token, shown


async def _payment_of(tx: Tx, booking: Booking) -> Payment | None:
    if booking.payment_method != PaymentMethod.PAY_NOW and booking.status not in HELD and not booking.has_saved_method:
        return None
    return (await latest_payments(tx, [booking.id])).get(booking.id)


async def with_another_code(attempt: Callable[[], Awaitable[T]]) -> T:
    """Confirmation codes are random: once in a very long while two bookings of an organization draw the same."""
    for _ in range(CODE_ATTEMPTS - 1):
        try:
            return await attempt()
        except IntegrityError as error:
            if violated_constraint(error) != "booking_confirmation_code_key":
                raise
    return await attempt()


def _prime(context: RequestContext, booked: Booked) -> None:
    """What the command loaded is not read again for the answer."""
    loaders = context.loaders
    organization_id = booked.booking.organization_id
    loaders.prime(*(record for record in (booked.provider, booked.service, booked.customer) if record is not None))
    loaders.items_by_booking_id.prime((organization_id, booked.booking.id), list(booked.items))


async def transition_booking(
    context: RequestContext,
    operation: str,
    request: TransitionRequest,
    link_token: str | None,
    idempotency_key: str | None,
) -> SeenBooking:
    """One step of the state machine, asked for by a person. Before a payable booking ends, its payment is ended."""
    linked, tokens = LinkedTransition(request, link_token), context.services.tokens

    async def careful(tx: Tx, requester: Requester) -> SeenBooking:
        return await change.transition_booking(
            tx, tokens, request, requester, context.now(), despite_payment=request.to is not BookingStatus.CANCELLED
        )

    try:
        seen = await _change(context, operation, linked, idempotency_key, careful)
        is_asked = request.to is BookingStatus.CONFIRMED and seen.booking.status == BookingStatus.AWAITING_PROVIDER
        return await take_authorized(context, seen) if is_asked else seen
    except StillPayable as payable:
        version = await end_before_cancelling(context, payable.booking)
        expected = request.expected_version
        current = request if expected is None or version is None else replace(request, expected_version=version)

    async def command(tx: Tx, requester: Requester) -> SeenBooking:
        return await change.transition_booking(tx, tokens, current, requester, context.now())

    return await _change(context, operation, linked, idempotency_key, command)


async def refund_booking(
    context: RequestContext, request: RefundBookingRequest, idempotency_key: str | None
) -> SeenBooking:
    """Staff give money back."""

    async def command(tx: Tx, requester: Requester) -> SeenBooking:
        return await give_back(tx, context.services.tokens, request, requester)

    return await _change(context, "refundBooking", LinkedTransition(request, None), idempotency_key, command)


async def record_cash(context: RequestContext, request: RecordCashRequest, idempotency_key: str | None) -> SeenBooking:
    """Staff took cash."""

    async def command(tx: Tx, requester: Requester) -> SeenBooking:
        return await take_cash(tx, context.services.tokens, request, requester, context.now())

    linked = LinkedTransition(request, None)
    return await _change(context, "recordCashPayment", linked, idempotency_key, command)


async def return_cash(context: RequestContext, request: ReturnCashRequest, idempotency_key: str | None) -> SeenBooking:
    """Staff hand cash back."""

    async def command(tx: Tx, requester: Requester) -> SeenBooking:
        return await hand_back(tx, context.services.tokens, request, requester, context.now())

    return await _change(context, "returnCash", LinkedTransition(request, None), idempotency_key, command)


async def waive_fee(context: RequestContext, request: WaiveFeeRequest, idempotency_key: str | None) -> SeenBooking:
    """Staff let the customer off."""

    async def command(tx: Tx, requester: Requester) -> SeenBooking:
        return await let_off(tx, context.services.tokens, request, requester, context.now())

    return await _change(context, "waiveFee", LinkedTransition(request, None), idempotency_key, command)


async def reschedule_booking(
    context: RequestContext,
    request: RescheduleRequest | SessionMove,
    link_token: str | None,
    idempotency_key: str | None,
) -> SeenBooking:
    async def command(tx: Tx, requester: Requester) -> SeenBooking:
        if isinstance(request, SessionMove):
            return await reschedule_to_session(tx, context.services.tokens, request, requester, context.now())
        return await reschedule.reschedule_booking(tx, context.services.tokens, request, requester, context.now())

    return await _change(context, "rescheduleBooking", LinkedTransition(request, link_token), idempotency_key, command)


async def _change(
    context: RequestContext,
    operation: str,
    linked: LinkedTransition,
    idempotency_key: str | None,
    command: Callable[[Tx, Requester], Awaitable[SeenBooking]],
) -> SeenBooking:
    booking_id = linked.request.booking_id

    def requester(tenancy: Tenancy) -> Requester:
        return Requester(tenancy, context.user_id, linked.link_token, context.actor("unknown"))

    async def again(tx: Tx, tenancy: Tenancy, _facts: dict[str, str]) -> SeenBooking:
        return await change.lock_for_change(tx, context.services.tokens, booking_id, requester(tenancy), None)

    return await mutate(
        context,
        operation,
        at=(Door.BOOKING, booking_id),
        request=linked,
        idempotency_key=idempotency_key,
        command=lambda tx, tenancy: command(tx, requester(tenancy)),
        remembered=Remembered(facts=lambda seen: {"version": seen.booking.version}, again=again),
    )
