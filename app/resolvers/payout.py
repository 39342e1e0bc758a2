"""Payouts: seen by staff and the provider; stopped, tried again and called off by admins and owners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import payout_account as account_commands
from app.commands import payout_send as commands
from app.commands.actor import Actor
from app.commands.fields import Form, name
from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.instants import local_date, zone
from app.domain.payout import explain_payout
from app.domain.policy import ActorKind
from app.models import Booking, Payout, PayoutAccount, PayoutItem, Provider
from app.queries.booking import SeenBooking
from app.queries.pagination import Page, PageRequest
from app.queries.payee import lock_account
from app.queries.payout import NEWEST_FIRST, PayoutFilter, get_payout, select_payouts
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import change_as_admin, read_count, read_page, require_admin
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered
from app.resolvers.provider import time_zone_of

REASON_MAXIMUM = 500
REASON = Form({"reason": name(REASON_MAXIMUM)})


async def sees_money(context: RequestContext, organization_id: UUID, provider_id: UUID) -> bool:
    """Of a provider: staff, and the provider's own account."""
    tenancy = await context.loaders.tenancy_by_organization_id.load(organization_id)
    return tenancy.is_staff or tenancy.provider_id == provider_id


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────


async def read_payout(context: RequestContext, payout_id: UUID) -> Payout:
    """Raises NotFound, also for those who may not see it."""
    async with context.read(Door.PAYOUT, payout_id) as (tx, tenancy):
        payout = await get_payout(tx, payout_id)
    context.loaders.prime_tenancy(tenancy)
    if not tenancy.is_staff and tenancy.provider_id != payout.provider_id:
        raise NotFound
    return payout


@dataclass(frozen=True, slots=True)
class PayoutList:
    """Of one organization, as the viewer may see them: all for staff, a provider's own."""

    context: RequestContext
    organization_id: UUID
    wanted: PayoutFilter

    async def page(self, request: PageRequest) -> Page[Payout]:
        """Newest first. Two statements. Raises NotFound."""
        page: Page[Payout] = await read_page(self.context, self.organization_id, self.select, NEWEST_FIRST, request)
        return page

    async def count(self) -> int:
        return await read_count(self.context, self.organization_id, self.select)

    def select(self, tenancy: Tenancy) -> Any:
        statement = select_payouts(self.organization_id, self.wanted)
        if tenancy.is_staff:
            return statement
        return statement.where(Payout.provider_id == tenancy.provider_id)


async def booking_of(context: RequestContext, item: PayoutItem) -> SeenBooking:
    """As staff see it, or as one who gave a part of it."""
    booking: Booking = await context.loaders.booking_by_id.load((item.organization_id, item.booking_id))
    tenancy = await context.loaders.tenancy_by_organization_id.load(item.organization_id)
    return SeenBooking(booking, ActorKind.PROVIDER if tenancy.role is None else ActorKind(tenancy.role))


async def explain(context: RequestContext, payout: Payout) -> str:
    """Days are those where the provider is."""
    items = await context.loaders.items_by_payout_id.load((payout.organization_id, payout.id))
    provider: Provider = await context.loaders.provider_by_id.load((payout.organization_id, payout.provider_id))
    tz = zone(await time_zone_of(context, provider))
    return explain_payout(
        (item.amount_minor for item in items),
        payout.currency,
        local_date(payout.period_start, tz),
        local_date(payout.period_end, tz),
        payout.delay_days,
    )


# ── changing ──────────────────────────────────────────────────────────────────────────────────────────


async def _payout_again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> Payout:
    require_admin(tenancy)
    return await get_payout(tx, UUID(facts["id"]))


async def _account_again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> PayoutAccount:
    require_admin(tenancy)
    return await lock_account(tx, UUID(facts["id"]))


_PAYOUT: Remembered[Payout] = Remembered(facts=lambda payout: {"id": str(payout.id)}, again=_payout_again)
_ACCOUNT: Remembered[PayoutAccount] = Remembered(
    facts=lambda account: {"id": str(account.provider_id)}, again=_account_again
)


async def hold_payouts(
    context: RequestContext, provider_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> PayoutAccount:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict; so do the others."""
    context.require_viewer()
    facts = REASON.clean(values)
    now = context.now()

    async def command(tx: Tx, _organization_id: UUID, actor: Actor) -> PayoutAccount:
        return await account_commands.hold_payouts(tx, provider_id, actor, facts["reason"], now)

    at = (Door.PROVIDER, provider_id)
    return await change_as_admin(
        context, "holdPayouts", at, facts, idempotency_key=idempotency_key, command=command, remembered=_ACCOUNT
    )


async def resume_payouts(context: RequestContext, provider_id: UUID, idempotency_key: str | None) -> PayoutAccount:
    async def command(tx: Tx, _organization_id: UUID, actor: Actor) -> PayoutAccount:
        return await account_commands.resume_payouts(tx, provider_id, actor)

    at = (Door.PROVIDER, provider_id)
    return await change_as_admin(
        context, "resumePayouts", at, {}, idempotency_key=idempotency_key, command=command, remembered=_ACCOUNT
    )


async def retry_payout(context: RequestContext, payout_id: UUID, idempotency_key: str | None) -> Payout:
    now = context.now()

    async def command(tx: Tx, _organization_id: UUID, actor: Actor) -> Payout:
        return await commands.retry_payout(tx, payout_id, actor, now)

    at = (Door.PAYOUT, payout_id)
    return await change_as_admin(
        context, "retryPayout", at, {}, idempotency_key=idempotency_key, command=command, remembered=_PAYOUT
    )


async def cancel_payout(
    context: RequestContext, payout_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> Payout:
    context.require_viewer()
    facts = REASON.clean(values)

    async def command(tx: Tx, _organization_id: UUID, actor: Actor) -> Payout:
        return await commands.cancel_by_hand(tx, payout_id, actor, facts["reason"])

    at = (Door.PAYOUT, payout_id)
    return await change_as_admin(
        context, "cancelPayout", at, facts, idempotency_key=idempotency_key, command=command, remembered=_PAYOUT
    )
