"""When offers of many providers are free, by the slot engine itself."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.core.database import Tx
from app.domain import slots as engine
from app.domain.busy import Busy
from app.domain.instants import at_minute
from app.domain.limits import claims_window
from app.domain.masks import lowest
from app.domain.plan import ProviderPlan, Window
from app.domain.provider_search import FreeTime
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.busy import list_busy

Offers = Mapping[UUID, Sequence[UUID]]
"""Services, each with providers (at most 200)."""


@dataclass(frozen=True, slots=True)
class SoonestSlot:
    """The first free start of a provider, and of which service. `price_minor` none: by quote."""

    starts_at: datetime
    ends_at: datetime
    service_id: UUID
    price_minor: int | None
    currency: str


@dataclass(frozen=True, slots=True)
class OfferFacts:
    """Plans of the services, and whose time is taken as far as it matters in a window."""

    services: tuple[ServicePlan, ...]
    busy: Mapping[UUID, Collection[Busy]]


async def read_offers(tx: Tx, offers: Offers, window: Window) -> OfferFacts:
    """One statement for each service, and one more."""
    from_date, to_date = window.from_utc.date(), (window.to_utc + timedelta(days=1)).date()
    services = [
        await get_service_plan(tx, service_id, provider_ids, from_date, to_date)
        for service_id, provider_ids in sorted(offers.items())
    ]
    plans = [plan for service in services for plan in service.plans(None)]
    subjects = {subject for plan in plans for subject in plan.subjects()}
    known = claims_window(plans, window)
    busy = await list_busy(tx, subjects, known.from_utc, known.to_utc) if subjects else {}
    return OfferFacts(tuple(services), {subject: claims.values() for subject, claims in busy.items()})


async def find_first_slots(tx: Tx, offers: Offers, free: FreeTime, now: datetime) -> dict[UUID, SoonestSlot]:
    """The first free slot of each provider who has one, of the given services alone. Statements as `read_offers`."""
    window = free.window()
    facts = await read_offers(tx, offers, window)
    return await asyncio.to_thread(_first_slots, facts, free, window, now)


def _first_slots(facts: OfferFacts, free: FreeTime, window: Window, now: datetime) -> dict[UUID, SoonestSlot]:
    first, _ = engine.axis(window)
    found: dict[UUID, SoonestSlot] = {}
    for service in facts.services:
        if free.party_size > service.max_group_size:
            continue
        rules = service.rules(now)
        for plan in service.plans(free.duration_minutes):
            bit = lowest(engine.free_mask(plan, facts.busy, window, rules))
            if bit is None:
                continue
            slot = _slot(service, plan, first + bit)
            known = found.get(plan.provider_id)
            if known is None or (slot.starts_at, slot.service_id) < (known.starts_at, known.service_id):
                found[plan.provider_id] = slot
    return found


def _slot(service: ServicePlan, plan: ProviderPlan, minute: int) -> SoonestSlot:
    ends_at = at_minute(minute + plan.duration_minutes)
    return SoonestSlot(at_minute(minute), ends_at, service.service_id, plan.price_minor, service.currency)
