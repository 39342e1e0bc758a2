"""Paying: what a guest is given to pay with, looking after it, trying again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from app.checkout.capture import capture_payment
from app.checkout.ending import end_payment_first
from app.checkout.payment import Shown, cancel_payment, confirm_payment, open_payment, refresh_payment
from app.commands import balance
from app.commands.actor import Actor
from app.commands.balance import OtherAmount, StartedBalance
from app.commands.booking_change import Requester, lock_for_change
from app.commands.payment_attempt import Attempt, retry_payment
from app.core.database import Tx
from app.domain.errors import InvalidInput, NotAllowed, PaymentDeclined, Unavailable
from app.domain.policy import ActorKind
from app.gateway import (
    Declined,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    PaymentSnapshot,
    RefusalKind,
)
from app.models import Booking, Payment
from app.queries.booking import SeenBooking
from app.queries.payment import LIVE, get_payment, latest_payments
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate

log = structlog.get_logger(__name__)

PATIENCE_S = 12.0
"""A guest waits so long for the processor; what was asked is finished by a worker."""


@dataclass(slots=True)
class PaymentShown:
    """A payment and in what role it is seen; what the processor showed of it, once somebody asked."""

    payment: Payment
    viewer: ActorKind
    snapshot: PaymentSnapshot | None = None
    is_asked: bool = False
    """Was the processor asked in this operation? Once is enough, above all while it does not answer."""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Fields are resolved side by side: the second waits for what the first one asked."""


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """`method_id`: try at once with what the processor's form made of the card; None: the form tries."""

    booking_id: UUID
    access_token: str | None
    method_id: str | None


async def payment_of(context: RequestContext, seen: SeenBooking) -> PaymentShown | None:
    """The newest attempt. None for a booking that is paid on arrival, or costs nothing."""
    booking = seen.booking
    known = context.loaders.shown_payments.get(booking.id)
    if known is not None:
        return known
    payment = await context.loaders.payment_by_booking_id.load((booking.organization_id, booking.id))
    return None if payment is None else _keep(context, PaymentShown(payment, seen.viewer))


def _keep(context: RequestContext, shown: PaymentShown) -> PaymentShown:
    context.loaders.shown_payments[shown.payment.booking_id] = shown
    return shown


async def snapshot_of(context: RequestContext, shown: PaymentShown) -> PaymentSnapshot | None:
    """What only its customer may see, and only while it can be paid. None also while the processor is away."""
    if shown.viewer is not ActorKind.CUSTOMER or shown.payment.status not in LIVE:
        return None
    async with shown.asking:
        if not shown.is_asked:
            shown.is_asked = True
            shown.snapshot = await _ask(context, shown)
    return shown.snapshot


async def _ask(context: RequestContext, shown: PaymentShown) -> PaymentSnapshot | None:
    payment, actor = shown.payment, _actor(context, shown.viewer)
    try:
        async with asyncio.timeout(PATIENCE_S):
            found = await refresh_payment(context.services.checkout, payment.organization_id, payment.id, actor=actor)
    except (GatewayError, NotAllowed, TimeoutError) as error:
        log.warning("payment.not_shown", payment=str(payment.id), error=str(error))
        return None
    return found.snapshot


def _actor(context: RequestContext, viewer: ActorKind) -> Actor:
    return context.actor(viewer.value)


async def open_for(context: RequestContext, seen: SeenBooking, payment: Payment) -> tuple[SeenBooking, PaymentShown]:
    """After a booking was made: its one payment, opened here or found. While the processor is away, without secret."""
    checkout, actor = context.services.checkout, _actor(context, seen.viewer)
    try:
        async with asyncio.timeout(PATIENCE_S):
            if payment.processor_id is None and payment.status == "created":
                shown = await open_payment(checkout, seen.booking, payment, actor=actor)
            else:
                shown = await refresh_payment(checkout, payment.organization_id, payment.id, actor=actor)
    except (GatewayUnknown, GatewayUnavailable, TimeoutError) as error:
        log.warning("payment.not_opened", payment=str(payment.id), error=str(error))
        return seen, _keep(context, PaymentShown(payment, seen.viewer, is_asked=True))
    return _after(context, seen, shown)


def _after(context: RequestContext, seen: SeenBooking, shown: Shown) -> tuple[SeenBooking, PaymentShown]:
    booking = shown.booking
    kept = PaymentShown(shown.payment, seen.viewer, shown.snapshot, is_asked=True)
    return SeenBooking(booking, seen.viewer), _keep(context, kept)


async def refresh(context: RequestContext, seen: SeenBooking) -> tuple[SeenBooking, PaymentShown]:
    """The client came back from paying. Raises NotAllowed, Unavailable."""
    booking = seen.booking
    found = await payment_of(context, seen)
    if found is None:
        raise NotAllowed("no_payment", "This booking is not paid online.")
    try:
        shown = await refresh_payment(
            context.services.checkout,
            booking.organization_id,
            found.payment.id,
            actor=_actor(context, seen.viewer),
        )
    except (GatewayUnknown, GatewayUnavailable, TimeoutError) as error:
        raise Unavailable("The payment processor does not answer. Try again in a moment.") from error
    context.loaders.forget()
    await context.services.stream.ring()
    return _after(context, seen, shown)


