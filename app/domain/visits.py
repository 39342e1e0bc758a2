"""Several services in one visit, in their order and without a pause.

The visit's start lies on the grid of the first service and inside notice and horizon. Every service lies in its own
provider's hours, outside breaks, and meets nobody else's claim, need or limit. Within a visit neither people nor
resources get in one another's way: buffers between its own services count for nothing.
A limit of bookings is asked about once for each service as it stands before the visit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.domain.busy import BusyBySubject
from app.domain.claims import Part
from app.domain.closed import outside_hours, service_span
from app.domain.explain import reasons_of_claims
from app.domain.instants import minute_ceil, minute_floor
from app.domain.limits import claims_window
from app.domain.masks import lowest
from app.domain.plan import ProviderPlan, Refusal, Slot, SlotRules, UnavailableReason, Window
from app.domain.refusals import why_not
from app.domain.slots import SEARCH_STEP
from app.domain.visit_masks import Items, VisitMasks, visit_masks

__all__ = ["Items", "assignments", "first_visit", "visit_claims_window", "visit_slots", "why_not_visit"]

# ── searching ─────────────────────────────────────────────────────────────────────────────────────────


def visit_claims_window(items: Items, window: Window) -> Window:
    """Service starts of the claims that must be known: as `limits.claims_window`, as far as the last item reaches."""
    reach = timedelta(minutes=sum(max((plan.duration_minutes for plan in plans), default=0) for plans in items))
    return claims_window([plan for plans in items for plan in plans], Window(window.from_utc, window.to_utc + reach))


def visit_slots(items: Items, busy_by_subject: BusyBySubject, window: Window, rules: SlotRules) -> list[Slot]:
    """Starts of the whole visit, one for each start, end and price, in `slot_order`.

    `provider_ids` are all who take part in one of the ways to do it so; `remaining` is 1. Raises TooManyCombinations,
    never where each service has one provider.
    """
    masks = visit_masks(items, busy_by_subject, window, rules)
    return masks.slots(masks.free)


def first_visit(items: Items, busy_by_subject: BusyBySubject, window: Window, rules: SlotRules) -> Slot | None:
    """The first of `visit_slots(…)`, found without computing the rest. Raises TooManyCombinations."""
    start = window.from_utc
    while start < window.to_utc:
        step = Window(start, min(start + SEARCH_STEP, window.to_utc))
        masks = visit_masks(items, busy_by_subject, step, rules)
        earliest = lowest(masks.free)
        if earliest is not None:
            return masks.first_slot(earliest)
        start = step.to_utc
    return None


# ── choosing ──────────────────────────────────────────────────────────────────────────────────────────


def assignments(
    items: Items,
    starts_at: datetime,
    rules: SlotRules,
    busy_by_subject: BusyBySubject | None = None,
    *,
    prefer: Callable[[ProviderPlan], Any] = lambda _plan: 0,
) -> Iterator[tuple[Part, ...]]:
    """Every way to do the visit from this start on, best first; none: it cannot be had.

    Who takes part already goes before others, so that a customer meets few people; then the lowest `prefer` (anything
    that can be compared, such as how many bookings one has), then the id. Without `busy_by_subject` claims are not
    asked about. There may be very many ways: take as many as you will try.
    """
    masks = _masks_at(items, starts_at, rules, busy_by_subject)
    if masks.free:
        yield from _ways(items, masks, prefer, starts_at, ())


def _masks_at(items: Items, starts_at: datetime, rules: SlotRules, busy_by_subject: BusyBySubject | None) -> VisitMasks:
    """Of the visit from one instant on, bit 0; of no start at all where that has seconds."""
    if busy_by_subject is None:
        items = [[replace(plan, needs=()) for plan in plans] for plans in items]  # what is taken is another's matter
    until = starts_at if minute_floor(starts_at) < minute_ceil(starts_at) else starts_at + timedelta(minutes=1)
    return visit_masks(items, busy_by_subject or {}, Window(starts_at, until), rules)


def _ways(
    items: Items,
    masks: VisitMasks,
    prefer: Callable[[ProviderPlan], Any],
    starts_at: datetime,
    chosen: tuple[Part, ...],
) -> Iterator[tuple[Part, ...]]:
    """Those that go on from what is chosen. Only what can be finished is begun."""
    place = len(chosen)
    if place == len(items):
        yield chosen
        return
    begins = chosen[-1].ends_at if chosen else starts_at
    able = masks.able(place, (begins - starts_at) // timedelta(minutes=1))
    present = {part.plan.provider_id for part in chosen}
    candidates = sorted(
        (plan for plan, is_able in zip(items[place], able, strict=True) if is_able),
        key=lambda plan: (plan.provider_id not in present, prefer(plan), plan.provider_id),
    )
    for plan in candidates:
        yield from _ways(items, masks, prefer, starts_at, (*chosen, Part(plan, begins)))


def why_not_visit(
    items: Items, starts_at: datetime, rules: SlotRules, busy_by_subject: BusyBySubject | None = None
) -> tuple[int, Refusal] | None:
    """The first item that nobody can do, with the reason; None: the visit can be had. Agrees with `visit_slots`."""
    masks = _masks_at(items, starts_at, rules, busy_by_subject)
    if masks.free:
        return None
    place, minutes = masks.stuck()
    begins = starts_at + timedelta(minutes=minutes)
    if not items[place]:
        return place, Refusal(UnavailableReason.INACTIVE, "Nobody offers this service now.")
    last = max(items[place], key=lambda plan: plan.provider_id)
    if place == 0:
        refusal = why_not(last, begins, rules, busy_by_subject)
    else:
        refusal = _why_not_following(last, begins, rules.now, busy_by_subject)
    if refusal is None:
        raise AssertionError("what the masks leave out has a reason")
    return place, refusal


def _why_not_following(
    plan: ProviderPlan, starts_at: datetime, now: datetime, busy_by_subject: BusyBySubject | None
) -> Refusal | None:
    """Of an item that is not the first: neither grid nor notice nor horizon."""
    outside = outside_hours(plan, service_span(plan, starts_at))
    if outside is not None:
        return Refusal(outside, "The provider does not work then.")
    if busy_by_subject is None:
        return None
    reason = next(reasons_of_claims(plan, starts_at, now, busy_by_subject), None)
    return None if reason is None else Refusal(reason.reason, reason.message)
