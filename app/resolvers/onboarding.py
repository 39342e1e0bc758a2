"""A provider's account at the processor: opened, onboarded by link, asked about."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from app.checkout import payout_account as accounts
from app.checkout.payout_account import marketplace
from app.commands.fields import Form, optional
from app.commands.payout_account import want_account
from app.core.contact import normalize_email
from app.core.database import Tx
from app.domain.errors import InvalidInput, NotAllowed, Unavailable
from app.domain.places import check_country
from app.gateway import GatewayError, GatewayRefused, OnboardingLink, RefusalKind
from app.models import Organization, PaymentSettings, PayoutAccount
from app.queries.payee import lock_account
from app.queries.payment_terms import terms_of_settings
from app.queries.rows import get_row
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import role_of
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate

T = TypeVar("T")

FORM = Form({"country": optional(check_country), "email": optional(normalize_email)})


def require_account_keeper(tenancy: Tenancy, provider_id: UUID) -> str:
    """As who the viewer acts. Raises NotFound for a stranger, NotAllowed for other staff."""
    if tenancy.is_admin:
        return role_of(tenancy).value
    if tenancy.provider_id == provider_id:
        return "provider"
    role_of(tenancy)
    raise NotAllowed("role", "Only the provider, an admin or an owner can open a provider's payout account.")


async def start_onboarding(
    context: RequestContext, provider_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> tuple[PayoutAccount, OnboardingLink]:
    """The account, opened once, and a fresh link for its owner: a repeat gives another, since each is used once.

    Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict, Unavailable.
    """
    context.require_viewer()
    facts = FORM.clean(values)
    checkout = context.services.checkout

    async def command(tx: Tx, tenancy: Tenancy) -> PayoutAccount:
        actor = context.actor(require_account_keeper(tenancy, provider_id))
        organization = await get_row(tx, Organization, tenancy.organization_id)
        processor = terms_of_settings(await tx.get(PaymentSettings, organization.id)).processor
        marketplace(checkout, processor)
        country = facts["country"] or organization.country
        if country is None:
            raise InvalidInput.at("input.country", "is needed: the organization has none")
        return await want_account(
            tx, organization.id, actor, provider_id, processor=processor, country=country, email=facts["email"]
        )

    async def again(tx: Tx, tenancy: Tenancy, _facts: dict[str, Any]) -> PayoutAccount:
        require_account_keeper(tenancy, provider_id)
        return await lock_account(tx, provider_id)

    wanted = await mutate(
        context,
        "startProviderOnboarding",
        at=(Door.PROVIDER, provider_id),
        request=facts,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda account: {"id": str(account.provider_id)}, again=again),
    )
    account = await _asked(accounts.open_account(checkout, wanted, actor=context.actor("system")))
    return account, await _asked(accounts.link_for(checkout, account))


async def refresh_account(context: RequestContext, provider_id: UUID) -> PayoutAccount:
    """As the processor shows it now. Raises Unauthenticated, NotFound, NotAllowed, Unavailable."""
    context.require_viewer()
    async with context.read(Door.PROVIDER, provider_id) as (_, tenancy):
        actor = context.actor(require_account_keeper(tenancy, provider_id))
    checkout = context.services.checkout
    account = await _asked(accounts.refresh_account(checkout, tenancy.organization_id, provider_id, actor=actor))
    context.loaders.forget()
    await context.services.stream.ring()
    return account


async def _asked(call: Awaitable[T]) -> T:
    """What the processor says no to becomes a refusal. Raises NotAllowed, Unavailable."""
    try:
        return await call
    except GatewayRefused as refused:
        if refused.kind is RefusalKind.ACCESS:
            raise NotAllowed("payouts_unavailable", "Accounts cannot be opened with the key of this server.") from None
        raise NotAllowed("onboarding_refused", f"The payment processor refuses: {refused.message}") from None
    except GatewayError as error:
        raise Unavailable("The payment processor does not answer. Try again in a moment.") from error
