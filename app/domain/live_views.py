"""How the views of a live state are computed and kept: by the spans that an event touches where that is enough.

A plan without needs and limits is `simple`: a claim touches only the starts near it. Other plans, and visits, are
computed anew by the engine when something of theirs changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from app.domain.busy import Busy
from app.domain.instants import at_minute, day_bounds, local_date, minute_ceil
from app.domain.live_state import AvailabilityState, BusyMap, PlanView, ViewConfig
from app.domain.masks import Span, lowest, ones, span_mask
from app.domain.plan import ProviderPlan, SlotRules, axis, bookable_range, horizon_end
from app.domain.slots import blocked_mask, blocked_span, fits_mask, free_masks
from app.domain.visits import visit_groups


def computed(config: ViewConfig, busy: BusyMap, now: datetime) -> AvailabilityState:
    """The state from nothing."""
    kept = {subject: dict(busy.get(subject, {})) for subject in config.subjects()}
    views = tuple(_view(config, plan, kept, now) for plan in config.plans)
    return anew(AvailabilityState(config, kept, views, (), now), now, config.rules(now))


def _view(config: ViewConfig, plan: ProviderPlan, busy: BusyMap, now: datetime) -> PlanView:
    low, high = bookable_range(plan, config.window, config.rules(now))
    view = PlanView(plan, 0, 0, low, high, _next_day_at(plan, now))
    if not view.is_simple:
        return view
    fits = fits_mask(plan, config.window)
    blocked = blocked_mask(plan, busy[plan.provider_id].values(), config.window, now)
    return replace(view, fits=fits, free=fits & ~blocked & (ones(high - low) << low))


def _next_day_at(plan: ProviderPlan, now: datetime) -> datetime:
    return day_bounds(local_date(now, plan.time_zone), plan.time_zone)[1]


# ── by the engine ─────────────────────────────────────────────────────────────────────────────────────


def anew(state: AvailabilityState, live_at: datetime, rules: SlotRules) -> AvailabilityState:
    """With all that is not simple computed once more, from the claims that live at an instant."""
    if not state.config.items and all(view.is_simple for view in state.views):
        return state
    busy = {
        subject: [claim for claim in by_id.values() if claim.is_live(live_at)] for subject, by_id in state.busy.items()
    }
    if state.config.items:
        groups = visit_groups(state.config.items, busy, state.config.window, rules)
        return replace(state, visits=tuple(groups))
    plans = [view.plan for view in state.views if not view.is_simple]
    masks = iter(free_masks(plans, busy, state.config.window, rules))
    views: list[PlanView] = []
    for view in state.views:
        if not view.is_simple:
            _, free, served = next(masks)
            view = replace(view, free=free, served=served)  # noqa: PLW2901
        views.append(view)
    return replace(state, views=tuple(views))


# ── claims ────────────────────────────────────────────────────────────────────────────────────────────


def refreshed(state: AvailabilityState, subject_id: UUID, touched: Sequence[Busy], now: datetime) -> AvailabilityState:
    """After these claims of a subject came, went or lapsed by `now`; notice and horizon stay where they are."""
    first, _ = axis(state.config.window)
    claims = state.busy[subject_id].values()
    views = list(state.views)
    is_shared = bool(state.config.items)
    for index, view in enumerate(views):
        if not view.is_simple:
            is_shared = is_shared or subject_id in view.plan.subjects()
        elif view.plan.provider_id == subject_id:
            for claim in touched:
                view = _again(view, claims, first, now, blocked_span(view.plan, claim))  # noqa: PLW2901
            views[index] = view
    after = replace(state, views=tuple(views))
    return anew(after, now, state.config.rules(state.now)) if is_shared else after


def _again(view: PlanView, claims: Iterable[Busy], first: int, now: datetime, span: Span) -> PlanView:
    """The same view with the starts of `span` (minutes since 1970) computed anew."""
    low, high = max(span[0] - first, view.low), min(span[1] - first, view.high)
    if low >= high:
        return view
    # Instants are compared before minutes are made of them: most claims are far away.
    plan = view.plan
    from_utc = at_minute(first + low - plan.buffer_before)
    to_utc = at_minute(first + high + plan.duration_minutes + plan.buffer_after)
    near = (
        blocked_span(plan, claim)
        for claim in claims
        if claim.busy_from < to_utc and claim.busy_to > from_utc and claim.is_live(now)
        if claim.busy_from < claim.busy_to
    )
    origin = first + low
    width = high - low
    blocked = span_mask(((start - origin, end - origin) for start, end in near), width)
    fresh = view.fits >> low & ones(width) & ~blocked
    free = view.free & ~(ones(width) << low) | fresh << low
    return view if free == view.free else replace(view, free=free)


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────


def lapsed(state: AvailabilityState, now: datetime) -> AvailabilityState:
    """With the holds that ran out between the state's instant and `now` out of the way."""
    gone = {subject: _lapsed(claims, state.now, now) for subject, claims in state.busy.items()}
    for subject, claims in gone.items():
        if claims:
            state = refreshed(state, subject, claims, now)
    return state


def _lapsed(claims: Mapping[UUID, Busy], since: datetime, now: datetime) -> list[Busy]:
    return [claim for claim in claims.values() if claim.expires_at is not None and since < claim.expires_at <= now]


def moved(state: AvailabilityState, now: datetime) -> AvailabilityState:
    """With notice and horizon as they are at `now`."""
    first, past = axis(state.config.window)
    rules = state.config.rules(now)
    views: list[PlanView] = []
    is_stale = bool(state.config.items) and _visit_moves(state, rules, first)
    for view in state.views:
        low = max(view.low, minute_ceil(now + timedelta(minutes=rules.notice_minutes)) - first)
        high, next_day_at = view.high, view.next_day_at
        if now >= next_day_at:
            high = bookable_range(view.plan, state.config.window, rules)[1]
            next_day_at = _next_day_at(view.plan, now)
        if (low, high, next_day_at) == (view.low, view.high, view.next_day_at):
            views.append(view)
            continue
        low = min(low, past - first)
        later = replace(view, free=view.free >> low << low, low=low, high=high, next_day_at=next_day_at)
        if view.is_simple:
            claims = state.busy[view.plan.provider_id].values()
            later = _again(later, claims, first, now, (first + view.high, first + high))
        else:
            is_stale = True
        views.append(later)
    after = replace(state, views=tuple(views))
    return anew(after, now, rules) if is_stale else after


def _visit_moves(state: AvailabilityState, rules: SlotRules, first: int) -> bool:
    """Is the earliest start too soon by now, or did somebody's last day move on?"""
    earliest = lowest(state.any_free())
    soonest = minute_ceil(rules.now + timedelta(minutes=rules.notice_minutes))
    if earliest is not None and first + earliest < soonest:
        return True
    before = state.config.rules(state.now)
    zones = {plan.time_zone for plan in state.config.items[0]}
    return any(horizon_end(before, tz) != horizon_end(rules, tz) for tz in zones)


def live_claims(busy: BusyMap) -> dict[UUID, Collection[Busy]]:
    """The same without ids, as the engine takes it."""
    return {subject: by_id.values() for subject, by_id in busy.items()}
