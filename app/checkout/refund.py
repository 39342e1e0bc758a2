"""A refund's way: asked for with its own key until it is answered, then the payment is looked at again."""

from __future__ import annotations

from collections.abc import Sequence
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
            found = found or await gateway.refund(order)
        except GatewayRefused as refused:
            found = await _look_up(gateway, refund, payment.processor_id)
            if found is None and refused.kind in _OF_THE_CHARGE:
                found = await _of_another_charge(checkout, gateway, refund, order, refused)
            if found is None and refused.kind not in _FOR_GOOD:
                raise
            if found is None:
                log.error("refund.refused", refund=str(refund.id), code=refused.code, message=refused.message)
                async with checkout.within(refund.organization_id) as tx:
                    await refuse_refund(tx, refund.id, refused.message, actor=actor, now=checkout.clock.now())
        if found is not None:
            async with checkout.within(refund.organization_id) as tx:
                await note_refund(tx, refund.id, found.refund.id)
    # Of a refused one, too: what was made by hand was left alone as long as it could be this one.
    await refresh_payment(checkout, refund.organization_id, payment.id, actor=actor)


async def _of_another_charge(
    checkout: Checkout, gateway: PaymentGateway, refund: Refund, order: RefundOrder, refused: GatewayRefused
) -> RefundSnapshot | None:
    """Out of another charge of a payment that was paid more than once. None: there is none, or nobody can tell.

    Each charge is asked with a key of its own, always in the same order: one that has made it already says so again. A
    refund that nobody here knows may be this one, where the key is not to be relied on: of the charge that was asked
    first, which should have said so itself, and of any where keys are forgotten. Raises `refused` while it may as well
    be another one that waits for its answer, and what the gateway raises.
    """
    shown = await gateway.find_payment(order.processor_id)
    if shown is None or order.charge_id not in shown.charges:
        return None
    async with checkout.within(refund.organization_id) as tx:
        refunds = await list_refunds(tx, refund.booking_id)
    known = {one.processor_id for one in refunds}
    unknown = {charge for charge, made in shown.charges.items() if not made <= known}
    is_forgotten = checkout.is_key_forgotten(refund.created_at)
    if order.charge_id in unknown and not is_forgotten and _is_another_open(refund, refunds):
        raise refused
    if order.charge_id in unknown or (unknown and is_forgotten):
        return None
    for charge_id in shown.charges:
        if charge_id != order.charge_id:
            key = f"{order.idempotency_key}-{charge_id}"
            try:
                return await gateway.refund(replace(order, charge_id=charge_id, idempotency_key=key))
            except GatewayRefused as again:
                if again.kind not in _OF_THE_CHARGE:
                    raise
    return None


def _is_another_open(refund: Refund, refunds: Sequence[Refund]) -> bool:
    return any(
        one.status == "created" and one.payment_id == refund.payment_id and one.id != refund.id for one in refunds
    )


async def _look_up(gateway: PaymentGateway, refund: Refund, processor_id: str) -> RefundSnapshot | None:
    """By its label. None also where refunds have none."""
    if Capability.LABELLED_REFUNDS not in gateway.capabilities:
        return None
    return await gateway.look_up_refund(processor_id, refund.id)
