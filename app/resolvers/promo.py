"""Promo codes: making and listing them, and what a holder may know of one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import promo_code as commands
from app.commands.booking import works_here
from app.commands.promo_use import check_customer, locked_quote, lowered_quote
from app.domain.booking import HoldStatus
from app.domain.errors import BadInput, NotFound, RateLimited
from app.domain.price_quote import Quote
from app.domain.promo import PromoRefused
from app.models import PromoCode
from app.queries.hold import get_hold, shown_status
from app.queries.pagination import Page, PageRequest, count_rows, fetch_page
from app.queries.promo import PROMO_SORT, select_promo_codes
from app.queries.rows import get_row
from app.queries.tenancy import Door
from app.resolvers.catalogue import change, role_of
from app.resolvers.context import RequestContext

GUESS_WINDOW_S = 3_600
GUESSES_PER_HOLD = 10


# ── by staff ──────────────────────────────────────────────────────────────────────────────────────────


async def create_promo_code(
    context: RequestContext,
    organization_id: UUID,
    values: Mapping[str, Any],
    idempotency_key: str | None,
) -> PromoCode:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict; so does changing one."""
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "createPromoCode",
        (Door.ORGANIZATION, organization_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.create_promo_code(
            tx, organization, actor, facts, now=context.now()
        ),
        model=PromoCode,
    )


async def update_promo_code(
    context: RequestContext,
    promo_id: UUID,
    values: Mapping[str, Any],
    idempotency_key: str | None,
) -> PromoCode:
    context.require_viewer()
    facts = commands.CHANGE_FORM.clean(values)
    return await change(
        context,
        "updatePromoCode",
        (Door.PROMO_CODE, promo_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.update_promo_code(tx, organization, actor, promo_id, facts),
        model=PromoCode,
    )


async def read_promo_code(context: RequestContext, promo_id: UUID) -> PromoCode:
    """For staff. Raises NotFound for anybody else."""
    async with context.read(Door.PROMO_CODE, promo_id) as (tx, tenancy):
        role_of(tenancy)
        return await get_row(tx, PromoCode, promo_id)


@dataclass(frozen=True, slots=True)
class PromoCodeList:
    """An organization's codes, for its staff."""

    context: RequestContext
    organization_id: UUID

    async def page(self, request: PageRequest) -> Page[PromoCode] | None:
        """Two statements. None for a stranger, who is not told whether there are any."""
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            if not tenancy.is_staff:
                return None
            return await fetch_page(tx, select_promo_codes(self.organization_id), PROMO_SORT, request)

    async def count(self) -> int:
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            role_of(tenancy)
            return await count_rows(tx, select_promo_codes(self.organization_id))


# ── by a holder ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CheckedCode:
    """The price with the code, or as it was locked where it is refused."""

    quote: Quote
    refusal: PromoRefused | None = None


async def check_promo_code(context: RequestContext, hold_id: UUID, token: str, typed: str) -> CheckedCode:
    """What booking with this code would cost, for whoever has the hold. Limits of one customer are asked for one who is
    signed in alone: nobody learns what others used. Raises NotFound, BadInput, RateLimited, NotAllowed.
    """
    locked: Quote | None = None
    try:
        async with limited_guesses(context, hold_id, typed) as guesses:
            guesses.check()
            async with context.read(Door.HOLD, hold_id) as (tx, tenancy):
                hold = await get_hold(tx, hold_id)
                if not context.services.tokens.is_hold_token(token, hold.id, hold.token_version):
                    raise NotFound
                if shown_status(hold, context.now()) is not HoldStatus.ACTIVE:
                    raise BadInput.at("holdId", "is a hold that has ended")
                locked = locked_quote(hold)
                account = None if works_here(tenancy) else context.user_id
                lowered = await lowered_quote(tx, hold, typed, now=context.now(), path="promoCode")
                await check_customer(tx, lowered, account=account, email=None)
                return CheckedCode(lowered.quote)
    except PromoRefused as refusal:
        assert locked is not None
        return CheckedCode(locked, refusal)


@dataclass(slots=True)
class Guesses:
    """`too_many`: what to raise instead of looking at the code."""

    too_many: RateLimited | None = None

    def check(self) -> None:
        """Raises RateLimited."""
        if self.too_many is not None:
            raise self.too_many


@asynccontextmanager
async def limited_guesses(context: RequestContext, hold_id: UUID, typed: str | None) -> AsyncIterator[Guesses]:
    """Around the trying of a code, so that nobody finds one by guessing: refused ones count, of an address and a hold.

    Counted before it is looked at: guesses made all at once are as many as those made in a row. Whoever looks at the
    code checks what is given; a repeat of a request that was answered does not.
    """
    guesses = Guesses()
    if typed is None:
        yield guesses
        return
    limits = {f"promo:{hold_id}": GUESSES_PER_HOLD}
    if context.limit_key is not None and context.services.policy.promo_guess_limit_per_address:
        limits[f"promo_from:{context.limit_key}"] = context.services.policy.promo_guess_limit_per_address
    limiter = context.services.limiter
    counted: list[str] = []
    is_guess = False
    try:
        for key, limit in limits.items():
            counted.append(key)
            wait_s = await limiter.hit(key, limit=limit, window_s=GUESS_WINDOW_S)
            if wait_s is not None:
                text = "Too many promo codes that are none. Try again later, or book without one."
                guesses.too_many = RateLimited(text, wait_s)
                break
        yield guesses
    except PromoRefused:
        is_guess = True
        raise
    finally:
        if not is_guess:
            for key in counted:
                await limiter.give_back(key, window_s=GUESS_WINDOW_S)
