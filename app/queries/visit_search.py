"""Free starts for several services in one visit: the plans, the claims, and the engine's answer, of one snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from app.core.database import Tx
from app.domain import visits as engine
from app.domain.busy import Busy
from app.domain.errors import BadInput
from app.domain.free_times import FreeTimes, Spend
from app.domain.instants import local_date
from app.domain.live_codec import RESTART, Cursor
from app.domain.search import AvailabilitySearch
from app.domain.slots import MAXIMUM_WINDOW_DAYS, Slot, Window, horizon_end
from app.queries.availability import UNNUMBERED_LIMIT
from app.queries.busy import list_busy
from app.queries.visit import VisitPlan, get_visit_plan

FIRST_LOOK = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class FoundVisits:
    """As `availability_search.FoundAvailability`, of a visit."""

    search: AvailabilitySearch
    plan: VisitPlan
    times: FreeTimes
    cursor: Cursor
    now: datetime


async def get_visit_plan_of(tx: Tx, search: AvailabilitySearch, now: datetime) -> VisitPlan:
    """The services with hours as far as the horizon. Raises NotFound; BadInput for what they do not allow."""
    today = local_date(now, search.time_zone)
    plan = await get_visit_plan(
        tx,
        search.items,
        search.provider_ids,
        min(search.from_date, today),
        max(search.to_date, date.fromordinal(today.toordinal() + MAXIMUM_WINDOW_DAYS)),
        hidden_is_missing=True,
    )
    errors = plan.faults(search.party_size)
    if errors.found:
        raise BadInput(errors.found)
    return plan


async def find_visits(
    tx: Tx, search: AvailabilitySearch, now: datetime, spend: Spend = lambda _count: None
) -> FoundVisits:
    """One statement for each service, one for the claims. Raises NotFound, BadInput."""
    plan = await get_visit_plan_of(tx, search, now)
    window, items = search.window(), plan.plans()
    busy = await read_claims(tx, plan, window)
    try:
        groups = await asyncio.to_thread(engine.visit_groups, items, busy, window, plan.rules(now))
    except engine.TooManyCombinations as fault:
        raise BadInput.at("input.items", str(fault)) from None
    times = FreeTimes(groups, window, search.time_zone, spend)
    return FoundVisits(search, plan, times, cursor_of_visit(plan, now), now)


async def find_next_visit_beyond(tx: Tx, found: FoundVisits) -> Slot | None:
    """The first visit after a window that has none, as far as the horizon. A month is read at first, then more."""
    items, rules = found.plan.plans(), found.plan.rules(found.now)
    start = max(found.search.window().to_utc, found.now)
    end = max((horizon_end(rules, plan.time_zone) for plan in items[0]), default=start)
    reach = FIRST_LOOK
    while start < end:
        part = Window(start, min(start + reach, end))
        busy = await read_claims(tx, found.plan, part)
        slot = await asyncio.to_thread(engine.first_visit, items, busy, part, rules)
        if slot is not None:
            return slot
        start, reach = part.to_utc, 2 * reach
    return None


async def read_claims(tx: Tx, plan: VisitPlan, window: Window) -> dict[UUID, Collection[Busy]]:
    """What takes the time of the visit's people and resources. One statement."""
    known = engine.visit_claims_window(plan.plans(), window)
    busy = await list_busy(tx, plan.busy_subjects, known.from_utc, known.to_utc)
    return {subject: claims.values() for subject, claims in busy.items()}


def cursor_of_visit(plan: VisitPlan, now: datetime) -> Cursor:
    """Where the event log stood when the first service was read: what came after is told once more at worst."""
    if len(plan.first.unnumbered) >= UNNUMBERED_LIMIT:
        return RESTART
    return Cursor(position=plan.first.position, at=now, seen=plan.unnumbered_here)
