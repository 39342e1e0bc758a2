"""Webhooks: stored and answered at once, worked on later against the processor's current object."""

from __future__ import annotations

from app.checkout.payment import apply_found
from app.checkout.scope import Checkout
from app.commands.actor import Actor
from app.commands.webhook import note_processed, store_event
from app.domain.errors import NotFound
from app.gateway import Delivery, ObjectKind

WEBHOOK = Actor("system", channel="webhook")

OF_A_PAYMENT = frozenset({ObjectKind.PAYMENT, ObjectKind.CHARGE, ObjectKind.REFUND, ObjectKind.DISPUTE})


async def receive_event(checkout: Checkout, processor: str, delivery: Delivery) -> bool:
    """Was it new? Raises BadSignature, and NotAllowed for a processor without a key here.

    Events of the other mode, of foreign accounts and of what nobody waits for are kept, and nothing follows.
    """
    gateway = checkout.gateway(processor)
    event = gateway.read_event(delivery)
    outcome = None
    if event.is_live != gateway.is_live:
        outcome = "wrong_mode"
    elif event.object_kind not in OF_A_PAYMENT:
        outcome = "not_needed"
    elif event.account is not None:
        outcome = "foreign_account"
    async with checkout.database.transaction() as tx:
        return await store_event(tx, processor, event, outcome)


async def process_event(checkout: Checkout, processor: str, event_id: str, kind: ObjectKind, object_id: str) -> None:
    """As often as it comes, the same. Raises what the gateway raises: then it is done again."""
    snapshot = await checkout.gateway(processor).payment_of(kind, object_id)
    try:
        outcome = "gone" if snapshot is None else await apply_found(checkout, snapshot, actor=WEBHOOK)
    except NotFound:
        outcome = "not_ours"  # of another installation that shares the account
    async with checkout.database.transaction() as tx:
        await note_processed(tx, processor, event_id, outcome)
