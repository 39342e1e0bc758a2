"""From masks of free starts to slots: one for each start, end and price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial, reduce
from itertools import compress, repeat
from operator import add, and_, itemgetter, or_
from typing import NamedTuple, cast
from uuid import UUID

from app.domain.instants import at_minute
from app.domain.masks import bits
from app.domain.plan import Slot

_SlotRow = tuple[datetime, datetime, tuple[UUID, ...], int, int | None, None]
_new_slot = cast(Callable[[_SlotRow], Slot], partial(tuple.__new__, Slot))
"""From all fields in their order: half the time of `Slot(…)`, and months are made of a thousand."""


class Shared(NamedTuple):
    """People who share resources. `levels`: masks of the starts at which these suffice for two, three … of them."""

    people: frozenset[UUID]
    levels: tuple[int, ...]


class SlotGroup(NamedTuple):
    """Free starts of equal length and price: who is free when, and what keeps them from serving all at once."""

    duration_minutes: int
    price_minor: int | None
    people: Sequence[tuple[UUID, int]]
    """By id; nobody twice, no mask empty."""
    shared: Sequence[Shared] = ()

    @property
    def free(self) -> int:
        """When anyone is."""
        return reduce(or_, (mask for _, mask in self.people), 0)


def cut_group(group: SlotGroup, shift: int, cut: int) -> SlotGroup:
    """The bits from `shift` on that `cut` has; `people` may be empty then."""
    people = [(person, part) for person, mask in group.people if (part := mask >> shift & cut)]
    shared = [one._replace(levels=tuple(level >> shift & cut for level in one.levels)) for one in group.shared]
    return group._replace(people=people, shared=shared)


def slot_order(slot: Slot) -> tuple[object, ...]:
    """By start, end and price; a slot without a price comes last."""
    return slot.starts_at, slot.ends_at, slot.price_minor is None, slot.price_minor or 0


def slots_of_groups(groups: Iterable[SlotGroup], first: int) -> list[Slot]:
    """All slots, in `slot_order`. Bit 0 is the minute `first` since 1970."""
    found: list[Slot] = []
    many = False
    for group in groups:
        many = many or bool(found)
        found += _alone(group, first) if len(group.people) == 1 else _together(group, first)
    if many:
        found.sort(key=slot_order)
    return found


def _alone(group: SlotGroup, first: int) -> Iterable[Slot]:
    [(person, mask)] = group.people
    starts = list(map(at_minute, bits(mask, first)))
    ends = map(add, starts, repeat(timedelta(minutes=group.duration_minutes)))
    return map(_new_slot, zip(starts, ends, repeat((person,)), repeat(1), repeat(group.price_minor), repeat(None)))


def _together(group: SlotGroup, first: int) -> Iterable[Slot]:
    """Who is free at a start is read from a column of bits: one row for each person, then one for each level."""
    free = group.free
    starts = bits(free)
    if not starts:
        return []
    rows = [mask for _, mask in group.people] + [mask & free for one in group.shared for mask in one.levels]
    ids = [person for person, _ in group.people]
    known: dict[tuple[int, ...], tuple[tuple[UUID, ...], int]] = {}  # the same few sets of people come again and again
    who: list[tuple[UUID, ...]] = []
    remaining: list[int] = []
    for column in _columns(rows, starts):
        there = known.get(column)
        if there is None:
            free_there = tuple(compress(ids, column))
            there = known[column] = free_there, _remaining(group, free_there, column)
        who.append(there[0])
        remaining.append(there[1])
    starts_at = [at_minute(first + bit) for bit in starts]
    ends_at = map(add, starts_at, repeat(timedelta(minutes=group.duration_minutes)))
    return map(_new_slot, zip(starts_at, ends_at, who, remaining, repeat(group.price_minor), repeat(None)))


def _columns(rows: Sequence[int], starts: Sequence[int]) -> Iterable[tuple[int, ...]]:
    """For each start, what stands there in each row: 0, or any other number."""
    size = (starts[-1] >> 3) + 1
    # One place more than there are starts: with a single one `itemgetter` would give no tuple.
    pick = itemgetter(*(start >> 3 for start in starts), 0)
    signs = [1 << (start & 7) for start in starts]
    return zip(*(map(and_, pick(row.to_bytes(size, "little")), signs) for row in rows), strict=True)


def _remaining(group: SlotGroup, who: tuple[UUID, ...], column: tuple[int, ...]) -> int:
    if not group.shared:
        return len(who)
    remaining = len(who)
    at = len(group.people)
    for people, levels in group.shared:
        free = len(people.intersection(who))
        enough = 1 + sum(1 for sign in column[at : at + len(levels)] if sign)
        remaining -= free - min(free, enough)
        at += len(levels)
    return remaining