async def retry(
    context: RequestContext, request: RetryRequest, idempotency_key: str | None
) -> tuple[SeenBooking, PaymentShown]:
    """Another attempt at the same payment, or its successor. Raises PaymentDeclined, and what the command raises."""
    tokens = context.services.tokens

    async def command(tx: Tx, tenancy: Tenancy) -> Attempt:
        requester = Requester(tenancy, context.user_id, request.access_token, context.actor("unknown"))
        return await retry_payment(tx, tokens, request.booking_id, requester, context.now())

    async def again(tx: Tx, _tenancy: Tenancy, facts: dict[str, str]) -> Attempt:
        payment, booking = await get_payment(tx, UUID(facts["paymentId"]))
        return Attempt(SeenBooking(booking, ActorKind(facts["viewer"])), payment, facts["key"])

    attempt = await mutate(
        context,
        "retryPayment",
        at=(Door.BOOKING, request.booking_id),
        request=request,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(
            facts=lambda made: {
                "paymentId": str(made.payment.id),
                "viewer": made.seen.viewer.value,
                "key": made.key,
            },
            again=again,
        ),
    )
    seen, shown = await open_for(context, attempt.seen, attempt.payment)
    if request.method_id is None or shown.payment.processor_id is None or shown.payment.status not in LIVE:
        return seen, shown
    return await _confirm(context, seen, shown.payment, request.method_id, attempt.key)


async def _confirm(
    context: RequestContext, seen: SeenBooking, payment: Payment, method_id: str, key: str
) -> tuple[SeenBooking, PaymentShown]:
    checkout, actor = context.services.checkout, _actor(context, seen.viewer)
    try:
        shown = await confirm_payment(checkout, payment, method_id, key=key, actor=actor)
    except Declined as declined:
        await context.services.stream.ring()
        raise PaymentDeclined(declined.decline.message, declined.decline.code, declined.is_retryable) from declined
    except GatewayRefused as refused:
        if refused.kind is not RefusalKind.STATE:
            raise InvalidInput.at("input.paymentMethodId", "cannot be used here") from refused
        shown = await refresh_payment(checkout, payment.organization_id, payment.id, actor=actor)
    except (GatewayUnknown, GatewayUnavailable) as error:
        raise Unavailable("The payment processor does not answer. Look at the booking before you try again.") from error
    context.loaders.forget()
    await context.services.stream.ring()
    return _after(context, seen, shown)


async def take_authorized(context: RequestContext, seen: SeenBooking) -> SeenBooking:
    """It was accepted: what is authorized is taken, which confirms it. While the processor is away, a worker does."""
    booking, checkout = seen.booking, context.services.checkout
    async with checkout.within(booking.organization_id) as tx:
        payment = (await latest_payments(tx, [booking.id])).get(booking.id)
    if payment is None:
        return seen
    try:
        async with asyncio.timeout(PATIENCE_S):
            shown = await capture_payment(
                checkout, booking.organization_id, payment.id, actor=_actor(context, seen.viewer)
            )
    except (GatewayError, NotAllowed, TimeoutError) as error:
        log.warning("payment.not_taken", payment=str(payment.id), error=str(error))
        return seen
    context.loaders.forget()
    await context.services.stream.ring()
    return SeenBooking(shown.booking, seen.viewer)


async def start_balance(
    context: RequestContext, booking_id: UUID, access_token: str | None, idempotency_key: str | None
) -> tuple[SeenBooking, PaymentShown]:
    """The rest of the price, online. Raises what the command raises, and Unavailable."""
    try:
        started = await _start_balance(context, booking_id, access_token, idempotency_key)
    except OtherAmount as other:
        checkout, actor = context.services.checkout, _actor(context, ActorKind.SYSTEM)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await cancel_payment(checkout, other.payment, other.seen.booking, actor=actor)
            started = await _start_balance(context, booking_id, access_token, idempotency_key)
        except (GatewayError, OtherAmount, TimeoutError) as error:
            raise Unavailable("The payment processor does not answer. Try again in a moment.") from error
    return await open_for(context, started.seen, started.payment)


async def _start_balance(
    context: RequestContext, booking_id: UUID, access_token: str | None, idempotency_key: str | None
) -> StartedBalance:
    services = context.services

    def requester(tenancy: Tenancy) -> Requester:
        return Requester(tenancy, context.user_id, access_token, context.actor("unknown"))

    async def command(tx: Tx, tenancy: Tenancy) -> StartedBalance:
        takes, now = services.checkout.takes, context.now()
        return await balance.start_balance(tx, services.tokens, booking_id, requester(tenancy), takes=takes, now=now)

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, str]) -> StartedBalance:
        seen = await lock_for_change(tx, services.tokens, booking_id, requester(tenancy), None)
        payment, _ = await get_payment(tx, UUID(facts["paymentId"]))
        return StartedBalance(seen, payment)

    return await mutate(
        context,
        "startBalancePayment",
        at=(Door.BOOKING, booking_id),
        request=(booking_id, access_token),
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda made: {"paymentId": str(made.payment.id)}, again=again),
    )


async def end_before_cancelling(context: RequestContext, booking: Booking) -> int | None:
    """As `end_payment_first`."""
    actor = context.actor(ActorKind.SYSTEM.value)
    return await end_payment_first(context.services.checkout, booking, actor=actor, patience_s=PATIENCE_S)


async def end_all_before_cancelling(context: RequestContext, bookings: Sequence[Booking]) -> None:
    """The same of several bookings of an organization, with one patience: a worker ends what is left of them."""
    checkout = context.services.checkout
    async with checkout.within(bookings[0].organization_id) as tx:
        payments = await latest_payments(tx, [one.id for one in bookings])
    live = [one for one in bookings if one.id in payments and payments[one.id].status in LIVE]
    until = asyncio.get_running_loop().time() + PATIENCE_S
    for booking in live:
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            return
        actor = context.actor(ActorKind.SYSTEM.value)
        await end_payment_first(checkout, booking, actor=actor, patience_s=left)
