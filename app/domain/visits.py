"""Several services in one visit, in their order and without a pause.

The visit's start lies on the grid of the first service and inside notice and horizon. Every service lies in its own
provider's hours, outside breaks, and meets nobody else's claim, need or limit. Within a visit neither people nor
resources get in one another's way: buffers between its own services count for nothing.
A limit of bookings is asked about once for each service as it stands before the visit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.busy import BusyBySubject
from app.domain.claims import Part
from app.domain.closed import outside_hours, service_span
from app.domain.explain import reasons_of_claims
from app.domain.instants import at_minute
from app.domain.limits import claims_window
from app.domain.masks import lowest, ones
from app.domain.plan import ProviderPlan, Refusal, Slot, SlotRules, UnavailableReason, Window, axis
from app.domain.refusals import why_not
from app.domain.slot_list import Shared, SlotGroup, cut_group, slots_of_groups
from app.domain.slots import SEARCH_STEP, following_masks, free_masks

MAXIMUM_COMBINATIONS = 4_000
"""Of lengths and prices, for one item after those before it. More is refused: nobody could read the answer."""

Items = Sequence[Sequence[ProviderPlan]]
"""For each service of the visit, everyone who can do it, each with their own length and price."""

_Total = tuple[int, int | None]
"""Minutes and price of several services; without a price (None) where one of them has none."""


class TooManyCombinations(ValueError):
    """People of so many lengths and prices that the visit's are beyond counting: somebody has to be named."""


class _Kind(NamedTuple):
    """Those who do one item at one length and price: minutes, price, their masks, and any of them."""

    minutes: int
    price_minor: int | None
    people: list[tuple[UUID, int]]
    anyone: int


# ── searching ─────────────────────────────────────────────────────────────────────────────────────────


def visit_claims_window(items: Items, window: Window) -> Window:
    """Service starts of the claims that must be known: as `limits.claims_window`, as far as the last item reaches."""
    reach = timedelta(minutes=sum(max((plan.duration_minutes for plan in plans), default=0) for plans in items))
    return claims_window([plan for plans in items for plan in plans], Window(window.from_utc, window.to_utc + reach))


def visit_slots(items: Items, busy_by_subject: BusyBySubject, window: Window, rules: SlotRules) -> list[Slot]:
    """Starts of the whole visit, one for each start, end and price, in `slot_order`.

    `provider_ids` are all who take part in one of the ways to do it so; `remaining` is 1. Raises TooManyCombinations.
    """
    first, _ = axis(window)
    return slots_of_groups(visit_groups(items, busy_by_subject, window, rules), first)


def count_visits(groups: Iterable[SlotGroup]) -> int:
    """How many slots they make, without making them."""
    return sum(group.free.bit_count() for group in groups)


def first_visit(items: Items, busy_by_subject: BusyBySubject, window: Window, rules: SlotRules) -> Slot | None:
    """The first of `visit_slots(…)`, found without computing the rest."""
    start = window.from_utc
    while start < window.to_utc:
        step = Window(start, min(start + SEARCH_STEP, window.to_utc))
        groups = visit_groups(items, busy_by_subject, step, rules)
        earliest = min((bit for bit in (lowest(group.free) for group in groups) if bit is not None), default=None)
        if earliest is not None:
            there = [cut_group(group, earliest, 1) for group in groups if group.free >> earliest & 1]
            return slots_of_groups(there, axis(step)[0] + earliest)[0]
        start = step.to_utc
    return None


def visit_groups(items: Items, busy_by_subject: BusyBySubject, window: Window, rules: SlotRules) -> list[SlotGroup]:
    """The visit's free starts by its whole length and price. Bit 0 is the window's first whole minute."""
    first, past = axis(window)
    length = past - first
    if not items or not length:
        return []
    kinds = _kinds(items, busy_by_subject, window, rules)
    before = _forward(kinds, ones(length))
    after = _backward(kinds)
    found: dict[_Total, dict[UUID, int]] = {}
    for place, of_item in enumerate(kinds):
        for prefix, reached in before[place].items():
            for kind in of_item:
                so_far = _add(prefix, kind)
                for suffix, goes_on in after[place + 1].items():
                    possible = reached & goes_on >> so_far[0]
                    if not possible & kind.anyone >> prefix[0]:
                        continue
                    who = found.setdefault((so_far[0] + suffix[0], _sum(so_far[1], suffix[1])), {})
                    for person, mask in kind.people:
                        taking_part = possible & mask >> prefix[0]
                        if taking_part:
                            who[person] = who.get(person, 0) | taking_part
    return [
        SlotGroup(minutes, price_minor, sorted(who.items()), (Shared(frozenset(who), ()),))
        for (minutes, price_minor), who in found.items()
    ]


