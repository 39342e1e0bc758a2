"""A payout's way: planned, sent with its own key until it is answered, taken back where a booking is refunded later."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar
from uuid import UUID

import structlog

from app.checkout.payout_account import refresh_account
from app.checkout.scope import Checkout
from app.commands.payout_plan import ask_to_send, plan_payout
from app.commands.payout_reversal import (
    OtherTransfer,
    apply_transfer,
    ask_to_reverse,
    begin_reversal,
    check_transfer,
    fail_reversal,
    plan_reversals,
    settle_reversal,
)
from app.commands.payout_send import (
    PayoutAttempt,
    SendFailure,
    begin_payout,
    give_up_payout,
    note_failure,
    settle_payout,
)
from app.domain.errors import NotAllowed, NotFound
from app.domain.payout import retry_delay
from app.gateway import (
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    PaymentGateway,
    RefusalKind,
    ReversalOrder,
    ReversalSnapshot,
    TransferOrder,
    TransferSnapshot,
)
from app.models import Payout, PayoutReversal
from app.queries.payout import Payee, get_payout, get_reversal, list_debtors, list_due_payees, list_stuck

T = TypeVar("T")

log = structlog.get_logger(__name__)

PAYEES_AT_ONCE = 500

_LATER = frozenset({RefusalKind.FUNDS})
"""Refusals that pass by themselves: the charges have not reached the balance yet."""
_NOT_READ = frozenset({RefusalKind.ACCESS, RefusalKind.KEY_REUSED, RefusalKind.MISSING})
"""Refusals that say nothing of what an earlier call did: a key without rights, or one of another account."""


# ── planning ──────────────────────────────────────────────────────────────────────────────────────────


async def plan_payouts(checkout: Checkout) -> int:
    """For everyone who is owed something that is due; how many payouts came of it. Each in a transaction of its own."""
    count, after = 0, None
    while True:
        async with checkout.within(None) as tx:
            payees = await list_due_payees(tx, after, PAYEES_AT_ONCE)
        for payee in payees:
            count += await _plan_for(checkout, payee)
        if len(payees) < PAYEES_AT_ONCE:
            return count
        after = payees[-1]


async def _plan_for(checkout: Checkout, payee: Payee) -> bool:
    async with checkout.within(payee.organization_id) as tx:
        payout = await plan_payout(tx, payee.provider_id, payee.currency, checkout.clock.now())
    return payout is not None


async def plan_all_reversals(checkout: Checkout) -> int:
    """For every debt of a booking that was paid out; how many came of it."""
    count, after = 0, None
    while True:
        async with checkout.within(None) as tx:
            debtors = await list_debtors(tx, after, PAYEES_AT_ONCE)
        for payee in debtors:
            async with checkout.within(payee.organization_id) as tx:
                count += len(await plan_reversals(tx, payee.provider_id, payee.currency, checkout.clock.now()))
        if len(debtors) < PAYEES_AT_ONCE:
            return count
        after = debtors[-1]


async def resume_stuck(checkout: Checkout) -> int:
    """Payouts and reversals whose job was given up are worked on again; how many."""
    async with checkout.within(None) as tx:
        found = await list_stuck(tx)
        for row_id, _, kind in found:
            if kind == "payout":
                await ask_to_send(tx, await get_payout(tx, row_id), None)
            else:
                await ask_to_reverse(tx, (await get_reversal(tx, row_id))[0], None)
    return len(found)


# ── sending ───────────────────────────────────────────────────────────────────────────────────────────


async def execute_payout(checkout: Checkout, payout_id: UUID) -> None:
    """One transfer, however often this runs and wherever it dies. A refusal is written down, not raised."""
    async with checkout.within(None) as tx:
        attempt = await begin_payout(tx, payout_id, checkout.clock.now())
        payout = await get_payout(tx, payout_id) if attempt is None else attempt.payout
    if attempt is None:
        if payout.status == "cancelled":
            await _plan_for(checkout, Payee(payout.organization_id, payout.provider_id, payout.currency))
        return
    try:
        transfer = await _send(checkout.gateway(payout.processor), attempt)
        check_transfer(payout, transfer)
    except (GatewayError, NotAllowed, OtherTransfer) as error:
        await _failed(checkout, attempt, error)
        return
    async with checkout.within(payout.organization_id) as tx:
        await settle_payout(tx, payout.id, transfer.processor_id, checkout.clock.now())


async def _send(gateway: PaymentGateway, attempt: PayoutAttempt) -> TransferSnapshot:
    payout = attempt.payout
    if attempt.was_unanswered:
        for found in await _look_up(gateway, payout):
            if found.transfer_id == payout.id:
                return found
    order = TransferOrder(
        transfer_id=payout.id,
        organization_id=payout.organization_id,
        account_id=payout.account_id,
        amount_minor=payout.amount_minor,
        currency=payout.currency,
        idempotency_key=attempt.key,
        transfer_group=str(payout.id),
        description=f"Payout {payout.number}",
    )
    try:
        return await gateway.transfer(order)
    except GatewayUnknown as unknown:
        return await _again(unknown, gateway.transfer(order))


async def _again(unknown: GatewayUnknown, call: Awaitable[T]) -> T:
    """The same call after an answer that was lost; unless it is heard now, the first one may have been made."""
    try:
        return await call
    except GatewayUnavailable:
        raise unknown from None
    except GatewayRefused as refused:
        raise unknown if refused.kind in _NOT_READ else refused from None


async def _look_up(gateway: PaymentGateway, payout: Payout) -> tuple[TransferSnapshot, ...]:
    """A refusal to say what there is is no refusal of the transfer, which may have been made."""
    try:
        return await gateway.look_up_transfers(str(payout.id))
    except GatewayRefused as refused:
        raise GatewayUnknown(refused.message, refused.code) from refused


async def _failed(checkout: Checkout, attempt: PayoutAttempt, error: GatewayError | NotAllowed | OtherTransfer) -> None:
    payout, failure = attempt.payout, _failure_of(error)
    log.warning("payout.not_sent", payout=str(payout.id), code=failure.code, message=failure.message)
    is_of_account = isinstance(error, GatewayRefused) and error.kind in {RefusalKind.ACCOUNT, RefusalKind.MISSING}
    if is_of_account and not await _still_receives(checkout, payout):
        async with checkout.within(payout.organization_id) as tx:
            await give_up_payout(tx, attempt, failure)
        return
    async with checkout.within(payout.organization_id) as tx:
        await note_failure(tx, attempt, failure, checkout.clock.now())


async def _still_receives(checkout: Checkout, payout: Payout) -> bool:
    """As the processor says now."""
    try:
        account = await refresh_account(checkout, payout.organization_id, payout.provider_id)
    except (GatewayError, NotAllowed):
        return True
    return account.can_receive and account.account_id == payout.account_id


def _failure_of(error: GatewayError | NotAllowed | OtherTransfer) -> SendFailure:
    if isinstance(error, OtherTransfer):
        return SendFailure("other_transfer", str(error), is_certain=False, is_final=True)
    if isinstance(error, NotAllowed):
        return SendFailure(error.rule, error.message)
    if isinstance(error, GatewayRefused):
        return SendFailure(
            error.code or error.kind.value,
            error.message,
            is_certain=error.kind is not RefusalKind.KEY_REUSED,
            is_refusal=error.kind not in _NOT_READ,
            is_final=error.kind not in _LATER,
        )
    return SendFailure(error.code, error.message, is_certain=isinstance(error, GatewayUnavailable))


# ── taking back ───────────────────────────────────────────────────────────────────────────────────────


async def execute_reversal(checkout: Checkout, reversal_id: UUID) -> None:
    """Once, however often this runs. What cannot be taken back stays owed, and the next payout settles it."""
    now = checkout.clock.now()
    async with checkout.within(None) as tx:
        begun = await begin_reversal(tx, reversal_id, now)
    if begun is None:
        return
    reversal, payout = begun
    try:
        made = await _reverse(checkout.gateway(payout.processor), reversal, payout)
    except (GatewayError, NotAllowed) as error:
        await _not_reversed(checkout, reversal, payout, error)
        return
    async with checkout.within(payout.organization_id) as tx:
        await settle_reversal(tx, reversal.id, made.processor_id, now)


async def _not_reversed(
    checkout: Checkout, reversal: PayoutReversal, payout: Payout, error: GatewayError | NotAllowed
) -> None:
    """One that may have been made is never given up: asked for again until it is answered."""
    now, told = checkout.clock.now(), {"payout": str(payout.id), "reversal": str(reversal.id), "message": error.message}
    kind = error.kind if isinstance(error, GatewayRefused) else None
    is_refused = kind is not None or isinstance(error, NotAllowed)
    if is_refused and (reversal.attempts == 1 or (kind is not None and kind not in _NOT_READ)):
        log.warning("payout.not_reversed", **told)
        async with checkout.within(payout.organization_id) as tx:
            await fail_reversal(tx, reversal.id, error.message, now)
        return
    log.warning("payout.reversal_unanswered", **told)
    delay = retry_delay(min(reversal.attempts, 7))
    assert delay is not None
    async with checkout.within(payout.organization_id) as tx:
        await ask_to_reverse(tx, reversal, now + delay)


async def _reverse(gateway: PaymentGateway, reversal: PayoutReversal, payout: Payout) -> ReversalSnapshot:
    assert payout.processor_id is not None
    if reversal.attempts > 1:
        shown = await gateway.find_transfer(payout.processor_id)
        for known in shown.reversals if shown is not None else ():
            if known.reversal_id == reversal.id:
                return known
    order = ReversalOrder(
        reversal_id=reversal.id,
        processor_id=payout.processor_id,
        amount_minor=reversal.amount_minor,
        currency=reversal.currency,
        idempotency_key=reversal.idempotency_key,
    )
    try:
        return await gateway.reverse_transfer(order)
    except GatewayUnknown as unknown:
        return await _again(unknown, gateway.reverse_transfer(order))


# ── webhooks ──────────────────────────────────────────────────────────────────────────────────────────


async def apply_transfer_event(checkout: Checkout, processor: str, transfer_id: str) -> str:
    """Something happened to a transfer: what it is now becomes ours. The outcome, for the inbox.

    Raises what the gateway raises.
    """
    found = await checkout.gateway(processor).find_transfer(transfer_id)
    if found is None:
        return "gone"
    if found.transfer_id is None:
        return "not_ours"
    try:
        async with checkout.within(None) as tx:
            await apply_transfer(tx, found, checkout.clock.now())
    except NotFound:
        return "not_ours"
    except OtherTransfer as other:
        log.error("payout.other_transfer", detail=str(other))
        return "other_transfer"
    return "applied"
