"""The arithmetic of a visit: when each service's people are free, and what that leaves for the visit as a whole.

Whether a visit can start somewhere is a matter of lengths alone: one shift and one `&` for each length of each service,
however many people and prices there are. Lengths and prices are combined only for starts that somebody wants to see as
slots, a day at a time, and how much work that is is known (and told to `spend`) before it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import NamedTuple
from uuid import UUID

from app.domain.busy import BusyBySubject
from app.domain.errors import BadInput, Violation
from app.domain.free_times import Spend, for_nothing
from app.domain.instants import at_minute, minute_ceil
from app.domain.masks import around, bits, lowest, ones
from app.domain.plan import ProviderPlan, Slot, SlotRules, Window, axis
from app.domain.schedule import DAY_MINUTES
from app.domain.slot_list import Shared, SlotGroup, slots_of_groups
from app.domain.slots import by_price, following_masks, free_masks
from app.domain.visit_doer import Doer

MAXIMUM_COMBINATIONS = 4_000
"""Of lengths and prices on one day, for one item after those before it. More is refused: nobody could read them."""
MAXIMUM_STEPS = 200_000
"""Most steps for one day's slots: about a tenth of a second."""
STEPS_OF_A_SLOT = 32
"""So many steps of the computation count as much as one slot of the answer."""
STEPS_OF_A_DAY = 2
"""Of one person in one item, for the masks."""

Items = Sequence[Sequence[ProviderPlan]]
"""For each service of the visit, everyone who can do it, each with their own length and price."""

_Total = tuple[int, int | None]
"""Minutes and price of several services; without a price (None) where one of them has none."""
_Ways = dict[_Total, dict[UUID, int]]
"""Who takes part in the ways that come to a total, and at which starts."""


class TooManyCombinations(BadInput):
    """People of so many lengths and prices that the visit's are beyond counting: somebody has to be named."""

    def __init__(self) -> None:
        message = "has too many combinations of lengths and prices; name a provider for some services"
        super().__init__([Violation("input.items", message)])


class _Kind(NamedTuple):
    """Those who do one item at one length and price: minutes, price, their masks, and any of them."""

    minutes: int
    price_minor: int | None
    people: list[tuple[UUID, int]]
    anyone: int


class VisitMasks:
    """All that is known of a visit's free starts in a window. A plain value, but for what it keeps once computed."""

    def __init__(self, items: Sequence[Sequence[Doer]], first: int, past: int) -> None:
        self.items = items
        self.first_minute = first
        """Of bit 0, since 1970."""
        self.lengths = [_anyone_by_length(doers) for doers in items]
        """For each item, when anybody can do it in so many minutes."""
        self._rest = _rest(self.lengths)
        self._tariff = next((doer.prices.plan.tariff for doers in items for doer in doers if doer.prices), None)
        """Of the organization: for tax and rounding, which are those of the whole visit."""
        self.free = self._rest[0] & ones(past - first) if items else 0
        """When the visit can start."""

    @property
    def least_slots(self) -> int:
        """How many slots there are at least: one for each start."""
        return self.free.bit_count()

    def slots(self, starts: int, spend: Spend = for_nothing) -> list[Slot]:
        """The slots of these starts, in `slot_order`.

        `spend` is told, day by day before they are made, of the slots beyond one for each start, and of the work.
        Raises TooManyCombinations.
        """
        found: list[Slot] = []
        for low, part in _days(starts & self.free):
            ways = self._taxed(_ways(self._useful(low, part)[0], part, spend))
            groups = [
                SlotGroup(*total, sorted(who.items()), (Shared(frozenset(who), ()),)) for total, who in ways.items()
            ]
            found += slots_of_groups(groups, self.first_minute + low)
        return found

    def _taxed(self, found: _Ways) -> _Ways:
        if self._tariff is None:
            return found
        taxed: _Ways = {}
        for (minutes, price_minor), who in found.items():
            known = taxed.setdefault((minutes, self._tariff.total_minor(price_minor)), {})
            for person, mask in who.items():
                known[person] = known.get(person, 0) | mask
        return taxed

    def first_slot(self, bit: int, *, cheapest: bool = False) -> Slot:
        """Of the slots at a free start the first: the shortest, and of these the cheapest. Or the other way round.

        Raises TooManyCombinations.
        """
        if self._tariff is not None and not self._tariff.keeps_apart:
            found = self.slots(1 << bit)  # different ways may come to the same price
            return min(found, key=by_price) if cheapest else found[0]
        kinds, ends = self._useful(bit, 1)
        end, price, who = _best(kinds, ends, cheapest=cheapest)
        total = price if self._tariff is None else self._tariff.total_minor(price)
        starts_at = at_minute(self.first_minute + bit)
        return Slot(starts_at, starts_at + timedelta(minutes=end), tuple(sorted(who)), 1, total)

    def nearest(self, instant: datetime, count: int) -> list[Slot]:
        """The cheapest slot of each of the `count` starts nearest to an instant, nearest first; or TooManyCombinations.

        Of two equally near, the earlier.
        """
        near = bits(around(self.free, minute_ceil(instant) - self.first_minute, count))
        near.sort(key=lambda bit: (abs(at_minute(self.first_minute + bit) - instant), bit))
        return [self.first_slot(bit, cheapest=True) for bit in near[:count]]

    def able(self, place: int, minutes: int) -> list[bool]:
        """Of an item's doers, who can do it so many minutes after the first minute, so that the visit can go on."""
        rest = self._rest[place + 1]
        return [bool(doer.free >> minutes & rest >> minutes + doer.minutes & 1) for doer in self.items[place]]

    def stuck(self) -> tuple[int, int]:
        """The first place to which a visit from the first minute on may come where nobody can go on, and the latest
        minute at which it comes there."""
        reached = 1
        for place, lengths in enumerate(self.lengths):
            following = reduce(or_, ((mask & reached) << minutes for minutes, mask in lengths.items()), 0)
            if not following:
                return place, reached.bit_length() - 1
            reached = following
        return 0, 0

    def _useful(self, low: int, starts: int) -> tuple[list[list[_Kind]], int]:
        """For each item, what can be part of a visit at one of these starts (bit 0 is the bit `low`), and the ends."""
        reached = starts
        useful: list[list[_Kind]] = []
        for doers, rest in zip(self.items, self._rest[1:], strict=True):
            width = ones(reached.bit_length() + max((doer.minutes for doer in doers), default=0))
            later = rest >> low & width
            following = 0
            people: dict[_Total, list[tuple[UUID, int]]] = {}
            for doer in doers:
                mask = doer.free >> low & reached & later >> doer.minutes
                if mask:
                    for price_minor, part in doer.by_price(mask, low):
                        people.setdefault((doer.minutes, price_minor), []).append((doer.provider_id, part))
                    following |= mask << doer.minutes
            useful.append([_Kind(*total, those, _any(those)) for total, those in people.items()])
            reached = following
        return useful, reached


