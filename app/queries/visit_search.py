"""Free starts for several services in one visit: the plans and the claims of one snapshot, and the engine's answer.

Nothing is computed while a transaction is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias
from uuid import UUID

from app.core.database import Tx
from app.domain.busy import Busy
from app.domain.errors import BadInput
from app.domain.free_times import FreeTimes, Spend
from app.domain.instants import local_date
from app.domain.live_codec import RESTART, Cursor
from app.domain.search import AvailabilitySearch
from app.domain.slots import MAXIMUM_WINDOW_DAYS, Slot, Window
from app.domain.visit_masks import visit_masks, work_of_masks
from app.domain.visits import first_visit, visit_claims_window
from app.queries.availability import UNNUMBERED_LIMIT
from app.queries.availability_search import horizon
from app.queries.busy import list_busy
from app.queries.look_ahead import look_ahead
from app.queries.visit import VisitPlan, get_visit_plan

Claims: TypeAlias = dict[UUID, Collection[Busy]]
Snapshot: TypeAlias = Callable[[], AbstractAsyncContextManager[Tx]]
"""Opens a read-only transaction inside the organization."""


@dataclass(frozen=True, slots=True)
class FoundVisits:
    """As `availability_search.FoundAvailability`, of a visit."""

    search: AvailabilitySearch
    plan: VisitPlan
    times: FreeTimes
    cursor: Cursor
    now: datetime
    spend: Spend


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


async def find_visits(snapshot: Snapshot, search: AvailabilitySearch, now: datetime, spend: Spend) -> FoundVisits:
    """One statement for the services, one for the claims. Raises NotFound, BadInput.

    `spend` is told what the answer costs, in slots, before it is computed, and may raise.
    """
    window = search.window()
    async with snapshot() as tx:
        plan = await get_visit_plan_of(tx, search, now)
        items = plan.plans()
        spend(work_of_masks(items, window))
        busy = await read_claims(tx, plan, window)
    masks = await asyncio.to_thread(visit_masks, items, busy, window, plan.rules(now))
    times = FreeTimes(masks, window, search.time_zone, spend)
    return FoundVisits(search, plan, times, cursor_of_visit(plan, now), now, spend)


async def find_next_visit_beyond(snapshot: Snapshot, found: FoundVisits) -> Slot | None:
    """The first visit after a window that has none, as far as the horizon. Raises BadInput when it costs too much."""
    items, rules = found.plan.plans(), found.plan.rules(found.now)

    async def look(part: Window) -> Slot | None:
        found.spend(work_of_masks(items, part))
        async with snapshot() as tx:
            busy = await read_claims(tx, found.plan, part)
        return await asyncio.to_thread(first_visit, items, busy, part, rules)

    return await look_ahead(look, max(found.search.window().to_utc, found.now), horizon(items[0], rules))


async def read_claims(tx: Tx, plan: VisitPlan, window: Window) -> Claims:
    """What takes the time of the visit's people and resources. One statement."""
    known = visit_claims_window(plan.plans(), window)
    busy = await list_busy(tx, plan.busy_subjects, known.from_utc, known.to_utc)
    return {subject: claims.values() for subject, claims in busy.items()}


def cursor_of_visit(plan: VisitPlan, now: datetime) -> Cursor:
    """Where the event log stood when the first service was read: what came after is told once more at worst."""
    if len(plan.first.unnumbered) >= UNNUMBERED_LIMIT:
        return RESTART
    return Cursor(position=plan.first.position, at=now, seen=plan.unnumbered_here)
