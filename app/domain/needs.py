"""Rooms, equipment and people that a service needs: at which starts enough of them are free, and for how many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from app.domain.busy import Busy, BusyBySubject
from app.domain.instants import EPOCH, minute_ceil, minute_floor
from app.domain.masks import Span, at_least, counted, ones, span_mask
from app.domain.packed_busy import PackedBusy
from app.domain.plan import Need, ProviderPlan
from app.domain.schedule import DAY_MINUTES


def blocked_span(plan: ProviderPlan, busy: Busy) -> Span:
    """The starts, in minutes since 1970, that would meet this claim."""
    low = minute_floor(busy.busy_from) - plan.duration_minutes - plan.buffer_after + 1
    return low, minute_ceil(busy.busy_to) + plan.buffer_before


def blocked_on_axis(plan: ProviderPlan, busy: Iterable[Busy], first: int, past: int, now: datetime) -> int:
    """Starts of `first` … `past` - 1 that would meet a live claim."""
    # blocked_span, written out: this loop is most of the cost of a month with many bookings.
    before = plan.duration_minutes + plan.buffer_after - 1 + first
    after = plan.buffer_before - first
    if isinstance(busy, PackedBusy):
        return busy.mask(before, after, past - first, now)
    # minute_floor and minute_ceil (downwards, of the negative) without the calls.
    spans = [
        (
            (since := claim.busy_from - EPOCH).days * DAY_MINUTES + since.seconds // 60 - before,
            after - (back := EPOCH - claim.busy_to).days * DAY_MINUTES - back.seconds // 60,
        )
        for claim in busy
        if claim.busy_from < claim.busy_to and (claim.expires_at is None or claim.expires_at > now)
    ]
    return span_mask(spans, past - first) if spans else 0


def served(
    plan: ProviderPlan, busy_by_subject: BusyBySubject, axis: Span, now: datetime, most: int = 1
) -> tuple[int, ...]:
    """Masks of starts: the k-th (from 0) where the plan's needs can be met for k+1 services at once.

    At most `most` of them, none empty; each contains the next. Of a plan without needs: ones.
    """
    first, past = axis
    levels = [ones(past - first)] * most
    for need in plan.needs:
        blocked = [
            mask
            for unit in need.units
            if (claims := busy_by_subject.get(unit)) and (mask := blocked_on_axis(plan, claims, first, past, now))
        ]
        del levels[len(need.units) // need.quantity :]
        for k, level in enumerate(levels):
            levels[k] = level & ~_short(need, k + 1, blocked)
    return tuple(level for level in levels if level)


def _short(need: Need, times: int, blocked: Sequence[int]) -> int:
    """Where so many units are taken that not `times` times the quantity is left."""
    too_many = len(need.units) - need.quantity * times + 1
    if too_many > len(blocked):
        return 0
    return at_least(counted(blocked), too_many)


def short_needs(
    plan: ProviderPlan, busy_by_subject: BusyBySubject, axis: Span, now: datetime
) -> Iterator[tuple[Need, int]]:
    """Each need with the starts at which it cannot be met, where there are any."""
    first, past = axis
    for need in plan.needs:
        if len(need.units) < need.quantity:
            yield need, ones(past - first)
            continue
        blocked = [blocked_on_axis(plan, busy_by_subject.get(unit, ()), first, past, now) for unit in need.units]
        mask = _short(need, 1, blocked)
        if mask:
            yield need, mask
