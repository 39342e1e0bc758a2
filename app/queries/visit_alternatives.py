"""What to offer instead of a refused visit of several services."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from app.core.database import Tx
from app.domain import visits as engine
from app.domain.errors import Alternatives, SlotSearch
from app.domain.plan import MAXIMUM_WINDOW_DAYS, Slot, Window
from app.domain.slots import nearest
from app.queries.availability_search import ALTERNATIVE_REACH, ALTERNATIVES, FURTHER_REACH, horizon
from app.queries.visit import VisitPlan, get_visit_plan
from app.queries.visit_search import read_claims


async def nearest_visits(tx: Tx, search: SlotSearch, now: datetime) -> Alternatives:
    """As `nearest_slots`: with the same people first, with anyone where those have no time for the whole visit."""
    found: list[Slot] = []
    plan = None
    for items in dict.fromkeys((search.items, tuple(replace(item, provider_id=None) for item in search.items))):
        dates = (now.date(), now.date() + timedelta(days=MAXIMUM_WINDOW_DAYS))
        plan = await get_visit_plan(tx, items, None, *dates, inactive_is_missing=False)
        found = await _around(tx, plan, search, now)
        if found:
            break
    assert plan is not None
    return Alternatives(tuple(nearest(found, search.around, ALTERNATIVES)), plan.currency)


async def _around(tx: Tx, plan: VisitPlan, search: SlotSearch, now: datetime) -> list[Slot]:
    items, rules = plan.plans(), plan.rules(now, for_staff=search.for_staff)
    earliest, end = now + timedelta(minutes=rules.notice_minutes), horizon(items[0], rules)
    if earliest >= end:
        return []
    around = min(max(search.around, earliest), end)
    window = Window(max(earliest, around - ALTERNATIVE_REACH), min(around + ALTERNATIVE_REACH, end))
    later = Window(window.to_utc, min(window.to_utc + FURTHER_REACH, end))
    try:
        busy = await read_claims(tx, plan, window)
        found = await asyncio.to_thread(engine.visit_slots, items, busy, window, rules)
        if found or window.to_utc >= end:
            return found
        busy = await read_claims(tx, plan, later)
        first = await asyncio.to_thread(engine.first_visit, items, busy, later, rules)
        if first is None:
            return []
        day = Window(first.starts_at, first.starts_at + timedelta(days=1))
        return await asyncio.to_thread(engine.visit_slots, items, busy, day, rules)
    except engine.TooManyCombinations:
        return []
