"""What to offer instead of a refused visit of several services."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.errors import Alternatives, SlotSearch
from app.domain.plan import MAXIMUM_WINDOW_DAYS, Slot, SlotRules, Window
from app.domain.visit_masks import TooManyCombinations, visit_masks, work_of_masks
from app.domain.visits import first_visit
from app.queries.availability_search import ALTERNATIVE_REACH, ALTERNATIVES, FURTHER_REACH, horizon
from app.queries.visit import VisitPlan, get_visit_plan
from app.queries.visit_search import Claims, Snapshot, read_claims

MOST_WORK = 6_000
"""In slots. Where it would take more, nothing is offered."""


async def nearest_visits(snapshot: Snapshot, search: SlotSearch, now: datetime) -> Alternatives:
    """As `nearest_slots`: with the same people first, with anyone where those have no time for the whole visit."""
    found: list[Slot] = []
    currency = ""
    for items in dict.fromkeys((search.items, tuple(replace(item, provider_id=None) for item in search.items))):
        dates = (now.date(), now.date() + timedelta(days=MAXIMUM_WINDOW_DAYS))
        async with snapshot() as tx:
            plan = await get_visit_plan(tx, items, None, *dates, inactive_is_missing=False)
        currency = plan.currency
        found = await _around(snapshot, plan, search, now)
        if found:
            break
    return Alternatives(tuple(found), currency)


async def _around(snapshot: Snapshot, plan: VisitPlan, search: SlotSearch, now: datetime) -> list[Slot]:
    """The cheapest slot of each of the nearest starts."""
    items, rules = plan.plans(), plan.rules(now, for_staff=search.for_staff)
    earliest, end = now + timedelta(minutes=rules.notice_minutes), horizon(items[0], rules)
    if earliest >= end:
        return []
    around = min(max(search.around, earliest), end)
    window = Window(max(earliest, around - ALTERNATIVE_REACH), min(around + ALTERNATIVE_REACH, end))
    later = Window(window.to_utc, max(window.to_utc, min(window.to_utc + FURTHER_REACH, end)))
    if work_of_masks(items, Window(window.from_utc, later.to_utc)) > MOST_WORK:
        return []
    try:
        async with snapshot() as tx:
            busy = await read_claims(tx, plan, window)
        found = await asyncio.to_thread(_nearest, plan, busy, window, rules, search.around)
        if found or window.to_utc >= end:
            return found
        async with snapshot() as tx:
            busy = await read_claims(tx, plan, later)
        first = await asyncio.to_thread(first_visit, items, busy, later, rules)
        if first is None:
            return []
        day = Window(first.starts_at, first.starts_at + timedelta(days=1))
        return await asyncio.to_thread(_nearest, plan, busy, day, rules, search.around)
    except TooManyCombinations:
        return []


def _nearest(plan: VisitPlan, busy: Claims, window: Window, rules: SlotRules, instant: datetime) -> list[Slot]:
    return visit_masks(plan.plans(), busy, window, rules).nearest(instant, ALTERNATIVES)