def _kinds(items: Items, busy_by_subject: BusyBySubject, window: Window, rules: SlotRules) -> list[list[_Kind]]:
    """Bit 0 of all masks is the window's first minute; those of later items reach beyond its end."""
    first, past = axis(window)
    kinds: list[list[_Kind]] = []
    reach = 0
    for place, plans in enumerate(items):
        if place == 0:
            masks = [(one.plan, one.free) for one in free_masks(plans, busy_by_subject, window, rules)]
        else:
            later = Window(at_minute(first), at_minute(past + reach))
            masks = [(one.plan, one.free) for one in following_masks(plans, busy_by_subject, later, rules.now)]
        reach += max((plan.duration_minutes for plan in plans), default=0)
        grouped: dict[_Total, list[tuple[UUID, int]]] = {}
        for plan, mask in masks:
            if mask:
                grouped.setdefault((plan.duration_minutes, plan.price_minor), []).append((plan.provider_id, mask))
        of_item: list[_Kind] = []
        for (minutes, price_minor), people in grouped.items():
            anyone = 0
            for _, mask in people:
                anyone |= mask
            of_item.append(_Kind(minutes, price_minor, people, anyone))
        kinds.append(of_item)
    return kinds


def _forward(kinds: Sequence[Sequence[_Kind]], everywhere: int) -> list[dict[_Total, int]]:
    """For each place, by the total of the items before it: starts of the visit from which these can be done."""
    before: list[dict[_Total, int]] = [{(0, 0): everywhere}]
    for of_item in kinds:
        reached: dict[_Total, int] = {}
        _check_combinations(before[-1], of_item)
        for prefix, mask in before[-1].items():
            for kind in of_item:
                possible = mask & kind.anyone >> prefix[0]
                if possible:
                    total = _add(prefix, kind)
                    reached[total] = reached.get(total, 0) | possible
        before.append(reached)
    return before


def _backward(kinds: Sequence[Sequence[_Kind]]) -> list[dict[_Total, int]]:
    """For each place, by the total of the items from it on: their starts at which these can be done."""
    after: list[dict[_Total, int]] = [{(0, 0): -1}]  # after the last item: any time will do
    for of_item in reversed(kinds):
        reached: dict[_Total, int] = {}
        _check_combinations(after[-1], of_item)
        for suffix, mask in after[-1].items():
            for kind in of_item:
                possible = kind.anyone & mask >> kind.minutes
                if possible:
                    total = _add(suffix, kind)
                    reached[total] = reached.get(total, 0) | possible
        after.append(reached)
    after.reverse()
    return after


def _check_combinations(totals: dict[_Total, int], of_item: Sequence[_Kind]) -> None:
    if len(totals) * len(of_item) > MAXIMUM_COMBINATIONS:
        raise TooManyCombinations("has too many combinations of lengths and prices; name a provider for some services")


def _add(total: _Total, kind: _Kind) -> _Total:
    return total[0] + kind.minutes, _sum(total[1], kind.price_minor)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


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
    return _ways(_Question(items, rules, busy_by_subject, prefer), 0, starts_at, (), set())


class _Question(NamedTuple):
    items: Items
    rules: SlotRules
    busy_by_subject: BusyBySubject | None
    prefer: Callable[[ProviderPlan], Any]

    def refusal(self, place: int, plan: ProviderPlan, starts_at: datetime) -> Refusal | None:
        if place == 0:
            return why_not(plan, starts_at, self.rules, self.busy_by_subject)
        return _why_not_following(plan, starts_at, self.rules.now, self.busy_by_subject)


def _ways(
    question: _Question,
    place: int,
    starts_at: datetime,
    chosen: tuple[Part, ...],
    hopeless: set[tuple[int, datetime]],
) -> Iterator[tuple[Part, ...]]:
    if place == len(question.items):
        yield chosen
        return
    if (place, starts_at) in hopeless:
        return
    present = {part.plan.provider_id for part in chosen}
    candidates = sorted(
        question.items[place],
        key=lambda plan: (plan.provider_id not in present, question.prefer(plan), plan.provider_id),
    )
    found = False
    for plan in candidates:
        if question.refusal(place, plan, starts_at) is None:
            part = Part(plan, starts_at)
            for way in _ways(question, place + 1, part.ends_at, (*chosen, part), hopeless):
                found = True
                yield way
    if not found:
        hopeless.add((place, starts_at))  # what comes after depends on nothing that was chosen before


def why_not_visit(
    items: Items, starts_at: datetime, rules: SlotRules, busy_by_subject: BusyBySubject | None = None
) -> tuple[int, Refusal] | None:
    """The first item that nobody can do, with the reason; None: the visit can be had. Agrees with `visit_slots`."""
    question = _Question(items, rules, busy_by_subject, lambda _plan: 0)
    reached = {starts_at}
    for place, plans in enumerate(items):
        following: set[datetime] = set()
        refusal = Refusal(UnavailableReason.INACTIVE, "Nobody offers this service now.")
        for plan in sorted(plans, key=lambda one: one.provider_id):
            for begins in sorted(reached):
                against = question.refusal(place, plan, begins)
                if against is None:
                    following.add(begins + timedelta(minutes=plan.duration_minutes))
                else:
                    refusal = against
        if not following:
            return place, refusal
        reached = following
    return None


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
