"""The free slots of a search, day by day: nothing is made before it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import reduce
from operator import or_
from zoneinfo import ZoneInfo

from app.domain.instants import at_minute, day_bounds, minute_ceil
from app.domain.masks import bits, lowest, ones
from app.domain.plan import Slot, Window, axis
from app.domain.slot_list import Shared, SlotGroup, slots_of_groups

Spend = Callable[[int], None]
"""Told how many slots an answer will have before they are made; may raise."""


class FreeTimes:
    """Free starts of a window by length and price. Days are local dates of the customer's zone."""

    def __init__(self, groups: Sequence[SlotGroup], window: Window, tz: ZoneInfo, spend: Spend) -> None:
        self._groups = groups
        self._any = reduce(or_, (group.free for group in groups), 0)
        self._tz = tz
        self._spend: Spend | None = spend
        self._first_minute, self._past_minute = axis(window)

    def has_slots(self, day: date) -> bool:
        """What a month's view asks: a shift of a number."""
        low, width = self._place(day)
        return self._any >> low & ones(width) != 0

    def starts(self, day: date) -> list[datetime]:
        """Each start once, rising."""
        self._pay()
        low, width = self._place(day)
        origin = self._first_minute + low
        return [at_minute(origin + bit) for bit in bits(self._any >> low & ones(width))]

    def slots(self, day: date) -> list[Slot]:
        """In `slot_order`."""
        self._pay()
        return self._slots_between(*self._place(day))

    def first(self) -> Slot | None:
        """The first of them all."""
        low = lowest(self._any)
        return None if low is None else self._slots_between(low, 1)[0]

    def _slots_between(self, low: int, width: int) -> list[Slot]:
        cut = ones(width)
        part = [stretch for stretch in (_stretch(group, low, cut) for group in self._groups) if stretch.people]
        return slots_of_groups(part, self._first_minute + low)

    def _place(self, day: date) -> tuple[int, int]:
        """First bit of a local day, and how many it has; a day outside the window has none."""
        low, high = (minute_ceil(instant) for instant in day_bounds(day, self._tz))
        low, high = max(low, self._first_minute), min(high, self._past_minute)
        return max(0, low - self._first_minute), max(0, high - low)

    def _pay(self) -> None:
        """For the whole window, once: an answer that is too large is refused before its first day is made."""
        if self._spend is not None:
            self._spend(sum(group.free.bit_count() for group in self._groups))
            self._spend = None


def _stretch(group: SlotGroup, low: int, cut: int) -> SlotGroup:
    """The same free starts from bit `low` on, as many as `cut` has ones."""
    people = [(person, mask >> low & cut) for person, mask in group.people]
    shared = [Shared(who, tuple(level >> low & cut for level in levels)) for who, levels in group.shared]
    return group._replace(people=[(person, mask) for person, mask in people if mask], shared=shared)


def dates_between(from_date: date, to_date: date) -> list[date]:
    """Every date, both included."""
    return [from_date + timedelta(days=number) for number in range((to_date - from_date).days + 1)]
