"""Free slots for a search: the plan, the claims, and the engine's answer, all of one snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import ParamSpec, TypeVar
from uuid import UUID

from app.core.database import Tx
from app.domain import slots as engine
from app.domain.busy import Busy
from app.domain.errors import Alternatives, BadInput, NotFound, SlotSearch
from app.domain.instants import local_date
from app.domain.live_codec import RESTART, Cursor
from app.domain.search import AvailabilitySearch
from app.domain.slots import ProviderPlan, Slot, SlotRules, Window
from app.queries.availability import UNNUMBERED_LIMIT, BusyByProvider, ServicePlan, get_service_plan, list_busy

ALTERNATIVES = 6
ALTERNATIVE_REACH = timedelta(days=14)
FURTHER_REACH = timedelta(days=62)
"""How much further alternatives are looked for when two weeks hold none."""
FIRST_LOOK = timedelta(days=31)
FEW_PEOPLE = 10
"""So many are searched in a few milliseconds."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FoundAvailability:
    """`slots` are ordered by start; `cursor` is where a subscription takes over."""

    plan: ServicePlan
    slots: list[Slot]
    days: list[tuple[date, list[Slot]]]
    next_available: Slot | None
    cursor: Cursor


async def get_plan_of(tx: Tx, search: AvailabilitySearch, now: datetime) -> ServicePlan:
    """The service with hours as far as its horizon. Raises NotFound; BadInput for what the service does not allow."""
    today = local_date(now, search.time_zone)
    plan = await get_service_plan(
        tx,
        search.service_id,
        search.provider_ids,
        min(search.from_date, today),
        max(search.to_date, date.fromordinal(today.toordinal() + engine.MAXIMUM_WINDOW_DAYS)),
        hidden_is_missing=True,
    )
    if not plan.is_active:
        raise NotFound
    errors = plan.faults(search.duration_minutes, search.party_size)
    if errors.found:
        raise BadInput(errors.found)
    return plan


async def find_availability(
    tx: Tx, search: AvailabilitySearch, now: datetime, spend: Callable[[int], None] = lambda _count: None
) -> FoundAvailability:
    """For one provider at most three statements: the plan, the claims, and those beyond a window that is full.

    `spend` is told how many slots the answer will have before they are made, and may raise.
    """
    plan = await get_plan_of(tx, search, now)
    window = search.window()
    busy = await list_busy(tx, plan.provider_ids, window.from_utc, window.to_utc) if plan.offers else {}
    plans, rules = plan.plans(search.duration_minutes), plan.rules(now)
    masks = await _aside(len(plans), engine.free_masks, plans, _claims(busy), window, rules)
    spend(engine.count_slots(masks))
    found = engine.slots_of_masks(masks, window)
    return FoundAvailability(
        plan=plan,
        slots=found,
        days=engine.split_by_day(found, search.from_date, search.to_date, search.time_zone),
        next_available=found[0] if found else await _next_beyond(tx, plan, search, window, now),
        cursor=cursor_of(plan, now),
    )


def cursor_of(plan: ServicePlan, now: datetime) -> Cursor:
    """Where the event log stood in the snapshot that gave this plan."""
    if len(plan.unnumbered) >= UNNUMBERED_LIMIT:
        return RESTART
    return Cursor(position=plan.position, at=now, seen=plan.unnumbered_here)


async def _next_beyond(
    tx: Tx, plan: ServicePlan, search: AvailabilitySearch, window: Window, now: datetime
) -> Slot | None:
    """The first free slot from the window's end to the horizon.

    One statement for one provider. Of many people a month is read at first, then twice as much each time: a year of
    them all would be many rows to find a slot of next week.
    """
    rules, plans = plan.rules(now), plan.plans(search.duration_minutes)
    start, end = max(window.to_utc, now), _horizon(plans, rules)
    reach = end - start if len(plans) == 1 else FIRST_LOOK
    while start < end:
        part = Window(start, min(start + reach, end))
        busy = await list_busy(tx, plan.provider_ids, part.from_utc, part.to_utc)
        slot = await _aside(len(plans), engine.first_slot, plans, _claims(busy), part, rules)
        if slot is not None:
            return slot
        start, reach = part.to_utc, 2 * reach
    return None


async def _aside(people: int, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Few people at once; many in a thread, so that everybody else's requests go on meanwhile."""
    if people <= FEW_PEOPLE:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def _horizon(plans: Sequence[ProviderPlan], rules: SlotRules) -> datetime:
    """No start lies from here on."""
    return max((engine.horizon_end(rules, plan.time_zone) for plan in plans), default=rules.now)


async def nearest_slots(tx: Tx, search: SlotSearch, now: datetime) -> Alternatives:
    """The free slots nearest to a refused one: of the same people first, of anyone where those have none.

    Looked for within two weeks around it, or around the nearest instant that can be booked at all. Two statements for
    each group of people; one more where two weeks hold nothing, for the first slot after them.
    """
    found: list[Slot] = []
    plan = None
    for provider_ids in dict.fromkeys((search.provider_ids, None)):
        plan = await get_service_plan(
            tx, search.service_id, provider_ids, now.date(), now.date() + timedelta(days=engine.MAXIMUM_WINDOW_DAYS)
        )
        found = await _around(tx, plan, search, now)
        if found:
            break
    assert plan is not None
    return Alternatives(tuple(engine.nearest(found, search.around, ALTERNATIVES)), plan.currency)


async def _around(tx: Tx, plan: ServicePlan, search: SlotSearch, now: datetime) -> list[Slot]:
    plans, rules = plan.plans(search.duration_minutes), plan.rules(now, for_staff=search.for_staff)
    earliest, end = now + timedelta(minutes=rules.notice_minutes), _horizon(plans, rules)
    if earliest >= end:
        return []
    around = min(max(search.around, earliest), end)
    window = Window(max(earliest, around - ALTERNATIVE_REACH), min(around + ALTERNATIVE_REACH, end))
    busy = await list_busy(tx, plan.provider_ids, window.from_utc, window.to_utc)
    found = engine.slots(plans, _claims(busy), window, rules)
    if found or window.to_utc >= end:
        return found
    later = Window(window.to_utc, min(window.to_utc + FURTHER_REACH, end))
    busy = await list_busy(tx, plan.provider_ids, later.from_utc, later.to_utc)
    first = engine.first_slot(plans, _claims(busy), later, rules)
    if first is None:
        return []
    return engine.slots(plans, _claims(busy), Window(first.starts_at, first.starts_at + timedelta(days=1)), rules)


def _claims(busy: BusyByProvider) -> dict[UUID, list[Busy]]:
    return {provider_id: list(claims.values()) for provider_id, claims in busy.items()}
