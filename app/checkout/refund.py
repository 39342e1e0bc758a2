"""A refund's way: asked for with its own key until it is answered, then the payment is looked at again."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import structlog

from app.checkout.payment import refresh_payment
from app.checkout.scope import Checkout
from app.commands.actor import SYSTEM, Actor
from app.commands.refund_settle import note_refund, refuse_refund
from app.gateway import Capability, GatewayRefused, PaymentGateway, RefundOrder, RefundSnapshot, RefusalKind
from app.models import Refund
from app.queries.payment import get_refund, list_refunds

log = structlog.get_logger(__name__)

_FOR_GOOD = frozenset({RefusalKind.STATE, RefusalKind.AMOUNT, RefusalKind.MISSING, RefusalKind.REQUEST})
"""Asking again changes nothing; a lack of funds or a wrong key may pass."""
_OF_THE_CHARGE = frozenset({RefusalKind.STATE, RefusalKind.AMOUNT})
"""There is not so much left of it."""


async def execute_refund(checkout: Checkout, refund_id: UUID, *, actor: Actor = SYSTEM) -> None:
    """Once, however often this runs. Raises what the gateway raises: then it is done again."""
    async with checkout.within(None) as tx:
        refund, payment = await get_refund(tx, refund_id)
    gateway = checkout.gateway(payment.processor)
    if refund.status == "created":
        assert payment.processor_id is not None
        order = RefundOrder(
            refund_id=refund.id,
            payment_id=payment.id,
            booking_id=refund.booking_id,
            organization_id=refund.organization_id,
            processor_id=payment.processor_id,
            amount_minor=refund.amount_minor,
            currency=refund.currency,
            idempotency_key=refund.idempotency_key,
            charge_id=payment.charge_id,
        )
        found = None
        if checkout.is_key_forgotten(refund.created_at):
            found = await _look_up(gateway, refund, payment.processor_id)
        try:
            made = found or await gateway.refund(order)
        except GatewayRefused as refused:
            found = await _look_up(gateway, refund, payment.processor_id)
            if found is None and refused.kind in _OF_THE_CHARGE:
                found = await _of_another_charge(checkout, gateway, refund, order)
            if found is None:
                if refused.kind not in _FOR_GOOD:
                    raise
                log.error("refund.refused", refund=str(refund.id), code=refused.code, message=refused.message)
                async with checkout.within(refund.organization_id) as tx:
                    await refuse_refund(tx, refund.id, refused.message, actor=actor, now=checkout.clock.now())
                return
            made = found
        async with checkout.within(refund.organization_id) as tx:
            await note_refund(tx, refund.id, made.refund.id)
    await refresh_payment(checkout, refund.organization_id, payment.id, actor=actor)


async def _of_another_charge(
    checkout: Checkout, gateway: PaymentGateway, refund: Refund, order: RefundOrder
) -> RefundSnapshot | None:
    """Out of the other charge of a payment that was paid twice. None: it has none, or this refund may be made already.

    Nothing was made where each refund that the processor shows is known to be another one.
    """
    shown = await gateway.find_payment(order.processor_id)
    if shown is None or None in {order.charge_id, shown.charge_id} or shown.charge_id == order.charge_id:
        return None
    async with checkout.within(refund.organization_id) as tx:
        known = {one.processor_id for one in await list_refunds(tx, refund.booking_id)}
    if any(one.id not in known for one in shown.intent.refunds):
        return None
    key = f"{order.idempotency_key}-{shown.charge_id}"
    return await gateway.refund(replace(order, charge_id=shown.charge_id, idempotency_key=key))


async def _look_up(gateway: PaymentGateway, refund: Refund, processor_id: str) -> RefundSnapshot | None:
    """By its label. None also where refunds have none."""
    if Capability.LABELLED_REFUNDS not in gateway.capabilities:
        return None
    return await gateway.look_up_refund(processor_id, refund.id)
