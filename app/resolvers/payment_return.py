"""A guest comes back from a processor's page: what was paid there need not wait for the processor's message."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from app.checkout.payment import refresh_payment
from app.commands.actor import Actor
from app.domain.errors import DomainError
from app.gateway import GatewayError
from app.queries.payment import LIVE, latest_payments
from app.queries.tenancy import Door, enter
from app.resolvers.context import Services

log = structlog.get_logger(__name__)

PATIENCE_S = 5.0
MOST_A_MINUTE = 6
"""Questions to the processor for one booking: its id is all that is needed to come back."""
RETURNED = Actor("system", channel="payment_return")


async def note_return(services: Services, booking_id: UUID) -> None:
    """Ask the processor now, if there is something to ask. Tells nobody anything, and never fails for the processor."""
    async with services.database.snapshot() as tx:
        try:
            tenancy = await enter(tx, Door.BOOKING, booking_id, user_id=None, clock_offset=services.clock.offset)
        except DomainError:
            return
        payment = (await latest_payments(tx, [booking_id])).get(booking_id)
    if payment is None or payment.status not in LIVE:
        return
    if await services.limiter.hit(f"payment_return:{booking_id}", limit=MOST_A_MINUTE, window_s=60) is not None:
        return
    try:
        async with asyncio.timeout(PATIENCE_S):
            await refresh_payment(services.checkout, tenancy.organization_id, payment.id, actor=RETURNED)
    except (GatewayError, DomainError, TimeoutError) as error:
        log.info("payment.not_refreshed", payment=str(payment.id), error=str(error))
        return
    await services.stream.ring()
