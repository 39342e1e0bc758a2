"""The free slots of a search, day by day: nothing is made before it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property, reduce
from operator import or_
from typing import Protocol
from zoneinfo import ZoneInfo

from app.domain.instants import at_minute, day_bounds, minute_ceil
from app.domain.masks import bits, lowest, ones
from app.domain.plan import Slot, Window, axis
from app.domain.slot_list import SlotGroup, cut_group, slots_of_groups
from app.domain.slots import PlanMask, groups_of_masks

Spend = Callable[[int], None]
"""Told how many slots an answer will have before they are made; may raise."""


def for_nothing(_count: int) -> None:
    """Where nobody counts."""


class FreeSlots(Protocol):
    """Free starts of a window, and their slots on demand. Bit 0 of a mask is the window's first minute."""

    @property
    def free(self) -> int:
        """When anything starts."""

    @property
    def least_slots(self) -> int:
        """How many slots there are at least: the part of the cost that is known at once."""

    def slots(self, starts: int, spend: Spend) -> list[Slot]:
        """Those of some starts, in `slot_order`. `spend` is told of what `least_slots` left out."""

    def first_slot(self, bit: int) -> Slot:
        """The first of a free start."""


class GroupedSlots:
    """The FreeSlots of one service: by length and price. Prices are those of `now`, made when they are asked for."""

    def __init__(self, masks: Sequence[PlanMask], window: Window, now: datetime) -> None:
        self._masks = masks
        self._window = window
        self._now = now
        self._first_minute, _ = axis(window)
        self.free = reduce(or_, (one.free for one in masks), 0)

    @cached_property
    def _groups(self) -> list[SlotGroup]:
        return groups_of_masks(self._masks, self._window, self._now)

    @property
    def least_slots(self) -> int:
        """All of them: their number is known without making any."""
        return sum(group.free.bit_count() for group in self._groups)

    def slots(self, starts: int, _spend: Spend = for_nothing) -> list[Slot]:
        """Everything was counted by `least_slots`."""
        shift = lowest(starts)
        if shift is None:
            return []
        # The starts lie close together: work on the stretch from the first one on, not on the whole window.
        cut = starts >> shift
        part = [stretch for stretch in (cut_group(group, shift, cut) for group in self._groups) if stretch.people]
        return slots_of_groups(part, self._first_minute + shift)

    def first_slot(self, bit: int) -> Slot:
        """In `slot_order`."""
        return self.slots(1 << bit)[0]


class FreeTimes:
    """Free starts of a window. Days are local dates of the customer's zone."""

    def __init__(self, found: FreeSlots, window: Window, tz: ZoneInfo, spend: Spend) -> None:
        self._found = found
        self._tz = tz
        self._spend = spend
        self._is_paid = False
        self._first_minute, self._past_minute = axis(window)

    def has_slots(self, day: date) -> bool:
        """What a month's view asks: a shift of a number."""
        low, width = self._place(day)
        return self._found.free >> low & ones(width) != 0

    def starts(self, day: date) -> list[datetime]:
        """Each start once, rising."""
        self._pay()
        low, width = self._place(day)
        return list(map(at_minute, bits(self._found.free >> low & ones(width), self._first_minute + low)))

    def slots(self, day: date) -> list[Slot]:
        """In `slot_order`."""
        self._pay()
        low, width = self._place(day)
        return self._found.slots(self._found.free >> low << low & ones(low + width), self._spend)

    def first(self) -> Slot | None:
        """The first of them all."""
        bit = lowest(self._found.free)
        return None if bit is None else self._found.first_slot(bit)

    def _place(self, day: date) -> tuple[int, int]:
        """First bit of a local day, and how many it has; a day outside the window has none."""
        low, high = (minute_ceil(instant) for instant in day_bounds(day, self._tz))
        low, high = max(low, self._first_minute), min(high, self._past_minute)
        return max(0, low - self._first_minute), max(0, high - low)

    def _pay(self) -> None:
        """For the whole window, once: an answer that is too large is refused before its first day is made."""
        if not self._is_paid:
            self._spend(self._found.least_slots)
            self._is_paid = True


def dates_between(from_date: date, to_date: date) -> list[date]:
    """Every date, both included."""
    return [from_date + timedelta(days=number) for number in range((to_date - from_date).days + 1)]
