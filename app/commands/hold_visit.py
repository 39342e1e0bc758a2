"""Holding several services as one visit: all of them, one after the other, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from uuid import UUID

from app.commands.claim import claims_around, visit_taken
from app.commands.hold import HoldLimits, HoldRequest, claims_that_day, new_hold, refuse_quotes, try_hold
from app.commands.hold_price import HeldPart, price_of_parts
from app.core.database import Tx
from app.domain.busy import Busy
from app.domain.claims import LONGEST_VISIT, Part
from app.domain.errors import InvalidInput, SlotSearch, SlotUnavailable
from app.domain.plan import ProviderPlan, SlotRules
from app.domain.price_quote import NO_FEES, FeeRates
from app.domain.visits import Items, assignments, why_not_visit
from app.models import Hold
from app.queries.tenancy import Tenancy
from app.queries.visit import VisitPlan, get_visit_plan

ATTEMPTS = 3
"""How often others may be chosen after somebody was faster."""
WAYS_LOOKED_AT = 100
"""For one that is not too long: people may take different times for the same."""
DAY = timedelta(days=1)
_TOO_LONG = "last longer than a day together; book them as several visits"


async def hold_visit(
    tx: Tx,
    tenancy: Tenancy,
    request: HoldRequest,
    *,
    now: datetime,
    ttl: timedelta,
    limits: HoldLimits,
    user_id: UUID | None,
    address: str | None,
    fees: FeeRates = NO_FEES,
) -> Hold:
    """Two statements; where there is a choice of people, one more before each try; one more to say why.

    The price is that of all services, locked as that of one (`hold_price`). Staff need no notice and have no limit.
    Raises as `hold_slot`.
    """
    day = request.starts_at.date()
    visit = await get_visit_plan(tx, request.items, None, day, day + DAY, hidden_is_missing=not tenancy.is_staff)
    _check(visit, request.party_size)
    search = SlotSearch(
        organization_id=visit.first.organization_id,
        service_id=visit.first.service_id,
        provider_ids=None,
        around=request.starts_at,
        duration_minutes=None,
        party_size=request.party_size,
        for_staff=tenancy.is_staff,
        items=request.items,
    )
    items, rules = visit.plans(), visit.rules(now, for_staff=tenancy.is_staff)
    refuse_visit(items, request.starts_at, rules, search)
    outcome = ""
    parts: list[Part] = []
    for _ in range(ATTEMPTS):
        parts = await _choose(tx, items, request.starts_at, rules, search)
        held = [HeldPart(part, service) for part, service in zip(parts, visit.services, strict=True)]
        quote = await price_of_parts(tx, held, now=now, fees=fees, is_member=user_id is not None)
        hold = new_hold(visit.first.organization_id, quote, held, request.party_size, user_id=user_id)
        outcome = await try_hold(
            tx, tenancy, hold, parts, now=now, ttl=ttl, limits=limits, address=address, search=search
        )
        if outcome == "held":
            return hold
        if _is_named(items):
            break
    raise await visit_taken(tx, [[part.plan] for part in parts], request.starts_at, rules, search, outcome=outcome)


def _check(visit: VisitPlan, party_size: int) -> None:
    """What the services allow. Raises InvalidInput."""
    errors = visit.faults(party_size)
    for index, service in enumerate(visit.services):
        service.refuse_few(party_size, errors)
        refuse_quotes(service, f"input.items.{index}", errors)
    shortest = sum(min((plan.duration_minutes for plan in plans), default=0) for plans in visit.plans())
    if timedelta(minutes=shortest) > LONGEST_VISIT:
        errors.add("input.items", _TOO_LONG)
    errors.raise_any()


def refuse_visit(
    items: Items,
    starts_at: datetime,
    rules: SlotRules,
    search: SlotSearch,
    claims: Mapping[UUID, Sequence[Busy]] | None = None,
) -> None:
    """Raises SlotUnavailable with what is against the first service that cannot be had; without `claims`, its hours."""
    refused = why_not_visit(items, starts_at, rules, claims)
    if refused is not None:
        raise SlotUnavailable(refused[1].reason, refused[1].message, search)


async def _choose(tx: Tx, items: Items, starts_at: datetime, rules: SlotRules, search: SlotSearch) -> list[Part]:
    """Few people, and those who are least booked that day. Raises SlotUnavailable when nobody is free."""
    if _is_named(items):
        starts = _following(starts_at, [plans[0] for plans in items])
        return [Part(plans[0], start) for plans, start in zip(items, starts, strict=True)]
    claims = await claims_around(tx, items, starts_at)
    by_id = {plan.provider_id: plan for plans in items for plan in plans}

    @cache
    def taken(provider_id: UUID) -> int:
        return claims_that_day(claims.get(provider_id, ()), by_id[provider_id], starts_at, rules.now)

    is_possible = False
    ways = assignments(items, starts_at, rules, claims, prefer=lambda plan: taken(plan.provider_id))
    for way in islice(ways, WAYS_LOOKED_AT):
        is_possible = True
        if way[-1].ends_at - starts_at <= LONGEST_VISIT:
            return list(way)
    if is_possible:
        raise InvalidInput.at("input.items", f"{_TOO_LONG}, or name those who take less time")
    refuse_visit(items, starts_at, rules, search, claims)
    raise AssertionError("a visit that nothing is against has a way")


def _is_named(items: Items) -> bool:
    """Is there nobody to choose? Then the database decides at once."""
    return all(len(plans) == 1 for plans in items)


def _following(starts_at: datetime, plans: Iterable[ProviderPlan]) -> list[datetime]:
    """When each service starts."""
    starts = [starts_at]
    for plan in plans:
        starts.append(starts[-1] + timedelta(minutes=plan.duration_minutes))
    return [start for start, _ in pairwise(starts)]