def visit_masks(items: Items, busy_by_subject: BusyBySubject, window: Window, rules: SlotRules) -> VisitMasks:
    """The first item as any service; those that follow without grid, notice and horizon, beyond the window's end too.

    How much work that is says `work_of_masks`.
    """
    first, past = axis(window)
    if not items or first == past:
        return VisitMasks((), first, past)
    windows = item_windows(items, window)
    masks = [free_masks(items[0], busy_by_subject, window, rules)]
    for plans, later in zip(items[1:], windows[1:], strict=True):
        masks.append(following_masks(plans, busy_by_subject, later, rules.now))
    doers = [
        [Doer.of(one, axis(of_item), rules.now) for one in those] for those, of_item in zip(masks, windows, strict=True)
    ]
    return VisitMasks(doers, first, past)


def item_windows(items: Items, window: Window) -> list[Window]:
    """The starts of each item that a visit may have that begins in the window."""
    first, past = axis(window)
    windows = [window]
    for plans in items[:-1]:
        past += max((plan.duration_minutes for plan in plans), default=0)
        windows.append(Window(at_minute(first), at_minute(past)))
    return windows[: len(items)]


def work_of_masks(items: Items, window: Window) -> int:
    """What `visit_masks` costs, in slots."""
    steps = sum(
        len(plans) * STEPS_OF_A_DAY * -(-(past - first) // DAY_MINUTES)
        for plans, (first, past) in zip(items, map(axis, item_windows(items, window)), strict=True)
    )
    return steps // STEPS_OF_A_SLOT


# ── lengths alone ─────────────────────────────────────────────────────────────────────────────────────


def _anyone_by_length(doers: Iterable[Doer]) -> dict[int, int]:
    found: dict[int, int] = {}
    for doer in doers:
        if doer.free:
            found[doer.minutes] = found.get(doer.minutes, 0) | doer.free
    return found


def _rest(lengths: Sequence[dict[int, int]]) -> list[int]:
    """For each place, when the items from it on can be done."""
    rest = [-1]  # after the last item: any time will do
    for of_item in reversed(lengths):
        rest.append(reduce(or_, (mask & rest[-1] >> minutes for minutes, mask in of_item.items()), 0))
    rest.reverse()
    return rest


def _days(starts: int) -> Iterator[tuple[int, int]]:
    """The starts in stretches of at most a day: the first bit of each, and its starts from there on."""
    while (low := lowest(starts)) is not None:
        part = starts >> low & ones(DAY_MINUTES)
        yield low, part
        starts ^= part << low


# ── every slot of a day ───────────────────────────────────────────────────────────────────────────────


def _ways(kinds: Sequence[Sequence[_Kind]], starts: int, spend: Spend) -> _Ways:
    """By the visit's whole length and price. Of `kinds` everything is of use at one of the starts."""
    before = _forward(kinds, starts)
    after = _backward(kinds)
    _check_work(kinds, before, after, starts, spend)
    found: _Ways = {}
    for place, of_item in enumerate(kinds):
        for prefix, reached in before[place].items():
            for kind in of_item:
                here = reached & kind.anyone >> prefix[0]
                so_far = _add(prefix, kind)
                for suffix, goes_on in after[place + 1].items():
                    possible = here & goes_on >> so_far[0]
                    if not possible:
                        continue
                    who = found.setdefault((so_far[0] + suffix[0], _sum(so_far[1], suffix[1])), {})
                    for person, mask in kind.people:
                        taking_part = possible & mask >> prefix[0]
                        if taking_part:
                            who[person] = who.get(person, 0) | taking_part
    return found


def _check_work(
    kinds: Sequence[Sequence[_Kind]],
    before: Sequence[dict[_Total, int]],
    after: Sequence[dict[_Total, int]],
    starts: int,
    spend: Spend,
) -> None:
    """Before it is done. One start's slot was paid for already."""
    count = sum(mask.bit_count() for mask in before[-1].values())
    people = [[person for kind in of_item for person, _ in kind.people] for of_item in kinds]
    steps = sum(len(before[place]) * len(those) * len(after[place + 1]) for place, those in enumerate(people))
    if steps > MAXIMUM_STEPS:
        raise TooManyCombinations
    steps += count * len({person for those in people for person in those})  # each of them may be named in each slot
    spend(count - starts.bit_count() + steps // STEPS_OF_A_SLOT)


def _forward(kinds: Sequence[Sequence[_Kind]], starts: int) -> list[dict[_Total, int]]:
    """For each place, by the total of the items before it: starts of the visit from which these can be done."""
    before: list[dict[_Total, int]] = [{(0, 0): starts}]
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
        raise TooManyCombinations


def _add(total: _Total, kind: _Kind) -> _Total:
    return total[0] + kind.minutes, _sum(total[1], kind.price_minor)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _any(people: Iterable[tuple[UUID, int]]) -> int:
    return reduce(or_, (mask for _, mask in people), 0)


# ── the best slot of a start ──────────────────────────────────────────────────────────────────────────


def _best(kinds: Sequence[Sequence[_Kind]], ends: int, *, cheapest: bool) -> tuple[int, int | None, set[UUID]]:
    """Minutes, price, and who takes part in one of the ways to do it so. Bit 0 of all masks is the start.

    What has a price goes before what has none.
    """
    priced = [[kind for kind in of_item if kind.price_minor is not None] for of_item in kinds]
    costs = _least_costs(priced)
    shortest = (ends & -ends).bit_length() - 1
    end = min(costs[-1], key=lambda minutes: (costs[-1][minutes], minutes), default=shortest) if cheapest else shortest
    if end in costs[-1]:
        return end, costs[-1][end], _on_the_way(priced, costs, end)
    unpriced = [[kind._replace(price_minor=0) for kind in of_item] for of_item in kinds]
    return end, None, _on_the_way(unpriced, _least_costs(unpriced), end)


def _least_costs(kinds: Sequence[Sequence[_Kind]]) -> list[dict[int, int]]:
    """For each place, by the minutes of the items before it, their lowest price."""
    costs: list[dict[int, int]] = [{0: 0}]
    for of_item in kinds:
        if len(costs[-1]) * len(of_item) > MAXIMUM_STEPS:
            raise TooManyCombinations
        following: dict[int, int] = {}
        for minutes, cost in costs[-1].items():
            for kind in of_item:
                if kind.anyone >> minutes & 1:
                    total, price = minutes + kind.minutes, cost + (kind.price_minor or 0)
                    following[total] = min(price, following.get(total, price))
        costs.append(following)
    return costs


def _on_the_way(kinds: Sequence[Sequence[_Kind]], costs: Sequence[dict[int, int]], end: int) -> set[UUID]:
    """Who takes part in one of the cheapest ways to this end."""
    who: set[UUID] = set()
    wanted = {end}
    for place in range(len(kinds) - 1, -1, -1):
        before, after = costs[place], costs[place + 1]
        earlier: set[int] = set()
        for kind in kinds[place]:
            for minutes in wanted:
                begins = minutes - kind.minutes
                if begins not in before or before[begins] + (kind.price_minor or 0) != after[minutes]:
                    continue
                there = [person for person, mask in kind.people if mask >> begins & 1]
                if there:
                    who.update(there)
                    earlier.add(begins)
        wanted = earlier
    return who
