"""Free slots for a search on the hot path: one statement, and what was computed before where it still holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from uuid import UUID

from app.domain import slots as engine
from app.domain.errors import BadInput, NotFound
from app.domain.free_times import FreeTimes, GroupedSlots, Spend
from app.domain.instants import at_minute
from app.domain.live_codec import RESTART, Cursor
from app.domain.masks import lowest
from app.domain.plan import Slot, SlotRules, Window
from app.domain.search import AvailabilitySearch
from app.domain.slots import PlanMask
from app.queries.availability import ServicePlan
from app.queries.availability_facts import Facts, FactsAnswer, FactsQuestion
from app.queries.availability_search import FoundAvailability, aside, horizon
from app.queries.facts_cache import Entry, FactsReader, KeptMasks
from app.queries.look_ahead import FIRST_LOOK, look_ahead


async def find_free_times(
    reader: FactsReader, search: AvailabilitySearch, now: datetime, *, user_id: UUID | None, spend: Spend
) -> FoundAvailability:
    """One statement. Raises NotFound; BadInput for what the service does not allow.

    `spend` is told how many slots the answer will have before they are made, and may raise.
    """
    window = search.window()
    answer, entry = await reader.read(FactsQuestion.of(search.service_id, search.provider_ids, window), now, user_id)
    plan = _allowed(answer.facts, search)
    masks = await _masks(answer.facts, entry, search.duration_minutes, window, plan.rules(now))
    return FoundAvailability(
        search,
        plan,
        FreeTimes(GroupedSlots(masks, window, now), window, search.time_zone, spend),
        _cursor(answer, now),
        now,
    )


async def find_next_beyond(reader: FactsReader, found: FoundAvailability, user_id: UUID | None) -> Slot | None:
    """The first free slot after a window that has none, as far as the horizon.

    One statement for one provider. Of many people a month is read at first, then twice as much each time: a year of
    them all would be many rows to find a slot of next week.
    """
    search, now = found.search, found.now
    plans, rules = found.plan.plans(search.duration_minutes), found.plan.rules(now)
    start, end = max(search.window().to_utc, now), horizon(plans, rules)

    async def look(part: Window) -> Slot | None:
        question = FactsQuestion.of(search.service_id, search.provider_ids, part)
        answer, _ = await reader.read(question, now, user_id)
        offered = answer.facts.service.plan.plans(search.duration_minutes)
        return await aside(len(offered), engine.first_slot, offered, answer.facts.busy, part, rules)

    return await look_ahead(look, start, end, end - start if len(plans) == 1 else FIRST_LOOK)


def _allowed(facts: Facts, search: AvailabilitySearch) -> ServicePlan:
    plan = facts.service.plan
    wanted = search.provider_ids
    if not plan.is_active or (wanted is not None and not facts.service.visible.issuperset(wanted)):
        raise NotFound
    errors = plan.faults(search.duration_minutes, search.party_size)
    if errors.found:
        raise BadInput(errors.found)
    return plan


def _cursor(answer: FactsAnswer, now: datetime) -> Cursor:
    if not answer.can_resume:
        return RESTART
    return Cursor(position=answer.position, at=now, seen=frozenset(answer.waiting))


async def _masks(
    facts: Facts, entry: Entry | None, duration_minutes: int | None, window: Window, rules: SlotRules
) -> Sequence[PlanMask]:
    """Each plan's free starts: those that were computed before, and anew what a change has touched."""
    plan = facts.service.plan
    if entry is None:
        plans = plan.plans(duration_minutes)
        return await aside(len(plans), engine.free_masks, plans, facts.busy, window, rules)
    key = (duration_minutes, window, rules.notice_minutes, rules.maximum_advance_days)
    kept = entry.masks.get(key)
    if kept is not None and not kept.holds_at(rules.now):
        kept = None
    if kept is not None and kept.facts is facts:
        return kept.masks
    plans, known = plan.plans(duration_minutes), {} if kept is None else _still_good(kept, facts)
    anew = [plan for plan in plans if (mask := known.get(plan.provider_id)) is None or mask.plan != plan]
    if any(plan.needs for plan in anew):
        anew = list(plans)  # how many could be served at once depends on all who need the same things
    computed = await aside(len(anew), engine.free_masks, anew, facts.busy, window, rules)
    known |= {mask.plan.provider_id: mask for mask in computed}
    masks = [known[plan.provider_id] for plan in plans]
    entry.keep_masks(key, KeptMasks(facts, masks, rules.now, _changes_at(facts, masks, window, rules)))
    return masks


def _still_good(kept: KeptMasks, facts: Facts) -> dict[UUID, PlanMask]:
    outdated = kept.outdated(facts)
    return {mask.plan.provider_id: mask for mask in kept.masks if outdated.isdisjoint(mask.plan.subjects())}


def _changes_at(facts: Facts, masks: Sequence[PlanMask], window: Window, rules: SlotRules) -> datetime | None:
    """When time alone changes them."""
    bit = lowest(reduce(or_, (mask.free for mask in masks), 0))
    earliest = None if bit is None else at_minute(engine.axis(window)[0] + bit)
    lapsing = {subject: packed.details for subject, packed in facts.busy.items() if packed.details}
    return engine.next_boundary([mask.plan for mask in masks], lapsing, window, rules, earliest)
