"""Providers and their offers: reading and changing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import offer as offer_commands
from app.commands import provider as commands
from app.core.database import Tx
from app.domain.provider_search import ProviderSort, ProviderWanted, check_wanted
from app.models import Offer, Provider
from app.queries.pagination import PageRequest
from app.queries.provider import get_offer, get_provider
from app.queries.provider_free import Offers, SoonestSlot
from app.queries.provider_search import ProviderSearch, SearchPage
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import change, change_as_admin, read_one, role_of
from app.resolvers.context import RequestContext
from app.resolvers.first_slots import first_slots_of
from app.resolvers.mutation import Remembered


async def read_provider(context: RequestContext, provider_id: UUID) -> Provider:
    """Raises NotFound."""
    return await read_one(
        context,
        Door.PROVIDER,
        provider_id,
        lambda tx, tenancy: get_provider(tx, provider_id, for_staff=tenancy.is_staff),
    )


@dataclass(frozen=True, slots=True)
class ProviderList:
    """A list of providers, page by page."""

    context: RequestContext
    organization_id: UUID
    wanted: ProviderWanted

    async def page(self, sort: ProviderSort, request: PageRequest) -> SearchPage:
        """Raises BadInput, NotFound, Unavailable."""
        check_wanted(self.wanted, sort)
        page = await self._search().page(sort, request)
        if page.tenancy is not None:
            self.context.loaders.prime_tenancy(page.tenancy)
        return page

    async def count(self) -> int:
        check_wanted(self.wanted)
        return await self._search().count()

    def _search(self) -> ProviderSearch:
        context = self.context

        async def ask(offers: Offers) -> Mapping[UUID, SoonestSlot]:
            assert self.wanted.free is not None
            return await first_slots_of(context, self.organization_id, self.wanted.free, offers)

        database = context.services.database
        return ProviderSearch(database, self.organization_id, context.user_id, context.now(), self.wanted, ask)


async def time_zone_of(context: RequestContext, provider: Provider) -> str:
    """The provider's own, else the venue's."""
    if provider.time_zone is not None:
        return provider.time_zone
    venue = await context.loaders.venue_by_id.load((provider.organization_id, provider.venue_id))
    return venue.time_zone


async def create_provider(
    context: RequestContext,
    venue_id: UUID,
    values: Mapping[str, Any],
    service_ids: Sequence[UUID],
    idempotency_key: str | None,
) -> Provider:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict; so do the others."""
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "createProvider",
        (Door.VENUE, venue_id),
        {**facts, "service_ids": service_ids},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.create_provider(
            tx, organization, actor, venue_id, facts, service_ids
        ),
        model=Provider,
    )


async def update_provider(
    context: RequestContext, provider_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> Provider:
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "updateProvider",
        (Door.PROVIDER, provider_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.update_provider(tx, organization, actor, provider_id, facts),
        model=Provider,
    )


async def set_provider_active(
    context: RequestContext, provider_id: UUID, is_active: bool, idempotency_key: str | None
) -> Provider:
    return await change(
        context,
        "reactivateProvider" if is_active else "deactivateProvider",
        (Door.PROVIDER, provider_id),
        {},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.set_provider_active(
            tx, organization, actor, provider_id, is_active
        ),
        model=Provider,
    )


# ── offers ────────────────────────────────────────────────────────────────────────────────────────────


async def _offer_again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> Offer:
    role_of(tenancy)
    return await get_offer(tx, UUID(facts["provider_id"]), UUID(facts["service_id"]))


_OFFER: Remembered[Offer] = Remembered(
    facts=lambda offer: {"provider_id": str(offer.provider_id), "service_id": str(offer.service_id)},
    again=_offer_again,
)


async def set_offer(
    context: RequestContext,
    provider_id: UUID,
    service_id: UUID,
    values: Mapping[str, Any],
    idempotency_key: str | None,
) -> Offer:
    context.require_viewer()
    facts = offer_commands.FORM.clean(values)
    return await change_as_admin(
        context,
        "setOffer",
        (Door.PROVIDER, provider_id),
        {"service_id": service_id, **facts},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: offer_commands.set_offer(
            tx, organization, actor, provider_id=provider_id, service_id=service_id, values=facts
        ),
        remembered=_OFFER,
    )


async def remove_offer(
    context: RequestContext, provider_id: UUID, service_id: UUID, idempotency_key: str | None
) -> Offer:
    return await change_as_admin(
        context,
        "removeOffer",
        (Door.PROVIDER, provider_id),
        {"service_id": service_id},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: offer_commands.remove_offer(
            tx, organization, actor, provider_id, service_id
        ),
        remembered=_OFFER,
    )
