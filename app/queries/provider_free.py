"""When offers of many providers are free, by the slot engine itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.core.database import Tx
from app.domain import slots as engine
from app.domain.busy import Busy
from app.domain.instants import at_minute
from app.domain.limits import claims_window
from app.domain.masks import lowest
from app.domain.plan import ProviderPlan, Window
from app.domain.provider_search import FreeTime
from app.queries.availability import PROVIDER_LIMIT, ServicePlan, get_service_plans
from app.queries.busy import list_busy

Offers = Mapping[UUID, Sequence[UUID]]
"""Services, each with providers."""
Offer = tuple[UUID, UUID]
"""A service and a provider of it."""


class SoonestSlot(NamedTuple):
    """The first free start of a provider, and of which service. `price_minor` none: by quote."""

    starts_at: datetime
    ends_at: datetime
    service_id: UUID
    price_minor: int | None
    currency: str


@dataclass(frozen=True, slots=True)
class OfferFacts:
    """Plans of the services (several of one with many providers), and whose time is taken as far as it matters in a
    window."""

    services: tuple[ServicePlan, ...]
    busy: Mapping[UUID, Collection[Busy]]


async def read_offers(tx: Tx, offers: Offers, window: Window) -> OfferFacts:
    """Two statements."""
    from_date, to_date = window.from_utc.date(), (window.to_utc + timedelta(days=1)).date()
    asked = [
        (service_id, provider_ids[start : start + PROVIDER_LIMIT])
        for service_id, provider_ids in sorted(offers.items())
        for start in range(0, len(provider_ids), PROVIDER_LIMIT)
    ]
    services = await get_service_plans(tx, asked, from_date, to_date, unnumbered_limit=0)
    plans = [plan for service in services for plan in service.plans(None)]
    subjects = {subject for plan in plans for subject in plan.subjects()}
    known = claims_window(plans, window)
    busy = await list_busy(tx, subjects, known.from_utc, known.to_utc) if subjects else {}
    return OfferFacts(tuple(services), {subject: claims.values() for subject, claims in busy.items()})


def first_slots(facts: OfferFacts, free: FreeTime, now: datetime) -> dict[Offer, SoonestSlot]:
    """The first free slot of each offer that has one, of the services that were read alone.

    A fifth of a millisecond for each offer and two months: call it outside of transactions, and in a thread.
    """
    window = free.window()
    first, _ = engine.axis(window)
    found: dict[Offer, SoonestSlot] = {}
    for service in facts.services:
        if free.party_size > service.max_group_size:
            continue
        rules = service.rules(now)
        for plan in service.plans(free.duration_minutes):
            bit = lowest(engine.free_mask(plan, facts.busy, window, rules))
            if bit is not None:
                found[service.service_id, plan.provider_id] = _slot(service, plan, first + bit)
    return found


def soonest_of_each(slots: Mapping[Offer, SoonestSlot]) -> dict[UUID, SoonestSlot]:
    """By provider."""
    found: dict[UUID, SoonestSlot] = {}
    for (_, provider_id), slot in slots.items():
        known = found.get(provider_id)
        if known is None or (slot.starts_at, slot.service_id) < (known.starts_at, known.service_id):
            found[provider_id] = slot
    return found


def _slot(service: ServicePlan, plan: ProviderPlan, minute: int) -> SoonestSlot:
    ends_at = at_minute(minute + plan.duration_minutes)
    return SoonestSlot(at_minute(minute), ends_at, service.service_id, plan.price_minor, service.currency)
