"""A provider's account at the processor: opened with its own key, asked about, onboarded by a link."""

from __future__ import annotations

from uuid import UUID

from app.checkout.scope import Checkout
from app.commands.actor import SYSTEM, Actor
from app.commands.payout_account import note_account
from app.domain.errors import NotAllowed, NotFound
from app.gateway import AccountOrder, Capability, GatewayUnknown, OnboardingLink, PaymentGateway
from app.models import PayoutAccount
from app.queries.payee import find_account, find_account_named


def marketplace(checkout: Checkout, processor: str) -> PaymentGateway:
    """The gateway, if providers have accounts there. Raises NotAllowed."""
    gateway = checkout.gateway(processor)
    if not {Capability.ACCOUNTS, Capability.TRANSFERS} <= gateway.capabilities:
        raise NotAllowed("payouts_unavailable", f"{processor} pays the organization itself, and no providers.")
    return gateway


async def open_account(checkout: Checkout, account: PayoutAccount, *, actor: Actor) -> PayoutAccount:
    """The one account of this row, however often this is asked. Raises what the gateway raises."""
    if account.account_id is not None:
        return account
    gateway = marketplace(checkout, account.processor)
    order = AccountOrder(
        provider_id=account.provider_id,
        organization_id=account.organization_id,
        country=account.country,
        idempotency_key=account.idempotency_key,
        email=account.email,
    )
    seen_at = checkout.clock.now()
    try:
        made = await gateway.create_account(order)
    except GatewayUnknown:
        made = await gateway.create_account(order)
    async with checkout.within(account.organization_id) as tx:
        return await note_account(tx, account.provider_id, made, seen_at=seen_at, actor=actor)


async def link_for(checkout: Checkout, account: PayoutAccount) -> OnboardingLink:
    """A fresh one, for its owner, used once. Raises what the gateway raises."""
    assert account.account_id is not None
    here = checkout.return_url or "http://localhost"
    gateway = marketplace(checkout, account.processor)
    return await gateway.onboarding_link(account.account_id, return_url=here, refresh_url=here)


async def refresh_account(
    checkout: Checkout, organization_id: UUID | None, provider_id: UUID, *, actor: Actor = SYSTEM
) -> PayoutAccount:
    """As the processor shows it now. Raises NotFound, NotAllowed, and what the gateway raises."""
    async with checkout.within(organization_id) as tx:
        account = await find_account(tx, provider_id)
    if account is None:
        raise NotFound
    if account.account_id is None:
        return account
    seen_at = checkout.clock.now()
    shown = await marketplace(checkout, account.processor).find_account(account.account_id)
    if shown is None:
        return account
    async with checkout.within(account.organization_id) as tx:
        return await note_account(tx, provider_id, shown, seen_at=seen_at, actor=actor)


async def apply_account_event(checkout: Checkout, processor: str, account_id: str, *, actor: Actor) -> str:
    """Something happened to a connected account. The outcome, for the inbox. Raises what the gateway raises."""
    async with checkout.within(None) as tx:
        known = await find_account_named(tx, processor, account_id)
    if known is not None:
        await refresh_account(checkout, None, known.provider_id, actor=actor)
        return "applied"
    # The answer to its opening may be on its way: what names our provider is ours.
    seen_at = checkout.clock.now()
    shown = await checkout.gateway(processor).find_account(account_id)
    if shown is None or shown.provider_id is None:
        return "not_ours"
    try:
        async with checkout.within(None) as tx:
            noted = await note_account(tx, shown.provider_id, shown, seen_at=seen_at, actor=actor)
    except NotFound:
        return "not_ours"
    return "applied" if noted.account_id == account_id else "not_ours"
