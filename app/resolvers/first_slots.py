"""When offers are free first: asked once in an operation, however often its searches need it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from app.domain.provider_search import FreeTime
from app.queries.provider_free import Offer, Offers, SoonestSlot, first_slots, read_offers, soonest_of_each
from app.resolvers.context import RequestContext


class OfferKey(NamedTuple):
    """An offer of an organization, and the time within which its first free slot is wanted."""

    organization_id: UUID
    free: FreeTime
    offer: Offer


async def first_slots_of(
    context: RequestContext, organization_id: UUID, free: FreeTime, offers: Offers
) -> dict[UUID, SoonestSlot]:
    """Of each provider who has one, among those services. Raises BadInput when the operation asks for too many."""
    keys = [
        OfferKey(organization_id, free, (service_id, provider_id))
        for service_id, provider_ids in offers.items()
        for provider_id in provider_ids
    ]
    slots = await context.loaders.first_slot_by_offer.load_many(keys)
    found = zip(keys, slots, strict=True)
    return soonest_of_each({key.offer: slot for key, slot in found if slot is not None})


async def load_first_slots(context: RequestContext, keys: Sequence[OfferKey]) -> list[SoonestSlot | None]:
    """In the order of the keys. Three statements for each organization and time."""
    context.spend_offers(len(keys))
    asked: dict[tuple[UUID, FreeTime], dict[UUID, list[UUID]]] = {}
    for organization_id, free, (service_id, provider_id) in keys:
        asked.setdefault((organization_id, free), {}).setdefault(service_id, []).append(provider_id)
    found = dict(
        zip(asked, await asyncio.gather(*(_read(context, *where, asked[where]) for where in asked)), strict=True)
    )
    return [found[key.organization_id, key.free].get(key.offer) for key in keys]


async def _read(
    context: RequestContext, organization_id: UUID, free: FreeTime, offers: Offers
) -> Mapping[Offer, SoonestSlot]:
    async with context.read_bound(organization_id) as tx:
        facts = await read_offers(tx, offers, free.window())
    return await asyncio.to_thread(first_slots, facts, free, context.now())
