"""Before a booking that somebody may pay for at this moment ends: its payment is ended first."""

from __future__ import annotations

import asyncio

import structlog

from app.checkout.payment import cancel_payment
from app.checkout.scope import Checkout
from app.commands.actor import Actor
from app.domain.booking import HELD, BookingStatus
from app.domain.errors import NotAllowed
from app.gateway import GatewayError
from app.models import Booking
from app.queries.payment import LIVE, latest_payments

log = structlog.get_logger(__name__)


async def end_payment_first(checkout: Checkout, booking: Booking, *, actor: Actor, patience_s: float) -> int | None:
    """Before the time is given back. The booking's version after it, if it is still unpaid.

    While the processor is away the booking ends all the same: a worker ends the payment, and what lands goes back.
    """
    async with checkout.within(booking.organization_id) as tx:
        payment = (await latest_payments(tx, [booking.id])).get(booking.id)
    if payment is None or payment.status not in LIVE:
        return booking.version
    try:
        async with asyncio.timeout(patience_s):
            shown = await cancel_payment(checkout, payment, booking, actor=actor)
    except (GatewayError, NotAllowed, TimeoutError) as error:
        log.warning("payment.not_ended", payment=str(payment.id), error=str(error))
        return booking.version
    return shown.booking.version if BookingStatus(shown.booking.status) in HELD else None
