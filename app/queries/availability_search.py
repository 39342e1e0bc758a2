"""Free slots for a search: the plan, the claims, and the engine's answer, all of one snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import ParamSpec, TypeVar
from uuid import UUID

from app.core.database import Tx
from app.domain import slots as engine
from app.domain.busy import Busy
from app.domain.errors import Alternatives, BadInput, NotFound, SlotSearch
from app.domain.free_times import FreeTimes
from app.domain.instants import local_date
from app.domain.limits import claims_window
from app.domain.live_codec import Cursor
from app.domain.search import AvailabilitySearch
from app.domain.slots import ProviderPlan, Slot, SlotRules, Window
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.busy import list_busy

ALTERNATIVES = 6
ALTERNATIVE_REACH = timedelta(days=14)
FURTHER_REACH = timedelta(days=62)
"""How much further alternatives are looked for when two weeks hold none."""
FEW_PEOPLE = 10
"""So many are searched in a few milliseconds."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FoundAvailability:
    """`times` makes slots when they are asked for; `cursor` is where a subscription takes over."""

    search: AvailabilitySearch
    plan: ServicePlan
    times: FreeTimes
    cursor: Cursor
    now: datetime


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


async def aside(people: int, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Few people at once; many in a thread, so that everybody else's requests go on meanwhile."""
    if people <= FEW_PEOPLE:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def horizon(plans: Sequence[ProviderPlan], rules: SlotRules) -> datetime:
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
    """The nearest are among them."""
    plans, rules = plan.plans(search.duration_minutes), plan.rules(now, for_staff=search.for_staff)
    earliest, end = now + timedelta(minutes=rules.notice_minutes), horizon(plans, rules)
    if earliest >= end:
        return []
    around = min(max(search.around, earliest), end)
    window = Window(max(earliest, around - ALTERNATIVE_REACH), min(around + ALTERNATIVE_REACH, end))
    busy = await _claims(tx, plan, plans, window)
    found = engine.nearest_slots(plans, busy, window, rules, instant=search.around, count=ALTERNATIVES)
    if found or window.to_utc >= end:
        return found
    later = Window(window.to_utc, min(window.to_utc + FURTHER_REACH, end))
    busy = await _claims(tx, plan, plans, later)
    first = engine.first_slot(plans, busy, later, rules)
    if first is None:
        return []
    return engine.slots(plans, busy, Window(first.starts_at, first.starts_at + timedelta(days=1)), rules)


async def _claims(
    tx: Tx, plan: ServicePlan, plans: Sequence[ProviderPlan], window: Window
) -> dict[UUID, Collection[Busy]]:
    """What takes the time of the service's people and resources, as far as it matters in the window. One statement."""
    known = claims_window(plans, window)
    busy = await list_busy(tx, plan.busy_subjects, known.from_utc, known.to_utc)
    return {subject: claims.values() for subject, claims in busy.items()}
