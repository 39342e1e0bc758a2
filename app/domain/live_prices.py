"""What a live view tells when prices change without any rule being changed: with time, and with what a day has."""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from operator import or_
from uuid import UUID

from app.domain import start_prices
from app.domain.instants import minute_ceil
from app.domain.limits import day_span
from app.domain.live_state import AvailabilityState, PlanView
from app.domain.masks import Span, span_mask
from app.domain.plan import axis


def next_price_change(state: AvailabilityState) -> datetime | None:
    """The earliest instant at which time alone may change a price that is shown."""
    first, _ = axis(state.config.window)
    views = (state.views[index] for index in state.priced)
    found = (start_prices.next_price_change(view.plan, first, state.now, view.free) for view in views)
    return min((instant for instant in found if instant is not None), default=None)


def price_differences(before: AvailabilityState, after: AvailabilityState, index: int) -> int:
    """Starts of one of the priced views, free in both states of one configuration, that cost something else now."""
    old, new = before.views[index], after.views[index]
    asked = old.free & new.free & _touched(before, after, new)
    if not asked:
        return 0
    if after.config.items:  # tax and rounding are those of the whole visit
        was, now = (dict(state.prices_of(view).by_item(asked)) for state, view in ((before, old), (after, new)))
    else:
        was, now = (dict(state.prices_of(view).by_total(asked)) for state, view in ((before, old), (after, new)))
    return asked ^ reduce(or_, (part & was.get(price, 0) for price, part in now.items()), 0)


def _touched(before: AvailabilityState, after: AvailabilityState, view: PlanView) -> int:
    """The starts whose lead time has passed a rule's bound, and those of days that have another load."""
    plan, (first, _) = view.plan, axis(after.config.window)
    assert plan.tariff is not None
    then, now = minute_ceil(before.now) - first, minute_ceil(after.now) - first
    spans = [(then + bound, now + bound) for bound in plan.tariff.lead_bounds] if then < now else []
    if plan.asks_occupancy:
        spans += _other_days(before, after, view)
    return span_mask(spans, view.width) if spans else 0


def _other_days(before: AvailabilityState, after: AvailabilityState, view: PlanView) -> list[Span]:
    plan, (first, _) = view.plan, axis(after.config.window)
    provider = plan.provider_id
    if before.busy[provider] is after.busy[provider] and not _has_lapsed(before, after, provider):
        return []
    was, now = before.loads_of(plan), after.loads_of(plan)
    days = [day for day in {*was, *now} if was.get(day) != now.get(day)]
    return [(low - first, high - first) for low, high in (day_span(day, plan.time_zone) for day in days)]


def _has_lapsed(before: AvailabilityState, after: AvailabilityState, provider: UUID) -> bool:
    return any(
        hold.expires_at is not None and before.holds_at < hold.expires_at <= after.holds_at
        for hold in after.holds.get(provider, ())
    )
