"""Outlooks that are due, and what they are now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from app.core.database import Tx
from app.domain import slots as engine
from app.domain.instants import EPOCH
from app.domain.masks import bits
from app.domain.outlook import COVERED_DAYS, RENEWED_DAYS, Outlook, outlook_of
from app.domain.plan import ProviderPlan, SlotRules, Window
from app.queries.provider_free import OfferFacts, read_offers

_DAY = timedelta(days=1)
_NO_HORIZON = COVERED_DAYS + 2
"""Days: the reader takes notice and horizon off."""


@dataclass(frozen=True, slots=True)
class DueOffer:
    """`marks` tells later whether the outlook was overtaken meanwhile."""

    provider_id: UUID
    service_id: UUID
    marks: int


@dataclass(frozen=True, slots=True)
class OfferOutlook:
    """`known_until` none: until an event. `covered_to`: minutes since 1970."""

    due: DueOffer
    known_until: datetime | None
    covered_to: int
    outlook: Outlook
    notice_minutes: int = 0
    horizon_days: int = 0
    duration_minutes: int = 0
    longest_minutes: int = 0
    largest_party: int = 0


# Each by its index: unknown ones and lapsed ones first, then those that reach no longer far enough.
_DUE = text(
    """
    (SELECT provider_id, service_id, marks FROM offer_outlook WHERE known_until <= turnero_now()
     ORDER BY known_until, organization_id LIMIT :most)
    UNION
    (SELECT provider_id, service_id, marks FROM offer_outlook WHERE covered_to < :renewed_to
     ORDER BY covered_to, organization_id LIMIT :most)
    LIMIT :most
    """
)


def days_from(now: datetime, days: int) -> datetime:
    """The midnight (UTC) so many days after today's."""
    return EPOCH + (now - EPOCH) // _DAY * _DAY + days * _DAY


def _minute(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(minutes=1)


async def read_now(tx: Tx) -> datetime:
    """The database's clock. One statement."""
    now: datetime = (await tx.execute(text("SELECT turnero_now()"))).scalar_one()
    return now


async def list_due_offers(tx: Tx, now: datetime, most: int) -> list[DueOffer]:
    """At most `most`. One statement."""
    parameters = {"most": most, "renewed_to": _minute(days_from(now, RENEWED_DAYS))}
    return [DueOffer(*row) for row in await tx.execute(_DUE, parameters)]


async def find_outlooks(tx: Tx, due: Sequence[DueOffer], now: datetime) -> list[OfferOutlook]:
    """One for each, at most 200. Two statements."""
    offers: dict[UUID, list[UUID]] = {}
    for one in due:
        offers.setdefault(one.service_id, []).append(one.provider_id)
    window = Window(now, days_from(now, COVERED_DAYS))
    facts = await read_offers(tx, offers, window)
    return await asyncio.to_thread(_calculate, facts, due, window)


def _calculate(facts: OfferFacts, due: Sequence[DueOffer], window: Window) -> list[OfferOutlook]:
    found: dict[tuple[UUID, UUID], OfferOutlook] = {}
    by_offer = {(one.provider_id, one.service_id): one for one in due}
    first, past = engine.axis(window)
    rules = SlotRules(window.from_utc, 0, _NO_HORIZON)
    for service in facts.services:
        longest = {offer.provider_id: service.lengths_of(offer)[1] for offer in service.offers}
        for plan in service.plans(None):
            mask = engine.free_mask(plan, facts.busy, window, rules)
            offer = (plan.provider_id, service.service_id)
            found[offer] = OfferOutlook(
                due=by_offer[offer],
                known_until=_lapses_at(facts, plan, window.from_utc),
                covered_to=past,
                outlook=outlook_of([first + bit for bit in bits(mask)]),
                notice_minutes=service.notice_minutes,
                horizon_days=service.maximum_advance_days,
                duration_minutes=plan.duration_minutes,
                longest_minutes=longest[plan.provider_id],
                largest_party=service.max_group_size,
            )
    nothing = Outlook()
    return [found.get(offer) or OfferOutlook(one, None, past, nothing) for offer, one in by_offer.items()]


def _lapses_at(facts: OfferFacts, plan: ProviderPlan, now: datetime) -> datetime | None:
    """When the first live hold on the provider's or a resource's time lapses."""
    claims = (claim for subject in plan.subjects() for claim in facts.busy.get(subject, ()))
    return min((c.expires_at for c in claims if c.expires_at is not None and c.expires_at > now), default=None)
