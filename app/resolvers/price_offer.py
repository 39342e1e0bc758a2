"""Prices by quote: staff make them, their customers answer by a secret link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import price_offer as commands
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.errors import BadInput, NotFound
from app.domain.price_offer import UNUSED, OfferStatus
from app.domain.price_quote import total_of
from app.models import PriceOffer
from app.queries.pagination import Page, PageRequest, count_rows, fetch_page
from app.queries.price_offer import OFFER_SORT, SeenOffer, get_offer, list_uses, select_offers
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import role_of
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate


@dataclass(frozen=True, slots=True)
class ShownOffer:
    """`token`: its customer's secret link, for those who may give it or have it."""

    seen: SeenOffer
    status: OfferStatus
    token: str


def _shown(context: RequestContext, seen: SeenOffer) -> ShownOffer:
    record = seen.record
    token = context.services.tokens.price_offer_token(record.id, record.access_version)
    return ShownOffer(seen, seen.status(context.now()), token)


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────


async def read_price_offer(context: RequestContext, offer_id: UUID | None, token: str | None) -> ShownOffer:
    """By id for staff, by its secret link for anybody. Raises NotFound, BadInput."""
    wanted = offer_id
    if token is not None:
        wanted = TokenSigner.named_by(token)
        if wanted is None or offer_id not in {None, wanted}:
            raise NotFound
    if wanted is None:
        raise BadInput.at("id", "give an id, an accessToken, or both")
    async with context.read(Door.PRICE_OFFER, wanted) as (tx, tenancy):
        seen = await get_offer(tx, wanted)
        if token is not None:
            commands.require_link(context.services.tokens, seen.record, token)
        else:
            role_of(tenancy)
    return _shown(context, seen)


async def total_minor(context: RequestContext, record: PriceOffer) -> int:
    """What the customer pays at this price, with the tax where it is added, by the terms of today."""
    key = (record.organization_id, record.organization_id)
    book = await context.loaders.price_book_by_organization_id.load(key)
    return total_of(book.terms(record.currency), record.amount_minor)


@dataclass(frozen=True, slots=True)
class PriceOfferList:
    """An organization's prices by quote, for its staff."""

    context: RequestContext
    organization_id: UUID

    async def page(self, request: PageRequest) -> Page[ShownOffer] | None:
        """Three statements. None for a stranger."""
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            if not tenancy.is_staff:
                return None
            found = await fetch_page(tx, select_offers(self.organization_id), OFFER_SORT, request)
            uses = await list_uses(tx, [record for record, _ in found.items])
        items = tuple(
            (_shown(self.context, SeenOffer(record, uses.get(record.id, UNUSED))), cursor)
            for record, cursor in found.items
        )
        return Page(items, found.has_next, found.has_previous)

    async def count(self) -> int:
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            role_of(tenancy)
            return await count_rows(tx, select_offers(self.organization_id))


# ── changing ──────────────────────────────────────────────────────────────────────────────────────────


async def create_price_offer(
    context: RequestContext,
    service_id: UUID,
    provider_id: UUID | None,
    values: Mapping[str, Any],
    idempotency_key: str | None,
) -> ShownOffer:
    """Raises Unauthenticated, InvalidInput, NotFound, IdempotencyConflict."""
    context.require_viewer()
    facts = commands.FORM.clean(values)

    async def command(tx: Tx, tenancy: Tenancy) -> SeenOffer:
        return await commands.create_price_offer(
            tx,
            tenancy.organization_id,
            context.actor(role_of(tenancy).value),
            facts,
            service_id=service_id,
            provider_id=provider_id,
            now=context.now(),
        )

    async def again(tx: Tx, tenancy: Tenancy, known: dict[str, Any]) -> SeenOffer:
        role_of(tenancy)
        return await get_offer(tx, UUID(known["id"]))

    request = {**facts, "service_id": service_id, "provider_id": provider_id}
    at = (Door.SERVICE, service_id)
    return await _change(
        context, "createPriceQuote", at, request=request, key=idempotency_key, command=command, again=again
    )


async def withdraw_price_offer(context: RequestContext, offer_id: UUID, idempotency_key: str | None) -> ShownOffer:
    """Raises Unauthenticated, NotFound, NotAllowed, IdempotencyConflict."""
    context.require_viewer()

    async def command(tx: Tx, tenancy: Tenancy) -> SeenOffer:
        actor = context.actor(role_of(tenancy).value)
        return await commands.withdraw_price_offer(tx, tenancy.organization_id, actor, offer_id, now=context.now())

    async def again(tx: Tx, tenancy: Tenancy, _known: dict[str, Any]) -> SeenOffer:
        role_of(tenancy)
        return await get_offer(tx, offer_id)

    at = (Door.PRICE_OFFER, offer_id)
    return await _change(
        context, "withdrawPriceQuote", at, request=offer_id, key=idempotency_key, command=command, again=again
    )


async def answer_price_offer(
    context: RequestContext, token: str, accepts: bool, idempotency_key: str | None
) -> ShownOffer:
    """By whoever has the secret link. Raises NotFound, NotAllowed, IdempotencyConflict."""
    offer_id = TokenSigner.named_by(token)
    if offer_id is None:
        raise NotFound
    tokens = context.services.tokens

    async def command(tx: Tx, _tenancy: Tenancy) -> SeenOffer:
        return await commands.answer_price_offer(
            tx, tokens, offer_id, token, accepts=accepts, actor=context.actor("customer"), now=context.now()
        )

    async def again(tx: Tx, _tenancy: Tenancy, _known: dict[str, Any]) -> SeenOffer:
        seen = await get_offer(tx, offer_id)
        commands.require_link(tokens, seen.record, token)
        return seen

    operation = "acceptPriceQuote" if accepts else "declinePriceQuote"
    at = (Door.PRICE_OFFER, offer_id)
    return await _change(context, operation, at, request=token, key=idempotency_key, command=command, again=again)


async def _change(
    context: RequestContext,
    operation: str,
    at: tuple[Door, UUID],
    *,
    request: object,
    key: str | None,
    command: Callable[[Tx, Tenancy], Awaitable[SeenOffer]],
    again: Callable[[Tx, Tenancy, dict[str, Any]], Awaitable[SeenOffer]],
) -> ShownOffer:
    remembered = Remembered(facts=lambda made: {"id": str(made.record.id)}, again=again)
    seen = await mutate(
        context, operation, at=at, request=request, idempotency_key=key, command=command, remembered=remembered
    )
    return _shown(context, seen)
