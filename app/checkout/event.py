"""Webhooks: stored and answered at once, worked on later against the processor's current object."""

from __future__ import annotations

from app.checkout.payment import apply_found, refresh_payment
from app.checkout.payout import apply_transfer_event
from app.checkout.payout_account import apply_account_event
from app.checkout.scope import Checkout
from app.commands.actor import Actor
from app.commands.webhook import note_processed, store_event
from app.domain.errors import NotFound
from app.gateway import Capability, Delivery, ObjectKind, ProcessorEvent
from app.queries.payment import find_by_processor_id

WEBHOOK = Actor("system", channel="webhook")

OF_A_PAYMENT = frozenset(
    {ObjectKind.PAYMENT, ObjectKind.CHARGE, ObjectKind.REFUND, ObjectKind.DISPUTE, ObjectKind.SETUP}
)
OF_A_PROVIDER = frozenset({ObjectKind.ACCOUNT, ObjectKind.TRANSFER})
"""Of a marketplace: connected accounts, and what is sent to them."""


async def receive_event(checkout: Checkout, processor: str, delivery: Delivery) -> bool:
    """Was it new? Raises BadSignature, and NotAllowed for a processor without a key here.

    Events of the other mode, of foreign accounts and of what nobody waits for are kept, and nothing follows.
    """
    gateway = checkout.gateway(processor)
    event = gateway.read_event(delivery)
    outcome = None
    if event.is_live != gateway.is_live:
        outcome = "wrong_mode"
    elif event.object_kind not in OF_A_PAYMENT | OF_A_PROVIDER:
        outcome = "not_needed"
    elif _is_of_another_account(event) and Capability.ACCOUNTS in gateway.capabilities:
        # Elsewhere it is the account that the key belongs to: what is in another one is not found with it.
        outcome = "foreign_account"
    async with checkout.database.transaction() as tx:
        return await store_event(tx, processor, event, outcome)


def _is_of_another_account(event: ProcessorEvent) -> bool:
    """What becomes of a connected account itself is told as an event of that account."""
    is_itself = event.object_kind is ObjectKind.ACCOUNT and event.account == event.object_id
    return event.account is not None and not is_itself


async def process_event(checkout: Checkout, processor: str, event_id: str, kind: ObjectKind, object_id: str) -> None:
    """As often as it comes, the same. Raises what the gateway raises: then it is done again."""
    if kind is ObjectKind.ACCOUNT:
        outcome = await apply_account_event(checkout, processor, object_id, actor=WEBHOOK)
    elif kind is ObjectKind.TRANSFER:
        outcome = await apply_transfer_event(checkout, processor, object_id)
    elif kind is ObjectKind.SETUP:
        outcome = await _of_a_setup(checkout, processor, object_id)
    else:
        outcome = await _of_a_payment(checkout, processor, kind, object_id)
    async with checkout.database.transaction() as tx:
        await note_processed(tx, processor, event_id, outcome)


async def _of_a_payment(checkout: Checkout, processor: str, kind: ObjectKind, object_id: str) -> str:
    snapshot = await checkout.gateway(processor).payment_of(kind, object_id)
    try:
        return "gone" if snapshot is None else await apply_found(checkout, snapshot, actor=WEBHOOK)
    except NotFound:
        return "not_ours"  # of another installation that shares the account


async def _of_a_setup(checkout: Checkout, processor: str, object_id: str) -> str:
    """One whose answer was lost is not known by its name yet: whoever asks again learns it."""
    async with checkout.within(None) as tx:
        payment = await find_by_processor_id(tx, processor, object_id)
    if payment is None:
        return "not_ours"
    await refresh_payment(checkout, payment.organization_id, payment.id, actor=WEBHOOK)
    return "applied"
